//! Why a request ends without an answer: one type, made from the small errors of each stage.
//!
//! Only `public` may leave the process; `source` is for logs. Surfaces choose the JSON, [`ErrorCode`] the status.

use std::time::Duration;

use serde_json::{Map, Value};
use switchyard_proto::code::ErrorCode;

use crate::adapters::Unsupported;
use crate::adapters::failure::Failure;
use crate::api::BadRequest;
use crate::model::names::Names;

/// A failed request.
#[derive(Debug, thiserror::Error)]
#[error("{}: {public}", .code.error_type())]
pub struct RequestError {
    pub code: ErrorCode,
    /// Whose fault it is; also a response header.
    pub side: Side,
    /// Text for the caller.
    pub public: String,
    /// When the caller may try again.
    pub retry_after: Option<Duration>,
    /// The provider at fault, by display name.
    pub provider: Option<String>,
    pub provider_code: Option<String>,
    /// More members of the error's `metadata`.
    pub metadata: Map<String, Value>,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Router,
    Provider,
}

impl Side {
    /// The word in the `x-switchyard-fault` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Router => "router",
            Self::Provider => "provider",
        }
    }
}

impl RequestError {
    /// An error without further detail.
    pub fn new(code: ErrorCode, public: impl Into<String>) -> Self {
        let side = if code.status().is_server_error() { Side::Router } else { Side::Client };
        Self {
            code,
            side,
            public: public.into(),
            retry_after: None,
            provider: None,
            provider_code: None,
            metadata: Map::new(),
            source: None,
        }
    }

    /// A fault of ours: the caller hears only that; the cause goes to the log.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let public = "Internal error. Please try again.";
        Self { source: Some(source.into()), ..Self::new(ErrorCode::Server, public) }
    }

    /// Adds when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds the name of the request field at fault.
    #[must_use]
    pub fn field(self, field: &str) -> Self {
        if field.is_empty() { self } else { self.with("field", field) }
    }

    /// Adds a member to the error's `metadata`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.to_owned(), value.into());
        self
    }
}

/// Members of `metadata` that hold the name of a request's member.
const NAMED: [&str; 2] = ["/field", "/availability/constraint/field"];

impl RequestError {
    /// The same in the words of a caller who has other names for the members of its request.
    #[must_use]
    pub fn named(mut self, names: &Names) -> Self {
        let mut metadata = Value::Object(std::mem::take(&mut self.metadata));
        for place in NAMED {
            let Some(Value::String(field)) = metadata.pointer_mut(place) else { continue };
            if let Some(own) = names.of(field) {
                self.public = names.told(&self.public, field, &own);
                *field = own;
            }
        }
        if let Value::Object(metadata) = metadata {
            self.metadata = metadata;
        }
        self
    }
}

impl From<BadRequest> for RequestError {
    fn from(bad: BadRequest) -> Self {
        Self::new(bad.code, bad.message).field(&bad.field)
    }
}

impl From<Unsupported> for RequestError {
    fn from(unsupported: Unsupported) -> Self {
        Self::new(ErrorCode::InvalidRequest, unsupported.message).field(&unsupported.field)
    }
}

impl RequestError {
    /// A provider's failure that is the last word, under the provider's display name.
    pub fn from_failure(failure: &Failure, provider: &str) -> Self {
        Self {
            side: if failure.code.status().is_client_error() { Side::Client } else { Side::Provider },
            provider: Some(provider.to_owned()),
            provider_code: failure.shown_code().map(str::to_owned),
            retry_after: failure.retry_after,
            ..Self::new(failure.code, failure.message.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_names_the_member_as_its_caller_wrote_it() {
        let names = Names { members: &[("stop", "stop_sequences")], list: "messages", ..Names::default() };
        let constraint = json!({"constraint": {"field": "stop", "detail": "x"}});
        let error = RequestError::new(ErrorCode::InvalidRequest, "stop has too many.").field("stop");
        let told = error.with("availability", constraint).named(&names);
        assert_eq!(told.public, "stop_sequences has too many.");
        assert_eq!(told.metadata["field"], "stop_sequences");
        assert_eq!(told.metadata["availability"]["constraint"]["field"], "stop_sequences");
        let other = RequestError::new(ErrorCode::InvalidRequest, "no").named(&names);
        assert_eq!((other.public.as_str(), other.metadata.len()), ("no", 0));
    }
}
