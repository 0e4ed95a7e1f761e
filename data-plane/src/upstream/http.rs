//! Connections to providers: pools of one request thread, TCP_NODELAY, no proxies, no redirects.
//!
//! Operators' and tenants' providers have a pool each: a connection that was allowed to one is not handed to the other.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{CaptureConnection, HttpConnector, capture_connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, sleep_until};
use tower::Service;

use crate::upstream::guard::{self, Guarded, Owner, Private, PrivateUpstreams};

/// A client for all providers; cheap to clone, meant for one runtime.
#[derive(Debug, Clone)]
pub struct HttpClient {
    operators: Pool,
    tenants: Pool,
}

/// Connections that were all made under one guard.
#[derive(Debug, Clone)]
struct Pool {
    client: Client<Timed<HttpsConnector<HttpConnector<Guarded>>>, Full<Bytes>>,
    guard: Guarded,
    connect_timeout: Duration,
}

/// Why no answer head came.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection was made, so the provider has seen nothing.
    #[error("no connection to the provider")]
    Connect(#[source] Error),
    /// No connection was made by the moment that was asked for.
    #[error("no connection to the provider in time")]
    Late,
    /// The connection broke after the request may have been read.
    #[error("connection to the provider broke")]
    Broken(#[source] Error),
    #[error("the provider's address is private, and private addresses are not allowed")]
    Private(#[from] Private),
}

/// Whether a request can have got out, for who calls it off before anything came back.
#[derive(Debug, Default)]
pub struct Reach(OnceLock<CaptureConnection>);

impl Reach {
    /// Whether it was given a connection. Without one the provider has seen nothing of it.
    pub fn is_possible(&self) -> bool {
        self.0.get().is_some_and(|connection| connection.connection_metadata().is_some())
    }
}

impl HttpClient {
    /// A client with its own pools. No connection may take longer than `connect_timeout`. `private`: whose loopback, private and link-local addresses may be connected to.
    pub fn new(connect_timeout: Duration, private: PrivateUpstreams) -> Self {
        let pool = |owner| Pool::new(connect_timeout, private.allows(owner));
        Self { operators: pool(Owner::Operator), tenants: pool(Owner::Tenant) }
    }

    /// Sends a request to a provider of this owner, over a connection that is there by `connect`, and waits for the head of
    /// its answer without a deadline of its own. `reach` is for who stops waiting.
    ///
    /// # Errors
    /// [`SendError`] tells whether the provider can have seen the request.
    pub async fn send(
        &self,
        owner: Owner,
        request: Request<Full<Bytes>>,
        connect: Instant,
        reach: &Reach,
    ) -> Result<Response<Incoming>, SendError> {
        match owner {
            Owner::Operator => self.operators.send(request, connect, reach).await,
            Owner::Tenant => self.tenants.send(request, connect, reach).await,
        }
    }
}

impl Pool {
    fn new(connect_timeout: Duration, allow_private: bool) -> Self {
        let guard = Guarded::new(allow_private);
        let mut connector = HttpConnector::new_with_resolver(guard.clone());
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
        Self { client, guard, connect_timeout }
    }

    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        connect: Instant,
        reach: &Reach,
    ) -> Result<Response<Incoming>, SendError> {
        // Names are checked as they resolve; an address in the URL never reaches the resolver.
        let literal =
            request.uri().host().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        literal.map_or(Ok(()), |address| self.guard.check(address))?;
        let connection = capture_connection(&mut request);
        // A second sending follows an answer to the first, which then had a connection.
        let _ = reach.0.set(connection.clone());
        // The connector keeps the usual deadline itself; only a shorter one needs watching.
        if connect + SLACK >= Instant::now() + self.connect_timeout {
            return self.client.request(request).await.map_err(told);
        }
        self.send_over_quick_connection(request, connect, &connection).await
    }

    async fn send_over_quick_connection(
        &self,
        request: Request<Full<Bytes>>,
        connect: Instant,
        connection: &CaptureConnection,
    ) -> Result<Response<Incoming>, SendError> {
        let mut sending = self.client.request(request);
        tokio::select! {
            biased;
            sent = &mut sending => return sent.map_err(told),
            () = sleep_until(connect) => {}
        }
        if connection.connection_metadata().is_none() {
            return Err(SendError::Late);
        }
        sending.await.map_err(told)
    }
}

/// Time between the reckoning of a deadline and its check that makes no difference.
const SLACK: Duration = Duration::from_millis(5);

fn told(error: Error) -> SendError {
    match error.is_connect() {
        true if guard::is_refusal(&error) => SendError::Private(Private),
        true => SendError::Connect(error),
        false => SendError::Broken(error),
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
