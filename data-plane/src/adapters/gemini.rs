//! Google's generateContent dialect, translated both ways: the Developer API and Vertex AI.
//!
//! Both speak the same language; `host` has what differs. Which model takes what is data on the rows.

mod annotations;
mod answer;
mod audio;
mod contents;
mod documents;
mod embed;
mod encode;
mod error;
mod finish;
mod format;
mod host;
mod logprobs;
mod parts;
mod schema;
mod settings;
mod signatures;
mod stream;
mod thinking;
mod told;
mod tools;
mod usage;
mod wire;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::adapters::drift::Vocabulary;
use crate::adapters::gemini::embed::{Batched, Predicted};
use crate::adapters::gemini::host::Host;
use crate::adapters::quirks::ThinkingOff;
use crate::adapters::tasks::Embedder;
use crate::adapters::{Adapter, Context, Decoder, Encoded, Failure, Quirks, Target, Unsupported, vocabulary};
use crate::model::facts::Media;
use crate::model::file::{FileType, FileTypes};
use crate::model::request::{ChatRequest, Dialect, Effort};
use crate::model::response::ChatResponse;

/// `POST {base}/models/{model}:generateContent`.
#[derive(Debug)]
pub struct Gemini;

/// `POST {base}/publishers/google/models/{model}:generateContent`.
#[derive(Debug)]
pub struct Vertex;

/// Files that Google's models read.
const FILES: FileTypes = FileTypes::of(&[
    FileType::Pdf,
    FileType::Text,
    FileType::Image,
    FileType::Audio,
    FileType::Video,
    FileType::Stored,
    FileType::Unknown,
]);

/// What both have in common.
macro_rules! speaks_gemini {
    ($adapter:ty, $name:literal, $host:expr, $embedder:expr) => {
        impl Adapter for $adapter {
            fn name(&self) -> &'static str {
                $name
            }

            fn dialect(&self) -> Dialect {
                Dialect::Gemini
            }

            fn quirks(&self) -> Quirks {
                newest()
            }

            fn encode(&self, request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
                encode::encode(request, target, $host)
            }

            fn must_fetch(&self, media: Media, url: &str, _quirks: &Quirks) -> bool {
                $host.must_fetch(media, url)
            }

            fn files(&self) -> FileTypes {
                FILES
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
                stream::decode(body, context)
            }

            fn decoder(&self, context: &Context) -> Box<dyn Decoder> {
                Box::new(stream::StreamDecoder::new(context.clone()))
            }

            fn embedder(&self) -> Option<&'static dyn Embedder> {
                Some($embedder)
            }

            fn vocabulary(&self) -> Option<&'static Vocabulary> {
                Some(&vocabulary::GEMINI)
            }

            fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
                error::failure(status, headers, body)
            }
        }
    };
}

speaks_gemini!(Gemini, "gemini", Host::DEVELOPER, &Batched);
speaks_gemini!(Vertex, "vertex", Host::VERTEX, &Predicted);

/// A model that no row describes is taken for one of the newest: it always thinks, at one of three levels.
fn newest() -> Quirks {
    Quirks {
        efforts: vec![Effort::Low, Effort::Medium, Effort::High],
        thinking_off: ThinkingOff::Never,
        ..Quirks::default()
    }
}
