//! Money between the store and the data planes: leases out, usage in; and drift and health, which come the same way.
//!
//! The rules are `domain::lending`'s and `domain::booking`'s, the SQL `store`'s. `service` is the gRPC face.

mod desk;
pub mod drift;
pub mod health;
pub mod ingest;
pub mod leases;
pub mod record;
pub mod service;
