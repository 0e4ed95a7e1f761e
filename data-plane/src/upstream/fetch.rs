//! Reads what a caller's URL holds: guarded addresses, no redirects, no proxies, caps on size and time.
//!
//! Knows nothing of requests; `pipeline::media` decides what is fetched and tells the caller what failed.

pub mod room;
mod sniff;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use switchyard_guard::address::{self, UrlError};
use tokio::time::{Instant, timeout_at};

use crate::settings::Fetch;
use crate::upstream::fetch::room::{Room, Share};
use crate::upstream::guard::{self, Guarded, Private, Resolve, System};

/// Whom servers see.
const AGENT: &str = concat!("switchyard/", env!("CARGO_PKG_VERSION"));

/// A client for callers' URLs; cheap to clone, meant for one runtime. It keeps no connections.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector<Guarded>>, Empty<Bytes>>,
    guard: Guarded,
    settings: Fetch,
    room: Arc<Room>,
}

/// What a URL held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// By the bytes themselves where they tell it, else as the server said, else by the URL's ending; lower case,
    /// without parameters.
    pub media_type: String,
    pub bytes: Bytes,
}

/// Why there is nothing: a matter between the caller and the URL's server, but for [`FetchError::Full`]. Prints no part
/// of the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("it is not an http or https URL that can be read")]
    Url,
    #[error("it holds a user name or a password")]
    Credentials,
    #[error("it leads to an address that is not of the public internet")]
    Private,
    #[error("its server could not be connected to")]
    Connect,
    #[error("its server broke the connection")]
    Broken,
    #[error("it did not arrive in time")]
    Timeout,
    #[error("its server answered with a redirect ({}), and redirects are not followed", .0.as_u16())]
    Redirect(StatusCode),
    #[error("its server answered with status {}", .0.as_u16())]
    Status(StatusCode),
    #[error("its server sent a compressed body that was not asked for")]
    Encoded,
    #[error("it holds nothing")]
    Empty,
    /// With the bytes that it may have.
    #[error("it is larger than the {0} bytes that may be fetched")]
    TooLarge(u64),
    /// With the bytes that all may have.
    #[error("all files together are larger than the {0} bytes that may be fetched")]
    TooMuch(u64),
    /// Ours alone, and soon over.
    #[error("too much is being fetched already")]
    Full,
}

impl From<UrlError> for FetchError {
    fn from(error: UrlError) -> Self {
        match error {
            UrlError::Unreadable => Self::Url,
            UrlError::Credentials => Self::Credentials,
        }
    }
}

impl From<Private> for FetchError {
    fn from(_: Private) -> Self {
        Self::Private
    }
}

impl Fetcher {
    /// A client with these caps, over the machine's own resolver; the room is that of the whole process.
    pub fn new(settings: Fetch, room: Arc<Room>) -> Self {
        Self::over(Arc::new(System), settings, room)
    }

    /// The same over another resolver.
    pub fn over(names: Arc<dyn Resolve>, settings: Fetch, room: Arc<Room>) -> Self {
        let guard = Guarded::over(names, settings.allow_private);
        let connector = switchyard_guard::connector(guard.clone());
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .timer(TokioTimer::new())
            .build(connector);
        Self { client, guard, settings, room }
    }

    /// What may be fetched.
    pub fn caps(&self) -> Fetch {
        self.settings
    }

    /// What a request that fetches nothing yet holds.
    pub fn share(&self) -> Share {
        Share::new(self.room.clone())
    }

    /// Reads a URL before `until`; its bytes are part of its request's share from then on, also where they broke off.
    ///
    /// # Errors
    /// [`FetchError`], whose text may be shown to the caller.
    pub async fn fetch(&self, url: &str, share: &Share, until: Instant) -> Result<File, FetchError> {
        let _under_way = self.room.enter()?;
        let last = until.min(Instant::now() + self.settings.timeout);
        timeout_at(last, self.read(url, share)).await.unwrap_or(Err(FetchError::Timeout))
    }

    async fn read(&self, url: &str, share: &Share) -> Result<File, FetchError> {
        let address = address::read(url)?;
        address.literal.map_or(Ok(()), |literal| self.guard.check(literal))?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = address.uri;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let response = self.client.request(request).await.map_err(|error| match error.is_connect() {
            true if guard::is_refusal(&error) => FetchError::Private,
            true => FetchError::Connect,
            false => FetchError::Broken,
        })?;
        let announced = judge(&response, self.settings.max_file_bytes)?;
        share.take(announced)?;
        let (head, body) = response.into_parts();
        let bytes = self.collect(body, announced, share).await?;
        let media_type = sniff::media_type(&bytes, declared(&head.headers), url);
        Ok(File { media_type, bytes })
    }

    /// Reads a body of which `ahead` bytes have their room already.
    async fn collect(&self, mut body: Incoming, mut ahead: u64, share: &Share) -> Result<Bytes, FetchError> {
        let most = self.settings.max_file_bytes;
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| FetchError::Broken)?.into_data() else { continue };
            let more = data.len() as u64;
            if whole.len() as u64 + more > most {
                return Err(FetchError::TooLarge(most));
            }
            let covered = more.min(ahead);
            ahead -= covered;
            share.take(more - covered)?;
            whole.extend_from_slice(&data);
        }
        if whole.is_empty() { Err(FetchError::Empty) } else { Ok(whole.freeze()) }
    }
}

/// Whether an answer's head promises a body that is wanted; the bytes that it announces, 0 where it does not say.
fn judge(response: &Response<Incoming>, most: u64) -> Result<u64, FetchError> {
    let (status, headers) = (response.status(), response.headers());
    if status.is_redirection() {
        return Err(FetchError::Redirect(status));
    }
    if status != StatusCode::OK {
        return Err(FetchError::Status(status));
    }
    let is_plain =
        |value: &HeaderValue| value.is_empty() || value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(is_plain) {
        return Err(FetchError::Encoded);
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let announced = announced.unwrap_or(0);
    if announced > most { Err(FetchError::TooLarge(most)) } else { Ok(announced) }
}

fn declared(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
