//! Streamed answers: named events that open, fill and close one block after another.

use bytes::BytesMut;
use serde_json::{Value, json};

use crate::api::messages::answer::{message, stop_reason, usage_json};
use crate::api::messages::error::write_error;
use crate::api::messages::thoughts;
use crate::api::steps::{Step, Steps};
use crate::api::{AnswerFacts, Bill, ErrorBody, calls, sealed};
use crate::model::event::Event;
use crate::model::response::ChatResponse;
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
    steps: Steps,
    metadata: Option<Value>,
}

/// The block that is being filled.
#[derive(Debug)]
enum Open {
    None,
    Text,
    /// Reasoning: what is known of the detail besides its text. One, unless its pieces have no index.
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
            steps: Steps::default(),
            metadata: None,
        }
    }

    /// Appends what an event shows.
    pub fn event(&mut self, event: &Event, out: &mut BytesMut) {
        let steps = self.steps.take(event);
        self.tell(steps, out);
    }

    /// Appends a whole answer as if it had been streamed; counts and end are not in it.
    pub fn replay(&mut self, response: &ChatResponse, out: &mut BytesMut) {
        let steps = self.steps.replay(response);
        self.tell(steps, out);
    }

    /// Appends why it stopped and the final counts.
    pub fn usage(&mut self, usage: &Usage, bill: &Bill, out: &mut BytesMut) {
        self.begin(out);
        let steps = self.steps.end();
        self.tell(steps, out);
        self.close(out);
        self.metadata.clone_from(&bill.metadata);
        let delta = json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(&self.steps.finish), "stop_sequence": null},
            "usage": usage_json(usage, self.steps.tier.as_deref(), Some(bill)),
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
        let usage = usage_json(&Usage::default(), self.steps.tier.as_deref(), None);
        let start = json!({"type": "message_start", "message": message(&self.facts, Vec::new(), usage)});
        sse::write_event(out, "message_start", start.to_string().as_bytes());
    }

    /// Annotations, images and log probabilities have no place in this dialect.
    fn tell(&mut self, steps: Vec<Step>, out: &mut BytesMut) {
        for step in steps {
            self.begin(out);
            match step {
                Step::Think(piece) => self.think(&piece, out),
                Step::Say(said) if !said.text.is_empty() => self.say(&said.text, out),
                Step::Call(piece) => self.call(&piece, out),
                Step::Say(_) | Step::Annotate(_) | Step::Draw(_) => {}
            }
        }
    }

    fn say(&mut self, text: &str, out: &mut BytesMut) {
        if !matches!(self.open, Open::Text) {
            self.close(out);
            self.start(json!({"type": "text", "text": ""}), Open::Text, out);
        }
        self.fill(json!({"type": "text_delta", "text": text}), out);
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
            sealed::keep(pieces, piece);
        }
    }

    /// Opens a call's block, or adds to it.
    fn call(&mut self, piece: &calls::Piece, out: &mut BytesMut) {
        if !matches!(self.open, Open::Call(open) if open == piece.at) {
            self.close(out);
            let block = json!({"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}});
            self.start(block, Open::Call(piece.at), out);
        }
        if !piece.arguments.is_empty() {
            self.fill(json!({"type": "input_json_delta", "partial_json": piece.arguments}), out);
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
                let signature = pieces.first().map(thoughts::signature).unwrap_or_default();
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

#[cfg(test)]
mod tests;
