//! Streamed answers: events with rising numbers that add items, fill them and close them.

use bytes::BytesMut;
use serde_json::{Map, Value, json};

use crate::api::calls::Calls;
use crate::api::responses::answer::{end, object};
use crate::api::responses::items::{self, Ids, annotation, output_text};
use crate::api::responses::reasoning::Thought;
use crate::api::{AnswerFacts, Bill, ErrorBody, sealed};
use crate::model::event::{Delta, Event};
use crate::model::message::{ToolCall, ToolKind};
use crate::model::response::{ChatResponse, Finish};
use crate::model::usage::Usage;
use crate::wire::sse;

/// Writes one streamed answer.
#[derive(Debug)]
pub struct StreamEncoder {
    facts: AnswerFacts,
    echo: Map<String, Value>,
    ids: Ids,
    sequence: u64,
    has_begun: bool,
    open: Open,
    /// Items that are closed.
    output: Vec<Value>,
    calls: Calls,
    finish: Finish,
    tier: Option<String>,
}

/// The item that is being filled.
#[derive(Debug)]
enum Open {
    None,
    Thought(Thought),
    Message(Text),
    /// The call of this number.
    Call(usize, ToolCall),
}

/// A message's text so far.
#[derive(Debug, Default)]
struct Text {
    text: String,
    annotations: Vec<Value>,
    is_refusal: bool,
}

impl StreamEncoder {
    /// An encoder for the answer that these facts tell of.
    pub fn new(facts: &AnswerFacts, echo: &Map<String, Value>) -> Self {
        Self {
            facts: facts.clone(),
            echo: echo.clone(),
            ids: Ids::of(&facts.id),
            sequence: 0,
            has_begun: false,
            open: Open::None,
            output: Vec::new(),
            calls: Calls::default(),
            finish: Finish::default(),
            tier: None,
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

    /// Appends a whole answer as if it had been streamed; its end is not in it.
    pub fn replay(&mut self, response: &ChatResponse, out: &mut BytesMut) {
        self.tier.clone_from(&response.service_tier);
        let Some(choice) = response.choices.first() else { return };
        self.delta(&Delta::of(&choice.message), out);
        self.finish = choice.finish.clone();
    }

    /// Appends the last event: the whole response with its counts. This dialect has no other end mark.
    pub fn usage(&mut self, usage: &Usage, bill: &Bill, out: &mut BytesMut) {
        self.begin(out);
        self.calls.end();
        self.fill_calls(out);
        self.close(out);
        let mut object = object(&self.facts, &self.echo, "in_progress", self.output.clone());
        end(&mut object, &self.finish, Some(usage), self.tier.as_deref(), bill);
        let kind = match object["status"].as_str() {
            Some("incomplete") => "response.incomplete",
            Some("failed") => "response.failed",
            _ => "response.completed",
        };
        self.write(kind, json!({"response": object}), out);
    }

    /// Appends a failure, after which nothing comes.
    pub fn error(&mut self, error: &ErrorBody<'_>, out: &mut BytesMut) {
        self.begin(out);
        self.close(out);
        let mut object = object(&self.facts, &self.echo, "failed", self.output.clone());
        object["error"] = json!({"code": code(error.status), "message": error.message});
        object["error_type"] = json!(error.code.error_type());
        if let Some(routing) = error.routing {
            object["openrouter_metadata"] = routing.clone();
        }
        self.write("response.failed", json!({"response": object}), out);
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let object = object(&self.facts, &self.echo, "in_progress", Vec::new());
        self.write("response.created", json!({"response": object.clone()}), out);
        self.write("response.in_progress", json!({"response": object}), out);
    }

    fn delta(&mut self, delta: &Delta, out: &mut BytesMut) {
        self.begin(out);
        match &delta.reasoning {
            Some(text) if delta.reasoning_details.is_empty() => self.think(&json!({"text": text}), out),
            _ => delta.reasoning_details.iter().for_each(|piece| self.think(piece, out)),
        }
        for (text, is_refusal) in [(&delta.content, false), (&delta.refusal, true)] {
            if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
                self.say(text, is_refusal, out);
            }
        }
        for found in &delta.annotations {
            self.annotate(found, out);
        }
        if !delta.tool_calls.is_empty() {
            delta.tool_calls.iter().for_each(|piece| self.calls.take(piece));
            self.fill_calls(out);
        }
    }

    fn at(&self) -> usize {
        self.output.len()
    }

    fn think(&mut self, piece: &Value, out: &mut BytesMut) {
        let index = piece.get("index").cloned();
        let continues = match &self.open {
            Open::Thought(thought) => {
                thought.continues(piece)
                    || (piece.get("id").is_none_or(Value::is_null) && thought.index == index)
            }
            _ => false,
        };
        if !continues {
            self.close(out);
            let id = piece.get("id").and_then(Value::as_str).map(str::to_owned);
            let id = id.unwrap_or_else(|| self.ids.item("rs", self.at()));
            let thought = Thought { id: Some(id.clone()), index, ..Thought::default() };
            let item = json!({"type": "reasoning", "id": id, "summary": [], "status": "in_progress"});
            self.add(item, Open::Thought(thought), out);
        }
        let Open::Thought(thought) = &mut self.open else { return };
        thought.keep_piece(piece);
        let (text, id) = (sealed::text(piece).to_owned(), thought.id.clone());
        if text.is_empty() {
            return;
        }
        let (place, is_summary) = (self.output.len(), sealed::is_summary(piece));
        let (so_far, member) = if is_summary {
            (&mut thought.summary, "summary_index")
        } else {
            (&mut thought.text, "content_index")
        };
        let is_first = so_far.is_empty();
        so_far.push_str(&text);
        let named = |more: Value| {
            let mut event = json!({"item_id": id, "output_index": place, member: 0});
            more.as_object()
                .into_iter()
                .flatten()
                .for_each(|(name, value)| event[name.as_str()] = value.clone());
            event
        };
        let (added, kind) = match is_summary {
            true => ("response.reasoning_summary_part.added", "summary_text"),
            false => ("response.content_part.added", "reasoning_text"),
        };
        if is_first {
            self.write(added, named(json!({"part": {"type": kind, "text": ""}})), out);
        }
        let kind = if is_summary {
            "response.reasoning_summary_text.delta"
        } else {
            "response.reasoning_text.delta"
        };
        self.write(kind, named(json!({"delta": text})), out);
    }

    fn say(&mut self, text: &str, is_refusal: bool, out: &mut BytesMut) {
        if !matches!(&self.open, Open::Message(open) if open.is_refusal == is_refusal) {
            self.close(out);
            let item = items::message(&self.ids.item("msg", self.at()), "in_progress", Vec::new());
            self.add(item, Open::Message(Text { is_refusal, ..Text::default() }), out);
            let part = match is_refusal {
                true => json!({"type": "refusal", "refusal": ""}),
                false => output_text("", &[]),
            };
            self.write("response.content_part.added", self.of_message(json!({"part": part})), out);
        }
        if let Open::Message(open) = &mut self.open {
            open.text.push_str(text);
        }
        let event = self.of_message(if is_refusal {
            json!({"delta": text})
        } else {
            json!({"delta": text, "logprobs": []})
        });
        self.write(
            if is_refusal { "response.refusal.delta" } else { "response.output_text.delta" },
            event,
            out,
        );
    }

    fn annotate(&mut self, found: &Value, out: &mut BytesMut) {
        let Open::Message(open) = &mut self.open else { return };
        open.annotations.push(found.clone());
        let index = open.annotations.len() - 1;
        let event = self.of_message(json!({"annotation_index": index, "annotation": annotation(found)}));
        self.write("response.output_text.annotation.added", event, out);
    }

    fn of_message(&self, more: Value) -> Value {
        let mut event = json!({"item_id": self.ids.item("msg", self.at()), "output_index": self.at(), "content_index": 0});
        more.as_object().into_iter().flatten().for_each(|(name, value)| event[name.as_str()] = value.clone());
        event
    }

    fn fill_calls(&mut self, out: &mut BytesMut) {
        while let Some((at, step)) = self.calls.next() {
            if !matches!(self.open, Open::Call(open, _) if open == at) {
                self.close(out);
                let call =
                    ToolCall { id: step.id, kind: step.kind, name: step.name, arguments: String::new() };
                let id = self.ids.item(items::prefix(call.kind), self.at());
                self.add(items::call(&id, &call, "in_progress"), Open::Call(at, call), out);
            }
            let Open::Call(_, call) = &mut self.open else { continue };
            call.arguments.push_str(&step.arguments);
            let (kind, id) = (call.kind, self.ids.item(items::prefix(call.kind), self.output.len()));
            if !step.arguments.is_empty() {
                let event = json!({"item_id": id, "output_index": self.at(), "delta": step.arguments});
                self.write(call_event(kind, false), event, out);
            }
        }
    }

    fn add(&mut self, item: Value, open: Open, out: &mut BytesMut) {
        self.write("response.output_item.added", json!({"output_index": self.at(), "item": item}), out);
        self.open = open;
    }

    /// Closes the open item, if there is one.
    fn close(&mut self, out: &mut BytesMut) {
        let item = match std::mem::replace(&mut self.open, Open::None) {
            Open::None => return,
            Open::Thought(thought) => self.close_thought(&thought, out),
            Open::Message(open) => self.close_message(&open, out),
            Open::Call(_, call) => {
                let id = self.ids.item(items::prefix(call.kind), self.at());
                let member = if call.kind == ToolKind::Custom { "input" } else { "arguments" };
                let event = json!({"item_id": id, "output_index": self.at(), "name": call.name, member: call.arguments});
                self.write(call_event(call.kind, true), event, out);
                items::call(&id, &call, "completed")
            }
        };
        self.write(
            "response.output_item.done",
            json!({"output_index": self.at(), "item": item.clone()}),
            out,
        );
        self.output.push(item);
    }

    fn close_thought(&mut self, thought: &Thought, out: &mut BytesMut) -> Value {
        let (id, at) = (thought.id.clone().unwrap_or_default(), self.at());
        if !thought.summary.is_empty() {
            let named = json!({"item_id": id, "output_index": at, "summary_index": 0});
            let with = |name: &str, value: Value| {
                let mut event = named.clone();
                event[name] = value;
                event
            };
            self.write("response.reasoning_summary_text.done", with("text", json!(thought.summary)), out);
            let part = json!({"type": "summary_text", "text": thought.summary});
            self.write("response.reasoning_summary_part.done", with("part", part), out);
        }
        if !thought.text.is_empty() {
            let named = json!({"item_id": id, "output_index": at, "content_index": 0});
            let with = |name: &str, value: Value| {
                let mut event = named.clone();
                event[name] = value;
                event
            };
            self.write("response.reasoning_text.done", with("text", json!(thought.text)), out);
            let part = json!({"type": "reasoning_text", "text": thought.text});
            self.write("response.content_part.done", with("part", part), out);
        }
        thought.item(&id)
    }

    fn close_message(&mut self, open: &Text, out: &mut BytesMut) -> Value {
        let part = match open.is_refusal {
            true => {
                self.write("response.refusal.done", self.of_message(json!({"refusal": open.text})), out);
                json!({"type": "refusal", "refusal": open.text})
            }
            false => {
                let event = self.of_message(json!({"text": open.text, "logprobs": []}));
                self.write("response.output_text.done", event, out);
                output_text(&open.text, &open.annotations)
            }
        };
        self.write("response.content_part.done", self.of_message(json!({"part": part.clone()})), out);
        items::message(&self.ids.item("msg", self.at()), "completed", vec![part])
    }

    fn write(&mut self, kind: &str, body: Value, out: &mut BytesMut) {
        let mut event = json!({"type": kind, "sequence_number": self.sequence});
        self.sequence += 1;
        if let (Value::Object(event), Value::Object(body)) = (&mut event, body) {
            event.extend(body);
        }
        sse::write_event(out, kind, event.to_string().as_bytes());
    }
}

fn call_event(kind: ToolKind, is_done: bool) -> &'static str {
    match (kind, is_done) {
        (ToolKind::Function, false) => "response.function_call_arguments.delta",
        (ToolKind::Function, true) => "response.function_call_arguments.done",
        (ToolKind::Custom, false) => "response.custom_tool_call_input.delta",
        (ToolKind::Custom, true) => "response.custom_tool_call_input.done",
    }
}

/// This dialect's short list of codes.
fn code(status: u16) -> &'static str {
    match status {
        429 => "rate_limit_exceeded",
        400..=499 => "invalid_prompt",
        _ => "server_error",
    }
}

#[cfg(test)]
mod tests;
