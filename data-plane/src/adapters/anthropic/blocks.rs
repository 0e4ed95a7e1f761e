//! Content parts as Anthropic's blocks: text, images, documents.
//!
//! Audio and video have no block; a request that holds them is refused, because leaving them out would change it.

use serde_json::{Map, Value, json};

use crate::adapters::Unsupported;
use crate::adapters::shared::media::{Inline, Place, place};
use crate::model::media::Fetched;
use crate::model::message::{Part, PartContent};

const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// The block of a part; None where it holds only white space, which Anthropic refuses.
///
/// # Errors
/// [`Unsupported`] naming the part by `path`.
pub fn block(part: &Part, fetched: &Fetched, path: &str) -> Result<Option<Value>, Unsupported> {
    let mut block = match &part.content {
        PartContent::Text(text) | PartContent::Refusal(text) => match text_block(text) {
            Some(block) => block,
            None => return Ok(None),
        },
        PartContent::Image { url, .. } => image(url, fetched, path)?,
        PartContent::File { filename, data, id } => {
            document(filename.as_deref(), data.as_deref(), id.as_deref(), fetched, path)?
        }
        PartContent::Audio { .. } => {
            return Err(Unsupported::new(path, "is audio, which this model does not take"));
        }
        PartContent::Video { .. } => {
            return Err(Unsupported::new(path, "is video, which this model does not take"));
        }
    };
    mark(&mut block, part.cache_control.as_ref());
    Ok(Some(block))
}

/// A text block; None for white space.
pub fn text_block(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}))
}

/// Puts a cache breakpoint on a block.
pub fn mark(block: &mut Value, cache_control: Option<&Value>) {
    if let (Some(block), Some(mark)) = (block.as_object_mut(), cache_control.filter(|mark| mark.is_object()))
    {
        block.insert("cache_control".to_owned(), mark.clone());
    }
}

/// Where a medium is: here if it was fetched, for hosts that do not follow URLs.
fn find<'a>(url: &'a str, fetched: &Fetched, path: &str) -> Result<Place<'a>, Unsupported> {
    Ok(match place(url, path)? {
        Place::Url(url) => match fetched.get(url) {
            Some(file) => {
                Place::Inline(Inline { media_type: file.media_type.clone(), base64: file.base64.clone() })
            }
            None => Place::Url(url),
        },
        inline => inline,
    })
}

fn image(url: &str, fetched: &Fetched, path: &str) -> Result<Value, Unsupported> {
    let source = match find(url, fetched, path)? {
        Place::Url(url) => json!({"type": "url", "url": url}),
        Place::Inline(inline) => inline_image(&inline, path)?,
    };
    Ok(json!({"type": "image", "source": source}))
}

fn inline_image(inline: &Inline, path: &str) -> Result<Value, Unsupported> {
    let Inline { media_type, base64 } = inline;
    if !IMAGE_TYPES.contains(&media_type.as_str()) {
        return Err(Unsupported::new(path, "is none of jpeg, png, gif, webp"));
    }
    Ok(json!({"type": "base64", "media_type": media_type, "data": base64}))
}

fn document(
    filename: Option<&str>,
    data: Option<&str>,
    id: Option<&str>,
    fetched: &Fetched,
    path: &str,
) -> Result<Value, Unsupported> {
    let source = match (data, id) {
        (Some(data), _) => match find(data, fetched, path)? {
            Place::Url(url) => json!({"type": "url", "url": url}),
            Place::Inline(inline) if inline.media_type.starts_with("image/") => {
                let source = inline_image(&inline, path)?;
                return Ok(json!({"type": "image", "source": source}));
            }
            Place::Inline(Inline { media_type, base64 }) if media_type == "application/pdf" => {
                json!({"type": "base64", "media_type": media_type, "data": base64})
            }
            Place::Inline(inline) => plain_text(&inline, path)?,
        },
        (None, Some(id)) => json!({"type": "file", "file_id": id}),
        (None, None) => return Err(Unsupported::new(path, "has no file")),
    };
    let mut block =
        Map::from_iter([("type".to_owned(), Value::from("document")), ("source".to_owned(), source)]);
    if let Some(filename) = filename.filter(|name| !name.is_empty()) {
        block.insert("title".to_owned(), filename.into());
    }
    Ok(Value::Object(block))
}

fn plain_text(inline: &Inline, path: &str) -> Result<Value, Unsupported> {
    match inline.text() {
        Some(text) => Ok(json!({"type": "text", "media_type": "text/plain", "data": text})),
        None => Err(Unsupported::new(path, "is neither a PDF nor plain text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::media::NOTHING;

    fn check(content: PartContent, expected: Result<Value, &str>) {
        let part = Part { content, cache_control: None };
        let found = block(&part, &NOTHING, "messages[0].content[0]").map(Option::unwrap_or_default);
        match expected {
            Ok(block) => assert_eq!(found, Ok(block)),
            Err(why) => assert_eq!(found.expect_err(why).message, format!("messages[0].content[0] {why}")),
        }
    }

    fn image_part(url: &str) -> PartContent {
        PartContent::Image { url: url.to_owned(), detail: None }
    }

    fn file_part(data: &str) -> PartContent {
        PartContent::File { filename: Some("f".to_owned()), data: Some(data.to_owned()), id: None }
    }

    #[test]
    fn media_become_blocks() {
        check(
            image_part("https://x/y.png"),
            Ok(json!({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}})),
        );
        check(
            image_part("data:image/jpg;base64,_-8 A"),
            Ok(
                json!({"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/+8A"}}),
            ),
        );
        check(
            file_part("data:application/pdf;base64,JVBERg"),
            Ok(json!({"type": "document", "title": "f",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}})),
        );
        check(
            file_part("data:text/plain;charset=utf-8;base64,aGk="),
            Ok(json!({"type": "document", "title": "f",
                "source": {"type": "text", "media_type": "text/plain", "data": "hi"}})),
        );
        check(PartContent::Text(" \n".to_owned()), Ok(Value::Null));
    }

    #[test]
    fn what_has_no_block_is_refused_by_name() {
        check(image_part("data:image/tiff;base64,AAAA"), Err("is none of jpeg, png, gif, webp"));
        check(image_part("data:image/png,raw"), Err("is a data URL without base64"));
        check(image_part("gs://bucket/x"), Err("has a URL that this provider cannot read"));
        check(file_part("data:application/zip;base64,AAAA"), Err("is neither a PDF nor plain text"));
        let audio = PartContent::Audio { data: "A".to_owned(), format: "wav".to_owned() };
        check(audio, Err("is audio, which this model does not take"));
    }
}
