//! Exchanges that the recordings do not have, and what they say; and those of the dialect on another host.

use crate::adapters::shared::exchange_tests::{fixtures, play, recordings};

/// A written exchange and its outcome.
#[rustfmt::skip] // A table: one row, one line.
const OUTCOMES: &[(&str, &str)] = &[
    ("api-error-in-stream", "Server api_error"),
    ("compaction-stream", "- | length compaction | 12+9"),
    ("document-citations", "It says twenty days | stop end_turn | 12+9 | [policy.txt 8..19]"),
    ("error-in-200", "Overloaded overloaded_error"),
    ("overloaded-before-content-stream", "Overloaded overloaded_error"),
    ("overloaded-in-stream", "Overloaded overloaded_error"),
    ("pause-turn", "Searching. | stop pause_turn | 12+9"),
    ("redacted-thinking", "42 | Let me think. (RXJrQ2FTaWc= cmVkYWN0ZWQ=) | stop end_turn | 12+30"),
    ("redacted-thinking-stream", "42 | Let me think. (RXJrQ2FTaWc= cmVkYWN0ZWQ=) | stop end_turn | 12+30"),
    ("refusal", "- | content_filter refusal | I cannot help with this. | 12+9"),
    ("refusal-stream", "I will | content_filter refusal | I cannot help with this. | 12+9"),
    ("status-400-context", "ContextLength invalid_request_error"),
    ("status-400-credit", "Payment invalid_request_error"),
    ("status-402", "Payment billing_error"),
    ("status-403", "Permission permission_error"),
    ("status-413", "InvalidRequest -"),
    ("status-429", "RateLimited rate_limit_error after 17s"),
    ("status-429-overloaded", "Overloaded overloaded_error"),
    ("status-429-spend", "Payment workspace_spend_limit_reached"),
    ("status-500", "Server api_error"),
    ("status-504", "Timeout timeout_error"),
    ("status-529", "Overloaded overloaded_error"),
    ("text-utf8", "Grüße 🦀, 世界. | stop end_turn | 12+9"),
    ("text-utf8-stream", "Grüße 🦀, 世界. | stop end_turn | 12+9"),
    ("web-search", "It is so. | stop end_turn | 100+9 | [https://example.com/a 0..9] | [https://example.com/b 9..9]"),
    ("web-search-stream", "It is so. | stop end_turn | 100+9 | [https://example.com/a 0..9] | [https://example.com/b 9..9]"),
];

#[test]
fn written_exchanges_say_what_they_are_written_to_say() {
    let found: Vec<_> = fixtures("anthropic")
        .iter()
        .map(|path| (path.file_stem().unwrap().display().to_string(), play("anthropic", path)))
        .collect();
    let mut found: Vec<_> = found.iter().map(|(name, outcome)| (name.as_str(), outcome.as_str())).collect();
    found.sort();
    assert_eq!(found, OUTCOMES);
}

#[test]
fn recorded_exchanges_end_as_their_status_says() {
    let recorded = recordings("vertex/raw_predict");
    if recorded.is_empty() {
        println!("skipped: no recordings of vertex/raw_predict");
    }
    for path in recorded {
        let name = path.file_stem().unwrap().display().to_string();
        let outcome = play("anthropic", &path);
        // Finishes are lower-case words before the counts, classes of failures are not.
        let is_told = outcome.contains('+') && outcome.contains(" | ");
        assert_eq!(is_told, !name.contains("-status-"), "{name}: {outcome}");
    }
}
