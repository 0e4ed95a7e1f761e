//! The one error of the admin side: a code from the shared table, a text for the caller, and the cause for the log.
//!
//! `service` makes them; here they become gRPC statuses, from which `rest` makes HTTP answers.

use std::error::Error;

use switchyard_proto::code::ErrorCode;
use tonic::{Status, metadata::MetadataMap};

/// Metadata key that carries [`ErrorCode::error_type`].
pub const ERROR_TYPE: &str = "switchyard-error-type";
/// Metadata key that carries the field at fault.
pub const FIELD: &str = "switchyard-field";

type Cause = Box<dyn Error + Send + Sync>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[error("{public}")]
pub struct ServiceError {
    pub code: ErrorCode,
    /// Dotted path of the field at fault.
    pub field: Option<String>,
    /// For the caller: nothing of a driver or a secret is ever in it.
    pub public: String,
    /// For the log.
    #[source]
    pub source: Option<Cause>,
}

impl ServiceError {
    /// Any failure whose text the caller may see.
    pub fn new(code: ErrorCode, public: impl Into<String>) -> Self {
        Self { code, field: None, public: public.into(), source: None }
    }

    /// A fault of ours; the caller only learns that there was one.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self { source: Some(cause.into()), ..Self::new(ErrorCode::Server, "internal error") }
    }

    /// There is no such thing, or not for this caller.
    pub fn not_found(noun: &str, id: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::NotFound, format!("{noun} `{id}` not found"))
    }

    /// There is one already.
    pub fn exists(noun: &str, id: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::AlreadyExists, format!("{noun} `{id}` already exists"))
    }

    /// A field cannot be taken; `reason` follows its name in a sentence.
    pub fn invalid(field: &str, reason: impl std::fmt::Display) -> Self {
        let public = format!("{field} {reason}");
        Self { field: Some(field.to_owned()), ..Self::new(ErrorCode::InvalidRequest, public) }
    }

    /// The same with the cause for the log.
    pub fn with_source(self, cause: impl Into<Cause>) -> Self {
        Self { source: Some(cause.into()), ..self }
    }

    /// Tells whoever runs this, once; what the caller did wrong is no news.
    fn log(&self) {
        let cause = chain(self.source.as_deref().map(|cause| cause as &dyn Error));
        if self.code == ErrorCode::Server {
            tracing::error!(error = cause, "admin call failed");
        } else if self.code.status().is_server_error() {
            tracing::warn!(error_type = self.code.error_type(), error = cause, "admin call refused");
        }
    }
}

/// A cause and its causes in one line.
fn chain(mut cause: Option<&dyn Error>) -> String {
    let mut texts = Vec::new();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.join(": ")
}

impl From<ServiceError> for Status {
    fn from(error: ServiceError) -> Self {
        error.log();
        let mut metadata = MetadataMap::new();
        let error_type = error.code.error_type().parse().expect("error types are ASCII");
        metadata.insert(ERROR_TYPE, error_type);
        // A field with a caller's own word in it may not be ASCII; the message has it anyway.
        if let Some(field) = error.field.as_deref().and_then(|field| field.parse().ok()) {
            metadata.insert(FIELD, field);
        }
        Status::with_metadata(error.code.grpc(), error.public, metadata)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_status_tells_code_type_and_field() {
        let status = Status::from(ServiceError::invalid("key.limit.usd", "is negative"));
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "key.limit.usd is negative"));
        assert_eq!(status.metadata().get(ERROR_TYPE).unwrap(), "invalid_request");
        assert_eq!(status.metadata().get(FIELD).unwrap(), "key.limit.usd");
    }

    #[test]
    fn a_field_that_is_not_ascii_is_left_to_the_message() {
        let status = Status::from(ServiceError::invalid("provider.quirks.naïve\n", "is wrong"));
        assert!(status.metadata().get(FIELD).is_none() && status.message().contains("naïve"));
    }

    #[test]
    fn causes_stay_inside() {
        let status = Status::from(ServiceError::internal("postgres://user:canary@host"));
        assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
        assert!(!format!("{status:?}").contains("canary"));
    }
}
