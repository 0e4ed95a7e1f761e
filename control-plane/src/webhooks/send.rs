//! One try to send an event: signed, through the guard, without redirects, within its time.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use ring::hmac;
use switchyard_guard::{Guarded, address};

use crate::{
    crypto::Crypto,
    domain::webhook::{message_id, signing_key},
    settings::Webhooks,
    store::delivery::{Due, Outcome},
};

/// Whom receivers see.
const AGENT: &str = concat!("switchyard/", env!("CARGO_PKG_VERSION"));

/// Waits after each try, in seconds; after the last one it is given up. As Standard Webhooks advise.
const AGAIN: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Sends events. Keeps no connections.
#[derive(Clone)]
pub struct Sender {
    crypto: Crypto,
    timeout: Duration,
    operators: Way,
    tenants: Way,
}

/// A client with the addresses that it may connect to.
#[derive(Clone)]
struct Way {
    client: Client<HttpsConnector<HttpConnector<Guarded>>, Full<Bytes>>,
    guard: Guarded,
    allow_private: bool,
}

impl Way {
    fn new(allow_private: bool) -> Self {
        let guard = Guarded::new(allow_private);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .timer(TokioTimer::new())
            .build(switchyard_guard::connector(guard.clone()));
        Self { client, guard, allow_private }
    }
}

/// Why a try failed. Shown to the webhook's owner: no part of the answer's body is in it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the URL cannot be used: {0}")]
    Url(#[from] address::UrlError),
    #[error("the URL is not https, which only private addresses may be where they are allowed")]
    Plain,
    #[error("the URL leads to an address that is not of the public internet")]
    Private,
    #[error("the server could not be connected to")]
    Connect,
    #[error("the server broke the connection")]
    Broken,
    #[error("no answer in time")]
    Timeout,
    #[error("answered with status {}", .0.as_u16())]
    Status(StatusCode),
    #[error("the stored secret cannot be opened")]
    Secret,
}

impl Sender {
    /// With what the operator allows.
    pub fn new(crypto: Crypto, settings: Webhooks) -> Self {
        Self {
            crypto,
            timeout: settings.timeout,
            operators: Way::new(settings.allow_private),
            tenants: Way::new(settings.allow_private_tenants),
        }
    }

    /// Longest time that a try may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Tries once; `jitter` between 0 and 1 spreads the next try.
    pub async fn send(&self, due: &Due, now: DateTime<Utc>, jitter: f64) -> Outcome {
        let sent = tokio::time::timeout(self.timeout, self.attempt(due, now)).await;
        match sent.unwrap_or(Err(Failure::Timeout)) {
            Ok(status) => Outcome { status: status.as_u16(), error: String::new(), again_after: None },
            Err(failure) => {
                let status = if let Failure::Status(status) = &failure { status.as_u16() } else { 0 };
                // Gone: whoever was there does not want it any more.
                let again_after = again_after(due.tries, jitter).filter(|_| status != 410);
                Outcome { status, error: failure.to_string(), again_after }
            }
        }
    }

    async fn attempt(&self, due: &Due, now: DateTime<Utc>) -> Result<StatusCode, Failure> {
        let way = if due.is_operators { &self.operators } else { &self.tenants };
        let address = address::read(&due.url)?;
        if !way.allow_private && address.uri.scheme_str() != Some("https") {
            return Err(Failure::Plain);
        }
        if let Some(literal) = address.literal {
            way.guard.check(literal).map_err(|_| Failure::Private)?;
        }
        let secret = self.crypto.open(&due.sealed).await.map_err(|error| {
            tracing::error!(%error, "a webhook's secret cannot be opened");
            Failure::Secret
        })?;
        let key = signing_key(&secret).map_err(|_| Failure::Secret)?;
        let mut request = request(due, &key, now);
        *request.uri_mut() = address.uri;
        let response = way.client.request(request).await.map_err(|error| match error.is_connect() {
            true if switchyard_guard::is_refusal(&error) => Failure::Private,
            true => Failure::Connect,
            false => Failure::Broken,
        })?;
        // What it says beside its status is of no interest; the connection goes with it.
        match response.status() {
            status if status.is_success() => Ok(status),
            status => Err(Failure::Status(status)),
        }
    }
}

fn request(due: &Due, key: &[u8], now: DateTime<Utc>) -> Request<Full<Bytes>> {
    let (id, timestamp) = (message_id(due.id), now.timestamp());
    let signature = sign(key, &id, timestamp, &due.body);
    let value = |text: &str| HeaderValue::from_str(text).expect("ids, numbers and base64 are header text");
    let mut request = Request::new(Full::new(Bytes::from(due.body.clone())));
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert("webhook-id", value(&id));
    headers.insert("webhook-timestamp", value(&timestamp.to_string()));
    headers.insert("webhook-signature", value(&signature));
    request
}

/// `v1,` and the base64 of the HMAC-SHA256 of id, time and body.
fn sign(key: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

/// How long after so many tries an event is tried again; `None`: no more.
fn again_after(tries: u32, jitter: f64) -> Option<TimeDelta> {
    let wait = AGAIN.get(usize::try_from(tries.checked_sub(1)?).ok()?)?;
    // Up to a tenth later, so that what failed together does not come back together.
    let wait = TimeDelta::seconds(*wait).num_milliseconds() as f64 * (1.0 + jitter / 10.0);
    Some(TimeDelta::milliseconds(wait as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn tries_lie_further_and_further_apart_and_end() {
        let after = |tries, jitter| again_after(tries, jitter).map(|after| after.num_seconds());
        assert_eq!((after(1, 0.0), after(2, 0.0), after(9, 0.0)), (Some(5), Some(300), Some(86_400)));
        assert_eq!((after(10, 0.0), after(0, 0.0)), (None, None));
        assert_eq!(after(2, 1.0), Some(330));
    }
}
