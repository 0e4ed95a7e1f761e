//! Streamed answers: named events that open, fill and close one block after another.

use bytes::BytesMut;
use serde_json::{Map, Value, json};

use crate::api::calls::Calls;
use crate::api::messages::answer::{message, stop_reason, usage_json};
use crate::api::messages::error::write_error;
use crate::api::messages::thoughts;
use crate::api::sealed;
use crate::api::{AnswerFacts, Bill, ErrorBody};
use crate::model::event::{Delta, Event, join_details};
use crate::model::response::{ChatResponse, Finish};
use crate::model::usage::Usage;
use crate::wire::sse;

/// Writes one streamed answer.
#[derive(Debug)]
pub struct StreamEncoder {
    facts: AnswerFacts,
    has_begun: bool,
    /// The next block's index.
    next: u32,
    open: Open,
    calls: Calls,
    finish: Finish,
    tier: Option<String>,
    metadata: Option<Value>,
}

/// The block that is being filled.
#[derive(Debug)]
enum Open {
    None,
    Text,
    /// Reasoning: what is known of the detail besides its text.
    Thinking(Vec<Value>),
    /// The call of this number.
    Call(usize),
}

impl StreamEncoder {
    /// An encoder for the answer that these facts tell of.
    pub fn new(facts: &AnswerFacts) -> Self {
        Self {
            facts: facts.clone(),
            has_begun: false,
            next: 0,
            open: Open::None,
            calls: Calls::default(),
            finish: Finish::default(),
            tier: None,
            metadata: None,
        }
    }

    /// Appends what an event shows.
    pub fn event(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Chunk(chunk) => {
                for choice in chunk.choices.iter().filter(|choice| choice.index == 0) {
                    self.delta(&choice.delta, out);
                    if let Some(finish) = &choice.finish {
                        self.finish = finish.clone();
                    }
                }
            }
            Event::Start(start) => self.tier.clone_from(&start.service_tier),
            Event::Tier(tier) => self.tier = Some(tier.clone()),
            Event::Usage(_) | Event::Done => {}
        }
    }

    /// Appends a whole answer as if it had been streamed; counts and end are not in it.
    pub fn replay(&mut self, response: &ChatResponse, out: &mut BytesMut) {
        self.tier.clone_from(&response.service_tier);
        let Some(choice) = response.choices.first() else { return };
        self.delta(&Delta::of(&choice.message), out);
        self.finish = choice.finish.clone();
    }

    /// Appends why it stopped and the final counts.
    pub fn usage(&mut self, usage: &Usage, bill: &Bill, out: &mut BytesMut) {
        self.begin(out);
        self.calls.end();
        self.fill_calls(out);
        self.close(out);
        self.metadata.clone_from(&bill.metadata);
        let delta = json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(&self.finish), "stop_sequence": null},
            "usage": usage_json(usage, self.tier.as_deref(), Some(bill)),
        });
        sse::write_event(out, "message_delta", delta.to_string().as_bytes());
    }

    /// Appends the end.
    pub fn done(&self, out: &mut BytesMut) {
        let mut stop = json!({"type": "message_stop"});
        if let Some(metadata) = &self.metadata {
            stop["openrouter_metadata"] = metadata.clone();
        }
        sse::write_event(out, "message_stop", stop.to_string().as_bytes());
    }

    /// Appends a failure, after which nothing comes.
    pub fn error(&mut self, error: &ErrorBody<'_>, out: &mut BytesMut) {
        write_error(error, &self.facts.id, out);
    }

    /// Appends what keeps the connection alive while there is nothing to say.
    pub fn keep_alive(out: &mut BytesMut) {
        sse::write_event(out, "ping", br#"{"type":"ping"}"#);
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let usage = usage_json(&Usage::default(), self.tier.as_deref(), None);
        let start = json!({"type": "message_start", "message": message(&self.facts, Vec::new(), usage)});
        sse::write_event(out, "message_start", start.to_string().as_bytes());
    }

    fn delta(&mut self, delta: &Delta, out: &mut BytesMut) {
        self.begin(out);
        match &delta.reasoning {
            Some(text) if delta.reasoning_details.is_empty() => self.think(&json!({"text": text}), out),
            _ => delta.reasoning_details.iter().for_each(|piece| self.think(piece, out)),
        }
        for text in [&delta.content, &delta.refusal].into_iter().flatten().filter(|text| !text.is_empty()) {
            if !matches!(self.open, Open::Text) {
                self.close(out);
                self.start(json!({"type": "text", "text": ""}), Open::Text, out);
            }
            self.fill(json!({"type": "text_delta", "text": text}), out);
        }
        if !delta.tool_calls.is_empty() {
            delta.tool_calls.iter().for_each(|piece| self.calls.take(piece));
            self.fill_calls(out);
        }
    }

    /// Adds a piece of reasoning to the open block, or opens the next one.
    fn think(&mut self, piece: &Value, out: &mut BytesMut) {
        if sealed::is_hidden(piece) {
            self.close(out);
            self.start(json!({"type": "redacted_thinking", "data": thoughts::data(piece)}), Open::Text, out);
            self.stop(out);
            return;
        }
        let continues = match &self.open {
            Open::Thinking(pieces) => pieces.last().is_none_or(|last| {
                (last.get("type"), last.get("index")) == (piece.get("type"), piece.get("index"))
            }),
            _ => false,
        };
        if !continues {
            self.close(out);
            self.start(
                json!({"type": "thinking", "thinking": "", "signature": ""}),
                Open::Thinking(Vec::new()),
                out,
            );
        }
        let text = sealed::text(piece);
        if !text.is_empty() {
            self.fill(json!({"type": "thinking_delta", "thinking": text}), out);
        }
        if let Open::Thinking(pieces) = &mut self.open {
            pieces.push(without_text(piece));
        }
    }

    /// Writes what the calls have to say, one call after the other.
    fn fill_calls(&mut self, out: &mut BytesMut) {
        while let Some((at, step)) = self.calls.next() {
            if !matches!(self.open, Open::Call(open) if open == at) {
                self.close(out);
                let block = json!({"type": "tool_use", "id": step.id, "name": step.name, "input": {}});
                self.start(block, Open::Call(at), out);
            }
            if !step.arguments.is_empty() {
                self.fill(json!({"type": "input_json_delta", "partial_json": step.arguments}), out);
            }
        }
    }

    fn start(&mut self, block: Value, open: Open, out: &mut BytesMut) {
        let event = json!({"type": "content_block_start", "index": self.next, "content_block": block});
        sse::write_event(out, "content_block_start", event.to_string().as_bytes());
        self.open = open;
    }

    fn fill(&self, delta: Value, out: &mut BytesMut) {
        let event = json!({"type": "content_block_delta", "index": self.next, "delta": delta});
        sse::write_event(out, "content_block_delta", event.to_string().as_bytes());
    }

    /// Closes the open block, if there is one; reasoning is signed before.
    fn close(&mut self, out: &mut BytesMut) {
        match &self.open {
            Open::None => return,
            Open::Thinking(pieces) => {
                let signature = join_details(pieces).first().map(thoughts::signature).unwrap_or_default();
                if !signature.is_empty() {
                    self.fill(json!({"type": "signature_delta", "signature": signature}), out);
                }
            }
            Open::Text | Open::Call(_) => {}
        }
        self.stop(out);
    }

    fn stop(&mut self, out: &mut BytesMut) {
        let event = json!({"type": "content_block_stop", "index": self.next});
        sse::write_event(out, "content_block_stop", event.to_string().as_bytes());
        self.open = Open::None;
        self.next += 1;
    }
}

/// Reasoning that was shown is not kept.
fn without_text(piece: &Value) -> Value {
    let members = piece.as_object().into_iter().flatten();
    let kept = members.filter(|(member, _)| !matches!(member.as_str(), "text" | "summary"));
    Value::Object(kept.map(|(member, value)| (member.clone(), value.clone())).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests;
