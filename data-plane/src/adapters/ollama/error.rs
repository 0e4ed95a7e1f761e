//! Ollama's errors: `{error: text}`, with a status or as a line of a stream.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::adapters::failure::{Failure, FailureClass, class_of, says_context_length};

/// Classifies an answer with an error status.
pub fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    classify(text(&body["error"]), Some(status)).with_head(status, headers)
}

/// Classifies the `error` of a line that came with a success status.
pub fn inside_success(error: &str) -> Failure {
    let error: Value = serde_json::from_str(error).unwrap_or_default();
    classify(text(&error), None)
}

/// The server says it in a string, the cloud behind it at times in an object.
fn text(error: &Value) -> &str {
    error.as_str().or_else(|| error["message"].as_str()).unwrap_or_default()
}

fn classify(message: &str, status: Option<StatusCode>) -> Failure {
    let class = by_words(&message.to_lowercase());
    let class = class.unwrap_or_else(|| status.map_or(FailureClass::Server, class_of));
    Failure::reported(class, message, None)
}

fn by_words(message: &str) -> Option<FailureClass> {
    let says = |signs: &[&str]| signs.iter().any(|sign| message.contains(sign));
    if says_context_length(message)
        || says(&["exceeds the context length", "exceeded context", "context window"])
    {
        Some(FailureClass::ContextLength)
    } else if says(&["does not support", "is not supported for this model"]) {
        Some(FailureClass::Unsupported)
    } else if says(&["server busy", "maximum pending requests", "requires more system memory", "overloaded"])
    {
        Some(FailureClass::Overloaded)
    } else if message.contains("model") && message.contains("not found") {
        Some(FailureClass::NotFound)
    } else if says(&["usage limit", "rate limit", "too many requests"]) {
        Some(FailureClass::RateLimited)
    } else if says(&["unauthorized"]) {
        Some(FailureClass::Auth)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_statuses_make_the_class() {
        use FailureClass::*;
        for (status, message, class) in [
            (400, "invalid options: temp", InvalidRequest),
            (400, "\"gemma3:1b\" does not support tools", Unsupported),
            (400, "think value \"high\" is not supported for this model", Unsupported),
            (400, "the input length exceeds the context length", ContextLength),
            (401, "unauthorized", Auth),
            (404, "model 'x' not found", NotFound),
            (429, "you have reached your hourly usage limit", RateLimited),
            (500, "llama runner process has terminated: exit status 2", Server),
            (500, "model requires more system memory (8 GiB) than is available (4 GiB)", Overloaded),
            (502, "cloud model is unreachable", Server),
            (503, "server busy, please try again. maximum pending requests exceeded", Overloaded),
        ] {
            let status = StatusCode::from_u16(status).expect("status");
            let body = serde_json::json!({ "error": message });
            let failure = failure(status, &HeaderMap::new(), body.to_string().as_bytes());
            assert_eq!(failure.class, class, "{message}");
        }
        assert_eq!(inside_success("\"an error was encountered while running the model\"").class, Server);
        assert_eq!(inside_success(r#"{"message":"model 'x' not found"}"#).class, NotFound);
        assert_eq!(failure(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html>").class, Server);
    }
}
