//! What this process tells of itself: names of metrics, and spans of sampled requests.
//!
//! Exporters are set up by the command line; this only records.

pub mod metrics;
pub mod record;
pub mod spans;
