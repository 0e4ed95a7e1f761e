//! Content parts: their kinds, their places, their sizes.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::openai_chat::explain::about;
use crate::api::openai_chat::scan::{TextLen, Word, breakpoint, cut};
use crate::model::facts::{Facts, Media};
use crate::model::file::FileType;

/// Reads one content part.
pub struct PartScan<'f>(pub &'f mut Facts);

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
                facts.file_types.insert(file.kind());
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

impl Location {
    fn of<E: de::Error>(url: &str) -> Result<Self, E> {
        // Other schemes and bare paths could make an upstream read its own files.
        match scheme(url) {
            Some("data") => Ok(Self::Inline(url.len() as u64)),
            Some("http" | "https" | "gs") => Ok(Self::Remote),
            _ => Err(E::custom("must be an https, http or data URL")),
        }
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Word(url) = Word::deserialize(deserializer)?;
        Self::of(&url)
    }
}

/// A file's place, and its kind as far as its data URL tells.
struct FileData(Location, FileType);

impl<'de> Deserialize<'de> for FileData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Word(url) = Word::deserialize(deserializer)?;
        let location = Location::of(&url)?;
        let kind = match location {
            Location::Inline(_) => FileType::of_data_url(&url),
            Location::Remote => FileType::Unknown,
        };
        Ok(Self(location, kind))
    }
}

/// The kind of file that a name tells.
struct NamedKind(FileType);

impl<'de> Deserialize<'de> for NamedKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Word(name) = Word::deserialize(deserializer)?;
        Ok(Self(FileType::of_name(&name)))
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
    file_data: Option<FileData>,
    #[serde(default)]
    file_id: Option<TextLen>,
    #[serde(default)]
    filename: Option<NamedKind>,
}

impl FileScan {
    fn location<E: de::Error>(&self) -> Result<Location, E> {
        match (&self.file_data, self.file_id) {
            (Some(FileData(location, _)), _) => Ok(*location),
            (None, Some(_)) => Ok(Location::Remote),
            (None, None) => Err(about("file.file_data", "is required")),
        }
    }

    /// What a URL holds is not known by its name.
    fn kind(&self) -> FileType {
        match &self.file_data {
            None => FileType::Stored,
            Some(FileData(Location::Remote, _)) => FileType::Unknown,
            Some(FileData(Location::Inline(_), told)) => {
                told.or(|| self.filename.as_ref().map_or(FileType::Unknown, |name| name.0))
            }
        }
    }
}
