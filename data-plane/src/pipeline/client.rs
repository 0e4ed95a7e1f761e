//! What a request's head says of the client besides its key, read once.

use std::net::IpAddr;

use http::HeaderMap;

use crate::extensions::caching::Asked;

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
    /// `x-switchyard-priority`: how urgent the request is, in words that policies know.
    pub priority: String,
    /// The headers that policies may ask for, as they were sent; names in lower case.
    pub policy_headers: Vec<(String, String)>,
    /// W3C trace context, as sent.
    pub traceparent: String,
    pub tracestate: String,
    /// `X-OpenRouter-Metadata: enabled`: the answer is to say how it was routed.
    pub wants_metadata: bool,
    /// What it says of the response cache.
    pub cache: Asked,
}

impl Client {
    /// Reads a head. `chosen` names the headers that policies may ask for.
    pub fn of(head: &HeaderMap, address: Option<IpAddr>, chosen: &[String]) -> Self {
        let first = |names: &[&str]| {
            let value = names.iter().find_map(|name| head.get(*name)?.to_str().ok());
            value.map(|value| value.chars().take(MAX_CHARACTERS).collect::<String>()).unwrap_or_default()
        };
        let metadata = first(&["x-openrouter-metadata", "x-openrouter-experimental-metadata"]);
        let sent = |name: &&String| head.contains_key(name.as_str());
        Self {
            priority: first(&["x-switchyard-priority"]),
            policy_headers: chosen.iter().filter(sent).map(|name| (name.clone(), first(&[name]))).collect(),
            address,
            user_agent: first(&["user-agent"]),
            app_url: first(&["http-referer", "referer"]),
            app_title: first(&["x-openrouter-title", "x-title"]),
            session: first(&["x-session-id"]),
            traceparent: first(&["traceparent"]),
            tracestate: first(&["tracestate"]),
            cache: Asked::read(
                &first(&["x-openrouter-cache"]),
                &first(&["x-openrouter-cache-ttl"]),
                &first(&["x-openrouter-cache-clear"]),
            ),
            wants_metadata: metadata.eq_ignore_ascii_case("enabled") || metadata == "true",
        }
    }
}
