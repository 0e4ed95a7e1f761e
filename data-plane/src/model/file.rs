//! What kind of file a prompt carries, as far as its own words tell: a media type, else the ending of a name.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One kind of file; adapters tell no finer ones apart before they see the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    Pdf,
    /// Text of any kind, JSON, XML and YAML too.
    Text,
    /// Documents, sheets and slides.
    Office,
    Image,
    Audio,
    Video,
    /// Named, and none of these.
    Other,
    /// Held by a provider and named by its id there.
    Stored,
    /// Behind a URL, or unnamed: known once its bytes are there.
    Unknown,
}

impl FileType {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::Pdf,
        Self::Text,
        Self::Office,
        Self::Image,
        Self::Audio,
        Self::Video,
        Self::Other,
        Self::Stored,
        Self::Unknown,
    ];

    /// The word in records and errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Text => "text",
            Self::Office => "office",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Other => "other",
            Self::Stored => "stored",
            Self::Unknown => "unknown",
        }
    }

    /// The kind of a media type, parameters ignored; unknown where it says only that there are bytes.
    pub fn of_media_type(media_type: &str) -> Self {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.split_once('/') {
            None => Self::Unknown,
            Some(("text", _)) => Self::Text,
            Some(("image", _)) => Self::Image,
            Some(("audio", _)) => Self::Audio,
            Some(("video", _)) => Self::Video,
            Some((_, "octet-stream")) => Self::Unknown,
            Some(("application", "pdf")) => Self::Pdf,
            Some(("application", name)) if is_text(name) => Self::Text,
            Some(("application", name)) if is_office(name) => Self::Office,
            Some(_) => Self::Other,
        }
    }

    /// The kind that a name's ending tells.
    pub fn of_name(name: &str) -> Self {
        let Some((_, ending)) = name.rsplit_once('.') else { return Self::Unknown };
        match ending.to_ascii_lowercase().as_str() {
            "pdf" => Self::Pdf,
            "txt" | "text" | "log" | "md" | "html" | "htm" | "csv" | "json" | "xml" | "yaml" | "yml" => {
                Self::Text
            }
            "doc" | "docx" | "xls" | "xlsx" | "ppt" | "pptx" | "odt" | "ods" | "odp" => Self::Office,
            "png" | "jpg" | "jpeg" | "webp" | "gif" | "heic" | "heif" => Self::Image,
            "wav" | "mp3" | "flac" | "ogg" | "m4a" | "aac" => Self::Audio,
            "mp4" | "mov" | "webm" | "mkv" | "mpg" | "mpeg" => Self::Video,
            _ => Self::Unknown,
        }
    }

    /// The kind of a data URL's media type.
    pub fn of_data_url(url: &str) -> Self {
        let head = url.split(',').next().unwrap_or_default();
        head.split_once(':').map_or(Self::Unknown, |(_, media_type)| Self::of_media_type(media_type))
    }

    /// This, or what else is known where this tells nothing.
    #[must_use]
    pub fn or(self, other: impl FnOnce() -> Self) -> Self {
        if self == Self::Unknown { other() } else { self }
    }
}

/// Applications whose files are text.
fn is_text(name: &str) -> bool {
    ["json", "xml", "yaml", "x-yaml", "javascript", "x-ndjson"].contains(&name)
        || name.ends_with("+json")
        || name.ends_with("+xml")
}

fn is_office(name: &str) -> bool {
    ["msword", "vnd.ms-excel", "vnd.ms-powerpoint"].contains(&name)
        || name.starts_with("vnd.openxmlformats-officedocument.")
        || name.starts_with("vnd.oasis.opendocument.")
}

/// A set of [`FileType`]s.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct FileTypes(u16);

impl FileTypes {
    /// Every kind.
    pub const ALL: Self = Self::of(&FileType::ALL);

    /// These kinds.
    pub const fn of(members: &[FileType]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < members.len() {
            set |= bit(members[at]);
            at += 1;
        }
        Self(set)
    }

    /// Adds one.
    pub fn insert(&mut self, kind: FileType) {
        self.0 |= bit(kind);
    }

    /// Whether it is in the set.
    pub const fn contains(self, kind: FileType) -> bool {
        self.0 & bit(kind) != 0
    }

    /// What is here and not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = FileType> {
        FileType::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl std::fmt::Debug for FileTypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(FileType::name)).finish()
    }
}

/// By name, so that a record stays right when kinds are added.
impl Serialize for FileTypes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(FileType::name))
    }
}

impl<'de> Deserialize<'de> for FileTypes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let mut set = Self::default();
        let known = |name: &String| FileType::ALL.into_iter().find(|kind| kind.name() == name);
        names.iter().filter_map(known).for_each(|kind| set.insert(kind));
        Ok(set)
    }
}

const fn bit(kind: FileType) -> u16 {
    1 << kind as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_and_endings_tell_the_kind() {
        for (media_type, expected) in [
            ("application/pdf", FileType::Pdf),
            ("Application/PDF; name=x", FileType::Pdf),
            ("text/markdown", FileType::Text),
            ("application/json", FileType::Text),
            ("application/ld+json", FileType::Text),
            ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", FileType::Office),
            ("application/msword", FileType::Office),
            ("image/svg+xml", FileType::Image),
            ("audio/wav", FileType::Audio),
            ("video/mp4", FileType::Video),
            ("application/zip", FileType::Other),
            ("application/octet-stream", FileType::Unknown),
            ("binary/octet-stream", FileType::Unknown),
            ("", FileType::Unknown),
        ] {
            assert_eq!(FileType::of_media_type(media_type), expected, "{media_type}");
        }
        for (name, expected) in [
            ("a.b.PDF", FileType::Pdf),
            ("notes.md", FileType::Text),
            ("table.xlsx", FileType::Office),
            ("photo.jpeg", FileType::Image),
            ("pdf", FileType::Unknown),
            ("archive.zip", FileType::Unknown),
        ] {
            assert_eq!(FileType::of_name(name), expected, "{name}");
        }
        assert_eq!(FileType::of_data_url("data:application/pdf;base64,AAAA"), FileType::Pdf);
        assert_eq!(FileType::of_data_url("data:,AAAA"), FileType::Unknown);
    }

    #[test]
    fn a_set_survives_being_written_down() {
        let set = FileTypes::of(&[FileType::Office, FileType::Unknown]);
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(text, r#"["office","unknown"]"#);
        assert_eq!(serde_json::from_str::<FileTypes>(&text).unwrap(), set);
        assert_eq!(FileTypes::ALL.iter().count(), FileType::ALL.len());
    }
}
