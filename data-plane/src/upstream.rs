//! The way out: one try of one candidate over pooled connections, with its deadlines.
//!
//! [`attempt`] runs a try up to its commit point within its [`waits`], [`live`] reads on, `send` signs and sends, [`http`]
//! holds connections, [`sign`] adds the credential to what an adapter encoded. [`fetch`] reads what callers' URLs hold. Nothing connects but to addresses that [`guard`] has checked. Which
//! candidate, and what follows a failure, is the pipeline's business.

pub mod attempt;
pub mod fetch;
pub mod guard;
pub mod http;
pub mod live;
mod pace;
mod send;
pub mod sign;
pub mod waits;
