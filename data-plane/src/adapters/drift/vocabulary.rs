//! What the answers of a dialect are known to hold: members with their types, words of enumerations, events, forms.
//!
//! Data, one file a dialect, in `adapters/vocabulary/`. A line is a directive or a path:
//!
//! ```text
//! @form json events lines list frames  how answers are framed: which of these occur
//! @media application/json              content types, one or more
//! @name type                           the member that names an event, where its own shape depends on it
//! @event message_start message_stop    names of events
//! @body message                        values of that member in a whole body, which is no event
//! message as $                         a member of the same shape as another path
//! choices[].message.content string|array
//! choices[].message.image_data null    never seen with a value
//! choices[].finish_reason string: stop length
//! metadata any                         whatever is inside is the caller's: not looked at
//! logit_bias.* number                  an open map: any name, values of one shape
//! ```
//!
//! A path's parents are known by it. `null` is allowed everywhere, since every decoder takes it for absence.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Known shapes of one dialect's answers.
#[derive(Debug)]
pub struct Vocabulary {
    forms: Forms,
    media: BTreeSet<String>,
    event_member: Option<String>,
    events: BTreeSet<String>,
    bodies: BTreeSet<String>,
    /// The first is the root; members refer to others by number, since shapes may hold themselves.
    nodes: Vec<Node>,
}

/// How a dialect's answers are framed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Forms {
    /// Server-sent events.
    pub events: bool,
    /// A JSON value in each line.
    pub lines: bool,
    /// A stream as one JSON array.
    pub list: bool,
    /// AWS's binary event stream.
    pub frames: bool,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    /// Bits of [`JsonType`].
    pub types: u8,
    /// An enumeration's words; none: free text.
    pub words: Option<BTreeSet<String>>,
    pub is_open: bool,
    /// By name, the number of the node.
    pub members: BTreeMap<String, usize>,
    /// Of an open map: the shape of every value that is no known member.
    pub rest: Option<usize>,
    pub items: Option<usize>,
}

/// A line that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct BadLine {
    pub line: usize,
    pub problem: &'static str,
}

/// The types that a value can have, `null` apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    Null = 0,
    String = 1,
    Number = 2,
    Boolean = 4,
    Object = 8,
    Array = 16,
}

impl JsonType {
    pub(super) const WRITTEN: [Self; 5] =
        [Self::String, Self::Number, Self::Boolean, Self::Object, Self::Array];

    /// The type of a value.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::String(_) => Self::String,
            Value::Number(_) => Self::Number,
            Value::Bool(_) => Self::Boolean,
            Value::Object(_) => Self::Object,
            Value::Array(_) => Self::Array,
        }
    }

    /// Its name in findings and vocabularies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Object => "object",
            Self::Array => "array",
        }
    }
}

/// One step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Member(&'a str),
    /// `*`
    Rest,
    /// `[]`
    Items,
}

impl Vocabulary {
    /// Reads a vocabulary.
    ///
    /// # Errors
    /// [`BadLine`] for the first line that is neither directive nor path.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let mut vocabulary = Self {
            forms: Forms::default(),
            media: BTreeSet::new(),
            event_member: None,
            events: BTreeSet::new(),
            bodies: BTreeSet::new(),
            nodes: vec![Node { types: JsonType::Object as u8, ..Node::default() }],
        };
        let lines = || {
            let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
            lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        };
        // Aliases first, so that paths lead through them.
        for (line, text) in lines() {
            if let Some((path, target)) = text.split_once(" as ") {
                vocabulary.alias(path, target).map_err(|problem| BadLine { line, problem })?;
            }
        }
        for (line, text) in lines().filter(|(_, text)| !text.contains(" as ")) {
            vocabulary.line(text).map_err(|problem| BadLine { line, problem })?;
        }
        Ok(vocabulary)
    }

    fn line(&mut self, text: &str) -> Result<(), &'static str> {
        let (first, rest) = text.split_once(' ').ok_or("one word is no line")?;
        let words = || rest.split_whitespace().map(str::to_owned);
        match first {
            "@form" => return rest.split_whitespace().try_for_each(|form| self.forms.add(form)),
            "@media" => self.media.extend(words()),
            "@event" => self.events.extend(words()),
            "@body" => self.bodies.extend(words()),
            "@name" => {
                self.event_member = Some(rest.to_owned());
                return self.path(rest, "string");
            }
            path => return self.path(path, rest),
        }
        Ok(())
    }

    fn path(&mut self, path: &str, rest: &str) -> Result<(), &'static str> {
        let (types, words) = match rest.split_once(':') {
            Some((types, words)) => (types, Some(words)),
            None => (rest, None),
        };
        let at = self.reach(&steps(path))?;
        let node = &mut self.nodes[at];
        for name in types.split('|') {
            match JsonType::WRITTEN.iter().find(|known| known.as_str() == name) {
                Some(known) => node.types |= *known as u8,
                None if name == "any" => node.is_open = true,
                // Never seen with a value.
                None if name == "null" => {}
                None => return Err("names no JSON type"),
            }
        }
        if let Some(words) = words {
            let known = node.words.get_or_insert_default();
            known.extend(words.split_whitespace().map(str::to_owned));
        }
        Ok(())
    }

    fn alias(&mut self, path: &str, target: &str) -> Result<(), &'static str> {
        let (path, target) = (steps(path.trim()), steps(target.trim()));
        let (last, parents) = path.split_last().ok_or("the root is nobody's alias")?;
        let to = self.reach(&target)?;
        let from = self.reach(parents)?;
        match self.nodes[from].put(*last, to) {
            None => Ok(()),
            Some(_) => Err("the path has a shape of its own already"),
        }
    }

    /// The node at a path, made with its parents where it is not there yet.
    pub(super) fn reach(&mut self, steps: &[Step<'_>]) -> Result<usize, &'static str> {
        let mut at = 0;
        for step in steps {
            if matches!(step, Step::Member("")) {
                return Err("a part of the path has no name");
            }
            at = self.child(at, *step);
        }
        Ok(at)
    }

    /// The node one step further, made where it is not there yet.
    pub(super) fn child(&mut self, at: usize, step: Step<'_>) -> usize {
        let parent = &mut self.nodes[at];
        parent.types |= match step {
            Step::Items => JsonType::Array as u8,
            Step::Member(_) | Step::Rest => JsonType::Object as u8,
        };
        if let Some(to) = parent.get(step) {
            return to;
        }
        let to = self.nodes.len();
        self.nodes[at].put(step, to);
        self.nodes.push(Node::default());
        to
    }

    pub(super) fn node(&self, at: usize) -> &Node {
        &self.nodes[at]
    }

    #[cfg(test)]
    pub(super) fn node_mut(&mut self, at: usize) -> &mut Node {
        &mut self.nodes[at]
    }

    #[cfg(test)]
    pub(super) fn add_event(&mut self, name: &str) {
        self.events.insert(name.to_owned());
    }

    #[cfg(test)]
    pub(super) fn add_media(&mut self, media: &str) {
        self.media.insert(media.to_ascii_lowercase());
    }

    #[cfg(test)]
    pub(super) fn media(&self) -> &BTreeSet<String> {
        &self.media
    }

    #[cfg(test)]
    pub(super) fn events(&self) -> &BTreeSet<String> {
        &self.events
    }

    /// How answers are framed.
    pub fn forms(&self) -> Forms {
        self.forms
    }

    /// The member that names an event.
    pub fn event_member(&self) -> Option<&str> {
        self.event_member.as_deref()
    }

    /// Whether what an event may hold depends on its name.
    pub fn has_shapes_by_event(&self) -> bool {
        self.event_member.is_some() || self.forms.frames
    }

    /// Whether a stream of the dialect has such an event.
    pub fn knows_event(&self, name: &str) -> bool {
        self.events.contains(name)
    }

    /// Whether the member that names events says here that this is a whole body.
    pub fn is_body(&self, name: &str) -> bool {
        self.bodies.contains(name)
    }

    /// Whether answers come with such a content type; its parameters do not count.
    pub fn knows_media(&self, media: &str) -> bool {
        self.media.iter().any(|known| known.eq_ignore_ascii_case(media))
    }

    /// The shape of a whole event or body.
    pub fn root(&self) -> Shape<'_> {
        Shape(&self.nodes[0])
    }
}

impl Forms {
    fn add(&mut self, form: &str) -> Result<(), &'static str> {
        match form {
            "json" => {}
            "events" => self.events = true,
            "lines" => self.lines = true,
            "list" => self.list = true,
            "frames" => self.frames = true,
            _ => return Err("names no form"),
        }
        Ok(())
    }
}

impl Node {
    fn get(&self, step: Step<'_>) -> Option<usize> {
        match step {
            Step::Member(name) => self.members.get(name).copied(),
            Step::Rest => self.rest,
            Step::Items => self.items,
        }
    }

    fn put(&mut self, step: Step<'_>, to: usize) -> Option<usize> {
        match step {
            Step::Member(name) => self.members.insert(name.to_owned(), to),
            Step::Rest => self.rest.replace(to),
            Step::Items => self.items.replace(to),
        }
    }
}

/// What is known of one place.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a>(&'a Node);

impl<'a> Shape<'a> {
    /// Whether anything may be inside.
    pub fn is_open(self) -> bool {
        self.0.is_open
    }

    /// Whether a value may have this type.
    pub fn may_be(self, json_type: JsonType) -> bool {
        self.0.types & json_type as u8 != 0
    }

    /// Whether a text may stand here.
    pub fn knows_word(self, word: &str) -> bool {
        self.0.words.as_ref().is_none_or(|words| words.contains(word))
    }

    /// The shape of a list's items.
    pub fn item(self, vocabulary: &'a Vocabulary) -> Option<Self> {
        self.0.items.map(|to| Self(vocabulary.node(to)))
    }

    /// The shape of a member, and whether it is known by its name.
    pub fn member(self, vocabulary: &'a Vocabulary, name: &str) -> Option<(Self, bool)> {
        let named = self.0.members.get(name).map(|to| (*to, true));
        let (to, is_named) = named.or_else(|| self.0.rest.map(|to| (to, false)))?;
        Some((Self(vocabulary.node(to)), is_named))
    }
}

/// The steps of a path; none for `$`.
fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let path = path.strip_prefix('$').unwrap_or(path);
    if path.is_empty() {
        return steps;
    }
    for part in path.split('.') {
        let name = part.trim_end_matches("[]");
        match name {
            "" if steps.is_empty() && !part.is_empty() => {}
            "*" => steps.push(Step::Rest),
            name => steps.push(Step::Member(name)),
        }
        steps.extend((0..(part.len() - name.len()) / 2).map(|_| Step::Items));
    }
    steps
}
