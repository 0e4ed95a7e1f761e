//! Types and rules of the control plane, without I/O.
//!
//! One file per noun holds what people choose (`Draft`), what is stored, and the checks in between.
//! SQL is `store`'s business, order of work and rights `service`'s, generated proto types `grpc`'s.

pub mod access;
pub mod account;
pub mod audit;
pub mod booking;
pub mod budget;
pub mod credential;
pub mod diff;
pub mod drift;
pub mod edition;
pub mod endpoint;
pub mod fleet;
pub mod health;
pub mod invalid;
pub mod key;
pub mod ledger;
pub mod lending;
pub mod meta;
pub mod model;
pub mod page;
pub mod permission;
pub mod policy;
pub mod preset;
pub mod price;
pub mod proof;
pub mod provider;
pub mod rates;
pub mod report;
pub mod tenant;
pub mod token;
pub mod usage;
pub mod webhook;
