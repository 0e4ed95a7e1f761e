//! Which names of an answer may be told: those that look like a dialect's own words.
//!
//! A provider may put anything into a key or a word: ids, addresses, a caller's text. What is not made like an
//! identifier becomes [`DATA`], which tells that something was there and nothing of what it was.

/// Stands for a name that looks like data.
pub const DATA: &str = "{}";

/// Longest name, in bytes.
const LONGEST: usize = 64;
/// Longest part between `_`, `-` and `.`.
const LONGEST_PART: usize = 40;
/// Most digits in a part that has letters too: `base64`, `5m`, `2026`.
const MOST_DIGITS: usize = 4;
/// Digits of a part without letters: a date.
const DATE: usize = 8;

/// A member's name as it may be told.
pub fn key(name: &str) -> &str {
    if is_plain(name) { name } else { DATA }
}

/// A word of an enumeration, or an event's name, as it may be told.
pub fn word(word: &str) -> &str {
    if is_plain(word) { word } else { DATA }
}

/// A content type without parameters, as it may be told.
pub fn media(media: &str) -> &str {
    let is_told = media.len() <= LONGEST
        && media
            .split_once('/')
            .is_some_and(|(group, form)| is_plain(group) && form.split('+').all(is_plain));
    if is_told { media } else { DATA }
}

/// Whether a name is an identifier made of words: ASCII letters with few digits, joined by `_`, `-` or `.`.
///
/// Random identifiers, keys and hashes fail by their digits, texts by their spaces.
pub fn is_plain(name: &str) -> bool {
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins && name.len() <= LONGEST && name.split(['_', '-', '.']).all(is_part)
}

fn is_part(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    if digits > 0 && digits == part.len() {
        return digits <= DATE;
    }
    let runs = part.as_bytes().split(|byte| !byte.is_ascii_digit()).filter(|run| !run.is_empty()).count();
    part.len() <= LONGEST_PART
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && runs <= 1
        && digits <= MOST_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_dialect_are_told() {
        for name in [
            "content",
            "finish_reason",
            "ephemeral_5m_input_tokens",
            "cacheReadInputTokens",
            "response.output_text.delta",
            "web_search_20250305",
            "MALFORMED_FUNCTION_CALL",
            "x_groq",
            "_links",
            "b64_json",
            "gpt-5",
        ] {
            assert_eq!((key(name), word(name)), (name, name));
        }
        for told in [
            "application/json",
            "text/event-stream",
            "application/vnd.amazon.eventstream",
            "application/problem+json",
        ] {
            assert_eq!(media(told), told);
        }
    }

    #[test]
    fn what_looks_like_data_is_not_told() {
        for name in [
            "",
            "7",
            "call_9f8a7b6c5d4e",
            "sk-proj-a1b2c3d4e5f6",
            "0b9c2c1e-6a53-4f0e-9f3a-2f1d0c9b8a77",
            "canary-key-1f7be8a09c5d4e",
            "https://example.com/a",
            "jane@example.com",
            "two words",
            "übung",
            "line\nbreak",
            "user_1234567890123",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "a_very_long_name_that_is_made_of_words_but_goes_on_and_on_and_on_and",
        ] {
            assert_eq!((key(name), word(name)), (DATA, DATA), "{name:?}");
        }
        for hidden in ["json", "text/html charset", "text/9f8a7b6c5d4e", "a/b/c"] {
            assert_eq!(media(hidden), DATA, "{hidden:?}");
        }
    }
}
