//! A request's body: read within bounds, and parsed with errors that name the line.

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::LengthLimitError;
use serde_json::Value;
use switchyard_proto::code::ErrorCode;

use crate::rest::{BODY_MOST, fault::Fault, operation::Operation};

/// The whole body, if it is not too large.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Fault> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > BODY_MOST) {
        return Err(Fault::too_large());
    }
    to_bytes(body, BODY_MOST).await.map_err(|error| {
        let limited = std::error::Error::source(&error).is_some_and(|cause| cause.is::<LengthLimitError>());
        if limited {
            Fault::too_large()
        } else {
            Fault::new(ErrorCode::InvalidRequest, "the body broke off").at("body")
        }
    })
}

/// The body's JSON; an empty body is an empty object.
pub(super) fn parse(operation: &Operation, body: &[u8]) -> Result<Value, Fault> {
    let empty = || Value::Object(serde_json::Map::new());
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(empty());
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        Fault::new(ErrorCode::InvalidRequest, format!("the body is not valid JSON: {error}")).at("body")
    })?;
    if !operation.takes_body() && value != empty() {
        return Err(Fault::new(
            ErrorCode::InvalidRequest,
            "this call takes no body; its fields are query parameters",
        )
        .at("body"));
    }
    Ok(value)
}
