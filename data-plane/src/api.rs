//! Client dialects ("surfaces"): bytes to the canonical request, canonical answers to bytes.
//!
//! Pure. Surfaces do not know adapters; HTTP heads, keys and limits are the server's and the pipeline's.

mod calls;
mod common;
pub mod completions;
pub mod embeddings;
#[cfg(test)]
mod fixtures;
pub mod messages;
pub mod openai_chat;
pub mod rerank;
pub mod responses;
mod sealed;
mod steps;
pub mod surface;

use serde_json::Value;
use switchyard_proto::code::ErrorCode;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::price::Cost;

use crate::model::names::Names;

/// What a whole answer or a stream says about itself besides its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerFacts {
    /// Our generation id, `gen-…`.
    pub id: String,
    /// Unix seconds of the admission.
    pub created: u64,
    /// The model that answered, as callers name it.
    pub model: String,
    /// Display name of the provider that served.
    pub provider: String,
}

/// What the answer cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bill {
    /// Charged to the tenant.
    pub cost: NanoUsd,
    /// What the provider charges: the tenant itself where the credential is its own.
    pub upstream: Cost,
    pub is_byok: bool,
    /// `openrouter_metadata`, where the caller asked for it.
    pub metadata: Option<Value>,
}

/// A body that is not a request, with what the caller should hear.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadRequest {
    pub code: ErrorCode,
    /// Path of the member at fault; empty where the body as a whole is.
    pub field: String,
    /// Text for the caller; names the field.
    pub message: String,
}

impl BadRequest {
    /// The same in the words of a caller who has other names for the members.
    #[must_use]
    pub fn named(self, names: &Names) -> Self {
        match names.of(&self.field) {
            Some(own) => {
                let message = names.told(&self.message, &self.field, &own);
                Self { field: own, message, ..self }
            }
            None => self,
        }
    }
}

/// An error as callers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorBody<'a> {
    pub code: ErrorCode,
    /// The HTTP status, also in the body; usually `code.status()`.
    pub status: u16,
    pub message: &'a str,
    /// The provider at fault, by display name.
    pub provider: Option<&'a str>,
    /// The provider's own code; never printed for 500.
    pub provider_code: Option<&'a str>,
    /// More members of `metadata`, such as `previous_errors`.
    pub metadata: Option<&'a serde_json::Map<String, Value>>,
    /// `openrouter_metadata`, where it was asked for.
    pub routing: Option<&'a Value>,
}
