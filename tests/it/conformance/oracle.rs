//! What a recorded answer says, read from its JSON by rules of its own: the adapters are compared with this.
//!
//! Simple on purpose: every event is a parsed value, nothing is fast, and nothing here calls an adapter.

mod calls;
mod chat;
mod claude;
mod errors;
mod finish;
mod google;
mod others;
mod responses;
mod usage;

use std::collections::BTreeMap;

use serde_json::Value;
use switchyard_data_plane::adapters::FailureClass;

use super::exchange::{Api, Exchange};
use super::framing::{Frame, Framing, frames};

pub use self::calls::Called;
pub use self::errors::{Classes, retry_after, suspects};
pub use self::finish::ending;
pub use self::usage::Reported;

/// What one choice says.
#[derive(Debug, Clone, Default)]
pub struct Said {
    pub text: String,
    pub thoughts: String,
    pub refusal: String,
    pub calls: Vec<Called>,
    /// The provider's word for why it ended.
    pub finish: Option<String>,
}

/// A failure inside an answer that came with a success status.
#[derive(Debug, Clone)]
pub struct Fault {
    pub classes: Classes,
    /// Whether the answer may as well count as good: it was complete when the complaint came.
    pub is_optional: bool,
}

impl Fault {
    fn of(classes: &[FailureClass]) -> Self {
        Self { classes: Classes::of(classes), is_optional: false }
    }

    fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }
}

/// What an answer has told so far.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub choices: BTreeMap<u64, Said>,
    pub usage: Option<Reported>,
    pub fault: Option<Fault>,
    /// The dialect's own end mark was seen.
    pub is_sealed: bool,
    /// Whole items, where a dialect repeats what its pieces said.
    items: Vec<Value>,
    pieces: String,
    thinking_pieces: String,
    /// The last usage objects as sent.
    counts: Value,
}

impl Told {
    fn said(&mut self, choice: u64) -> &mut Said {
        self.choices.entry(choice).or_default()
    }

    fn fail(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// Whether every choice has an end.
    pub fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|said| said.finish.is_some())
    }
}

/// What was known after an event.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Bytes up to the event's end.
    pub end: usize,
    pub usage: Option<Reported>,
    pub fault: Option<Fault>,
    pub is_sealed: bool,
}

/// An answer with a success status as the oracle reads it.
#[derive(Debug, Clone)]
pub struct Reading {
    pub framing: Framing,
    pub told: Told,
    pub moments: Vec<Moment>,
}

impl Reading {
    pub fn is_stream(&self) -> bool {
        self.framing != Framing::Whole
    }

    /// Why the answer must fail, or may.
    pub fn fault(&self, api: Api) -> Option<Fault> {
        self.told.fault.clone().or_else(|| {
            let told = &self.told;
            let ended = told.is_sealed || told.is_finished() || !self.is_stream();
            let fault = Fault::of(&[FailureClass::Malformed]);
            if !ended || told.choices.is_empty() {
                return Some(fault);
            }
            // It said why it stops and then lacks its end mark: either is right where the dialect has one.
            let has_mark = !matches!(api, Api::Chat | Api::Google);
            (self.is_stream() && has_mark && !told.is_sealed).then(|| fault.optional())
        })
    }
}

/// Reads an answer with a success status.
pub fn read(api: Api, exchange: &Exchange) -> Reading {
    let (framing, frames) = frames(api, exchange);
    let (mut told, mut moments) = (Told::default(), Vec::with_capacity(frames.len()));
    let is_stream = framing != Framing::Whole;
    for frame in &frames {
        take(api, &mut told, frame, is_stream);
        let Told { usage, fault, is_sealed, .. } = told.clone_facts();
        moments.push(Moment { end: frame.end, usage, fault, is_sealed });
    }
    if api == Api::Responses {
        responses::settle(&mut told);
    }
    Reading { framing, told, moments }
}

impl Told {
    /// What a moment keeps, without the texts.
    fn clone_facts(&self) -> Self {
        let (usage, fault) = (self.usage.clone(), self.fault.clone());
        Self { usage, fault, is_sealed: self.is_sealed, ..Self::default() }
    }
}

fn take(api: Api, told: &mut Told, frame: &Frame, is_stream: bool) {
    if told.is_sealed {
        return;
    }
    match api {
        Api::Chat => chat::take(told, frame, is_stream),
        Api::Messages => claude::take(told, frame, is_stream),
        Api::Responses => responses::take(told, frame, is_stream),
        Api::Google => google::take(told, frame, is_stream),
        Api::Converse => others::converse(told, frame, is_stream),
        Api::Cohere => others::cohere(told, frame, is_stream),
        Api::Ollama => others::ollama(told, frame),
    }
}

/// A member's text, or nothing.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The elements of a list, or none.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A member's text where it is not empty.
fn word(value: &Value) -> Option<String> {
    value.as_str().filter(|word| !word.is_empty()).map(str::to_owned)
}
