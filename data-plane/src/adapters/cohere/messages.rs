//! Messages in Cohere's form, and the documents that stand beside them.

use serde_json::{Map, Value, json};

use crate::adapters::Unsupported;
use crate::adapters::cohere::names::{PLAN_ID, THINKING_ID, tool_name};
use crate::adapters::shared::conversation::{Answer, Told, Turn, conversation};
use crate::adapters::shared::media::{Inline, Place, inline, place};
use crate::adapters::shared::results::{ATTACHED, Placed, orphan, parts, text, worded};
use crate::model::event::join_details;
use crate::model::media::Fetched;
use crate::model::message::{Message, Part, PartContent, Role, ToolCall, ToolKind};

const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// The prompt in Cohere's form.
#[derive(Debug, Default)]
pub struct Written {
    pub messages: Vec<Value>,
    pub documents: Vec<Value>,
    /// Whether the last word is the assistant's, to be continued.
    pub is_prefilled: bool,
}

/// Writes the messages. Text files become documents where those are possible, else text.
///
/// # Errors
/// [`Unsupported`] naming the part at fault.
pub fn write(messages: &[Message], fetched: &Fetched, with_documents: bool) -> Result<Written, Unsupported> {
    let conversation = conversation(messages);
    let mut writer = Writer { fetched, with_documents, out: Written::default() };
    for told in &conversation.system {
        writer.system(*told)?;
    }
    for turn in &conversation.turns {
        match turn {
            Turn::Assistant(told) => writer.assistant(told)?,
            Turn::User { results, said } => writer.user(results, said)?,
        }
    }
    let last_is_assistant = writer.out.messages.last().is_some_and(|last| last["role"] == "assistant");
    writer.out.is_prefilled = conversation.is_prefilled() && last_is_assistant;
    Ok(writer.out)
}

struct Writer<'a> {
    fetched: &'a Fetched,
    with_documents: bool,
    out: Written,
}

impl Writer<'_> {
    fn push(&mut self, role: &str, content: impl Into<Value>) {
        self.out.messages.push(json!({"role": role, "content": content.into()}));
    }

    fn system(&mut self, told: Told<'_>) -> Result<(), Unsupported> {
        only_text(told, "can only be text in a system message")?;
        self.push("system", text(told.message));
        Ok(())
    }

    fn assistant(&mut self, told: &[Told<'_>]) -> Result<(), Unsupported> {
        let (mut content, mut said, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        let mut plan = String::new();
        for told in told {
            only_text(*told, "can only be text in an assistant message")?;
            for detail in join_details(&told.message.reasoning_details) {
                let thought = detail["text"].as_str().unwrap_or_default();
                match detail["id"].as_str() {
                    Some(THINKING_ID) => content.push(json!({"type": "thinking", "thinking": thought})),
                    Some(PLAN_ID) => plan.push_str(thought),
                    _ => {}
                }
            }
            said.push(text(told.message));
            calls.extend(told.message.tool_calls.iter().map(call));
        }
        said.retain(|text| !text.is_empty());
        let mut message = Map::from_iter([("role".to_owned(), Value::from("assistant"))]);
        if calls.is_empty() {
            content.extend(said.iter().map(|text| json!({"type": "text", "text": text})));
        } else {
            // Beside calls, text is what the model planned.
            let planned = [plan].into_iter().chain(said).filter(|text| !text.is_empty());
            let planned = planned.collect::<Vec<_>>().join("\n");
            if !planned.is_empty() {
                message.insert("tool_plan".to_owned(), planned.into());
            }
            message.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        if !content.is_empty() {
            message.insert("content".to_owned(), Value::Array(content));
        }
        if message.len() > 1 {
            self.out.messages.push(Value::Object(message));
        }
        Ok(())
    }

    fn user(&mut self, results: &[Answer<'_>], said: &[Told<'_>]) -> Result<(), Unsupported> {
        let mut media = Vec::new();
        for answer in results {
            let worded = worded(answer);
            self.out
                .messages
                .push(json!({"role": "tool", "tool_call_id": answer.call.id, "content": worded.text}));
            media.extend(worded.media);
        }
        self.show(&media)?;
        for told in said {
            match told.message.role {
                Role::System | Role::Developer => self.system(*told)?,
                Role::Tool | Role::Function => {
                    let worded = orphan(*told);
                    self.push("user", worded.text);
                    self.show(&worded.media)?;
                }
                Role::User | Role::Assistant => {
                    let mut content = Vec::new();
                    for (part, path) in parts(*told) {
                        content.extend(self.part(part, &path)?);
                    }
                    self.push("user", plain(content));
                }
            }
        }
        Ok(())
    }

    /// A user message with media of results.
    fn show(&mut self, media: &[Placed<'_>]) -> Result<(), Unsupported> {
        if !media.is_empty() {
            let mut content = vec![text_part(ATTACHED)];
            for (part, path) in media {
                content.extend(self.part(part, path)?);
            }
            self.push("user", plain(content));
        }
        Ok(())
    }

    /// A part of a user message; a document leaves its name.
    fn part(&mut self, part: &Part, path: &str) -> Result<Option<Value>, Unsupported> {
        match &part.content {
            PartContent::Text(text) | PartContent::Refusal(text) => {
                Ok(Some(text_part(text)).filter(|_| !text.is_empty()))
            }
            PartContent::Image { url, detail } => image(url, detail.as_deref(), path).map(Some),
            PartContent::File { filename, data: Some(data), .. } => {
                let file = inline(data, self.fetched, path)?;
                self.file(filename.as_deref().unwrap_or_default(), &file, path).map(Some)
            }
            PartContent::File { .. } => Err(Unsupported::new(path, "is no file that this provider holds")),
            PartContent::Audio { .. } => {
                Err(Unsupported::new(path, "is audio, which this model does not take"))
            }
            PartContent::Video { .. } => {
                Err(Unsupported::new(path, "is video, which this model does not take"))
            }
        }
    }

    fn file(&mut self, name: &str, file: &Inline, path: &str) -> Result<Value, Unsupported> {
        if file.media_type.starts_with("image/") {
            return inline_image(file, None, path);
        }
        let text = file.text().ok_or_else(|| Unsupported::new(path, "is no plain text, and no image"))?;
        if !self.with_documents {
            return Ok(text_part(if name.is_empty() { text } else { format!("{name}:\n{text}") }.as_str()));
        }
        let id = format!("doc:{}", self.out.documents.len());
        let title = if name.is_empty() { id.as_str() } else { name };
        let mark = text_part(&format!("[document: {title}]"));
        self.out.documents.push(json!({"id": id, "data": {"title": title, "text": text}}));
        Ok(mark)
    }
}

fn only_text(told: Told<'_>, why: &str) -> Result<(), Unsupported> {
    let is_media = |content: &PartContent| !matches!(content, PartContent::Text(_) | PartContent::Refusal(_));
    match parts(told).find(|(part, _)| is_media(&part.content)) {
        Some((_, path)) => Err(Unsupported::new(path, why)),
        None => Ok(()),
    }
}

fn text_part(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// A single text as a string.
fn plain(mut content: Vec<Value>) -> Value {
    match content.as_mut_slice() {
        [] => "".into(),
        [only] if only["type"] == "text" => only["text"].take(),
        _ => Value::Array(content),
    }
}

fn image(url: &str, detail: Option<&str>, path: &str) -> Result<Value, Unsupported> {
    match place(url, path)? {
        Place::Url(url) => Ok(image_part(url, detail)),
        Place::Inline(inline) => inline_image(&inline, detail, path),
    }
}

fn inline_image(inline: &Inline, detail: Option<&str>, path: &str) -> Result<Value, Unsupported> {
    if !IMAGE_TYPES.contains(&inline.media_type.as_str()) {
        return Err(Unsupported::new(path, "is none of jpeg, png, gif, webp"));
    }
    Ok(image_part(&format!("data:{};base64,{}", inline.media_type, inline.base64), detail))
}

fn image_part(url: &str, detail: Option<&str>) -> Value {
    let mut image = json!({ "url": url });
    if let Some(detail) = detail.filter(|detail| ["auto", "low", "high"].contains(detail)) {
        image["detail"] = detail.into();
    }
    json!({"type": "image_url", "image_url": image})
}

fn call(call: &ToolCall) -> Value {
    let arguments = match call.kind {
        ToolKind::Custom => json!({ "input": call.arguments }).to_string(),
        ToolKind::Function if call.arguments.trim().is_empty() => "{}".to_owned(),
        ToolKind::Function => call.arguments.clone(),
    };
    json!({"id": call.id, "type": "function", "function": {"name": tool_name(&call.name), "arguments": arguments}})
}

#[cfg(test)]
mod tests;
