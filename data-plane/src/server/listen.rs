//! Sockets and connections: binding, accepting, HTTP/1 and HTTP/2 with their limits, draining.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

/// Time for a client to send a request's head, and for a TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a kept-alive connection may idle: longer than load balancers keep theirs, so that they close first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Wait after a failed accept, so that a lack of file descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const BACKLOG: i32 = 4096;

/// The client's socket address, as a request extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Binds one listening socket per request thread to the same address.
///
/// The kernel spreads connections over them. A port that anybody else listens on is refused.
///
/// # Errors
/// The operating system's.
pub fn bind(address: SocketAddr, sockets: usize) -> std::io::Result<Vec<StdListener>> {
    if sockets < 2 {
        return Ok(vec![socket(address, false)?]);
    }
    // Shared ports would let two processes split one port's callers without a word.
    drop(socket(address, false)?);
    let first = socket(address, true)?;
    let bound = first.local_addr()?;
    let rest = (1..sockets).map(|_| socket(bound, true));
    std::iter::once(Ok(first)).chain(rest).collect()
}

fn socket(address: SocketAddr, shared: bool) -> std::io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections until draining begins, then lets the open ones finish for at most `drain`; those that are left.
pub async fn serve(
    listener: StdListener,
    router: Router,
    tls: Option<TlsAcceptor>,
    draining: CancellationToken,
    drain: Duration,
) -> std::io::Result<TaskTracker> {
    let listener = TcpListener::from_std(listener)?;
    let (graceful, connections) = (GracefulShutdown::new(), TaskTracker::new());
    let http = Arc::new(http());
    loop {
        let accepted = tokio::select! {
            biased;
            () = draining.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, tls, http) = (router.clone(), tls.clone(), http.clone());
                let (watcher, draining) = (graceful.watcher(), draining.clone());
                connections.spawn(async move {
                    connect(stream, peer, router, tls, &http, watcher, &draining).await
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    let finished = async {
        graceful.shutdown().await;
        connections.wait().await;
    };
    if tokio::time::timeout(drain, finished).await.is_err() {
        tracing::warn!(open = connections.len(), "connections were still open at the end of the drain");
    }
    Ok(connections)
}

fn http() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

async fn connect(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    tls: Option<TlsAcceptor>,
    http: &Builder<TokioExecutor>,
    watcher: Watcher,
    draining: &CancellationToken,
) {
    if stream.set_nodelay(true).is_err() {
        return; // The client is gone already.
    }
    match tls {
        // A connection that says nothing is not kept.
        None => {
            let mut first = [0; 1];
            let word = tokio::time::timeout(HEAD_TIMEOUT, stream.peek(&mut first));
            if let Some(Ok(Ok(1))) = draining.run_until_cancelled(word).await {
                converse(stream, peer, router, http, watcher).await;
            }
        }
        Some(tls) => match tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, peer, router, http, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    http: &Builder<TokioExecutor>,
    watcher: Watcher,
) {
    let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().call(request)
    });
    let connection = http.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
