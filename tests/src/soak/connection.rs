//! A caller's connection to one data plane, as cheap as it gets: the machine is for the system under test.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One kept connection. Dropping it closes it, which is how a caller leaves.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _task: JoinSet<()>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Connection {
    /// # Errors
    /// When nobody listens.
    pub async fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut task = JoinSet::new();
        task.spawn(async move { drop(connection.await) });
        Ok(Self { sender, _task: task })
    }

    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and reads its answer: all of it, or up to the first piece of its body.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn call(&mut self, request: Request<Full<Bytes>>, is_all: bool) -> hyper::Result<Answer> {
        let answer = self.sender.send_request(request).await?;
        let (head, mut body) = answer.into_parts();
        let mut read = Vec::new();
        while is_all || read.is_empty() {
            let Some(piece) = next(&mut body).await? else { break };
            read.extend_from_slice(&piece);
        }
        Ok(Answer { status: head.status, headers: head.headers, body: read })
    }
}

async fn next(body: &mut Incoming) -> hyper::Result<Option<Bytes>> {
    match body.frame().await {
        None => Ok(None),
        Some(frame) => Ok(Some(frame?.into_data().unwrap_or_default())),
    }
}

impl Answer {
    /// The generation, if the answer is whole and went well: only such an answer names its cost.
    pub fn served(&self) -> Option<String> {
        let is_whole = self.status == StatusCode::OK && self.holds(b"\"cost\":");
        let id = self.headers.get("x-generation-id").filter(|_| is_whole)?;
        Some(id.to_str().ok()?.to_owned())
    }

    /// `error_type`, where there is one.
    pub fn error(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.body);
        let (_, rest) = text.split_once("\"error_type\":\"")?;
        Some(rest.split('"').next()?.to_owned())
    }

    fn holds(&self, part: &[u8]) -> bool {
        self.body.windows(part.len()).any(|window| window == part)
    }
}
