//! Drift: what a provider's answer holds that its adapter has never seen, told by shape and never by value.
//!
//! [`findings`] compares one answer with its dialect's [`Vocabulary`]: unknown members, events, words of
//! enumerations, types and content types. Only the topmost unknown member is told, list places become `[]`, and a
//! name that looks like data becomes `{}` (see [`names`]). When to look, and where findings go, is the rim's business.

pub mod names;
mod pieces;
pub mod vocabulary;
mod walk;

#[cfg(test)]
mod learn;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use self::pieces::Piece;
pub use self::vocabulary::Vocabulary;

/// Most findings of one answer; whatever is strange beyond them comes with another answer.
pub const MOST_FINDINGS: usize = 32;

/// What is new about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A member that the dialect was not known to have.
    Field,
    /// An event of a stream.
    Event,
    /// A word where the dialect has an enumeration: a finish reason, a block's type, an error's code.
    Word,
    /// A known member with a value of another JSON type, or a body that is none of the dialect's forms.
    Type,
    /// The content type of the whole answer.
    Media,
}

impl Kind {
    /// The name in metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Event => "event",
            Self::Word => "word",
            Self::Type => "type",
            Self::Media => "media",
        }
    }
}

/// One shape that is not in the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    pub kind: Kind,
    /// Where: `choices[].delta.mood`; `$` is the whole event or body, `*` an entry of an open map.
    pub path: String,
    /// The JSON type of a field, the word of an event, an enumeration or a content type; `{}` for what looks like data.
    pub detail: String,
}

/// How much of an answer there is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// It may be cut at its end.
    Head,
    /// It may be cut at both ends.
    Middle,
}

/// Bytes of one answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The `content-type`, if there was one.
    pub media: Option<&'a str>,
    pub body: &'a [u8],
    pub extent: Extent,
}

impl Answer<'_> {
    /// The content type without its parameters.
    fn media(&self) -> Option<&str> {
        let media = self.media?.split(';').next()?.trim();
        (!media.is_empty()).then_some(media)
    }
}

/// What of an answer is not in the vocabulary: each shape once, at most [`MOST_FINDINGS`], in no telling order.
pub fn findings(vocabulary: &Vocabulary, answer: &Answer<'_>) -> Vec<Finding> {
    let mut found = Found { findings: BTreeSet::new(), most: MOST_FINDINGS };
    look(vocabulary, answer, &mut found);
    found.findings.into_iter().collect()
}

/// Findings under way.
struct Found {
    findings: BTreeSet<Finding>,
    most: usize,
}

impl Found {
    fn add(&mut self, kind: Kind, path: &str, detail: &str) {
        if self.findings.len() < self.most {
            self.findings.insert(Finding { kind, path: path.to_owned(), detail: detail.to_owned() });
        }
    }
}

fn look(vocabulary: &Vocabulary, answer: &Answer<'_>, found: &mut Found) {
    if let Some(media) = answer.media().filter(|media| !vocabulary.knows_media(media)) {
        found.add(Kind::Media, "content-type", names::media(media));
    }
    pieces::each(vocabulary, answer, |piece| match piece {
        Piece::Value(value) => walk::walk(vocabulary, &value, found),
        Piece::Event(name, value) => {
            let is_known = vocabulary.knows_event(&name);
            if !is_known {
                found.add(Kind::Event, "$", names::word(&name));
            }
            // What is inside an unknown event is unknown as a whole, where events have shapes of their own.
            if is_known || !vocabulary.has_shapes_by_event() {
                walk::walk(vocabulary, &value, found);
            }
        }
        Piece::Unreadable => found.add(Kind::Type, "$", "unreadable"),
    });
}
