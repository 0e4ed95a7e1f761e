//! Error bodies in the many shapes that OpenAI and those who follow it use, on every surface.

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use switchyard_proto::code::ErrorCode;

use crate::adapters::failure::{
    Failure, FailureClass, class_of, says_context_length, spelled_duration, text, word,
};

/// Classifies an answer with an error status.
pub fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let said = serde_json::from_slice::<Value>(body).map(|body| Said::read(&body)).unwrap_or_default();
    let mut failure = said.classify(Some(status)).with_head(status, headers);
    if failure.class == FailureClass::RateLimited && failure.retry_after.is_none() {
        failure.retry_after = reset(headers);
    }
    failure
}

/// Classifies an error object that came with a success status.
pub fn inside_success(error: &str) -> Failure {
    let error: Value = serde_json::from_str(error).unwrap_or_default();
    Said::read(&serde_json::json!({ "error": error })).classify(None)
}

/// Classifies a whole body that is an error without an envelope.
pub fn bare(body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    Said::read(&body).classify(None)
}

/// What a body says, whatever its shape.
#[derive(Debug, Default)]
struct Said {
    message: String,
    kind: String,
    code: String,
    /// Azure's finer code.
    inner: String,
    /// A status inside the body.
    status: Option<StatusCode>,
    /// OpenRouter's word for it.
    error_type: String,
    retry_after: Option<std::time::Duration>,
}

impl Said {
    fn read(body: &Value) -> Self {
        // Google wraps the object in an array.
        let body = body.get(0).unwrap_or(body);
        let error = match body.get("error") {
            Some(error @ Value::Object(_)) => {
                error.get("error").filter(|inner| inner.is_object()).unwrap_or(error)
            }
            _ => body,
        };
        let code = word(error.get("code")).unwrap_or_default();
        Self {
            message: message(error, body),
            kind: word(error.get("type")).or_else(|| word(error.get("status"))).unwrap_or_default(),
            status: [error.get("code"), error.get("status"), body.get("status"), body.get("raw_status_code")]
                .into_iter()
                .find_map(status),
            error_type: word(error.pointer("/metadata/error_type")).unwrap_or_default(),
            retry_after: retry_hint(error, body),
            inner: word(error.pointer("/innererror/code")).unwrap_or_default(),
            code,
        }
    }

    fn classify(self, status: Option<StatusCode>) -> Failure {
        let by_status = || {
            status.or(self.status).map_or_else(|| self.by_types().unwrap_or(FailureClass::Server), class_of)
        };
        let class = self.by_words().unwrap_or_else(by_status);
        let code = [&self.code, &self.kind, &self.inner].into_iter().find(|word| !word.is_empty()).cloned();
        let mut failure = Failure::reported(class, &self.message, code);
        failure.code = self.finer_code(status).unwrap_or(failure.code);
        failure.status = status.or(self.status);
        failure.retry_after = self.retry_after;
        failure
    }

    /// Words beat the status: providers agree on the former more than on the latter.
    fn by_words(&self) -> Option<FailureClass> {
        let message = self.message.to_lowercase();
        let [code, kind] = [self.code.to_lowercase(), self.kind.to_lowercase()];
        if [&message, &code, &kind].into_iter().any(|text| says_context_length(text)) {
            return Some(FailureClass::ContextLength);
        }
        by_code(&code)
            .or_else(|| by_code(&kind))
            .or_else(|| by_code(&self.inner.to_lowercase()))
            .or_else(|| by_error_type(&self.error_type))
            .or_else(|| by_message(&message))
    }

    /// What the type words say, which is less than a status does: OpenAI calls most refusals invalid requests.
    fn by_types(&self) -> Option<FailureClass> {
        [&self.kind, &self.code, &self.error_type].into_iter().find_map(|word| by_type(word))
    }

    fn finer_code(&self, status: Option<StatusCode>) -> Option<ErrorCode> {
        let code = self.code.to_lowercase();
        Some(match code.as_str() {
            "string_above_max_length" => ErrorCode::StringTooLong,
            "invalid_image_url" if self.message.contains("download") => ErrorCode::ImageDownloadFailed,
            "failed_to_download_image" => ErrorCode::ImageDownloadFailed,
            "image_file_not_found" => ErrorCode::ImageNotFound,
            "image_too_large" | "image_file_too_large" => ErrorCode::ImageTooLarge,
            "image_too_small" | "empty_image_file" => ErrorCode::ImageTooSmall,
            "unsupported_image_media_type" | "unsupported_image_format" => ErrorCode::UnsupportedImageFormat,
            "invalid_image"
            | "invalid_image_url"
            | "invalid_image_format"
            | "image_parse_error"
            | "invalid_base64_image" => ErrorCode::InvalidImage,
            _ if status == Some(StatusCode::PAYLOAD_TOO_LARGE) && self.by_words().is_none() => {
                ErrorCode::PayloadTooLarge
            }
            _ => return None,
        })
    }
}

fn by_code(code: &str) -> Option<FailureClass> {
    Some(match code {
        "insufficient_quota"
        | "billing_hard_limit_reached"
        | "billing_not_active"
        | "1113"
        | "insufficient_balance" => FailureClass::Payment,
        code if code.ends_with("_spend_limit_reached") => FailureClass::Payment,
        "rate_limit_exceeded"
        | "rate_limited"
        | "ratelimitreached"
        | "rate_limit_error"
        | "too_many_requests"
        | "1300"
        | "1302"
        | "1303"
        | "1305" => FailureClass::RateLimited,
        "engine_overloaded_error"
        | "overloaded_error"
        | "capacity_exceeded"
        | "3505"
        | "unavailable"
        | "resource_unavailable"
        | "overloaded" => FailureClass::Overloaded,
        "content_policy_violation"
        | "content_filter"
        | "invalid_prompt"
        | "responsibleaipolicyviolation"
        | "moderation_blocked"
        | "1301"
        | "data_inspection_failed"
        | "image_content_policy_violation"
        | "bio_policy"
        | "cyber_policy"
        | "misalignment_policy_violation" => FailureClass::ContentFiltered,
        "invalid_api_key" | "authentication_error" | "unauthenticated" | "invalid_authentication" => {
            FailureClass::Auth
        }
        "model_not_found" | "deploymentnotfound" | "invalid_model" | "model_not_exist" | "1211" => {
            FailureClass::NotFound
        }
        "1261" => FailureClass::ContextLength,
        "unsupported_country_region_territory" | "permission_denied" | "data_residency_mismatch" => {
            FailureClass::Permission
        }
        "unknown_parameter" | "unsupported_parameter" | "unsupported_value" | "extra_forbidden" => {
            FailureClass::Unsupported
        }
        // The model's own output was not what it had to be: another try may succeed.
        "tool_use_failed" | "json_validate_failed" => FailureClass::Malformed,
        "server_error" | "internal_server_error" => FailureClass::Server,
        "timeout" | "request_timeout" | "deadline_exceeded" | "vector_store_timeout" => FailureClass::Timeout,
        code if is_about_an_image(code) => FailureClass::InvalidRequest,
        _ => return None,
    })
}

/// The class that a type suggests, in whatever spelling: `not_found_error`, `NotFoundError`, `NOT_FOUND`.
fn by_type(word: &str) -> Option<FailureClass> {
    let name = word.rsplit('.').next().unwrap_or(word).to_lowercase().replace(['_', '-', ' '], "");
    let name = ["error", "exception"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    Some(match name {
        "invalidrequest" | "badrequest" | "invalidargument" | "validation" | "unprocessableentity" => {
            FailureClass::InvalidRequest
        }
        "notfound" => FailureClass::NotFound,
        "permission" | "permissiondenied" | "forbidden" => FailureClass::Permission,
        "billing" | "paymentrequired" => FailureClass::Payment,
        "authentication" | "unauthorized" => FailureClass::Auth,
        "ratelimit" | "toomanyrequests" | "resourceexhausted" => FailureClass::RateLimited,
        "overloaded" | "serviceunavailable" => FailureClass::Overloaded,
        "timeout" | "apitimeout" => FailureClass::Timeout,
        "internal" | "internalserver" | "server" | "api" => FailureClass::Server,
        _ => return None,
    })
}

/// Whether the code blames an image of the prompt, which no other try would mend.
fn is_about_an_image(code: &str) -> bool {
    const CODES: [&str; 4] =
        ["image_parse_error", "empty_image_file", "failed_to_download_image", "unsupported_image_media_type"];
    code.starts_with("invalid_image")
        || code == "invalid_base64_image"
        || ["image_too_", "image_file_"].iter().any(|start| code.starts_with(start))
        || CODES.contains(&code)
}

/// OpenRouter's vocabulary, of which its own faults and its caller's are ours.
fn by_error_type(error_type: &str) -> Option<FailureClass> {
    use ErrorCode as Code;
    Some(match Code::from_error_type(error_type)? {
        Code::ContextLengthExceeded | Code::MaxTokensExceeded | Code::TokenLimitExceeded => {
            FailureClass::ContextLength
        }
        Code::Authentication => FailureClass::Auth,
        Code::PermissionDenied => FailureClass::Permission,
        Code::PaymentRequired => FailureClass::Payment,
        Code::RateLimitExceeded => FailureClass::RateLimited,
        Code::ProviderOverloaded => FailureClass::Overloaded,
        Code::ProviderUnavailable | Code::Server => FailureClass::Server,
        Code::NotFound => FailureClass::NotFound,
        Code::ContentPolicyViolation | Code::Refusal => FailureClass::ContentFiltered,
        Code::Timeout => FailureClass::Timeout,
        _ => return None,
    })
}

fn by_message(message: &str) -> Option<FailureClass> {
    let says = |signs: &[&str]| signs.iter().any(|sign| message.contains(sign));
    if says(&[
        "insufficient balance",
        "credit balance",
        "insufficient credits",
        "exceeded your current quota",
    ]) {
        Some(FailureClass::Payment)
    } else if says(&["incorrect api key", "invalid api key", "api key not valid", "api key is invalid"]) {
        Some(FailureClass::Auth)
    } else if says(&["content safety", "safety check", "content management policy", "content policy"]) {
        Some(FailureClass::ContentFiltered)
    } else if says(&[
        "not supported with this model",
        "is not supported by this model",
        "not enabled for this model",
    ]) {
        Some(FailureClass::Unsupported)
    } else if message.starts_with("model not found") {
        Some(FailureClass::NotFound)
    } else {
        None
    }
}

/// The message: a string, a validation list, or whatever else stands in its place.
fn message(error: &Value, body: &Value) -> String {
    let places = [
        error.get("message"),
        body.get("error"),
        body.get("message"),
        body.get("detail"),
        body.get("title"),
        body.get("errors"),
    ];
    places.into_iter().flatten().map(flat).find(|text| !text.is_empty()).unwrap_or_default()
}

fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(flat).collect::<Vec<_>>().join("; "),
        Value::Object(members) => ["msg", "message", "detail"]
            .iter()
            .find_map(|name| members.get(*name))
            .map(flat)
            .unwrap_or_default(),
        _ => String::new(),
    }
}

/// A number or numeric text that can be an error status.
fn status(value: Option<&Value>) -> Option<StatusCode> {
    let number: u16 = word(value)?.parse().ok()?;
    StatusCode::from_u16(number).ok().filter(|status| number < 600 && !status.is_success())
}

/// Google's, OpenRouter's and Hugging Face's hints inside the body, then what OpenAI and Azure say in words.
fn retry_hint(error: &Value, body: &Value) -> Option<std::time::Duration> {
    let details = error.get("details").and_then(Value::as_array);
    let google = || details?.iter().find_map(|detail| spelled_duration(detail.get("retryDelay")?.as_str()?));
    let seconds = [error.pointer("/availability/retry_after"), body.get("estimated_time")];
    let seconds = seconds.into_iter().flatten().find_map(Value::as_f64);
    seconds
        .and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok())
        .or_else(google)
        .or_else(|| spoken_hint(error))
}

/// "Please retry after 7 seconds", "Please try again in 1.2s".
fn spoken_hint(error: &Value) -> Option<std::time::Duration> {
    let message = error.get("message")?.as_str()?;
    let after = |sign: &str| message.split_once(sign).and_then(|(_, rest)| rest.split_whitespace().next());
    let seconds = || {
        let mut words = message.split_once("retry after ")?.1.split_whitespace();
        let number = words.next()?.parse::<f64>().ok()?;
        words.next().filter(|unit| unit.starts_with("second"))?;
        std::time::Duration::try_from_secs_f64(number).ok()
    };
    seconds().or_else(|| spelled_duration(after("try again in ")?.trim_end_matches('.')))
}

/// The longest reset among the limits that are spent.
fn reset(headers: &HeaderMap) -> Option<std::time::Duration> {
    let spent = ["requests", "tokens"].into_iter().filter(|limit| {
        text(headers, &format!("x-ratelimit-remaining-{limit}")).is_some_and(|left| left.trim() == "0")
    });
    spent.filter_map(|limit| spelled_duration(text(headers, &format!("x-ratelimit-reset-{limit}"))?)).max()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn bodies_of_every_shape_are_classified() {
        use FailureClass::*;
        for (status, body, class) in [
            (
                400,
                r#"{"error":{"message":"bad","type":"invalid_request_error","code":null}}"#,
                InvalidRequest,
            ),
            (400, r#"{"error":{"message":"x","code":"unsupported_parameter","param":"n"}}"#, Unsupported),
            (
                400,
                r#"{"error":{"message":"This model's maximum context length is 8","code":"context_length_exceeded"}}"#,
                ContextLength,
            ),
            (400, r#"{"error":{"message":"x","code":"content_filter","innererror":{}}}"#, ContentFiltered),
            (400, r#"{"error":{"message":"Incorrect API key provided: xai-1","code":"x"}}"#, Auth),
            (
                401,
                r#"{"error":{"message":"Incorrect API key provided: sk-1","code":"invalid_api_key"}}"#,
                Auth,
            ),
            (401, r#"{"detail":"Unauthorized"}"#, Auth),
            (402, r#"{"error":{"message":"Insufficient Balance"}}"#, Payment),
            (
                403,
                r#"{"error":{"message":"Country not supported","code":"unsupported_country_region_territory"}}"#,
                Permission,
            ),
            (404, r#"{"error":{"message":"no","code":"model_not_found"}}"#, NotFound),
            (
                400,
                r#"{"code":"1500","message":"Invalid model: x","object":"error","type":"invalid_model"}"#,
                NotFound,
            ),
            (
                422,
                r#"{"detail":[{"type":"extra_forbidden","loc":["body","x"],"msg":"Extra inputs"}]}"#,
                InvalidRequest,
            ),
            (
                422,
                r#"{"object":"error","message":{"detail":[{"msg":"bad"}]},"type":"invalid_request_error"}"#,
                InvalidRequest,
            ),
            (
                429,
                r#"{"error":{"message":"slow","type":"tokens","code":"rate_limit_exceeded"}}"#,
                RateLimited,
            ),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#,
                Payment,
            ),
            (429, r#"{"error":{"message":"busy","type":"engine_overloaded_error"}}"#, Overloaded),
            (498, r#"{"error":{"message":"flex"}}"#, Overloaded),
            (400, r#"{"error":{"message":"x","code":"tool_use_failed","failed_generation":"{"}}"#, Malformed),
            (500, r#"<html>oops</html>"#, Server),
            (502, "", Server),
            (
                503,
                r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
                Overloaded,
            ),
            (504, "upstream request timeout", Timeout),
            (529, "{}", Overloaded),
            (413, r#"{"error":{"message":"Request too large for model"}}"#, InvalidRequest),
            (400, r#"{"code":"Client specified an invalid argument","error":"Bad"}"#, InvalidRequest),
            (
                502,
                r#"{"error":{"code":502,"message":"x","metadata":{"error_type":"rate_limit_exceeded"}}}"#,
                RateLimited,
            ),
            (
                400,
                r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]"#,
                Auth,
            ),
            (
                400,
                r#"{"error":{"code":null,"message":"x","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                ContentFiltered,
            ),
            (400, r#"{"code":"invalid-argument","error":"Model not found: x"}"#, NotFound),
            (401, r#"{"statusCode":401,"message":"Unauthorized."}"#, Auth),
            (401, r#"{"error":{"code":"401","message":"Access denied"}}"#, Auth),
            (404, r#"{"error":{"code":"DeploymentNotFound","message":"x"}}"#, NotFound),
        ] {
            let status = StatusCode::from_u16(status).expect("status");
            let failure = failure(status, &HeaderMap::new(), body.as_bytes());
            assert_eq!(failure.class, class, "{status} {body}");
            assert_eq!(failure.status, Some(status));
            assert!(!failure.message.is_empty() && !failure.message.contains("sk-1"), "{}", failure.message);
        }
    }

    #[test]
    fn errors_inside_a_success_use_their_own_status() {
        use FailureClass::*;
        for (error, class) in [
            (r#"{"code":429,"message":"slow"}"#, RateLimited),
            (r#"{"code":503,"status":"UNAVAILABLE"}"#, Overloaded),
            (r#"{"message":"x","type":"server_error","code":500}"#, Server),
            (r#"{"message":"the request exceeds the available context size","code":400}"#, ContextLength),
            (r#""something broke""#, Server),
            ("null", Server),
            (r#"{"code":"rate_limit_exceeded","message":"x"}"#, RateLimited),
            (r#"{"code":"invalid_prompt","message":"x"}"#, ContentFiltered),
            (r#"{"code":"bio_policy","message":"x"}"#, ContentFiltered),
            (r#"{"code":"vector_store_timeout","message":"x"}"#, Timeout),
            (r#"{"code":"data_residency_mismatch","message":"x"}"#, Permission),
            (r#"{"code":"image_too_large","message":"x"}"#, InvalidRequest),
            (r#"{"type":"invalid_request_error","code":null,"message":"x"}"#, InvalidRequest),
            (r#"{"type":"BadRequestError","message":"x"}"#, InvalidRequest),
            (r#"{"type":"not_found_error","message":"x"}"#, NotFound),
            (r#"{"type":"NotFoundError","message":"x"}"#, NotFound),
            (r#"{"type":"permission_error","message":"x"}"#, Permission),
            (r#"{"type":"billing_error","message":"x"}"#, Payment),
            (r#"{"type":"rate_limit_error","message":"x"}"#, RateLimited),
            (r#"{"type":"RateLimitError","message":"x"}"#, RateLimited),
            (r#"{"type":"overloaded_error","message":"x"}"#, Overloaded),
            (r#"{"type":"authentication_error","message":"x"}"#, Auth),
            (r#"{"type":"AuthenticationError","message":"x"}"#, Auth),
            (r#"{"type":"InternalServerError","message":"x"}"#, Server),
            (r#"{"status":"INTERNAL","message":"x"}"#, Server),
            (r#"{"type":"invalid_request_error","code":"invalid_api_key","message":"x"}"#, Auth),
            (r#"{"type":"invalid_request_error","code":503,"message":"x"}"#, Overloaded),
            (r#"{"code":"image_content_policy_violation","message":"x"}"#, ContentFiltered),
        ] {
            assert_eq!(inside_success(error).class, class, "{error}");
        }
    }

    #[test]
    fn codes_tell_more_than_classes() {
        for (status, body, code) in [
            (
                400,
                r#"{"error":{"message":"Error while downloading https://x","code":"invalid_image_url"}}"#,
                ErrorCode::ImageDownloadFailed,
            ),
            (
                400,
                r#"{"error":{"message":"too long","code":"string_above_max_length"}}"#,
                ErrorCode::StringTooLong,
            ),
            (413, "<html>", ErrorCode::PayloadTooLarge),
            (401, "{}", ErrorCode::ProviderUnavailable),
        ] {
            let status = StatusCode::from_u16(status).expect("status");
            assert_eq!(failure(status, &HeaderMap::new(), body.as_bytes()).code, code, "{body}");
        }
    }

    #[test]
    fn waits_are_read_from_words_where_no_header_tells_them() {
        for (message, millis) in [
            ("Requests have exceeded call rate limit. Please retry after 7 seconds.", Some(7000)),
            ("Retry later, or retry after 1 second.", Some(1000)),
            ("Rate limit reached. Please try again in 6m0s. Visit https://x", Some(360_000)),
            ("Please try again in 120ms.", Some(120)),
            ("Please retry after a while.", None),
            ("Please try again in a moment.", None),
        ] {
            let body = serde_json::json!({"error": {"message": message}}).to_string();
            let failure = failure(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), body.as_bytes());
            assert_eq!(failure.retry_after.map(|wait| wait.as_millis()), millis, "{message}");
        }
    }

    #[test]
    fn a_spent_limit_says_when_it_is_back() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-ratelimit-remaining-requests", "12"),
            ("x-ratelimit-reset-requests", "10m"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "1m0.5s"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let failure = failure(StatusCode::TOO_MANY_REQUESTS, &headers, b"{}");
        assert_eq!(failure.retry_after, Some(std::time::Duration::from_millis(60_500)));
    }
}
