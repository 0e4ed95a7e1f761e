//! Where a part's bytes are: behind a URL that the provider may read itself, or here.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::adapters::Unsupported;
use crate::model::media::Fetched;

/// Takes base64 as people write it: padded or not.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Where a medium is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place<'a> {
    /// An http(s) URL as the caller wrote it.
    Url(&'a str),
    Inline(Inline),
}

/// A medium's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inline {
    /// Lower case, without parameters; empty where the data URL names none.
    pub media_type: String,
    /// Standard alphabet, padded, without white space.
    pub base64: String,
}

impl Inline {
    /// The bytes; None where the text is no base64.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        GeneralPurpose::new(&alphabet::STANDARD, LENIENT).decode(&self.base64).ok()
    }

    /// The text of a textual medium; None for other types and for bytes that are not UTF-8.
    pub fn text(&self) -> Option<String> {
        let media_type = self.media_type.as_str();
        let textual =
            media_type.starts_with("text/") || media_type == "application/json" || media_type.is_empty();
        self.bytes().filter(|_| textual).and_then(|bytes| String::from_utf8(bytes).ok())
    }
}

/// Reads a URL as callers write it.
///
/// # Errors
/// [`Unsupported`] naming the part by `path`: neither http(s) nor a complete base64 data URL.
pub fn place<'a>(url: &'a str, path: &str) -> Result<Place<'a>, Unsupported> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(Unsupported::new(path, "has no URL"));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => Ok(Place::Url(url)),
        "data" => {
            let (head, data) =
                rest.split_once(',').ok_or_else(|| Unsupported::new(path, "is no complete data URL"))?;
            let mut words = head.split(';').map(str::trim);
            let media_type = words.next().unwrap_or_default().to_ascii_lowercase();
            if !words.any(|word| word.eq_ignore_ascii_case("base64")) {
                return Err(Unsupported::new(path, "is a data URL without base64"));
            }
            let media_type = if media_type == "image/jpg" { "image/jpeg".to_owned() } else { media_type };
            Ok(Place::Inline(Inline { media_type, base64: standard(data) }))
        }
        _ => Err(Unsupported::new(path, "has a URL that this provider cannot read")),
    }
}

/// The bytes behind a URL: of a data URL, or fetched before.
///
/// # Errors
/// [`Unsupported`] as for [`place`], and where the URL was not fetched.
pub fn inline(url: &str, fetched: &Fetched, path: &str) -> Result<Inline, Unsupported> {
    match place(url, path)? {
        Place::Inline(inline) => Ok(inline),
        Place::Url(url) => match fetched.get(url) {
            Some(file) => Ok(Inline { media_type: file.media_type.clone(), base64: file.base64.clone() }),
            None => Err(Unsupported::new(path, "is behind a URL, which this provider cannot read itself")),
        },
    }
}

/// Base64 of the standard alphabet, without white space and with its padding.
pub fn standard(data: &str) -> String {
    let letters = data.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=');
    let mut text: String = letters
        .map(|byte| match byte {
            b'-' => '+',
            b'_' => '/',
            byte => char::from(byte),
        })
        .collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Base64 that arrives in pieces, each encoding bytes of its own.
#[derive(Debug, Default)]
pub struct Base64Pieces {
    /// A single piece stays as it is.
    first: String,
    all: Option<Vec<u8>>,
}

impl Base64Pieces {
    /// Adds a piece; one that is no base64 adds nothing, unless it is the only one.
    pub fn push(&mut self, piece: &str) {
        if self.first.is_empty() {
            piece.clone_into(&mut self.first);
            return;
        }
        let decode =
            |text: &str| GeneralPurpose::new(&alphabet::STANDARD, LENIENT).decode(text).unwrap_or_default();
        self.all.get_or_insert_with(|| decode(&self.first)).extend(decode(piece));
    }

    /// About how many letters there are so far.
    pub fn len(&self) -> usize {
        self.all.as_ref().map_or(self.first.len(), |bytes| bytes.len() / 3 * 4)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The base64 of all bytes.
    pub fn join(self) -> String {
        match self.all {
            Some(bytes) => GeneralPurpose::new(&alphabet::STANDARD, LENIENT).encode(bytes),
            None => self.first,
        }
    }
}

/// The media type that a file's name or a URL's path tells by its ending.
pub fn type_of_name(name: &str) -> Option<&'static str> {
    let path = name.split(['?', '#']).next().unwrap_or_default();
    let (_, ending) = path.rsplit('/').next().unwrap_or_default().rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "pdf" => "application/pdf",
        "txt" | "text" | "log" => "text/plain",
        "md" => "text/markdown",
        "html" | "htm" => "text/html",
        "csv" => "text/csv",
        "json" => "application/json",
        "xml" => "text/xml",
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "m4a" => "audio/mp4",
        "aac" => "audio/aac",
        "mp4" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "mpg" | "mpeg" => "video/mpeg",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::media::FetchedFile;

    #[test]
    fn data_urls_are_read_as_people_write_them() {
        let inline = |media_type: &str, base64: &str| {
            Ok(Place::Inline(Inline { media_type: media_type.to_owned(), base64: base64.to_owned() }))
        };
        for (url, expected) in [
            ("https://x/y.png", Ok(Place::Url("https://x/y.png"))),
            ("data:image/jpg;base64,_-8 A", inline("image/jpeg", "/+8A")),
            ("DATA:text/Plain;charset=utf-8;BASE64,aGk", inline("text/plain", "aGk=")),
            ("data:image/png,raw", Err("p is a data URL without base64")),
            ("data:image/png;base64", Err("p is no complete data URL")),
            ("gs://bucket/x", Err("p has a URL that this provider cannot read")),
            ("x", Err("p has no URL")),
        ] {
            let found = place(url, "p").map_err(|refused| refused.message);
            assert_eq!(found, expected.map_err(str::to_owned), "{url}");
        }
    }

    #[test]
    fn base64_in_pieces_is_the_base64_of_all_bytes() {
        for (pieces, expected) in [
            (vec!["AAEC", "AwQF"], "AAECAwQF"),
            (vec!["AA==", "AQI="], "AAEC"),
            (vec!["AA==", "?", "AQI="], "AAEC"),
            (vec!["not base64="], "not base64="),
            (vec!["AA=="], "AA=="),
            (vec![], ""),
        ] {
            let mut joined = Base64Pieces::default();
            pieces.iter().for_each(|piece| joined.push(piece));
            assert_eq!((joined.is_empty(), joined.join()), (expected.is_empty(), expected.to_owned()));
        }
    }

    #[test]
    fn endings_tell_types() {
        for (name, expected) in [
            ("https://x.test/a/B.PNG?v=1.txt#y", Some("image/png")),
            ("notes.md", Some("text/markdown")),
            ("https://x.test/", None),
            ("https://x.test", None),
            ("", None),
        ] {
            assert_eq!(type_of_name(name), expected, "{name}");
        }
    }

    #[test]
    fn what_was_fetched_is_here() {
        let file = FetchedFile { media_type: "image/png".to_owned(), base64: "AAAA".to_owned() };
        let fetched = Fetched([("https://x/y".to_owned(), file)].into());
        assert_eq!(inline("https://x/y", &fetched, "p").unwrap().bytes(), Some(vec![0, 0, 0]));
        assert!(inline("https://x/z", &fetched, "p").is_err());
    }
}
