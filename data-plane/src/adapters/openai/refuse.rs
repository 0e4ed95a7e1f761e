//! What an endpoint cannot do, refused by name before anything is sent.

use memchr::memmem;

use crate::adapters::openai::encode::Sent;
use crate::adapters::openai::reasoning::{forces_call, level};
use crate::adapters::openai::rewrite::unquoted;
use crate::adapters::quirks::{ChatQuirks, ReasoningStyle};
use crate::adapters::shared::media::place;
use crate::adapters::{Target, Unsupported};
use crate::model::facts::{Facts, Media};
use crate::model::message::Tool;
use crate::model::request::{ChatRequest, Effort};
use crate::wire::patch::{elements, member};

/// Checks the request against what the endpoint takes.
///
/// # Errors
/// [`Unsupported`] naming the member whose loss would change what the caller asked for.
pub fn refuse(sent: Sent<'_>, request: &ChatRequest, target: &Target<'_>) -> Result<(), Unsupported> {
    let chat = &target.quirks.chat;
    let asked = |name: &&String| sent.get(name).is_some_and(|value| value != b"[]");
    if let Some(name) = chat.refuse.iter().find(asked) {
        return Err(Unsupported::new(name.as_str(), "is not supported by this model"));
    }
    if chat.single_choice && request.n > 1 {
        return Err(Unsupported::new("n", "must be 1 for this model"));
    }
    refuse_tools(request, chat)?;
    refuse_forced(sent, request, target)?;
    refuse_media(sent, request, target)
}

fn refuse_tools(request: &ChatRequest, chat: &ChatQuirks) -> Result<(), Unsupported> {
    if !chat.function_tools_only || (request.facts.tools == 0 && request.facts.server_tools == 0) {
        return Ok(());
    }
    for (at, tool) in request.tools.get()?.iter().enumerate() {
        if let Tool::Other { kind, .. } = tool {
            let why = format!("is of type `{kind}`; this model takes functions only");
            return Err(Unsupported::new(format!("tools[{at}]"), why));
        }
    }
    Ok(())
}

fn refuse_forced(sent: Sent<'_>, request: &ChatRequest, target: &Target<'_>) -> Result<(), Unsupported> {
    if !forces_call(request) {
        return Ok(());
    }
    if !target.quirks.forced_tools {
        return Err(Unsupported::new("tool_choice", "cannot force a call of this model"));
    }
    if !target.quirks.chat.forced_tools_thinking && thinks(sent, request, target) {
        return Err(Unsupported::new("tool_choice", "cannot force a call while this model thinks"));
    }
    Ok(())
}

/// Whether the caller asks for thinking, in our words or in the endpoint's own.
fn thinks(sent: Sent<'_>, request: &ChatRequest, target: &Target<'_>) -> bool {
    match level(sent, request, target) {
        Some(level) => level != Effort::None && target.quirks.reasoning != ReasoningStyle::Absent,
        None => sent.get("thinking").is_some_and(|own| memmem::find(own, b"\"enabled\"").is_some()),
    }
}

/// Media that the endpoint lacks, and places that nobody's server may be made to read.
fn refuse_media(sent: Sent<'_>, request: &ChatRequest, target: &Target<'_>) -> Result<(), Unsupported> {
    let refused = &target.quirks.chat.refuse_media;
    let looks_at = |facts: &Facts| {
        Media::ALL.iter().any(|kind| {
            let media = facts.media(*kind);
            media.remote > 0 || (media.count > 0 && refused.contains(kind))
        })
    };
    if !looks_at(&request.facts) {
        return Ok(());
    }
    for part in parts(sent.get("messages").unwrap_or(b"[]")) {
        let Some((kind, url)) = medium(part.json) else { continue };
        if refused.contains(&kind) {
            return Err(Unsupported::new(
                part.path(),
                format!("is of kind {}, which this model does not take", kind.name()),
            ));
        }
        if let Some(url) = url.filter(|url| !is_data(url)) {
            let url: String = serde_json::from_slice(url).unwrap_or_default();
            place(&url, &part.path())?;
        }
    }
    Ok(())
}

/// Data URLs are the bytes themselves; no need to unescape megabytes.
fn is_data(url: &[u8]) -> bool {
    url.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"\"data:"))
}

/// A content part and where it stands.
struct Located<'a> {
    message: usize,
    part: usize,
    json: &'a [u8],
}

impl Located<'_> {
    fn path(&self) -> String {
        format!("messages[{}].content[{}]", self.message, self.part)
    }
}

/// The parts of all messages whose content is a list.
fn parts(messages: &[u8]) -> Vec<Located<'_>> {
    let mut found = Vec::new();
    for (message, range) in elements(messages).unwrap_or_default().into_iter().enumerate() {
        let Some(content) = member(&messages[range], "content").filter(|content| content[0] == b'[') else {
            continue;
        };
        let ranges = elements(content).unwrap_or_default().into_iter().enumerate();
        found.extend(ranges.map(|(part, range)| Located { message, part, json: &content[range] }));
    }
    found
}

/// The kind of a part's medium, and the JSON text of its URL if it has one; None for text.
pub fn medium(part: &[u8]) -> Option<(Media, Option<&[u8]>)> {
    let inner = |name: &str, url: &str| {
        let holder = member(part, name)?;
        if holder.first() == Some(&b'"') { Some(holder) } else { member(holder, url) }
    };
    let found = match &*unquoted(member(part, "type")?) {
        b"image_url" => (Media::Image, inner("image_url", "url")),
        b"video_url" => (Media::Video, inner("video_url", "url")),
        b"file" => (Media::File, inner("file", "file_data")),
        b"input_audio" => (Media::Audio, None),
        _ => return None,
    };
    Some((found.0, found.1.filter(|url| url.first() == Some(&b'"'))))
}
