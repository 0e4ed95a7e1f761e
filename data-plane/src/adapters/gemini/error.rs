//! Google's errors: `{error: {code, message, status, details}}`, bare or in a list, by status or inside a stream.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use switchyard_proto::code::ErrorCode;

use crate::adapters::failure::{
    Failure, FailureClass, class_of, says_context_length, spelled_duration, word,
};

/// Classifies an answer with an error status. The content type is no guide: a refused stream keeps
/// `text/event-stream` over a plain JSON body, and the edge may answer in HTML.
pub fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = body.get(0).unwrap_or(&body).get("error").unwrap_or(&body);
    classify(error, Some(status)).with_head(status, headers)
}

/// Classifies an error that came with a success status.
pub fn inside_success(error: &str) -> Failure {
    classify(&serde_json::from_str(error).unwrap_or_default(), None)
}

fn classify(error: &Value, status: Option<StatusCode>) -> Failure {
    let message = error["message"].as_str().or(error.as_str()).unwrap_or_default();
    let named = error["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    let named = named.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.or(named);
    let details = Details::read(&error["details"]);
    let kind = word(error.get("status")).unwrap_or_default();
    let class = by_words(&kind, &details, &message.to_lowercase());
    let class = class.unwrap_or_else(|| status.map_or(FailureClass::Server, class_of));
    let code = [details.reason, kind].into_iter().find(|word| !word.is_empty());
    let mut failure = Failure::reported(class, message, code);
    failure.status = status;
    failure.retry_after = details.retry_after;
    if status == Some(StatusCode::PAYLOAD_TOO_LARGE) {
        failure.code = ErrorCode::PayloadTooLarge;
    }
    failure
}

/// What the `details` say, whatever else is in them.
#[derive(Debug, Default)]
struct Details {
    reason: String,
    retry_after: Option<Duration>,
    /// Whether a quota of the whole day is spent.
    is_daily: bool,
}

impl Details {
    fn read(details: &Value) -> Self {
        let mut all = Self::default();
        for detail in details.as_array().into_iter().flatten() {
            if let Some(reason) = word(detail.get("reason")).filter(|_| all.reason.is_empty()) {
                all.reason = reason;
            }
            all.retry_after = all.retry_after.or(detail["retryDelay"].as_str().and_then(spelled_duration));
            let limit = detail.pointer("/metadata/quota_limit");
            let violations = detail["violations"].as_array().into_iter().flatten();
            let quotas = violations.map(|violation| &violation["quotaId"]).chain(limit);
            all.is_daily |= quotas.filter_map(Value::as_str).any(|quota| quota.contains("PerDay"));
        }
        all
    }
}

/// Words beat the status: a bad key comes as 400, a spent day as 429.
fn by_words(kind: &str, details: &Details, message: &str) -> Option<FailureClass> {
    match details.reason.as_str() {
        "API_KEY_INVALID" | "API_KEY_EXPIRED" | "ACCESS_TOKEN_EXPIRED" | "CREDENTIALS_MISSING" => {
            return Some(FailureClass::Auth);
        }
        "BILLING_DISABLED" => return Some(FailureClass::Payment),
        _ => {}
    }
    Some(match kind {
        "INVALID_ARGUMENT" | "OUT_OF_RANGE" => by_complaint(message),
        "FAILED_PRECONDITION" => FailureClass::Permission,
        "UNAUTHENTICATED" => FailureClass::Auth,
        "PERMISSION_DENIED" if message.contains("reported as leaked") => FailureClass::Auth,
        "PERMISSION_DENIED" => FailureClass::Permission,
        "NOT_FOUND" => FailureClass::NotFound,
        "RESOURCE_EXHAUSTED" if details.is_daily => FailureClass::Payment,
        "RESOURCE_EXHAUSTED" => FailureClass::RateLimited,
        "UNAVAILABLE" => FailureClass::Overloaded,
        "DEADLINE_EXCEEDED" | "CANCELLED" => FailureClass::Timeout,
        "UNIMPLEMENTED" => FailureClass::Unsupported,
        "INTERNAL" | "UNKNOWN" | "DATA_LOSS" | "ABORTED" => FailureClass::Server,
        _ => return None,
    })
}

/// What is wrong with the request.
fn by_complaint(message: &str) -> FailureClass {
    /// Signs that another model or endpoint takes what this one refuses.
    const UNSUPPORTED: [&str; 11] = [
        "is not enabled for",
        "is not supported",
        "not supported by this model",
        "does not support",
        "doesn't support",
        "is unsupported",
        "unsupported mime type",
        "only supported",
        "only works in thinking mode",
        "cannot find field",
        "tool use with function calling",
    ];
    if message.contains("api key not valid") || message.contains("api key expired") {
        FailureClass::Auth
    } else if says_context_length(message) {
        FailureClass::ContextLength
    } else if UNSUPPORTED.iter().any(|sign| message.contains(sign)) {
        FailureClass::Unsupported
    } else {
        FailureClass::InvalidRequest
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_have_one_class_each() {
        use FailureClass::*;
        let info =
            |reason: &str| json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]);
        let quota = |id: &str| json!([{"violations": [{"quotaId": id}]}]);
        let over = "The input token count (1250074) exceeds the maximum number of tokens allowed (1048576).";
        let penalty = "Penalty is not enabled for models/gemini-2.5-flash";
        let field = "Invalid JSON payload received. Unknown name \"x\" at 'tools[0]': Cannot find field.";
        for (status, kind, message, details, class) in [
            (400, "INVALID_ARGUMENT", "Please use a valid role: user, model.", json!([]), InvalidRequest),
            (400, "INVALID_ARGUMENT", "API key not valid.", info("API_KEY_INVALID"), Auth),
            (400, "INVALID_ARGUMENT", "API key not valid. Please pass one.", json!(null), Auth),
            (400, "INVALID_ARGUMENT", over, json!(null), ContextLength),
            (400, "INVALID_ARGUMENT", penalty, json!(null), Unsupported),
            (400, "INVALID_ARGUMENT", field, json!(null), Unsupported),
            (400, "FAILED_PRECONDITION", "User location is not supported", json!(null), Permission),
            (401, "UNAUTHENTICATED", "x", json!(null), Auth),
            (403, "PERMISSION_DENIED", "x", info("SERVICE_DISABLED"), Permission),
            (403, "PERMISSION_DENIED", "x", info("BILLING_DISABLED"), Payment),
            (403, "PERMISSION_DENIED", "Your API key was reported as leaked.", json!(null), Auth),
            (404, "NOT_FOUND", "x", json!(null), NotFound),
            (429, "RESOURCE_EXHAUSTED", "x", quota("GenerateRequestsPerMinute"), RateLimited),
            (429, "RESOURCE_EXHAUSTED", "x", quota("GenerateRequestsPerDayPerProject"), Payment),
            (
                429,
                "RESOURCE_EXHAUSTED",
                "x",
                json!([{"metadata": {"quota_limit": "RequestsPerDay"}}]),
                Payment,
            ),
            (499, "CANCELLED", "x", json!(null), Timeout),
            (500, "INTERNAL", "x", json!(null), Server),
            (501, "UNIMPLEMENTED", "x", json!(null), Unsupported),
            (503, "UNAVAILABLE", "The model is overloaded.", json!(null), Overloaded),
            (504, "DEADLINE_EXCEEDED", "x", json!(null), Timeout),
            (418, "TEAPOT", "x", json!({"odd": 1}), InvalidRequest),
            (500, "", "", json!(null), Server),
        ] {
            let error = json!({"code": status, "status": kind, "message": message, "details": details});
            let status = StatusCode::from_u16(status).expect("status");
            let bare = json!({ "error": error }).to_string();
            let listed = json!([{ "error": error }]).to_string();
            for body in [bare, listed] {
                let found = failure(status, &HeaderMap::new(), body.as_bytes());
                assert_eq!(found.class, class, "{body}");
            }
            let inside = inside_success(&error.to_string());
            assert_eq!((inside.class, inside.status), (class, Some(status)), "{error}");
        }
        assert_eq!(failure(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html>").class, Server);
    }

    #[test]
    fn the_wait_is_in_the_details() {
        let error = json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"}]}}]);
        let found = failure(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), error.to_string().as_bytes());
        assert_eq!(found.retry_after, Some(Duration::from_nanos(34_074_824_224)));
        assert_eq!(found.provider_code.as_deref(), Some("RESOURCE_EXHAUSTED"));
    }
}
