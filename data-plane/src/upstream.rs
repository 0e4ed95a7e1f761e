//! The way out: one try of one candidate over pooled connections, with its deadlines.
//!
//! [`attempt`] runs a try and judges it, [`http`] holds connections, [`sign`] adds the credential to what an adapter
//! encoded. Which candidate, and what follows a failure, is the pipeline's business.

pub mod attempt;
pub mod http;
pub mod sign;
