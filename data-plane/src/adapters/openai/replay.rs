//! The assistant's earlier reasoning in messages sent back: where the endpoint reads it, or nowhere.

use std::borrow::Cow;

use serde_json::Value;

use crate::adapters::openai::rewrite::{inside, read, string_member};
use crate::adapters::quirks::ReplayField;
use crate::wire::patch::{Patch, member, quoted};

/// Stands for reasoning that was lost: an empty text counts as missing with some.
const BLANK: &[u8] = b"\" \"";

/// Moves a message's reasoning to where the endpoint reads it.
pub fn replayed(message: &[u8], replay: ReplayField) -> Patch<'_> {
    let patch = ["reasoning", "reasoning_content", "reasoning_details"]
        .into_iter()
        .filter(|name| member(message, name).is_some())
        .fold(Patch::new(), Patch::remove);
    if member(message, "role") != Some(b"\"assistant\"") {
        return patch;
    }
    match (replay, earlier(message)) {
        (ReplayField::ReasoningContent | ReplayField::ReasoningContentAlways, Some(text)) => {
            patch.set("reasoning_content", text)
        }
        (ReplayField::ReasoningContentAlways, None) if calls(message) => {
            patch.set("reasoning_content", BLANK)
        }
        (ReplayField::Reasoning, Some(text)) => patch.set("reasoning", text),
        (ReplayField::ThinkTags, Some(text)) => match tagged(message, &text) {
            Some(content) => patch.set("content", content),
            None => patch,
        },
        _ => patch,
    }
}

fn calls(message: &[u8]) -> bool {
    member(message, "tool_calls").is_some_and(|calls| !matches!(calls, b"null" | b"[]"))
}

/// The JSON text of the reasoning; not what another provider signed, which means nothing here.
fn earlier(message: &[u8]) -> Option<Cow<'_, [u8]>> {
    let details = member(message, "reasoning_details").map(read).unwrap_or_default();
    if let Some(details) = details.as_array().filter(|details| !details.is_empty()) {
        let foreign = |detail: &Value| !matches!(detail["format"].as_str(), None | Some("unknown"));
        let own = details.iter().filter(|detail| !foreign(detail) && detail["type"] == "reasoning.text");
        let texts: String = own.filter_map(|detail| detail["text"].as_str()).collect();
        if !texts.is_empty() {
            return Some(Cow::Owned(quoted(&texts)));
        }
        if details.iter().any(foreign) {
            return None;
        }
    }
    let plain = ["reasoning_content", "reasoning"].into_iter().find_map(|name| string_member(message, name));
    plain.map(Cow::Borrowed)
}

/// The content with the reasoning before it, in tags.
fn tagged(message: &[u8], reasoning: &[u8]) -> Option<Vec<u8>> {
    let reasoning = inside(reasoning)?;
    let content = match member(message, "content") {
        None | Some(b"null") => b"".as_slice(),
        Some(content) => inside(content)?,
    };
    Some([b"\"<think>", reasoning, b"</think>", content, b"\""].concat())
}
