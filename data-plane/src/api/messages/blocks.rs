//! Content blocks of a request, and the chat parts that they are.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::openai_chat::scan::cut;

/// Text as a string or in blocks.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a string or a list of text blocks")]
pub enum Text {
    Plain(String),
    Blocks(Vec<TextBlock>),
}

/// A block that can hold text alone.
#[derive(Deserialize)]
pub struct TextBlock {
    pub text: String,
    #[serde(default)]
    pub cache_control: Option<Value>,
}

/// What a turn or a tool's result says.
pub enum Content<'a> {
    Plain(String),
    Blocks(Vec<Block<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of content blocks")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content::Plain(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut blocks = Vec::new();
                while let Some(block) = list.next_element()? {
                    blocks.push(block);
                }
                Ok(Content::Blocks(blocks))
            }
        }
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// One block; the members of all kinds together, since they hardly overlap.
#[derive(Deserialize)]
pub struct Block<'a> {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub cache_control: Option<Value>,
    #[serde(default)]
    pub title: Option<String>,
    /// Of an image or a document; of a search result a text.
    #[serde(borrow, default)]
    pub source: Option<&'a RawValue>,
    #[serde(default)]
    pub thinking: Option<String>,
    #[serde(default)]
    pub signature: Option<String>,
    #[serde(default)]
    pub data: Option<String>,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(borrow, default)]
    pub input: Option<&'a RawValue>,
    #[serde(default)]
    pub tool_use_id: Option<String>,
    #[serde(borrow, default)]
    pub content: Option<&'a RawValue>,
    #[serde(default)]
    pub is_error: Option<bool>,
}

/// Where the bytes of an image or a document are.
#[derive(Deserialize)]
struct Source<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    file_id: Option<String>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// The chat part that a block of a user or of a tool is; none where it says nothing that chat completions can say.
///
/// # Errors
/// The member of the block that is at fault, and why.
pub fn part(block: &Block<'_>) -> Result<Option<Value>, (&'static str, String)> {
    let mut part = match block.kind.as_str() {
        "text" => json!({"type": "text", "text": required("text", block.text.as_deref())?}),
        "image" => image(&source(block)?)?,
        "document" => document(block, &source(block)?)?,
        "search_result" => json!({"type": "text", "text": searched(block)}),
        "thinking" | "redacted_thinking" => return Ok(None),
        // What Anthropic's own tools came to: no other dialect has a place for it, and the answer says what came of it.
        "server_tool_use" => return Ok(None),
        kind if kind.ends_with("_tool_result") && !kind.starts_with("mcp") => return Ok(None),
        other => return Err(("type", format!("`{}` is not supported here", cut(other)))),
    };
    if let Some(mark) = &block.cache_control {
        part["cache_control"] = mark.clone();
    }
    Ok(Some(part))
}

fn required<T>(member: &'static str, value: Option<T>) -> Result<T, (&'static str, String)> {
    value.ok_or_else(|| (member, "is required".to_owned()))
}

fn source<'a>(block: &Block<'a>) -> Result<Source<'a>, (&'static str, String)> {
    let raw = required("source", block.source)?;
    serde_json::from_str(raw.get()).map_err(|_| ("source", "must be an object with a type".to_owned()))
}

fn image(source: &Source<'_>) -> Result<Value, (&'static str, String)> {
    let url = match source.kind.as_str() {
        "base64" => data_url(source)?,
        "url" => required("source.url", source.url.clone())?,
        "file" => {
            let id = required("source.file_id", source.file_id.as_ref())?;
            return Ok(json!({"type": "file", "file": {"file_id": id}}));
        }
        _ => return Err(("source.type", "is none of base64, url, file".to_owned())),
    };
    Ok(json!({"type": "image_url", "image_url": {"url": url}}))
}

fn document(block: &Block<'_>, source: &Source<'_>) -> Result<Value, (&'static str, String)> {
    let name = |ending: &str| block.title.clone().unwrap_or_else(|| format!("document{ending}"));
    let file = match source.kind.as_str() {
        "base64" => json!({"filename": name(".pdf"), "file_data": data_url(source)?}),
        "url" => json!({"filename": name(".pdf"), "file_data": required("source.url", source.url.as_ref())?}),
        "file" => json!({"file_id": required("source.file_id", source.file_id.as_ref())?}),
        "text" => {
            let text = required("source.data", source.data.as_ref())?;
            let url = format!("data:text/plain;base64,{}", STANDARD.encode(text));
            json!({"filename": name(".txt"), "file_data": url})
        }
        "content" => {
            let content = required("source.content", source.content)?;
            return Ok(json!({"type": "text", "text": all_text(content)}));
        }
        _ => return Err(("source.type", "is none of base64, url, text, content, file".to_owned())),
    };
    Ok(json!({"type": "file", "file": file}))
}

fn data_url(source: &Source<'_>) -> Result<String, (&'static str, String)> {
    let media = required("source.media_type", source.media_type.as_ref())?;
    let data = required("source.data", source.data.as_ref())?;
    Ok(format!("data:{media};base64,{data}"))
}

/// A search result that the caller found: its title, where it is from and what it says.
fn searched(block: &Block<'_>) -> String {
    let from = block.source.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let said = block.content.map(all_text).unwrap_or_default();
    [block.title.clone(), from, Some(said)].into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// The text of a string or of a list of blocks.
fn all_text(content: &RawValue) -> String {
    match serde_json::from_str::<Content<'_>>(content.get()) {
        Ok(Content::Plain(text)) => text,
        Ok(Content::Blocks(blocks)) => {
            blocks.into_iter().filter_map(|block| block.text).collect::<Vec<_>>().join("\n")
        }
        Err(_) => String::new(),
    }
}
