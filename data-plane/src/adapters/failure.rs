//! Why an attempt failed, in words that routing, accounting and callers can act on.
//!
//! Adapters classify; what follows (retry, fall over, open a breaker) is the pipeline's decision. The rules that
//! hold for every dialect are here: statuses, retry hints, texts about context length, what may be shown.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use switchyard_proto::code::ErrorCode;

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("provider answered with {class:?}: {message}")]
pub struct Failure {
    pub class: FailureClass,
    /// What the caller is told if this failure is the last word.
    pub code: ErrorCode,
    /// Safe text: the provider's own only where the request is at fault, ours otherwise.
    pub message: String,
    /// The provider's status; absent for failures inside a 200 that name none.
    pub status: Option<StatusCode>,
    /// The provider's own code or type.
    pub provider_code: Option<String>,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// The provider's own word on retrying, which beats the class.
    pub should_retry: Option<bool>,
}

/// Kinds of failure, each with one treatment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The request is wrong wherever it goes.
    InvalidRequest,
    /// The request has a member or value that this endpoint does not take; another may.
    Unsupported,
    ContextLength,
    /// Our credential is bad.
    Auth,
    /// Our credential may not do this: region, model access.
    Permission,
    /// Our account with the provider is spent.
    Payment,
    /// The model is gone upstream.
    NotFound,
    RateLimited,
    Overloaded,
    Timeout,
    /// The provider broke.
    Server,
    /// The answer is not the dialect, or ended before its end.
    Malformed,
    /// The prompt was refused by a filter.
    ContentFiltered,
}

impl FailureClass {
    /// The word for metrics and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Unsupported => "unsupported",
            Self::ContextLength => "context_length",
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::Payment => "payment",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Server => "server",
            Self::Malformed => "malformed",
            Self::ContentFiltered => "content_filtered",
        }
    }

    /// The code that callers see for this class.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::InvalidRequest | Self::Unsupported => ErrorCode::InvalidRequest,
            Self::ContextLength => ErrorCode::ContextLengthExceeded,
            // A caller's key is not at fault for ours, so these are never 401, 402 or 403.
            Self::Auth | Self::Permission | Self::Payment => ErrorCode::ProviderUnavailable,
            Self::NotFound => ErrorCode::NotFound,
            Self::RateLimited => ErrorCode::RateLimitExceeded,
            Self::Overloaded => ErrorCode::ProviderOverloaded,
            Self::Timeout => ErrorCode::Timeout,
            Self::Server | Self::Malformed => ErrorCode::ProviderUnavailable,
            Self::ContentFiltered => ErrorCode::ContentPolicyViolation,
        }
    }

    /// Whether another endpoint may do better.
    pub const fn may_fall_back(self) -> bool {
        !matches!(self, Self::InvalidRequest | Self::ContentFiltered)
    }

    /// Whether the same endpoint may do better at once or after a short wait.
    pub const fn may_retry(self) -> bool {
        matches!(self, Self::RateLimited | Self::Overloaded | Self::Timeout | Self::Server | Self::Malformed)
    }

    /// Whether the credential should be taken out of its pool until an operator looks at it.
    pub const fn condemns_credential(self) -> bool {
        matches!(self, Self::Auth | Self::Payment)
    }
}

/// Longest provider text that a caller is shown.
const MESSAGE_CHARS: usize = 600;

impl Failure {
    /// A failure in our own words, which callers may read.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            code: class.code(),
            message: message.into(),
            status: None,
            provider_code: None,
            retry_after: None,
            should_retry: None,
        }
    }

    /// Bytes that are not the dialect, or an answer without its end.
    pub fn malformed(what: &str) -> Self {
        Self::new(FailureClass::Malformed, format!("provider sent {what}"))
    }

    /// A failure in the provider's words, of which callers see only those about their own request.
    pub fn reported(class: FailureClass, said: &str, provider_code: Option<String>) -> Self {
        let shown = match class {
            FailureClass::InvalidRequest
            | FailureClass::Unsupported
            | FailureClass::ContextLength
            | FailureClass::ContentFiltered => safe_text(said),
            _ => String::new(),
        };
        let message = if shown.is_empty() { own_words(class).to_owned() } else { shown };
        Self { provider_code: provider_code.map(|code| safe_text(&code)), ..Self::new(class, message) }
    }

    /// The provider's own code as far as callers see it: it says nothing of the router's account.
    pub fn shown_code(&self) -> Option<&str> {
        match self.class {
            FailureClass::Auth | FailureClass::Permission | FailureClass::Payment => None,
            _ => self.provider_code.as_deref(),
        }
    }

    /// Notes the status and what the headers say about trying again.
    pub fn with_head(mut self, status: StatusCode, headers: &HeaderMap) -> Self {
        self.status = Some(status);
        if status == StatusCode::PAYLOAD_TOO_LARGE && self.class == FailureClass::InvalidRequest {
            self.code = ErrorCode::PayloadTooLarge;
        }
        self.retry_after = retry_after(headers).or(self.retry_after);
        self.should_retry = match text(headers, "x-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => self.should_retry,
        };
        self
    }
}

fn own_words(class: FailureClass) -> &'static str {
    match class {
        FailureClass::InvalidRequest => "provider refused the request",
        FailureClass::Unsupported => "provider does not support a parameter of the request",
        FailureClass::ContextLength => "the request does not fit into the model's context window",
        FailureClass::Auth => "provider refused the router's credential",
        FailureClass::Permission => "provider does not allow this to the router's credential",
        FailureClass::Payment => "the router's account with the provider is spent",
        FailureClass::NotFound => "provider does not have this model",
        FailureClass::RateLimited => "provider's rate limit is reached",
        FailureClass::Overloaded => "provider is overloaded",
        FailureClass::Timeout => "provider timed out",
        FailureClass::Server => "provider failed",
        FailureClass::Malformed => "provider sent a malformed answer",
        FailureClass::ContentFiltered => "provider's content filter refused the request",
    }
}

/// The class that a status alone suggests.
pub fn class_of(status: StatusCode) -> FailureClass {
    match status.as_u16() {
        401 => FailureClass::Auth,
        402 => FailureClass::Payment,
        403 | 451 => FailureClass::Permission,
        404 | 410 => FailureClass::NotFound,
        408 | 499 | 504 | 524 => FailureClass::Timeout,
        429 => FailureClass::RateLimited,
        // 498 is Groq's flex capacity, 529 Anthropic's and Cloudflare's overload.
        498 | 503 | 529 => FailureClass::Overloaded,
        409 | 424 | 425 => FailureClass::Server,
        400..500 => FailureClass::InvalidRequest,
        _ => FailureClass::Server,
    }
}

/// Whether a text says that prompt and cap do not fit the window.
pub fn says_context_length(text: &str) -> bool {
    const SIGNS: [&str; 17] = [
        "context_length_exceeded",
        "maximum context length",
        "context length exceeded",
        "exceeds the model's maximum context length",
        "prompt is too long",
        "exceed context limit",
        "exceeds the maximum number of tokens allowed",
        "input is too long for requested model",
        "exceeds the available context size",
        "`inputs` tokens + `max_new_tokens` must be",
        "longer than the model's context length",
        "input token count exceeds",
        "maximum input length is",
        "too_many_prompt_tokens",
        "total length of all messages is too long",
        "prompt contains too many tokens",
        "too large for model with",
    ];
    let text = text.to_lowercase();
    // An over-long single string or id is another matter, though its text can look alike.
    !text.contains("string_above_max_length")
        && (SIGNS.iter().any(|sign| text.contains(sign))
            || both(&text, "current length is", "while limit is")
            || both(&text, "input too long", "tokens"))
}

fn both(text: &str, one: &str, other: &str) -> bool {
    text.contains(one) && text.contains(other)
}

/// A provider's text made fit for callers: one line, not endless, without anything that looks like a credential.
pub fn safe_text(text: &str) -> String {
    let words = text.split_whitespace().map(|word| if is_secret(word) { "[redacted]" } else { word });
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Whether a credential begins somewhere in the word: `sk-…`, `key=sk-…`, `{"key":"sk-…`.
fn is_secret(word: &str) -> bool {
    const PREFIXES: [&str; 12] =
        ["sk-", "sk_", "pk-", "gsk_", "AIza", "xai-", "hf_", "org-", "proj_", "AKIA", "ASIA", "ya29."];
    let mut is_boundary = true;
    word.char_indices().any(|(at, letter)| {
        let begins = std::mem::replace(&mut is_boundary, !letter.is_alphanumeric());
        begins && PREFIXES.iter().any(|prefix| word[at..].starts_with(prefix))
    })
}

/// How long to wait, from the headers in their order of trust.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let millis = text(headers, "retry-after-ms").and_then(|ms| ms.trim().parse::<f64>().ok());
    if let Some(wait) = millis.and_then(|ms| seconds(ms / 1000.0)) {
        return Some(wait);
    }
    let after = text(headers, "retry-after")?.trim();
    match after.parse::<f64>() {
        Ok(after) => seconds(after),
        Err(_) => until(after, text(headers, "date")?),
    }
}

/// The span between two HTTP dates, zero if the first has passed.
fn until(then: &str, now: &str) -> Option<Duration> {
    let [then, now] = [then, now].map(|date| chrono::DateTime::parse_from_rfc2822(date).ok());
    Some((then? - now?).to_std().unwrap_or_default())
}

fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

/// A duration as Go and protobuf write it: `34s`, `0.5s`, `6m0s`, `120ms`.
pub fn spelled_duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let end = unit.find(|letter: char| letter.is_ascii_digit()).unwrap_or(unit.len());
        total += number
            * match &unit[..end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                _ => return None,
            };
        rest = &unit[end..];
    }
    seconds(total)
}

/// A header as text.
pub fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A member that is a string or a number, as text.
pub fn word(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn retry_hints_are_trusted_in_order() {
        for (headers, expected) in [
            (vec![("retry-after", "2")], Some(2000)),
            (vec![("retry-after", "0.25")], Some(250)),
            (vec![("retry-after", "9"), ("retry-after-ms", "1500.5")], Some(1500)),
            (
                vec![
                    ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT"),
                    ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
                ],
                Some(30_000),
            ),
            (
                vec![
                    ("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT"),
                    ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
                ],
                Some(0),
            ),
            (vec![("retry-after", "-1")], None),
            (vec![("retry-after", "soon")], None),
            (vec![], None),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in &headers {
                map.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(retry_after(&map).map(|wait| wait.as_millis()), expected, "{headers:?}");
        }
    }

    #[test]
    fn durations_are_read_as_they_are_spelled() {
        for (text, expected) in [
            ("34s", Some(34_000)),
            ("0.5s", Some(500)),
            ("6m0s", Some(360_000)),
            ("120ms", Some(120)),
            ("1h2m", Some(3_720_000)),
            ("12", None),
            ("x", None),
        ] {
            assert_eq!(spelled_duration(text).map(|wait| wait.as_millis()), expected, "{text}");
        }
    }

    #[test]
    fn context_length_is_told_from_long_strings() {
        for (text, expected) in [
            ("This model's maximum context length is 8192 tokens.", true),
            ("prompt is too long: 3333404 tokens > 200000 maximum", true),
            ("input length and `max_tokens` exceed context limit: 1 + 2 > 3", true),
            ("Current length is 9000 while limit is 8192", true),
            ("string_above_max_length: this model's maximum context length", false),
            ("Invalid 'user': string too long. Got 429 of 64", false),
        ] {
            assert_eq!(says_context_length(text), expected, "{text}");
        }
    }

    #[test]
    fn texts_for_callers_hold_no_credential_and_end_somewhere() {
        assert_eq!(safe_text("key sk-abc,\n is (gsk_x) bad"), "key [redacted] is [redacted] bad");
        for (text, shown) in [
            ("api_key=sk-abc is bad", "[redacted] is bad"),
            (r#"{"key":"sk-abc"}"#, "[redacted]"),
            ("é:AIzaX ya29.a0 key/ASIAX", "[redacted] [redacted] [redacted]"),
            ("a task-force of disk-drives", "a task-force of disk-drives"),
        ] {
            assert_eq!(safe_text(text), shown);
        }
        assert_eq!(safe_text(&"x".repeat(5000)).chars().count(), MESSAGE_CHARS + 1);
    }

    #[test]
    fn a_router_fault_upstream_is_never_shown_as_the_callers() {
        for class in [FailureClass::Auth, FailureClass::Permission, FailureClass::Payment] {
            let failure =
                Failure::reported(class, "key sk-123 of org-9 is bad", Some("insufficient_quota".to_owned()));
            assert_eq!(failure.shown_code(), None);
            assert_eq!(failure.code, ErrorCode::ProviderUnavailable);
            assert!(!failure.message.contains("123"), "{}", failure.message);
        }
    }
}
