//! Reads answers line by line; a whole answer is one line.

use std::mem;

use bytes::Bytes;
use chrono::DateTime;
use serde_json::json;

use crate::adapters::ollama::error::inside_success;
use crate::adapters::ollama::line::{Call, Line};
use crate::adapters::{Context, Decoder, Failure};
use crate::model::event::{ChoiceDelta, Chunk, Delta, Event, Start, ToolDelta, fold, with_tools};
use crate::model::response::{ChatResponse, Finish, FinishReason};
use crate::model::usage::Usage;
use crate::wire::lines::LineParser;

/// The `id` of Ollama's thinking, by which it is known when it comes back.
pub const THINKING_ID: &str = "ollama.thinking";

/// Reads a whole answer; a server that streams all the same is read, too.
pub fn whole(body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
    let (mut decoder, mut events) = (StreamDecoder::new(context.clone()), Vec::new());
    if serde_json::from_slice::<Line<'_>>(body).is_ok() {
        // Pretty-printed JSON is one line, too.
        decoder.take(body, &mut events)?;
    } else {
        decoder.push(body.clone(), &mut events)?;
    }
    decoder.finish(&mut events)?;
    Ok(fold(&events))
}

/// The push parser of this dialect.
#[derive(Debug)]
pub struct StreamDecoder {
    context: Context,
    lines: LineParser,
    started: bool,
    ended: bool,
    /// A checksum of what is this answer's own.
    answer: u32,
    calls: u32,
    has_content: bool,
    usage: Option<Usage>,
}

impl StreamDecoder {
    /// A parser at the beginning of a stream.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            lines: LineParser::default(),
            started: false,
            ended: false,
            answer: 0,
            calls: 0,
            has_content: false,
            usage: None,
        }
    }

    fn take(&mut self, line: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        let line: Line<'_> =
            serde_json::from_slice(line).map_err(|_| Failure::malformed("a line that is no JSON object"))?;
        if let Some(error) = line.error.filter(|error| error.get() != "null") {
            return Err(inside_success(error.get()));
        }
        if !line.is_answer() {
            return Ok(());
        }
        self.start(&line, events);
        self.message(&line, events);
        if line.is_done() { self.end(&line, events) } else { Ok(()) }
    }

    fn start(&mut self, line: &Line<'_>, events: &mut Vec<Event>) {
        if mem::replace(&mut self.started, true) {
            return;
        }
        let (model, at) = (line.model(), line.created_at());
        let own = format!("{} {}", model.as_deref().unwrap_or_default(), at.as_deref().unwrap_or_default());
        self.answer = crc32fast::hash(own.as_bytes());
        let created = at.and_then(|at| DateTime::parse_from_rfc3339(&at).ok());
        let created = created.and_then(|at| u64::try_from(at.timestamp()).ok());
        events.push(Event::Start(Start { model, created, ..Start::default() }));
    }

    fn message(&mut self, line: &Line<'_>, events: &mut Vec<Event>) {
        let message = line.message();
        let thinking = message.thinking();
        self.has_content |= thinking.is_some();
        let reasoning = thinking.filter(|_| !self.context.hide_reasoning);
        let detail = |text: &String| json!({"type": "reasoning.text", "text": text, "id": THINKING_ID, "format": "unknown", "index": 0});
        let delta = Delta {
            content: message.content(),
            reasoning_details: reasoning.iter().map(detail).collect(),
            reasoning,
            tool_calls: message.calls().iter().map(|call| self.call(call)).collect(),
            ..Delta::default()
        };
        let logprobs = line.logprobs();
        self.has_content |= delta.is_content();
        if delta.is_content() || logprobs.is_some() {
            push(events, ChoiceDelta { delta, logprobs, ..ChoiceDelta::default() });
        }
    }

    /// Calls come whole; their numbers start anew with every line in some versions, so the order counts.
    fn call(&mut self, call: &Call<'_>) -> ToolDelta {
        let index = self.calls;
        self.calls += 1;
        ToolDelta {
            index,
            id: Some(call.id().unwrap_or_else(|| format!("call_{:08x}_{index}", self.answer))),
            name: Some(self.context.client_name(&call.name()).to_owned()),
            arguments: call.arguments(),
            ..ToolDelta::default()
        }
    }

    fn end(&mut self, line: &Line<'_>, events: &mut Vec<Event>) -> Result<(), Failure> {
        let native = line.done_reason();
        self.usage = line.usage();
        if matches!(native.as_deref(), Some("load" | "unload")) && !self.has_content {
            return Err(Failure::malformed("word of loading a model instead of an answer"));
        }
        let reason = match native.as_deref() {
            Some("length") => FinishReason::Length,
            _ => FinishReason::Stop,
        };
        let finish = Finish { reason: with_tools(reason, self.calls > 0), native };
        push(events, ChoiceDelta { finish: Some(finish), ..ChoiceDelta::default() });
        events.extend(self.usage.map(Event::Usage));
        events.push(Event::Done);
        self.ended = true;
        Ok(())
    }
}

impl Decoder for StreamDecoder {
    fn push(&mut self, bytes: Bytes, events: &mut Vec<Event>) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        self.lines.push(bytes);
        while !self.ended
            && let Some(line) = self.lines.next_line().map_err(|_| too_long())?
        {
            self.take(&line, events)?;
        }
        Ok(())
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        while !self.ended
            && let Some(line) = self.lines.finish().map_err(|_| too_long())?
        {
            self.take(&line, events)?;
        }
        if self.ended { Ok(()) } else { Err(Failure::malformed("a stream that broke off")) }
    }

    fn usage(&self) -> Option<Usage> {
        self.usage.map(Usage::partial)
    }
}

fn push(events: &mut Vec<Event>, choice: ChoiceDelta) {
    events.push(Event::Chunk(Chunk { choices: vec![choice], ..Chunk::default() }));
}

fn too_long() -> Failure {
    Failure::malformed("a line that is too long")
}

#[cfg(test)]
mod tests;
