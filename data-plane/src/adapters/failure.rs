//! Why an attempt failed, in words that routing, accounting and callers can act on.
//!
//! Adapters classify; what follows (retry, fall over, open a breaker) is the pipeline's decision.

use std::time::Duration;

use http::StatusCode;
use switchyard_proto::code::ErrorCode;

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("provider answered with {class:?}: {message}")]
pub struct Failure {
    pub class: FailureClass,
    /// What the caller is told if this failure is the last word.
    pub code: ErrorCode,
    /// Safe text: the provider's own only where the request is at fault, ours otherwise.
    pub message: String,
    /// The provider's status; absent for failures inside a 200 that name none.
    pub status: Option<StatusCode>,
    /// The provider's own code or type.
    pub provider_code: Option<String>,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// The provider's own word on retrying, which beats the class.
    pub should_retry: Option<bool>,
}

/// Kinds of failure, each with one treatment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    InvalidRequest,
    ContextLength,
    /// Our credential is bad.
    Auth,
    /// Our credential may not do this: region, model access.
    Permission,
    /// Our account with the provider is spent.
    Payment,
    /// The model is gone upstream.
    NotFound,
    RateLimited,
    Overloaded,
    Timeout,
    /// The provider broke.
    Server,
    /// The answer is not the dialect, or ended before its end.
    Malformed,
    /// The prompt was refused by a filter.
    ContentFiltered,
}

impl FailureClass {
    /// The word for metrics and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::ContextLength => "context_length",
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::Payment => "payment",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Server => "server",
            Self::Malformed => "malformed",
            Self::ContentFiltered => "content_filtered",
        }
    }

    /// The code that callers see for this class.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::InvalidRequest => ErrorCode::InvalidRequest,
            Self::ContextLength => ErrorCode::ContextLengthExceeded,
            // A caller's key is not at fault for ours, so these are never 401, 402 or 403.
            Self::Auth | Self::Permission | Self::Payment => ErrorCode::ProviderUnavailable,
            Self::NotFound => ErrorCode::NotFound,
            Self::RateLimited => ErrorCode::RateLimitExceeded,
            Self::Overloaded => ErrorCode::ProviderOverloaded,
            Self::Timeout => ErrorCode::Timeout,
            Self::Server | Self::Malformed => ErrorCode::ProviderUnavailable,
            Self::ContentFiltered => ErrorCode::ContentPolicyViolation,
        }
    }

    /// Whether another endpoint may do better.
    pub const fn may_fall_back(self) -> bool {
        !matches!(self, Self::InvalidRequest | Self::ContentFiltered)
    }

    /// Whether the same endpoint may do better at once or after a short wait.
    pub const fn may_retry(self) -> bool {
        matches!(self, Self::RateLimited | Self::Overloaded | Self::Timeout | Self::Server | Self::Malformed)
    }

    /// Whether the credential should be taken out of its pool until an operator looks at it.
    pub const fn condemns_credential(self) -> bool {
        matches!(self, Self::Auth | Self::Payment)
    }
}
