//! Config to the data planes: the stream of changes, who is attached, and how far each of them is.
//!
//! `feed` knows the newest revision and wakes `session`s, `push` reads and packs what one lacks, `snapshot` turns rows into
//! messages (`policy` a policy's), `fleet` remembers who runs what, `health` how endpoints do. `service` is the gRPC face.

pub mod feed;
pub mod fleet;
pub mod health;
pub mod policy;
pub mod push;
mod refused;
pub mod service;
mod session;
mod snapshot;

pub use feed::Feed;
