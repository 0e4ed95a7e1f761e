//! The client port and the ops port: routes, connections and their limits. Knows nothing of what an answer means.

pub mod account;
pub mod catalogue;
pub mod later;
pub mod listen;
pub mod openapi;
pub mod ops;
pub mod routes;
pub mod threads;
pub mod tls;
