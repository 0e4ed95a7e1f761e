//! Byte framing that knows no dialect: server-sent events, Amazon's event streams, JSON lines, JSON patched in place
//! or measured in pieces.

pub mod eventstream;
pub mod extent;
pub mod lines;
pub mod patch;
pub mod sse;
