//! Extends a vocabulary by what answers hold, and writes it down: how the files came about.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::adapters::drift::pieces::{self, Piece};
use crate::adapters::drift::vocabulary::{JsonType, Node, Step, Vocabulary};
use crate::adapters::drift::{Answer, names};

/// Takes everything in this answer for known.
pub fn learn(vocabulary: &mut Vocabulary, answer: &Answer<'_>) {
    if let Some(media) = answer.media() {
        vocabulary.add_media(media);
    }
    let mut values = Vec::new();
    pieces::each(vocabulary, answer, |piece| match piece {
        Piece::Value(value) => values.push((None, value)),
        Piece::Event(name, value) => values.push((Some(name), value)),
        Piece::Unreadable => {}
    });
    for (event, value) in values {
        if let Some(event) = event {
            vocabulary.add_event(&event);
        }
        value_at(vocabulary, 0, &value);
    }
}

fn value_at(vocabulary: &mut Vocabulary, at: usize, value: &Value) {
    if vocabulary.node(at).is_open || value.is_null() {
        return;
    }
    vocabulary.node_mut(at).types |= JsonType::of(value) as u8;
    match value {
        Value::String(word) if !word.is_empty() => {
            if let Some(words) = &mut vocabulary.node_mut(at).words {
                words.insert(word.clone());
            }
        }
        Value::Array(items) => {
            for item in items {
                let child = vocabulary.child(at, Step::Items);
                value_at(vocabulary, child, item);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let node = vocabulary.node(at);
                let is_named =
                    node.members.contains_key(name) || (node.rest.is_none() && names::is_plain(name));
                let step = if is_named { Step::Member(name) } else { Step::Rest };
                let child = vocabulary.child(at, step);
                value_at(vocabulary, child, member);
            }
        }
        _ => {}
    }
}

/// The file: the head of the old one up to its first path, then every path in order.
pub fn write(vocabulary: &Vocabulary, old: &str) -> String {
    let is_head = |line: &&str| {
        let first = line.split(' ').next().unwrap_or_default();
        line.starts_with('#')
            || line.is_empty()
            || line.contains(" as ")
            || matches!(first, "@form" | "@name" | "@body")
    };
    let mut text = String::new();
    for line in old.lines().filter(is_head) {
        text.push_str(line);
        text.push('\n');
    }
    for media in vocabulary.media() {
        writeln!(text, "@media {media}").expect("a string takes everything");
    }
    for event in vocabulary.events() {
        writeln!(text, "@event {event}").expect("a string takes everything");
    }
    let mut lines = Vec::new();
    let aliases = old.lines().filter_map(|line| Some(line.split_once(" as ")?.0)).collect();
    Writer { vocabulary, aliases, lines: &mut lines }.node(0, String::new());
    lines.sort();
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

struct Writer<'a> {
    vocabulary: &'a Vocabulary,
    /// Paths whose shape is written down elsewhere.
    aliases: BTreeSet<&'a str>,
    lines: &'a mut Vec<String>,
}

impl Writer<'_> {
    fn node(&mut self, at: usize, path: String) {
        if self.aliases.contains(path.as_str()) {
            return;
        }
        let node = self.vocabulary.node(at);
        self.lines.extend(line(node, &path));
        let dot = if path.is_empty() { "" } else { "." };
        for (name, to) in &node.members {
            self.node(*to, format!("{path}{dot}{name}"));
        }
        if let Some(to) = node.rest {
            self.node(to, format!("{path}{dot}*"));
        }
        if let Some(to) = node.items {
            let list = if path.is_empty() { "$" } else { &path };
            self.node(to, format!("{list}[]"));
        }
    }
}

/// Nothing where the paths of what is inside say the same.
fn line(node: &Node, path: &str) -> Option<String> {
    let types = JsonType::WRITTEN.iter().filter(|json_type| node.types & **json_type as u8 != 0);
    let names: Vec<&str> = match node.is_open {
        true => vec!["any"],
        false => types.map(|json_type| json_type.as_str()).collect(),
    };
    let has_members = !node.members.is_empty() || node.rest.is_some();
    let is_implied = has_members && names == ["object"] || node.items.is_some() && names == ["array"];
    if is_implied {
        return None;
    }
    let names = if names.is_empty() { vec!["null"] } else { names };
    let words = node.words.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ");
    let words = if node.words.is_some() { format!(": {words}") } else { String::new() };
    let path = if path.is_empty() { "$" } else { path };
    Some(format!("{path} {}{}", names.join("|"), words.trim_end()))
}
