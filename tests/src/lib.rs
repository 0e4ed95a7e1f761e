//! The harness: whole clusters with real servers of their own, and what tests need to tell them apart.
//!
//! Scenarios are in `it/`. Providers are the fault lab's, except where a test names a real one.

pub mod admin;
pub mod client;
pub mod cluster;
pub mod collector;
pub mod contract;
pub mod plane;
pub mod postgres;
pub mod process;
pub mod queue;
pub mod redis;
pub mod soak;
pub mod wait;
pub mod wire;
