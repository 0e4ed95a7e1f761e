//! What a caller hears of a cell: a finish, an error, or an error after a beginning.

use http::StatusCode;
use serde_json::Value;
use switchyard_tests::client::{Answer, Event, Stream, chunks};

use crate::faults::surfaces::{End, Last, Surface};

/// What the caller heard.
pub struct Heard {
    pub generation: String,
    pub caller: String,
}

impl Heard {
    pub fn of(surface: &Surface, answer: &Answer) -> Self {
        let caller = if answer.status == StatusCode::OK {
            format!("200 {}", (surface.finish)(&answer.json))
        } else {
            let kind = (surface.error)(&answer.json).as_str().unwrap_or_default();
            format!("{} {kind}", answer.status.as_u16())
        };
        Self { generation: answer.header("x-generation-id").to_owned(), caller }
    }

    pub async fn of_stream(surface: &Surface, stream: Stream) -> Self {
        if stream.status != StatusCode::OK {
            return Self::of(surface, &stream.answer().await);
        }
        let generation = stream.headers["x-generation-id"].to_str().unwrap().to_owned();
        let events = stream.rest().await;
        let mut ends: Vec<End> = chunks(&events).into_iter().filter_map(surface.ends).collect();
        assert_eq!(ends.len(), 1, "{generation}: exactly one end: {events:?}");
        let end = ends.remove(0);
        let last = events.last().unwrap();
        assert!(is_last(surface.last, &end, last), "{generation}: not in good order at its end: {events:?}");
        let caller = match end {
            End::Finish(finish) => format!("200 {finish}"),
            End::Error(kind) => format!("200, then {kind}"),
        };
        Self { generation, caller }
    }
}

/// Whether a stream ended with what its dialect ends with.
fn is_last(form: Last, end: &End, last: &Event) -> bool {
    let kind = |event: &Value| event["type"].as_str().unwrap_or_default().to_owned();
    match (form, end, last) {
        (Last::Done, _, last) => *last == Event::Done,
        (Last::Event(name), End::Finish(_), Event::Data(event)) => kind(event).starts_with(name),
        (Last::Event(_), End::Error(_), Event::Data(event)) => {
            matches!(kind(event).as_str(), "error" | "response.failed")
        }
        _ => false,
    }
}
