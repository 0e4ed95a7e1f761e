//! Tool names and call ids that Anthropic accepts, mapped so that no two become one.

/// Longest tool name.
const NAME_CHARS: usize = 128;

/// The name as Anthropic takes it: itself wherever possible.
pub fn tool_name(name: &str) -> String {
    if is_plain(name) && name.len() <= NAME_CHARS { name.to_owned() } else { mapped(name, NAME_CHARS) }
}

/// The id as Anthropic takes it; the same for a call and for its result.
pub fn call_id(id: &str) -> String {
    if is_plain(id) { id.to_owned() } else { mapped(id, NAME_CHARS) }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_allowed)
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// What can stay of a text, and a checksum of the whole.
fn mapped(text: &str, limit: usize) -> String {
    let stem: String = text
        .bytes()
        .map(|byte| if is_allowed(byte) { char::from(byte) } else { '_' })
        .take(limit - 9)
        .collect();
    format!("{stem}_{:08x}", crc32fast::hash(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_stays_and_the_rest_stays_apart() {
        assert_eq!(tool_name("get_weather-2"), "get_weather-2");
        assert_eq!(call_id("call_1"), "call_1");
        let mapped = [tool_name("a.b"), tool_name("a:b"), tool_name("a_b"), tool_name(""), call_id("a.b")];
        assert!(mapped.iter().all(|name| is_plain(name)), "{mapped:?}");
        assert_eq!(mapped[0], mapped[4]);
        assert_ne!(mapped[0], mapped[1]);
        assert_ne!(mapped[0], mapped[2]);
        assert_eq!(tool_name(&"x".repeat(200)).len(), NAME_CHARS);
    }
}
