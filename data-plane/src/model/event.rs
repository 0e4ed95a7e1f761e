//! A streamed answer in canonical form: events, in order, from whatever a provider sends.
//!
//! Every stream is [`Event::Start`], chunks, one [`Event::Tier`] where the start could not tell it, one [`Event::Usage`]
//! where usage is known, and [`Event::Done`].
//! Failures are no events: a decoder returns them, because only the pipeline knows what becomes of them.

use std::collections::BTreeMap;
use std::mem;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::model::message::{ToolCall, ToolKind};
use crate::model::response::{ChatResponse, Choice, Finish, FinishReason, ResponseMessage};
use crate::model::usage::Usage;

/// One step of a streamed answer.
#[derive(Debug, Clone)]
pub enum Event {
    /// The provider took the request. Exactly once, first; says nothing about success.
    Start(Start),
    /// Pieces of one or more choices.
    Chunk(Chunk),
    /// The tier that served, where the start did not say it or said another. At most once, before the counts.
    Tier(String),
    /// The final counts. At most once, after all chunks.
    Usage(Usage),
    /// The provider ended the answer properly. Exactly once, last.
    Done,
}

impl Event {
    /// Whether the caller would see something of the answer: the commit point.
    ///
    /// Role-only chunks, empty strings and finish reasons are lifecycle, not content.
    pub fn is_content(&self) -> bool {
        match self {
            Self::Chunk(chunk) => chunk.choices.iter().any(|choice| choice.delta.is_content()),
            Self::Start(_) | Self::Tier(_) | Self::Usage(_) | Self::Done => false,
        }
    }
}

/// What a provider says of itself at the beginning of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// The provider's id of the answer.
    pub id: Option<String>,
    pub model: Option<String>,
    /// Unix seconds.
    pub created: Option<u64>,
    pub service_tier: Option<String>,
    pub system_fingerprint: Option<String>,
}

/// What one upstream event adds to the answer.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    pub choices: Vec<ChoiceDelta>,
    /// The upstream chunk where it is of the chat-completions dialect: members that nobody knows survive.
    pub raw: Option<Bytes>,
    /// Whether the `choices` inside `raw` are already canonical and may be printed as they are.
    pub raw_choices: bool,
}

/// What one upstream event adds to one choice.
#[derive(Debug, Clone, Default)]
pub struct ChoiceDelta {
    pub index: u32,
    pub delta: Delta,
    /// Present exactly once per choice, on its last delta.
    pub finish: Option<Finish>,
    pub logprobs: Option<Box<RawValue>>,
}

/// Pieces to append to a choice's message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delta {
    pub content: Option<String>,
    pub refusal: Option<String>,
    /// Mirrors the text and summaries in `reasoning_details`.
    pub reasoning: Option<String>,
    /// Pieces that a client joins by type and index.
    pub reasoning_details: Vec<Value>,
    pub tool_calls: Vec<ToolDelta>,
    pub annotations: Vec<Value>,
    pub images: Vec<Value>,
    pub audio: Option<Value>,
}

impl Delta {
    /// A whole message as one piece.
    pub fn of(message: &ResponseMessage) -> Self {
        let message = message.clone();
        let calls = message.tool_calls.into_iter().enumerate().map(|(index, call)| ToolDelta {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            id: Some(call.id),
            kind: call.kind,
            name: Some(call.name),
            arguments: call.arguments,
        });
        Self {
            content: message.content,
            refusal: message.refusal,
            reasoning: message.reasoning,
            reasoning_details: message.reasoning_details,
            tool_calls: calls.collect(),
            annotations: message.annotations,
            images: message.images,
            audio: message.audio,
        }
    }

    /// Whether a caller would see something: text, reasoning, a refusal, a tool call, an image, sound.
    pub fn is_content(&self) -> bool {
        let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        said(&self.content)
            || said(&self.reasoning)
            || said(&self.refusal)
            || !self.tool_calls.is_empty()
            || !self.reasoning_details.is_empty()
            || !self.images.is_empty()
            || self.audio.is_some()
    }

    /// Bytes of output text in this piece, for estimates of answers that break off.
    pub fn text_bytes(&self) -> usize {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let tools = self.tool_calls.iter().map(|call| call.arguments.len() + len(&call.name));
        len(&self.content) + len(&self.reasoning) + len(&self.refusal) + tools.sum::<usize>()
    }
}

/// The opening of a tool call (it has `id` and `name`) or a fragment of its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolDelta {
    /// Counts tool calls of the choice only, from 0, in order of first appearance.
    pub index: u32,
    pub id: Option<String>,
    pub kind: ToolKind,
    pub name: Option<String>,
    /// An arbitrary cut of the arguments' JSON text; may be empty.
    pub arguments: String,
}

/// Builds the whole answer from its events.
#[derive(Debug, Default)]
pub struct Fold {
    response: ChatResponse,
    /// Pieces of log probabilities by the index of their choice.
    logprobs: BTreeMap<u32, Vec<Box<RawValue>>>,
}

/// Among so many of the last reasoning details the one that a piece continues is looked for.
const OPEN_DETAILS: usize = 1000;

impl Fold {
    /// Takes the next event.
    pub fn push(&mut self, event: &Event) {
        match event {
            Event::Start(start) => self.start(start),
            Event::Chunk(chunk) => chunk.choices.iter().for_each(|choice| self.choice(choice)),
            Event::Tier(tier) => self.response.service_tier = Some(tier.clone()),
            Event::Usage(usage) => self.response.usage = Some(*usage),
            Event::Done => {}
        }
    }

    /// The answer as far as it went, choices in order of their index.
    pub fn finish(mut self) -> ChatResponse {
        for choice in &mut self.response.choices {
            choice.logprobs = self.logprobs.remove(&choice.index).and_then(join_logprobs);
        }
        self.response.choices.sort_by_key(|choice| choice.index);
        self.response
    }

    fn start(&mut self, start: &Start) {
        let Start { id, model, created, service_tier, system_fingerprint } = start.clone();
        self.response = ChatResponse {
            id,
            model,
            created,
            service_tier,
            system_fingerprint,
            ..mem::take(&mut self.response)
        };
    }

    fn choice(&mut self, piece: &ChoiceDelta) {
        let choices = &mut self.response.choices;
        let at = choices.iter().position(|choice| choice.index == piece.index).unwrap_or_else(|| {
            choices.push(Choice { index: piece.index, ..Choice::default() });
            choices.len() - 1
        });
        let choice = &mut choices[at];
        join(choice, &piece.delta);
        if let Some(finish) = &piece.finish {
            choice.finish = finish.clone();
        }
        if let Some(logprobs) = &piece.logprobs {
            self.logprobs.entry(piece.index).or_default().push(logprobs.clone());
        }
    }
}

/// Turns a finished sequence of events into the answer that they tell.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> ChatResponse {
    let mut fold = Fold::default();
    events.into_iter().for_each(|event| fold.push(event));
    fold.finish()
}

/// The reason to report when a provider said it stopped: client tool calls make it `tool_calls`.
pub fn with_tools(reason: FinishReason, has_tool_calls: bool) -> FinishReason {
    match (reason, has_tool_calls) {
        (FinishReason::Stop, true) => FinishReason::ToolCalls,
        (reason, _) => reason,
    }
}

fn join(choice: &mut Choice, delta: &Delta) {
    let message = &mut choice.message;
    append(&mut message.content, &delta.content);
    append(&mut message.refusal, &delta.refusal);
    append(&mut message.reasoning, &delta.reasoning);
    delta.reasoning_details.iter().for_each(|piece| join_reasoning(&mut message.reasoning_details, piece));
    delta.tool_calls.iter().for_each(|piece| join_tool(&mut message.tool_calls, piece));
    message.annotations.extend(delta.annotations.iter().cloned());
    message.images.extend(delta.images.iter().cloned());
    if let Some(piece) = &delta.audio {
        join_audio(message.audio.get_or_insert_with(|| Value::Object(Map::new())), piece);
    }
}

fn append(text: &mut Option<String>, piece: &Option<String>) {
    if let Some(piece) = piece {
        text.get_or_insert_default().push_str(piece);
    }
}

fn join_tool(calls: &mut Vec<ToolCall>, piece: &ToolDelta) {
    let at = piece.index as usize;
    if calls.len() <= at {
        calls.resize_with(at + 1, ToolCall::default);
    }
    let call = &mut calls[at];
    if let Some(id) = &piece.id {
        call.id.clone_from(id);
        call.kind = piece.kind;
    }
    if let Some(name) = &piece.name {
        call.name.push_str(name);
    }
    call.arguments.push_str(&piece.arguments);
}

/// Joins pieces of `reasoning_details` into whole ones, in order.
pub fn join_details(pieces: &[Value]) -> Vec<Value> {
    let mut details = Vec::with_capacity(pieces.len());
    pieces.iter().for_each(|piece| join_reasoning(&mut details, piece));
    details
}

/// Adds a piece to the details so far. Text, summaries and signatures of one detail arrive in pieces that share type and
/// index.
pub fn join_reasoning(details: &mut Vec<Value>, piece: &Value) {
    let same = |detail: &&mut Value| {
        detail.get("type") == piece.get("type")
            && detail.get("index").is_some()
            && detail.get("index") == piece.get("index")
    };
    let Some(Value::Object(detail)) = details.iter_mut().rev().take(OPEN_DETAILS).find(same) else {
        details.push(piece.clone());
        return;
    };
    let Value::Object(piece) = piece else { return };
    for (key, value) in piece {
        match (key.as_str(), detail.get_mut(key), value) {
            ("text" | "summary" | "data", Some(Value::String(text)), Value::String(more)) => {
                text.push_str(more);
            }
            (_, Some(known), Value::Null) if !known.is_null() => {}
            _ => {
                detail.insert(key.clone(), value.clone());
            }
        }
    }
}

fn join_audio(audio: &mut Value, piece: &Value) {
    let (Value::Object(audio), Value::Object(piece)) = (audio, piece) else { return };
    for (key, value) in piece {
        match (key.as_str(), audio.get_mut(key), value) {
            ("data" | "transcript", Some(Value::String(text)), Value::String(more)) => text.push_str(more),
            _ => {
                audio.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Log probabilities are lists under `content` and `refusal`; pieces are appended, all at once since they are many.
fn join_logprobs(mut pieces: Vec<Box<RawValue>>) -> Option<Box<RawValue>> {
    if pieces.len() < 2 {
        return pieces.pop();
    }
    let mut objects = pieces.iter().map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap_or_default());
    let all = match objects.next() {
        Some(Value::Object(mut all)) => {
            objects.for_each(|more| append_lists(&mut all, more));
            serde_json::value::to_raw_value(&all).ok()
        }
        _ => None,
    };
    all.or_else(|| pieces.into_iter().next())
}

fn append_lists(all: &mut Map<String, Value>, more: Value) {
    let Value::Object(more) = more else { return };
    for (key, value) in more {
        match (all.get_mut(&key), value) {
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (None | Some(Value::Null), value) => {
                all.insert(key, value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_log_probabilities_are_appended() {
        for (pieces, expected) in [
            (&[r#"{ "content":[1] }"#][..], r#"{ "content":[1] }"#),
            (
                &[r#"{"content":[1],"refusal":null}"#, "7", r#"{"content":[2,3],"refusal":[4]}"#],
                r#"{"content":[1,2,3],"refusal":[4]}"#,
            ),
            (&["null", r#"{"content":[1]}"#], "null"),
        ] {
            let events = pieces.iter().map(|piece| {
                let logprobs = Some(RawValue::from_string((*piece).to_owned()).unwrap());
                let choices = vec![ChoiceDelta { logprobs, ..ChoiceDelta::default() }];
                Event::Chunk(Chunk { choices, ..Chunk::default() })
            });
            let answer = fold(&events.collect::<Vec<_>>());
            assert_eq!(answer.choices[0].logprobs.as_ref().map(|raw| raw.get()), Some(expected));
        }
    }
}
