//! Streamed answers: events with rising numbers that add items, fill them and close them.

mod close;
mod fill;

use bytes::BytesMut;
use serde_json::{Map, Value, json};

use crate::api::responses::answer::{end, is_cut, object};
use crate::api::responses::body;
use crate::api::responses::items::Ids;
use crate::api::responses::reasoning::Thought;
use crate::api::steps::{Step, Steps};
use crate::api::{AnswerFacts, Bill, ErrorBody};
use crate::model::event::Event;
use crate::model::message::ToolCall;
use crate::model::response::ChatResponse;
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
    steps: Steps,
    /// The answer has ended before its time: what is open is incomplete.
    is_cut: bool,
}

/// The item that is being filled.
#[derive(Debug)]
enum Open {
    None,
    Thought(Thought),
    Message(Text),
    Call(Call),
}

/// A message's text so far.
#[derive(Debug, Default)]
struct Text {
    text: String,
    annotations: Vec<Value>,
    logprobs: Vec<Value>,
    is_refusal: bool,
}

/// A call so far.
#[derive(Debug)]
struct Call {
    /// Its number among the calls.
    at: usize,
    call: ToolCall,
    is_whole: bool,
}

impl StreamEncoder {
    /// An encoder for the answer that these facts tell of. Where nothing is known that it could repeat, it repeats the
    /// defaults: clients insist on the members.
    pub fn new(facts: &AnswerFacts, echo: &Map<String, Value>) -> Self {
        Self {
            facts: facts.clone(),
            echo: if echo.is_empty() { body::echo(b"{}") } else { echo.clone() },
            ids: Ids::of(&facts.id),
            sequence: 0,
            has_begun: false,
            open: Open::None,
            output: Vec::new(),
            steps: Steps::default(),
            is_cut: false,
        }
    }

    /// Appends what an event shows.
    pub fn event(&mut self, event: &Event, out: &mut BytesMut) {
        let steps = self.steps.take(event);
        self.tell(steps, out);
    }

    /// Appends a whole answer as if it had been streamed; its end is not in it.
    pub fn replay(&mut self, response: &ChatResponse, out: &mut BytesMut) {
        let steps = self.steps.replay(response);
        self.tell(steps, out);
    }

    /// Appends the last event: the whole response with its counts. This dialect has no other end mark.
    pub fn usage(&mut self, usage: &Usage, bill: &Bill, out: &mut BytesMut) {
        self.finish(is_cut(self.steps.finish.reason), out);
        let mut object = object(&self.facts, &self.echo, "in_progress", std::mem::take(&mut self.output));
        end(&mut object, &self.steps.finish, Some(usage), self.steps.tier.as_deref(), bill);
        let kind = match object["status"].as_str() {
            Some("incomplete") => "response.incomplete",
            Some("failed") => "response.failed",
            _ => "response.completed",
        };
        self.write(kind, json!({"response": object}), out);
    }

    /// Appends a failure, after which nothing comes.
    pub fn error(&mut self, error: &ErrorBody<'_>, out: &mut BytesMut) {
        self.finish(true, out);
        let mut object = object(&self.facts, &self.echo, "failed", std::mem::take(&mut self.output));
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

    /// Tells what is left and closes what is open.
    fn finish(&mut self, is_cut: bool, out: &mut BytesMut) {
        self.begin(out);
        self.is_cut = is_cut;
        let steps = self.steps.end();
        self.tell(steps, out);
        self.close(if is_cut { "incomplete" } else { "completed" }, out);
    }

    fn tell(&mut self, steps: Vec<Step>, out: &mut BytesMut) {
        for step in steps {
            self.begin(out);
            match step {
                Step::Think(piece) => self.think(&piece, out),
                Step::Say(said) => self.say(said, out),
                Step::Annotate(found) => self.annotate(&found, out),
                Step::Draw(image) => self.draw(&image, out),
                Step::Call(piece) => self.call(&piece, out),
            }
        }
    }

    /// The place of the item that is open, or of the next one.
    fn at(&self) -> usize {
        self.output.len()
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
