//! What a caller hears of a cell: a finish, an error, or an error after a beginning.

use http::StatusCode;
use serde_json::Value;
use switchyard_tests::client::{Answer, Event, Stream, chunks};

/// What the caller heard.
pub struct Heard {
    pub generation: String,
    pub caller: String,
}

impl Heard {
    pub fn of(answer: &Answer) -> Self {
        let caller = if answer.status == StatusCode::OK {
            finished(&answer.json["choices"][0]["finish_reason"])
        } else {
            format!("{} {}", answer.status.as_u16(), answer.error_type())
        };
        Self { generation: answer.header("x-generation-id").to_owned(), caller }
    }

    pub async fn of_stream(stream: Stream) -> Self {
        if stream.status != StatusCode::OK {
            return Self::of(&stream.answer().await);
        }
        let generation = stream.headers["x-generation-id"].to_str().unwrap().to_owned();
        let events = stream.rest().await;
        assert_eq!(
            events.last(),
            Some(&Event::Done),
            "{generation}: a stream ends in good order, whatever was in it"
        );
        let chunks = chunks(&events);
        let errors: Vec<&Value> =
            chunks.iter().map(|chunk| &chunk["error"]).filter(|error| error.is_object()).collect();
        let finishes: Vec<&Value> = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0]["finish_reason"])
            .filter(|finish| finish.is_string())
            .collect();
        assert_eq!(finishes.len(), 1, "{generation}: exactly one finish: {events:?}");
        let caller = match errors.as_slice() {
            [] => finished(finishes[0]),
            [error] => {
                assert_eq!(finishes[0], "error", "{generation}: a failure is not dressed up as success");
                let kind = error["metadata"]["error_type"].as_str().unwrap_or_default();
                format!("200, then {kind}")
            }
            several => panic!("{generation}: more than one error: {several:?}"),
        };
        Self { generation, caller }
    }
}

fn finished(reason: &Value) -> String {
    format!("200 {}", reason.as_str().unwrap_or_default())
}
