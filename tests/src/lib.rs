//! The harness: real servers of our own, and what tests need to tell them apart.
//!
//! Scenarios are in `it/`.

pub mod admin;
pub mod postgres;
pub mod redis;
