//! Amazon's errors: an exception by name, in a header, in the body, or as a message of a stream.

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use switchyard_proto::code::ErrorCode;

use crate::adapters::failure::{Failure, FailureClass, class_of, says_context_length, text};

/// Classifies an answer with an error status.
pub fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let name = text(headers, "x-amzn-errortype").map(short).or_else(|| named(&body).map(short));
    let mut failure = classify(name, &body, Some(status)).with_head(status, headers);
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        failure.code = ErrorCode::PayloadTooLarge;
    }
    failure
}

/// Classifies the body of a success that holds no answer.
pub fn inside_success(body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match named(&body).map(short) {
        None if said(&body).is_empty() => Failure::malformed("an answer without output"),
        name => classify(name, &body, None),
    }
}

/// Classifies an exception inside a stream by its name.
pub fn inside_stream(name: &str, payload: &[u8]) -> Failure {
    classify(Some(short(name)), &serde_json::from_slice(payload).unwrap_or_default(), None)
}

/// An exception's name without its namespace and its documentation's address.
fn short(name: &str) -> &str {
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().trim()
}

fn named(body: &Value) -> Option<&str> {
    body["__type"].as_str().or(body["Output"]["__type"].as_str()).or(body["code"].as_str())
}

fn said(body: &Value) -> &str {
    let texts = [&body["message"], &body["Message"], &body["originalMessage"]];
    texts.into_iter().find_map(Value::as_str).unwrap_or_default()
}

fn classify(name: Option<&str>, body: &Value, status: Option<StatusCode>) -> Failure {
    let message = said(body);
    let by_name = name.and_then(|name| by_name(&name.to_lowercase(), body));
    let class = by_name.unwrap_or_else(|| status.map_or(FailureClass::Server, class_of));
    let class = by_text(class, &message.to_lowercase());
    Failure::reported(class, message, name.filter(|name| !name.is_empty()).map(str::to_owned))
}

fn by_name(name: &str, body: &Value) -> Option<FailureClass> {
    Some(match name.trim_end_matches("exception") {
        "validation" => FailureClass::InvalidRequest,
        "accessdenied" => FailureClass::Permission,
        "unrecognizedclient"
        | "expiredtoken"
        | "invalidsignature"
        | "signaturedoesnotmatch"
        | "missingauthenticationtoken"
        | "invalidclienttokenid"
        | "incompletesignature" => FailureClass::Auth,
        "resourcenotfound" | "unknownoperation" => FailureClass::NotFound,
        "throttling" | "servicequotaexceeded" | "toomanyrequests" => FailureClass::RateLimited,
        "modelnotready" | "serviceunavailable" => FailureClass::Overloaded,
        "modeltimeout" | "requesttimeout" => FailureClass::Timeout,
        "modelerror" | "modelstreamerror" => by_original(body),
        "internalserver" | "internalfailure" => FailureClass::Server,
        _ => return None,
    })
}

/// The class of what the model's own server answered, where that says anything about trying again.
fn by_original(body: &Value) -> FailureClass {
    let status = body["originalStatusCode"].as_u64().and_then(|code| u16::try_from(code).ok());
    let status = status.and_then(|code| StatusCode::from_u16(code).ok());
    match status.map(class_of) {
        Some(
            class @ (FailureClass::InvalidRequest
            | FailureClass::RateLimited
            | FailureClass::Overloaded
            | FailureClass::Timeout),
        ) => class,
        _ => FailureClass::Server,
    }
}

/// A refused request may be one that another model takes; a refused credential may be an unpaid bill.
fn by_text(class: FailureClass, message: &str) -> FailureClass {
    let says = |signs: &[&str]| signs.iter().any(|sign| message.contains(sign));
    match class {
        FailureClass::InvalidRequest if says_context_length(message) || says(&CONTEXT) => {
            FailureClass::ContextLength
        }
        FailureClass::InvalidRequest if says(&GONE) => FailureClass::NotFound,
        FailureClass::InvalidRequest if says(&FILTERED) => FailureClass::ContentFiltered,
        FailureClass::InvalidRequest if says(&LACKING) => FailureClass::Unsupported,
        FailureClass::Permission if says(&["payment instrument", "payment_instrument"]) => {
            FailureClass::Payment
        }
        FailureClass::Permission if says(&["api key", "authentication failed"]) => FailureClass::Auth,
        class => class,
    }
}

const CONTEXT: [&str; 3] =
    ["input tokens exceeded", "input tokens exceeds maximum length", "too many input tokens"];
const GONE: [&str; 4] = [
    "model identifier is invalid",
    "on-demand throughput isn",
    "reached the end of its life",
    "reached end of life",
];
const FILTERED: [&str; 1] = ["blocked by our content filters"];
const LACKING: [&str; 7] = [
    "doesn't support",
    "does not support",
    "isn't supported",
    "is not supported",
    "unsupported",
    "extra inputs are not permitted",
    "extraneous key",
];

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_beat_statuses_and_texts_refine_them() {
        use FailureClass::*;
        for (status, name, message, class) in [
            (400, "ValidationException:http://internal.amazon.com/coral/", "bad", InvalidRequest),
            (400, "ValidationException", "Input is too long for requested model.", ContextLength),
            (400, "", "The model returned the following errors: Input Tokens Exceeded: x", ContextLength),
            (400, "ValidationException", "The provided model identifier is invalid.", NotFound),
            (
                400,
                "ValidationException",
                "Invocation of model ID x with on-demand throughput isn\u{2019}t supported.",
                NotFound,
            ),
            (400, "", "This model doesn't support the s3Uri field. Remove s3Uri and try again.", Unsupported),
            (403, "AccessDeniedException", "no", Permission),
            (403, "AccessDeniedException", "INVALID_PAYMENT_INSTRUMENT: x", Payment),
            (403, "UnrecognizedClientException:http://x", "x", Auth),
            (403, "ExpiredTokenException", "x", Auth),
            (403, "InvalidSignatureException", "x", Auth),
            (
                404,
                "ResourceNotFoundException",
                "This model version has reached the end of its life.",
                NotFound,
            ),
            (429, "ThrottlingException", "Too many tokens, please wait before trying again.", RateLimited),
            (400, "ServiceQuotaExceededException", "x", RateLimited),
            (429, "ModelNotReadyException", "x", Overloaded),
            (503, "ServiceUnavailableException", "x", Overloaded),
            (408, "ModelTimeoutException", "x", Timeout),
            (424, "ModelErrorException", "x", Server),
            (500, "InternalServerException", "x", Server),
            (413, "", "", InvalidRequest),
            (429, "", "", RateLimited),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let mut headers = HeaderMap::new();
            if !name.is_empty() {
                headers.insert("x-amzn-errortype", HeaderValue::from_static(name));
            }
            let body = json!({ "message": message }).to_string();
            let found = failure(status, &headers, body.as_bytes());
            assert_eq!((found.class, found.status), (class, Some(status)), "{status} {name} {message}");
            let code = name.split(':').next().filter(|name| !name.is_empty());
            assert_eq!(found.provider_code.as_deref(), code);
        }
    }

    #[test]
    fn the_body_names_the_exception_where_no_header_does() {
        for (body, class) in [
            (
                r#"{"__type":"com.amazon.coral.service#ThrottlingException","Message":"x"}"#,
                FailureClass::RateLimited,
            ),
            ("<html>", FailureClass::InvalidRequest),
        ] {
            let found = failure(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes());
            assert_eq!(found.class, class, "{body}");
        }
    }

    #[test]
    fn a_success_without_output_is_what_it_names() {
        for (body, class) in [
            (
                r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#,
                FailureClass::NotFound,
            ),
            (r#"{"__type":"UnknownOperationException"}"#, FailureClass::NotFound),
            (r#"{"message":"x"}"#, FailureClass::Server),
            ("{}", FailureClass::Malformed),
        ] {
            assert_eq!(inside_success(body.as_bytes()).class, class, "{body}");
        }
    }

    #[test]
    fn exceptions_of_a_stream_have_their_classes() {
        for (name, payload, class) in [
            ("throttlingException", r#"{"message":"Too many requests"}"#, FailureClass::RateLimited),
            ("internalServerException", "{}", FailureClass::Server),
            ("serviceUnavailableException", "", FailureClass::Overloaded),
            ("validationException", r#"{"message":"prompt is too long: 3"}"#, FailureClass::ContextLength),
            ("modelStreamErrorException", r#"{"originalStatusCode":429}"#, FailureClass::RateLimited),
            ("modelStreamErrorException", r#"{"originalStatusCode":401}"#, FailureClass::Server),
            ("modelStreamErrorException", r#"{"originalStatusCode":"x"}"#, FailureClass::Server),
            ("brandNewException", r#"{"message":"x"}"#, FailureClass::Server),
        ] {
            assert_eq!(inside_stream(name, payload.as_bytes()).class, class, "{name} {payload}");
        }
    }
}
