//! Anthropic's errors: `{type: error, error: {type, message}}`, by status or inside a stream.

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use switchyard_proto::code::ErrorCode;

use crate::adapters::failure::{Failure, FailureClass, class_of, says_context_length, word};

/// Classifies an answer with an error status; the edge may answer in HTML.
pub fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    classify(&body["error"], Some(status)).with_head(status, headers)
}

/// Classifies an error that came with a success status.
pub fn inside_success(error: &str) -> Failure {
    classify(&serde_json::from_str(error).unwrap_or_default(), None)
}

fn classify(error: &Value, status: Option<StatusCode>) -> Failure {
    let message = error["message"].as_str().or(error.as_str()).unwrap_or_default();
    let kind = word(error.get("type")).unwrap_or_default();
    let detail = word(error.pointer("/details/error_code")).unwrap_or_default();
    let class = by_words(&kind, &detail, &message.to_lowercase());
    let class = class.unwrap_or_else(|| status.map_or(FailureClass::Server, class_of));
    let code = [detail, kind].into_iter().find(|word| !word.is_empty());
    let mut failure = Failure::reported(class, message, code);
    if status == Some(StatusCode::PAYLOAD_TOO_LARGE)
        || failure.provider_code.as_deref() == Some("request_too_large")
    {
        failure.code = ErrorCode::PayloadTooLarge;
    }
    failure
}

/// Words beat the status: an overload can come as 429 or inside a 200.
fn by_words(kind: &str, detail: &str, message: &str) -> Option<FailureClass> {
    if detail.ends_with("_spend_limit_reached") || message.contains("credit balance is too low") {
        return Some(FailureClass::Payment);
    }
    Some(match kind {
        "invalid_request_error" if says_context_length(message) => FailureClass::ContextLength,
        "invalid_request_error" if says_unsupported(message) => FailureClass::Unsupported,
        "invalid_request_error" | "request_too_large" => FailureClass::InvalidRequest,
        "billing_error" => FailureClass::Payment,
        "authentication_error" => FailureClass::Auth,
        "permission_error" => FailureClass::Permission,
        "not_found_error" => FailureClass::NotFound,
        "rate_limit_error" => FailureClass::RateLimited,
        "overloaded_error" => FailureClass::Overloaded,
        "timeout_error" => FailureClass::Timeout,
        "api_error" | "conflict_error" => FailureClass::Server,
        _ => return None,
    })
}

/// Whether the complaint is about something that another model takes.
fn says_unsupported(message: &str) -> bool {
    [
        "this model does not support",
        "is not supported on this model",
        "is not supported for this model",
        "does not support",
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_texts_make_the_class() {
        use FailureClass::*;
        for (status, kind, message, class) in [
            (400, "invalid_request_error", "messages: bad", InvalidRequest),
            (400, "invalid_request_error", "prompt is too long: 3 tokens > 2 maximum", ContextLength),
            (400, "invalid_request_error", "This model does not support effort level 'xhigh'.", Unsupported),
            (400, "invalid_request_error", "Your credit balance is too low to access the API", Payment),
            (401, "authentication_error", "invalid x-api-key", Auth),
            (403, "permission_error", "no", Permission),
            (404, "not_found_error", "model: x", NotFound),
            (409, "conflict_error", "x", Server),
            (413, "request_too_large", "x", InvalidRequest),
            (429, "rate_limit_error", "x", RateLimited),
            (429, "overloaded_error", "x", Overloaded),
            (500, "api_error", "x", Server),
            (504, "timeout_error", "x", Timeout),
            (529, "overloaded_error", "x", Overloaded),
            (529, "", "", Overloaded),
        ] {
            let status = StatusCode::from_u16(status).expect("status");
            let body = serde_json::json!({"type": "error", "error": {"type": kind, "message": message}});
            let failure = failure(status, &HeaderMap::new(), body.to_string().as_bytes());
            assert_eq!(failure.class, class, "{status} {kind} {message}");
        }
        let edge = failure(StatusCode::PAYLOAD_TOO_LARGE, &HeaderMap::new(), b"<html>");
        assert_eq!((edge.class, edge.code), (InvalidRequest, ErrorCode::PayloadTooLarge));
        assert_eq!(inside_success(r#"{"type":"overloaded_error","message":"Overloaded"}"#).class, Overloaded);
    }
}
