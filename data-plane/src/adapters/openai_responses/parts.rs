//! Content parts as the dialect's: text, images, files.
//!
//! Audio and video have no part; a request that holds them is refused, because leaving them out would change it.

use serde_json::{Map, Value, json};

use crate::adapters::Unsupported;
use crate::adapters::quirks::{CacheMarks, Quirks};
use crate::adapters::shared::media::{Inline, Place, place};
use crate::model::message::{Message, Part, PartContent};

/// The content of a message that goes in: a plain string where it is one, else parts.
///
/// # Errors
/// [`Unsupported`] naming the part by its path, which begins with the message's.
pub fn content(message: &Message, path: &str, quirks: &Quirks) -> Result<Value, Unsupported> {
    let marks = quirks.cache_marks;
    match message.content.as_slice() {
        [] => return Ok("".into()),
        [Part { content: PartContent::Text(text), cache_control }]
            if marks == CacheMarks::Strip || (cache_control.is_none() && message.cache_control.is_none()) =>
        {
            return Ok(text.as_str().into());
        }
        _ => {}
    }
    let mut parts = Vec::with_capacity(message.content.len());
    for (at, content) in message.content.iter().enumerate() {
        let mut sent = part(&content.content, &format!("{path}.content[{at}]"))?;
        mark(&mut sent, content.cache_control.as_ref(), marks);
        parts.push(sent);
    }
    if let (Some(last), Some(whole)) = (parts.last_mut(), &message.cache_control) {
        mark(last, Some(whole), marks);
    }
    Ok(Value::Array(parts))
}

/// Puts a cache breakpoint on a part, as the host knows it.
fn mark(part: &mut Value, cache_control: Option<&Value>, marks: CacheMarks) {
    let Some(cache_control) = cache_control.filter(|mark| !mark.is_null()) else { return };
    match marks {
        CacheMarks::Strip => {}
        CacheMarks::Keep => part["cache_control"] = cache_control.clone(),
        CacheMarks::Breakpoint => part["prompt_cache_breakpoint"] = json!({"mode": "explicit"}),
    }
}

fn part(content: &PartContent, path: &str) -> Result<Value, Unsupported> {
    match content {
        PartContent::Text(text) | PartContent::Refusal(text) => {
            Ok(json!({"type": "input_text", "text": text}))
        }
        PartContent::Image { url, detail } => {
            let mut image = json!({"type": "input_image", "image_url": address(url, path)?});
            if let Some(detail) = detail {
                image["detail"] = detail.as_str().into();
            }
            Ok(image)
        }
        PartContent::File { filename, data, id } => {
            file(filename.as_deref(), data.as_deref(), id.as_deref(), path)
        }
        PartContent::Audio { .. } => {
            Err(Unsupported::new(path, "is audio, which this endpoint does not take"))
        }
        PartContent::Video { .. } => {
            Err(Unsupported::new(path, "is video, which this endpoint does not take"))
        }
    }
}

/// An http(s) URL as it is, a data URL in the one spelling that every host reads.
fn address(url: &str, path: &str) -> Result<String, Unsupported> {
    Ok(match place(url, path)? {
        Place::Url(url) => url.to_owned(),
        Place::Inline(inline) => data_url(&inline),
    })
}

fn data_url(Inline { media_type, base64 }: &Inline) -> String {
    format!("data:{media_type};base64,{base64}")
}

fn file(
    filename: Option<&str>,
    data: Option<&str>,
    id: Option<&str>,
    path: &str,
) -> Result<Value, Unsupported> {
    let mut file = Map::from_iter([("type".to_owned(), Value::from("input_file"))]);
    match (data, id) {
        (Some(data), _) => match place(data, path)? {
            Place::Url(url) => drop(file.insert("file_url".to_owned(), url.into())),
            Place::Inline(inline) if inline.media_type.starts_with("image/") => {
                return Ok(json!({"type": "input_image", "image_url": data_url(&inline)}));
            }
            Place::Inline(inline) => {
                // Bytes need a name: its ending tells what they are.
                let name = filename.filter(|name| !name.is_empty()).unwrap_or(default_name(&inline));
                file.insert("filename".to_owned(), name.into());
                file.insert("file_data".to_owned(), data_url(&inline).into());
            }
        },
        (None, Some(id)) => drop(file.insert("file_id".to_owned(), id.into())),
        (None, None) => return Err(Unsupported::new(path, "has no file")),
    }
    Ok(Value::Object(file))
}

fn default_name(inline: &Inline) -> &'static str {
    match inline.media_type.as_str() {
        "application/pdf" => "file.pdf",
        _ => "file.txt",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(url: &str, detail: Option<&str>) -> PartContent {
        PartContent::Image { url: url.to_owned(), detail: detail.map(str::to_owned) }
    }

    fn file(filename: Option<&str>, data: Option<&str>, id: Option<&str>) -> PartContent {
        let [filename, data, id] = [filename, data, id].map(|text| text.map(str::to_owned));
        PartContent::File { filename, data, id }
    }

    #[test]
    fn media_become_parts_and_what_has_no_part_is_refused_by_name() {
        for (content, expected) in [
            (PartContent::Text("a".to_owned()), Ok(json!({"type": "input_text", "text": "a"}))),
            (
                image("https://x/y.png", Some("low")),
                Ok(json!({"type": "input_image", "image_url": "https://x/y.png", "detail": "low"})),
            ),
            (
                image("data:image/jpg;base64,_-8 A", None),
                Ok(json!({"type": "input_image", "image_url": "data:image/jpeg;base64,/+8A"})),
            ),
            (image("gs://x", None), Err("p has a URL that this provider cannot read")),
            (
                file(Some("a.pdf"), Some("data:application/pdf;base64,JVBERg"), None),
                Ok(json!({"type": "input_file", "filename": "a.pdf",
                    "file_data": "data:application/pdf;base64,JVBERg=="})),
            ),
            (
                file(None, Some("data:application/pdf;base64,JVBERg=="), None),
                Ok(json!({"type": "input_file", "filename": "file.pdf",
                    "file_data": "data:application/pdf;base64,JVBERg=="})),
            ),
            (
                file(Some("a.pdf"), Some("https://x/a.pdf"), None),
                Ok(json!({"type": "input_file", "file_url": "https://x/a.pdf"})),
            ),
            (file(None, None, Some("file-1")), Ok(json!({"type": "input_file", "file_id": "file-1"}))),
            (
                file(Some("a.png"), Some("data:image/png;base64,AAAA"), None),
                Ok(json!({"type": "input_image", "image_url": "data:image/png;base64,AAAA"})),
            ),
            (file(Some("a"), None, None), Err("p has no file")),
            (
                PartContent::Audio { data: "A".to_owned(), format: "wav".to_owned() },
                Err("p is audio, which this endpoint does not take"),
            ),
            (
                PartContent::Video { url: "https://x".to_owned() },
                Err("p is video, which this endpoint does not take"),
            ),
        ] {
            let found = part(&content, "p").map_err(|refused| refused.message);
            assert_eq!(found, expected.map_err(str::to_owned), "{content:?}");
        }
    }
}
