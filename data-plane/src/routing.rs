//! Where a request may go, in which order, and why not elsewhere.
//!
//! [`plan::plan`] is pure: snapshot and [`inputs::Inputs`] in, a [`plan::Plan`] out. It resolves [`names`], asks the
//! [`filter`]s, adds the tenant's own credentials ([`candidates`]) and puts what is left into an [`order`]. Sending is
//! `upstream`'s business; [`health`] and [`sticky`] are told outcomes by the pipeline. A [`record`] of the inputs makes the
//! same plan again.

pub mod candidates;
pub mod filter;
pub mod health;
pub mod inputs;
pub mod names;
pub mod order;
pub mod plan;
pub mod record;
pub mod refusal;
pub mod slug;
pub mod stages;
pub mod sticky;
pub mod tier;
pub mod wishes;

#[cfg(test)]
mod tests;
