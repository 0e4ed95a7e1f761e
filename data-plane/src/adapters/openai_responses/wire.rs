//! What the Responses dialect sends, as far as it is read: unknown items, parts, events and members are skipped.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::adapters::shared::lenient::{Number, Text, lenient};

/// A whole answer, and the `response` inside the events that begin and end a stream.
#[derive(Debug, Default, Deserialize)]
pub struct Response<'a> {
    #[serde(borrow, default)]
    pub id: Text<'a>,
    #[serde(borrow, default)]
    pub model: Text<'a>,
    #[serde(default)]
    pub created_at: Number,
    #[serde(borrow, default)]
    pub status: Text<'a>,
    #[serde(borrow, default)]
    pub service_tier: Text<'a>,
    #[serde(borrow, default)]
    pub output: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub tool_usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    #[serde(default)]
    pub incomplete_details: Option<Value>,
}

impl<'a> Response<'a> {
    /// The items that can be read, with their places.
    pub fn items(&self) -> impl Iterator<Item = (u64, Item<'a>)> + '_ {
        let items = self.output.iter().flatten().zip(0..);
        items.filter_map(|(item, at)| Some((at, serde_json::from_str(item.get()).ok()?)))
    }

    /// Why the answer is not complete.
    pub fn incomplete_reason(&self) -> Option<&str> {
        self.incomplete_details.as_ref()?.get("reason")?.as_str()
    }
}

/// An item of the output.
#[derive(Debug, Default, Deserialize)]
pub struct Item<'a> {
    #[serde(borrow, rename = "type", default)]
    pub kind: Text<'a>,
    #[serde(borrow, default)]
    pub id: Text<'a>,
    #[serde(borrow, default)]
    pub status: Text<'a>,
    #[serde(borrow, default)]
    pub call_id: Text<'a>,
    #[serde(borrow, default)]
    pub name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    summary: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub encrypted_content: Text<'a>,
    /// What a web search did.
    #[serde(default)]
    pub action: Option<Value>,
    /// An image, in base64.
    #[serde(borrow, default)]
    pub result: Text<'a>,
    #[serde(borrow, default)]
    pub output_format: Text<'a>,
}

impl<'a> Item<'a> {
    /// The parts of a message, or the readable thoughts of reasoning.
    pub fn content(&self) -> Vec<Part<'a>> {
        parts(self.content)
    }

    /// The parts of a reasoning summary.
    pub fn summary(&self) -> Vec<Part<'a>> {
        parts(self.summary)
    }

    /// The text that a tool is called with: arguments, or a custom tool's input.
    pub fn call_text(&self) -> String {
        let Some(raw) = self.arguments.or(self.input).map(RawValue::get) else { return String::new() };
        // Some hosts send the object itself instead of its text.
        serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned())
    }
}

fn parts(raw: Option<&RawValue>) -> Vec<Part<'_>> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// A part of a message, of a summary, or of readable thoughts.
#[derive(Debug, Default, Deserialize)]
pub struct Part<'a> {
    #[serde(borrow, rename = "type", default)]
    pub kind: Text<'a>,
    #[serde(borrow, default)]
    pub text: Text<'a>,
    #[serde(borrow, default)]
    pub refusal: Text<'a>,
    #[serde(default, deserialize_with = "lenient")]
    pub annotations: Option<Vec<Value>>,
    #[serde(default, deserialize_with = "lenient")]
    pub logprobs: Option<Vec<Value>>,
}

/// One event of a stream.
#[derive(Debug, Deserialize)]
pub struct StreamEvent<'a> {
    #[serde(borrow, rename = "type", default)]
    pub kind: Text<'a>,
    #[serde(borrow, default)]
    pub response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub item: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub item_id: Text<'a>,
    #[serde(default)]
    pub output_index: Number,
    #[serde(default)]
    pub content_index: Number,
    #[serde(default)]
    pub summary_index: Number,
    #[serde(borrow, default)]
    pub delta: Text<'a>,
    #[serde(borrow, default)]
    pub text: Text<'a>,
    #[serde(borrow, default)]
    pub refusal: Text<'a>,
    #[serde(borrow, default)]
    pub arguments: Text<'a>,
    #[serde(borrow, default)]
    pub input: Text<'a>,
    #[serde(default)]
    pub annotation: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    pub logprobs: Option<Vec<Value>>,
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}
