//! Usage blocks: what was processed, which is more than what is billed.

use serde_json::Value;

use crate::model::usage::{Provenance, Usage};

/// Reads a usage block; None where it holds no counts.
///
/// `tokens` are the real ones; `billed_units`, which leave out Cohere's own preamble, stand in where they are missing.
pub fn parse(usage: &Value) -> Option<Usage> {
    let count = |name: &str| {
        let places = [&usage["tokens"][name], &usage["billed_units"][name]];
        places.into_iter().find_map(number)
    };
    let (input, output) = (count("input_tokens"), count("output_tokens"));
    input.or(output)?;
    let cached = number(&usage["cached_tokens"]).unwrap_or(0);
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    // Should the cache ever be left out of the input, it is not in it.
    let prompt_tokens = if cached > input { input.saturating_add(cached) } else { input };
    Some(Usage {
        prompt_tokens,
        completion_tokens: output,
        cached_tokens: cached,
        reasoning_tokens: count("reasoning_tokens").unwrap_or(0).min(output),
        provenance: Provenance::ProviderFinal,
        ..Usage::default()
    })
}

/// Counts are whole numbers, at times with a point.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn real_tokens_count_and_billed_ones_stand_in() {
        for (wire, expected) in [
            (
                json!({"billed_units": {"input_tokens": 83, "output_tokens": 109},
                    "tokens": {"input_tokens": 379.0, "output_tokens": 164, "reasoning_tokens": 54}, "cached_tokens": 144}),
                Some((379, 164, 144, 54)),
            ),
            (json!({"billed_units": {"input_tokens": 5, "output_tokens": 2}}), Some((5, 2, 0, 0))),
            (json!({"tokens": {"input_tokens": 5}, "cached_tokens": 9}), Some((14, 0, 9, 0))),
            (json!({"tokens": {"output_tokens": 1, "reasoning_tokens": 9}}), Some((0, 1, 0, 1))),
            (json!({}), None),
            (json!(null), None),
            (json!({"tokens": "many"}), None),
        ] {
            let usage = parse(&wire);
            assert!(usage.is_none_or(|usage| usage.adds_up()), "{wire}");
            let found = usage.map(|usage| {
                (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens)
            });
            assert_eq!(found, expected, "{wire}");
        }
    }
}
