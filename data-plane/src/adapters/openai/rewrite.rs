//! Messages and tools where they cannot pass as sent: members, marks and reasoning that an endpoint would refuse.
//!
//! Works on the client's bytes; a message that needs no change is copied as it is.

use std::borrow::Cow;

use bytes::BytesMut;
use memchr::memmem;
use serde_json::Value;

use crate::adapters::openai::encode::Sent;
use crate::adapters::openai::reasoning::is_off;
use crate::adapters::openai::refuse::medium;
use crate::adapters::openai::replay::replayed;
use crate::adapters::quirks::{CacheMarks, ChatQuirks, Quirks, ReplayField};
use crate::adapters::shared::media::{Place, inline, place};
use crate::adapters::{Target, Unsupported};
use crate::model::facts::Media;
use crate::model::media::Fetched;
use crate::model::request::ChatRequest;
use crate::wire::patch::{NotAnObject, Patch, elements, member, members, quoted};

/// What stands between text parts that become one string.
const SEAM: &[u8] = b"\\n";

/// Members about which other rules decide.
const DECIDED: [&str; 5] =
    ["reasoning", "reasoning_content", "reasoning_details", "cache_control", "content"];

/// What was left out, each name once.
pub type Dropped = Vec<Cow<'static, str>>;

/// The messages with what the endpoint would refuse taken out; None where they can pass as sent.
///
/// # Errors
/// [`Unsupported`] for a file behind a URL that the endpoint cannot read and nobody fetched.
pub fn rewrite_messages(
    sent: Sent<'_>,
    request: &ChatRequest,
    target: &Target<'_>,
    dropped: &mut Dropped,
) -> Result<Option<Vec<u8>>, Unsupported> {
    let messages = sent.get("messages").unwrap_or(b"[]");
    let rules = Rules::of(messages, is_off(sent, request), request, target);
    if rules.are_empty() {
        return Ok(None);
    }
    each(messages, |at, message, out| rules.message(at, message, dropped, out)).map(Some)
}

/// The tools without what the endpoint would refuse; None where they can pass as sent.
///
/// # Errors
/// None on what surfaces have read; [`Unsupported`] for tools that are no objects.
pub fn rewrite_tools(
    tools: &[u8],
    request: &ChatRequest,
    quirks: &Quirks,
    dropped: &mut Dropped,
) -> Result<Option<Vec<u8>>, Unsupported> {
    let holds = |name: &[u8]| memmem::find(tools, name).is_some();
    let marked = quirks.cache_marks != CacheMarks::Keep
        && request.facts.cache_breakpoints > 0
        && holds(b"cache_control");
    let strict = !quirks.chat.strict_tools && holds(b"\"strict\"");
    if !marked && !strict {
        return Ok(None);
    }
    let rewritten = each(tools, |_, tool, out| {
        let mut patch = if marked { Patch::new().remove("cache_control") } else { Patch::new() };
        if let Some(function) = member(tool, "function").filter(|_| strict) {
            note(dropped, "tools[].function.strict", member(function, "strict") == Some(b"true"));
            patch = patch.set("function", patched(&Patch::new().remove("strict"), function)?);
        }
        Ok(patch.apply(tool, out)?)
    });
    rewritten.map(Some)
}

fn note(dropped: &mut Dropped, name: &str, is_lost: bool) {
    if is_lost && !dropped.iter().any(|known| known == name) {
        dropped.push(Cow::Owned(name.to_owned()));
    }
}

/// What must change in every message.
struct Rules<'a> {
    plain_developer: bool,
    replay: Option<ReplayField>,
    marks: CacheMarks,
    no_nulls: bool,
    /// Whether members must be looked at one by one.
    screened: bool,
    joined: bool,
    inlined: bool,
    chat: &'a ChatQuirks,
    fetched: &'a Fetched,
}

impl<'a> Rules<'a> {
    fn of(messages: &[u8], is_off: bool, request: &ChatRequest, target: &Target<'a>) -> Self {
        let (quirks, chat) = (target.quirks, &target.quirks.chat);
        let holds = |text: &[u8]| memmem::find(messages, text).is_some();
        let facts = &request.facts;
        Self {
            plain_developer: !quirks.developer_role && holds(b"\"developer\""),
            replay: match quirks.replay {
                ReplayField::Leave => None,
                // Without thinking nobody asks for it.
                ReplayField::ReasoningContentAlways if is_off => {
                    holds(b"\"reasoning").then_some(ReplayField::ReasoningContent)
                }
                ReplayField::ReasoningContentAlways if facts.tool_history => Some(quirks.replay),
                replay => holds(b"\"reasoning").then_some(replay),
            },
            marks: if facts.cache_breakpoints > 0 { quirks.cache_marks } else { CacheMarks::Keep },
            no_nulls: !chat.message_nulls && holds(b"null"),
            screened: !chat.message_members.is_empty()
                || chat.message_drop.iter().any(|name| holds(name.as_bytes())),
            joined: chat.joined_text && holds(b"\"type\""),
            inlined: chat.inline_media.iter().any(|kind| facts.media(*kind).remote > 0),
            chat,
            fetched: target.fetched,
        }
    }

    fn are_empty(&self) -> bool {
        let members = self.plain_developer || self.replay.is_some() || self.no_nulls || self.screened;
        !members && self.marks == CacheMarks::Keep && !self.joined && !self.inlined
    }

    fn message(
        &self,
        at: usize,
        message: &[u8],
        dropped: &mut Dropped,
        out: &mut BytesMut,
    ) -> Result<(), Unsupported> {
        let surplus = self.surplus(message, dropped)?;
        let mut patch = surplus.iter().fold(Patch::new(), |patch, name| patch.remove(name));
        if self.plain_developer && member(message, "role") == Some(b"\"developer\"") {
            patch = patch.set("role", b"\"system\"".as_slice());
        }
        if let Some(content) = self.content(at, message)? {
            patch = patch.set("content", content);
        }
        if self.marks != CacheMarks::Keep {
            patch = patch.remove("cache_control");
        }
        if self.no_nulls {
            patch = patch.without_nulls();
        }
        let Some(replay) = self.replay else { return Ok(patch.apply(message, out)?) };
        // The content may have changed already, and reasoning may go into it.
        let message = patched(&patch, message)?;
        Ok(replayed(&message, replay).apply(&message, out)?)
    }

    /// Members that the endpoint would refuse; those that say something are noted.
    fn surplus(&self, message: &[u8], dropped: &mut Dropped) -> Result<Vec<String>, Unsupported> {
        let mut surplus = Vec::new();
        if !self.screened {
            return Ok(surplus);
        }
        for found in members(message)? {
            let name = unquoted(&message[found.key.start - 1..found.key.end + 1]);
            let name = String::from_utf8_lossy(&name);
            let listed = |list: &[String]| list.iter().any(|known| *known == name);
            let allowed = self.chat.message_members.is_empty() || listed(&self.chat.message_members);
            if DECIDED.contains(&&*name) || (allowed && !listed(&self.chat.message_drop)) {
                continue;
            }
            let says = !matches!(&message[found.value], b"null" | b"[]" | b"{}" | b"\"\"" | b"false");
            note(dropped, &format!("messages[].{name}"), says);
            surplus.push(name.into_owned());
        }
        Ok(surplus)
    }

    /// The content where it must change.
    fn content(&self, at: usize, message: &[u8]) -> Result<Option<Vec<u8>>, Unsupported> {
        let content = member(message, "content").unwrap_or(b"null");
        if content == b"null" {
            // Beside calls the endpoint wants none; without them it wants a string.
            let calls = member(message, "tool_calls").is_some_and(|calls| !matches!(calls, b"null" | b"[]"));
            return Ok((self.no_nulls && !calls).then(|| b"\"\"".to_vec()));
        }
        if content.first() != Some(&b'[') {
            return Ok(None);
        }
        let mut changed = None;
        if self.marks != CacheMarks::Keep || self.inlined {
            let path = |part| format!("messages[{at}].content[{part}]");
            changed = Some(each(content, |number, part, out| self.part(&path(number), part, out))?);
        }
        let joined = if self.joined { joined(changed.as_deref().unwrap_or(content)) } else { None };
        Ok(joined.or(changed))
    }

    fn part(&self, path: &str, part: &[u8], out: &mut BytesMut) -> Result<(), Unsupported> {
        let mut patch = Patch::new();
        if self.marks != CacheMarks::Keep {
            let marked = member(part, "cache_control").is_some_and(|mark| mark != b"null");
            patch = patch.remove("cache_control");
            patch = match self.marks {
                CacheMarks::Breakpoint if marked => {
                    patch.set("prompt_cache_breakpoint", br#"{"mode":"explicit"}"#.as_slice())
                }
                CacheMarks::Breakpoint => patch,
                CacheMarks::Strip | CacheMarks::Keep => patch.remove("prompt_cache_breakpoint"),
            };
        }
        if let Some((name, holder)) = self.inlined_holder(path, part)? {
            patch = patch.set(name, holder);
        }
        Ok(patch.apply(part, out)?)
    }

    /// The member that holds a URL, with the fetched bytes in its place.
    fn inlined_holder(
        &self,
        path: &str,
        part: &[u8],
    ) -> Result<Option<(&'static str, Vec<u8>)>, Unsupported> {
        let Some((kind, Some(url))) = medium(part) else { return Ok(None) };
        if !self.inlined || !self.chat.inline_media.contains(&kind) {
            return Ok(None);
        }
        let url: String = serde_json::from_slice(url).unwrap_or_default();
        if let Place::Inline(_) = place(&url, path)? {
            return Ok(None);
        }
        let bytes = inline(&url, self.fetched, path)?;
        let data = quoted(&format!("data:{};base64,{}", bytes.media_type, bytes.base64));
        let (name, inner) = match kind {
            Media::Image => ("image_url", "url"),
            Media::Video => ("video_url", "url"),
            Media::File | Media::Audio => ("file", "file_data"),
        };
        let holder = member(part, name).filter(|holder| holder.first() == Some(&b'{')).unwrap_or(b"{}");
        Ok(Some((name, patched(&Patch::new().set(inner, data), holder)?)))
    }
}

/// The texts of a list of text parts as one string; None where it holds anything else.
fn joined(parts: &[u8]) -> Option<Vec<u8>> {
    let mut text = vec![b'"'];
    for (number, range) in elements(parts).ok()?.into_iter().enumerate() {
        let part = &parts[range];
        if *unquoted(member(part, "type")?) != *b"text" {
            return None;
        }
        if number > 0 {
            text.extend_from_slice(SEAM);
        }
        text.extend_from_slice(inside(member(part, "text")?)?);
    }
    text.push(b'"');
    Some(text)
}

/// What stands between the quotes of a JSON string.
pub fn inside(string: &[u8]) -> Option<&[u8]> {
    string.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The text of a JSON string; what is none stays as it is.
pub fn unquoted(string: &[u8]) -> Cow<'_, [u8]> {
    match inside(string) {
        Some(text) if !text.contains(&b'\\') => Cow::Borrowed(text),
        Some(_) => Cow::Owned(serde_json::from_slice::<String>(string).unwrap_or_default().into_bytes()),
        None => Cow::Borrowed(string),
    }
}

/// The value of a string member, if it is one.
pub fn string_member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    member(object, name).filter(|value| value.first() == Some(&b'"'))
}

/// A value read from JSON text, null where it is none.
pub fn read(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_default()
}

/// The changed object on its own.
pub fn patched(patch: &Patch<'_>, object: &[u8]) -> Result<Vec<u8>, NotAnObject> {
    let mut out = BytesMut::new();
    patch.apply(object, &mut out)?;
    Ok(out.into())
}

impl From<NotAnObject> for Unsupported {
    fn from(_: NotAnObject) -> Self {
        Self::new("request", "holds something else where an object is wanted")
    }
}

/// Writes an array with each element changed.
fn each(
    list: &[u8],
    mut write: impl FnMut(usize, &[u8], &mut BytesMut) -> Result<(), Unsupported>,
) -> Result<Vec<u8>, Unsupported> {
    let mut out = BytesMut::with_capacity(list.len() + 2);
    out.extend_from_slice(b"[");
    for (position, range) in elements(list)?.into_iter().enumerate() {
        if position > 0 {
            out.extend_from_slice(b",");
        }
        write(position, &list[range], &mut out)?;
    }
    out.extend_from_slice(b"]");
    Ok(out.into())
}
