//! Names as one segment of a URL path.

use std::fmt::Write;

/// The text with everything percent-encoded but letters, digits, `-`, `.`, `_`, `~` and what is in `also`.
///
/// Slashes and colons are encoded too: a name never becomes two segments.
pub fn segment(text: &str, also: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_whatever_it_holds() {
        for (name, also, expected) in [
            ("us.anthropic.claude-3-haiku-20240307-v1:0", "", "us.anthropic.claude-3-haiku-20240307-v1%3A0"),
            ("arn:aws:bedrock:us-east-1:1:p/x", "", "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ap%2Fx"),
            ("claude-haiku-4-5@20251001", "@", "claude-haiku-4-5@20251001"),
            ("a b?ü#", "", "a%20b%3F%C3%BC%23"),
        ] {
            assert_eq!(segment(name, also.as_bytes()), expected);
        }
    }
}
