//! Usage blocks in all their dialects, brought to the normal form.
//!
//! Providers differ in what their totals include; the printed total usually tells which habit it is.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::adapters::shared::lenient::{Number, lenient};
use crate::adapters::shared::reported_cost::{Cost, cost};
use crate::model::usage::{Provenance, Usage};

/// Reads a usage block; None where it holds no counts.
pub fn parse(raw: &RawValue) -> Option<Usage> {
    let wire: Wire = serde_json::from_str(raw.get()).ok()?;
    wire.prompt_tokens.0.or(wire.completion_tokens.0).or(wire.total_tokens.0)?;
    Some(wire.into_usage())
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    prompt_tokens: Number,
    #[serde(default)]
    completion_tokens: Number,
    #[serde(default)]
    total_tokens: Number,
    #[serde(default, deserialize_with = "lenient")]
    prompt_tokens_details: Option<PromptDetails>,
    /// Mistral's other spelling.
    #[serde(default, deserialize_with = "lenient")]
    prompt_token_details: Option<PromptDetails>,
    #[serde(default, deserialize_with = "lenient")]
    completion_tokens_details: Option<CompletionDetails>,
    // Cache reads by the names of Together, Mistral, DeepSeek and Claude's resellers.
    #[serde(default)]
    cached_tokens: Number,
    #[serde(default)]
    num_cached_tokens: Number,
    #[serde(default)]
    prompt_cache_hit_tokens: Number,
    #[serde(default)]
    cache_read_input_tokens: Number,
    #[serde(default)]
    cache_creation_input_tokens: Number,
    #[serde(default, deserialize_with = "lenient")]
    cache_creation: Option<CacheCreation>,
    // Perplexity.
    #[serde(default)]
    reasoning_tokens: Number,
    #[serde(default)]
    citation_tokens: Number,
    #[serde(default)]
    num_search_queries: Number,
    #[serde(default)]
    search_context_size: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "lenient")]
    server_tool_use: Option<ServerTools>,
    #[serde(default, deserialize_with = "lenient")]
    server_tool_use_details: Option<ServerTools>,
    #[serde(default, deserialize_with = "lenient")]
    cost: Option<Cost>,
    /// xAI, in 10⁻¹⁰ USD.
    #[serde(default)]
    cost_in_usd_ticks: Number,
    /// Vercel's gateway.
    #[serde(default)]
    market_cost: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Number,
    #[serde(default)]
    cache_write_tokens: Number,
    #[serde(default, deserialize_with = "lenient")]
    cache_write_tokens_details: Option<CacheWrites>,
    #[serde(default)]
    audio_tokens: Number,
    #[serde(default)]
    image_tokens: Number,
    #[serde(default)]
    video_tokens: Number,
}

#[derive(Default, Deserialize)]
struct CacheWrites {
    #[serde(default)]
    ttl_12h_tokens: Number,
}

#[derive(Default, Deserialize)]
struct CacheCreation {
    #[serde(default)]
    ephemeral_1h_input_tokens: Number,
    #[serde(default)]
    ephemeral_24h_input_tokens: Number,
}

impl CacheCreation {
    fn long(&self) -> u64 {
        self.ephemeral_1h_input_tokens.get().saturating_add(self.ephemeral_24h_input_tokens.get())
    }
}

#[derive(Default, Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Number,
    #[serde(default)]
    audio_tokens: Number,
    #[serde(default)]
    image_tokens: Number,
    #[serde(default)]
    accepted_prediction_tokens: Number,
    #[serde(default)]
    rejected_prediction_tokens: Number,
}

#[derive(Default, Deserialize)]
struct ServerTools {
    #[serde(default)]
    web_search_requests: Number,
    #[serde(default)]
    web_fetch_requests: Number,
}

impl Wire {
    /// Whether the reasoning is counted beside the completion: the habit of Perplexity and of Vercel's gateway, told by
    /// their other members. Vercel's bills show it: its reasoning is in no sum.
    fn reasoning_is_extra(&self) -> bool {
        let details = self.completion_tokens_details.as_ref();
        if self.market_cost.is_some() && details.is_some_and(|details| details.reasoning_tokens.get() > 0) {
            return true;
        }
        let is_perplexity = self.search_context_size.is_some()
            || self.citation_tokens.0.is_some()
            || self.num_search_queries.0.is_some();
        let reasoning = self.reasoning_tokens.get();
        reasoning > 0 && (is_perplexity || reasoning > self.completion_tokens.get())
    }

    fn into_usage(self) -> Usage {
        let reasoning_is_extra = self.reasoning_is_extra();
        let prompt = self.prompt_tokens_details.or(self.prompt_token_details).unwrap_or_default();
        let completion = self.completion_tokens_details.unwrap_or_default();
        let creation = self.cache_creation.unwrap_or_default();
        let long_writes = prompt.cache_write_tokens_details.unwrap_or_default().ttl_12h_tokens.get();
        let tools = self.server_tool_use_details.or(self.server_tool_use).unwrap_or_default();
        let cached = [
            prompt.cached_tokens,
            self.cached_tokens,
            self.num_cached_tokens,
            self.prompt_cache_hit_tokens,
            self.cache_read_input_tokens,
        ];
        let mut usage = Usage {
            prompt_tokens: self.prompt_tokens.get(),
            completion_tokens: self.completion_tokens.get(),
            cached_tokens: cached.into_iter().map(Number::get).max().unwrap_or(0),
            cache_write_tokens: prompt.cache_write_tokens.get().max(self.cache_creation_input_tokens.get()),
            cache_write_long_tokens: long_writes.max(creation.long()),
            prompt_audio_tokens: prompt.audio_tokens.get(),
            prompt_image_tokens: prompt.image_tokens.get(),
            prompt_video_tokens: prompt.video_tokens.get(),
            reasoning_tokens: completion.reasoning_tokens.get().max(self.reasoning_tokens.get()),
            completion_audio_tokens: completion.audio_tokens.get(),
            completion_image_tokens: completion.image_tokens.get(),
            accepted_prediction_tokens: completion.accepted_prediction_tokens.get(),
            rejected_prediction_tokens: completion.rejected_prediction_tokens.get(),
            web_search_requests: tools.web_search_requests.get().max(self.num_search_queries.get()),
            search_units: 0,
            web_fetch_requests: tools.web_fetch_requests.get(),
            reported_total_tokens: self.total_tokens.0,
            reported_cost: cost(self.cost, self.cost_in_usd_ticks),
            provenance: Provenance::ProviderFinal,
        };
        if reasoning_is_extra {
            add(&mut usage.completion_tokens, usage.reasoning_tokens);
        } else {
            spread_surplus(&mut usage);
        }
        fit(usage)
    }
}

/// Finds the parts that a provider counts in its total but in neither sum.
fn spread_surplus(usage: &mut Usage) {
    let total = usage.reported_total_tokens.unwrap_or(0);
    let surplus = total.saturating_sub(usage.total_tokens());
    let (cached, written) = (usage.cached_tokens, usage.cache_write_tokens);
    match surplus {
        0 => {}
        // xAI keeps reasoning out of the completion.
        surplus if surplus == usage.reasoning_tokens => add(&mut usage.completion_tokens, surplus),
        // Mistral keeps audio out of the prompt.
        surplus if surplus == usage.prompt_audio_tokens => add(&mut usage.prompt_tokens, surplus),
        // Claude's resellers keep what was read from a cache or written to one out of the prompt.
        surplus if [cached, written, cached.saturating_add(written)].contains(&surplus) => {
            add(&mut usage.prompt_tokens, surplus);
        }
        // Gemini's compatible surface hides its thoughts but bills them as output.
        surplus if usage.reasoning_tokens == 0 => {
            add(&mut usage.completion_tokens, surplus);
            usage.reasoning_tokens = surplus;
        }
        // Reasoning that the completion cannot hold is in the surplus, whatever else is.
        surplus if usage.reasoning_tokens > usage.completion_tokens => {
            add(&mut usage.completion_tokens, surplus);
        }
        // Nobody says what it is.
        _ => {}
    }
}

/// Hostile counts stop at the largest number.
fn add(sum: &mut u64, part: u64) {
    *sum = sum.saturating_add(part);
}

/// Makes the parts fit their sums: parts that do not were left out of them.
fn fit(mut usage: Usage) -> Usage {
    if usage.cached_tokens > usage.prompt_tokens {
        add(&mut usage.prompt_tokens, usage.cached_tokens.saturating_add(usage.cache_write_tokens));
    }
    // Gemini behind OpenRouter calls the same tokens read and written.
    usage.cache_write_tokens =
        usage.cache_write_tokens.min(usage.prompt_tokens.saturating_sub(usage.cached_tokens));
    usage.cache_write_long_tokens = usage.cache_write_long_tokens.min(usage.cache_write_tokens);
    usage.reasoning_tokens = usage.reasoning_tokens.min(usage.completion_tokens);
    for part in
        [&mut usage.prompt_audio_tokens, &mut usage.prompt_image_tokens, &mut usage.prompt_video_tokens]
    {
        *part = usage.prompt_tokens.min(*part);
    }
    for part in [&mut usage.completion_audio_tokens, &mut usage.completion_image_tokens] {
        *part = usage.completion_tokens.min(*part);
    }
    usage
}

#[cfg(test)]
mod tests {
    use switchyard_proto::money::NanoUsd;

    use super::*;

    fn read(json: &str) -> Usage {
        let raw: &RawValue = serde_json::from_str(json).expect("JSON");
        let usage = parse(raw).unwrap_or_else(|| panic!("{json} has counts"));
        assert!(usage.adds_up(), "{json}: {usage:?}");
        usage
    }

    #[test]
    fn totals_include_their_parts_whatever_the_provider_includes() {
        for (json, prompt, completion, cached, reasoning) in [
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}"#,
                10,
                5,
                4,
                2,
            ),
            // xAI: the completion excludes reasoning.
            (
                r#"{"prompt_tokens":12,"completion_tokens":1,"total_tokens":399,"completion_tokens_details":{"reasoning_tokens":386}}"#,
                12,
                387,
                0,
                386,
            ),
            // xAI on Azure: more cached than prompt.
            (
                r#"{"prompt_tokens":347,"completion_tokens":18,"total_tokens":365,"prompt_tokens_details":{"cached_tokens":403}}"#,
                750,
                18,
                403,
                0,
            ),
            // Mistral: audio outside the prompt.
            (
                r#"{"prompt_audio_seconds":4,"prompt_tokens":9,"total_tokens":585,"completion_tokens":201,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":375}}"#,
                384,
                201,
                0,
                0,
            ),
            // Gemini's compatible surface: thoughts only in the total.
            (r#"{"completion_tokens":12,"prompt_tokens":35,"total_tokens":109}"#, 35, 74, 0, 62),
            (
                r#"{"prompt_tokens":50,"completion_tokens":5,"total_tokens":55,"prompt_cache_hit_tokens":30,"prompt_cache_miss_tokens":20}"#,
                50,
                5,
                30,
                0,
            ),
            (
                r#"{"prompt_tokens":50,"completion_tokens":5,"total_tokens":55,"num_cached_tokens":30}"#,
                50,
                5,
                30,
                0,
            ),
            (
                r#"{"prompt_tokens":50,"completion_tokens":5,"total_tokens":55,"cached_tokens":30}"#,
                50,
                5,
                30,
                0,
            ),
            // Vercel's gateway: reasoning is counted beside the completion, in a place where it is elsewhere a part.
            (
                r#"{"prompt_tokens":40,"completion_tokens":14,"total_tokens":54,"completion_tokens_details":{"reasoning_tokens":43},"market_cost":0.000764}"#,
                40,
                57,
                0,
                43,
            ),
            // So does Perplexity.
            (
                r#"{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25,"reasoning_tokens":7,"search_context_size":"low"}"#,
                20,
                12,
                0,
                7,
            ),
            (
                r#"{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29,"reasoning_tokens":7,"citation_tokens":3}"#,
                20,
                16,
                0,
                7,
            ),
            (
                r#"{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29,"reasoning_tokens":7,"num_search_queries":1}"#,
                20,
                16,
                0,
                7,
            ),
            (
                r#"{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25,"reasoning_tokens":7}"#,
                20,
                12,
                0,
                7,
            ),
            // Claude's resellers: what the cache had is beside the prompt.
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"cache_read_input_tokens":100}"#,
                110,
                5,
                100,
                0,
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":22,"cache_read_input_tokens":3,"cache_creation_input_tokens":4}"#,
                17,
                5,
                3,
                0,
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":19,"cache_creation_input_tokens":4}"#,
                14,
                5,
                0,
                0,
            ),
            // Reasoning that is inside the completion does not grow by what nobody names.
            (
                r#"{"prompt_tokens":10,"completion_tokens":50,"total_tokens":63,"completion_tokens_details":{"reasoning_tokens":40}}"#,
                10,
                50,
                0,
                40,
            ),
            (
                r#"{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25,"completion_tokens_details":{"reasoning_tokens":7}}"#,
                20,
                5,
                0,
                5,
            ),
            (
                r#"{"prompt_tokens":20,"completion_tokens":5,"total_tokens":null,"prompt_tokens_details":[],"completion_tokens_details":null}"#,
                20,
                5,
                0,
                0,
            ),
        ] {
            let usage = read(json);
            let found =
                (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens);
            assert_eq!(found, (prompt, completion, cached, reasoning), "{json}");
        }
    }

    #[test]
    fn hostile_counts_end_at_the_largest_number() {
        const MOST: u64 = u64::MAX;
        for json in [
            format!(r#"{{"prompt_tokens":{MOST},"completion_tokens":{MOST},"total_tokens":{MOST}}}"#),
            format!(
                r#"{{"completion_tokens":{MOST},"reasoning_tokens":{MOST},"search_context_size":"low"}}"#
            ),
            format!(
                r#"{{"prompt_tokens":2,"completion_tokens":{MOST},"reasoning_tokens":9,"citation_tokens":1}}"#
            ),
            format!(
                r#"{{"prompt_tokens":2,"cached_tokens":{MOST},"cache_creation_input_tokens":{MOST},"total_tokens":{MOST}}}"#
            ),
            format!(
                r#"{{"prompt_tokens":2,"cache_creation":{{"ephemeral_1h_input_tokens":{MOST},"ephemeral_24h_input_tokens":{MOST}}}}}"#
            ),
            format!(
                r#"{{"prompt_tokens":2,"prompt_tokens_details":{{"audio_tokens":{MOST}}},"completion_tokens_details":{{"image_tokens":3}}}}"#
            ),
        ] {
            read(&json);
        }
    }

    #[test]
    fn reported_costs_are_read_in_every_unit() {
        for (members, nano) in [
            (r#""cost":0.001074"#, Some(1_074_000)),
            (r#""cost":0.0076509169000000005"#, Some(7_650_917)),
            (r#""cost":{"total_cost":0.00503,"request_cost":0.005}"#, Some(5_030_000)),
            (r#""cost_in_usd_ticks":1654501"#, Some(165_451)),
            (r#""cost":"free""#, None),
            (r#""x":1"#, None),
        ] {
            let usage = read(&format!(r#"{{"prompt_tokens":1,{members}}}"#));
            assert_eq!(usage.reported_cost, nano.map(NanoUsd), "{members}");
        }
    }

    #[test]
    fn a_block_without_counts_is_none() {
        let raw: &RawValue = serde_json::from_str(r#"{"queue_time":1}"#).expect("JSON");
        assert_eq!(parse(raw), None);
    }
}
