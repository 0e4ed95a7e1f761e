//! Exchanges that the recordings do not have, and what they say.

use crate::adapters::shared::exchange_tests::{fixtures, play};

/// A written exchange and its outcome.
#[rustfmt::skip] // A table: one row, one line.
const OUTCOMES: &[(&str, &str)] = &[
    ("audio-out-stream", "- | stop stop | 20+33"),
    ("audio-out-whole", "- | stop stop | 12+38"),
    ("custom-tool-stream", "- | run_sql(select 1;) | tool_calls tool_calls | 40+9"),
    ("custom-tool-whole", "- | run_sql(select 1;) | tool_calls tool_calls | 12+5"),
    ("image-pdf-whole", "A cat and an empty page. | stop stop | 320+5"),
    ("json-schema-whole", r#"{"n":4} | stop stop | 12+5"#),
    ("logprobs-stream", "Hi | stop stop | 9+1"),
    ("max-tokens-tool-stream", r#"- | get_weather({"place":"Wel) | length length | 61+12"#),
    ("named-tool-stops-whole", r#"- | get_weather({"place":"Wellington"}) | tool_calls stop | 12+5"#),
    ("no-arguments-tool-stream", "- | now({}) | tool_calls stop | 40+9"),
    ("parallel-tools-stream", r#"- | get_weather({"place":"Wellington"}) | get_weather({"place":"Nelson"}) | tool_calls tool_calls | 61+41"#),
    ("reasoning-whole", "391 | stop stop | 12+74"),
    ("refusal-stream", " | content_filter content_filter | I'm sorry, I can't help with that. | 48+9"),
    ("status-400-context-length", "ContextLength context_length_exceeded"),
    ("status-400-unsupported", "Unsupported unsupported_parameter"),
    ("status-401", "Auth invalid_api_key"),
    ("status-403", "Permission unsupported_country_region_territory"),
    ("status-404", "NotFound model_not_found"),
    ("status-429-insufficient-quota", "Payment insufficient_quota"),
    ("status-429", "RateLimited rate_limit_exceeded after 360s"),
    ("status-500", "Server server_error"),
    ("status-503", "Overloaded slow_down after 5s"),
    ("stream-cut", "Malformed -"),
    ("stream-error", "Server server_error"),
    ("text-stream", "Hello! | stop stop | 9+3"),
    ("text-whole", "Hello! How can I help? | stop stop | 12+5"),
    ("tool-result-whole", "Windy in Wellington, sunny in Nelson. | stop stop | 1190+11"),
    ("utf8-split-stream", "Grüße, 世界 🌍 – naïve | stop stop | 9+12"),
];

#[test]
fn written_exchanges_say_what_they_are_written_to_say() {
    let found: Vec<_> = fixtures("openai")
        .iter()
        // Two choices end twice; the conformance test counts them.
        .filter(|path| !path.ends_with("two-choices-stream.json"))
        .map(|path| (path.file_stem().unwrap().display().to_string(), play("openai", path)))
        .collect();
    let found: Vec<_> = found.iter().map(|(name, outcome)| (name.as_str(), outcome.as_str())).collect();
    assert_eq!(found, OUTCOMES);
}
