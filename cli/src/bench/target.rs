//! What is measured: a process that answers chat completions, and the requests it gets.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::Full;
use serde_json::json;

/// One measured process.
///
/// Has no `Debug`: its headers may hold a key.
#[derive(Clone)]
pub struct TargetSpec {
    /// As the report calls it.
    pub name: String,
    pub addr: SocketAddr,
    /// The process whose time and memory are read; `None` leaves those out.
    pub pid: Option<u32>,
    pub path: String,
    /// Sent with every request, beside `host` and `content-type`.
    pub headers: HeaderMap,
    /// What goes before the fault lab's model names: `echo/` at a gateway, nothing at the lab.
    pub model_prefix: String,
}

/// The kinds of request, as models of the fault lab and prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shot {
    /// A small prompt and a small whole answer.
    Small,
    /// A small prompt and a short stream, as fast as it comes.
    Stream,
    /// A small prompt and a stream of so many chunks, one every so many milliseconds.
    Chunks { count: u64, every_ms: u64 },
    /// A prompt of so many bytes and a small whole answer.
    Prompt { bytes: usize },
}

impl Shot {
    pub fn streams(self) -> bool {
        matches!(self, Self::Stream | Self::Chunks { .. })
    }

    /// The fault lab's model that answers it.
    pub fn model(self) -> String {
        match self {
            Self::Small | Self::Stream | Self::Prompt { .. } => "fixed".to_owned(),
            Self::Chunks { count, every_ms } => format!("paced-{count}-{every_ms}"),
        }
    }

    /// The request body, for models that are called `model_prefix` and a name.
    pub fn body(self, model_prefix: &str) -> Bytes {
        let messages = match self {
            Self::Prompt { bytes } => conversation(bytes),
            _ => json!([{"role": "user", "content": "Please say the word."}]),
        };
        let mut body = json!({"model": format!("{model_prefix}{}", self.model()), "messages": messages});
        if self.streams() {
            body["stream"] = json!(true);
        }
        body.to_string().into()
    }
}

/// A conversation of about `bytes`, with the escapes and letters that prompts have.
fn conversation(bytes: usize) -> serde_json::Value {
    const TURN: usize = 16 << 10;
    const LINE: &str = "He said \"go on\", and so it went on: naïve, plain, and long enough to be a line.\n";
    let turn = LINE.repeat(TURN / LINE.len());
    let turns = (bytes / turn.len()).max(1) | 1;
    let role = |i: usize| if i.is_multiple_of(2) { "user" } else { "assistant" };
    (0..turns).map(|i| json!({"role": role(i), "content": turn})).collect()
}

impl TargetSpec {
    /// Makes the request that is sent again and again.
    pub fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.path.parse().unwrap_or_default();
        *request.headers_mut() = self.headers.clone();
        let json = header::HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Ok(host) = self.addr.to_string().try_into() {
            request.headers_mut().insert(header::HOST, host);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::plan::Plan;
    use crate::fault_lab::behaviours;

    #[test]
    fn the_models_of_the_plans_are_rows_of_the_fault_lab() {
        for plan in [Plan::STANDARD, Plan::QUICK] {
            let chunks = Shot::Chunks { count: plan.chunks, every_ms: plan.chunk_every_ms };
            for shot in [Shot::Small, Shot::Stream, chunks] {
                assert!(behaviours().iter().any(|row| row.name == shot.model()), "{}", shot.model());
            }
        }
    }

    #[test]
    fn prompts_are_about_as_long_as_asked_and_end_with_a_user() {
        for bytes in [300 << 10, 1 << 20] {
            let body = Shot::Prompt { bytes }.body("echo/");
            let off = body.len().abs_diff(bytes) * 100 / bytes;
            assert!(off <= 10, "{bytes}: {}", body.len());
            let body: serde_json::Value = serde_json::from_slice(&body).expect("is JSON");
            assert_eq!(body["model"], "echo/fixed");
            assert_eq!(
                body["messages"].as_array().and_then(|m| m.last()).map(|m| m["role"].clone()),
                Some(json!("user"))
            );
        }
    }
}
