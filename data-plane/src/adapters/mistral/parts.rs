//! Content parts in Mistral's form.

use serde_json::{Value, json};

use crate::adapters::Unsupported;
use crate::adapters::shared::media::{Inline, Place, place};
use crate::model::message::{Part, PartContent};

const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// A part of a user's message.
///
/// # Errors
/// [`Unsupported`] naming the part by `path`.
pub fn part(part: &Part, path: &str) -> Result<Value, Unsupported> {
    match &part.content {
        PartContent::Text(text) | PartContent::Refusal(text) => Ok(text_part(text)),
        PartContent::Image { url, detail } => image(url, detail.as_deref(), path),
        PartContent::Audio { data, .. } => Ok(json!({"type": "input_audio", "input_audio": data})),
        PartContent::Video { .. } => Err(Unsupported::new(path, "is video, which this model does not take")),
        PartContent::File { filename, data, id } => match (data, id) {
            (Some(data), _) => document(filename.as_deref(), data, path),
            (None, Some(id)) => Ok(json!({"type": "file", "file_id": id})),
            (None, None) => Err(Unsupported::new(path, "has no file")),
        },
    }
}

/// A text part.
pub fn text_part(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn image(url: &str, detail: Option<&str>, path: &str) -> Result<Value, Unsupported> {
    let url = match place(url, path)? {
        Place::Url(url) => url.to_owned(),
        Place::Inline(inline) => data_url(&inline, path)?,
    };
    let mut image = json!({ "url": url });
    if let Some(detail) = detail.filter(|detail| ["auto", "low", "high"].contains(detail)) {
        image["detail"] = detail.into();
    }
    Ok(json!({"type": "image_url", "image_url": image}))
}

fn data_url(inline: &Inline, path: &str) -> Result<String, Unsupported> {
    if !IMAGE_TYPES.contains(&inline.media_type.as_str()) {
        return Err(Unsupported::new(path, "is none of jpeg, png, gif, webp"));
    }
    Ok(format!("data:{};base64,{}", inline.media_type, inline.base64))
}

/// Documents go as they are, texts as text, images as images.
fn document(filename: Option<&str>, data: &str, path: &str) -> Result<Value, Unsupported> {
    let url = match place(data, path)? {
        Place::Url(url) => url.to_owned(),
        Place::Inline(inline) if inline.media_type.starts_with("image/") => {
            return Ok(json!({"type": "image_url", "image_url": {"url": data_url(&inline, path)?}}));
        }
        Place::Inline(inline) if is_document(&inline.media_type) => {
            format!("data:{};base64,{}", inline.media_type, inline.base64)
        }
        Place::Inline(inline) => return inline_text(filename, &inline, path),
    };
    let mut part = json!({"type": "document_url", "document_url": url});
    if let Some(name) = filename.filter(|name| !name.is_empty()) {
        part["document_name"] = name.into();
    }
    Ok(part)
}

/// PDF and the office formats.
fn is_document(media_type: &str) -> bool {
    media_type == "application/pdf"
        || media_type.starts_with("application/vnd.openxmlformats-officedocument.")
        || media_type.starts_with("application/vnd.oasis.opendocument.")
}

fn inline_text(filename: Option<&str>, inline: &Inline, path: &str) -> Result<Value, Unsupported> {
    let text = inline.text().ok_or_else(|| Unsupported::new(path, "is neither a document nor plain text"))?;
    Ok(match filename {
        Some(name) if !name.is_empty() => text_part(&format!("{name}:\n{text}")),
        _ => text_part(&text),
    })
}
