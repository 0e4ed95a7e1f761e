//! Fetches what a candidate's provider cannot read itself, once per request, and tells the caller which part failed.
//!
//! A part that cannot be had costs the candidate and not the request: a later one's provider may read the URL itself.
//!
//! Reservations need nothing of it: they count media by number and by the endpoint's maxima, the same for a URL as for
//! bytes, and a medium that is billed by its length is never behind a URL.

use std::collections::HashMap;
use std::time::Duration;

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
use crate::pipeline::reserve::Skip;
use crate::pipeline::trail::Trail;
use crate::routing::plan::Candidate;
use crate::upstream::fetch::room::Share;
use crate::upstream::fetch::{FetchError, Fetcher, File};

/// Files that are read at once for one request.
const AT_ONCE: usize = 4;
/// When to come again where there was no room: fetches end, or time out, in seconds.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What was fetched for one request so far.
#[derive(Debug)]
pub struct Gathered {
    pub files: Fetched,
    /// URLs that could not be had, and why: no later candidate asks for them again.
    lost: HashMap<String, Lost>,
    share: Share,
}

/// Why a URL's bytes cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lost {
    Fetch(FetchError),
    /// It holds something else of this type.
    NoImage(String),
    /// So many are the most that are fetched for a request.
    Files(usize),
}

impl Lost {
    /// Whether it would be the same a moment later.
    fn is_lasting(&self) -> bool {
        !matches!(self, Self::Fetch(FetchError::Full) | Self::Files(_))
    }
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
    /// Nothing yet.
    pub fn new(fetcher: &Fetcher) -> Self {
        Self { files: Fetched::default(), lost: HashMap::new(), share: fetcher.share() }
    }

    /// Adds what this candidate needs and no candidate before it needed.
    ///
    /// # Errors
    /// [`Skip::Media`] with the caller's error, which names the part, where something cannot be had: another
    /// candidate's provider may read it itself. [`Skip::Gone`] where the caller left or the process stops.
    pub async fn add(
        &mut self,
        fetcher: &Fetcher,
        job: &Job<'_>,
        candidate: &Candidate,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<(), Skip> {
        let company = Wait { streaming: job.request.stream, leaves_with_caller: true };
        match reply.wait(company, self.add_beside(fetcher, job, candidate)).await {
            Ok(done) => done,
            Err(gone) => {
                trail.cancelled = gone == Gone::Caller;
                Err(Skip::Gone(gone))
            }
        }
    }

    /// The same where the caller is kept company already.
    ///
    /// # Errors
    /// [`Skip::Media`], as above.
    pub async fn add_beside(
        &mut self,
        fetcher: &Fetcher,
        job: &Job<'_>,
        candidate: &Candidate,
    ) -> Result<(), Skip> {
        let wanted = self.wanted(job, candidate);
        if wanted.is_empty() {
            return Ok(());
        }
        self.fetch(fetcher, job, &wanted).await.map_err(|error| Skip::Media(Box::new(error)))
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
        for part in parts(messages, request.task.operation().prompt_field()) {
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
        if let Some((part, lost)) = wanted.iter().find_map(|part| Some((part, self.lost.get(part.url)?))) {
            return Err(told(part, lost));
        }
        let most = fetcher.caps().max_files;
        if let Some(beyond) = wanted.get(most.saturating_sub(self.files.0.len())) {
            return Err(told(beyond, &Lost::Files(most)));
        }
        let mut reading = Vec::with_capacity(wanted.len());
        for part in wanted {
            reading.push(fetcher.fetch(part.url, &self.share, job.until));
        }
        let mut arriving = stream::iter(reading).buffered(AT_ONCE).zip(stream::iter(wanted));
        while let Some((found, part)) = arriving.next().await {
            let url = part.url.to_owned();
            match found.map_err(Lost::Fetch).and_then(|file| written(part, &file)) {
                Ok(file) => drop(self.files.0.insert(url, file)),
                Err(lost) => {
                    let error = told(part, &lost);
                    if lost.is_lasting() {
                        self.lost.insert(url, lost);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Parts with an http(s) URL, by their place.
fn parts<'a>(messages: &'a [Message], list: &'static str) -> impl Iterator<Item = Wanted<'a>> {
    messages.iter().enumerate().flat_map(move |(i, message)| {
        message.content.iter().enumerate().filter_map(move |(j, part)| {
            let (media, url) = part.content.url()?;
            let is_remote = url.split_once(':').is_some_and(|(scheme, _)| {
                ["http", "https"].iter().any(|one| scheme.eq_ignore_ascii_case(one))
            });
            is_remote.then(|| Wanted { media, url, field: format!("{list}[{i}].content[{j}]") })
        })
    })
}

/// As adapters take it; what is no image is not sent as one.
fn written(part: &Wanted<'_>, file: &File) -> Result<FetchedFile, Lost> {
    let media_type = file.media_type.clone();
    if part.media == Media::Image && !media_type.starts_with("image/") {
        return Err(Lost::NoImage(media_type));
    }
    Ok(FetchedFile { media_type, base64: STANDARD.encode(&file.bytes) })
}

/// The caller's error.
fn told(part: &Wanted<'_>, lost: &Lost) -> RequestError {
    match lost {
        Lost::Fetch(error) => failed(part, *error),
        Lost::NoImage(media_type) => {
            let why = format!("has a URL that holds no image but {media_type}");
            about(part, ErrorCode::InvalidImage, &why)
        }
        Lost::Files(most) => {
            let why = format!("is one more than the {most} files that are fetched for a request");
            about(part, ErrorCode::InvalidRequest, &why)
        }
    }
}

fn failed(part: &Wanted<'_>, error: FetchError) -> RequestError {
    let code = match (error, part.media) {
        (FetchError::Full, _) => {
            let why = format!("has a URL that cannot be fetched at the moment: {error}. Try again shortly");
            return about(part, ErrorCode::Overloaded, &why).retry_after(RETRY_AFTER);
        }
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
        let found: Vec<_> =
            parts(&messages, "messages").map(|part| (part.media, part.url, part.field)).collect();
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
    fn a_lack_of_room_is_ours_and_soon_over() {
        let part = Wanted {
            media: Media::File,
            url: "https://x/?secret",
            field: "messages[0].content[1]".to_owned(),
        };
        let told = told(&part, &Lost::Fetch(FetchError::Full));
        assert_eq!((told.code, told.retry_after), (ErrorCode::Overloaded, Some(Duration::from_secs(1))));
        assert!(told.public.contains("messages[0].content[1]") && !told.public.contains("secret"));
        let lasting = [Lost::Fetch(FetchError::Timeout), Lost::NoImage("text/plain".to_owned())];
        assert!(lasting.iter().all(Lost::is_lasting));
        assert!(!Lost::Fetch(FetchError::Full).is_lasting() && !Lost::Files(3).is_lasting());
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
