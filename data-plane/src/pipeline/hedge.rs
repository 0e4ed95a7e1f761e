//! Two attempts side by side, where a policy wants that: whoever has content first has won, the other is called off.

use std::time::Duration;

use tokio::time::sleep;

use crate::model::deadlines::Deadlines;
use crate::pipeline::flight::{Flight, Landed, Shot};
use crate::pipeline::reply::{Gone, Reply};
use crate::pipeline::trail::Trail;
use crate::pipeline::{Job, Pipeline, wait};
use crate::routing::plan::Candidate;
use crate::upstream::attempt::{Failed, Outcome};

/// What both attempts share.
pub struct Race<'a> {
    pub pipeline: &'a Pipeline,
    pub job: &'a Job<'a>,
    pub asked: Deadlines,
    /// How long the first may be silent before the second is sent.
    pub after: Duration,
}

impl<'a> Race<'a> {
    /// Runs both. A failure that is not the last word goes to `lost`, settled. `second` makes the second attempt ready when it is needed; none where there is none to send.
    ///
    /// # Errors
    /// [`Gone`] where the caller left and the wait ended with that; what was under way is settled then.
    pub async fn run(
        &self,
        (first, shot): (Flight<'a>, Shot<'a>),
        second: impl AsyncFnOnce(&mut Reply, &mut Trail) -> Option<(Flight<'a>, Shot<'a>)>,
        lost: &mut Vec<(&'a Candidate, Box<Failed>)>,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<Landed<'a>, Gone> {
        let job = self.job;
        let company = wait(job, first.candidate);
        let mut one = Box::pin(shot.send(self.pipeline, job, &self.asked));
        let alone = async {
            tokio::select! {
                biased;
                outcome = &mut one => Some(outcome),
                () = sleep(self.after) => None,
            }
        };
        match reply.wait(company, alone).await {
            Ok(Some(outcome)) => return Ok(first.land(outcome)),
            Ok(None) => {}
            Err(Gone) => {
                first.call_off(job, "cancelled", trail);
                return Err(Gone);
            }
        }
        let Some((other, shot)) = second(reply, trail).await else {
            return first.follow(one, job, reply, trail).await;
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
                let (won, lost) = if is_first { (first, other) } else { (other, first) };
                lost.lose(job, trail);
                Ok(Landed::Committed(won, answer))
            }
            Err(Gone) => {
                first.call_off(job, "cancelled", trail);
                other.call_off(job, "cancelled", trail);
                Err(Gone)
            }
        }
    }
}
