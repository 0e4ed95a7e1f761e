//! The surfaces of the cells: how a caller asks on each, and in which words it hears what chat completions call otherwise.
//!
//! A fault's attempts and their price are the same whoever asks, so the table's row holds on every surface. What differs is
//! the name of an end, and what a dialect has no way to ask or to say.

use serde_json::{Value, json};

use crate::faults::table::{Asks, Expected};

const WORDS: &str = "one two three four five six";
const MAX_TOKENS: u32 = 200;

/// A surface as its callers speak it.
pub struct Surface {
    pub name: &'static str,
    pub path: &'static str,
    /// The question, without model and preferences; none where it cannot be asked here.
    question: fn(Asks) -> Option<Value>,
    /// How a whole answer ended.
    pub finish: fn(&Value) -> String,
    /// The ends in one event of a stream.
    pub ends: fn(&Value) -> Option<End>,
    /// The type of an error, in an answer that is one.
    pub error: fn(&Value) -> &Value,
    /// What the stream's last piece is.
    pub last: Last,
    /// Its own words for finishes.
    words: &'static [(&'static str, &'static str)],
}

/// The end of a stream, as told in it.
pub enum End {
    Finish(String),
    /// The error's type.
    Error(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// `[DONE]`, after errors too.
    Done,
    /// The event with the end, or the one named here.
    Event(&'static str),
}

/// All of them; the first is the table's own.
pub static SURFACES: [Surface; 4] = [
    Surface {
        name: "chat_completions",
        path: "/api/v1/chat/completions",
        question: |asks| Some(chat(asks)),
        finish: |body| text(&body["choices"][0]["finish_reason"]),
        ends: chunk_ends,
        error: |body| &body["error"]["metadata"]["error_type"],
        last: Last::Done,
        words: &[],
    },
    Surface {
        name: "completions",
        path: "/api/v1/completions",
        question: |asks| (asks == Asks::Text).then(|| json!({"max_tokens": MAX_TOKENS, "prompt": WORDS})),
        finish: |body| text(&body["choices"][0]["finish_reason"]),
        ends: chunk_ends,
        error: |body| &body["error"]["metadata"]["error_type"],
        last: Last::Done,
        words: &[],
    },
    Surface {
        name: "responses",
        path: "/api/v1/responses",
        question: |asks| Some(responses(asks)),
        finish: response_finish,
        ends: response_ends,
        error: |body| &body["error"]["metadata"]["error_type"],
        last: Last::Event("response."),
        words: &[
            ("stop", "completed"),
            ("tool_calls", "completed"),
            ("length", "incomplete:max_output_tokens"),
            ("content_filter", "incomplete:content_filter"),
        ],
    },
    Surface {
        name: "messages",
        path: "/api/v1/messages",
        question: |asks| Some(messages(asks)),
        finish: |body| text(&body["stop_reason"]),
        ends: message_ends,
        error: |body| &body["error"]["error_type"],
        last: Last::Event("message_stop"),
        words: &[
            ("stop", "end_turn"),
            ("length", "max_tokens"),
            ("tool_calls", "tool_use"),
            ("content_filter", "refusal"),
        ],
    },
];

impl Surface {
    pub fn can_ask(&self, asks: Asks) -> bool {
        (self.question)(asks).is_some()
    }

    /// # Panics
    /// Where it cannot be asked.
    pub fn body(&self, asks: Asks) -> Value {
        (self.question)(asks).expect("cells are of surfaces that can ask")
    }

    pub fn is_chat(&self) -> bool {
        self.name == SURFACES[0].name
    }

    /// What the table says in chat's words, in those of this surface.
    pub fn caller(&self, expected: Expected, has_second: bool) -> String {
        let caller = expected.caller(has_second);
        let finish = caller.strip_prefix("200 ").unwrap_or_default();
        let own = self.words.iter().find(|(chat, _)| *chat == finish);
        own.map_or_else(|| caller.to_owned(), |(_, own)| format!("200 {own}"))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn tool() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}})
}

fn number() -> Value {
    json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
}

fn chat(asks: Asks) -> Value {
    let mut body = json!({"max_tokens": MAX_TOKENS, "messages": [{"role": "user", "content": WORDS}]});
    match asks {
        Asks::Text => {}
        Asks::Tools => {
            let function = json!({"name": "weather", "parameters": tool()});
            body["tools"] = json!([{"type": "function", "function": function}]);
        }
        Asks::Json => {
            let named = json!({"name": "number", "schema": number()});
            body["response_format"] = json!({"type": "json_schema", "json_schema": named});
        }
    }
    body
}

fn responses(asks: Asks) -> Value {
    let mut body = json!({"max_output_tokens": MAX_TOKENS, "input": WORDS});
    match asks {
        Asks::Text => {}
        Asks::Tools => {
            body["tools"] = json!([{"type": "function", "name": "weather", "parameters": tool()}]);
        }
        Asks::Json => {
            body["text"] = json!({"format": {"type": "json_schema", "name": "number", "schema": number()}});
        }
    }
    body
}

fn messages(asks: Asks) -> Value {
    let mut body = json!({"max_tokens": MAX_TOKENS, "messages": [{"role": "user", "content": WORDS}]});
    match asks {
        Asks::Text => {}
        Asks::Tools => body["tools"] = json!([{"name": "weather", "input_schema": tool()}]),
        Asks::Json => {
            body["output_config"] = json!({"format": {"type": "json_schema", "schema": number()}});
        }
    }
    body
}

/// Chat's chunks and those of legacy completions: a finish beside an error says `error`.
fn chunk_ends(chunk: &Value) -> Option<End> {
    let finish = chunk["choices"][0]["finish_reason"].as_str();
    match chunk["error"].is_object() {
        true => {
            assert_eq!(finish, Some("error"), "a failure is not dressed up as success: {chunk}");
            Some(End::Error(text(&chunk["error"]["metadata"]["error_type"])))
        }
        false => finish.map(|finish| End::Finish(finish.to_owned())),
    }
}

fn response_finish(response: &Value) -> String {
    match response["incomplete_details"]["reason"].as_str() {
        Some(reason) => format!("{}:{reason}", text(&response["status"])),
        None => text(&response["status"]),
    }
}

fn response_ends(event: &Value) -> Option<End> {
    let response = &event["response"];
    match event["type"].as_str()? {
        "response.completed" | "response.incomplete" => Some(End::Finish(response_finish(response))),
        "response.failed" => {
            assert_eq!(response["status"], "failed", "{event}");
            Some(End::Error(text(&response["error_type"])))
        }
        _ => None,
    }
}

fn message_ends(event: &Value) -> Option<End> {
    match event["type"].as_str()? {
        "message_delta" => Some(End::Finish(text(&event["delta"]["stop_reason"]))),
        "error" => Some(End::Error(text(&event["error"]["error_type"]))),
        _ => None,
    }
}
