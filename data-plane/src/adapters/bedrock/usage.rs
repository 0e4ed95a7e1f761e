//! Amazon's counts, which leave caches out of the input, brought to the inclusive form.

use serde::Deserialize;

use crate::adapters::shared::lenient::{Number, lenient, word};
use crate::model::usage::{Provenance, Usage};

/// The counts of an answer.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    input_tokens: Number,
    output_tokens: Number,
    total_tokens: Number,
    cache_read_input_tokens: Number,
    cache_write_input_tokens: Number,
    #[serde(deserialize_with = "lenient")]
    cache_details: Option<Vec<CacheDetail>>,
}

/// What was written to the cache with one lifetime.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CacheDetail {
    #[serde(deserialize_with = "word")]
    ttl: Option<String>,
    input_tokens: Number,
}

impl Counts {
    /// The normal form; None where neither input nor output was counted.
    pub fn usage(&self) -> Option<Usage> {
        self.input_tokens.or(self.output_tokens).0?;
        let [input, output, read, written] = [
            self.input_tokens,
            self.output_tokens,
            self.cache_read_input_tokens,
            self.cache_write_input_tokens,
        ]
        .map(Number::get);
        let details = self.cache_details.iter().flatten();
        let long = details.filter(|detail| detail.ttl.as_deref() == Some("1h"));
        let long = long.map(|detail| detail.input_tokens.get()).fold(0, u64::saturating_add);
        Some(Usage {
            prompt_tokens: input.saturating_add(read).saturating_add(written),
            completion_tokens: output,
            cached_tokens: read,
            cache_write_tokens: written,
            cache_write_long_tokens: long.min(written),
            reported_total_tokens: self.total_tokens.0,
            provenance: Provenance::ProviderFinal,
            ..Usage::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_includes_what_was_read_and_written() {
        for (json, expected) in [
            (
                r#"{"inputTokens":12,"outputTokens":250,"totalTokens":1290,"cacheReadInputTokens":1028}"#,
                (1040, 250, 1028, 0, 0),
            ),
            (
                r#"{"inputTokens":3,"outputTokens":9,"cacheWriteInputTokens":50,
                "cacheDetails":[{"ttl":"5m","inputTokens":20},{"ttl":"1h","inputTokens":30}]}"#,
                (53, 9, 0, 50, 30),
            ),
            (
                r#"{"inputTokens":"3","outputTokens":9.0,"totalTokens":[],"cacheWriteInputTokens":50,"cacheReadInputTokens":null,
                "cacheDetails":[{"ttl":5,"inputTokens":20},{"ttl":"1h","inputTokens":"30"}]}"#,
                (53, 9, 0, 50, 30),
            ),
            (r#"{"inputTokens":3,"outputTokens":9,"cacheDetails":{"ttl":"1h"}}"#, (3, 9, 0, 0, 0)),
            (r#"{"outputTokens":9,"cacheDetails":null,"serverToolUsage":{}}"#, (0, 9, 0, 0, 0)),
        ] {
            let usage = serde_json::from_str::<Counts>(json).unwrap().usage().unwrap();
            assert!(usage.adds_up(), "{json}");
            let counts = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens);
            let writes = (usage.cache_write_tokens, usage.cache_write_long_tokens);
            assert_eq!((counts.0, counts.1, counts.2, writes.0, writes.1), expected, "{json}");
        }
        assert_eq!(serde_json::from_str::<Counts>("{}").unwrap().usage(), None);
    }
}
