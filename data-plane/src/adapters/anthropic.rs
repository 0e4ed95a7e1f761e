//! Anthropic's Messages dialect, translated both ways.
//!
//! Requests are built from the typed form: turns are merged, tools and reasoning rewritten, and every field
//! that has no counterpart is named. Which model takes what is data, in `models`.

mod answer;
mod blocks;
mod encode;
mod error;
#[cfg(test)]
mod models;
mod names;
mod stream;
mod tools;
mod turns;
mod usage;
mod wire;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::adapters::drift::Vocabulary;
use crate::adapters::quirks::ClaudeHost;
use crate::adapters::{Adapter, Context, Decoder, Encoded, Failure, Quirks, Target, Unsupported, vocabulary};
use crate::model::facts::Media;
use crate::model::file::{FileType, FileTypes};
use crate::model::request::{ChatRequest, Dialect};
use crate::model::response::ChatResponse;

/// `POST {base}/messages`, or Google's `POST {base}/publishers/anthropic/models/{model}:rawPredict`.
#[derive(Debug)]
pub struct Anthropic;

impl Adapter for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn dialect(&self) -> Dialect {
        Dialect::AnthropicMessages
    }

    fn quirks(&self) -> Quirks {
        Quirks::default()
    }

    fn encode(&self, request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        encode::encode(request, target)
    }

    fn files(&self) -> FileTypes {
        FileTypes::of(&[FileType::Pdf, FileType::Text, FileType::Image, FileType::Stored, FileType::Unknown])
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

    fn must_fetch(&self, _: Media, _: &str, quirks: &Quirks) -> bool {
        // Anthropic follows URLs itself; Google's host of Claude does not.
        quirks.claude_host == ClaudeHost::Vertex
    }

    fn decoder(&self, context: &Context) -> Box<dyn Decoder> {
        Box::new(stream::StreamDecoder::new(context.clone()))
    }

    fn vocabulary(&self) -> Option<&'static Vocabulary> {
        Some(&vocabulary::ANTHROPIC)
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        error::failure(status, headers, body)
    }
}
