//! The surfaces: which dialect a client speaks, and everything that follows from it.

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value};

use crate::api::{
    AnswerFacts, BadRequest, Bill, ErrorBody, completions, embeddings, messages, openai_chat, rerank,
    responses,
};
use crate::model::event::Event;
use crate::model::request::ChatRequest;
use crate::model::response::ChatResponse;
use crate::model::task::Operation;
use crate::model::usage::Usage;

/// A dialect that clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Surface {
    #[default]
    ChatCompletions,
    /// Legacy text completions.
    Completions,
    Responses,
    Messages,
    Embeddings,
    Rerank,
}

impl Surface {
    /// Every surface.
    pub const ALL: [Self; 6] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Responses,
        Self::Messages,
        Self::Embeddings,
        Self::Rerank,
    ];

    /// The name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat_completions",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Embeddings => "embeddings",
            Self::Rerank => "rerank",
        }
    }

    /// Where it is called, below `/api/v1`.
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Completions => "/completions",
            Self::Responses => "/responses",
            Self::Messages => "/messages",
            Self::Embeddings => "/embeddings",
            Self::Rerank => "/rerank",
        }
    }

    /// How a call is named in traces.
    pub const fn call(self) -> &'static str {
        match self {
            Self::ChatCompletions => "POST chat/completions",
            Self::Completions => "POST completions",
            Self::Responses => "POST responses",
            Self::Messages => "POST messages",
            Self::Embeddings => "POST embeddings",
            Self::Rerank => "POST rerank",
        }
    }

    /// The kind of work that it asks for.
    pub const fn operation(self) -> Operation {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Responses | Self::Messages => Operation::Chat,
            Self::Embeddings => Operation::Embeddings,
            Self::Rerank => Operation::Rerank,
        }
    }

    /// The headers that carry a request's id: Anthropic's clients look for another one.
    pub const fn id_headers(self) -> &'static [&'static str] {
        match self {
            Self::Messages => &["x-request-id", "request-id"],
            Self::ChatCompletions | Self::Completions | Self::Responses | Self::Embeddings | Self::Rerank => {
                &["x-request-id"]
            }
        }
    }

    /// The surface that a path belongs to: what is answered there has its form, errors above all.
    pub fn of_path(path: &str) -> Self {
        let path = path.strip_prefix("/api").unwrap_or(path);
        let path = path.strip_prefix("/v1").unwrap_or(path);
        let is_at = |surface: &Self| {
            path.strip_prefix(surface.path()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        Self::ALL.into_iter().find(is_at).unwrap_or_default()
    }

    /// Reads a request body.
    ///
    /// # Errors
    /// [`BadRequest`] naming the member at fault.
    pub fn decode(self, body: Bytes) -> Result<ChatRequest, BadRequest> {
        match self {
            Self::ChatCompletions => openai_chat::decode(body),
            Self::Completions => completions::decode(body),
            Self::Responses => responses::decode(body),
            Self::Messages => messages::decode(body),
            Self::Embeddings => embeddings::decode(body),
            Self::Rerank => rerank::decode(body),
        }
    }

    /// The body of a whole answer to this request.
    pub fn encode(
        self,
        answer: &ChatResponse,
        facts: &AnswerFacts,
        request: &ChatRequest,
        bill: &Bill,
    ) -> Bytes {
        match self {
            Self::ChatCompletions => openai_chat::encode(answer, facts, bill),
            Self::Completions => completions::encode(answer, facts, bill),
            Self::Responses => responses::encode(answer, facts, &request.echo, bill),
            Self::Messages => messages::encode(answer, facts, bill),
            Self::Embeddings => embeddings::encode(answer, facts, request, bill),
            Self::Rerank => rerank::encode(answer, facts, request, bill),
        }
    }

    /// The body of an error answer.
    pub fn encode_error(self, error: &ErrorBody<'_>, request_id: &str) -> Bytes {
        match self {
            Self::Messages => messages::encode_error(error, request_id),
            Self::Responses => responses::encode_error(error),
            Self::ChatCompletions | Self::Completions | Self::Embeddings | Self::Rerank => {
                openai_chat::encode_error(error)
            }
        }
    }

    /// What writes a streamed answer.
    pub fn stream(self, facts: &AnswerFacts, echo: &Map<String, Value>) -> StreamEncoder {
        match self {
            // Nobody can ask the last two for a stream.
            Self::ChatCompletions | Self::Embeddings | Self::Rerank => {
                StreamEncoder::ChatCompletions(openai_chat::StreamEncoder::new(facts))
            }
            Self::Completions => StreamEncoder::Completions(completions::StreamEncoder::new(facts)),
            Self::Responses => StreamEncoder::Responses(Box::new(responses::StreamEncoder::new(facts, echo))),
            Self::Messages => StreamEncoder::Messages(Box::new(messages::StreamEncoder::new(facts))),
        }
    }

    /// Whether what writes a stream keeps all or much of the answer until its end, so that its length has to be bounded.
    pub const fn accumulates(self) -> bool {
        match self {
            Self::Responses | Self::Messages => true,
            Self::ChatCompletions | Self::Completions | Self::Embeddings | Self::Rerank => false,
        }
    }

    /// Appends what keeps a stream's connection alive while there is nothing to say.
    pub fn keep_alive(self, out: &mut BytesMut) {
        match self {
            Self::Messages => messages::StreamEncoder::keep_alive(out),
            Self::ChatCompletions | Self::Completions | Self::Responses | Self::Embeddings | Self::Rerank => {
                openai_chat::StreamEncoder::keep_alive(out)
            }
        }
    }
}

/// Writes one streamed answer in its surface's dialect.
#[derive(Debug)]
pub enum StreamEncoder {
    ChatCompletions(openai_chat::StreamEncoder),
    Completions(completions::StreamEncoder),
    Responses(Box<responses::StreamEncoder>),
    Messages(Box<messages::StreamEncoder>),
}

/// Calls the same method of whichever encoder it is.
macro_rules! each {
    ($encoder:expr, $inner:ident => $call:expr) => {
        match $encoder {
            StreamEncoder::ChatCompletions($inner) => $call,
            StreamEncoder::Completions($inner) => $call,
            StreamEncoder::Responses($inner) => $call,
            StreamEncoder::Messages($inner) => $call,
        }
    };
}

impl StreamEncoder {
    /// Appends what an event shows; counts and end wait for the bill.
    pub fn event(&mut self, event: &Event, out: &mut BytesMut) {
        each!(self, inner => inner.event(event, out));
    }

    /// Appends a whole answer as if it had been streamed; counts and end are not in it.
    pub fn replay(&mut self, answer: &ChatResponse, out: &mut BytesMut) {
        each!(self, inner => inner.replay(answer, out));
    }

    /// Appends the counts.
    pub fn usage(&mut self, usage: &Usage, bill: &Bill, out: &mut BytesMut) {
        each!(self, inner => inner.usage(usage, bill, out));
    }

    /// Appends the end.
    pub fn done(&mut self, out: &mut BytesMut) {
        match self {
            Self::ChatCompletions(inner) => inner.done(out),
            Self::Completions(inner) => inner.done(out),
            Self::Messages(inner) => inner.done(out),
            Self::Responses(_) => {}
        }
    }

    /// Appends a failure and whatever ends a stream that failed.
    pub fn fail(&mut self, error: &ErrorBody<'_>, out: &mut BytesMut) {
        each!(self, inner => inner.error(error, out));
        if let Self::ChatCompletions(_) | Self::Completions(_) = self {
            self.done(out);
        }
    }
}

#[cfg(test)]
mod tests;
