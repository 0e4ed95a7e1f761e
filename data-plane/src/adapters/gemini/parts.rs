//! Content parts as Google's: text, bytes, and files that Google reads itself.

use serde_json::{Value, json};

use crate::adapters::Unsupported;
use crate::adapters::gemini::host::{Host, IMAGE_TYPES};
use crate::adapters::shared::media::{Inline, inline, standard, type_of_name};
use crate::model::facts::Media;
use crate::model::media::Fetched;
use crate::model::message::{Part, PartContent};

/// What parts need to know beside themselves.
#[derive(Debug, Clone, Copy)]
pub struct Desk<'a> {
    pub host: Host,
    pub fetched: &'a Fetched,
}

impl Desk<'_> {
    /// The part; None where it holds no text, which Google refuses.
    ///
    /// # Errors
    /// [`Unsupported`] naming the part by `path`.
    pub fn part(self, part: &Part, path: &str) -> Result<Option<Value>, Unsupported> {
        match &part.content {
            PartContent::Text(text) | PartContent::Refusal(text) => Ok(text_part(text)),
            PartContent::Image { url, .. } => self.medium(Media::Image, url, None, path).map(Some),
            PartContent::Video { url } => self.medium(Media::Video, url, None, path).map(Some),
            PartContent::Audio { data, format } => Ok(Some(audio(data, format))),
            PartContent::File { filename, data: Some(data), .. } => {
                self.medium(Media::File, data, filename.as_deref(), path).map(Some)
            }
            PartContent::File { id: Some(id), .. } => self.stored(id, path).map(Some),
            PartContent::File { .. } => Err(Unsupported::new(path, "has no file")),
        }
    }

    fn medium(self, media: Media, url: &str, name: Option<&str>, path: &str) -> Result<Value, Unsupported> {
        if let Some(media_type) = self.host.readable(media, url) {
            return Ok(file_data(url, media_type));
        }
        if url.starts_with("gs://") {
            return Err(Unsupported::new(path, "has a URL whose ending does not tell its type"));
        }
        let mut inline = inline(url, self.fetched, path)?;
        if matches!(inline.media_type.as_str(), "" | "application/octet-stream")
            && let Some(media_type) = type_of_name(name.unwrap_or(url))
        {
            inline.media_type = media_type.to_owned();
        }
        checked(media, inline, path)
    }

    /// A file that Google holds, by its name or its URI.
    fn stored(self, id: &str, path: &str) -> Result<Value, Unsupported> {
        if let Some(media_type) = self.host.readable(Media::File, id) {
            return Ok(file_data(id, media_type));
        }
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        match id.strip_prefix("files/").filter(|name| is_name(name) && self.host.call_ids) {
            Some(name) => {
                Ok(file_data(&format!("https://generativelanguage.googleapis.com/v1beta/files/{name}"), ""))
            }
            None => Err(Unsupported::new(path, "names a file that this provider does not hold")),
        }
    }
}

/// A text part; None for the empty text.
pub fn text_part(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({ "text": text }))
}

fn file_data(uri: &str, media_type: &str) -> Value {
    if media_type.is_empty() {
        json!({"fileData": {"fileUri": uri}})
    } else {
        json!({"fileData": {"mimeType": media_type, "fileUri": uri}})
    }
}

fn inline_data(media_type: &str, base64: &str) -> Value {
    json!({"inlineData": {"mimeType": media_type, "data": base64}})
}

/// Bytes of a type that Google takes for this kind of part.
fn checked(media: Media, inline: Inline, path: &str) -> Result<Value, Unsupported> {
    let media_type = inline.media_type.as_str();
    match media_type.split('/').next().unwrap_or_default() {
        "image" if IMAGE_TYPES.contains(&media_type) => {}
        "image" => return Err(Unsupported::new(path, "is none of png, jpeg, webp, heic, heif")),
        "video" | "audio" if media != Media::Image => {}
        _ if media_type == "application/pdf" && media == Media::File => {}
        _ if media == Media::File => {
            let media_type = if media_type.starts_with("text/") { media_type } else { "text/plain" };
            return match inline.text() {
                Some(_) => Ok(inline_data(media_type, &inline.base64)),
                None => {
                    Err(Unsupported::new(path, "is neither a PDF, nor text, nor a medium of a known type"))
                }
            };
        }
        _ => return Err(Unsupported::new(path, format_args!("is no {} of a known type", media.name()))),
    }
    Ok(inline_data(media_type, &inline.base64))
}

fn audio(data: &str, format: &str) -> Value {
    let media_type = match format {
        "pcm16" => "audio/L16;rate=24000".to_owned(),
        "m4a" => "audio/mp4".to_owned(),
        format => format!("audio/{}", format.to_ascii_lowercase()),
    };
    inline_data(&media_type, &standard(data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::media::FetchedFile;

    fn check(host: Host, content: PartContent, expected: Result<Value, &str>) {
        let file = FetchedFile { media_type: "image/png".to_owned(), base64: "AAAA".to_owned() };
        let fetched = Fetched([("https://x.test/seen".to_owned(), file)].into());
        let desk = Desk { host, fetched: &fetched };
        let found = desk.part(&Part { content, cache_control: None }, "p");
        let found = found.map(Option::unwrap_or_default).map_err(|refused| refused.message);
        assert_eq!(found, expected.map_err(|why| format!("p {why}")));
    }

    fn image(url: &str) -> PartContent {
        PartContent::Image { url: url.to_owned(), detail: None }
    }

    fn video(url: &str) -> PartContent {
        PartContent::Video { url: url.to_owned() }
    }

    fn file(name: &str, data: &str) -> PartContent {
        PartContent::File { filename: Some(name.to_owned()), data: Some(data.to_owned()), id: None }
    }

    fn held(id: &str) -> PartContent {
        PartContent::File { filename: None, data: None, id: Some(id.to_owned()) }
    }

    #[test]
    fn bytes_travel_inline() {
        let sound = PartContent::Audio { data: "AA".to_owned(), format: "mp3".to_owned() };
        for (content, media_type, data) in [
            (image("data:image/jpg;base64,_-8 A"), "image/jpeg", "/+8A"),
            (image("https://x.test/seen"), "image/png", "AAAA"),
            (video("data:video/mp4;base64,AAAA"), "video/mp4", "AAAA"),
            (file("a.pdf", "data:application/pdf;base64,JVBERg"), "application/pdf", "JVBERg=="),
            (file("a.pdf", "data:;base64,JVBERg"), "application/pdf", "JVBERg=="),
            (file("a.json", "data:application/json;base64,e30="), "text/plain", "e30="),
            (file("a.csv", "data:text/csv;base64,aGk="), "text/csv", "aGk="),
            (file("a.mp3", "data:audio/mpeg;base64,AAAA"), "audio/mpeg", "AAAA"),
            (sound, "audio/mp3", "AA=="),
        ] {
            let expected = json!({"inlineData": {"mimeType": media_type, "data": data}});
            check(Host::DEVELOPER, content, Ok(expected));
        }
        check(Host::DEVELOPER, PartContent::Text(String::new()), Ok(Value::Null));
    }

    #[test]
    fn what_google_reads_itself_travels_as_a_uri() {
        let uri = "https://generativelanguage.googleapis.com/v1beta/files/abc";
        let youtube = "https://youtu.be/x";
        let typed = |uri: &str, kind: &str| Ok(json!({"fileData": {"mimeType": kind, "fileUri": uri}}));
        check(Host::DEVELOPER, file("x", uri), Ok(json!({"fileData": {"fileUri": uri}})));
        check(Host::DEVELOPER, held("files/abc"), Ok(json!({"fileData": {"fileUri": uri}})));
        check(Host::DEVELOPER, video(youtube), typed(youtube, "video/mp4"));
        check(Host::DEVELOPER, image("gs://b/a.png"), typed("gs://b/a.png", "image/png"));
        check(Host::VERTEX, image("https://x.test/a.png"), typed("https://x.test/a.png", "image/png"));
    }

    #[test]
    fn what_google_does_not_take_is_refused_by_name() {
        for (content, why) in [
            (image("data:image/gif;base64,AAAA"), "is none of png, jpeg, webp, heic, heif"),
            (image("data:application/pdf;base64,AAAA"), "is no image of a known type"),
            (image("https://x.test/a.png"), "is behind a URL, which this provider cannot read itself"),
            (image("gs://bucket/a"), "has a URL whose ending does not tell its type"),
            (held("files/../x"), "names a file that this provider does not hold"),
            (held("file-123"), "names a file that this provider does not hold"),
            (
                file("a.zip", "data:application/zip;base64,/w=="),
                "is neither a PDF, nor text, nor a medium of a known type",
            ),
        ] {
            check(Host::DEVELOPER, content, Err(why));
        }
        check(Host::VERTEX, held("files/abc"), Err("names a file that this provider does not hold"));
    }
}
