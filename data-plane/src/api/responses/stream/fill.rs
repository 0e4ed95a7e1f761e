//! Items as they open and grow.

use bytes::BytesMut;
use serde_json::{Value, json};

use super::{Call, Open, StreamEncoder, Text};
use crate::api::responses::items::{self, annotation, output_text};
use crate::api::responses::reasoning::Thought;
use crate::api::steps::Said;
use crate::api::{calls, sealed};
use crate::model::message::{ToolCall, ToolKind};

impl StreamEncoder {
    /// Adds a piece of reasoning to the open item, or opens the next one.
    pub(super) fn think(&mut self, piece: &Value, out: &mut BytesMut) {
        if !self.thinks_on(piece) {
            self.close("completed", out);
            let id = piece.get("id").and_then(Value::as_str).map(str::to_owned);
            let id = id.unwrap_or_else(|| self.ids.item("rs", self.at()));
            let item = json!({"type": "reasoning", "id": id, "summary": [], "status": "in_progress"});
            let thought = Thought { id: Some(id), index: piece.get("index").cloned(), ..Thought::default() };
            self.add(item, Open::Thought(thought), out);
        }
        let Open::Thought(thought) = &mut self.open else { return };
        thought.keep_piece(piece);
        let text = sealed::text(piece);
        if text.is_empty() {
            return;
        }
        let is_summary = sealed::is_summary(piece);
        let so_far = if is_summary { &mut thought.summary } else { &mut thought.text };
        let is_first = so_far.is_empty();
        so_far.push_str(text);
        let id = thought.id.clone().unwrap_or_default();
        let (part, delta, kind) = match is_summary {
            true => (
                "response.reasoning_summary_part.added",
                "response.reasoning_summary_text.delta",
                "summary_text",
            ),
            false => ("response.content_part.added", "response.reasoning_text.delta", "reasoning_text"),
        };
        if is_first {
            let empty = json!({"type": kind, "text": ""});
            self.write(part, self.of_thought(&id, is_summary, "part", empty), out);
        }
        self.write(delta, self.of_thought(&id, is_summary, "delta", json!(text)), out);
    }

    fn thinks_on(&self, piece: &Value) -> bool {
        let Open::Thought(thought) = &self.open else { return false };
        let has_no_id = piece.get("id").is_none_or(Value::is_null);
        thought.continues(piece) || (has_no_id && thought.index.as_ref() == piece.get("index"))
    }

    /// An event about a part of the thought that is open.
    pub(super) fn of_thought(&self, id: &str, is_summary: bool, member: &str, value: Value) -> Value {
        let place = if is_summary { "summary_index" } else { "content_index" };
        json!({"item_id": id, "output_index": self.at(), place: 0, member: value})
    }

    pub(super) fn say(&mut self, said: Said, out: &mut BytesMut) {
        if !matches!(&self.open, Open::Message(open) if open.is_refusal == said.is_refusal) {
            self.close("completed", out);
            self.open_message(said.is_refusal, out);
        }
        let Open::Message(open) = &mut self.open else { return };
        open.text.push_str(&said.text);
        open.logprobs.extend(said.logprobs.iter().cloned());
        let (kind, event) = match said.is_refusal {
            true => ("response.refusal.delta", json!({"delta": said.text})),
            false => ("response.output_text.delta", json!({"delta": said.text, "logprobs": said.logprobs})),
        };
        self.write(kind, self.of_message(event), out);
    }

    fn open_message(&mut self, is_refusal: bool, out: &mut BytesMut) {
        let item = items::message(&self.ids.item("msg", self.at()), "in_progress", Vec::new());
        self.add(item, Open::Message(Text { is_refusal, ..Text::default() }), out);
        let part = match is_refusal {
            true => json!({"type": "refusal", "refusal": ""}),
            false => output_text("", &[], &[]),
        };
        self.write("response.content_part.added", self.of_message(json!({"part": part})), out);
    }

    /// An event about the only part of the message that is open.
    pub(super) fn of_message(&self, more: Value) -> Value {
        let id = self.ids.item("msg", self.at());
        let mut event = json!({"item_id": id, "output_index": self.at(), "content_index": 0});
        if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
            event.extend(more);
        }
        event
    }

    /// An annotation of the open message. One that comes when the text is closed is only in the whole answer.
    pub(super) fn annotate(&mut self, found: &Value, out: &mut BytesMut) {
        let Open::Message(open) = &mut self.open else {
            let texts =
                self.output.iter_mut().rev().filter_map(|item| item.pointer_mut("/content/0/annotations"));
            if let Some(Value::Array(annotations)) = texts.last() {
                annotations.push(annotation(found));
            }
            return;
        };
        open.annotations.push(found.clone());
        let index = open.annotations.len() - 1;
        let event = self.of_message(json!({"annotation_index": index, "annotation": annotation(found)}));
        self.write("response.output_text.annotation.added", event, out);
    }

    /// An image is an item of its own, whole at once.
    pub(super) fn draw(&mut self, image: &Value, out: &mut BytesMut) {
        self.close("completed", out);
        let id = self.ids.item("ig", self.at());
        let begun =
            json!({"type": "image_generation_call", "id": id, "status": "in_progress", "result": null});
        self.add(begun, Open::None, out);
        self.done(items::image(&id, image), out);
    }

    pub(super) fn call(&mut self, piece: &calls::Piece, out: &mut BytesMut) {
        if !matches!(&self.open, Open::Call(open) if open.at == piece.at) {
            self.close("completed", out);
            let (id, name) = (piece.id.clone(), piece.name.clone());
            let call = ToolCall { id, kind: piece.kind, name, arguments: String::new() };
            let item = items::call(&self.call_id(piece.kind), &call, "in_progress");
            self.add(item, Open::Call(Call { at: piece.at, call, is_whole: false }), out);
        }
        let Open::Call(open) = &mut self.open else { return };
        open.call.arguments.push_str(&piece.arguments);
        open.is_whole = piece.is_whole;
        if !piece.arguments.is_empty() {
            let id = self.call_id(piece.kind);
            let event = json!({"item_id": id, "output_index": self.at(), "delta": piece.arguments});
            self.write(call_event(piece.kind, false), event, out);
        }
    }

    /// The id of the call that is open, or of the next one.
    pub(super) fn call_id(&self, kind: ToolKind) -> String {
        self.ids.item(items::prefix(kind), self.at())
    }

    fn add(&mut self, item: Value, open: Open, out: &mut BytesMut) {
        self.write("response.output_item.added", json!({"output_index": self.at(), "item": item}), out);
        self.open = open;
    }
}

/// The events that a call's input comes in and ends with.
pub(super) fn call_event(kind: ToolKind, is_done: bool) -> &'static str {
    match (kind, is_done) {
        (ToolKind::Function, false) => "response.function_call_arguments.delta",
        (ToolKind::Function, true) => "response.function_call_arguments.done",
        (ToolKind::Custom, false) => "response.custom_tool_call_input.delta",
        (ToolKind::Custom, true) => "response.custom_tool_call_input.done",
    }
}
