//! A plain client that tells apart how an exchange ended.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The dialects as their clients see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    OpenAi,
    Anthropic,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Whether the body came to the end that its framing announced.
    pub complete: bool,
    /// The sizes of the frames in which the body came.
    pub frames: Vec<usize>,
}

/// One connection. Dropping it closes the socket.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    _connection: JoinSet<()>,
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the lab listens");
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.expect("handshakes need no peer");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        Self { sender, _connection: tasks }
    }

    /// `None` if the connection went away before a head.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Option<Reply> {
        let response = self.sender.send_request(request).await.ok()?;
        let (head, mut body) = response.into_parts();
        let mut reply = Reply {
            status: head.status,
            headers: head.headers,
            body: Vec::new(),
            complete: true,
            frames: Vec::new(),
        };
        while let Some(frame) = body.frame().await {
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) => {
                    reply.frames.push(data.len());
                    reply.body.extend_from_slice(&data);
                }
                Ok(Err(_)) => {}
                Err(_) => reply.complete = false,
            }
        }
        Some(reply)
    }

    /// Sends and gives back the first part of the answer, leaving the rest unread.
    pub async fn head(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Option<http::Response<hyper::body::Incoming>> {
        self.sender.send_request(request).await.ok()
    }
}

pub async fn call(addr: SocketAddr, request: Request<Full<Bytes>>) -> Option<Reply> {
    Client::connect(addr).await.send(request).await
}

/// A request that uses most of what a behaviour may look at.
pub fn body(speaks: Speaks, model: &str, stream: bool) -> Value {
    let schema =
        json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
    let mut body = json!({
        "model": model,
        "stream": stream,
        "max_tokens": 100_000,
        "messages": [{"role": "user", "content": "one two three four five süß"}],
    });
    match speaks {
        Speaks::OpenAi => {
            body["tools"] =
                json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]);
            if stream {
                body["stream_options"] = json!({"include_usage": true});
            }
        }
        Speaks::Anthropic => body["tools"] = json!([{"name": "weather", "input_schema": schema}]),
    }
    body
}

pub fn request(speaks: Speaks, body: &Value) -> Request<Full<Bytes>> {
    let path = match speaks {
        Speaks::OpenAi => "/some/prefix/v1/chat/completions",
        Speaks::Anthropic => "/v1/messages",
    };
    Request::post(path)
        .header("host", "lab")
        .header("anthropic-version", "2023-06-01")
        .body(Full::new(body.to_string().into()))
        .expect("all parts are valid")
}
