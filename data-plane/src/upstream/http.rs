//! Connections to providers: one pool per request thread, TCP_NODELAY, no proxies, no redirects.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::Service;

/// A pooled client; cheap to clone, meant for one runtime.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client<Timed<HttpsConnector<HttpConnector<Guarded>>>, Full<Bytes>>,
    allow_private: bool,
}

/// Why no answer head came.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection was made, so the provider has seen nothing.
    #[error("no connection to the provider")]
    Connect(#[source] Error),
    /// The connection broke after the request may have been read.
    #[error("connection to the provider broke")]
    Broken(#[source] Error),
    #[error("the provider's address is private, and private addresses are not allowed")]
    Private,
}

impl HttpClient {
    /// A client with its own pool. `allow_private`: loopback, private and link-local addresses may be connected to.
    pub fn new(connect_timeout: Duration, allow_private: bool) -> Self {
        let mut connector =
            HttpConnector::new_with_resolver(Guarded { inner: GaiResolver::new(), allow_private });
        connector.set_nodelay(true);
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_keepalive(Some(Duration::from_secs(60)));
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector);
        let connector = Timed { inner: connector, within: connect_timeout };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(connector);
        Self { client, allow_private }
    }

    /// Sends a request and waits for the head of its answer, without a deadline of its own.
    ///
    /// # Errors
    /// [`SendError`] tells whether the provider can have seen the request.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, SendError> {
        // Names are checked as they resolve; an address in the URL never reaches the resolver.
        let literal =
            request.uri().host().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if !self.allow_private && literal.is_some_and(is_private) {
            return Err(SendError::Private);
        }
        self.client.request(request).await.map_err(|error| {
            if error.is_connect() { SendError::Connect(error) } else { SendError::Broken(error) }
        })
    }
}

/// Bounds the whole way to a connection: the name's resolution, TCP and TLS.
#[derive(Debug, Clone)]
struct Timed<C> {
    inner: C,
    within: Duration,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<C> Service<http::Uri> for Timed<C>
where
    C: Service<http::Uri>,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.within, self.inner.call(uri));
        Box::pin(async move {
            match connecting.await {
                Ok(connected) => connected.map_err(Into::into),
                Err(elapsed) => Err(elapsed.into()),
            }
        })
    }
}

/// Resolves names and drops private addresses unless they are allowed.
#[derive(Debug, Clone)]
struct Guarded {
    inner: GaiResolver,
    allow_private: bool,
}

impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, allow_private) = (self.inner.call(name), self.allow_private);
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                resolving.await?.filter(|address| allow_private || !is_private(address.ip())).collect();
            if found.is_empty() {
                return Err(std::io::Error::other("the name has no address that may be connected to"));
            }
            Ok(found.into_iter())
        })
    }
}

/// Whether an address is not of the public internet: loopback, private, link-local, shared, mapped and their like.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || v4.octets()[..3] == [192, 0, 0]
        }
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            let embedded = match segments {
                // Mapped, compatible, NAT64 and 6to4 addresses carry an IPv4 one.
                [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                    Some([high, low])
                }
                [0x2002, high, low, ..] => Some([high, low]),
                _ => None,
            };
            let v4 = embedded.map(|[high, low]| {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                IpAddr::from([a, b, c, d])
            });
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || (segments[0] & 0xfe00) == 0xfc00
                || (segments[0] & 0xffc0) == 0xfe80
                || segments[..2] == [0x2001, 0xdb8]
                || segments[..3] == [0x64, 0xff9b, 1]
                || v4.is_some_and(is_private)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_off_the_public_internet_are_private_in_every_disguise() {
        for (address, private) in [
            ("8.8.8.8", false),
            ("1.1.1.1", false),
            ("2606:4700::1111", false),
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("192.168.1.1", true),
            ("169.254.169.254", true),
            ("100.64.0.1", true),
            ("0.0.0.0", true),
            ("255.255.255.255", true),
            ("::1", true),
            ("::", true),
            ("fe80::1", true),
            ("fd00::1", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("::127.0.0.1", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("64:ff9b::808:808", false),
            ("2002:7f00:1::", true),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
    }
}
