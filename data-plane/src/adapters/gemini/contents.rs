//! The conversation as Google wants it: an instruction, and turns of user and model that alternate.
//!
//! Results of one turn stand together, one for each call; no turn and no part is empty.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::adapters::Unsupported;
use crate::adapters::gemini::parts::{Desk, text_part};
use crate::adapters::gemini::signatures::{LOST, Replay};
use crate::adapters::gemini::tools::tool_name;
use crate::adapters::quirks::Quirks;
use crate::adapters::shared::conversation::{Answer, NO_RESULT, Told, Turn, conversation};
use crate::adapters::shared::{exact, tool_input};
use crate::model::message::{Message, PartContent, Role, ToolCall};

/// Stands where Google demands a user's word and there is none.
const FILLER: &str = ".";

/// Types of media that a result may hold itself.
const RESULT_MEDIA: [&str; 5] = ["image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"];

/// The prompt in Google's form.
#[derive(Debug, Default, PartialEq)]
pub struct Contents {
    /// Parts of `systemInstruction`.
    pub system: Vec<Value>,
    pub contents: Vec<Value>,
    /// Whether the last word is the model's, to be continued.
    pub is_prefilled: bool,
}

/// Translates the messages.
///
/// # Errors
/// [`Unsupported`] naming the message at fault.
pub fn contents(messages: &[Message], desk: Desk<'_>, quirks: &Quirks) -> Result<Contents, Unsupported> {
    let told = conversation(messages);
    let writer = Writer { desk, quirks };
    let mut turns = Turns::default();
    let mut system = Vec::new();
    for message in &told.system {
        system.extend(system_texts(message)?);
    }
    let (instruction, opening) =
        if quirks.system_instruction { (system, Vec::new()) } else { (Vec::new(), system) };
    turns.add("user", parts_of(opening.iter().map(Cow::as_ref)));
    for turn in &told.turns {
        match turn {
            Turn::User { results, said } => turns.add("user", writer.user(results, said)?),
            Turn::Assistant(messages) => turns.add("model", writer.model(messages)?),
        }
    }
    let is_prefilled = turns.0.last().is_some_and(|(role, _)| *role == "model");
    if turns.0.first().is_none_or(|(role, _)| *role != "user") {
        turns.0.insert(0, ("user", parts_of([FILLER])));
    }
    let turns = turns.0.into_iter();
    Ok(Contents {
        system: parts_of(instruction.iter().map(Cow::as_ref)),
        contents: turns.map(|(role, parts)| json!({"role": role, "parts": parts})).collect(),
        is_prefilled,
    })
}

/// Turns in order; an empty one is none, and two of one role are one.
#[derive(Debug, Default)]
struct Turns(Vec<(&'static str, Vec<Value>)>);

impl Turns {
    fn add(&mut self, role: &'static str, parts: Vec<Value>) {
        match self.0.last_mut() {
            _ if parts.is_empty() => {}
            Some((last, known)) if *last == role => known.extend(parts),
            _ => self.0.push((role, parts)),
        }
    }
}

fn parts_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
    texts.into_iter().filter_map(text_part).collect()
}

fn system_texts<'a>(told: &Told<'a>) -> Result<Vec<Cow<'a, str>>, Unsupported> {
    let texts = told.message.content.iter().map(|part| match &part.content {
        PartContent::Text(text) => Ok(Cow::Borrowed(text.as_str())),
        _ => {
            let field = format!("{}.content", told.path());
            Err(Unsupported::new(field, "can only be text in a system message"))
        }
    });
    texts.collect()
}

struct Writer<'a> {
    desk: Desk<'a>,
    quirks: &'a Quirks,
}

impl Writer<'_> {
    fn user(&self, results: &[Answer<'_>], said: &[Told<'_>]) -> Result<Vec<Value>, Unsupported> {
        let (mut parts, mut media) = (Vec::new(), Vec::new());
        for answer in results {
            parts.push(self.result(answer, &mut media)?);
        }
        parts.append(&mut media);
        for told in said {
            match told.message.role {
                Role::System | Role::Developer => {
                    let texts = system_texts(told)?;
                    let wrapped = texts.iter().filter(|text| !text.is_empty());
                    parts.extend(wrapped.map(|text| json!({"text": format!("<system>{text}</system>")})));
                }
                Role::Tool | Role::Function => {
                    parts.push(json!({"text": "Tool result:"}));
                    parts.extend(self.parts(told)?);
                }
                Role::User | Role::Assistant => parts.extend(self.parts(told)?),
            }
        }
        Ok(parts)
    }

    fn parts(&self, told: &Told<'_>) -> Result<Vec<Value>, Unsupported> {
        let mut parts = Vec::with_capacity(told.message.content.len());
        for (at, part) in told.message.content.iter().enumerate() {
            parts.extend(self.desk.part(part, &format!("{}.content[{at}]", told.path()))?);
        }
        Ok(parts)
    }

    /// Signed thoughts, then content, then calls: the order in which they arose.
    fn model(&self, messages: &[Told<'_>]) -> Result<Vec<Value>, Unsupported> {
        let mut parts = Vec::new();
        for told in messages {
            let replay = Replay::read(&told.message.reasoning_details);
            let mut content = self.parts(told)?;
            content.extend(told.message.refusal.as_deref().and_then(text_part));
            sign_content(&mut content, &replay);
            parts.extend(replay.thoughts.iter().cloned());
            parts.append(&mut content);
            for (at, call) in told.message.tool_calls.iter().enumerate() {
                let path = format!("{}.tool_calls[{at}]", told.path());
                parts.push(self.call(call, &replay, &path)?);
            }
            parts.extend(replay.end.map(|end| json!({"text": "", "thoughtSignature": end})));
        }
        if self.quirks.call_signatures {
            sign_first_call(&mut parts);
        }
        Ok(parts)
    }

    fn call(&self, call: &ToolCall, replay: &Replay, path: &str) -> Result<Value, Unsupported> {
        let mut wire = self.named(call);
        wire.insert("args".to_owned(), tool_input::arguments(call, path)?);
        let mut part = json!({ "functionCall": wire });
        if let Some(signature) = replay.of_call(&call.id) {
            part["thoughtSignature"] = signature.into();
        }
        Ok(part)
    }

    /// What call and result have in common.
    fn named(&self, call: &ToolCall) -> Map<String, Value> {
        let mut wire = Map::new();
        if self.desk.host.call_ids && !call.id.is_empty() {
            wire.insert("id".to_owned(), call.id.as_str().into());
        }
        wire.insert("name".to_owned(), tool_name(&call.name).into());
        wire
    }

    /// The result of a call; media that it cannot hold go to `media`.
    fn result(&self, answer: &Answer<'_>, media: &mut Vec<Value>) -> Result<Value, Unsupported> {
        let mut wire = self.named(answer.call);
        let Some(told) = answer.told else {
            wire.insert("response".to_owned(), json!({ "error": NO_RESULT }));
            return Ok(json!({ "functionResponse": wire }));
        };
        let (mut texts, mut held) = (Vec::new(), Vec::new());
        for part in self.parts(&told)? {
            let media_type = part.pointer("/inlineData/mimeType").and_then(Value::as_str);
            match part.get("text").and_then(Value::as_str) {
                Some(text) => texts.push(text.to_owned()),
                None if self.quirks.result_media && media_type.is_some_and(is_result_media) => {
                    held.push(part)
                }
                None => media.push(part),
            }
        }
        wire.insert("response".to_owned(), response(&texts.join("\n"), told.message.is_error));
        if !held.is_empty() {
            wire.insert("parts".to_owned(), Value::Array(held));
        }
        Ok(json!({ "functionResponse": wire }))
    }
}

fn is_result_media(media_type: &str) -> bool {
    RESULT_MEDIA.contains(&media_type)
}

/// A result must be an object; what is none is wrapped.
fn response(text: &str, is_error: bool) -> Value {
    match exact::object(text) {
        _ if is_error => json!({ "error": text }),
        Some(response) => response,
        None => json!({ "output": text }),
    }
}

/// Puts signatures back on images and on texts; one without its text gets an empty part.
fn sign_content(parts: &mut Vec<Value>, replay: &Replay) {
    let is_image = |part: &&mut Value| part.get("text").is_none();
    for (at, part) in parts.iter_mut().filter(is_image).enumerate() {
        if let Some(signature) = replay.of_image(at) {
            part["thoughtSignature"] = signature.into();
        }
    }
    let displaced = sign_texts(parts, replay);
    let Some(signature) = displaced.or(replay.text.as_deref()) else { return };
    let last = parts.iter_mut().rfind(|part| part.get("text").is_some());
    match last.filter(|part| part.get("thoughtSignature").is_none()) {
        Some(part) => part["thoughtSignature"] = signature.into(),
        None => parts.push(json!({"text": "", "thoughtSignature": signature})),
    }
}

/// Cuts texts where a signed part ended, and signs what is before the cut. The last signature whose place the text does
/// not have any more.
fn sign_texts<'a>(parts: &mut Vec<Value>, replay: &'a Replay) -> Option<&'a str> {
    let (mut signatures, mut displaced) = (replay.texts.iter().peekable(), None);
    let mut before = 0;
    for part in std::mem::take(parts) {
        let Some(text) = part.get("text").and_then(Value::as_str) else {
            parts.push(part);
            continue;
        };
        let mut from = 0;
        while let Some((end, signature)) = signatures.next_if(|(end, _)| *end <= before + text.len()) {
            match end.checked_sub(before).filter(|end| *end > from && text.is_char_boundary(*end)) {
                Some(end) => {
                    parts.push(json!({"text": text[from..end], "thoughtSignature": signature}));
                    from = end;
                }
                None => displaced = Some(signature.as_str()),
            }
        }
        parts.extend(text_part(&text[from..]));
        before += text.len();
    }
    signatures.last().map(|(_, signature)| signature.as_str()).or(displaced)
}

/// The first call of a turn must be signed, or carry the word that stands for a lost signature.
fn sign_first_call(parts: &mut [Value]) {
    let first = parts.iter_mut().find(|part| part.get("functionCall").is_some());
    if let Some(call) = first.filter(|call| call.get("thoughtSignature").is_none()) {
        call["thoughtSignature"] = LOST.into();
    }
}

#[cfg(test)]
mod tests;
