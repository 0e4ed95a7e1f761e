//! Whether messages can travel as they were sent: a look at their members, without typing them.
//!
//! Mistral refuses unknown members, foreign call ids, and turns out of order; a prompt without them stays as it is.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::adapters::mistral::ids::{is_call_id, is_tool_name};
use crate::wire::patch::{Member, elements, is_named, member, members, value};

/// Names of unknown members that are reported; a hostile request has no end of them.
const UNKNOWN: usize = 16;

/// Members of messages that are read from the typed form.
const READ: [&str; 12] = [
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "refusal",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "cache_control",
    "prompt_cache_breakpoint",
];

/// Parts in Mistral's form: their members beside `type`.
const PARTS: [(&str, &[&str]); 7] = [
    ("text", &["text"]),
    ("image_url", &["image_url"]),
    ("document_url", &["document_url", "document_name"]),
    ("input_audio", &["input_audio"]),
    ("file", &["file_id"]),
    ("thinking", &["thinking", "signature", "closed"]),
    ("reference", &["reference_ids"]),
];

/// What a look at the messages found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing to change; the last message may be the beginning of the answer.
    Plain { prefix: Option<String> },
    /// Something to change, and members that will stay behind, by path.
    Foreign { unknown: Vec<Cow<'static, str>> },
}

/// Looks at the messages of a body.
pub fn look(messages: &[u8]) -> Found {
    let mut walk = Walk { last: Last::Nothing, open: VecDeque::new(), unknown: Vec::new(), prefix: None };
    let Ok(ranges) = elements(messages) else { return Found::Foreign { unknown: Vec::new() } };
    let mut plain = true;
    for range in ranges {
        // Every message is looked at, so that all unknown members are named.
        plain &= walk.message(&messages[range]).is_some();
    }
    if plain && walk.open.is_empty() && (walk.last != Last::Assistant || walk.prefix.is_some()) {
        return Found::Plain { prefix: walk.prefix };
    }
    Found::Foreign { unknown: walk.unknown }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    System,
    User,
    Assistant,
    Tool,
}

struct Walk<'a> {
    last: Last,
    /// Ids of calls without a result, as written, in order.
    open: VecDeque<&'a [u8]>,
    unknown: Vec<Cow<'static, str>>,
    prefix: Option<String>,
}

impl<'a> Walk<'a> {
    /// None where the message cannot stay as it is.
    fn message(&mut self, message: &'a [u8]) -> Option<()> {
        let members = members(message).ok()?;
        let own = self.members(message, &members);
        let get = |name: &str| value(message, &members, name).filter(|value| *value != b"null");
        let last = std::mem::replace(&mut self.last, role(get("role")?)?);
        self.prefix = None;
        own?;
        match self.last {
            Last::System => {
                let fits = matches!(last, Last::Nothing | Last::System | Last::User);
                (fits && has_texts(get("content")?)).then_some(())
            }
            Last::User => {
                (last != Last::Tool && self.open.is_empty() && has_parts(get("content")?)).then_some(())
            }
            Last::Assistant => {
                self.assistant(get("content"), get("tool_calls"), get("prefix") == Some(b"true"))
            }
            Last::Tool => {
                let answers = self.open.pop_front()? == get("tool_call_id")?;
                (answers && has_texts(get("content")?)).then_some(())
            }
            Last::Nothing => None,
        }
    }

    /// Whether all members of the message are Mistral's; notes those that are nobody's.
    fn members(&mut self, message: &[u8], members: &[Member]) -> Option<()> {
        let role = value(message, members, "role")?;
        let own: &[&str] = match role {
            b"\"assistant\"" => &["role", "content", "tool_calls", "prefix"],
            b"\"tool\"" => &["role", "content", "tool_call_id", "name"],
            _ => &["role", "content"],
        };
        let mut all_own = true;
        for one in members {
            let is = |name: &&str| is_named(message, one, name);
            if own.iter().any(is) {
                continue;
            }
            all_own = false;
            let is_null = &message[one.value.clone()] == b"null";
            if !is_null && !READ.iter().any(is) && !is(&"prefix") && self.unknown.len() < UNKNOWN {
                let path: Cow<'static, str> =
                    format!("messages[].{}", String::from_utf8_lossy(&message[one.key.clone()])).into();
                if !self.unknown.contains(&path) {
                    self.unknown.push(path);
                }
            }
        }
        all_own.then_some(())
    }

    fn assistant(
        &mut self,
        content: Option<&'a [u8]>,
        calls: Option<&'a [u8]>,
        is_prefix: bool,
    ) -> Option<()> {
        if !self.open.is_empty() {
            return None;
        }
        let calls = calls.unwrap_or(b"[]");
        for range in elements(calls).ok()? {
            self.open.push_back(call(&calls[range])?);
        }
        let fits = match content {
            None | Some(b"\"\"" | b"[]") => !self.open.is_empty(),
            Some(content) => has_parts(content),
        };
        if is_prefix && self.open.is_empty() {
            self.prefix = content.and_then(|content| serde_json::from_slice(content).ok());
        }
        fits.then_some(())
    }
}

/// The quoted id of a call that can stay as it is.
fn call(call: &[u8]) -> Option<&[u8]> {
    let function = member(call, "function")?;
    let id = member(call, "id")?;
    let name = serde_json::from_slice::<&str>(member(function, "name")?).ok()?;
    let arguments = member(function, "arguments")?;
    let fits = has_only(call, &["id", "type", "function", "index"])
        && member(call, "type").is_none_or(|kind| kind == b"\"function\"")
        && has_only(function, &["name", "arguments"])
        && is_call_id(unquoted(id)?)
        && is_tool_name(name)
        && matches!(arguments.first(), Some(b'"' | b'{'))
        && arguments != b"\"\"";
    fits.then_some(id)
}

/// Text, or a list of text parts.
fn has_texts(content: &[u8]) -> bool {
    is_text(content) || all(content, |part| kind(part) == Some("text") && is_part(part))
}

/// Text, or a list of parts in Mistral's form.
fn has_parts(content: &[u8]) -> bool {
    is_text(content) || all(content, is_part)
}

fn is_part(part: &[u8]) -> bool {
    let Some((kind, own)) = kind(part).and_then(|kind| PARTS.iter().find(|(known, _)| *known == kind)) else {
        return false;
    };
    let Some(held) = member(part, own[0]) else { return false };
    let fits = match *kind {
        "image_url" => is_text(held) || has_only(held, &["url", "detail"]),
        // The documented form is bare base64; the common one is taken, too.
        "input_audio" => is_text(held) || has_only(held, &["data", "format"]),
        "thinking" | "reference" => true,
        // Other dialects have objects of the same name.
        _ => is_text(held),
    };
    let Ok(members) = members(part) else { return false };
    fits && members
        .iter()
        .all(|one| is_named(part, one, "type") || own.iter().any(|name| is_named(part, one, name)))
}

fn kind(part: &[u8]) -> Option<&str> {
    std::str::from_utf8(unquoted(member(part, "type")?)?).ok()
}

fn is_text(value: &[u8]) -> bool {
    value.first() == Some(&b'"')
}

fn unquoted(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

fn all(list: &[u8], fits: fn(&[u8]) -> bool) -> bool {
    elements(list).is_ok_and(|ranges| ranges.into_iter().all(|range| fits(&list[range])))
}

fn has_only(object: &[u8], names: &[&str]) -> bool {
    let known = |one: &Member| names.iter().any(|name| is_named(object, one, name));
    members(object).is_ok_and(|members| members.iter().all(known))
}

fn role(role: &[u8]) -> Option<Last> {
    Some(match role {
        b"\"system\"" => Last::System,
        b"\"user\"" => Last::User,
        b"\"assistant\"" => Last::Assistant,
        b"\"tool\"" => Last::Tool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = r#"{"role":"assistant","content":"","tool_calls":[{"id":"Ab3dE6gH9","type":"function","function":{"name":"f","arguments":"{}"}}]}"#;
    const RESULT: &str = r#"{"role":"tool","tool_call_id":"Ab3dE6gH9","name":"f","content":"1"}"#;
    const USER: &str = r#"{"role":"user","content":"hi"}"#;

    fn found(messages: &[&str]) -> Found {
        look(format!("[{}]", messages.join(",")).as_bytes())
    }

    #[test]
    fn what_mistral_takes_stays() {
        for messages in [
            &[r#"{"role":"system","content":[{"type":"text","text":"s"}]}"#, USER, USER][..],
            &[USER, CALL, RESULT],
            &[USER, CALL, RESULT, r#"{"role":"assistant","content":"a","prefix":false}"#, USER],
            &[USER, &CALL.replace("\"\"", "[]").replace("\"type\"", "\"index\":0,\"type\""), RESULT],
            &[r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"u","detail":"low"}},
                {"type":"document_url","document_url":"d","document_name":"n"},{"type":"input_audio","input_audio":"AA"},
                {"type":"input_audio","input_audio":{"data":"AA","format":"wav"}},{"type":"file","file_id":"f"}]}"#],
        ] {
            assert_eq!(found(messages), Found::Plain { prefix: None }, "{messages:?}");
        }
        let prefix = r#"{"role":"assistant","content":"a\u00e9","prefix":true}"#;
        assert_eq!(found(&[USER, prefix]), Found::Plain { prefix: Some("aé".to_owned()) });
    }

    #[test]
    fn what_mistral_refuses_is_found() {
        let no_result = r#"{"role":"assistant","content":"a"}"#;
        for messages in [
            &[r#"{"role":"developer","content":"s"}"#, USER][..],
            &[r#"{"role":"user","content":"hi","name":"n"}"#],
            &[USER, &CALL.replace("Ab3dE6gH9", "call_1"), &RESULT.replace("Ab3dE6gH9", "call_1")],
            &[USER, &CALL.replace("\"f\"", "\"f.g\""), RESULT],
            &[USER, CALL],
            &[USER, CALL, RESULT, USER],
            &[USER, CALL, USER, RESULT],
            &[USER, RESULT],
            &[USER, no_result],
            &[USER, no_result, r#"{"role":"system","content":"s"}"#, USER],
            &[USER, r#"{"role":"assistant","content":""}"#, USER],
            &[USER, r#"{"role":"assistant","content":"a","refusal":null}"#, USER],
            &[USER, &CALL.replace("\"{}\"", "\"\""), RESULT],
            &[
                r#"{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}"#,
            ],
            &[r#"{"role":"user","content":[{"type":"file","file":{"file_data":"d"}}]}"#],
            &[USER, CALL, &RESULT.replace("\"1\"", r#"[{"type":"image_url","image_url":"u"}]"#)],
        ] {
            assert_eq!(found(messages), Found::Foreign { unknown: vec![] }, "{messages:?}");
        }
        let unknown = found(&[
            r#"{"role":"user","content":"hi","x":1,"y":null}"#,
            r#"{"role":"user","content":"hi","x":2,"z":{}}"#,
        ]);
        assert_eq!(unknown, Found::Foreign { unknown: vec!["messages[].x".into(), "messages[].z".into()] });
    }
}
