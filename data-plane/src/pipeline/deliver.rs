//! Hands a committed answer to the caller, meters it, and settles it before its end is sent.

use std::time::Instant as Moment;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use switchyard_proto::v1::GenerationRecord;
use tokio::time::Instant;

use crate::adapters::failure::Failure;
use crate::api::openai_chat::{self, StreamEncoder};
use crate::api::{AnswerFacts, Bill as PrintedBill};
use crate::error::RequestError;
use crate::judge::Asked;
use crate::limits::Hold;
use crate::model::response::ChatResponse;
use crate::model::usage::Usage;
use crate::pipeline::meter::{self, Bill, Meter};
use crate::pipeline::reply::{Gone, Reply};
use crate::pipeline::told::Told;
use crate::pipeline::trail::{AnswerNote, Trail};
use crate::pipeline::{Job, decision, ending, explain, note, wait};
use crate::routing::plan::Candidate;
use crate::upstream::attempt::Answer;
use crate::upstream::live::Live;

/// A committed attempt on its way to the caller.
pub struct Delivery<'a> {
    pub job: &'a Job<'a>,
    pub candidate: &'a Candidate,
    pub hold: Option<Hold>,
    pub begun: Moment,
    pub told: Told<'a>,
    /// What the answer was held against, where it was judged.
    pub asked: Option<&'a Asked>,
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
        let meter = Meter::of(&answer);
        let counted = meter.counted(&self.job.request.facts, None);
        let bill = self.settle(&meter, &counted, "ok", status, trail);
        let answer = ChatResponse { usage: Some(counted), ..answer };
        let printed = print(&bill, trail);
        reply.whole(http::StatusCode::OK, openai_chat::encode(&answer, &facts, &printed));
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
        let (until, look) = (self.job.until, self.told.look(self.job, self.asked));
        let mut encoder = StreamEncoder::new(&self.facts(trail));
        let mut out = BytesMut::new();
        encoder.replay(&answer, &mut out);
        let meter = Meter::of(&answer);
        let counted = meter.counted(&self.job.request.facts, None);
        let bill = self.settle(&meter, &counted, "ok", status, trail);
        encoder.usage(&counted, &print(&bill, trail), &mut out);
        encoder.done(&mut out);
        self::end(reply, out, until, trail).await;
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
        let (wait, until) = (wait(self.job, self.candidate), self.job.until);
        let mut encoder = StreamEncoder::new(&self.facts(trail));
        let (mut meter, mut events, mut out) = (Meter::default(), Vec::new(), BytesMut::new());
        let mut look = self.told.look(self.job, self.asked);
        while !meter.is_done {
            let step = reply.wait(wait, live.next(&mut events)).await;
            for event in events.drain(..) {
                meter.take(&event);
                look.iter_mut().for_each(|look| look.take(&event));
                encoder.event(&event, &mut out);
            }
            match step {
                Ok(Ok(())) if meter.is_done => {}
                Ok(Ok(())) => {
                    if !out.is_empty() && !reply.is_gone() {
                        let sent = reply.send(out.split().freeze(), until).await;
                        if sent.is_err() && wait.leaves_with_caller {
                            self.called_off(&meter, &Cut::of(&live), trail);
                            return Ok(());
                        }
                    }
                    out.clear();
                }
                Ok(Err(failure)) => {
                    return Err(self
                        .broken(&failure, &meter, Cut::of(&live), out.freeze(), reply, trail)
                        .await);
                }
                Err(Gone) => {
                    self.called_off(&meter, &Cut::of(&live), trail);
                    return Ok(());
                }
            }
        }
        let status = live.status.as_u16();
        let counted = meter.counted(&self.job.request.facts, None);
        let bill = self.settle(&meter, &counted, "ok", status, trail);
        encoder.usage(&counted, &print(&bill, trail), &mut out);
        encoder.done(&mut out);
        self::end(reply, out, until, trail).await;
        if let Some(look) = look {
            look.at_stream().await;
        }
        Ok(())
    }

    /// The caller left and the provider stops billing when we do too: what was produced is paid.
    fn called_off(self, meter: &Meter, cut: &Cut, trail: &mut Trail) {
        trail.cancelled = true;
        let counted = meter.counted(&self.job.request.facts, cut.usage);
        self.settle(meter, &counted, "cancelled", cut.status, trail);
    }

    /// The provider broke off after the commit point: what was produced is paid, and the caller hears why in-band.
    async fn broken(
        self,
        failure: &Failure,
        meter: &Meter,
        cut: Cut,
        rest: Bytes,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> RequestError {
        let endpoint = &self.candidate.endpoint;
        let provider = endpoint.provider.display_name.clone();
        let until = self.job.until;
        self.told.failed(failure);
        decision::keep(trail, self.job);
        let counted = meter.counted(&self.job.request.facts, cut.usage);
        trail.error = Some(failure.code);
        self.settle(meter, &counted, failure.class.as_str(), cut.status, trail);
        if !rest.is_empty() && !reply.is_gone() {
            let _ = reply.send(rest, until).await;
        }
        RequestError::from_failure(failure, &provider)
    }

    /// Settles the attempt together with the generation's record.
    fn settle(
        self,
        meter: &Meter,
        counted: &Usage,
        outcome: &'static str,
        status: u16,
        trail: &mut Trail,
    ) -> Bill {
        let Self { job, candidate, hold, begun, told, .. } = self;
        match outcome {
            "ok" => told.ok(job, counted),
            "cancelled" => told.cancelled(),
            _ => {}
        }
        trail.note(note(candidate, begun, outcome, status, trail.error));
        let finish = meter.finish.clone().unwrap_or_default();
        let bill = meter::settle(hold, job, candidate, counted, outcome, status, |tokens, cost, charged| {
            trail.answer = Some(AnswerNote { finish, tokens: *tokens, cost, charged });
            // This attempt's own charge is added to the record by its line.
            let earlier = trail.charged();
            trail.charge_last(charged);
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

/// Sends the last piece. A stream whose end could not be sent is left open, so that nobody takes it for whole.
async fn end(reply: &mut Reply, out: BytesMut, until: Instant, trail: &mut Trail) {
    trail.cancelled = reply.is_gone() || reply.send(out.freeze(), until).await.is_err();
    if !trail.cancelled {
        reply.end();
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
    PrintedBill { cost: trail.charged(), upstream_cost: Some(bill.cost), is_byok: bill.is_byok, metadata }
}
