//! What several dialects have in common: turns, names, media, wishes, the forced JSON tool.
//!
//! Adapters do not know each other; what two of them need lives here and speaks no dialect.

pub mod conversation;
pub mod json_tool;
pub mod media;
pub mod names;
pub mod wish;
