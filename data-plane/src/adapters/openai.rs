//! The chat-completions dialect as providers speak it: OpenAI and the many who follow it more or less.
//!
//! Requests of the same dialect travel as patched source bytes; answers keep their unknown members. What
//! providers do differently is tolerated on the way in and a quirk on the way out.

mod alternate;
mod answer;
mod citations;
mod embed;
mod encode;
mod messages;
mod outcome;
mod parts;
mod piece;
mod preface;
mod reasoning;
mod refuse;
mod replay;
mod rerank;
mod rewrite;
mod stream;
mod think;
mod usage;
mod wire;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::adapters::drift::Vocabulary;
pub use crate::adapters::openai::embed::Embeddings;
pub use crate::adapters::openai::rerank::Rankings;
use crate::adapters::shared::openai_error;
use crate::adapters::tasks::{Embedder, Reranker};
use crate::adapters::{
    Adapter, Context, Decoder, Encoded, Failure, FailureClass, Quirks, Target, Unsupported, vocabulary,
};
use crate::model::facts::Media;
use crate::model::request::{ChatRequest, Dialect};
use crate::model::response::ChatResponse;

/// `POST {base}/chat/completions`.
#[derive(Debug)]
pub struct OpenAi;

impl Adapter for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn dialect(&self) -> Dialect {
        Dialect::OpenAiChat
    }

    fn quirks(&self) -> Quirks {
        Quirks::default()
    }

    fn must_fetch(&self, media: Media, url: &str, quirks: &Quirks) -> bool {
        let _ = url;
        quirks.chat.inline_media.contains(&media)
    }

    fn encode(&self, request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        encode::encode(request, target)
    }

    fn decode(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
        context: &Context,
    ) -> Result<ChatResponse, Failure> {
        if !status.is_success() {
            return Err(self.failure(status, headers, body));
        }
        // Some queue a call and want to be asked again later; an answer now is to be had elsewhere.
        if status == StatusCode::ACCEPTED {
            return Err(Failure::reported(FailureClass::Overloaded, "", None).with_head(status, headers));
        }
        answer::decode(body, context)
    }

    fn decoder(&self, context: &Context) -> Box<dyn Decoder> {
        Box::new(stream::StreamDecoder::new(context.clone()))
    }

    fn embedder(&self) -> Option<&'static dyn Embedder> {
        Some(&Embeddings)
    }

    fn reranker(&self) -> Option<&'static dyn Reranker> {
        Some(&Rankings)
    }

    fn vocabulary(&self) -> Option<&'static Vocabulary> {
        Some(&vocabulary::OPENAI)
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        openai_error::failure(status, headers, body)
    }
}

#[cfg(test)]
mod outcome_tests;
#[cfg(test)]
mod tests;
