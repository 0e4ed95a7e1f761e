//! What Bedrock sends, as far as it is read: unknown blocks, members and events are skipped.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapters::bedrock::usage::Counts;
use crate::adapters::shared::lenient::{self, lenient};

/// A whole answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer<'a> {
    #[serde(borrow, default)]
    pub output: Option<Output<'a>>,
    #[serde(borrow, default)]
    pub stop_reason: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "lenient")]
    pub usage: Option<Counts>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub service_tier: Option<ServiceTier<'a>>,
}

/// Where the message of an answer is.
#[derive(Debug, Deserialize)]
pub struct Output<'a> {
    #[serde(borrow, default)]
    pub message: Option<Message<'a>>,
}

/// What the model said.
#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    #[serde(borrow, default)]
    pub content: Option<Vec<Block<'a>>>,
}

/// The tier that served.
#[derive(Debug, Deserialize)]
pub struct ServiceTier<'a> {
    #[serde(borrow, rename = "type", default)]
    pub kind: lenient::Text<'a>,
}

/// A block of content: one member is there, named by what it is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Block<'a> {
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub tool_use: Option<ToolUse<'a>>,
    #[serde(borrow)]
    pub reasoning_content: Option<Reasoning<'a>>,
    #[serde(borrow)]
    pub citations_content: Option<Cited<'a>>,
    #[serde(borrow)]
    pub image: Option<Image<'a>>,
}

/// A call, and in streams its beginning.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUse<'a> {
    #[serde(borrow, default)]
    pub tool_use_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub input: Option<&'a RawValue>,
    /// `server_tool_use` where the provider runs the tool itself.
    #[serde(borrow, rename = "type", default)]
    pub kind: Option<Cow<'a, str>>,
}

impl ToolUse<'_> {
    /// Whether the caller is to run it.
    pub fn is_the_callers(&self) -> bool {
        self.kind.as_deref() != Some("server_tool_use")
    }
}

/// Reasoning of a whole answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reasoning<'a> {
    #[serde(borrow)]
    pub reasoning_text: Option<ReasoningText<'a>>,
    #[serde(borrow)]
    pub redacted_content: Option<Cow<'a, str>>,
}

/// Readable reasoning.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReasoningText<'a> {
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub signature: Option<Cow<'a, str>>,
}

/// Text of a whole answer with what it rests on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Cited<'a> {
    #[serde(borrow)]
    pub content: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub citations: Option<Vec<Citation<'a>>>,
}

/// A piece of text.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Text<'a> {
    #[serde(borrow)]
    pub text: Cow<'a, str>,
}

/// What a text rests on.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Citation<'a> {
    #[serde(borrow)]
    pub title: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub source_content: Option<Vec<Text<'a>>>,
    /// One member, named by the kind of place.
    #[serde(borrow)]
    pub location: Option<&'a RawValue>,
}

/// An image that the model made.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Image<'a> {
    #[serde(borrow)]
    pub format: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub source: Option<ImageSource<'a>>,
}

/// The bytes of an image.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageSource<'a> {
    /// Base64.
    #[serde(borrow)]
    pub bytes: Option<Cow<'a, str>>,
}

/// The payload of any event of a stream; its kind is a header.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamEvent<'a> {
    pub content_block_index: u64,
    #[serde(borrow)]
    pub start: Option<BlockStart<'a>>,
    #[serde(borrow)]
    pub delta: Option<Delta<'a>>,
    #[serde(borrow)]
    pub stop_reason: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "lenient")]
    pub usage: Option<Counts>,
    #[serde(borrow, deserialize_with = "lenient")]
    pub service_tier: Option<ServiceTier<'a>>,
}

/// The beginning of a block; text and reasoning have none.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStart<'a> {
    #[serde(borrow)]
    pub tool_use: Option<ToolUse<'a>>,
    #[serde(borrow)]
    pub image: Option<Image<'a>>,
}

/// A piece of a block.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Delta<'a> {
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub tool_use: Option<ToolDelta<'a>>,
    #[serde(borrow)]
    pub reasoning_content: Option<ReasoningDelta<'a>>,
    #[serde(borrow)]
    pub citation: Option<Citation<'a>>,
    #[serde(borrow)]
    pub image: Option<Image<'a>>,
}

/// A piece of a call's arguments.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ToolDelta<'a> {
    #[serde(borrow)]
    pub input: Option<Cow<'a, str>>,
}

/// A piece of reasoning.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReasoningDelta<'a> {
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub signature: Option<Cow<'a, str>>,
    /// Base64.
    #[serde(borrow)]
    pub redacted_content: Option<Cow<'a, str>>,
}
