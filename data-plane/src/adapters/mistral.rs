//! Mistral's variant of the chat-completions dialect: strict about every member, with its own parts and ids.
//!
//! Small members are written anew, so that nothing unknown travels; messages pass as sent where they can. Answers
//! are the dialect's, so the OpenAI adapter reads them, and what the request changed is undone here.

mod embed;
mod encode;
mod error;
mod ids;
mod messages;
mod parts;
mod plain;
mod stream;
mod tools;
mod undo;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::adapters::drift::Vocabulary;
use crate::adapters::mistral::embed::Embeddings;
use crate::adapters::openai::OpenAi;
use crate::adapters::quirks::{CapField, ReasoningStyle};
use crate::adapters::tasks::Embedder;
use crate::adapters::{Adapter, Context, Decoder, Encoded, Failure, Quirks, Target, Unsupported, vocabulary};
use crate::model::file::{FileType, FileTypes};
use crate::model::request::{ChatRequest, Dialect, Effort};
use crate::model::response::ChatResponse;

/// `POST {base}/chat/completions`.
#[derive(Debug)]
pub struct Mistral;

impl Adapter for Mistral {
    fn name(&self) -> &'static str {
        "mistral"
    }

    fn dialect(&self) -> Dialect {
        Dialect::OpenAiChat
    }

    fn quirks(&self) -> Quirks {
        Quirks {
            cap_field: CapField::MaxTokens,
            developer_role: false,
            stream_options: false,
            reasoning: ReasoningStyle::Effort,
            efforts: vec![Effort::None, Effort::High],
            ..Quirks::default()
        }
    }

    fn encode(&self, request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        encode::encode(request, target)
    }

    fn files(&self) -> FileTypes {
        FileTypes::of(&[
            FileType::Pdf,
            FileType::Text,
            FileType::Office,
            FileType::Image,
            FileType::Stored,
            FileType::Unknown,
        ])
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
        OpenAi.decode(status, headers, body, context).map(|response| undo::answer(response, context))
    }

    fn decoder(&self, context: &Context) -> Box<dyn Decoder> {
        Box::new(stream::StreamDecoder::new(context.clone()))
    }

    fn embedder(&self) -> Option<&'static dyn Embedder> {
        Some(&Embeddings)
    }

    fn vocabulary(&self) -> Option<&'static Vocabulary> {
        Some(&vocabulary::MISTRAL)
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        error::failure(status, headers, body)
    }
}

#[cfg(test)]
mod tests;
