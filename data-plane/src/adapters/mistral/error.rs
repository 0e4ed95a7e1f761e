//! Mistral's errors: the dialect's, with a message that may be a validator's list.

use http::{HeaderMap, StatusCode};
use memchr::memmem;

use crate::adapters::failure::{Failure, FailureClass};
use crate::adapters::shared::openai_error as error;

/// Classifies an answer with an error status.
pub fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let mut failure = error::failure(status, headers, body);
    // A member that is one too many here may be welcome elsewhere.
    if failure.class == FailureClass::InvalidRequest && memmem::find(body, b"\"extra_forbidden\"").is_some() {
        failure.class = FailureClass::Unsupported;
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_every_shape_are_classified() {
        use FailureClass::*;
        for (status, body, class, message) in [
            (
                400,
                r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500","raw_status_code":400}"#,
                NotFound,
                "",
            ),
            (
                400,
                r#"{"object":"error","message":"Logprobs are not enabled for this model","type":"invalid_request_invalid_args","code":"3051"}"#,
                Unsupported,
                "Logprobs are not enabled",
            ),
            (
                400,
                r#"{"object":"error","message":"Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.","type":"invalid_function_call","code":3280}"#,
                InvalidRequest,
                "Tool call id",
            ),
            (
                400,
                r#"{"object":"error","message":"Prompt contains 40000 tokens, too large for model with 32768 maximum context length","type":"invalid_request_error","code":3051}"#,
                ContextLength,
                "Prompt contains",
            ),
            (401, r#"{"message":"Unauthorized"}"#, Auth, ""),
            (401, r#"{"detail":"Unauthorized"}"#, Auth, ""),
            (
                422,
                r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","x"],"msg":"Extra inputs are not permitted","input":1}]},"type":"invalid_request_error","param":null,"code":null}"#,
                Unsupported,
                "Extra inputs are not permitted",
            ),
            (
                422,
                r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]}"#,
                InvalidRequest,
                "Field required",
            ),
            (
                422,
                r#"{"object":"error","message":[{"type":"int_parsing","msg":"Input should be a valid integer"}],"type":"x","code":null}"#,
                InvalidRequest,
                "Input should be",
            ),
            (
                429,
                r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}"#,
                RateLimited,
                "",
            ),
            (
                429,
                r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}"#,
                Overloaded,
                "",
            ),
            (
                500,
                r#"{"object":"error","message":"Internal server error","type":"internal_server_error","code":"1000"}"#,
                Server,
                "",
            ),
            (503, "upstream connect error", Overloaded, ""),
        ] {
            let status = StatusCode::from_u16(status).expect("status");
            let failure = failure(status, &HeaderMap::new(), body.as_bytes());
            assert_eq!(failure.class, class, "{body}");
            assert!(failure.message.contains(message), "{}: {body}", failure.message);
        }
    }
}
