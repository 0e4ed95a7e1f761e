//! An answer as it is told, block by block: the state that whole and streamed answers share.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::adapters::cohere::citation::{annotations, logprobs};
use crate::adapters::cohere::error::broke_off;
use crate::adapters::cohere::names::{PLAN_ID, THINKING_ID};
use crate::adapters::cohere::usage;
use crate::adapters::{Context, Failure};
use crate::model::event::{ChoiceDelta, Chunk, Delta, Event, Start, ToolDelta, with_tools};
use crate::model::response::{Finish, FinishReason};
use crate::model::usage::Usage;

/// What is known of an answer so far.
#[derive(Debug)]
pub struct Telling {
    context: Context,
    id: Option<String>,
    started: bool,
    ended: bool,
    usage: Option<Usage>,
    /// Where texts begin in the content, by the provider's index, in characters.
    texts: BTreeMap<u64, usize>,
    /// Characters of content so far.
    said: usize,
    /// Numbers of thoughts, by the provider's index; the plan has none.
    thoughts: BTreeMap<Option<u64>, u64>,
    calls: Vec<Call>,
}

/// What is known of one tool call so far.
#[derive(Debug)]
struct Call {
    /// The provider's number.
    number: u64,
    has_arguments: bool,
}

impl Telling {
    /// Nothing told yet.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            id: None,
            started: false,
            ended: false,
            usage: None,
            texts: BTreeMap::new(),
            said: 0,
            thoughts: BTreeMap::new(),
            calls: Vec::new(),
        }
    }

    /// Whether the provider took the request.
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// Whether the answer has ended properly.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The counts reported so far.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The beginning; Cohere names neither model nor time.
    pub fn start(&mut self, id: Option<&str>, events: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            self.id = id.map(str::to_owned);
            events.push(Event::Start(Start { id: self.id.clone(), ..Start::default() }));
        }
    }

    /// A piece of a content block: text or thinking, and its probabilities.
    pub fn content(&mut self, index: u64, block: &mut Value, odds: &Value, events: &mut Vec<Event>) {
        if let Some(thinking) = take(block, "thinking") {
            self.think(Some(index), THINKING_ID, thinking, events);
        }
        let text = take(block, "text");
        let logprobs = logprobs(odds);
        if text.is_none() && logprobs.is_none() {
            return;
        }
        if let Some(text) = &text {
            self.texts.entry(index).or_insert(self.said);
            self.said += text.chars().count();
        }
        let delta = Delta { content: text, ..Delta::default() };
        push(events, ChoiceDelta { delta, logprobs, ..ChoiceDelta::default() });
    }

    /// A piece of what the model says before it calls tools.
    pub fn plan(&mut self, plan: String, events: &mut Vec<Event>) {
        if !plan.is_empty() {
            self.think(None, PLAN_ID, plan, events);
        }
    }

    fn think(&mut self, block: Option<u64>, id: &str, text: String, events: &mut Vec<Event>) {
        if self.context.hide_reasoning {
            return;
        }
        let next = self.thoughts.len() as u64;
        let index = *self.thoughts.entry(block).or_insert(next);
        let detail =
            json!({"type": "reasoning.text", "text": text, "id": id, "format": "unknown", "index": index});
        let delta = Delta { reasoning: Some(text), reasoning_details: vec![detail], ..Delta::default() };
        push(events, ChoiceDelta { delta, ..ChoiceDelta::default() });
    }

    /// The opening of a tool call, with arguments or without.
    pub fn open(&mut self, number: u64, call: &mut Value, events: &mut Vec<Event>) {
        let at = self.calls.len();
        let id = call["id"].as_str().filter(|id| !id.is_empty());
        let id = id.map_or_else(|| self.own_id(at), str::to_owned);
        let name = self.context.client_name(call["function"]["name"].as_str().unwrap_or_default()).to_owned();
        let arguments = arguments(call);
        self.calls.push(Call { number, has_arguments: !arguments.is_empty() });
        let call = ToolDelta {
            index: u32::try_from(at).unwrap_or(u32::MAX),
            id: Some(id),
            name: Some(name),
            arguments,
            ..ToolDelta::default()
        };
        push_call(events, call);
    }

    /// A piece of a call's arguments.
    pub fn fill(&mut self, number: u64, call: &mut Value, events: &mut Vec<Event>) {
        let arguments = arguments(call);
        let Some(at) = self.calls.iter().rposition(|call| call.number == number) else { return };
        if !arguments.is_empty() {
            self.calls[at].has_arguments = true;
            let index = u32::try_from(at).unwrap_or(u32::MAX);
            push_call(events, ToolDelta { index, arguments, ..ToolDelta::default() });
        }
    }

    /// A citation; those of plans and thoughts are about no text of the answer.
    pub fn cite(&mut self, citation: &Value, events: &mut Vec<Event>) {
        if !matches!(citation["type"].as_str(), None | Some("TEXT_CONTENT")) {
            return;
        }
        let start = citation["content_index"].as_u64().and_then(|index| self.texts.get(&index));
        let annotations = annotations(citation, start.copied().unwrap_or(0));
        if !annotations.is_empty() {
            let delta = Delta { annotations, ..Delta::default() };
            push(events, ChoiceDelta { delta, ..ChoiceDelta::default() });
        }
    }

    /// The end: `said` holds `finish_reason`, `usage` and what went wrong.
    ///
    /// # Errors
    /// [`Failure`] where the answer broke off.
    pub fn end(&mut self, said: &Value, events: &mut Vec<Event>) -> Result<(), Failure> {
        self.usage = usage::parse(&said["usage"]).or(self.usage);
        let native = said["finish_reason"].as_str();
        let reason = match native {
            Some(reason @ ("ERROR" | "TIMEOUT" | "USER_CANCEL")) => return Err(broke_off(reason, said)),
            Some("MAX_TOKENS" | "ERROR_LIMIT") => FinishReason::Length,
            Some("TOOL_CALL" | "TOOL_CALLS") => FinishReason::ToolCalls,
            Some("ERROR_TOXIC") => FinishReason::ContentFilter,
            _ => FinishReason::Stop,
        };
        let mut last = ChoiceDelta::default();
        if reason != FinishReason::Length {
            last.delta.tool_calls = self.bare_calls();
        }
        let reason = with_tools(reason, !self.calls.is_empty());
        last.finish = Some(Finish { reason, native: native.map(str::to_owned) });
        push(events, last);
        events.extend(self.usage.map(Event::Usage));
        events.push(Event::Done);
        self.ended = true;
        Ok(())
    }

    /// Calls without arguments get the empty object, which every client can parse.
    fn bare_calls(&self) -> Vec<ToolDelta> {
        let bare = self.calls.iter().enumerate().filter(|(_, call)| !call.has_arguments);
        let empty = |(at, _)| ToolDelta {
            index: u32::try_from(at).unwrap_or(u32::MAX),
            arguments: "{}".to_owned(),
            ..ToolDelta::default()
        };
        bare.map(empty).collect()
    }

    /// An id for a call that has none, the same for the same place in the same answer.
    fn own_id(&self, at: usize) -> String {
        let answer = self.id.as_deref().unwrap_or_default();
        format!("call_{:08x}_{at}", crc32fast::hash(answer.as_bytes()))
    }
}

fn push(events: &mut Vec<Event>, choice: ChoiceDelta) {
    events.push(Event::Chunk(Chunk { choices: vec![choice], ..Chunk::default() }));
}

fn push_call(events: &mut Vec<Event>, call: ToolDelta) {
    let delta = Delta { tool_calls: vec![call], ..Delta::default() };
    push(events, ChoiceDelta { delta, ..ChoiceDelta::default() });
}

/// A member that is text, unless it is empty.
fn take(value: &mut Value, name: &str) -> Option<String> {
    match value.get_mut(name).map(Value::take) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// The arguments of a call: JSON text, at times the JSON itself.
fn arguments(call: &mut Value) -> String {
    match call.pointer_mut("/function/arguments").map(Value::take) {
        Some(Value::String(text)) => text,
        None | Some(Value::Null) => String::new(),
        Some(json) => json.to_string(),
    }
}
