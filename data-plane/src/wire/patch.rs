//! JSON patched in place: top-level members of an object are set or removed by splicing its bytes.
//!
//! Values are scanned over, never parsed, so a megabyte costs little more than copying it. The text must
//! already be known to be valid JSON; the scanner finds its way through it but does not validate values.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use bytes::{BufMut, BytesMut};
use memchr::memchr;

/// Above this, members are compared by hash: a hostile object must not cost its size squared.
const MANY_MEMBERS: usize = 64;

/// The text is not a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON object")]
pub struct NotAnObject;

/// One member of an object, as ranges of the text it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Inside the quotes; escapes are as written.
    pub key: Range<usize>,
    pub value: Range<usize>,
}

impl Member {
    /// Key, colon and value as written.
    fn whole(&self) -> Range<usize> {
        self.key.start - 1..self.value.end
    }
}

/// The members of the object that `text` is, in order, duplicates included.
///
/// # Errors
/// [`NotAnObject`] where the text is something else or breaks off.
pub fn members(text: &[u8]) -> Result<Vec<Member>, NotAnObject> {
    let mut found = Vec::with_capacity(16);
    let mut at = expect(text, space(text, 0), b'{')?;
    at = space(text, at);
    if text.get(at) == Some(&b'}') {
        return ends(text, at + 1).map(|()| found);
    }
    loop {
        let open = expect(text, space(text, at), b'"')?;
        let close = string_end(text, open)?;
        let start = space(text, expect(text, space(text, close), b':')?);
        let end = value_end(text, start)?;
        found.push(Member { key: open..close - 1, value: start..end });
        at = space(text, end);
        match text.get(at) {
            Some(b',') => at += 1,
            Some(b'}') => return ends(text, at + 1).map(|()| found),
            _ => return Err(NotAnObject),
        }
    }
}

/// The elements of the array that `text` is.
///
/// # Errors
/// [`NotAnObject`] where the text is something else or breaks off.
pub fn elements(text: &[u8]) -> Result<Vec<Range<usize>>, NotAnObject> {
    let mut found = Vec::new();
    let mut at = space(text, expect(text, space(text, 0), b'[')?);
    if text.get(at) == Some(&b']') {
        return ends(text, at + 1).map(|()| found);
    }
    loop {
        let start = space(text, at);
        let end = value_end(text, start)?;
        found.push(start..end);
        at = space(text, end);
        match text.get(at) {
            Some(b',') => at += 1,
            Some(b']') => return ends(text, at + 1).map(|()| found),
            _ => return Err(NotAnObject),
        }
    }
}

/// The value of the last member with this name.
pub fn member<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    value(text, &members(text).ok()?, name)
}

/// The same where the members have been found already.
pub fn value<'a>(text: &'a [u8], members: &[Member], name: &str) -> Option<&'a [u8]> {
    let last = members.iter().rev().find(|member| is_named(text, member, name))?;
    Some(&text[last.value.clone()])
}

/// Whether the member's key, unescaped, is this name.
pub fn is_named(text: &[u8], member: &Member, name: &str) -> bool {
    is_key(text, member, name.as_bytes())
}

fn is_key(text: &[u8], member: &Member, name: &[u8]) -> bool {
    let raw = &text[member.key.clone()];
    raw == name || (raw.len() > name.len() && raw.contains(&b'\\') && *key(text, member) == *name)
}

/// The member's key, unescaped.
fn key<'a>(text: &'a [u8], member: &Member) -> Cow<'a, [u8]> {
    let raw = &text[member.key.clone()];
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let quoted = &text[member.key.start - 1..member.key.end + 1];
    Cow::Owned(serde_json::from_slice::<String>(quoted).unwrap_or_default().into_bytes())
}

/// Changes to the top-level members of an object.
#[derive(Debug, Clone, Default)]
pub struct Patch<'a> {
    /// Set to JSON text, or removed.
    edits: Vec<(&'a str, Option<Cow<'a, [u8]>>)>,
    /// Removed unless an edit sets them.
    removed: &'a [&'a str],
    /// Whether members that are null go too.
    drop_nulls: bool,
}

impl<'a> Patch<'a> {
    /// No change yet.
    pub fn new() -> Self {
        Self { edits: Vec::with_capacity(8), ..Self::default() }
    }

    /// Gives the member this JSON text: in its place if it exists, else at the end.
    pub fn set(self, name: &'a str, json: impl Into<Cow<'a, [u8]>>) -> Self {
        self.edit(name, Some(json.into()))
    }

    /// The same with a string for a value.
    pub fn set_str(self, name: &'a str, text: &str) -> Self {
        self.set(name, quoted(text))
    }

    /// Takes the member out if it is there.
    pub fn remove(self, name: &'a str) -> Self {
        self.edit(name, None)
    }

    /// Takes all of these out, unless one of them is set; replaces an earlier list.
    pub fn without(mut self, names: &'a [&'a str]) -> Self {
        self.removed = names;
        self
    }

    /// Takes out every member that is null, which some readers take for a wrong type.
    pub fn without_nulls(mut self) -> Self {
        self.drop_nulls = true;
        self
    }

    fn edit(mut self, name: &'a str, value: Option<Cow<'a, [u8]>>) -> Self {
        match self.edits.iter_mut().find(|(known, _)| *known == name) {
            Some(edit) => edit.1 = value,
            None => self.edits.push((name, value)),
        }
        self
    }

    /// Appends the changed object to `out`; what is not changed is copied byte for byte.
    ///
    /// Of duplicate members only the last survives, in its place: that is the one that parsers see, and the
    /// reader upstream must not see another.
    ///
    /// # Errors
    /// [`NotAnObject`], with `out` untouched.
    pub fn apply(&self, text: &[u8], out: &mut BytesMut) -> Result<(), NotAnObject> {
        self.apply_to(text, &members(text)?, out);
        Ok(())
    }

    /// The same where the members have been found already.
    pub fn apply_to(&self, text: &[u8], members: &[Member], out: &mut BytesMut) {
        let growth: usize = self.edits.iter().map(|(name, value)| cost(name, value.as_deref())).sum();
        out.reserve(text.len() + growth);
        let mut done = vec![false; self.edits.len()];
        let mut overridden = overridden(text, members);
        let marks = self.marks();
        let mut writer = ObjectWriter::open(out);
        for (position, member) in members.iter().enumerate() {
            let key = key(text, member);
            let is_null = self.drop_nulls && &text[member.value.clone()] == b"null";
            if overridden.pop_if(|next| *next == position).is_some() {
                continue;
            }
            if marks & mark(&key) == 0 {
                if !is_null {
                    writer.raw(&text[member.whole()]);
                }
                continue;
            }
            match self.edits.iter().position(|(name, _)| name.as_bytes() == &*key) {
                None if is_null || self.removed.iter().any(|name| name.as_bytes() == &*key) => {}
                None => writer.raw(&text[member.whole()]),
                Some(edit) => {
                    done[edit] = true;
                    self.write_edit(edit, &mut writer);
                }
            }
        }
        for edit in (0..self.edits.len()).filter(|edit| !done[*edit]) {
            self.write_edit(edit, &mut writer);
        }
        writer.close();
    }

    /// Marks of all names that the patch is about.
    fn marks(&self) -> u64 {
        let names = self.edits.iter().map(|(name, _)| *name).chain(self.removed.iter().copied());
        names.fold(0, |marks, name| marks | mark(name.as_bytes()))
    }

    fn write_edit(&self, edit: usize, writer: &mut ObjectWriter<'_>) {
        let (name, value) = &self.edits[edit];
        if let Some(value) = value {
            writer.member(name, value);
        }
    }
}

/// One bit of a word for a key: two keys with different bits are different, which spares most comparisons.
fn mark(key: &[u8]) -> u64 {
    let letter = |at: Option<&u8>| usize::from(at.copied().unwrap_or_default());
    1 << ((key.len() + letter(key.first()) * 5 + letter(key.last()) * 3) & 63)
}

fn cost(name: &str, value: Option<&[u8]>) -> usize {
    value.map_or(0, |value| name.len() + value.len() + 4)
}

/// Positions of the members that a later one with the same key replaces, the first of them last.
fn overridden(text: &[u8], members: &[Member]) -> Vec<usize> {
    let from_the_end = members.iter().enumerate().rev();
    if members.len() > MANY_MEMBERS {
        let mut seen = HashSet::new();
        return from_the_end
            .filter(|(_, member)| !seen.insert(key(text, member)))
            .map(|(at, _)| at)
            .collect();
    }
    let mut marks = 0;
    let mut overridden = Vec::new();
    for (at, member) in from_the_end {
        let key = key(text, member);
        let mark = mark(&key);
        if marks & mark != 0 && members[at + 1..].iter().any(|later| is_key(text, later, &key)) {
            overridden.push(at);
        }
        marks |= mark;
    }
    overridden
}

/// Writes one JSON object member by member.
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    out: &'a mut BytesMut,
    empty: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Opens the brace.
    pub fn open(out: &'a mut BytesMut) -> Self {
        out.put_u8(b'{');
        Self { out, empty: true }
    }

    /// Adds a member whose value is JSON text; the name needs no escape.
    pub fn member(&mut self, name: &str, json: &[u8]) {
        self.comma();
        self.out.put_u8(b'"');
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b"\":");
        self.out.put_slice(json);
    }

    /// Adds a whole member as it stands elsewhere.
    pub fn raw(&mut self, member: &[u8]) {
        self.comma();
        self.out.put_slice(member);
    }

    /// Closes the brace.
    pub fn close(self) {
        self.out.put_u8(b'}');
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.out.put_u8(b',');
        }
    }
}

/// The string as JSON text.
pub fn quoted(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).expect("a string is always JSON")
}

fn space(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

fn expect(text: &[u8], at: usize, byte: u8) -> Result<usize, NotAnObject> {
    if text.get(at) == Some(&byte) { Ok(at + 1) } else { Err(NotAnObject) }
}

fn ends(text: &[u8], at: usize) -> Result<(), NotAnObject> {
    if space(text, at) == text.len() { Ok(()) } else { Err(NotAnObject) }
}

/// The position after the closing quote of a string whose content begins at `start`.
fn string_end(text: &[u8], start: usize) -> Result<usize, NotAnObject> {
    let mut at = start;
    loop {
        at += memchr(b'"', text.get(at..).ok_or(NotAnObject)?).ok_or(NotAnObject)?;
        let escapes = text[start..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        at += 1;
        if escapes % 2 == 0 {
            return Ok(at);
        }
    }
}

/// The position after the value that begins at `at`.
fn value_end(text: &[u8], at: usize) -> Result<usize, NotAnObject> {
    match text.get(at).ok_or(NotAnObject)? {
        b'"' => string_end(text, at + 1),
        b'{' | b'[' => container_end(text, at + 1),
        _ => {
            let scalar = |byte: &&u8| !matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
            match text[at..].iter().take_while(scalar).count() {
                0 => Err(NotAnObject),
                len => Ok(at + len),
            }
        }
    }
}

/// The position after the bracket that closes the one before `at`.
fn container_end(text: &[u8], mut at: usize) -> Result<usize, NotAnObject> {
    let mut depth = 1_usize;
    while depth > 0 {
        match text.get(at).ok_or(NotAnObject)? {
            b'"' => {
                at = string_end(text, at + 1)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    Ok(at)
}

#[cfg(test)]
mod tests;
