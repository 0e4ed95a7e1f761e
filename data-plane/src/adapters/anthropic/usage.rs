//! Anthropic's counts, which leave caches out of the input, brought to the inclusive form.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::usage::{Provenance, Usage};

/// The counts reported so far: events repeat running totals, so the last one of each counts.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub struct Counts {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation: Option<CacheCreation>,
    #[serde(default)]
    output_tokens_details: Option<OutputDetails>,
    #[serde(default)]
    server_tool_use: Option<ServerTools>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct CacheCreation {
    #[serde(default)]
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct OutputDetails {
    #[serde(default)]
    thinking_tokens: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct ServerTools {
    #[serde(default)]
    web_search_requests: Option<u64>,
    #[serde(default)]
    web_fetch_requests: Option<u64>,
}

impl Counts {
    /// Reads a usage block; one that is not understood counts nothing.
    pub fn parse(raw: &RawValue) -> Self {
        serde_json::from_str(raw.get()).unwrap_or_default()
    }

    /// The counts with newer ones in place of older.
    pub fn replaced_by(self, newer: Self) -> Self {
        Self {
            input_tokens: newer.input_tokens.or(self.input_tokens),
            output_tokens: newer.output_tokens.or(self.output_tokens),
            cache_creation_input_tokens: newer
                .cache_creation_input_tokens
                .or(self.cache_creation_input_tokens),
            cache_read_input_tokens: newer.cache_read_input_tokens.or(self.cache_read_input_tokens),
            cache_creation: newer.cache_creation.or(self.cache_creation),
            output_tokens_details: newer.output_tokens_details.or(self.output_tokens_details),
            server_tool_use: newer.server_tool_use.or(self.server_tool_use),
        }
    }

    /// The normal form; None where neither input nor output was counted.
    pub fn usage(self) -> Option<Usage> {
        self.input_tokens.or(self.output_tokens)?;
        let [input, output, written, read] = [
            self.input_tokens,
            self.output_tokens,
            self.cache_creation_input_tokens,
            self.cache_read_input_tokens,
        ]
        .map(Option::unwrap_or_default);
        let long = self.cache_creation.unwrap_or_default().ephemeral_1h_input_tokens.unwrap_or(0);
        let thinking = self.output_tokens_details.unwrap_or_default().thinking_tokens.unwrap_or(0);
        let tools = self.server_tool_use.unwrap_or_default();
        Some(Usage {
            prompt_tokens: input + written + read,
            completion_tokens: output,
            cached_tokens: read,
            cache_write_tokens: written,
            cache_write_long_tokens: long.min(written),
            reasoning_tokens: thinking.min(output),
            web_search_requests: tools.web_search_requests.unwrap_or(0),
            web_fetch_requests: tools.web_fetch_requests.unwrap_or(0),
            provenance: Provenance::ProviderFinal,
            ..Usage::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(json: &str) -> Counts {
        Counts::parse(serde_json::from_str(json).expect("JSON"))
    }

    #[test]
    fn the_prompt_includes_what_was_read_and_written() {
        let usage = counts(
            r#"{"input_tokens":3,"output_tokens":9,"cache_read_input_tokens":100,"cache_creation_input_tokens":20,
            "cache_creation":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":15},
            "output_tokens_details":{"thinking_tokens":4},"server_tool_use":{"web_search_requests":2}}"#,
        );
        let usage = usage.usage().expect("counted");
        assert!(usage.adds_up());
        assert_eq!((usage.prompt_tokens, usage.uncached_tokens(), usage.total_tokens()), (123, 3, 132));
        assert_eq!(
            (usage.cache_write_long_tokens, usage.reasoning_tokens, usage.web_search_requests),
            (15, 4, 2)
        );
    }

    #[test]
    fn later_totals_replace_earlier_ones() {
        let first = counts(r#"{"input_tokens":3,"output_tokens":1,"cache_read_input_tokens":100}"#);
        let last = counts(r#"{"output_tokens":20,"input_tokens":null}"#);
        let usage = first.replaced_by(last).usage().expect("counted");
        assert_eq!((usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens), (103, 100, 20));
    }
}
