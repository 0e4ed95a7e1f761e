//! Amazon's Converse dialect, translated both ways.
//!
//! Requests are built from the typed form. What Converse itself has no word for goes into the members of the
//! model's maker, as the row's quirk `model_fields` says; which model takes what is data on rows, never here.

mod answer;
mod content;
mod embed;
mod encode;
mod error;
mod fields;
mod stream;
mod tools;
mod turns;
mod usage;
mod wire;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::adapters::bedrock::embed::Embeddings;
use crate::adapters::drift::Vocabulary;
use crate::adapters::quirks::Thinking;
use crate::adapters::tasks::Embedder;
use crate::adapters::{Adapter, Context, Decoder, Encoded, Failure, Quirks, Target, Unsupported, vocabulary};
use crate::model::facts::Media;
use crate::model::file::{FileType, FileTypes};
use crate::model::request::{ChatRequest, Dialect};
use crate::model::response::ChatResponse;

/// `POST {base}/model/{model}/converse` and `/converse-stream`.
#[derive(Debug)]
pub struct Bedrock;

impl Adapter for Bedrock {
    fn name(&self) -> &'static str {
        "bedrock"
    }

    fn dialect(&self) -> Dialect {
        Dialect::BedrockConverse
    }

    /// What every model takes; rows say what more there is.
    fn quirks(&self) -> Quirks {
        Quirks { thinking: Thinking::Absent, output_format: false, ..Quirks::default() }
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
            FileType::Audio,
            FileType::Video,
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
        answer::decode(body, context)
    }

    fn must_fetch(&self, _: Media, _: &str, _: &Quirks) -> bool {
        // Converse takes bytes, or objects of the account's own storage, which callers must not name.
        true
    }

    fn decoder(&self, context: &Context) -> Box<dyn Decoder> {
        Box::new(stream::StreamDecoder::new(context.clone()))
    }

    fn embedder(&self) -> Option<&'static dyn Embedder> {
        Some(&Embeddings)
    }

    fn vocabulary(&self) -> Option<&'static Vocabulary> {
        Some(&vocabulary::BEDROCK)
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        error::failure(status, headers, body)
    }
}
