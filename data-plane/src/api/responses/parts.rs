//! Content parts of input items, and the chat parts that they are.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::openai_chat::scan::cut;

/// What a message or a tool's output says.
pub enum Said {
    Text(String),
    Parts(Vec<Part>),
}

/// One part; the members of all kinds together.
#[derive(Deserialize)]
pub struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    image_url: Option<Value>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    filename: Option<String>,
    #[serde(default)]
    file_data: Option<String>,
    #[serde(default)]
    file_url: Option<String>,
    #[serde(default)]
    file_id: Option<String>,
    #[serde(default)]
    input_audio: Option<Value>,
    #[serde(default)]
    video_url: Option<Value>,
    #[serde(default)]
    cache_control: Option<Value>,
}

/// Reads `content` or `output`.
///
/// # Errors
/// The member and what is wrong with it.
pub fn said(raw: &RawValue, member: &'static str) -> Result<Said, (&'static str, String)> {
    if let Ok(text) = serde_json::from_str(raw.get()) {
        return Ok(Said::Text(text));
    }
    let parts = serde_json::from_str(raw.get());
    parts.map(Said::Parts).map_err(|_| (member, "must be a string or a list of content parts".to_owned()))
}

/// The chat parts that these are.
///
/// # Errors
/// The member and what is wrong with one of its parts.
pub fn all(parts: &[Part], member: &'static str) -> Result<Vec<Value>, (&'static str, String)> {
    let read = parts.iter().enumerate().map(|(at, part)| {
        part.chat().map_err(|why| {
            (member, format!("holds a part (the {}. one) that cannot be taken: {why}", at + 1))
        })
    });
    read.collect()
}

impl Part {
    fn chat(&self) -> Result<Value, String> {
        let missing = |member: &str| format!("{member} is required");
        let mut part = match self.kind.as_str() {
            "input_text" | "output_text" | "text" | "summary_text" => {
                json!({"type": "text", "text": self.text.as_ref().ok_or_else(|| missing("text"))?})
            }
            "refusal" => {
                json!({"type": "refusal", "refusal": self.refusal.as_ref().ok_or_else(|| missing("refusal"))?})
            }
            "input_image" => self.image()?,
            "input_file" => self.file()?,
            "input_audio" => {
                json!({"type": "input_audio", "input_audio": self.input_audio.as_ref().ok_or_else(|| missing("input_audio"))?})
            }
            "input_video" => {
                let url = self.video_url.as_ref().ok_or_else(|| missing("video_url"))?;
                json!({"type": "video_url", "video_url": object(url, "url")})
            }
            other => return Err(format!("its type `{}` is not supported", cut(other))),
        };
        if let Some(mark) = &self.cache_control {
            part["cache_control"] = mark.clone();
        }
        Ok(part)
    }

    fn image(&self) -> Result<Value, String> {
        if let (None, Some(id)) = (&self.image_url, &self.file_id) {
            return Ok(json!({"type": "file", "file": {"file_id": id}}));
        }
        let url = self.image_url.as_ref().ok_or_else(|| "image_url is required".to_owned())?;
        let mut image = object(url, "url");
        if let Some(detail) = &self.detail {
            image["detail"] = json!(detail);
        }
        Ok(json!({"type": "image_url", "image_url": image}))
    }

    fn file(&self) -> Result<Value, String> {
        let mut file = match (self.file_data.as_ref().or(self.file_url.as_ref()), &self.file_id) {
            (Some(data), _) => json!({"file_data": data}),
            (None, Some(id)) => json!({"file_id": id}),
            (None, None) => return Err("file_data, file_url or file_id is required".to_owned()),
        };
        if let Some(name) = &self.filename {
            file["filename"] = json!(name);
        }
        Ok(json!({"type": "file", "file": file}))
    }
}

/// A URL alone stands for the object that holds it.
fn object(value: &Value, member: &str) -> Value {
    match value {
        Value::String(url) => json!({ member: url }),
        other => other.clone(),
    }
}
