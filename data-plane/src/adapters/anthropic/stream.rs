//! Reads streamed answers: named events that open, fill and close blocks.

use std::mem;

use bytes::Bytes;
use serde_json::Value;

use crate::adapters::anthropic::answer::{annotation, encrypted, finish, refusal, service_tier, thought};
use crate::adapters::anthropic::error::inside_success;
use crate::adapters::anthropic::usage::Counts;
use crate::adapters::anthropic::wire::{Block, Delta as WireDelta, Message, StreamEvent};
use crate::adapters::shared::json_tool::unwrapped;
use crate::adapters::{Context, Decoder, Failure};
use crate::model::event::{ChoiceDelta, Chunk, Delta, Event, Start, ToolDelta};
use crate::model::usage::Usage;
use crate::wire::sse::{SseEvent, SseParser};

/// The push parser of this dialect.
#[derive(Debug)]
pub struct StreamDecoder {
    context: Context,
    sse: SseParser,
    started: bool,
    ended: bool,
    counts: Counts,
    stop_reason: Option<String>,
    stop_details: Option<Value>,
    /// Open blocks by the provider's index.
    blocks: Vec<(u64, State)>,
    thoughts: u64,
    calls: u32,
    /// Characters of content so far, which citations are counted in.
    said: usize,
    is_json: bool,
}

/// What an open block is.
#[derive(Debug)]
enum State {
    Text {
        start: usize,
        citations: Vec<Value>,
    },
    Thinking(u64),
    Tool {
        index: u32,
        has_arguments: bool,
    },
    /// The forced tool; a wrapped answer is kept until it can be unwrapped.
    Json {
        wrapped: Option<String>,
        has_arguments: bool,
    },
    Ignored,
}

impl StreamDecoder {
    /// A parser at the beginning of a stream.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            sse: SseParser::default(),
            started: false,
            ended: false,
            counts: Counts::default(),
            stop_reason: None,
            stop_details: None,
            blocks: Vec::new(),
            thoughts: 0,
            calls: 0,
            said: 0,
            is_json: false,
        }
    }

    fn take(&mut self, event: &SseEvent, events: &mut Vec<Event>) -> Result<(), Failure> {
        let wire: StreamEvent<'_> = serde_json::from_slice(&event.data)
            .map_err(|_| Failure::malformed("an event that is no JSON"))?;
        match wire.kind.as_ref() {
            "message_start" => {
                let message = wire.message.ok_or_else(|| Failure::malformed("a start without a message"))?;
                self.start(message, events);
            }
            "content_block_start" => {
                if let Some(block) = wire.content_block {
                    self.open(wire.index, block, events);
                }
            }
            "content_block_delta" => {
                if let Some(delta) = wire.delta {
                    self.fill(wire.index, delta, events);
                }
            }
            "content_block_stop" => self.close(wire.index, events),
            "message_delta" => self.turn(wire.delta, wire.usage.map(Counts::parse)),
            "message_stop" => return self.end(events),
            "error" => return Err(inside_success(wire.error.map_or("null", |error| error.get()))),
            // Pings, and whatever comes next year.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, message: Message<'_>, events: &mut Vec<Event>) {
        if mem::replace(&mut self.started, true) {
            return;
        }
        if let Some(usage) = message.usage {
            self.counts = Counts::parse(usage);
        }
        events.push(Event::Start(Start {
            id: message.id.map(Into::into),
            model: message.model.map(Into::into),
            service_tier: message.usage.and_then(|usage| service_tier(usage.get())),
            ..Start::default()
        }));
    }

    fn open(&mut self, index: u64, block: Block<'_>, events: &mut Vec<Event>) {
        let state = match block.kind.as_ref() {
            "text" if self.context.json_tool.is_none() => self.open_text(block, events),
            "thinking" => self.open_thinking(&block, events),
            "redacted_thinking" => self.redacted(&block, events),
            "tool_use" => self.open_tool(&block, events),
            _ => State::Ignored,
        };
        self.blocks.push((index, state));
    }

    fn open_text(&mut self, block: Block<'_>, events: &mut Vec<Event>) -> State {
        let start = self.said;
        self.say(block.text.unwrap_or_default().into_owned(), events);
        State::Text { start, citations: block.citations.unwrap_or_default() }
    }

    fn open_thinking(&mut self, block: &Block<'_>, events: &mut Vec<Event>) -> State {
        let index = self.thoughts;
        self.thoughts += 1;
        let (text, signature) = (block.thinking.as_deref().unwrap_or_default(), block.signature.as_deref());
        if !text.is_empty() || signature.is_some_and(|signature| !signature.is_empty()) {
            self.think(index, text, signature, events);
        }
        State::Thinking(index)
    }

    fn redacted(&mut self, block: &Block<'_>, events: &mut Vec<Event>) -> State {
        let index = self.thoughts;
        self.thoughts += 1;
        if !self.context.hide_reasoning {
            let detail = encrypted(index, block.data.as_deref().unwrap_or_default());
            push(events, Delta { reasoning_details: vec![detail], ..Delta::default() });
        }
        State::Ignored
    }

    fn open_tool(&mut self, block: &Block<'_>, events: &mut Vec<Event>) -> State {
        let name = block.name.as_deref().unwrap_or_default();
        // Deferred calls come complete; others start with an empty object.
        let arguments = block.arguments().unwrap_or_default();
        let has_arguments = !arguments.is_empty();
        if let Some(tool) = self.context.json_tool.as_ref().filter(|tool| tool.name == name) {
            self.is_json = true;
            let wrapped = tool.wrapped.then(|| arguments.clone());
            if wrapped.is_none() && has_arguments {
                self.say(arguments, events);
            }
            return State::Json { wrapped, has_arguments };
        }
        let index = self.calls;
        self.calls += 1;
        let call = ToolDelta {
            index,
            id: Some(block.id.clone().unwrap_or_default().into_owned()),
            name: Some(self.context.client_name(name).to_owned()),
            arguments,
            ..ToolDelta::default()
        };
        push(events, Delta { tool_calls: vec![call], ..Delta::default() });
        State::Tool { index, has_arguments }
    }

    fn fill(&mut self, index: u64, delta: WireDelta<'_>, events: &mut Vec<Event>) {
        let Some(at) = self.blocks.iter().rposition(|(known, _)| *known == index) else { return };
        match (&mut self.blocks[at].1, delta.kind.as_ref()) {
            (State::Text { .. }, "text_delta") => {
                self.say(delta.text.unwrap_or_default().into_owned(), events);
            }
            (State::Text { citations, .. }, "citations_delta") => citations.extend(delta.citation),
            (State::Thinking(index), "thinking_delta") => {
                let index = *index;
                self.think(index, delta.thinking.as_deref().unwrap_or_default(), None, events);
            }
            (State::Thinking(index), "signature_delta") => {
                let index = *index;
                self.think(index, "", delta.signature.as_deref(), events);
            }
            (State::Tool { index, has_arguments }, "input_json_delta") => {
                let arguments = delta.partial_json.unwrap_or_default().into_owned();
                if !arguments.is_empty() {
                    *has_arguments = true;
                    let call = ToolDelta { index: *index, arguments, ..ToolDelta::default() };
                    push(events, Delta { tool_calls: vec![call], ..Delta::default() });
                }
            }
            (State::Json { wrapped, has_arguments }, "input_json_delta") => {
                let piece = delta.partial_json.unwrap_or_default();
                *has_arguments |= !piece.is_empty();
                match wrapped {
                    Some(kept) => kept.push_str(&piece),
                    None => self.say(piece.into_owned(), events),
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, index: u64, events: &mut Vec<Event>) {
        let Some(at) = self.blocks.iter().rposition(|(known, _)| *known == index) else { return };
        match self.blocks.swap_remove(at).1 {
            State::Text { start, citations } => {
                let cited = citations.iter().filter_map(|cited| annotation(cited, start, self.said));
                let annotations: Vec<_> = cited.collect();
                if !annotations.is_empty() {
                    push(events, Delta { annotations, ..Delta::default() });
                }
            }
            State::Tool { index, has_arguments: false } => {
                let call = ToolDelta { index, arguments: "{}".to_owned(), ..ToolDelta::default() };
                push(events, Delta { tool_calls: vec![call], ..Delta::default() });
            }
            State::Json { wrapped: Some(kept), .. } => self.say(unwrapped(&kept), events),
            State::Json { wrapped: None, has_arguments: false } => self.say("{}".to_owned(), events),
            State::Tool { .. } | State::Json { .. } | State::Thinking(_) | State::Ignored => {}
        }
    }

    /// `message_delta`: why it stopped, and running totals.
    fn turn(&mut self, delta: Option<WireDelta<'_>>, counts: Option<Counts>) {
        if let Some(delta) = delta {
            self.stop_reason = delta.stop_reason.map(Into::into).or(self.stop_reason.take());
            self.stop_details = delta.stop_details.or(self.stop_details.take());
        }
        if let Some(counts) = counts {
            self.counts = self.counts.replaced_by(counts);
        }
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        if !self.started {
            return Err(Failure::malformed("a stream without an answer"));
        }
        let finish = finish(self.stop_reason.as_deref(), self.calls > 0, self.is_json);
        let refusal = refusal(finish.reason, self.stop_details.as_ref());
        let delta = Delta { refusal, ..Delta::default() };
        let last = ChoiceDelta { delta, finish: Some(finish), ..ChoiceDelta::default() };
        events.push(Event::Chunk(Chunk { choices: vec![last], ..Chunk::default() }));
        events.extend(self.counts.usage().map(Event::Usage));
        events.push(Event::Done);
        self.ended = true;
        Ok(())
    }

    fn say(&mut self, text: String, events: &mut Vec<Event>) {
        if !text.is_empty() {
            self.said += text.chars().count();
            push(events, Delta { content: Some(text), ..Delta::default() });
        }
    }

    fn think(&self, index: u64, text: &str, signature: Option<&str>, events: &mut Vec<Event>) {
        if self.context.hide_reasoning {
            return;
        }
        let reasoning = Some(text.to_owned()).filter(|text| !text.is_empty());
        let reasoning_details = vec![thought(index, text, signature)];
        push(events, Delta { reasoning, reasoning_details, ..Delta::default() });
    }
}

impl Decoder for StreamDecoder {
    fn push(&mut self, bytes: Bytes, events: &mut Vec<Event>) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        self.sse.push(bytes);
        while !self.ended
            && let Some(event) = self.sse.next_event().map_err(|_| too_long())?
        {
            self.take(&event, events)?;
        }
        Ok(())
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        while !self.ended
            && let Some(event) = self.sse.finish().map_err(|_| too_long())?
        {
            self.take(&event, events)?;
        }
        match (self.ended, &self.stop_reason) {
            (true, _) => Ok(()),
            (false, Some(_)) => self.end(events),
            (false, None) => Err(Failure::malformed("a stream that broke off")),
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.counts.usage().map(Usage::partial)
    }
}

fn push(events: &mut Vec<Event>, delta: Delta) {
    let choice = ChoiceDelta { delta, ..ChoiceDelta::default() };
    events.push(Event::Chunk(Chunk { choices: vec![choice], ..Chunk::default() }));
}

fn too_long() -> Failure {
    Failure::malformed("an event that is too long")
}

#[cfg(test)]
mod tests;
