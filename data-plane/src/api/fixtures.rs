//! What the tests of streamed answers are made of: events to write, and the events that a client reads.

use bytes::BytesMut;
use serde_json::Value;

use crate::api::AnswerFacts;
use crate::model::event::{ChoiceDelta, Chunk, Delta, Event, ToolDelta};
use crate::model::response::{Finish, FinishReason};
use crate::wire::sse::SseParser;

pub fn facts() -> AnswerFacts {
    AnswerFacts { id: "gen-1".into(), created: 7, model: "a/m".into(), provider: "P".into() }
}

fn chunk(choice: ChoiceDelta) -> Event {
    Event::Chunk(Chunk { choices: vec![choice], ..Chunk::default() })
}

pub fn text(text: &str) -> Event {
    let delta = Delta { content: Some(text.into()), ..Delta::default() };
    chunk(ChoiceDelta { delta, ..ChoiceDelta::default() })
}

pub fn thought(detail: Value) -> Event {
    let delta = Delta { reasoning: Some("x".into()), reasoning_details: vec![detail], ..Delta::default() };
    chunk(ChoiceDelta { delta, ..ChoiceDelta::default() })
}

/// A call's opening where it has an id, else a piece of its arguments.
pub fn call(index: u32, id: Option<&str>, arguments: &str) -> Event {
    let (name, id) = (id.map(|_| "f".into()), id.map(Into::into));
    let call = ToolDelta { index, id, name, arguments: arguments.into(), ..ToolDelta::default() };
    let delta = Delta { tool_calls: vec![call], ..Delta::default() };
    chunk(ChoiceDelta { delta, ..ChoiceDelta::default() })
}

pub fn finish(reason: FinishReason) -> Event {
    let finish = Some(Finish { reason, native: None });
    chunk(ChoiceDelta { finish, ..ChoiceDelta::default() })
}

/// The data of every event that was written.
pub fn parse(out: BytesMut) -> Vec<Value> {
    let mut parser = SseParser::default();
    parser.push(out.freeze());
    let mut all = Vec::new();
    while let Ok(Some(event)) = parser.next_event() {
        all.push(serde_json::from_slice(&event.data).unwrap());
    }
    all
}
