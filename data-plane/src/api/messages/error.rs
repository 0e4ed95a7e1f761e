//! Errors as Anthropic writes them, with our type beside theirs.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use crate::api::ErrorBody;
use crate::wire::sse;

/// The body of an error answer.
pub fn encode_error(error: &ErrorBody<'_>, request_id: &str) -> Bytes {
    Bytes::from(object(error, request_id).to_string())
}

/// A failure inside a stream, after which nothing comes.
pub fn write_error(error: &ErrorBody<'_>, request_id: &str, out: &mut BytesMut) {
    sse::write_event(out, "error", object(error, request_id).to_string().as_bytes());
}

fn object(error: &ErrorBody<'_>, request_id: &str) -> Value {
    let mut inner = json!({
        "type": type_name(error.status),
        "message": error.message,
        "error_type": error.code.error_type(),
    });
    if let Some(provider) = error.provider {
        inner["provider_name"] = json!(provider);
    }
    if let Some(code) = error.provider_code.filter(|_| error.status != 500) {
        inner["provider_code"] = json!(code);
    }
    for (name, value) in error.metadata.into_iter().flatten() {
        inner[name.as_str()] = value.clone();
    }
    let mut body = json!({"type": "error", "error": inner, "request_id": request_id});
    if let Some(routing) = error.routing {
        body["openrouter_metadata"] = routing.clone();
    }
    body
}

/// Anthropic's type names go by status.
fn type_name(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::code::ErrorCode;

    use super::*;

    #[test]
    fn an_error_has_anthropics_type_ours_and_the_requests_id() {
        let error = ErrorBody {
            code: ErrorCode::PaymentRequired,
            status: 402,
            message: "spent",
            provider: None,
            provider_code: None,
            metadata: None,
            routing: None,
        };
        assert_eq!(
            encode_error(&error, "gen-1"),
            r#"{"type":"error","error":{"type":"billing_error","message":"spent","error_type":"payment_required"},"request_id":"gen-1"}"#
        );
    }
}
