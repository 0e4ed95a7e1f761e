//! Hears an answer to its end before any of it is given, and says whether it may be.

use std::sync::Arc;

use crate::config::snapshot::Endpoint;
use crate::error::RequestError;
use crate::judge::Fault;
use crate::model::event::{Event, Fold};
use crate::model::response::ChatResponse;
use crate::pipeline::attempts::gone;
use crate::pipeline::flight::Flight;
use crate::pipeline::meter::{self, Ended, Meter};
use crate::pipeline::reply::Reply;
use crate::pipeline::rules::Rules;
use crate::pipeline::trail::{AttemptNote, Trail};
use crate::pipeline::{Job, note, wait};
use crate::upstream::attempt::{Answer, Failed};
use crate::upstream::live::Live;

/// What was heard.
pub enum Heard<'a> {
    /// It may be given.
    Good(Box<Flight<'a>>, Answer),
    /// It may not: it is settled, and paid, since it was produced as the policy asked.
    Faulty(Fault, Arc<Endpoint>),
    /// It broke off; it is settled.
    Broken(Box<Failed>),
}

/// Hears a committed answer.
///
/// # Errors
/// The caller left, or the process stops, and the wait ended with that; the attempt is settled then.
pub async fn hear<'a>(
    mut flight: Flight<'a>,
    answer: Answer,
    job: &Job<'_>,
    rules: &Rules<'_>,
    reply: &mut Reply,
    trail: &mut Trail,
) -> Result<Heard<'a>, RequestError> {
    let (answer, status) = match answer {
        Answer::Whole(answer, status) => (answer, status),
        Answer::Stream(mut live) => {
            flight.told.first_content = Some(flight.begun.elapsed());
            let status = live.status;
            live.keep_whole();
            match reply.wait(wait(job, flight.candidate), to_its_end(&mut live)).await {
                Ok(Ok(answer)) => (Box::new(answer), status),
                Ok(Err(failed)) => {
                    flight.fail(job, &failed, trail);
                    return Ok(Heard::Broken(failed));
                }
                Err(why) => {
                    flight.call_off(job, why.outcome(), trail);
                    return Err(gone(why, trail));
                }
            }
        }
    };
    let (answer, fault) = match reply.wait(wait(job, flight.candidate), rules.judge(answer)).await {
        Ok(Ok(judged)) => judged,
        Ok(Err(error)) => {
            flight.call_off(job, "unjudged", trail);
            return Err(error);
        }
        Err(why) => {
            flight.call_off(job, why.outcome(), trail);
            return Err(gone(why, trail));
        }
    };
    match fault.or_else(|| rules.check(&answer, flight.candidate)) {
        None => Ok(Heard::Good(Box::new(flight), Answer::Whole(answer, status))),
        Some(fault) => {
            let endpoint = flight.candidate.endpoint.clone();
            let look = flight.told.look(job, rules.asked());
            settle(flight, &answer, status.as_u16(), &fault, job, trail);
            look.into_iter().for_each(|look| look.at(&answer));
            Ok(Heard::Faulty(fault, endpoint))
        }
    }
}

async fn to_its_end(live: &mut Live) -> Result<ChatResponse, Box<Failed>> {
    let (mut fold, mut events) = (Fold::default(), Vec::new());
    loop {
        let step = live.next(&mut events).await;
        let is_done = events.iter().any(|event| matches!(event, Event::Done));
        events.drain(..).for_each(|event| fold.push(&event));
        match step {
            Err(failure) => {
                return Err(Box::new(Failed { failure, reached: true, refused: false, usage: live.usage() }));
            }
            Ok(()) if is_done => return Ok(fold.finish()),
            Ok(()) => {}
        }
    }
}

fn settle(
    flight: Flight<'_>,
    answer: &ChatResponse,
    status: u16,
    fault: &Fault,
    job: &Job<'_>,
    trail: &mut Trail,
) {
    let Flight { number, candidate, hold, begun, told, .. } = flight;
    let meter = Meter::of(answer);
    let counted = meter.counted(&job.request.facts, None);
    told.ok(job, &counted);
    let outcome = fault.reason.as_str();
    let ended = Ended { outcome, status, owes: meter.owes(&counted) };
    let bill = meter::settle(hold, job, candidate, &counted, ended, |_, _, _| None);
    trail.spent_tokens += counted.total_tokens();
    trail.note(AttemptNote {
        cost: bill.cost,
        charged: bill.settled.charged,
        reason: Some(fault.detail.clone()),
        ..note((number, candidate), begun, outcome, status, None)
    });
}
