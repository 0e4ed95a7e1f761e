//! Where a request may go, in which order, and why not elsewhere.
//!
//! [`plan::plan`] is pure: snapshot and [`inputs::Inputs`] in, a [`plan::Plan`] out. It resolves [`names`], asks the
//! [`filter`]s, adds the tenant's own credentials ([`candidates`]) and puts what is left into an [`order`]. Sending is
//! `upstream`'s business; [`health`] is told outcomes by the pipeline.

pub mod candidates;
pub mod filter;
pub mod health;
pub mod inputs;
pub mod names;
pub mod order;
pub mod plan;
pub mod refusal;
pub mod slug;
pub mod tier;
pub mod wishes;
