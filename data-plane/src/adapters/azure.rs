//! OpenAI's chat dialect behind Azure: its paths, its versions by date, its errors.
//!
//! What is said is the same, so encoding and decoding are the openai adapter's. Results of content filters stay in the
//! answer as members that nobody has to know.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use switchyard_proto::code::ErrorCode;

use crate::adapters::drift::Vocabulary;
use crate::adapters::openai::{Embeddings as OpenAiEmbeddings, OpenAi};
use crate::adapters::quirks::CapField;
use crate::adapters::shared::segment::segment;
use crate::adapters::tasks::{Batch, Embedder};
use crate::adapters::{
    Adapter, Context, Decoder, Encoded, Failure, FailureClass, Quirks, Target, Unsupported, vocabulary,
};
use crate::model::facts::Media;
use crate::model::request::{ChatRequest, Dialect, ResponseFormat};
use crate::model::response::ChatResponse;

/// Versions before this day know neither `stream_options` nor `max_completion_tokens`.
const USAGE_IN_STREAMS: &str = "2024-09-01";
/// Versions before this day know no schemas.
const SCHEMAS: &str = "2024-08-01";

/// `POST {base}/chat/completions`, or `{base}/openai/deployments/{deployment}/chat/completions?api-version=…`.
#[derive(Debug)]
pub struct Azure;

impl Adapter for Azure {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn dialect(&self) -> Dialect {
        Dialect::OpenAiChat
    }

    fn quirks(&self) -> Quirks {
        OpenAi.quirks()
    }

    fn encode(&self, request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        check(request, &target.quirks.api_version)?;
        let quirks = dated(target.quirks);
        let encoded = OpenAi.encode(request, &Target { quirks: &quirks, ..*target })?;
        Ok(Encoded { path: path(target.model, &quirks, "chat/completions"), ..encoded })
    }

    fn must_fetch(&self, media: Media, url: &str, quirks: &Quirks) -> bool {
        OpenAi.must_fetch(media, url, quirks)
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
        OpenAi.decode(status, headers, body, context)
    }

    fn decoder(&self, context: &Context) -> Box<dyn Decoder> {
        OpenAi.decoder(context)
    }

    fn embedder(&self) -> Option<&'static dyn Embedder> {
        Some(&Embeddings)
    }

    fn vocabulary(&self) -> Option<&'static Vocabulary> {
        Some(&vocabulary::OPENAI)
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        blame(OpenAi.failure(status, headers, body))
    }
}

/// What the version does not know and cannot be left out.
fn check(request: &ChatRequest, version: &str) -> Result<(), Unsupported> {
    match request.response_format {
        Some(ResponseFormat::JsonSchema { .. }) if is_before(version, SCHEMAS) => Err(Unsupported::new(
            "response_format",
            "asks for a schema, which this version of the API does not know",
        )),
        _ => Ok(()),
    }
}

/// The row's quirks with what follows from the version's date.
fn dated(quirks: &Quirks) -> Quirks {
    let mut quirks = quirks.clone();
    if is_before(&quirks.api_version, USAGE_IN_STREAMS) {
        quirks.stream_options = false;
        quirks.cap_field = CapField::MaxTokens;
    }
    quirks
}

/// Whether a version such as `2024-06-01-preview` is older than a day; the undated API never is.
fn is_before(version: &str, day: &str) -> bool {
    version.get(..day.len()).is_some_and(|date| date < day && date.starts_with("20"))
}

/// Where `what` is done by a deployment.
fn path(deployment: &str, quirks: &Quirks, what: &str) -> Cow<'static, str> {
    let version = segment(&quirks.api_version, b"");
    Cow::Owned(match (version.is_empty(), quirks.deployment_path) {
        (true, _) => format!("/{what}"),
        (false, true) => {
            format!("/openai/deployments/{}/{what}?api-version={version}", segment(deployment, b""))
        }
        (false, false) => format!("/{what}?api-version={version}"),
    })
}

/// OpenAI's embeddings behind Azure's paths.
#[derive(Debug)]
struct Embeddings;

impl Embedder for Embeddings {
    fn most_inputs(&self, model: &str) -> usize {
        OpenAiEmbeddings.most_inputs(model)
    }

    fn encode(&self, batch: &Batch<'_>, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        let encoded = OpenAiEmbeddings.encode(batch, target)?;
        Ok(Encoded { path: path(target.model, target.quirks, "embeddings"), ..encoded })
    }

    fn decode(&self, headers: &HeaderMap, body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
        OpenAiEmbeddings.decode(headers, body, context)
    }
}

/// A missing resource is a wrong address or version in the provider's row; a missing deployment has a code of its own.
fn blame(failure: Failure) -> Failure {
    if failure.class != FailureClass::NotFound || failure.provider_code.as_deref() != Some("404") {
        return failure;
    }
    Failure {
        class: FailureClass::Permission,
        code: ErrorCode::ProviderUnavailable,
        message: "provider does not know the address or version that the router is configured with"
            .to_owned(),
        ..failure
    }
}

#[cfg(test)]
mod tests;
