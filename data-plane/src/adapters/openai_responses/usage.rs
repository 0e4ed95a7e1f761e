//! The dialect's counts, brought to the normal form.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::adapters::shared::lenient::{Number, lenient};
use crate::adapters::shared::reported_cost::{Cost, cost};
use crate::model::usage::{Provenance, Usage};

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    input_tokens: Number,
    #[serde(default)]
    output_tokens: Number,
    #[serde(default)]
    total_tokens: Number,
    #[serde(default, deserialize_with = "lenient")]
    input_tokens_details: Option<Input>,
    #[serde(default, deserialize_with = "lenient")]
    output_tokens_details: Option<Output>,
    #[serde(default, deserialize_with = "lenient")]
    server_side_tool_usage_details: Option<ServerTools>,
    #[serde(default, deserialize_with = "lenient")]
    cost: Option<Cost>,
    /// xAI, in 10⁻¹⁰ USD.
    #[serde(default)]
    cost_in_usd_ticks: Number,
}

#[derive(Default, Deserialize)]
struct Input {
    #[serde(default)]
    cached_tokens: Number,
    #[serde(default)]
    cache_write_tokens: Number,
    #[serde(default, deserialize_with = "lenient")]
    cache_write_tokens_details: Option<Writes>,
    #[serde(default)]
    audio_tokens: Number,
    #[serde(default)]
    image_tokens: Number,
}

#[derive(Default, Deserialize)]
struct Writes {
    #[serde(default)]
    ttl_12h_tokens: Number,
}

#[derive(Default, Deserialize)]
struct Output {
    #[serde(default)]
    reasoning_tokens: Number,
    #[serde(default)]
    audio_tokens: Number,
    #[serde(default)]
    image_tokens: Number,
}

#[derive(Default, Deserialize)]
struct ServerTools {
    #[serde(default)]
    web_search_calls: Number,
}

/// Reads a usage block; None where it holds no counts.
///
/// `searched` are the web searches seen in the output; what the host itself counted beats fewer of them.
pub fn parse(raw: &RawValue, tool_usage: Option<&RawValue>, searched: u64) -> Option<Usage> {
    let wire: Wire = serde_json::from_str(raw.get()).ok()?;
    wire.input_tokens.0.or(wire.output_tokens.0)?;
    let input = wire.input_tokens_details.unwrap_or_default();
    let output = wire.output_tokens_details.unwrap_or_default();
    let tools = wire.server_side_tool_usage_details.unwrap_or_default();
    let mut usage = Usage {
        prompt_tokens: wire.input_tokens.get(),
        completion_tokens: wire.output_tokens.get(),
        cached_tokens: input.cached_tokens.get(),
        cache_write_tokens: input.cache_write_tokens.get(),
        cache_write_long_tokens: input.cache_write_tokens_details.unwrap_or_default().ttl_12h_tokens.get(),
        prompt_audio_tokens: input.audio_tokens.get(),
        prompt_image_tokens: input.image_tokens.get(),
        reasoning_tokens: output.reasoning_tokens.get(),
        completion_audio_tokens: output.audio_tokens.get(),
        completion_image_tokens: output.image_tokens.get(),
        web_search_requests: searched.max(tools.web_search_calls.get()).max(requests(tool_usage)),
        reported_total_tokens: wire.total_tokens.0,
        reported_cost: cost(wire.cost, wire.cost_in_usd_ticks),
        provenance: Provenance::ProviderFinal,
        ..Usage::default()
    };
    if usage.cached_tokens > usage.prompt_tokens {
        // xAI sometimes keeps what it read from the cache out of the prompt.
        usage.prompt_tokens = usage.prompt_tokens.saturating_add(usage.cached_tokens);
    }
    let beyond = usage.reported_total_tokens.unwrap_or(0).saturating_sub(usage.total_tokens());
    if beyond > 0 && beyond == usage.reasoning_tokens {
        usage.completion_tokens = usage.completion_tokens.saturating_add(beyond);
    }
    Some(fit(usage))
}

/// OpenAI counts the searches that it bills.
fn requests(tool_usage: Option<&RawValue>) -> u64 {
    let counts = tool_usage.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    counts.and_then(|counts| counts.pointer("/web_search/num_requests")?.as_u64()).unwrap_or(0)
}

/// Parts beyond their totals are cut to them.
fn fit(mut usage: Usage) -> Usage {
    usage.cache_write_tokens = usage.cache_write_tokens.min(usage.prompt_tokens - usage.cached_tokens);
    usage.cache_write_long_tokens = usage.cache_write_long_tokens.min(usage.cache_write_tokens);
    for part in [&mut usage.prompt_audio_tokens, &mut usage.prompt_image_tokens] {
        *part = (*part).min(usage.prompt_tokens);
    }
    for part in
        [&mut usage.reasoning_tokens, &mut usage.completion_audio_tokens, &mut usage.completion_image_tokens]
    {
        *part = (*part).min(usage.completion_tokens);
    }
    usage
}

#[cfg(test)]
mod tests {
    use switchyard_proto::money::NanoUsd;

    use super::*;

    fn read(json: &str, tools: Option<&str>, searched: u64) -> Usage {
        let raw: &RawValue = serde_json::from_str(json).expect("JSON");
        let tools: Option<&RawValue> = tools.map(|tools| serde_json::from_str(tools).expect("JSON"));
        let usage = parse(raw, tools, searched).unwrap_or_else(|| panic!("{json} has counts"));
        assert!(usage.adds_up(), "{json}: {usage:?}");
        usage
    }

    #[test]
    fn totals_include_their_parts() {
        for (json, prompt, completion, cached, written, reasoning) in [
            (
                r#"{"input_tokens":100,"output_tokens":9,"total_tokens":109,"input_tokens_details":{"cached_tokens":40,"cache_write_tokens":50,"cache_write_tokens_details":{"ttl_12h_tokens":20}},"output_tokens_details":{"reasoning_tokens":4}}"#,
                100,
                9,
                40,
                50,
                4,
            ),
            (
                r#"{"input_tokens":10,"output_tokens":9,"input_tokens_details":null,"output_tokens_details":[]}"#,
                10,
                9,
                0,
                0,
                0,
            ),
            // More cached than sent: the cache is not in the input.
            (
                r#"{"input_tokens":10,"output_tokens":9,"input_tokens_details":{"cached_tokens":30}}"#,
                40,
                9,
                30,
                0,
                0,
            ),
            // The total holds reasoning that the output does not.
            (
                r#"{"input_tokens":10,"output_tokens":1,"total_tokens":20,"output_tokens_details":{"reasoning_tokens":9}}"#,
                10,
                10,
                0,
                0,
                9,
            ),
        ] {
            let usage = read(json, None, 0);
            let found = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens);
            assert_eq!(found, (prompt, completion, cached), "{json}");
            assert_eq!((usage.cache_write_tokens, usage.reasoning_tokens), (written, reasoning), "{json}");
        }
    }

    #[test]
    fn searches_and_costs_are_read_wherever_they_are() {
        for (json, tools, searched, requests, cost) in [
            (r#"{"input_tokens":1,"cost":0.000036}"#, None, 0, 0, Some(36_000)),
            (r#"{"input_tokens":1,"cost_in_usd_ticks":55258500}"#, None, 2, 2, Some(5_525_850)),
            (
                r#"{"input_tokens":1,"server_side_tool_usage_details":{"web_search_calls":3}}"#,
                None,
                1,
                3,
                None,
            ),
            (r#"{"input_tokens":1}"#, Some(r#"{"web_search":{"num_requests":2}}"#), 1, 2, None),
            (r#"{"input_tokens":1}"#, Some("[]"), 1, 1, None),
        ] {
            let usage = read(json, tools, searched);
            assert_eq!((usage.web_search_requests, usage.reported_cost), (requests, cost.map(NanoUsd)));
        }
    }

    #[test]
    fn a_block_without_counts_is_none() {
        let raw: &RawValue = serde_json::from_str(r#"{"total_tokens":null}"#).expect("JSON");
        assert_eq!(parse(raw, None, 0), None);
    }
}
