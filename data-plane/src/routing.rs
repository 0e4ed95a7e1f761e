//! Where a request may go, in which order, and why not elsewhere.
//!
//! [`plan`] is pure: snapshot, health reading, caller, request and a seed in, a [`plan::Plan`] out. Sending is
//! `upstream`'s business; [`health`] is told outcomes by the pipeline.

pub mod filter;
pub mod health;
pub mod order;
pub mod plan;
