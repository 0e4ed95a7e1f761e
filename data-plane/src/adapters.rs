//! Provider dialects: canonical requests to upstream bytes, upstream bytes to canonical answers.
//!
//! An adapter is code, a provider is data that names one. Everything here is pure: no client, no clock, no
//! credential; `upstream` sends and signs. Adapters do not know each other, and nobody matches on them.

pub mod anthropic;
pub mod azure;
pub mod bedrock;
pub mod cohere;
pub mod drift;
pub mod failure;
#[cfg(test)]
mod files_tests;
pub mod gemini;
pub mod mistral;
pub mod ollama;
pub mod openai;
pub mod openai_responses;
pub mod quirks;
pub mod shared;
pub mod tasks;
pub mod vocabulary;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::adapters::drift::Vocabulary;
pub use crate::adapters::failure::{Failure, FailureClass};
pub use crate::adapters::quirks::Quirks;
use crate::adapters::tasks::{Embedder, Expected, Reranker};
use crate::model::event::Event;
use crate::model::facts::Media;
use crate::model::file::FileTypes;
use crate::model::media::Fetched;
use crate::model::parameter::{Parameter, Parameters};
use crate::model::request::{ChatRequest, Dialect, Invalid};
use crate::model::response::ChatResponse;
use crate::model::usage::Usage;

/// Every dialect that this build speaks.
#[rustfmt::skip] // A list, one line each.
pub static ADAPTERS: &[&dyn Adapter] = &[
    &openai::OpenAi,
    &openai_responses::OpenAiResponses,
    &anthropic::Anthropic,
    &gemini::Gemini,
    &gemini::Vertex,
    &bedrock::Bedrock,
    &azure::Azure,
    &mistral::Mistral,
    &cohere::Cohere,
    &ollama::Ollama,
];

/// The adapter that a provider row names.
pub fn by_name(name: &str) -> Option<&'static dyn Adapter> {
    ADAPTERS.iter().copied().find(|adapter| adapter.name() == name)
}

/// Stands for the URLs that the fewest providers read: without TLS, and without a name that tells what it holds.
pub const PLAINEST_URL: &str = "http://";

/// One provider dialect.
pub trait Adapter: Send + Sync + fmt::Debug {
    /// The name in provider rows.
    fn name(&self) -> &'static str;

    /// The dialect of its requests; a request whose source has the same travels as patched source bytes.
    fn dialect(&self) -> Dialect;

    /// The dialect's own habits; what is known of a model and what rows say goes over it.
    fn quirks(&self) -> Quirks;

    /// Writes the upstream request.
    ///
    /// # Errors
    /// [`Unsupported`] where leaving a field out would change what the caller asked for.
    fn encode(&self, request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported>;

    /// Reads a whole answer.
    ///
    /// # Errors
    /// [`Failure`] for an error status, an error inside a 200, and a body that is malformed or incomplete.
    fn decode(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
        context: &Context,
    ) -> Result<ChatResponse, Failure>;

    /// Whether the dialect cannot hand this http(s) URL on, so that its bytes must be fetched before encoding.
    ///
    /// Asked of [`PLAINEST_URL`] first: a provider that reads that one must read every URL of the same media.
    fn must_fetch(&self, media: Media, url: &str, quirks: &Quirks) -> bool {
        let _ = (media, url, quirks);
        false
    }

    /// The kinds of files that the encoding takes; what it refuses only after a look at the bytes is among them.
    fn files(&self) -> FileTypes {
        FileTypes::ALL
    }

    /// A fresh push parser for one streamed answer with a success status.
    fn decoder(&self, context: &Context) -> Box<dyn Decoder>;

    /// How vectors are made there; none where the dialect has no such endpoint. Called through [`tasks`].
    fn embedder(&self) -> Option<&'static dyn Embedder> {
        None
    }

    /// How documents are ranked there; none where the dialect has no such endpoint. Called through [`tasks`].
    fn reranker(&self) -> Option<&'static dyn Reranker> {
        None
    }

    /// What its answers are known to hold; none where nobody looks for drift.
    fn vocabulary(&self) -> Option<&'static Vocabulary> {
        None
    }

    /// Classifies an answer with an error status.
    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure;
}

/// Reads one stream; any split of its bytes gives the same events.
pub trait Decoder: Send {
    /// Takes the next bytes and appends what they complete.
    ///
    /// Bytes after [`Event::Done`] are ignored.
    ///
    /// # Errors
    /// [`Failure`] for an error inside the stream and for bytes that are not the dialect. The events appended
    /// before it stay valid; the decoder is not to be used again.
    fn push(&mut self, bytes: Bytes, events: &mut Vec<Event>) -> Result<(), Failure>;

    /// Takes the end of the stream.
    ///
    /// # Errors
    /// [`Failure`] of class [`FailureClass::Malformed`] where the answer had not ended.
    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), Failure>;

    /// The counts reported so far, for an answer that broke off; final only in [`Event::Usage`].
    fn usage(&self) -> Option<Usage>;
}

/// What an adapter must know of the chosen endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The provider's own name of the model.
    pub model: &'a str,
    /// The cap to send: what is reserved is what is sent. None sends what the client set, or nothing.
    pub output_cap: Option<u64>,
    /// Whether the upstream answer is to be a stream; may differ from the client's wish.
    pub stream: bool,
    pub quirks: &'a Quirks,
    /// What was fetched of the URLs that the adapter must not hand on.
    pub fetched: &'a Fetched,
    /// Parameters that the endpoint supports; empty means all that the dialect has.
    pub supported: Parameters,
    /// The endpoint's tier, which is what is asked for, whatever the caller said: its price is the row's. Empty is the
    /// default tier; None is no endpoint in particular, and the caller's word is handed on.
    pub tier: Option<&'a str>,
}

impl Target<'_> {
    /// Whether the endpoint takes a parameter.
    pub fn takes(&self, parameter: Parameter) -> bool {
        self.supported.is_empty() || self.supported.contains(parameter)
    }
}

/// An upstream request without credential and host.
#[derive(Debug, Clone)]
pub struct Encoded {
    pub method: Method,
    /// Appended to the provider's base URL (which includes the version, such as `/v1`); starts with a slash.
    pub path: Cow<'static, str>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Request fields that could not be expressed and were left out, by path; the gateway's own fields are none.
    pub dropped: Vec<Cow<'static, str>>,
    /// What decoding the answer needs to know of this request.
    pub context: Context,
}

/// What the answer's decoding must undo of the request's encoding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// What the answer must hold.
    pub expected: Expected,
    /// A tool that stands for structured output: its arguments are the answer's content.
    pub json_tool: Option<JsonTool>,
    /// Tool names that were changed: as sent, as the client knows them.
    pub tool_names: Vec<(String, String)>,
    /// Whether the caller does not want to see reasoning.
    pub hide_reasoning: bool,
    /// The `format` of signed or sealed reasoning in the answer; None is that of the dialect's inventor.
    pub reasoning_format: Option<String>,
    /// The beginning of the answer that the request gave, which the provider says again.
    pub prefix: Option<String>,
    /// Whether reasoning stands inside the content.
    pub think_tags: quirks::ThinkTags,
}

impl Context {
    /// The client's name of a tool.
    pub fn client_name<'a>(&'a self, sent: &'a str) -> &'a str {
        self.tool_names.iter().find(|(name, _)| name == sent).map_or(sent, |(_, client)| client)
    }
}

/// The forced tool that carries structured output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonTool {
    pub name: String,
    /// Whether the schema was wrapped as `{"value": …}` because its root is no object.
    pub wrapped: bool,
}

/// A request that this endpoint cannot serve without changing its meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unsupported {
    /// Path of the member at fault.
    pub field: String,
    /// Text for the caller; names the field.
    pub message: String,
}

impl Unsupported {
    /// A refusal that names the field and what is wrong with it.
    pub fn new(field: impl Into<String>, why: impl fmt::Display) -> Self {
        let field = field.into();
        Self { message: format!("{field} {why}"), field }
    }
}

impl From<Invalid> for Unsupported {
    fn from(Invalid { field, message }: Invalid) -> Self {
        Self { field, message }
    }
}
