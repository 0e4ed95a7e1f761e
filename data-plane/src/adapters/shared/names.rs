//! Tool names and call ids within what a provider accepts, mapped so that no two become one.

/// What a provider accepts as a name or id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Longest, in characters; more than 9.
    pub longest: usize,
    /// Punctuation beside ASCII letters and digits; must have `_`.
    pub marks: &'static [u8],
    /// Whether the first character must be a letter or `_`.
    pub letter_first: bool,
}

impl Rule {
    /// The name as the provider takes it: itself wherever possible. The same for the same text, always.
    pub fn apply(self, text: &str) -> String {
        if self.accepts(text) { text.to_owned() } else { self.mapped(text) }
    }

    /// Whether the provider takes the text as it is.
    pub fn accepts(self, text: &str) -> bool {
        let first = text.bytes().next();
        text.len() <= self.longest
            && first.is_some_and(|first| !self.letter_first || first.is_ascii_alphabetic() || first == b'_')
            && text.bytes().all(|byte| self.allows(byte))
    }

    fn allows(self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || self.marks.contains(&byte)
    }

    /// What can stay of a text, and a checksum of the whole.
    fn mapped(self, text: &str) -> String {
        let lead = text.bytes().next().is_none_or(|first| self.letter_first && !first.is_ascii_alphabetic());
        let stem: String = lead
            .then_some('_')
            .into_iter()
            .chain(text.bytes().map(|byte| if self.allows(byte) { char::from(byte) } else { '_' }))
            .take(self.longest - 9)
            .collect();
        format!("{stem}_{:08x}", crc32fast::hash(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_stays_and_the_rest_stays_apart() {
        let rule = Rule { longest: 20, marks: b"_-", letter_first: true };
        assert_eq!(rule.apply("get_weather-2"), "get_weather-2");
        let mapped = ["a.b", "a:b", "a_b", "", "1st", &"x".repeat(200), "né"].map(|name| rule.apply(name));
        assert!(mapped.iter().all(|name| rule.accepts(name)), "{mapped:?}");
        for (at, name) in mapped.iter().enumerate() {
            assert!(!mapped[at + 1..].contains(name), "{name} twice");
        }
        assert_eq!(rule.apply("a.b"), rule.apply("a.b"));
    }
}
