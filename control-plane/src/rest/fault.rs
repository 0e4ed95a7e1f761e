//! A REST call that failed, and the one shape of its answer.
//!
//! Codes and statuses are `proto`'s table; texts come from the services, or from the transcoder for what it refuses itself.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde_json::json;
use switchyard_proto::code::ErrorCode;
use tonic::{Code, Status};

use crate::rest::BODY_MOST;

/// Metadata of a failed gRPC call: the name of its [`ErrorCode`].
const ERROR_TYPE: &str = "switchyard-error-type";
/// Metadata of a failed gRPC call: the path of the field at fault.
const FIELD: &str = "switchyard-field";

/// Why a REST call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub code: ErrorCode,
    pub message: String,
    pub field: Option<String>,
    /// Methods that the path has, for 405.
    pub allow: Option<HeaderValue>,
}

impl Fault {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, allow: None }
    }

    /// Names the field at fault; an empty path is the body itself.
    pub fn at(mut self, field: &str) -> Self {
        self.field = Some(if field.is_empty() { "body" } else { field }.to_owned());
        self
    }

    /// A field that cannot be read: `reason` follows its name.
    pub fn bad_field(field: &str, reason: &str) -> Self {
        let name = if field.is_empty() { "the body".to_owned() } else { format!("`{field}`") };
        Self::new(ErrorCode::InvalidRequest, format!("{name} {reason}")).at(field)
    }

    pub fn nothing_here() -> Self {
        Self::new(ErrorCode::NotFound, "there is nothing at this path")
    }

    pub fn too_large() -> Self {
        let most = BODY_MOST >> 20;
        Self::new(ErrorCode::PayloadTooLarge, format!("the body is larger than {most} MiB")).at("body")
    }

    /// From a service's answer.
    pub fn from_status(status: &Status) -> Self {
        let text = |name| status.metadata().get(name).and_then(|value| value.to_str().ok());
        let code = text(ERROR_TYPE).and_then(ErrorCode::from_error_type);
        let message = match code {
            Some(_) => status.message(),
            None => public_message(status),
        };
        let fault = Self::new(code.unwrap_or_else(|| code_of(status.code())), message);
        match text(FIELD) {
            Some(field) => fault.at(field),
            None => fault,
        }
    }
}

/// What a status without our metadata may say: faults inside of us are masked.
fn public_message(status: &Status) -> &str {
    match status.code() {
        Code::Internal | Code::Unknown | Code::DataLoss => "internal error",
        Code::Unimplemented => "this call is not served here",
        _ => status.message(),
    }
}

/// The nearest code for a status that tonic itself made.
fn code_of(code: Code) -> ErrorCode {
    match code {
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => ErrorCode::Server,
        Code::InvalidArgument => ErrorCode::InvalidRequest,
        Code::OutOfRange => ErrorCode::PayloadTooLarge,
        Code::NotFound => ErrorCode::NotFound,
        Code::AlreadyExists => ErrorCode::AlreadyExists,
        Code::PermissionDenied => ErrorCode::PermissionDenied,
        Code::Unauthenticated => ErrorCode::Authentication,
        Code::ResourceExhausted => ErrorCode::RateLimitExceeded,
        Code::FailedPrecondition => ErrorCode::PreconditionFailed,
        Code::Aborted => ErrorCode::Conflict,
        Code::Unimplemented => ErrorCode::NotSupported,
        Code::Unavailable => ErrorCode::Overloaded,
        Code::Cancelled | Code::DeadlineExceeded => ErrorCode::Timeout,
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let mut metadata = json!({"error_type": self.code.error_type()});
        if let Some(field) = self.field {
            metadata["field"] = field.into();
        }
        let body = json!({"error": {"code": status.as_u16(), "message": self.message, "metadata": metadata}});
        let mut response = (status, Json(body)).into_response();
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;

    use super::*;

    #[test]
    fn a_services_error_keeps_its_type_and_field() {
        let mut metadata = MetadataMap::new();
        metadata.insert(ERROR_TYPE, "conflict".parse().unwrap());
        metadata.insert(FIELD, "key.name".parse().unwrap());
        let fault = Fault::from_status(&Status::with_metadata(Code::Aborted, "changed meanwhile", metadata));
        assert_eq!(fault, Fault::new(ErrorCode::Conflict, "changed meanwhile").at("key.name"));
    }

    #[test]
    fn a_bare_internal_status_is_masked() {
        let fault = Fault::from_status(&Status::internal("relation `keys` does not exist"));
        assert_eq!(fault, Fault::new(ErrorCode::Server, "internal error"));
    }
}
