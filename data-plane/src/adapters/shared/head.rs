//! The headers that every dialect writes.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// Streams of events, as most dialects have them.
pub const EVENTS: &str = "text/event-stream";

/// JSON goes out; what may come back is JSON, or for a stream `stream_type`.
pub fn headers(stream: bool, stream_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = if stream { stream_type } else { "application/json" };
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers
}
