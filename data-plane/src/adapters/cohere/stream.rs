//! Reads streamed answers: events that say what they are in `type`.

use bytes::Bytes;
use serde_json::Value;

use crate::adapters::cohere::error::inside_success;
use crate::adapters::cohere::telling::Telling;
use crate::adapters::{Context, Decoder, Failure};
use crate::model::event::Event;
use crate::model::usage::Usage;
use crate::wire::sse::{SseEvent, SseParser};

/// The push parser of this dialect.
#[derive(Debug)]
pub struct StreamDecoder {
    sse: SseParser,
    telling: Telling,
}

impl StreamDecoder {
    /// A parser at the beginning of a stream.
    pub fn new(context: Context) -> Self {
        Self { sse: SseParser::default(), telling: Telling::new(context) }
    }

    fn take(&mut self, event: &SseEvent, events: &mut Vec<Event>) -> Result<(), Failure> {
        if event.data.trim_ascii() == b"[DONE]" {
            return Err(Failure::malformed("a stream that broke off"));
        }
        let mut wire: Value = serde_json::from_slice(&event.data)
            .map_err(|_| Failure::malformed("an event that is no JSON"))?;
        let index = wire["index"].as_u64().unwrap_or(0);
        let kind = wire["type"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "message-start" => {
                self.telling.start(wire["id"].as_str(), events);
                return Ok(());
            }
            "error" => return Err(inside_success(&wire)),
            "" if wire["message"].is_string() || wire["error"].is_string() => {
                return Err(inside_success(&wire));
            }
            _ => {}
        }
        if !self.telling.has_started() {
            // What comes before the start is nobody's.
            return Ok(());
        }
        if kind == "message-end" {
            return self.telling.end(&wire["delta"], events);
        }
        let odds = member(&mut wire, "logprobs");
        let message = wire.pointer_mut("/delta/message").map(Value::take).unwrap_or_default();
        self.piece(&kind, index, message, &odds, events);
        Ok(())
    }

    fn piece(&mut self, kind: &str, index: u64, mut message: Value, odds: &Value, events: &mut Vec<Event>) {
        let mut get = |name| one(member(&mut message, name));
        match kind {
            "content-start" | "content-delta" => {
                self.telling.content(index, &mut get("content"), odds, events);
            }
            "tool-plan-delta" => {
                if let Value::String(plan) = get("tool_plan") {
                    self.telling.plan(plan, events);
                }
            }
            "tool-call-start" => self.telling.open(index, &mut get("tool_calls"), events),
            "tool-call-delta" => self.telling.fill(index, &mut get("tool_calls"), events),
            "citation-start" => self.telling.cite(&get("citations"), events),
            // Ends of blocks, debug lines, and whatever comes next year.
            _ => {}
        }
    }
}

/// A member taken out; null where there is none.
fn member(value: &mut Value, name: &str) -> Value {
    value.get_mut(name).map(Value::take).unwrap_or_default()
}

/// A single object, as streams have it under plural names, or the first of a list.
fn one(mut value: Value) -> Value {
    match value.get_mut(0) {
        Some(first) => first.take(),
        None => value,
    }
}

impl Decoder for StreamDecoder {
    fn push(&mut self, bytes: Bytes, events: &mut Vec<Event>) -> Result<(), Failure> {
        if self.telling.has_ended() {
            return Ok(());
        }
        self.sse.push(bytes);
        while !self.telling.has_ended()
            && let Some(event) = self.sse.next_event().map_err(|_| too_long())?
        {
            self.take(&event, events)?;
        }
        Ok(())
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        while !self.telling.has_ended()
            && let Some(event) = self.sse.finish().map_err(|_| too_long())?
        {
            self.take(&event, events)?;
        }
        if self.telling.has_ended() { Ok(()) } else { Err(Failure::malformed("a stream that broke off")) }
    }

    fn usage(&self) -> Option<Usage> {
        self.telling.usage().map(Usage::partial)
    }
}

fn too_long() -> Failure {
    Failure::malformed("an event that is too long")
}

#[cfg(test)]
mod tests;
