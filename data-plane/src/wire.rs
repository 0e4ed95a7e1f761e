//! Byte framing that knows no dialect: server-sent events, Amazon's event streams, JSON patched in place.

pub mod eventstream;
pub mod patch;
pub mod sse;
