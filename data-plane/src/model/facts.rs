//! What routing, admission and pricing need to know about a request without reading its text.
//!
//! Surfaces count while they decode; nothing here holds contents.

use serde::{Deserialize, Serialize};

use crate::model::file::FileTypes;
use crate::model::parameter::Parameters;
use crate::model::task::Operation;

/// A kind of content that is not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Media {
    Image,
    Audio,
    Video,
    File,
}

impl Media {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Image, Self::Audio, Self::Video, Self::File];

    /// The name in a model's `input_modalities`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::File => "file",
        }
    }
}

/// How much of one kind of media a prompt carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MediaFacts {
    /// Items of this kind.
    pub count: u32,
    /// Items whose bytes are elsewhere (a URL or a provider's file id), so their size is unknown here.
    pub remote: u32,
    /// Text length of the inline items: base64 and its data-URL prefix, so 4/3 of the real bytes or more.
    pub inline_bytes: u64,
}

/// A request's measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// What kind of work is asked for.
    #[serde(default)]
    pub operation: Operation,
    /// Messages in the prompt; inputs of embeddings, documents of a ranking.
    pub messages: u32,
    /// Bytes of everything that may become text tokens of the prompt: message texts, names, reasoning, tool
    /// calls and results, tool definitions, schemas, and members nobody knows. Inline media are not in it.
    pub text_bytes: u64,
    /// The same of the longest input, where each has a window of its own: for embeddings and rankings.
    #[serde(default)]
    pub longest_bytes: u64,
    /// The most searches that a ranking can be billed as.
    #[serde(default)]
    pub search_units: u64,
    /// Bytes of the whole request body.
    pub body_bytes: u64,
    /// Client tools declared.
    pub tools: u32,
    /// Tools that the provider or the router would run itself.
    pub server_tools: u32,
    /// Whether the history holds tool calls or tool results.
    pub tool_history: bool,
    /// Whether the last message is the assistant's, to be continued.
    pub prefill: bool,
    /// Parts, messages and tools that mark a cache breakpoint.
    pub cache_breakpoints: u32,
    /// Images in the prompt.
    pub images: MediaFacts,
    /// Audio clips in the prompt.
    pub audio: MediaFacts,
    /// Videos in the prompt.
    pub videos: MediaFacts,
    /// Files (mostly PDF) in the prompt.
    pub files: MediaFacts,
    /// What kinds of files these are.
    #[serde(default)]
    pub file_types: FileTypes,
    /// Parameters that the client sent with a value other than null.
    pub parameters: Parameters,
}

impl Facts {
    /// The measurements of one kind of media.
    pub const fn media(&self, media: Media) -> MediaFacts {
        match media {
            Media::Image => self.images,
            Media::Audio => self.audio,
            Media::Video => self.videos,
            Media::File => self.files,
        }
    }

    /// The same, to count into.
    pub fn media_mut(&mut self, media: Media) -> &mut MediaFacts {
        match media {
            Media::Image => &mut self.images,
            Media::Audio => &mut self.audio,
            Media::Video => &mut self.videos,
            Media::File => &mut self.files,
        }
    }

    /// The kinds of media that the prompt carries.
    pub fn modalities(&self) -> impl Iterator<Item = Media> + '_ {
        Media::ALL.into_iter().filter(|media| self.media(*media).count > 0)
    }
}
