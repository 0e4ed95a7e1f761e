//! Token counts in one normal form, whatever a provider calls them and includes in them.
//!
//! Adapters fill it; `price` turns it into money; surfaces print it. Nothing here knows a price.

use switchyard_proto::money::NanoUsd;

/// How the counts of a [`Usage`] are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Provenance {
    /// The provider's own final report.
    ProviderFinal,
    /// The provider's last report of an answer that did not end.
    ProviderPartial,
    /// Counted by us from what was sent and received.
    #[default]
    Estimated,
}

impl Provenance {
    /// The word that the ledger and the metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProviderFinal => "provider_final",
            Self::ProviderPartial => "provider_partial",
            Self::Estimated => "estimated",
        }
    }
}

/// Tokens and side calls of one attempt; totals are inclusive.
///
/// `prompt_tokens` includes every other prompt count, `completion_tokens` every other completion count.
/// A count that a provider does not report is 0 and is then simply part of its total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// All input tokens: uncached + cached + written to cache + tool results of the provider's own tools.
    pub prompt_tokens: u64,
    /// All output tokens: visible text, tool arguments, reasoning, audio, images, rejected predictions.
    pub completion_tokens: u64,

    /// Prompt tokens read from a cache; part of `prompt_tokens`.
    pub cached_tokens: u64,
    /// Prompt tokens written to a cache with any lifetime; part of `prompt_tokens`, disjoint from `cached_tokens`.
    pub cache_write_tokens: u64,
    /// The share of `cache_write_tokens` with a lifetime of an hour or more, which costs more.
    pub cache_write_long_tokens: u64,
    /// Prompt tokens that stand for audio; part of `prompt_tokens`.
    pub prompt_audio_tokens: u64,
    /// Prompt tokens that stand for images; part of `prompt_tokens`.
    pub prompt_image_tokens: u64,
    /// Prompt tokens that stand for video; part of `prompt_tokens`.
    pub prompt_video_tokens: u64,

    /// Hidden or shown reasoning; part of `completion_tokens`.
    pub reasoning_tokens: u64,
    /// Output tokens that stand for audio; part of `completion_tokens`.
    pub completion_audio_tokens: u64,
    /// Output tokens that stand for images; part of `completion_tokens`.
    pub completion_image_tokens: u64,
    /// Predicted tokens that the model confirmed; part of `completion_tokens`.
    pub accepted_prediction_tokens: u64,
    /// Predicted tokens that the model refused; billed as output and part of `completion_tokens`.
    pub rejected_prediction_tokens: u64,

    /// Web searches run by the provider, billed per request.
    pub web_search_requests: u64,
    /// Searches that a ranking is billed as: one for a query with up to a hundred documents.
    pub search_units: u64,
    /// Pages fetched by the provider, billed per request.
    pub web_fetch_requests: u64,

    /// The total as the provider printed it, where it printed one; may differ from [`Usage::total_tokens`].
    pub reported_total_tokens: Option<u64>,
    /// What the provider says that the call cost, rounded up.
    pub reported_cost: Option<NanoUsd>,
    /// How these numbers are known.
    pub provenance: Provenance,
}

impl Usage {
    /// Prompt plus completion.
    pub fn total_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// Prompt tokens at the plain input price: neither read from a cache nor written to one.
    pub fn uncached_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_sub(self.cached_tokens).saturating_sub(self.cache_write_tokens)
    }

    /// Whether the parts fit into their totals, as the fields' docs promise.
    pub fn adds_up(&self) -> bool {
        self.cached_tokens.saturating_add(self.cache_write_tokens) <= self.prompt_tokens
            && self.cache_write_long_tokens <= self.cache_write_tokens
            && self.reasoning_tokens <= self.completion_tokens
            && self.prompt_audio_tokens.max(self.prompt_image_tokens).max(self.prompt_video_tokens)
                <= self.prompt_tokens
            && self.completion_audio_tokens.max(self.completion_image_tokens) <= self.completion_tokens
    }

    /// The same counts, known only from an answer that did not end.
    pub fn partial(mut self) -> Self {
        self.provenance = Provenance::ProviderPartial;
        self
    }
}
