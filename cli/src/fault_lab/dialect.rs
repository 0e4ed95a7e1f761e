//! What a provider dialect must know to be spoken by the lab, and the list of those it speaks.
//!
//! A new dialect is one file and one line in [`DIALECTS`]. Dialects are pure: bytes to [`Ask`], [`Reply`] to
//! bytes. They never decide what happens (that is the script's) nor when (that is `perform`'s).

mod anthropic_messages;
mod azure;
mod bedrock;
mod beside;
mod blocks;
mod cohere;
mod errors;
mod gemini;
mod mistral;
mod ollama;
mod openai_chat;
mod openai_responses;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

use crate::fault_lab::ask::Ask;
use crate::fault_lab::dialect::beside::{Beside, Wire};
use crate::fault_lab::reply::{Reply, Usage};
use crate::fault_lab::script::{Failure, INFLATION, Oddity, Reason, SHRINKS_FROM, Telling};

/// All dialects, in the order in which paths are tried: where one path ends like another's, the longer goes first.
pub static DIALECTS: &[&dyn Dialect] = &[
    &azure::Azure,
    &mistral::Mistral,
    &openai_chat::OpenAiChat,
    &openai_responses::OpenAiResponses,
    &anthropic_messages::AnthropicMessages,
    &gemini::Gemini,
    &bedrock::Bedrock,
    &ollama::Ollama,
    &cohere::Cohere,
];

/// What dialects have besides chat, in the order in which paths are tried.
pub static BESIDE_CHAT: &[&dyn Dialect] = &[
    &Beside { chat: &azure::Azure, wire: Wire::Azure },
    &Beside { chat: &mistral::Mistral, wire: Wire::Mistral },
    &Beside { chat: &openai_chat::OpenAiChat, wire: Wire::OpenAi },
    &Beside { chat: &gemini::Gemini, wire: Wire::Gemini },
    &Beside { chat: &gemini::Gemini, wire: Wire::EmbedContent },
    &Beside { chat: &gemini::Gemini, wire: Wire::Predict },
    &Beside { chat: &bedrock::Bedrock, wire: Wire::Titan },
    &Beside { chat: &ollama::Ollama, wire: Wire::Ollama },
    &Beside { chat: &cohere::Cohere, wire: Wire::Cohere },
    &Beside { chat: &cohere::Cohere, wire: Wire::CohereRank },
    &Beside { chat: &openai_chat::OpenAiChat, wire: Wire::OpenAiRank },
];

/// The dialect whose errors and lists are used where a path belongs to none.
pub static DEFAULT: &dyn Dialect = &openai_chat::OpenAiChat;

pub trait Dialect: Send + Sync {
    fn name(&self) -> &'static str;

    /// Whether a POST to `path` is a call in this dialect; any prefix before the dialect's own path is fine.
    fn claims(&self, path: &str) -> bool;

    /// Whether its calls are chats.
    fn is_chat(&self) -> bool {
        true
    }

    /// Whether a request for a model list comes from a client of this dialect.
    fn claims_list(&self, headers: &HeaderMap) -> bool {
        let _ = headers;
        false
    }

    /// Reads no more than who is meant and how the answer is wanted.
    fn peek<'a>(&self, path: &'a str, body: &'a [u8]) -> serde_json::Result<Peek<'a>> {
        let _ = path;
        serde_json::from_slice(body)
    }

    /// Reads the request, refusing what the real provider refuses.
    fn read(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Ask, Reason>;

    /// The body of a whole answer.
    fn whole(&self, answer: &Answer) -> Vec<u8>;

    /// The events of a streamed answer, terminal event included.
    fn events(&self, answer: &Answer) -> Vec<Event>;

    /// The status under which this dialect sends `failure`.
    fn status(&self, failure: &Failure) -> u16 {
        failure.status
    }

    /// The body of an error answer.
    fn error_body(&self, reason: &Reason) -> Vec<u8>;

    /// The headers that belong to an error answer.
    fn error_headers(&self, reason: &Reason) -> Vec<(&'static str, String)> {
        let _ = reason;
        Vec::new()
    }

    /// An error as the whole body under status 200.
    fn error_in_200(&self, reason: &Reason) -> Vec<u8> {
        self.error_body(reason)
    }

    /// An error within a stream.
    fn error_event(&self, reason: &Reason) -> Vec<u8>;

    /// A whole answer under status 200 that holds text and an error; the error alone where there is no mixed form.
    fn whole_with_error(&self, answer: &Answer, reason: &Reason) -> Vec<u8> {
        let _ = answer;
        self.error_in_200(reason)
    }

    /// A content event whose JSON is broken.
    fn malformed_event(&self) -> Vec<u8>;

    /// What is sent to keep a silent stream open; nothing where the dialect has no such thing.
    fn keepalive(&self) -> Vec<u8> {
        b": keep-alive\n\n".to_vec()
    }

    /// Whether all pieces of the same text are the same bytes, wherever they stand in the stream.
    fn pieces_are_alike(&self) -> bool {
        true
    }

    fn stream_type(&self) -> &'static str {
        "text/event-stream; charset=utf-8"
    }

    /// The header that carries the provider's request id.
    fn request_id(&self) -> &'static str {
        "x-request-id"
    }

    /// Rate-limit headers: `remaining` requests of a hundred, a second until the next.
    fn rate_limits(&self, remaining: u32) -> Vec<(&'static str, String)> {
        let _ = remaining;
        Vec::new()
    }

    /// The model list, each row a name and a description.
    fn models(&self, rows: &[(&str, &str)]) -> Vec<u8> {
        DEFAULT.models(rows)
    }
}

/// The fields that decide how a call is handled.
#[derive(Debug, Deserialize)]
pub struct Peek<'a> {
    #[serde(borrow, default)]
    pub model: Cow<'a, str>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
pub struct StreamOptions {
    #[serde(default)]
    pub include_usage: Option<bool>,
}

impl<'a> Peek<'a> {
    /// Of a dialect that says it all in the path.
    fn of_path(model: Cow<'a, str>, stream: bool) -> Self {
        Self { model, stream: Some(stream), stream_options: None }
    }

    pub fn streams(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    pub fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }
}

/// Everything that a dialect writes an answer from.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// Unique within the lab; dialects put their prefix before it.
    pub serial: u64,
    /// Seconds since 1970.
    pub created: i64,
    pub model: &'a str,
    pub wants_usage: bool,
    pub reply: &'a Reply,
    pub telling: Telling,
    pub oddity: Option<Oddity>,
}

impl Answer<'_> {
    /// The usage to tell, `None` if none is told.
    pub fn told(&self) -> Option<Usage> {
        match self.telling {
            Telling::Silent => None,
            Telling::Honest | Telling::Repeated | Telling::Shrinking => Some(self.reply.usage),
            Telling::Inflated => Some(self.reply.usage.times(INFLATION)),
        }
    }

    /// The running total to tell with each piece, `None` if none is told.
    pub fn running(&self) -> Option<Usage> {
        match self.telling {
            Telling::Repeated => Some(self.reply.usage),
            Telling::Shrinking => Some(self.reply.usage.times(SHRINKS_FROM)),
            Telling::Honest | Telling::Silent | Telling::Inflated => None,
        }
    }

    pub fn is(&self, oddity: Oddity) -> bool {
        self.oddity == Some(oddity)
    }
}

/// One event of a stream, ready for the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub part: Part,
    pub bytes: Bytes,
}

/// What an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Before any content: roles, message starts.
    Opening,
    /// Around content: block starts and stops, pings.
    Framing,
    /// A piece of text, reasoning or a tool call.
    Content,
    /// From the first event that tells the finish on.
    Closing,
    /// `[DONE]`, `message_stop`.
    Terminal,
}

impl Event {
    /// An SSE event with a `data` line, and an `event` line if it has a name.
    pub fn sse(part: Part, name: Option<&str>, data: &str) -> Self {
        Self { part, bytes: sse(name, data).into() }
    }
}

/// The bytes of an SSE event.
pub fn sse(name: Option<&str>, data: &str) -> Vec<u8> {
    match name {
        Some(name) => format!("event: {name}\ndata: {data}\n\n").into_bytes(),
        None => format!("data: {data}\n\n").into_bytes(),
    }
}

/// The strings found in a content that may be a string, one part, or a list of parts with `text`.
fn texts(content: &Value) -> Vec<&str> {
    match content {
        Value::String(text) => vec![text],
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => Vec::new(),
    }
}

/// What stands in `path` behind the last `before` and in front of `after`, percent-decoded.
fn between<'a>(path: &'a str, before: &str, after: &str) -> Option<Cow<'a, str>> {
    let (_, rest) = path.rsplit_once(before)?;
    rest.split_once(after).map(|(segment, _)| decoded(segment))
}

fn decoded(segment: &str) -> Cow<'_, str> {
    let Some((plain, mut rest)) = segment.split_once('%') else { return Cow::Borrowed(segment) };
    let mut bytes = plain.as_bytes().to_vec();
    loop {
        let hex = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(hex.unwrap_or(b'%'));
        let after = rest.get(2..).filter(|_| hex.is_some()).unwrap_or(rest);
        let next = after.split_once('%');
        bytes.extend_from_slice(next.map_or(after, |(plain, _)| plain).as_bytes());
        let Some((_, more)) = next else { return Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()) };
        rest = more;
    }
}

fn bad(field: &'static str, message: impl Into<String>) -> Reason {
    Reason::BadRequest { field, message: message.into() }
}

/// The body as JSON, with its list of turns, which must not be empty.
fn conversation<'a>(body: &'a Value, turns: &'static str) -> Result<&'a [Value], Reason> {
    let list = Some(parts(&body[turns])).filter(|list| !list.is_empty());
    list.ok_or_else(|| bad(turns, format!("{turns} is required and must not be empty")))
}

fn json_body(body: &[u8]) -> Result<Value, Reason> {
    serde_json::from_slice(body).map_err(|_| bad("body", "The request body is not valid JSON."))
}

fn parts(content: &Value) -> &[Value] {
    content.as_array().map_or(&[], Vec::as_slice)
}
