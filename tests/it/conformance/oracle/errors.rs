//! What an error's status and body say about its class: the tables of the wire formats, in words and numbers.
//!
//! Clear words leave one class or two; a status alone leaves what such a status can mean.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use switchyard_data_plane::adapters::FailureClass::{self, *};

/// The classes that are right for an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes(Vec<FailureClass>);

impl Classes {
    pub fn of(classes: &[FailureClass]) -> Self {
        Self(classes.to_vec())
    }

    pub fn allow(&self, class: FailureClass) -> bool {
        self.0.contains(&class)
    }
}

/// Words in codes, types and reasons, each with what it means; lower case, whole words.
const WORDS: &[(&[&str], &[FailureClass])] = &[
    (&["context_length_exceeded", "model_context_window_exceeded"], &[ContextLength]),
    (
        &["insufficient_quota", "billing_hard_limit_reached", "billing_error", "billing_not_active"],
        &[Payment],
    ),
    (
        &[
            "invalid_api_key",
            "authentication_error",
            "unauthenticated",
            "api_key_invalid",
            "invalid_authentication",
        ],
        &[Auth],
    ),
    (
        &[
            "unrecognizedclientexception",
            "expiredtokenexception",
            "invalidsignatureexception",
            "api_key_expired",
        ],
        &[Auth],
    ),
    (
        &[
            "model_not_found",
            "not_found_error",
            "deploymentnotfound",
            "invalid_model",
            "resourcenotfoundexception",
        ],
        &[NotFound],
    ),
    (
        &[
            "rate_limit_exceeded",
            "ratelimitreached",
            "rate_limit_error",
            "rate_limited",
            "throttlingexception",
        ],
        &[RateLimited],
    ),
    (&["resource_exhausted"], &[RateLimited, Payment]),
    (
        &[
            "overloaded_error",
            "engine_overloaded_error",
            "modelnotreadyexception",
            "serviceunavailableexception",
            "unavailable",
        ],
        &[Overloaded],
    ),
    (
        &["content_filter", "content_policy_violation", "responsibleaipolicyviolation", "invalid_prompt"],
        &[ContentFiltered],
    ),
    (&["image_content_policy_violation"], &[ContentFiltered, InvalidRequest]),
    (
        &["unsupported_parameter", "unknown_parameter", "unsupported_value", "extra_forbidden"],
        &[Unsupported, InvalidRequest],
    ),
    (&["tool_use_failed", "json_validate_failed"], &[Malformed, Server]),
    (&["timeout_error", "modeltimeoutexception", "deadline_exceeded"], &[Timeout]),
    (&["permission_error", "permission_denied", "accessdeniedexception"], &[Permission, Auth]),
    (&["unsupported_country_region_territory"], &[Permission]),
    (&["internalserverexception", "internal"], &[Server]),
    (&["server_error", "api_error", "internal_server_error"], &[Server, Overloaded, Timeout]),
    (
        &["modelerrorexception", "modelstreamerrorexception"],
        &[Server, Overloaded, RateLimited, Timeout, Malformed],
    ),
];

/// Texts that say that prompt and cap do not fit, and nothing else.
const CONTEXT: &[&str] = &[
    "this model's maximum context length is",
    "exceeds the model's maximum context length",
    "prompt is too long:",
    "exceed context limit",
    "exceeds the maximum number of tokens allowed",
    "input is too long for requested model",
    "exceeds the available context size",
    "`inputs` tokens + `max_new_tokens` must be",
    "longer than the model's context length",
    "exceeds the context window of this model",
];

/// Texts that say that the account is spent.
const SPENT: &[&str] = &[
    "credit balance is too low",
    "insufficient balance",
    "exceeded your current quota, please check your plan",
];

/// Parts of texts that leave a class possible beside what the status says.
const HINTS: &[(&[&str], FailureClass)] = &[
    (&["token", "context", "too long", "too large", "length"], ContextLength),
    (
        &[
            "not found",
            "not exist",
            "doesn't exist",
            "identifier",
            "no endpoints",
            "deprecated",
            "invalid model",
        ],
        NotFound,
    ),
    (&["api key", "api_key", "credential", "token is", "unauthorized", "authenticat", "signature"], Auth),
    (&["region", "country", "location", "access", "permission", "denied", "on-demand"], Permission),
    // A wrong address or version in the provider's row, which is no missing model.
    (&["resource not found"], Permission),
    (&["credit", "billing", "balance", "quota", "payment", "spend"], Payment),
    (
        &["safety", "policy", "filter", "moderation", "flagged", "blocked", "sensitive", "harm"],
        ContentFiltered,
    ),
    (&["quota", "rate limit", "rate exceeded", "throttl", "too many requests", "capacity"], RateLimited),
    (&["overloaded", "capacity", "unavailable", "not ready", "loading"], Overloaded),
    (
        &["not support", "unsupported", "not enabled", "doesn't support", "not available", "not allowed"],
        Unsupported,
    ),
    (&["tool call", "tool_call", "generated", "did not call"], Malformed),
    (&["timed out", "timeout"], Timeout),
];

/// The classes that fit an answer with an error status.
pub fn suspects(status: u16, headers: &HeaderMap, body: &[u8]) -> Classes {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let kind = headers.get("x-amzn-errortype").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(':').next().unwrap_or_default();
    judge(Some(status), kind, &body)
}

/// The classes that fit an error inside a success.
pub fn inside(error: &Value) -> Classes {
    judge(number(error), "", error)
}

/// The classes that fit an exception of this name.
pub fn named(name: &str, body: &Value) -> Classes {
    let status = match name.to_ascii_lowercase().as_str() {
        "validationexception" => Some(400),
        "throttlingexception" => Some(429),
        "serviceunavailableexception" => Some(503),
        "accessdeniedexception" => Some(403),
        "resourcenotfoundexception" => Some(404),
        _ => Some(500),
    };
    judge(status, name, body)
}

fn judge(status: Option<u16>, kind: &str, body: &Value) -> Classes {
    let (mut words, mut texts) = (vec![kind.to_ascii_lowercase()], Vec::new());
    collect(body, "", &mut words, &mut texts);
    let said = texts.join(" ").to_lowercase();
    let may_be_long = matches!(status, None | Some(400 | 413 | 422));
    if may_be_long
        && CONTEXT.iter().any(|sign| said.contains(sign))
        && !words.iter().any(|word| word == "string_above_max_length")
    {
        return Classes::of(&[ContextLength]);
    }
    if SPENT.iter().any(|sign| said.contains(sign))
        || words.iter().any(|word| word.ends_with("_spend_limit_reached"))
    {
        return Classes::of(&[Payment]);
    }
    // A caller's status beats a type that only says that something went wrong.
    let is_vague = |word: &str| {
        ["server_error", "api_error", "internal"].contains(&word) && status.is_some_and(|status| status < 500)
    };
    let meant = WORDS
        .iter()
        .find(|(known, _)| words.iter().any(|word| known.contains(&word.as_str()) && !is_vague(word)));
    match meant {
        // Too much at once can be called a rate.
        Some((_, classes)) if status == Some(413) => {
            Classes([*classes, &[ContextLength, InvalidRequest]].concat())
        }
        Some((_, classes)) => Classes::of(classes),
        None => by_status(status, &said),
    }
}

/// Codes and types go to `words`, texts to `texts`; what a body echoes of the request goes nowhere.
fn collect(value: &Value, key: &str, words: &mut Vec<String>, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => match key {
            "code" | "type" | "status" | "reason" | "error_type" | "__type" | "error_code" => {
                words.push(text.to_ascii_lowercase());
                texts.push(text.clone());
            }
            "message" | "Message" | "error" | "detail" | "msg" | "title" | "" => texts.push(text.clone()),
            _ => {}
        },
        Value::Array(list) => list.iter().for_each(|value| collect(value, key, words, texts)),
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| collect(value, key, words, texts));
        }
        _ => {}
    }
}

/// A status inside a body.
fn number(error: &Value) -> Option<u16> {
    let places = [&error["code"], &error["status"], &error["status_code"], &error["raw_status_code"]];
    let read = |place: &Value| place.as_u64().or_else(|| place.as_str()?.parse().ok());
    let status = places.into_iter().find_map(read).and_then(|status| u16::try_from(status).ok());
    status.filter(|status| (400..600).contains(status))
}

fn by_status(status: Option<u16>, said: &str) -> Classes {
    let mut classes = match status {
        Some(401) => vec![Auth],
        Some(402) => vec![Payment],
        Some(403 | 451) => vec![Permission, Auth, ContentFiltered],
        // Where no model is named, the address that the router is configured with may be at fault.
        Some(404 | 410) if !said.contains("model") => vec![NotFound, Permission],
        Some(404 | 410) => vec![NotFound],
        Some(408 | 499 | 504 | 524) => return Classes::of(&[Timeout, Server]),
        Some(409 | 424 | 425) => return Classes::of(&[Server, Overloaded, Timeout, RateLimited]),
        Some(429) => return Classes::of(&[RateLimited, Payment, Overloaded]),
        Some(498) => return Classes::of(&[Overloaded, Auth]),
        Some(501) => vec![Server, Unsupported, InvalidRequest],
        Some(500..) => {
            return with_hints(vec![Server, Overloaded, Timeout], said, &[ContextLength, Malformed]);
        }
        Some(_) => vec![InvalidRequest, Unsupported],
        None => vec![Server, Overloaded, Malformed, InvalidRequest],
    };
    if !matches!(status, Some(401 | 402)) {
        let all: Vec<FailureClass> = HINTS.iter().map(|(_, class)| *class).collect();
        classes = with_hints(classes, said, &all).0;
    }
    Classes(classes)
}

fn with_hints(mut classes: Vec<FailureClass>, said: &str, of: &[FailureClass]) -> Classes {
    for (signs, class) in HINTS.iter().filter(|(_, class)| of.contains(class)) {
        if signs.iter().any(|sign| said.contains(sign)) {
            classes.push(*class);
        }
    }
    Classes(classes)
}

/// How long the provider asks to wait: milliseconds before seconds before the body's hint.
pub fn retry_after(headers: &HeaderMap, body: &[u8]) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let millis = number("retry-after-ms").map(|millis| millis / 1000.0);
    if millis.is_none() && headers.contains_key("retry-after") && number("retry-after").is_none() {
        // A date needs a clock.
        return None;
    }
    let seconds = millis.or_else(|| number("retry-after")).or_else(|| {
        let body: Value = serde_json::from_slice(body).ok()?;
        let error = &body.get(0).unwrap_or(&body)["error"];
        let details = error["details"].as_array()?;
        let delay = details.iter().find_map(|detail| detail["retryDelay"].as_str())?;
        delay.strip_suffix('s')?.parse::<f64>().ok()
    });
    Duration::try_from_secs_f64(seconds?).ok()
}
