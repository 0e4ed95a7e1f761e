//! What differs between the Developer API and Vertex AI: addresses, call ids, whose URLs are read.

use crate::adapters::Unsupported;
use crate::adapters::shared::media::type_of_name;
use crate::model::facts::Media;

/// One of the two doors to the same models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Where a plain model name lives.
    prefix: &'static str,
    /// Starts of model names that are paths already.
    paths: &'static [&'static str],
    /// Whether calls and results carry ids.
    pub call_ids: bool,
    /// Whether any https URL is read.
    reads_https: bool,
    /// Whether there is a `serviceTier`.
    pub service_tier: bool,
}

/// Files that were uploaded to the Developer API.
const FILES: &str = "https://generativelanguage.googleapis.com/";

const YOUTUBE: [&str; 5] = [
    "https://www.youtube.com/",
    "https://youtube.com/",
    "https://m.youtube.com/",
    "https://youtu.be/",
    "http://www.youtube.com/",
];

impl Host {
    /// `generativelanguage.googleapis.com`; the base URL ends with the version.
    pub const DEVELOPER: Self = Self {
        prefix: "models/",
        paths: &["models/", "tunedModels/", "dynamic/"],
        call_ids: true,
        reads_https: false,
        service_tier: true,
    };

    /// `aiplatform.googleapis.com`; the base URL ends with the location, or with the version in express mode.
    pub const VERTEX: Self = Self {
        prefix: "publishers/google/models/",
        paths: &["publishers/", "endpoints/", "models/"],
        call_ids: false,
        reads_https: true,
        service_tier: false,
    };

    /// The path of a call, with the query that asks for server-sent events.
    ///
    /// # Errors
    /// [`Unsupported`] where the model's name leads out of its place.
    pub fn path(self, model: &str, stream: bool) -> Result<String, Unsupported> {
        let verb = if stream { ":streamGenerateContent?alt=sse" } else { ":generateContent" };
        self.resource(model).map(|path| path + verb)
    }

    /// The path of a model, before what is done with it.
    ///
    /// # Errors
    /// [`Unsupported`] where the model's name leads out of its place.
    pub fn resource(self, model: &str) -> Result<String, Unsupported> {
        // A full resource name repeats what the base URL says.
        let model = match model.strip_prefix("projects/").and_then(|rest| rest.split_once("/locations/")) {
            Some((_, rest)) => rest.split_once('/').map_or(rest, |(_, name)| name),
            None => model.trim_start_matches('/'),
        };
        let is_path = self.paths.iter().any(|start| model.starts_with(start));
        let mut path = String::from("/");
        if !is_path {
            path.push_str(self.prefix);
        }
        for (at, segment) in model.split('/').enumerate() {
            if matches!(segment, "" | "." | "..") {
                return Err(Unsupported::new("model", "has no name that makes a path"));
            }
            path.push_str(if at == 0 { "" } else { "/" });
            escape(segment, &mut path);
        }
        Ok(path)
    }

    /// Whether Google cannot read this URL itself.
    pub fn must_fetch(self, media: Media, url: &str) -> bool {
        let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        matches!(scheme.as_deref(), Some("http" | "https")) && self.readable(media, url).is_none()
    }

    /// The media type, if Google reads this URL itself; empty where it knows the type better.
    pub fn readable(self, media: Media, url: &str) -> Option<&'static str> {
        if url.starts_with(FILES) {
            return Some("");
        }
        if media == Media::Video && is_youtube(url) {
            return Some("video/mp4");
        }
        let reads = url.starts_with("gs://") || (self.reads_https && url.starts_with("https://"));
        type_of_name(url).filter(|media_type| reads && is_known(media_type))
    }
}

/// Image types that are taken.
pub const IMAGE_TYPES: [&str; 5] = ["image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"];

/// Whether something of this type is taken at all.
fn is_known(media_type: &str) -> bool {
    let kinds = ["audio/", "video/", "text/", "application/pdf"];
    IMAGE_TYPES.contains(&media_type) || kinds.iter().any(|kind| media_type.starts_with(kind))
}

/// Whether a URL is of a public video.
fn is_youtube(url: &str) -> bool {
    YOUTUBE.iter().any(|start| url.starts_with(start))
}

/// Percent-encodes what a path segment must not hold.
fn escape(segment: &str, path: &mut String) {
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths() {
        for (host, model, expected) in [
            (Host::DEVELOPER, "gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
            (Host::DEVELOPER, "models/gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
            (Host::DEVELOPER, "tunedModels/mine 1", "/tunedModels/mine%201:generateContent"),
            (Host::VERTEX, "gemini-3-pro", "/publishers/google/models/gemini-3-pro:generateContent"),
            (Host::VERTEX, "publishers/meta/models/x@1", "/publishers/meta/models/x@1:generateContent"),
            (Host::VERTEX, "endpoints/12", "/endpoints/12:generateContent"),
            (Host::VERTEX, "projects/p/locations/l/endpoints/12", "/endpoints/12:generateContent"),
            (Host::VERTEX, "a:b?c#d", "/publishers/google/models/a%3Ab%3Fc%23d:generateContent"),
        ] {
            assert_eq!(host.path(model, false).as_deref(), Ok(expected), "{model}");
        }
        let streamed = Host::DEVELOPER.path("m", true);
        assert_eq!(streamed.as_deref(), Ok("/models/m:streamGenerateContent?alt=sse"));
        for model in ["models/../secrets", "", "a//b", "."] {
            assert!(Host::DEVELOPER.path(model, false).is_err(), "{model}");
        }
    }

    #[test]
    fn only_googles_own_urls_are_handed_on() {
        let files = "https://generativelanguage.googleapis.com/v1beta/files/abc";
        for (media, url, developer, vertex) in [
            (Media::Image, "https://x.test/a.png", true, false),
            (Media::Image, "https://x.test/a.png?size=2", true, false),
            (Media::Image, "https://x.test/a", true, true),
            (Media::Image, "https://x.test/a.gif", true, true),
            (Media::File, "https://x.test/a.json", true, true),
            (Media::File, "https://x.test/a.pdf", true, false),
            (Media::Image, "http://x.test/a.png", true, true),
            (Media::Video, "https://www.youtube.com/watch?v=1", false, false),
            (Media::Image, "https://www.youtube.com/watch?v=1", true, true),
            (Media::Video, "https://www.youtube.com.evil.test/a", true, true),
            (Media::File, files, false, false),
            (Media::Image, "gs://bucket/a.png", false, false),
            (Media::Image, "data:image/png;base64,AA", false, false),
        ] {
            let found = (Host::DEVELOPER.must_fetch(media, url), Host::VERTEX.must_fetch(media, url));
            assert_eq!(found, (developer, vertex), "{media:?} {url}");
        }
    }
}
