//! Exchanges of this dialect, written and recorded, and what they say.

use crate::adapters::shared::exchange_tests::{fixtures, play, recordings};

/// A written exchange and its outcome.
#[rustfmt::skip] // A table: one row, one line.
const OUTCOMES: &[(&str, &str)] = &[
    ("cache-long", "ok | stop end_turn | 2053+1"),
    ("citations", "It says: twenty days. | stop end_turn | 12+9 | [Document 1 9..21] | [https://example.com/leave 9..21]"),
    ("content-filtered-stream", "Once | content_filter content_filtered | 12+9"),
    ("guardrail", "Sorry, this is blocked. | content_filter guardrail_intervened | 0+0"),
    ("guardrail-stream", "Sorry, this is blocked. | content_filter guardrail_intervened | 12+9"),
    ("invalid-in-stream", "InvalidRequest validationException"),
    ("malformed-tool-use-stream", "Malformed malformed_tool_use"),
    ("max-tokens", "Once upon a | length max_tokens | 5+3"),
    ("max-tokens-in-call-stream", r#"- | weather({"city": "K) | length max_tokens | 5+3"#),
    ("model-error-in-stream", "Server modelStreamErrorException"),
    ("no-metadata-stream", "Hi | stop end_turn"),
    ("parallel-tools", r#"Looking. | weather({"city":"Köln"}) | now({}) | tool_calls tool_use | 12+9"#),
    ("parallel-tools-stream", r#"Looking. | weather({"city": "Köln"}) | now({}) | tool_calls tool_use | 12+9"#),
    ("reasoning", "42 | Let me think. (RXJrQ2FTaWc= cmVkYWN0ZWQ=) | stop end_turn | 12+9"),
    ("reasoning-stream", "42 | Let me think. (RXJrQ2FTaWc= cmVkYWN0ZWQ=) | stop end_turn | 12+9"),
    ("status-400", "InvalidRequest ValidationException"),
    ("status-400-context", "ContextLength ValidationException"),
    ("status-400-quota", "RateLimited ServiceQuotaExceededException"),
    ("status-403", "Permission AccessDeniedException"),
    ("status-403-token", "Auth UnrecognizedClientException"),
    ("status-404", "NotFound ResourceNotFoundException"),
    ("status-408", "Timeout ModelTimeoutException"),
    ("status-424", "Server ModelErrorException"),
    ("status-429", "RateLimited ThrottlingException after 2s"),
    ("status-429-not-ready", "Overloaded ModelNotReadyException"),
    ("status-500", "Server InternalServerException"),
    ("status-503", "Overloaded ServiceUnavailableException"),
    ("text", "Grüße 🦀, world. | stop end_turn | 12+9"),
    ("text-stream", "Grüße 🦀, world. | stop end_turn | 12+9"),
    ("throttled-in-stream", "RateLimited throttlingException"),
    ("unavailable-in-stream", "Overloaded serviceUnavailableException"),
    ("unknown-operation", "NotFound UnknownOperationException"),
];

#[test]
fn written_exchanges_say_what_they_are_written_to_say() {
    let found: Vec<_> = fixtures("bedrock")
        .iter()
        .map(|path| (path.file_stem().unwrap().display().to_string(), play("bedrock", path)))
        .collect();
    let mut found: Vec<_> = found.iter().map(|(name, outcome)| (name.as_str(), outcome.as_str())).collect();
    found.sort();
    assert_eq!(found, OUTCOMES);
}

#[test]
fn recorded_exchanges_end_as_their_status_says() {
    let recorded = recordings("bedrock/converse");
    if recorded.is_empty() {
        println!("skipped: no recordings of bedrock/converse");
    }
    for path in recorded {
        let name = path.file_stem().unwrap().display().to_string();
        let outcome = play("bedrock", &path);
        // Finishes are lower-case words before the counts, classes of failures are not.
        let is_told = outcome.contains('+') && outcome.contains(" | ");
        assert_eq!(is_told, !name.contains("-status-"), "{name}: {outcome}");
    }
}
