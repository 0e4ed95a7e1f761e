//! Hands a committed answer to the caller, meters it, and settles it before its end is sent.

use std::time::{Duration, Instant as Moment};

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use switchyard_proto::v1::GenerationRecord;
use tokio::time::Instant;

use crate::adapters::failure::Failure;
use crate::api::{AnswerFacts, Bill as PrintedBill};
use crate::error::RequestError;
use crate::judge::Asked;
use crate::limits::{Hold, ReserveError};
use crate::model::event::Fold;
use crate::model::response::ChatResponse;
use crate::model::usage::Usage;
use crate::pipeline::meter::{self, Bill, Ended, Meter};
use crate::pipeline::reply::{Gone, Reply, Untaken};
use crate::pipeline::reserve::Skip;
use crate::pipeline::steps::Steps;
use crate::pipeline::told::Told;
use crate::pipeline::trail::{AnswerNote, Trail};
use crate::pipeline::{Job, charges, decision, ending, explain, note, wait};
use crate::price::Owes;
use crate::routing::plan::Candidate;
use crate::upstream::attempt::Answer;
use crate::upstream::live::Live;

/// The outcome of an attempt whose caller left.
const CANCELLED: &str = "cancelled";
/// The outcome of an attempt whose caller did not read in time.
const SLOW_READER: &str = "slow_reader";

/// The outcome of an attempt whose caller's money was used up amid its answer.
const BUDGET_EXHAUSTED: &str = "budget_exhausted";

/// A committed attempt on its way to the caller.
pub struct Delivery<'a> {
    pub job: &'a Job<'a>,
    /// The attempt's, from 1: that of its ledger line.
    pub number: u32,
    pub candidate: &'a Candidate,
    pub hold: Option<Hold>,
    pub begun: Moment,
    pub told: Told<'a>,
    /// What the answer was held against, where it was judged.
    pub asked: Option<&'a Asked>,
    /// Where money is taken while the answer comes.
    pub steps: Option<Steps>,
}

impl Delivery<'_> {
    /// Delivers to the end.
    pub async fn run(self, answer: Answer, reply: &mut Reply, trail: &mut Trail) -> Result<(), RequestError> {
        reply.header("x-switchyard-provider", self.candidate.endpoint.provider.id.as_str());
        match answer {
            Answer::Whole(answer, status) if self.job.request.stream => {
                self.replay(*answer, status.as_u16(), reply, trail).await
            }
            Answer::Whole(answer, status) => {
                self.whole(*answer, status.as_u16(), reply, trail).await;
                Ok(())
            }
            Answer::Stream(live) => self.stream(live, reply, trail).await,
        }
    }

    async fn whole(self, answer: ChatResponse, status: u16, reply: &mut Reply, trail: &mut Trail) {
        let (facts, look) = (self.facts(trail), self.told.look(self.job, self.asked));
        let (job, candidate) = (self.job, self.candidate);
        let meter = Meter::of(&answer);
        let counted = meter.counted(&self.job.request.facts, None);
        trail.cancelled = reply.is_gone();
        self.told.ok(self.job, &counted);
        let bill = self.settle(&meter, &counted, ok(&meter, &counted, status), trail);
        let answer = ChatResponse { usage: Some(counted), ..answer };
        if let Some(capture) = job.capture {
            capture.take(answer.clone(), candidate);
        }
        let printed = print(&bill, trail);
        let body = trail.surface.encode(&answer, &facts, job.request, &printed);
        reply.whole(http::StatusCode::OK, body);
        if let Some(look) = look {
            look.after(&answer).await;
        }
    }

    /// A caller who asked for a stream gets one, though the provider answered whole.
    async fn replay(
        self,
        answer: ChatResponse,
        status: u16,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<(), RequestError> {
        let (patience, look) = (Patience::until(self.job.until), self.told.look(self.job, self.asked));
        let mut encoder = trail.surface.stream(&self.facts(trail), &self.job.request.echo);
        let mut out = BytesMut::new();
        encoder.replay(&answer, &mut out);
        if let Some(capture) = self.job.capture {
            capture.take(answer.clone(), self.candidate);
        }
        let meter = Meter::of(&answer);
        let counted = meter.counted(&self.job.request.facts, None);
        trail.cancelled = reply.is_gone();
        self.told.ok(self.job, &counted);
        let bill = self.settle(&meter, &counted, ok(&meter, &counted, status), trail);
        encoder.usage(&counted, &print(&bill, trail), &mut out);
        encoder.done(&mut out);
        self::end(reply, out, &patience, trail).await;
        if let Some(look) = look {
            look.after(&answer).await;
        }
        Ok(())
    }

    async fn stream(
        mut self,
        mut live: Box<Live>,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<(), RequestError> {
        self.told.first_content = Some(self.begun.elapsed());
        if trail.surface.accumulates() {
            live.keep_whole();
        }
        let (wait, mut patience) = (wait(self.job, self.candidate), Patience::until(self.job.until));
        let mut encoder = trail.surface.stream(&self.facts(trail), &self.job.request.echo);
        let (mut meter, mut events, mut out) = (Meter::default(), Vec::new(), BytesMut::new());
        let (mut look, mut left) = (self.told.look(self.job, self.asked), None);
        let mut kept = self.job.capture.map(|capture| (capture, Fold::default()));
        while !meter.is_done {
            let step = reply.wait(wait, live.next(&mut events)).await;
            for event in events.drain(..) {
                meter.take(&event);
                look.iter_mut().for_each(|look| look.take(&event));
                kept.iter_mut().for_each(|(_, fold)| fold.push(&event));
                encoder.event(&event, &mut out);
            }
            kept = kept.filter(|(capture, _)| meter.text_bytes <= capture.most as u64);
            let covered = self.cover(&meter).await;
            match step {
                Ok(Ok(())) if meter.is_done => {}
                Ok(Ok(())) if let Err(error) = covered => {
                    reply.encoder = Some(encoder);
                    let end = (Cut::of(&live), patience);
                    return Err(self.spent(error, &meter, end, out.freeze(), reply, trail).await);
                }
                Ok(Ok(())) => {
                    if !out.is_empty() && !reply.is_gone() {
                        let (held, taken) = patience.hand_on(out.split().freeze(), reply).await;
                        self.stood_still(&mut live, held);
                        match taken {
                            Ok(()) => {}
                            Err(untaken) if wait.leaves_with_caller => {
                                self.called_off(&meter, &Cut::of(&live), word(untaken), trail);
                                return Ok(());
                            }
                            // Its provider bills the rest all the same, so its count is waited for.
                            Err(untaken) => left = Some(untaken),
                        }
                    }
                    out.clear();
                }
                Ok(Err(failure)) => {
                    reply.encoder = Some(encoder);
                    let end = (Cut::of(&live), patience);
                    return Err(self.broken(&failure, &meter, end, out.freeze(), reply, trail).await);
                }
                Err(Gone::Caller) => {
                    self.called_off(&meter, &Cut::of(&live), CANCELLED, trail);
                    return Ok(());
                }
                Err(why @ Gone::Process) => {
                    reply.encoder = Some(encoder);
                    return Err(self.stopped(why, &meter, &Cut::of(&live), trail));
                }
            }
        }
        if let Some((capture, fold)) = kept {
            capture.take(fold.finish(), self.candidate);
        }
        let status = live.status.as_u16();
        let counted = meter.counted(&self.job.request.facts, None);
        trail.cancelled = reply.is_gone();
        let outcome = if left == Some(Untaken::Slow) { SLOW_READER } else { "ok" };
        self.told.ok(self.job, &counted);
        let ended = Ended { outcome, ..ok(&meter, &counted, status) };
        let bill = self.settle(&meter, &counted, ended, trail);
        encoder.usage(&counted, &print(&bill, trail), &mut out);
        encoder.done(&mut out);
        self::end(reply, out, &patience, trail).await;
        if let Some(look) = look {
            look.at_stream().await;
        }
        Ok(())
    }

    /// Takes more money where that is done while an answer comes, and more of it is to come.
    async fn cover(&mut self, meter: &Meter) -> Result<(), ReserveError> {
        match (&mut self.steps, &mut self.hold) {
            (Some(steps), Some(hold)) if meter.finish.is_none() => {
                steps.cover(meter.text_bytes, self.job, self.candidate, hold).await
            }
            _ => Ok(()),
        }
    }

    /// Nobody reads, because the caller did not.
    fn stood_still(&mut self, live: &mut Live, held: Duration) {
        if !held.is_zero() {
            live.stood_still(held);
            self.told.held += held;
        }
    }

    /// The caller is not there any more, or does not read, and the provider stops billing when we stop: what was produced is
    /// paid.
    fn called_off(self, meter: &Meter, cut: &Cut, outcome: &'static str, trail: &mut Trail) {
        trail.cancelled = true;
        let counted = meter.counted(&self.job.request.facts, cut.usage);
        self.told.cancelled();
        let ended = Ended { outcome, ..ok(meter, &counted, cut.status) };
        self.settle(meter, &counted, ended, trail);
    }

    /// There is no money for the rest: the provider is left, the caller hears why in-band and pays what was produced.
    async fn spent(
        self,
        error: ReserveError,
        meter: &Meter,
        (cut, patience): (Cut, Patience),
        rest: Bytes,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> RequestError {
        let error = match error {
            ReserveError::Exhausted { account, limit, .. } => charges::ended(&account, limit),
            error => Skip::Refused(error).into(),
        };
        let counted = meter.counted(&self.job.request.facts, cut.usage);
        self.told.cancelled();
        decision::keep(trail, self.job.inputs, self.job.plan);
        trail.error = Some(error.code);
        let ended = Ended { outcome: BUDGET_EXHAUSTED, ..ok(meter, &counted, cut.status) };
        self.settle(meter, &counted, ended, trail);
        if !rest.is_empty() && !reply.is_gone() {
            let _ = reply.send(rest, patience.ends()).await;
        }
        error
    }

    /// We stop before the answer is whole: the caller hears why in-band, and pays nothing but fees.
    fn stopped(self, why: Gone, meter: &Meter, cut: &Cut, trail: &mut Trail) -> RequestError {
        self.told.cancelled();
        trail.error = Some(why.code());
        let counted = meter.counted(&self.job.request.facts, cut.usage);
        let ended = Ended { outcome: why.outcome(), status: cut.status, owes: Owes::Fees };
        self.settle(meter, &counted, ended, trail);
        why.into()
    }

    /// The provider broke off after the commit point: the caller hears why in-band, and pays nothing but fees.
    async fn broken(
        self,
        failure: &Failure,
        meter: &Meter,
        (cut, patience): (Cut, Patience),
        rest: Bytes,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> RequestError {
        let endpoint = &self.candidate.endpoint;
        let provider = endpoint.provider.display_name.clone();
        self.told.failed(failure);
        decision::keep(trail, self.job.inputs, self.job.plan);
        let counted = meter.counted(&self.job.request.facts, cut.usage);
        trail.error = Some(failure.code);
        let ended = Ended { outcome: failure.class.as_str(), status: cut.status, owes: Owes::Fees };
        self.settle(meter, &counted, ended, trail);
        if !rest.is_empty() && !reply.is_gone() {
            let _ = reply.send(rest, patience.ends()).await;
        }
        RequestError::from_failure(failure, &provider)
    }

    /// Settles the attempt together with the generation's record.
    fn settle(self, meter: &Meter, counted: &Usage, ended: Ended, trail: &mut Trail) -> Bill {
        let Self { job, number, candidate, hold, begun, .. } = self;
        trail.note(note((number, candidate), begun, ended.outcome, ended.status, trail.error));
        let finish = (!meter.has_product).then(|| meter.finish.clone().unwrap_or_default());
        let bill = meter::settle(hold, job, candidate, counted, ended, |tokens, cost, charged| {
            trail.answer = Some(AnswerNote { finish, tokens: *tokens });
            // This attempt's own charge is added to the record by its line.
            let earlier = trail.charged();
            trail.bill_last(cost, charged);
            let record = ending::record(trail, Some(job.request));
            Some(GenerationRecord { charge_nano: earlier.0, ..record })
        });
        trail.is_recorded = true;
        trail.spent_tokens += counted.total_tokens();
        bill
    }

    fn facts(&self, trail: &Trail) -> AnswerFacts {
        AnswerFacts {
            id: trail.id.to_string(),
            created: trail.created(),
            model: self.candidate.model.id.to_string(),
            provider: self.candidate.endpoint.provider.display_name.clone(),
        }
    }
}

/// The outcome of an attempt that ended because of its caller.
fn word(untaken: Untaken) -> &'static str {
    match untaken {
        Untaken::Gone => CANCELLED,
        Untaken::Slow => SLOW_READER,
    }
}

/// An answer that came to its end.
fn ok(meter: &Meter, counted: &Usage, status: u16) -> Ended {
    Ended { outcome: "ok", status, owes: meter.owes(counted) }
}

/// Sends the last piece. A stream whose end could not be sent is left open, so that nobody takes it for whole.
async fn end(reply: &mut Reply, out: BytesMut, patience: &Patience, trail: &mut Trail) {
    trail.cancelled = reply.is_gone() || reply.send(out.freeze(), patience.ends()).await.is_err();
    if !trail.cancelled {
        reply.end();
    }
}

/// How long a caller may keep us waiting in all: as long as its request may still take when its answer begins. That time
/// is its own, so the provider's clocks stand still meanwhile.
struct Patience {
    left: Duration,
}

impl Patience {
    fn until(last: Instant) -> Self {
        Self { left: last.saturating_duration_since(Instant::now()) }
    }

    /// When it ends if the caller begins to keep us waiting now.
    fn ends(&self) -> Instant {
        Instant::now() + self.left
    }

    /// Sends a piece, and tells how long the caller kept us waiting for that, whether or not it was taken.
    async fn hand_on(&mut self, piece: Bytes, reply: &mut Reply) -> (Duration, Result<(), Untaken>) {
        let began = Instant::now();
        let sent = reply.send(piece, began + self.left).await;
        let held = sent.unwrap_or_else(|_| began.elapsed());
        self.left = self.left.saturating_sub(held);
        (held, sent.map(drop))
    }
}

/// Where a stream stood when it was cut.
struct Cut {
    usage: Option<Usage>,
    status: u16,
}

impl Cut {
    fn of(live: &Live) -> Self {
        Self { usage: live.usage(), status: live.status.as_u16() }
    }
}

fn print(bill: &Bill, trail: &Trail) -> PrintedBill {
    let metadata: Option<Value> = trail.wants_metadata.then(|| explain::metadata(trail));
    PrintedBill { cost: trail.charged(), upstream: trail.cost(), is_byok: bill.is_byok, metadata }
}
