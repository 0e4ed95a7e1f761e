//! Fetches what a candidate's provider cannot read itself, once per request, and tells the caller which part failed.
//!
//! Reservations need nothing of it: they count media by number and by the endpoint's maxima, the same for a URL as for
//! bytes, and a medium that is billed by its length is never behind a URL.

use std::sync::atomic::AtomicU64;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, stream};
use switchyard_proto::code::ErrorCode;

use crate::adapters::PLAINEST_URL;
use crate::error::RequestError;
use crate::model::facts::Media;
use crate::model::media::{Fetched, FetchedFile};
use crate::model::message::Message;
use crate::pipeline::Job;
use crate::pipeline::reply::{Gone, Reply, Wait};
use crate::pipeline::trail::Trail;
use crate::routing::plan::Candidate;
use crate::upstream::fetch::{FetchError, Fetcher, File};

/// Files that are read at once for one request.
const AT_ONCE: usize = 4;

/// What was fetched for one request so far.
#[derive(Debug, Default)]
pub struct Gathered {
    pub files: Fetched,
    /// Bytes that the files have together, before base64.
    bytes: AtomicU64,
}

/// A part whose bytes are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted<'a> {
    media: Media,
    url: &'a str,
    /// `messages[i].content[j]`.
    field: String,
}

impl Gathered {
    /// Adds what this candidate needs and no candidate before it needed.
    ///
    /// # Errors
    /// The caller's fault, with the part's name, where something cannot be had; and the caller's leaving.
    pub async fn add(
        &mut self,
        fetcher: &Fetcher,
        job: &Job<'_>,
        candidate: &Candidate,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<(), RequestError> {
        let wanted = self.wanted(job, candidate);
        if wanted.is_empty() {
            return Ok(());
        }
        let company = Wait { streaming: job.request.stream, leaves_with_caller: true };
        match reply.wait(company, self.fetch(fetcher, job, &wanted)).await {
            Ok(done) => done,
            Err(Gone) => {
                trail.cancelled = true;
                Err(RequestError::new(ErrorCode::RequestTimeout, "The caller left."))
            }
        }
    }

    /// What is still to be fetched; the prompt is looked at only if something may be.
    fn wanted<'a>(&self, job: &Job<'a>, candidate: &Candidate) -> Vec<Wanted<'a>> {
        let (request, endpoint) = (job.request, &candidate.endpoint);
        let must = |media, url: &str| endpoint.provider.adapter.must_fetch(media, url, &endpoint.quirks);
        let may = |media: &Media| request.facts.media(*media).remote > 0 && must(*media, PLAINEST_URL);
        if !Media::ALL.iter().any(may) {
            return Vec::new();
        }
        // A prompt that cannot be read is refused by the encoding, which says why.
        let Ok(messages) = request.messages.get() else { return Vec::new() };
        let mut wanted: Vec<Wanted<'a>> = Vec::new();
        for part in parts(messages) {
            let is_known = self.files.get(part.url).is_some() || wanted.iter().any(|one| one.url == part.url);
            if !is_known && must(part.media, part.url) {
                wanted.push(part);
            }
        }
        wanted
    }

    async fn fetch(
        &mut self,
        fetcher: &Fetcher,
        job: &Job<'_>,
        wanted: &[Wanted<'_>],
    ) -> Result<(), RequestError> {
        let caps = fetcher.caps();
        let room = caps.max_files.saturating_sub(self.files.0.len());
        if let Some(beyond) = wanted.get(room) {
            let why = format!("is one more than the {} files that are fetched for a request", caps.max_files);
            return Err(about(beyond, ErrorCode::InvalidRequest, &why));
        }
        let mut reading = Vec::with_capacity(wanted.len());
        for part in wanted {
            reading.push(fetcher.fetch(part.url, &self.bytes, job.until));
        }
        let mut arriving = stream::iter(reading).buffered(AT_ONCE).zip(stream::iter(wanted));
        while let Some((found, part)) = arriving.next().await {
            let file = found.map_err(|error| failed(part, error))?;
            self.files.0.insert(part.url.to_owned(), written(part, &file)?);
        }
        Ok(())
    }
}

/// Parts with an http(s) URL, by their place.
fn parts(messages: &[Message]) -> impl Iterator<Item = Wanted<'_>> {
    messages.iter().enumerate().flat_map(|(i, message)| {
        message.content.iter().enumerate().filter_map(move |(j, part)| {
            let (media, url) = part.content.url()?;
            let is_remote = url.split_once(':').is_some_and(|(scheme, _)| {
                ["http", "https"].iter().any(|one| scheme.eq_ignore_ascii_case(one))
            });
            is_remote.then(|| Wanted { media, url, field: format!("messages[{i}].content[{j}]") })
        })
    })
}

/// As adapters take it; what is no image is not sent as one.
fn written(part: &Wanted<'_>, file: &File) -> Result<FetchedFile, RequestError> {
    if part.media == Media::Image && !file.media_type.starts_with("image/") {
        let why = format!("has a URL that holds no image but {}", file.media_type);
        return Err(about(part, ErrorCode::InvalidImage, &why));
    }
    Ok(FetchedFile { media_type: file.media_type.clone(), base64: STANDARD.encode(&file.bytes) })
}

fn failed(part: &Wanted<'_>, error: FetchError) -> RequestError {
    let code = match (error, part.media) {
        (FetchError::TooLarge(_) | FetchError::TooMuch(_), Media::Image) => ErrorCode::ImageTooLarge,
        (FetchError::TooLarge(_) | FetchError::TooMuch(_), _) => ErrorCode::PayloadTooLarge,
        (_, Media::Image) => ErrorCode::ImageDownloadFailed,
        _ => ErrorCode::InvalidRequest,
    };
    about(part, code, &format!("has a URL that could not be fetched: {error}"))
}

/// Names the part and never its URL, which may hold a signature.
fn about(part: &Wanted<'_>, code: ErrorCode, why: &str) -> RequestError {
    RequestError::new(code, format!("{} {why}.", part.field)).field(&part.field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::{Part, PartContent, Role};

    #[test]
    fn remote_parts_are_named_by_their_place() {
        let url = |url: &str| PartContent::Image { url: url.to_owned(), detail: None };
        let file = PartContent::File { filename: None, data: Some("https://x/f".to_owned()), id: None };
        let part = |content| Part { content, cache_control: None };
        let mut message = Message::new(Role::User);
        message.content = vec![
            Part::text("http://no/url"),
            part(url("data:image/png;base64,AA==")),
            part(url("gs://x/y")),
            part(url("HTTP://x/y")),
            part(file),
        ];
        let messages = [Message::new(Role::System), message];
        let found: Vec<_> = parts(&messages).map(|part| (part.media, part.url, part.field)).collect();
        assert_eq!(
            found,
            [
                (Media::Image, "HTTP://x/y", "messages[1].content[3]".to_owned()),
                (Media::File, "https://x/f", "messages[1].content[4]".to_owned()),
            ]
        );
    }

    #[test]
    fn what_failed_is_the_callers_and_says_nothing_of_the_url() {
        let part =
            |media| Wanted { media, url: "https://x/?secret", field: "messages[0].content[1]".to_owned() };
        for (media, error, code) in [
            (Media::Image, FetchError::Private, ErrorCode::ImageDownloadFailed),
            (Media::Image, FetchError::TooLarge(9), ErrorCode::ImageTooLarge),
            (Media::File, FetchError::TooMuch(9), ErrorCode::PayloadTooLarge),
            (Media::File, FetchError::Timeout, ErrorCode::InvalidRequest),
            (Media::Video, FetchError::Connect, ErrorCode::InvalidRequest),
        ] {
            let told = failed(&part(media), error);
            assert_eq!((told.code, code.status().is_client_error()), (code, true));
            assert!(
                told.public.starts_with("messages[0].content[1] has a URL")
                    && !told.public.contains("secret")
            );
            assert_eq!(told.metadata["field"], "messages[0].content[1]");
        }
    }

    #[test]
    fn every_adapter_that_cannot_read_some_url_cannot_read_the_plainest() {
        let urls = ["http://x/y", "https://x/y", "https://x/y.png", "http://x/y.png", "https://x/y.pdf?z"];
        for adapter in crate::adapters::ADAPTERS {
            let quirks = adapter.quirks();
            for media in Media::ALL {
                let some = urls.iter().any(|url| adapter.must_fetch(media, url, &quirks));
                assert!(
                    !some || adapter.must_fetch(media, PLAINEST_URL, &quirks),
                    "{} {media:?}",
                    adapter.name()
                );
            }
        }
    }
}
