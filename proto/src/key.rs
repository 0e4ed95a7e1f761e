//! The form of keys and admin tokens: prefix, random part, checksum; and their hash.
//!
//! Only the SHA-256 is stored or compared. The checksum lets garbage fail without a lookup.

use sha2::{Digest, Sha256};

use crate::{id, secret::Secret};

/// Prefix of keys that callers present.
pub const KEY_PREFIX: &str = "sk-sy-v1-";
/// Prefix of admin tokens.
pub const TOKEN_PREFIX: &str = "sy-admin-v1-";
/// Fewest characters of a secret that was brought from elsewhere.
pub const FOREIGN_LEAST: usize = 32;
/// Most characters of any presented secret.
pub const LONGEST: usize = 512;

const RANDOM_DIGITS: usize = 43;
const CHECKSUM_DIGITS: usize = 6;

/// SHA-256 of a presented secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Hashes a presented secret.
    pub fn of(presented: &str) -> Self {
        Self(Sha256::digest(presented.as_bytes()).into())
    }

    /// From the wire; `None` unless 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Lower-case hex: the `hash` of the client API.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The first bytes only: enough to tell keys apart in a log, useless for an attack.
impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyHash({:02x}{:02x}{:02x}{:02x}…)", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

/// A new secret with the given prefix: 256 random bits and a checksum.
pub fn generate(prefix: &str) -> Secret {
    let halves: [u128; 2] = [rand::random(), rand::random()];
    let random: String = halves.iter().map(|half| id::to_base62(*half, 22)).collect();
    let random = &random[..RANDOM_DIGITS];
    Secret::new(format!("{prefix}{random}{}", checksum(prefix, random)))
}

/// Whether a presented text can be a key at all: ours with a right checksum, or a foreign one of 32 characters or more.
pub fn is_well_formed(presented: &str) -> bool {
    if presented.len() > LONGEST || !presented.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    match presented.strip_prefix(KEY_PREFIX) {
        Some(rest) => has_checksum(KEY_PREFIX, rest),
        None => presented.len() >= FOREIGN_LEAST,
    }
}

/// Whether a presented text can be an admin token.
pub fn is_well_formed_token(presented: &str) -> bool {
    presented.strip_prefix(TOKEN_PREFIX).is_some_and(|rest| has_checksum(TOKEN_PREFIX, rest))
}

/// First and last characters, for display, e.g. `sk-sy-v1-4fQ...x9Z`.
pub fn label(secret: &str) -> String {
    let characters: Vec<char> = secret.chars().collect();
    if characters.len() < FOREIGN_LEAST {
        return "...".to_owned();
    }
    let prefixed = [KEY_PREFIX, TOKEN_PREFIX].iter().find(|prefix| secret.starts_with(**prefix));
    let head = prefixed.map_or(3, |prefix| prefix.len() + 3);
    let tail = &characters[characters.len() - 3..];
    characters[..head].iter().chain(['.', '.', '.'].iter()).chain(tail).collect()
}

fn has_checksum(prefix: &str, rest: &str) -> bool {
    rest.is_ascii()
        && rest.len() == RANDOM_DIGITS + CHECKSUM_DIGITS
        && checksum(prefix, &rest[..RANDOM_DIGITS]) == rest[RANDOM_DIGITS..]
}

fn checksum(prefix: &str, random: &str) -> String {
    let mut crc = crc32fast::Hasher::new();
    crc.update(prefix.as_bytes());
    crc.update(random.as_bytes());
    id::to_base62(u128::from(crc.finalize()), CHECKSUM_DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_are_well_formed_and_differ() {
        let (one, two) = (generate(KEY_PREFIX), generate(KEY_PREFIX));
        assert!(is_well_formed(one.expose()) && one != two);
        assert!(is_well_formed_token(generate(TOKEN_PREFIX).expose()));
        assert!(!is_well_formed_token(one.expose()));
    }

    #[test]
    fn garbage_is_refused_without_a_lookup() {
        let mut flipped = generate(KEY_PREFIX).expose().to_owned();
        let last = if flipped.pop() == Some('a') { 'b' } else { 'a' };
        flipped.push(last);
        let long = "x".repeat(LONGEST + 1);
        for text in [
            "",
            "sk-sy-v1-",
            "hello",
            "sk-or-v1-short",
            flipped.as_str(),
            long.as_str(),
            "spaces are not allowed in any key at all",
        ] {
            assert!(!is_well_formed(text), "{text}");
        }
    }

    #[test]
    fn foreign_secrets_need_thirty_two_characters() {
        assert!(is_well_formed(&"k".repeat(32)));
        assert!(!is_well_formed(&"k".repeat(31)));
    }

    #[test]
    fn labels_show_ends_only() {
        let key = generate(KEY_PREFIX);
        let shown = label(key.expose());
        assert_eq!(shown.len(), KEY_PREFIX.len() + 3 + 3 + 3);
        assert_eq!(label("short"), "...");
        assert_eq!(label(&"k".repeat(40)), "kkk...kkk");
    }
}
