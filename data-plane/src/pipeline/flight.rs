//! One attempt from its reservation to its commit point or its failure.

use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use crate::adapters::Encoded;
use crate::config::snapshot::Credential;
use crate::limits::Hold;
use crate::model::deadlines::Deadlines;
use crate::pipeline::reply::{Gone, Reply};
use crate::pipeline::reserve::Ready;
use crate::pipeline::steps::Steps;
use crate::pipeline::told::Told;
use crate::pipeline::trail::{AttemptNote, Trail};
use crate::pipeline::{Job, Pipeline, meter, note, wait};
use crate::routing::plan::Candidate;
use crate::upstream::attempt::{self, Answer, Failed, Outcome, Try};
use crate::upstream::http::Reach;
use crate::upstream::waits::Waits;

/// The outcome of an attempt that another was quicker than.
const HEDGE_LOST: &str = "hedge_lost";

/// What an attempt is settled by, whatever becomes of it.
pub struct Flight<'a> {
    /// The attempt's, from 1: that of its ledger line.
    pub number: u32,
    pub candidate: &'a Candidate,
    pub hold: Option<Hold>,
    pub begun: Moment,
    pub told: Told<'a>,
    /// The output cap, where money made it lower than the endpoint's own.
    pub lowered_cap: Option<u64>,
    /// Where money is taken while the answer comes.
    pub steps: Option<Steps>,
    reach: Arc<Reach>,
}

/// What an attempt sends.
pub struct Shot<'a> {
    candidate: &'a Candidate,
    calls: Vec<Encoded>,
    credential: Option<Credential>,
    reach: Arc<Reach>,
}

/// What became of an attempt before the caller saw anything of it.
pub enum Landed<'a> {
    Committed(Flight<'a>, Box<Answer>),
    Failed(Flight<'a>, Box<Failed>),
}

/// Both halves of an attempt that may be sent; its time begins now.
pub fn ready<'a>(
    pipeline: &'a Pipeline,
    job: &Job<'_>,
    candidate: &'a Candidate,
    ready: Ready,
) -> (Flight<'a>, Shot<'a>) {
    let Ready { calls, hold, credential, number, lowered_cap, steps } = ready;
    let (begun, reach) = (Moment::now(), Arc::new(Reach::default()));
    let told = Told::new(pipeline, job, candidate, credential.as_ref(), begun);
    let flight = Flight { number, candidate, hold, begun, told, lowered_cap, steps, reach: reach.clone() };
    (flight, Shot { candidate, calls, credential, reach })
}

impl Shot<'_> {
    /// Sends it and waits for the first content. `asked` is what request and policy want of the deadlines.
    pub async fn send(self, pipeline: &Pipeline, job: &Job<'_>, asked: &Deadlines) -> Outcome {
        let (endpoint, stream) = (&self.candidate.endpoint, job.request.stream);
        let waits = Waits::of(endpoint, &pipeline.settings.deadlines, asked, stream, job.until);
        let (drift, credential, reach) = (&pipeline.drift, self.credential.as_ref(), &*self.reach);
        let attempt = Try { endpoint, drift, calls: self.calls, credential, stream, waits, reach };
        attempt::attempt(&pipeline.client, &pipeline.signer, attempt).await
    }
}

impl<'a> Flight<'a> {
    /// Waits for the outcome in the caller's company.
    ///
    /// # Errors
    /// [`Gone`] where the wait ended with the caller or the process; the attempt is settled then.
    pub async fn follow(
        self,
        trying: impl Future<Output = Outcome>,
        job: &Job<'_>,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<Landed<'a>, Gone> {
        match reply.wait(wait(job, self.candidate), trying).await {
            Ok(outcome) => Ok(self.land(outcome)),
            Err(gone) => {
                self.call_off(job, gone.outcome(), trail);
                Err(gone)
            }
        }
    }

    pub fn land(self, outcome: Outcome) -> Landed<'a> {
        match outcome {
            Outcome::Committed(answer) => Landed::Committed(self, answer),
            Outcome::Failed(failed) => Landed::Failed(self, failed),
        }
    }

    /// Settles an attempt that nobody waits for any more: its provider may bill what it was asked, if it was.
    pub fn call_off(self, job: &Job<'_>, outcome: &'static str, trail: &mut Trail) {
        self.told.cancelled();
        meter::settle_unseen(self.hold, job, self.candidate, outcome, self.reach.is_possible());
        trail.note(note((self.number, self.candidate), self.begun, outcome, 0, None));
    }

    /// Settles an attempt that another was quicker than. `usual`: after how long its endpoint usually has content by
    /// then, where that is known; a longer silence speaks against it.
    pub fn lose(self, job: &Job<'_>, usual: Option<Duration>, trail: &mut Trail) {
        match usual.is_some_and(|usual| self.begun.elapsed() > usual) {
            true => self.told.outrun(),
            false => self.told.cancelled(),
        }
        let reached = self.reach.is_possible();
        let bill = meter::settle_lost(self.hold, job, self.candidate, HEDGE_LOST, reached);
        trail.note(AttemptNote {
            cost: bill.cost,
            charged: bill.settled.charged,
            ..note((self.number, self.candidate), self.begun, HEDGE_LOST, 0, None)
        });
    }

    /// Settles an attempt that failed before the caller saw anything of it.
    pub fn fail(self, job: &Job<'_>, failed: &Failed, trail: &mut Trail) {
        let failure = &failed.failure;
        self.told.failed(failure);
        meter::settle_failed(self.hold, job, self.candidate, failed);
        let status = failure.status.map_or(0, |status| status.as_u16());
        let code = Some(failure.code);
        trail.note(AttemptNote {
            reason: Some(failure.message.clone()),
            ..note((self.number, self.candidate), self.begun, failure.class.as_str(), status, code)
        });
    }
}
