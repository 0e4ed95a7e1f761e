//! Placeholder.
pub mod dev;
