//! Reasoning that stands at the beginning of the content, between tags, told apart from what follows.
//!
//! Tags may be cut across chunks, so that what may be the beginning of one is held back.

use std::mem;

use serde_json::json;

use crate::adapters::quirks::ThinkTags;
use crate::model::event::Delta;

const OPENING: &str = "<think>";
const CLOSING: &str = "</think>";
/// Bytes of white space before an opening tag; with more of it there is none.
const MOST_HELD: usize = 256;

/// What a piece of content turned out to be.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Told {
    pub reasoning: String,
    pub content: String,
}

impl Told {
    /// Adds this to a delta, the reasoning unless it is to be hidden.
    pub fn put(self, delta: &mut Delta, hide_reasoning: bool) {
        if !self.content.is_empty() {
            delta.content.get_or_insert_default().push_str(&self.content);
        }
        if self.reasoning.is_empty() || hide_reasoning {
            return;
        }
        let detail =
            json!({"type": "reasoning.text", "text": &self.reasoning, "format": "unknown", "index": 0});
        delta.reasoning_details.push(detail);
        delta.reasoning.get_or_insert_default().push_str(&self.reasoning);
    }
}

/// Splits the content of one choice, piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Splitter {
    place: Place,
    /// What may be the beginning of a tag.
    held: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// Before anything was said; where the flag is set, thinking needs no opening tag.
    Start { implied: bool },
    /// In the reasoning, perhaps before its first character.
    Inside { begun: bool },
    /// Between the closing tag and the content.
    Seam,
    #[default]
    Content,
}

impl Splitter {
    /// For a choice of an endpoint with this habit.
    pub fn new(tags: ThinkTags) -> Self {
        let place = match tags {
            ThinkTags::Absent => Place::Content,
            ThinkTags::Tagged => Place::Start { implied: false },
            ThinkTags::Implied => Place::Start { implied: true },
        };
        Self { place, held: String::new() }
    }

    /// Tells the reasoning in a delta's content apart; true where there is none.
    pub fn split(&mut self, delta: &mut Delta, hide_reasoning: bool) -> bool {
        if self.place == Place::Content {
            return true;
        }
        let Some(content) = delta.content.take() else { return true };
        let told = self.push(&content);
        if told.reasoning.is_empty() && told.content == content {
            delta.content = Some(content);
            return true;
        }
        told.put(delta, hide_reasoning);
        false
    }

    /// Notes that the endpoint tells reasoning in a member of its own.
    pub fn has_reasoning_apart(&mut self) {
        if self.place == (Place::Start { implied: true }) {
            self.place = Place::Start { implied: false };
        }
    }

    /// Takes the next piece of content.
    fn push(&mut self, piece: &str) -> Told {
        let mut told = Told::default();
        let mut text = mem::take(&mut self.held);
        text.push_str(piece);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            rest = match self.place {
                Place::Start { implied } => self.start(rest, implied),
                Place::Inside { begun: false } => self.enter(rest),
                Place::Inside { begun: true } => self.think(rest, &mut told.reasoning),
                Place::Seam => self.leave(rest),
                Place::Content => {
                    told.content.push_str(rest);
                    ""
                }
            };
        }
        told
    }

    /// Gives out what was held back: no tag came of it.
    pub fn finish(&mut self) -> Told {
        let held = mem::take(&mut self.held);
        match self.place {
            Place::Inside { .. } | Place::Start { implied: true } => {
                Told { reasoning: held, ..Told::default() }
            }
            Place::Start { implied: false } | Place::Seam | Place::Content => {
                Told { content: held, ..Told::default() }
            }
        }
    }

    fn start<'a>(&mut self, rest: &'a str, implied: bool) -> &'a str {
        let text = rest.trim_start();
        if let Some(inside) = text.strip_prefix(OPENING) {
            self.place = Place::Inside { begun: false };
            return inside;
        }
        if OPENING.starts_with(text) && rest.len() <= MOST_HELD {
            self.held.push_str(rest);
            return "";
        }
        self.place = if implied { Place::Inside { begun: true } } else { Place::Content };
        rest
    }

    fn enter<'a>(&mut self, rest: &'a str) -> &'a str {
        let text = rest.trim_start();
        if !text.is_empty() {
            self.place = Place::Inside { begun: true };
        }
        text
    }

    fn think<'a>(&mut self, rest: &'a str, reasoning: &mut String) -> &'a str {
        if let Some((thought, after)) = rest.split_once(CLOSING) {
            reasoning.push_str(thought);
            self.place = Place::Seam;
            return after;
        }
        let cut = rest.len() - partial(rest);
        reasoning.push_str(&rest[..cut]);
        self.held.push_str(&rest[cut..]);
        ""
    }

    fn leave<'a>(&mut self, rest: &'a str) -> &'a str {
        let text = rest.trim_start();
        if !text.is_empty() {
            self.place = Place::Content;
        }
        text
    }
}

/// Bytes at the end of the text that may be the beginning of the closing tag.
fn partial(text: &str) -> usize {
    (1..CLOSING.len()).rev().find(|length| text.ends_with(&CLOSING[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(tags: ThinkTags, pieces: &[&str]) -> (String, String) {
        let mut splitter = Splitter::new(tags);
        let mut told = Told::default();
        for piece in pieces {
            let more = splitter.push(piece);
            told.reasoning.push_str(&more.reasoning);
            told.content.push_str(&more.content);
        }
        let more = splitter.finish();
        (told.reasoning + &more.reasoning, told.content + &more.content)
    }

    const CASES: &[(ThinkTags, &str, &str, &str)] = &[
        (ThinkTags::Tagged, "<think>\nhm ü</think>\n\nHi <think>x</think>", "hm ü", "Hi <think>x</think>"),
        (ThinkTags::Tagged, " \n<think>hm</think>Hi", "hm", "Hi"),
        (ThinkTags::Tagged, "Hi <think>x</think>", "", "Hi <think>x</think>"),
        (ThinkTags::Tagged, "<thin", "", "<thin"),
        (ThinkTags::Tagged, "<thinner> x", "", "<thinner> x"),
        (ThinkTags::Tagged, "<think></think>Hi", "", "Hi"),
        (ThinkTags::Tagged, "<think>cut </thi", "cut </thi", ""),
        (ThinkTags::Tagged, "<think>a </ b </think c</think>d", "a </ b </think c", "d"),
        (ThinkTags::Implied, "hm</think>\nHi", "hm", "Hi"),
        (ThinkTags::Implied, "<think>hm</think>Hi", "hm", "Hi"),
        (ThinkTags::Implied, "hm", "hm", ""),
        (ThinkTags::Absent, "<think>hm</think>Hi", "", "<think>hm</think>Hi"),
    ];

    #[test]
    fn thinking_is_told_apart_however_the_text_is_cut() {
        for (tags, text, reasoning, content) in CASES {
            let expected = ((*reasoning).to_owned(), (*content).to_owned());
            assert_eq!(run(*tags, &[text]), expected, "{text}");
            let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            for one in &cuts {
                for other in cuts.iter().filter(|other| *other >= one) {
                    let pieces = [&text[..*one], &text[*one..*other], &text[*other..]];
                    assert_eq!(run(*tags, &pieces), expected, "{pieces:?}");
                }
            }
        }
    }

    #[test]
    fn white_space_is_not_held_back_for_ever() {
        let mut splitter = Splitter::new(ThinkTags::Tagged);
        let told: usize = (0..1000).map(|_| splitter.push(" ").content.len()).sum();
        assert_eq!(told + splitter.finish().content.len(), 1000);
        assert!(splitter.held.is_empty() && splitter.place == Place::Content);
    }

    #[test]
    fn an_endpoint_that_tells_reasoning_apart_has_none_in_its_content() {
        let mut splitter = Splitter::new(ThinkTags::Implied);
        splitter.has_reasoning_apart();
        assert_eq!(splitter.push("Hi").content, "Hi");
    }
}
