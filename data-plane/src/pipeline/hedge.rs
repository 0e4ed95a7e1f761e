//! Two attempts side by side, where a policy wants that: whoever has content first has won, the other is called off.

use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use crate::config::snapshot::policy::Hedge;
use crate::model::deadlines::Deadlines;
use crate::pipeline::flight::{Flight, Landed, Shot};
use crate::pipeline::reply::{Gone, Reply};
use crate::pipeline::rules::Rules;
use crate::pipeline::skips::Why;
use crate::pipeline::trail::Trail;
use crate::pipeline::{Job, Pipeline, reserve, wait};
use crate::routing::plan::Candidate;
use crate::upstream::attempt::{Failed, Outcome};

/// Hedges that a stage may save up, so that its share holds over few requests too.
const HEDGES_SAVED: u32 = 1;

/// A second attempt that may be sent beside the first.
pub struct Hedging<'a> {
    pub second: &'a Candidate,
    /// How long the first may be silent before the second is sent: its usual time.
    after: Duration,
    /// The second's usual time, where it is known.
    usual: Option<Duration>,
    rule: Hedge,
    /// What it is paid from: the stage's.
    budget: String,
}

impl<'a> Hedging<'a> {
    /// Who is sent beside a silent candidate, and after how long; none where the stage does not want that.
    pub fn of(
        job: &Job<'_>,
        candidate: &Candidate,
        second: Option<&'a Candidate>,
        rules: &Rules<'_>,
    ) -> Option<Self> {
        let second = second?;
        let (rule, after) = rules.hedge_after(candidate)?;
        let policy = job.plan.policy.as_ref()?;
        let owner = policy.tenant.as_ref().map_or("", |tenant| tenant.as_str());
        let budget = format!("{owner}/{}/{}", policy.id, rules.name());
        let usual = rules.hedge_after(second).map(|(_, usual)| usual);
        Some(Self { second, after, usual, rule, budget })
    }

    /// Adds what one request earns its stage: a share of a hedge.
    pub fn earn(&self, pipeline: &Pipeline) {
        pipeline.hedges.earn(&self.budget, self.rule.max_rate_permille, HEDGES_SAVED);
    }

    /// Takes a hedge out of the stage's share, if the policy's caps allow it.
    ///
    /// # Errors
    /// The cap that it is beyond.
    pub fn spend(&self, pipeline: &Pipeline, job: &Job<'_>) -> Result<(), Why> {
        if let Some(most) = self.rule.max_usd {
            let worst = reserve::worst(pipeline, job, self.second);
            if worst > most {
                return Err(Why::dear_hedge(worst, most));
            }
        }
        match pipeline.hedges.spend(&self.budget, HEDGES_SAVED) {
            true => Ok(()),
            false => Err(Why::share_of_hedges(self.rule.max_rate_permille)),
        }
    }
}

/// What both attempts share.
pub struct Race<'a, 'b> {
    pub pipeline: &'a Pipeline,
    pub job: &'a Job<'a>,
    pub asked: Deadlines,
    pub hedging: &'b Hedging<'a>,
}

impl<'a> Race<'a, '_> {
    /// Runs both. A failure that is not the last word goes to `lost`, settled. `second` makes the second attempt ready when
    /// it is needed, while the first goes on; none where there is none to send.
    ///
    /// # Errors
    /// [`Gone`] where the wait ended with the caller or the process; what was under way is settled then.
    pub async fn run(
        &self,
        (first, shot): (Flight<'a>, Shot<'a>),
        second: impl AsyncFnOnce(&mut Trail) -> Option<(Flight<'a>, Shot<'a>)>,
        lost: &mut Vec<(&'a Candidate, Box<Failed>)>,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<Landed<'a>, Gone> {
        let job = self.job;
        let company = wait(job, first.candidate);
        let mut one = Box::pin(shot.send(self.pipeline, job, &self.asked));
        let opening = async {
            tokio::select! {
                biased;
                outcome = &mut one => return (Some(outcome), None),
                () = sleep(self.hedging.after) => {}
            }
            let mut preparing = pin!(second(trail));
            tokio::select! {
                biased;
                // What is under way for the second is dropped, and gives back what it took: an answer needs none, and after
                // a failure its turn comes with all that the first held.
                outcome = &mut one => (Some(outcome), None),
                ready = &mut preparing => (None, ready),
            }
        };
        let (early, ready) = match reply.wait(company, opening).await {
            Ok(done) => done,
            Err(gone) => {
                first.call_off(job, gone.outcome(), trail);
                return Err(gone);
            }
        };
        let (other, shot) = match (early, ready) {
            (Some(outcome), _) => return Ok(first.land(outcome)),
            (None, None) => return first.follow(one, job, reply, trail).await,
            (None, Some(ready)) => ready,
        };
        let mut two = Box::pin(shot.send(self.pipeline, job, &self.asked));
        let both = async {
            tokio::select! {
                biased;
                outcome = &mut one => (outcome, true),
                outcome = &mut two => (outcome, false),
            }
        };
        match reply.wait(company, both).await {
            Ok((Outcome::Failed(failed), true)) => {
                lost.push((first.candidate, failed));
                first.fail(job, &lost[0].1, trail);
                other.follow(two, job, reply, trail).await
            }
            Ok((Outcome::Failed(failed), false)) => {
                lost.push((other.candidate, failed));
                other.fail(job, &lost[0].1, trail);
                first.follow(one, job, reply, trail).await
            }
            Ok((Outcome::Committed(answer), is_first)) => {
                // The loser's connection is closed before it is settled.
                drop((one, two));
                let won = match is_first {
                    true => {
                        other.lose(job, self.hedging.usual, trail);
                        first
                    }
                    false => {
                        first.lose(job, Some(self.hedging.after), trail);
                        other
                    }
                };
                Ok(Landed::Committed(won, answer))
            }
            Err(gone) => {
                first.call_off(job, gone.outcome(), trail);
                other.call_off(job, gone.outcome(), trail);
                Err(gone)
            }
        }
    }
}
