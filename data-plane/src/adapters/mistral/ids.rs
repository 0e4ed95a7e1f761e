//! Tool names and call ids that Mistral accepts.

use sha2::{Digest, Sha256};

use crate::adapters::shared::names::Rule;

const NAMES: Rule = Rule { longest: 64, marks: b"_-", letter_first: false };
/// Call ids have exactly this many letters and digits.
const ID_LEN: usize = 9;
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The name as Mistral takes it: itself wherever possible.
pub fn tool_name(name: &str) -> String {
    NAMES.apply(name)
}

/// Whether Mistral takes the name as it is.
pub fn is_tool_name(name: &str) -> bool {
    NAMES.accepts(name)
}

/// Whether Mistral takes the call id as it is.
pub fn is_call_id(id: &[u8]) -> bool {
    id.len() == ID_LEN && id.iter().all(u8::is_ascii_alphanumeric)
}

/// The id as Mistral takes it: itself, or a hash, so that a call and its result agree. Cutting would let ids meet.
pub fn call_id(id: &str) -> String {
    if is_call_id(id.as_bytes()) {
        return id.to_owned();
    }
    let hash = Sha256::digest(id.as_bytes());
    let mut rest = hash.iter().take(8).fold(0_u64, |rest, byte| rest << 8 | u64::from(*byte));
    let mut letter = || {
        let letter = LETTERS[(rest % 62) as usize];
        rest /= 62;
        char::from(letter)
    };
    (0..ID_LEN).map(|_| letter()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_have_nine_letters_and_stay_apart() {
        assert_eq!(call_id("Ab3dE6gH9"), "Ab3dE6gH9");
        let ids =
            ["", "call_1", "call_2", "toolu_01AbCdEfGh", "toolu_01AbCdEfGi", "Ab3dE6gH", "Ab3dE6gH-", "né"];
        let mapped: BTreeSet<String> = ids.iter().map(|id| call_id(id)).collect();
        assert_eq!(mapped.len(), ids.len());
        assert!(mapped.iter().all(|id| is_call_id(id.as_bytes())), "{mapped:?}");
        assert_eq!(call_id("call_1"), call_id("call_1"));
    }
}
