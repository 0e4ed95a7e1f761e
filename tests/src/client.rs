//! A plain client of the data plane: sends what it is told to, and shows exactly what came back.

use std::sync::Once;

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::contract::{self, Answered};

/// Calls one data plane with one key.
#[derive(Debug, Clone)]
pub struct Client {
    pub url: String,
    pub key: String,
    http: reqwest::Client,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    /// `Null` if the text is no JSON.
    pub json: Value,
}

/// An answer that is still arriving.
#[derive(Debug)]
pub struct Stream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    response: reqwest::Response,
    buffer: BytesMut,
}

/// One piece of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Starts with a colon: keeps the connection alive.
    Comment(String),
    Data(Value),
    /// `[DONE]`.
    Done,
}

/// Makes rustls choose ring: this process holds more than one user of it.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// An HTTP client without proxies.
pub fn http() -> reqwest::Client {
    install_crypto();
    reqwest::Client::builder().no_proxy().build().expect("the options fit together")
}

impl Client {
    /// A client of the data plane at `url`, which is without a path.
    pub fn new(url: impl Into<String>, key: impl Into<String>) -> Self {
        Self { url: url.into(), key: key.into(), http: http() }
    }

    /// The same data plane, another key.
    #[must_use]
    pub fn with_key(&self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self.clone() }
    }

    /// The same key, another data plane.
    #[must_use]
    pub fn at(&self, url: impl Into<String>) -> Self {
        Self { url: url.into(), ..self.clone() }
    }

    /// A chat call that waits for its whole answer.
    pub async fn chat(&self, body: Value) -> Answer {
        self.post("/api/v1/chat/completions", body.to_string(), &[]).await
    }

    /// A chat call with headers of its own.
    pub async fn chat_with(&self, headers: &[(&str, &str)], body: Value) -> Answer {
        self.post("/api/v1/chat/completions", body.to_string(), headers).await
    }

    /// A streaming chat call; `stream` is added to the body.
    pub async fn stream(&self, mut body: Value) -> Stream {
        body["stream"] = true.into();
        self.stream_at("/api/v1/chat/completions", body.to_string()).await
    }

    /// A streaming call of any surface, whose body asks for that.
    pub async fn stream_at(&self, path: &str, body: String) -> Stream {
        let response = self.send(path, body, &[]).await;
        let (status, headers) = (response.status(), response.headers().clone());
        Stream { status, headers, response, buffer: BytesMut::new() }
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> Answer {
        let answer = Answer::of(self.send(path, body, headers).await).await;
        answer.held_to_contract("POST", path)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    /// Any call, with a JSON body or without.
    pub async fn call(&self, method: &'static str, path: &str, body: Option<&Value>) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        if !self.key.is_empty() {
            request = request.bearer_auth(&self.key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = Answer::of(request.send().await.expect("the data plane answers")).await;
        answer.held_to_contract(method.as_str(), path)
    }

    async fn send(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> reqwest::Response {
        let mut request = self.http.post(format!("{}{path}", self.url)).body(body);
        if !self.key.is_empty() {
            request = request.bearer_auth(&self.key);
        }
        request = request.header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("the data plane answers")
    }
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("the answer is whole");
        let json = serde_json::from_str(&text).unwrap_or_default();
        Self { status, headers, text, json }
    }

    /// The answer, which the OpenAPI document must know.
    ///
    /// # Panics
    /// With what it does not know of it.
    fn held_to_contract(self, method: &str, path: &str) -> Self {
        let answered = Answered {
            method,
            path,
            status: self.status.as_u16(),
            content_type: self.header("content-type"),
            body: Some(&self.json),
        };
        contract::check(&answered).unwrap_or_else(|wrong| panic!("not as in openapi.json: {wrong}"));
        self
    }

    /// The answer, if it went well.
    ///
    /// # Panics
    /// With the error, if it did not.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json
    }

    /// `error.metadata.error_type`.
    pub fn error_type(&self) -> &str {
        self.json["error"]["metadata"]["error_type"].as_str().unwrap_or_default()
    }

    /// `error.message`.
    pub fn message(&self) -> &str {
        self.json["error"]["message"].as_str().unwrap_or_default()
    }

    /// A header as text; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Stream {
    /// The next piece; `None` at the end, an error where the connection broke.
    pub async fn next(&mut self) -> Result<Option<Event>, reqwest::Error> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let piece = self.buffer.split_to(end + 2);
                return Ok(Some(Event::of(&String::from_utf8_lossy(&piece[..end]))));
            }
            match self.response.chunk().await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => {
                    assert!(self.buffer.is_empty(), "the stream ends inside an event: {:?}", self.buffer);
                    return Ok(None);
                }
            }
        }
    }

    /// All pieces to the end of the stream.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await.expect("the stream is whole") {
            events.push(event);
        }
        events
    }

    /// All of it as an answer: for one that is no stream, such as an error.
    pub async fn answer(self) -> Answer {
        Answer::of(self.response).await
    }

    /// Reads until the first data.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn first_data(&mut self) -> Value {
        loop {
            match self.next().await.expect("the stream is whole") {
                Some(Event::Data(data)) => return data,
                Some(_) => {}
                None => panic!("the stream ended without data"),
            }
        }
    }
}

impl Event {
    fn of(piece: &str) -> Self {
        if let Some(comment) = piece.strip_prefix(':') {
            return Self::Comment(comment.trim().to_owned());
        }
        let data: String =
            piece.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect();
        match data.as_str() {
            "[DONE]" => Self::Done,
            json => Self::Data(serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {piece}"))),
        }
    }

    /// The chunk, if it is one.
    pub fn data(&self) -> Option<&Value> {
        if let Self::Data(data) = self { Some(data) } else { None }
    }
}

/// The chunks among the pieces.
pub fn chunks(events: &[Event]) -> Vec<&Value> {
    events.iter().filter_map(Event::data).collect()
}

/// The text that a stream said.
pub fn text(events: &[Event]) -> String {
    chunks(events).iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}
