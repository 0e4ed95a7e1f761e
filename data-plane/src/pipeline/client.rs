//! What a request's head says of the client besides its key, read once.

use std::net::IpAddr;

use http::HeaderMap;

/// Longest piece of a header that is remembered.
const MAX_CHARACTERS: usize = 256;

/// The client, as it describes itself.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pub address: Option<IpAddr>,
    pub user_agent: String,
    /// `HTTP-Referer` or `Referer`: the app's address.
    pub app_url: String,
    /// `X-Title` or `X-OpenRouter-Title`.
    pub app_title: String,
    /// `x-session-id`.
    pub session: String,
    /// W3C trace context, as sent.
    pub traceparent: String,
    pub tracestate: String,
    /// `X-OpenRouter-Metadata: enabled`: the answer is to say how it was routed.
    pub wants_metadata: bool,
}

impl Client {
    /// Reads a head.
    pub fn of(head: &HeaderMap, address: Option<IpAddr>) -> Self {
        let first = |names: &[&str]| {
            let value = names.iter().find_map(|name| head.get(*name)?.to_str().ok());
            value.map(|value| value.chars().take(MAX_CHARACTERS).collect::<String>()).unwrap_or_default()
        };
        let metadata = first(&["x-openrouter-metadata", "x-openrouter-experimental-metadata"]);
        Self {
            address,
            user_agent: first(&["user-agent"]),
            app_url: first(&["http-referer", "referer"]),
            app_title: first(&["x-openrouter-title", "x-title"]),
            session: first(&["x-session-id"]),
            traceparent: first(&["traceparent"]),
            tracestate: first(&["tracestate"]),
            wants_metadata: metadata.eq_ignore_ascii_case("enabled") || metadata == "true",
        }
    }
}
