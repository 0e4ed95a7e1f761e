//! One look at a prompt: checks its types and measures it without keeping any of its text.
//!
//! Same-dialect requests never need more than this; others type the messages in `messages.rs`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::openai_chat::explain::about;
use crate::model::facts::{Facts, Media};
use crate::model::message::Role;

/// A member's name or a short string, borrowed where it has no escapes.
#[derive(Debug, Default)]
pub struct Word<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for Word<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordVisitor;
        impl<'de> Visitor<'de> for WordVisitor {
            type Value = Word<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Word(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Word(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(WordVisitor)
    }
}

/// The length of a string in bytes; null counts as empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextLen(pub u64);

impl<'de> Deserialize<'de> for TextLen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Length;
        impl<'de> Visitor<'de> for Length {
            type Value = TextLen;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<TextLen, E> {
                Ok(TextLen(text.len() as u64))
            }
            fn visit_unit<E: de::Error>(self) -> Result<TextLen, E> {
                Ok(TextLen(0))
            }
        }
        deserializer.deserialize_any(Length)
    }
}

/// Reads `messages` and adds what it finds to the facts.
pub struct MessagesScan<'f>(pub &'f mut Facts);

impl<'de> DeserializeSeed<'de> for MessagesScan<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for MessagesScan<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of messages")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut messages: A) -> Result<(), A::Error> {
        while let Some(shape) = messages.next_element_seed(MessageScan(self.0))? {
            self.0.messages += 1;
            self.0.prefill = shape.role == Some(Role::Assistant) && !shape.calls;
        }
        Ok(())
    }
}

/// Reads one message.
struct MessageScan<'f>(&'f mut Facts);

/// What is known of a message after its last member.
#[derive(Default)]
struct MessageShape {
    role: Option<Role>,
    content: bool,
    calls: bool,
    answers: bool,
}

impl<'de> DeserializeSeed<'de> for MessageScan<'_> {
    type Value = MessageShape;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<MessageShape, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageScan<'_> {
    type Value = MessageShape;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<MessageShape, A::Error> {
        let facts = self.0;
        let mut shape = MessageShape::default();
        while let Some(Word(key)) = members.next_key()? {
            match key.as_ref() {
                "role" => shape.role = Some(members.next_value::<RoleName>()?.0),
                "content" => shape.content = members.next_value_seed(ContentScan(facts))?,
                "tool_calls" => shape.calls |= members.next_value_seed(CallsScan(facts))?,
                "function_call" => {
                    let call: Option<FunctionScan> = members.next_value()?;
                    shape.calls |= call.is_some();
                    facts.text_bytes += call.map_or(0, |call| call.len());
                }
                "tool_call_id" => {
                    let id: TextLen = members.next_value()?;
                    shape.answers = id.0 > 0;
                    facts.text_bytes += id.0;
                }
                "name" | "reasoning" | "reasoning_content" | "refusal" => {
                    facts.text_bytes += members.next_value::<TextLen>()?.0;
                }
                "cache_control" | "prompt_cache_breakpoint" => breakpoint(&mut members, facts)?,
                _ => facts.text_bytes += members.next_value::<&RawValue>()?.get().len() as u64,
            }
        }
        shape.check(facts)?;
        Ok(shape)
    }
}

impl MessageShape {
    fn check<E: de::Error>(&self, facts: &mut Facts) -> Result<(), E> {
        facts.tool_history |= self.calls;
        match self.role {
            None => Err(about("role", "is required")),
            Some(Role::User | Role::System | Role::Developer) if !self.content => {
                Err(about("content", "is required"))
            }
            Some(Role::Tool) if !self.answers => Err(about("tool_call_id", "is required")),
            Some(Role::Tool | Role::Function) => {
                facts.tool_history = true;
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }
}

fn breakpoint<'de, A: MapAccess<'de>>(members: &mut A, facts: &mut Facts) -> Result<(), A::Error> {
    let mark: Option<IgnoredAny> = members.next_value()?;
    facts.cache_breakpoints += u32::from(mark.is_some());
    Ok(())
}

/// A role by its name.
pub struct RoleName(pub Role);

impl<'de> Deserialize<'de> for RoleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Word(name) = Word::deserialize(deserializer)?;
        Ok(Self(match name.as_ref() {
            "system" => Role::System,
            "developer" => Role::Developer,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            "function" => Role::Function,
            other => {
                return Err(de::Error::custom(format_args!(
                    "`{}` is none of system, developer, user, assistant, tool",
                    cut(other)
                )));
            }
        }))
    }
}

/// A caller's own word, short enough to be said back.
pub fn cut(word: &str) -> &str {
    let end = word.char_indices().nth(64).map_or(word.len(), |(at, _)| at);
    &word[..end]
}

/// Reads `content`: whether there is any.
struct ContentScan<'f>(&'f mut Facts);

impl<'de> DeserializeSeed<'de> for ContentScan<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ContentScan<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of content parts")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
        self.0.text_bytes += text.len() as u64;
        Ok(true)
    }
    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<bool, A::Error> {
        while parts.next_element_seed(PartScan(self.0))?.is_some() {}
        Ok(true)
    }
}

/// Reads one content part.
struct PartScan<'f>(&'f mut Facts);

impl<'de> DeserializeSeed<'de> for PartScan<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PartScan<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a content part object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let facts = self.0;
        let mut kind: Option<Word<'de>> = None;
        let mut seen = PartMembers::default();
        while let Some(Word(key)) = members.next_key()? {
            match key.as_ref() {
                "type" => kind = Some(members.next_value()?),
                "text" => seen.text = Some(members.next_value()?),
                "refusal" => seen.refusal = Some(members.next_value()?),
                "image_url" => seen.image = members.next_value()?,
                "video_url" => seen.video = members.next_value()?,
                "input_audio" => seen.audio = members.next_value()?,
                "file" => seen.file = members.next_value()?,
                "cache_control" | "prompt_cache_breakpoint" => breakpoint(&mut members, facts)?,
                _ => facts.text_bytes += members.next_value::<&RawValue>()?.get().len() as u64,
            }
        }
        let Some(Word(kind)) = kind else { return Err(about("type", "is required")) };
        seen.count(&kind, facts)
    }
}

#[derive(Default)]
struct PartMembers {
    text: Option<TextLen>,
    refusal: Option<TextLen>,
    image: Option<UrlScan>,
    video: Option<UrlScan>,
    audio: Option<AudioScan>,
    file: Option<FileScan>,
}

impl PartMembers {
    fn count<E: de::Error>(self, kind: &str, facts: &mut Facts) -> Result<(), E> {
        match kind {
            "text" => facts.text_bytes += self.text.ok_or_else(|| about("text", "is required"))?.0,
            "refusal" => facts.text_bytes += self.refusal.ok_or_else(|| about("refusal", "is required"))?.0,
            "image_url" => {
                let UrlScan { url } = self.image.ok_or_else(|| about("image_url", "is required"))?;
                url.count(Media::Image, facts);
            }
            "video_url" => {
                let UrlScan { url } = self.video.ok_or_else(|| about("video_url", "is required"))?;
                url.count(Media::Video, facts);
            }
            "input_audio" => {
                let audio = self.audio.ok_or_else(|| about("input_audio", "is required"))?;
                Location::Inline(audio.data.0).count(Media::Audio, facts);
            }
            "file" => {
                let file = self.file.ok_or_else(|| about("file", "is required"))?;
                file.location()?.count(Media::File, facts);
            }
            other => return Err(about("type", format_args!("`{}` is not supported", cut(other)))),
        }
        Ok(())
    }
}

/// Where a medium's bytes are.
#[derive(Debug, Clone, Copy)]
enum Location {
    /// Here, as text of this length.
    Inline(u64),
    Remote,
}

impl Location {
    fn count(self, media: Media, facts: &mut Facts) {
        let facts = facts.media_mut(media);
        facts.count += 1;
        match self {
            Self::Inline(bytes) => facts.inline_bytes += bytes,
            Self::Remote => facts.remote += 1,
        }
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Word(url) = Word::deserialize(deserializer)?;
        // Other schemes and bare paths could make an upstream read its own files.
        match scheme(&url) {
            Some("data") => Ok(Self::Inline(url.len() as u64)),
            Some("http" | "https" | "gs") => Ok(Self::Remote),
            _ => Err(de::Error::custom("must be an https, http or data URL")),
        }
    }
}

fn scheme(url: &str) -> Option<&'static str> {
    let (scheme, _) = url.split_once(':')?;
    ["data", "https", "http", "gs"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))
}

#[derive(Deserialize)]
struct UrlScan {
    url: Location,
}

#[derive(Deserialize)]
struct AudioScan {
    data: TextLen,
    #[serde(rename = "format")]
    _format: TextLen,
}

#[derive(Deserialize)]
struct FileScan {
    #[serde(default)]
    file_data: Option<Location>,
    #[serde(default)]
    file_id: Option<TextLen>,
    #[serde(default, rename = "filename")]
    _filename: Option<TextLen>,
}

impl FileScan {
    fn location<E: de::Error>(&self) -> Result<Location, E> {
        match (self.file_data, self.file_id) {
            (Some(location), _) => Ok(location),
            (None, Some(_)) => Ok(Location::Remote),
            (None, None) => Err(about("file.file_data", "is required")),
        }
    }
}

/// Reads `tool_calls`: whether there are any.
struct CallsScan<'f>(&'f mut Facts);

impl<'de> DeserializeSeed<'de> for CallsScan<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CallsScan<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tool calls")
    }
    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut calls: A) -> Result<bool, A::Error> {
        let mut any = false;
        while let Some(call) = calls.next_element::<CallScan>()? {
            any = true;
            self.0.text_bytes += call.id.0 + call.function.len() + call.custom.len();
        }
        Ok(any)
    }
}

#[derive(Deserialize)]
struct CallScan {
    id: TextLen,
    #[serde(default)]
    function: FunctionScan,
    #[serde(default)]
    custom: FunctionScan,
}

#[derive(Default, Deserialize)]
struct FunctionScan {
    name: TextLen,
    #[serde(default)]
    arguments: TextLen,
    #[serde(default)]
    input: TextLen,
}

impl FunctionScan {
    fn len(&self) -> u64 {
        self.name.0 + self.arguments.0 + self.input.0
    }
}

/// Reads `tools` or `functions`.
pub struct ToolsScan<'f>(pub &'f mut Facts);

impl<'de> DeserializeSeed<'de> for ToolsScan<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ToolsScan<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tools")
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut tools: A) -> Result<(), A::Error> {
        while tools.next_element_seed(ToolScan(self.0))?.is_some() {}
        Ok(())
    }
}

/// Reads one tool definition.
struct ToolScan<'f>(&'f mut Facts);

impl<'de> DeserializeSeed<'de> for ToolScan<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ToolScan<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tool object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let facts = self.0;
        // A legacy function has no `type`.
        let (mut client, mut function) = (true, false);
        while let Some(Word(key)) = members.next_key()? {
            match key.as_ref() {
                "type" => {
                    let Word(kind) = members.next_value()?;
                    client = matches!(kind.as_ref(), "function" | "custom");
                    function = kind == "function";
                }
                "cache_control" => breakpoint(&mut members, facts)?,
                "function" => {
                    let NamedTool { bytes } = members.next_value()?;
                    facts.text_bytes += bytes;
                    function = false;
                }
                _ => facts.text_bytes += members.next_value::<&RawValue>()?.get().len() as u64,
            }
        }
        if function {
            return Err(about("function", "is required"));
        }
        if client {
            facts.tools += 1
        } else {
            facts.server_tools += 1
        }
        Ok(())
    }
}

/// A function definition that has a name.
struct NamedTool {
    bytes: u64,
}

impl<'de> Deserialize<'de> for NamedTool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Function<'a> {
            name: TextLen,
            #[serde(default)]
            description: TextLen,
            #[serde(borrow, default)]
            parameters: Option<&'a RawValue>,
            #[serde(default, rename = "strict")]
            _strict: Option<bool>,
        }
        let function = Function::deserialize(deserializer)?;
        let schema = function.parameters.map_or(0, |schema| schema.get().len() as u64);
        Ok(Self { bytes: function.name.0 + function.description.0 + schema })
    }
}
