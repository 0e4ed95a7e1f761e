//! Byte framing that knows no dialect: server-sent events and JSON patched in place.

pub mod patch;
pub mod sse;
