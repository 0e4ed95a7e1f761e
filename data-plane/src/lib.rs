//! Carries requests: identify, decode, plan, admit, attempt, settle. Start reading at [`pipeline`].
//!
//! `model`, `wire`, `api`, `adapters`, `price`, `identity`, `routing`, `judge` and `catalogue` are pure; `journal`, `link`,
//! `limits`, `drift`, `upstream`, `usage`, `orphan`, `account`, `config::{watch, disk, lookup}` and `server` do I/O. `tests/it/tidy.rs`
//! holds the table of who may import whom.

pub mod account;
pub mod adapters;
pub mod api;
pub mod app;
pub mod background;
pub mod cache;
pub mod catalogue;
pub mod config;
pub mod drift;
pub mod error;
pub mod extensions;
pub mod identity;
pub mod journal;
pub mod judge;
pub mod limits;
pub mod link;
pub mod model;
pub mod orphan;
pub mod pipeline;
pub mod price;
pub mod routing;
pub mod server;
pub mod settings;
pub mod telemetry;
pub mod upstream;
pub mod usage;
pub mod wire;
