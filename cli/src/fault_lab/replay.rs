//! Recorded exchanges (`<provider>/<api>/<case>.json`) as answers: the response's bytes, in the recorded pieces.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use crate::fault_lab::perform::{Performance, Step};

/// The response of a recorded exchange.
#[derive(Debug, Clone)]
pub struct Recording {
    status: StatusCode,
    headers: HeaderMap,
    pieces: Vec<Bytes>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("cannot read the recording {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a recorded exchange")]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("{path} holds an impossible status, header or base64 text")]
    Content { path: PathBuf },
}

#[derive(Deserialize)]
struct Exchange {
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    #[serde(default)]
    headers: serde_json::Map<String, Value>,
    body: Option<Value>,
    body_text: Option<String>,
    body_base64: Option<String>,
    #[serde(default)]
    chunk_sizes: Vec<usize>,
}

impl Recording {
    /// Reads one exchange file. Blocks.
    pub fn read(path: &Path) -> Result<Self, ReplayError> {
        let owned = || path.to_path_buf();
        let bytes = std::fs::read(path).map_err(|source| ReplayError::Read { path: owned(), source })?;
        let exchange: Exchange =
            serde_json::from_slice(&bytes).map_err(|source| ReplayError::Parse { path: owned(), source })?;
        Self::from_response(&exchange.response).ok_or_else(|| ReplayError::Content { path: owned() })
    }

    fn from_response(response: &Response) -> Option<Self> {
        let body = body(response)?;
        Some(Self {
            status: StatusCode::from_u16(response.status).ok()?,
            headers: headers(response)?,
            pieces: pieces(body.into(), &response.chunk_sizes),
        })
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The whole body.
    pub fn body(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// Plays the recording; streams keep their pieces, one write each.
    pub fn perform(&self) -> Performance {
        let steps: Vec<Step> = self.pieces.iter().cloned().map(Step::Send).collect();
        let length = if steps.len() == 1 { self.pieces.first().map(Bytes::len) } else { None };
        Performance { status: self.status, headers: self.headers.clone(), length, steps, payer: None }
    }
}

fn body(response: &Response) -> Option<Vec<u8>> {
    match (&response.body_text, &response.body_base64, &response.body) {
        (Some(text), _, _) => Some(text.clone().into_bytes()),
        (None, Some(base64), _) => base64::engine::general_purpose::STANDARD.decode(base64).ok(),
        (None, None, Some(json)) => Some(json.to_string().into_bytes()),
        (None, None, None) => Some(Vec::new()),
    }
}

fn headers(response: &Response) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &response.headers {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(text).ok()?);
    }
    // Some recordings were stripped of their headers; the body tells enough.
    headers.entry(header::CONTENT_TYPE).or_insert_with(|| {
        let sse = response.body_text.as_ref().is_some_and(|text| text.contains("data:"));
        HeaderValue::from_static(if sse { "text/event-stream" } else { "application/json" })
    });
    Some(headers)
}

fn pieces(mut body: Bytes, sizes: &[usize]) -> Vec<Bytes> {
    let mut pieces: Vec<Bytes> = Vec::new();
    for size in sizes {
        pieces.push(body.split_to((*size).min(body.len())));
    }
    pieces.push(body);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_recording_keeps_its_status_headers_bytes_and_pieces() {
        let response = json!({"status": 200, "headers": {"retry-after": "6"}, "body_text": "data: ab\n\n", "chunk_sizes": [4, 6]});
        let response: Response = serde_json::from_value(response).expect("has all fields");
        let recording = Recording::from_response(&response).expect("is in order");
        assert_eq!((recording.status(), recording.body()), (StatusCode::OK, b"data: ab\n\n".to_vec()));
        let planned = recording.perform();
        assert_eq!(planned.headers["content-type"], "text/event-stream");
        assert_eq!(planned.headers["retry-after"], "6");
        assert_eq!(planned.steps, [Step::Send("data".into()), Step::Send(": ab\n\n".into())]);
    }
}
