//! An exchange's answer through its adapter: whole, byte by byte, in pieces, cut short; and what it says.

use bytes::Bytes;
use switchyard_data_plane::adapters::{Adapter, Failure, FailureClass};
use switchyard_data_plane::model::event::{Event, fold};
use switchyard_data_plane::model::response::ChatResponse;
use switchyard_data_plane::model::usage::Provenance;

use super::compare;
use super::exchange::{Api, Exchange};
use super::invariants::{check_answer, check_events};
use super::oracle::{self, Fault, Moment, Reading};
use super::probe::{self, Run};

/// What came of an answer that passed.
#[derive(Debug, Clone)]
pub enum Outcome {
    Answer { response: Box<ChatResponse>, events: Option<Vec<Event>> },
    Failure(Failure),
}

/// Seeds of the random splits.
const SEEDS: [u64; 3] = [1, 2, 3];
/// Bytes that the cuts of one stream may decode in all; ordinary streams are cut at every event.
const CUT_BYTES: usize = 3 << 20;
/// Prefixes that a whole body is cut to.
const WHOLE_CUTS: usize = 64;

/// Checks an exchange's answer.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(adapter: &dyn Adapter, api: Api, exchange: &Exchange) -> Result<Outcome, String> {
    if !exchange.status.is_success() {
        return super::failures::check(adapter, exchange).map(Outcome::Failure);
    }
    let reading = oracle::read(api, exchange);
    let outcome = if reading.is_stream() {
        check_stream(adapter, api, exchange, &reading)?
    } else {
        check_whole(adapter, api, exchange, &reading)?
    };
    if let Outcome::Answer { response, .. } = &outcome {
        check_answer(response)?;
        compare::check(response, &reading.told)?;
    }
    Ok(outcome)
}

fn check_whole(
    adapter: &dyn Adapter,
    api: Api,
    exchange: &Exchange,
    reading: &Reading,
) -> Result<Outcome, String> {
    let outcome = match probe::whole(adapter, exchange, &exchange.body)? {
        Ok(response) => Outcome::Answer { response: Box::new(response), events: None },
        Err(failure) => Outcome::Failure(failure),
    };
    agree(&outcome, reading.fault(api))?;
    let body = exchange.body.slice(..exchange.body.trim_ascii_end().len());
    for cut in (0..body.len()).step_by((body.len() / WHOLE_CUTS).max(1)) {
        if probe::whole(adapter, exchange, &body.slice(..cut))
            .map_err(|panic| format!("cut at {cut}: {panic}"))?
            .is_ok()
        {
            return Err(format!("decoded although it was cut at {cut}"));
        }
    }
    Ok(outcome)
}

/// Whether success and failure are where the oracle sees them.
fn agree(outcome: &Outcome, fault: Option<Fault>) -> Result<(), String> {
    match (outcome, fault) {
        (Outcome::Answer { .. }, None) => Ok(()),
        (Outcome::Answer { .. }, Some(fault)) if fault.is_optional => Ok(()),
        (Outcome::Answer { .. }, Some(fault)) => {
            Err(format!("decoded, but it should fail as {:?}", fault.classes))
        }
        (Outcome::Failure(failure), Some(fault)) if fault.classes.allow(failure.class) => {
            super::failures::check_text(failure)
        }
        (Outcome::Failure(failure), fault) => {
            Err(format!("failed: {failure:?}, but it should be {:?}", fault.map(|fault| fault.classes)))
        }
    }
}

fn check_stream(
    adapter: &dyn Adapter,
    api: Api,
    exchange: &Exchange,
    reading: &Reading,
) -> Result<Outcome, String> {
    let body = &exchange.body;
    let whole = probe::stream(adapter, [body.clone()])?;
    let outcome = match &whole.result {
        Ok(()) => {
            check_events(&whole.events)?;
            Outcome::Answer { response: Box::new(fold(&whole.events)), events: Some(whole.events.clone()) }
        }
        Err(failure) => Outcome::Failure(failure.clone()),
    };
    agree(&outcome, reading.fault(api))?;
    if let Outcome::Failure(_) = outcome {
        let known = reading.moments.iter().take_while(|moment| moment.fault.is_none()).last();
        check_partial(&whole, known)?;
    }
    check_splits(adapter, exchange, &whole)?;
    check_cuts(adapter, body, reading, &whole)?;
    Ok(outcome)
}

/// Any split of the bytes gives the same events and the same outcome.
fn check_splits(adapter: &dyn Adapter, exchange: &Exchange, whole: &Run) -> Result<(), String> {
    let body = &exchange.body;
    let printed = whole.print();
    let same = |what: &str, run: Result<Run, String>| match run {
        Ok(run) if run.print() == printed => Ok(()),
        Ok(_) => Err(format!("other events {what}")),
        Err(panic) => Err(format!("{what}: {panic}")),
    };
    same("byte by byte", probe::stream(adapter, probe::bytes(body)))?;
    for seed in SEEDS {
        same(&format!("in random pieces, seed {seed}"), probe::stream(adapter, probe::pieces(body, seed)))?;
    }
    if !exchange.chunk_sizes.is_empty() {
        same(
            "in the pieces that were received",
            probe::stream(adapter, probe::received(body, &exchange.chunk_sizes)),
        )?;
    }
    Ok(())
}

/// A stream that ends early fails, unless only what follows the answer's end is missing.
fn check_cuts(adapter: &dyn Adapter, body: &Bytes, reading: &Reading, whole: &Run) -> Result<(), String> {
    let told = Extent::of(&fold(&whole.events));
    for cut in cuts(&reading.moments, body.len()) {
        let run =
            probe::stream(adapter, [body.slice(..cut)]).map_err(|panic| format!("cut at {cut}: {panic}"))?;
        check_cut(&run, cut, reading, whole, &told).map_err(|reason| format!("cut at {cut}: {reason}"))?;
    }
    Ok(())
}

fn check_cut(run: &Run, cut: usize, reading: &Reading, whole: &Run, told: &Extent) -> Result<(), String> {
    let before = reading.moments.iter().take_while(|moment| moment.end <= cut).last();
    // The event that was cut may be complete but for the line that ends it.
    let next = reading.moments.iter().find(|moment| moment.end > cut);
    let extent = Extent::of(&fold(&run.events));
    match &run.result {
        Ok(()) if whole.result.is_ok() && extent != *told => {
            return Err("ended, though not all was told".to_owned());
        }
        Ok(()) if whole.result.is_err() && !before.is_some_and(Moment::may_end) => {
            return Err("ended, though the answer had not".to_owned());
        }
        Ok(()) => {}
        Err(failure) => {
            let faults = [before, next].into_iter().flatten().filter_map(|moment| moment.fault.as_ref());
            let expected = faults.into_iter().any(|fault| fault.classes.allow(failure.class));
            if failure.class != FailureClass::Malformed && !expected {
                return Err(format!("failed as {:?}", failure.class));
            }
            if before.is_some_and(|moment| moment.is_sealed && moment.fault.is_none()) && whole.result.is_ok()
            {
                return Err(format!("failed after the answer's end: {failure:?}"));
            }
        }
    }
    if !extent.is_within(told) {
        return Err("told what the whole stream does not".to_owned());
    }
    check_partial(run, before).or_else(|wrong| next.map_or(Err(wrong), |next| check_partial(run, Some(next))))
}

/// What was reported before the break is kept, and is not called final where the answer broke off.
fn check_partial(run: &Run, known: Option<&Moment>) -> Result<(), String> {
    let usage = run.usage();
    if let Some(reported) = known.and_then(|moment| moment.usage.as_ref()) {
        compare::check_usage(usage.as_ref(), Some(reported))
            .map_err(|wrong| format!("after the break: {wrong}"))?;
    }
    match &run.partial {
        Some(usage) if run.result.is_err() && usage.provenance == Provenance::ProviderFinal => {
            Err("the usage of an answer that broke off is called final".to_owned())
        }
        _ => Ok(()),
    }
}

impl Moment {
    /// Whether the stream may end here.
    fn may_end(&self) -> bool {
        self.fault.is_none()
    }
}

/// Ids and arguments of a choice's calls.
type Calls = Vec<(String, String)>;

/// How far an answer went: per choice the text, the thoughts, and the calls.
#[derive(Debug, PartialEq)]
struct Extent(Vec<(u32, String, String, Calls)>);

impl Extent {
    fn of(response: &ChatResponse) -> Self {
        let choice = |choice: &switchyard_data_plane::model::response::Choice| {
            let message = choice.message.clone();
            let calls = message.tool_calls.into_iter().map(|call| (call.id, call.arguments)).collect();
            (choice.index, message.content.unwrap_or_default(), message.reasoning.unwrap_or_default(), calls)
        };
        Self(response.choices.iter().map(choice).collect())
    }

    /// Whether all of it is the beginning of the other.
    fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|(index, text, thoughts, calls)| {
            let Some(more) = other.0.iter().find(|choice| choice.0 == *index) else { return false };
            let begins = |(one, more): (&(String, String), &(String, String))| {
                one.0 == more.0 && more.1.starts_with(&one.1)
            };
            more.1.starts_with(text)
                && more.2.starts_with(thoughts)
                && calls.len() <= more.3.len()
                && calls.iter().zip(&more.3).all(begins)
        })
    }
}

/// Where to cut: at every event and at three places inside, as far as the budget goes; the ends always.
fn cuts(moments: &[Moment], length: usize) -> Vec<usize> {
    let ends: Vec<usize> = moments.iter().map(|moment| moment.end).filter(|end| *end < length).collect();
    let mut start = 0_usize;
    let mut inside = Vec::new();
    for moment in moments {
        inside.extend([start + 1, start.midpoint(moment.end), moment.end - 1]);
        start = moment.end;
    }
    inside.retain(|cut| *cut > 0 && *cut < length);
    let mut cuts = thinned(&ends, length, CUT_BYTES / 4 * 3);
    cuts.extend(thinned(&inside, length, CUT_BYTES / 4));
    cuts.push(0);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// As many of them as the budget of bytes allows, evenly spread, and the last four.
fn thinned(cuts: &[usize], length: usize, budget: usize) -> Vec<usize> {
    let most = (budget * 2 / length.max(1)).max(4);
    let step = cuts.len().div_ceil(most).max(1);
    let tail = cuts.len().saturating_sub(4);
    cuts.iter().enumerate().filter(|(at, _)| at % step == 0 || *at >= tail).map(|(_, cut)| *cut).collect()
}
