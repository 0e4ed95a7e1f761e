//! Asks token endpoints and metadata services: short, capped, without proxies and redirects.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper_rustls::ConfigBuilderExt;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use switchyard_proto::secret::Secret;
use url::{Url, form_urlencoded};

use crate::settings::Cloud;
use crate::upstream::sign::SignError;

/// Longest wait for a connection: metadata services are near, and on other machines nobody answers.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Longest wait for a whole answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Largest answer and largest credentials file that is read.
const MOST_BYTES: usize = 256 << 10;

/// What asks, and what it knows of the machine.
#[derive(Debug)]
pub struct Asker {
    pub http: Client,
    pub cloud: Cloud,
}

impl Asker {
    pub fn new(cloud: Cloud) -> Result<Self, reqwest::Error> {
        Self::with_patience(cloud, ANSWER_WITHIN)
    }

    /// The same with another wait for answers.
    pub fn with_patience(cloud: Cloud, within: Duration) -> Result<Self, reqwest::Error> {
        let tls = rustls::ClientConfig::builder().with_webpki_roots().with_no_client_auth();
        let http = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(within)
            .build()?;
        Ok(Self { http, cloud })
    }

    /// Posts a form to a token endpoint. `what` names it in errors.
    pub async fn token(&self, what: &str, url: Url, form: &[(&str, &str)]) -> Result<TokenAnswer, SignError> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(body);
        json(what, request).await
    }
}

/// Sends a request and reads its JSON answer.
pub async fn json<T: DeserializeOwned>(what: &str, request: RequestBuilder) -> Result<T, SignError> {
    let (status, body) = send(what, request).await?;
    if !status.is_success() {
        return Err(refused(what, status, &body));
    }
    serde_json::from_slice(&body)
        .map_err(|_| SignError::auth(format!("{what} sent something else than what was asked for")))
}

/// Sends a request and reads its text, of which one line is meant.
pub async fn text(what: &str, request: RequestBuilder) -> Result<String, SignError> {
    let (status, body) = send(what, request).await?;
    if !status.is_success() {
        return Err(refused(what, status, &body));
    }
    let line = std::str::from_utf8(&body).ok().and_then(|text| text.lines().next()).map(str::trim);
    line.filter(|line| !line.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| SignError::auth(format!("{what} sent something else than what was asked for")))
}

async fn send(what: &str, request: RequestBuilder) -> Result<(StatusCode, Bytes), SignError> {
    let failed = |error: &reqwest::Error| match error {
        error if error.is_timeout() => SignError::timeout(format!("{what} did not answer in time")),
        error if error.is_connect() => SignError::auth(format!("{what} could not be connected to")),
        _ => SignError::auth(format!("{what} broke off")),
    };
    let mut answer = request.send().await.map_err(|error| failed(&error))?;
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| failed(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > MOST_BYTES {
            return Err(SignError::auth(format!("{what} sent more than {MOST_BYTES} bytes")));
        }
    }
    Ok((answer.status(), body.freeze()))
}

/// A refusal, with OAuth's own code where there is one: a closed vocabulary, which tells no secret.
fn refused(what: &str, status: StatusCode, body: &[u8]) -> SignError {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let code = serde_json::from_slice::<Refusal>(body).ok().map(|refusal| refusal.error);
    let is_word = |code: &String| {
        code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let code = code.filter(is_word).map(|code| format!(" ({code})")).unwrap_or_default();
    SignError::auth(format!("{what} answered {}{code}", status.as_u16()))
}

/// What token endpoints answer.
#[derive(Debug, Deserialize)]
pub struct TokenAnswer {
    #[serde(deserialize_with = "secret")]
    pub access_token: Secret,
    /// Seconds; some write the number as a text.
    #[serde(default)]
    pub expires_in: Option<Seconds>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Seconds {
    Number(u64),
    Text(String),
}

impl TokenAnswer {
    /// The token, and how long it is good for: by what was said, else for a cautious while.
    pub fn checked(self, what: &str) -> Result<(Secret, Duration), SignError> {
        const UNSAID: u64 = 600;
        const MOST: u64 = 24 * 60 * 60;
        let seconds = match self.expires_in {
            None => Some(UNSAID),
            Some(Seconds::Number(seconds)) => Some(seconds),
            Some(Seconds::Text(text)) => text.trim().parse().ok(),
        };
        let good_for =
            seconds.filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds.min(MOST)));
        match good_for {
            Some(good_for) if !self.access_token.is_empty() => Ok((self.access_token, good_for)),
            _ => Err(SignError::auth(format!("{what} sent a token that has expired"))),
        }
    }
}

pub fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

/// Reads a file that holds credentials; None where there is none.
pub async fn file(path: &Path) -> Result<Option<Secret>, SignError> {
    use tokio::io::AsyncReadExt;
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(SignError::auth(format!("`{}` cannot be read", path.display()))),
    };
    let mut text = String::new();
    let read = file.take(MOST_BYTES as u64).read_to_string(&mut text).await;
    read.map_err(|_| SignError::auth(format!("`{}` cannot be read", path.display())))?;
    Ok(Some(Secret::new(text)))
}
