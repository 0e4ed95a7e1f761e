//! The yardstick: a proxy that does nothing but pass requests and answers through, as fast as hyper can.
//!
//! One single-threaded runtime, hyper's server, hyper-util's client, `TCP_NODELAY` on both sides, no layers.
//! It is what a data plane of ours would cost if it did nothing.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::fault_lab::{announce, until_stopped};

type Upstream = Client<HttpConnector, Incoming>;
type Answer = Response<Either<Incoming, Empty<Bytes>>>;

/// Pass requests through to one upstream, doing nothing else: the yardstick of the benches.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 takes a free one. The first line on stdout names the address.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where to pass requests to.
    #[arg(long, value_name = "ADDR")]
    upstream: SocketAddr,
    /// Stop when stdin ends: for parents that may die without saying so.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// Runs until it is told to stop. Blocks; call it outside any runtime.
pub fn run(args: &Args) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await?;
        announce(listener.local_addr()?)?;
        tokio::select! {
            never = accept(listener, args.upstream) => never,
            stopped = until_stopped(args.until_stdin_ends) => stopped,
        }
    })
}

async fn accept(listener: TcpListener, upstream: SocketAddr) -> io::Result<()> {
    let tasks = TaskTracker::new();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Upstream = Client::builder(TokioExecutor::new()).build(connector);
    let authority = Authority::try_from(upstream.to_string()).map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tasks.spawn(serve(stream, client.clone(), authority.clone()));
            }
            // A full file-descriptor table; it empties as connections end.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(stream: TcpStream, client: Upstream, authority: Authority) {
    // Fails only on a socket that is gone already.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| forward(&client, &authority, request));
    // An error here is a client that left.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn forward(
    client: &Upstream,
    to: &Authority,
    mut request: Request<Incoming>,
) -> Result<Answer, http::Error> {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() =
        Uri::builder().scheme(Scheme::HTTP).authority(to.clone()).path_and_query(path).build()?;
    match client.request(request).await {
        Ok(answer) => Ok(answer.map(Either::Left)),
        Err(_) => Response::builder().status(StatusCode::BAD_GATEWAY).body(Either::Right(Empty::new())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;
    use crate::bench::connection::Connection;
    use crate::bench::target::{Shot, TargetSpec};
    use crate::fault_lab::{FaultLab, Settings};

    #[tokio::test]
    async fn requests_and_streams_pass_through() {
        let lab = FaultLab::start(Settings::recording()).await.expect("loopback has free ports");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let addr = listener.local_addr().expect("is bound");
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, lab.addr));
        let target = TargetSpec {
            name: "pass-through".to_owned(),
            addr,
            pid: None,
            path: "/v1/chat/completions?a=b".to_owned(),
            headers: http::HeaderMap::new(),
            model_prefix: String::new(),
        };
        let mut connection = Connection::open(&target).await.expect("it listens");
        for (shot, pieces) in [(Shot::Small, 1), (Shot::Chunks { count: 5, every_ms: 1 }, 5)] {
            let body = shot.body("");
            let exchange = connection.exchange(target.request(body.clone())).await.expect("is answered");
            assert_eq!(exchange.pieces, pieces, "{shot:?}");
            let received = lab.received().pop().expect("the lab was asked");
            assert_eq!((received.path.as_str(), received.body), (target.path.as_str(), body), "{shot:?}");
        }
    }
}
