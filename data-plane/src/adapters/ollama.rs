//! Ollama's own `/api/chat`, translated both ways: JSON lines, and options that its chat-completions surface lacks.
//!
//! Whole answers are read as streams of one line, so the two cannot differ.

mod embed;
mod encode;
mod error;
mod line;
mod messages;
mod stream;
mod tools;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::adapters::drift::Vocabulary;
use crate::adapters::ollama::embed::Embeddings;
use crate::adapters::tasks::Embedder;
use crate::adapters::{Adapter, Context, Decoder, Encoded, Failure, Quirks, Target, Unsupported, vocabulary};
use crate::model::facts::Media;
use crate::model::file::{FileType, FileTypes};
use crate::model::request::{ChatRequest, Dialect};
use crate::model::response::ChatResponse;

/// `POST {base}/api/chat`.
#[derive(Debug)]
pub struct Ollama;

impl Adapter for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn dialect(&self) -> Dialect {
        Dialect::OllamaChat
    }

    fn quirks(&self) -> Quirks {
        Quirks { forced_tools: false, ..Quirks::default() }
    }

    fn encode(&self, request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        encode::encode(request, target)
    }

    /// Ollama reads no URL.
    fn must_fetch(&self, media: Media, _url: &str, _quirks: &Quirks) -> bool {
        matches!(media, Media::Image | Media::File)
    }

    fn files(&self) -> FileTypes {
        FileTypes::of(&[FileType::Text, FileType::Image, FileType::Unknown])
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
        stream::whole(body, context)
    }

    fn decoder(&self, context: &Context) -> Box<dyn Decoder> {
        Box::new(stream::StreamDecoder::new(context.clone()))
    }

    fn embedder(&self) -> Option<&'static dyn Embedder> {
        Some(&Embeddings)
    }

    fn vocabulary(&self) -> Option<&'static Vocabulary> {
        Some(&vocabulary::OLLAMA)
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        error::failure(status, headers, body)
    }
}
