//! Items as they close.

use bytes::BytesMut;
use serde_json::{Value, json};

use super::fill::call_event;
use super::{Call, Open, StreamEncoder, Text};
use crate::api::responses::items::{self, output_text};
use crate::api::responses::reasoning::Thought;
use crate::model::message::ToolKind;

impl StreamEncoder {
    /// Closes the open item, if there is one. Text has the status; whether a call is whole shows in its arguments.
    pub(super) fn close(&mut self, status: &str, out: &mut BytesMut) {
        let item = match std::mem::replace(&mut self.open, Open::None) {
            Open::None => return,
            Open::Thought(thought) => self.close_thought(&thought, status, out),
            Open::Message(open) => self.close_message(&open, status, out),
            Open::Call(open) => self.close_call(&open, out),
        };
        self.done(item, out);
    }

    /// Says that an item is done, and keeps it for the whole answer.
    pub(super) fn done(&mut self, item: Value, out: &mut BytesMut) {
        let event = json!({"output_index": self.at(), "item": item.clone()});
        self.write("response.output_item.done", event, out);
        self.output.push(item);
    }

    fn close_thought(&mut self, thought: &Thought, status: &str, out: &mut BytesMut) -> Value {
        let id = thought.id.clone().unwrap_or_default();
        if !thought.summary.is_empty() {
            let text = self.of_thought(&id, true, "text", json!(thought.summary));
            self.write("response.reasoning_summary_text.done", text, out);
            let part = json!({"type": "summary_text", "text": thought.summary});
            let part = self.of_thought(&id, true, "part", part);
            self.write("response.reasoning_summary_part.done", part, out);
        }
        if !thought.text.is_empty() {
            let text = self.of_thought(&id, false, "text", json!(thought.text));
            self.write("response.reasoning_text.done", text, out);
            let part = json!({"type": "reasoning_text", "text": thought.text});
            let part = self.of_thought(&id, false, "part", part);
            self.write("response.content_part.done", part, out);
        }
        thought.item(&id, status)
    }

    fn close_message(&mut self, open: &Text, status: &str, out: &mut BytesMut) -> Value {
        let part = match open.is_refusal {
            true => {
                self.write("response.refusal.done", self.of_message(json!({"refusal": open.text})), out);
                json!({"type": "refusal", "refusal": open.text})
            }
            false => {
                let event = self.of_message(json!({"text": open.text, "logprobs": open.logprobs}));
                self.write("response.output_text.done", event, out);
                output_text(&open.text, &open.annotations, &open.logprobs)
            }
        };
        self.write("response.content_part.done", self.of_message(json!({"part": part.clone()})), out);
        items::message(&self.ids.item("msg", self.at()), status, vec![part])
    }

    /// Arguments that were cut off are never said to be done.
    fn close_call(&mut self, open: &Call, out: &mut BytesMut) -> Value {
        let (call, id) = (&open.call, self.call_id(open.call.kind));
        if self.is_cut && !open.is_whole {
            return items::call(&id, call, "incomplete");
        }
        let member = if call.kind == ToolKind::Custom { "input" } else { "arguments" };
        let event =
            json!({"item_id": id, "output_index": self.at(), "name": call.name, member: call.arguments});
        self.write(call_event(call.kind, true), event, out);
        items::call(&id, call, "completed")
    }
}
