//! Messages in Ollama's form: text in one string, images beside it, arguments as objects.

use serde_json::{Map, Value, json};

use crate::adapters::Unsupported;
use crate::adapters::ollama::stream::THINKING_ID;
use crate::adapters::shared::conversation::{Answer, Told, Turn, conversation};
use crate::adapters::shared::media::{Inline, inline, standard};
use crate::adapters::shared::results::{ATTACHED, Placed, orphan, parts, worded};
use crate::adapters::shared::tool_input;
use crate::model::event::join_details;
use crate::model::media::Fetched;
use crate::model::message::{Message, Part, PartContent, Role, ToolCall};

const IMAGE_TYPES: [&str; 3] = ["image/jpeg", "image/png", "image/webp"];

/// Writes the messages.
///
/// # Errors
/// [`Unsupported`] naming the part at fault.
pub fn write(messages: &[Message], fetched: &Fetched) -> Result<Vec<Value>, Unsupported> {
    let conversation = conversation(messages);
    let mut writer = Writer { fetched, out: Vec::with_capacity(messages.len()) };
    for told in &conversation.system {
        writer.say("system", *told)?;
    }
    for turn in &conversation.turns {
        match turn {
            Turn::Assistant(told) => told.iter().try_for_each(|told| writer.assistant(*told))?,
            Turn::User { results, said } => writer.user(results, said)?,
        }
    }
    Ok(writer.out)
}

struct Writer<'a> {
    fetched: &'a Fetched,
    out: Vec<Value>,
}

/// A message's content as it grows.
#[derive(Default)]
struct Content {
    lines: Vec<String>,
    /// Images and sounds in plain base64.
    images: Vec<String>,
}

impl Writer<'_> {
    fn push(&mut self, role: &str, content: Content) -> &mut Value {
        let mut message = json!({"role": role, "content": content.lines.join("\n")});
        if !content.images.is_empty() {
            message["images"] = content.images.into();
        }
        self.out.push(message);
        let last = self.out.len() - 1;
        &mut self.out[last]
    }

    fn say(&mut self, role: &str, told: Told<'_>) -> Result<(), Unsupported> {
        let content = self.content(parts(told))?;
        self.push(role, content);
        Ok(())
    }

    fn content<'m>(&self, parts: impl Iterator<Item = Placed<'m>>) -> Result<Content, Unsupported> {
        let mut content = Content::default();
        for (part, path) in parts {
            self.part(part, &path, &mut content)?;
        }
        Ok(content)
    }

    fn part(&self, part: &Part, path: &str, content: &mut Content) -> Result<(), Unsupported> {
        match &part.content {
            PartContent::Text(text) | PartContent::Refusal(text) => content.lines.push(text.clone()),
            PartContent::Image { url, .. } => {
                content.images.push(image(inline(url, self.fetched, path)?, path)?);
            }
            // Models that hear take sounds where others take images.
            PartContent::Audio { data, .. } => content.images.push(standard(data)),
            PartContent::Video { .. } => {
                return Err(Unsupported::new(path, "is video, which this model does not take"));
            }
            PartContent::File { filename, data: Some(data), .. } => {
                let file = inline(data, self.fetched, path)?;
                if file.media_type.starts_with("image/") {
                    content.images.push(image(file, path)?);
                } else {
                    let text = file.text();
                    let text =
                        text.ok_or_else(|| Unsupported::new(path, "is no plain text, and no image"))?;
                    content.lines.extend(filename.as_ref().map(|name| format!("{name}:")));
                    content.lines.push(text);
                }
            }
            PartContent::File { .. } => {
                return Err(Unsupported::new(path, "is no file that this provider holds"));
            }
        }
        Ok(())
    }

    fn assistant(&mut self, told: Told<'_>) -> Result<(), Unsupported> {
        let mut content = self.content(parts(told))?;
        let message = told.message;
        content.lines.extend(message.refusal.clone());
        let thinking = thinking(message);
        let is_empty = content.lines.iter().all(String::is_empty) && content.images.is_empty();
        if is_empty && thinking.is_none() && message.tool_calls.is_empty() {
            return Ok(());
        }
        let mut calls = Vec::with_capacity(message.tool_calls.len());
        for (at, one) in message.tool_calls.iter().enumerate() {
            calls.push(call(one, at, &format!("{}.tool_calls[{at}]", told.path()))?);
        }
        let written = self.push("assistant", content);
        if let Some(thinking) = thinking {
            written["thinking"] = thinking.into();
        }
        if !calls.is_empty() {
            written["tool_calls"] = Value::Array(calls);
        }
        Ok(())
    }

    fn user(&mut self, results: &[Answer<'_>], said: &[Told<'_>]) -> Result<(), Unsupported> {
        let mut media = Vec::new();
        for answer in results {
            let worded = worded(answer);
            self.out.push(json!({
                "role": "tool",
                "content": worded.text,
                "tool_name": answer.call.name,
                "tool_call_id": answer.call.id,
            }));
            media.extend(worded.media);
        }
        self.show(&media)?;
        for told in said {
            match told.message.role {
                Role::System | Role::Developer => self.say("system", *told)?,
                Role::Tool | Role::Function => {
                    let worded = orphan(*told);
                    self.push("user", Content { lines: vec![worded.text], images: Vec::new() });
                    self.show(&worded.media)?;
                }
                Role::User | Role::Assistant => self.say("user", *told)?,
            }
        }
        Ok(())
    }

    /// A user message with media of results.
    fn show(&mut self, media: &[Placed<'_>]) -> Result<(), Unsupported> {
        if !media.is_empty() {
            let mut content = self.content(media.iter().map(|(part, path)| (*part, path.clone())))?;
            content.lines.insert(0, ATTACHED.to_owned());
            self.push("user", content);
        }
        Ok(())
    }
}

fn image(image: Inline, path: &str) -> Result<String, Unsupported> {
    if !IMAGE_TYPES.contains(&image.media_type.as_str()) {
        return Err(Unsupported::new(path, "is none of jpeg, png, webp"));
    }
    Ok(image.base64)
}

/// Thinking of Ollama's own; others' would be strange to the model.
fn thinking(message: &Message) -> Option<String> {
    let own = |detail: &Value| detail["id"] == THINKING_ID;
    let details = join_details(&message.reasoning_details);
    let texts = details.iter().filter(|detail| own(detail)).filter_map(|detail| detail["text"].as_str());
    let mut thinking: String = texts.collect();
    if details.is_empty() {
        // Without details it is plain text, as every open model has it.
        thinking = message.reasoning.clone().unwrap_or_default();
    }
    Some(thinking).filter(|thinking| !thinking.is_empty())
}

fn call(call: &ToolCall, at: usize, path: &str) -> Result<Value, Unsupported> {
    let arguments = tool_input::arguments(call, path)?;
    let function = Map::from_iter([
        ("index".to_owned(), at.into()),
        ("name".to_owned(), call.name.as_str().into()),
        ("arguments".to_owned(), arguments),
    ]);
    Ok(json!({"id": call.id, "function": function}))
}

#[cfg(test)]
mod tests;
