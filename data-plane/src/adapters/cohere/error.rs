//! Cohere's errors: `{message}` with a status, or the last event of a stream.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::adapters::failure::{Failure, FailureClass, class_of, says_context_length, word};

/// Classifies an answer with an error status.
pub fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    classify(&body, Some(status)).with_head(status, headers)
}

/// Classifies a body or an event that is an error although the status was a success.
pub fn inside_success(said: &Value) -> Failure {
    classify(said, None)
}

/// Classifies an answer that ended with an error; `said` is what holds `finish_reason`.
pub fn broke_off(finish_reason: &str, said: &Value) -> Failure {
    let mut failure = classify(said, None);
    if finish_reason == "TIMEOUT" {
        failure = Failure::reported(FailureClass::Timeout, "", failure.provider_code.take());
    }
    failure.provider_code.get_or_insert_with(|| finish_reason.to_owned());
    failure
}

fn classify(said: &Value, status: Option<StatusCode>) -> Failure {
    let text = ["message", "error"].into_iter().find_map(|name| said[name].as_str()).unwrap_or_default();
    let kind = word(said.get("error_type"));
    let class = by_words(kind.as_deref().unwrap_or_default(), &text.to_lowercase(), status);
    let class = class.unwrap_or_else(|| status.map_or(FailureClass::Server, by_status));
    Failure::reported(class, text, kind)
}

fn by_words(kind: &str, message: &str, status: Option<StatusCode>) -> Option<FailureClass> {
    let says = |sign: &str| message.contains(sign);
    Some(match kind {
        "TOO_MANY_TOKENS" => FailureClass::ContextLength,
        // The model's own call was not what it had to be: another try may succeed.
        "INVALID_TOOL_GENERATION" => FailureClass::Malformed,
        _ if says("too many tokens") || says_context_length(message) => FailureClass::ContextLength,
        _ if says("invalid tool generation") => FailureClass::Malformed,
        // A trial key's month is spent; its minute is not.
        _ if says("trial key") && says("month") => FailureClass::Payment,
        _ if says("invalid api token") || says("invalid api key") => FailureClass::Auth,
        _ if says("not found, make sure the correct model") => FailureClass::NotFound,
        _ if says("not supported") && status.is_some_and(|status| status.is_client_error()) => {
            FailureClass::Unsupported
        }
        _ => return None,
    })
}

fn by_status(status: StatusCode) -> FailureClass {
    match status.as_u16() {
        498 => FailureClass::Auth,
        501 => FailureClass::Unsupported,
        _ => class_of(status),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statuses_and_texts_make_the_class() {
        use FailureClass::*;
        for (status, kind, message, class) in [
            (400, "", "invalid request: message must be at least 1 token long", InvalidRequest),
            (400, "TOO_MANY_TOKENS", "too many tokens: size limit exceeded by 25836 tokens.", ContextLength),
            (400, "", "response_format is not supported with RAG", Unsupported),
            (401, "", "invalid api token", Auth),
            (402, "", "no", Payment),
            (403, "", "no", Permission),
            (404, "", "model 'x' not found, make sure the correct model ID was used", NotFound),
            (422, "", "invalid type: parameter p is of type string", InvalidRequest),
            (429, "", "You are using a Trial key, which is limited to 1000 API calls / month.", Payment),
            (429, "", "You are using a Trial key, which is limited to 20 API calls / minute.", RateLimited),
            (498, "", "", Auth),
            (499, "", "client closed request", Timeout),
            (500, "", "internal server error", Server),
            (501, "", "not implemented", Unsupported),
            (503, "", "", Overloaded),
            (504, "", "", Timeout),
        ] {
            let status = StatusCode::from_u16(status).expect("status");
            let mut body = json!({"id": "i", "message": message});
            if !kind.is_empty() {
                body["error_type"] = kind.into();
            }
            let failure = failure(status, &HeaderMap::new(), body.to_string().as_bytes());
            assert_eq!(failure.class, class, "{status} {message}");
        }
        let tool = json!({"finish_reason": "ERROR", "error": "an invalid tool generation", "error_type": "INVALID_TOOL_GENERATION"});
        for (reason, said, class, code) in [
            ("ERROR", &tool, Malformed, "INVALID_TOOL_GENERATION"),
            ("ERROR", &json!({}), Server, "ERROR"),
            ("TIMEOUT", &json!({"usage": {}}), Timeout, "TIMEOUT"),
        ] {
            let failure = broke_off(reason, said);
            assert_eq!((failure.class, failure.provider_code.as_deref()), (class, Some(code)), "{said}");
        }
    }
}
