//! What was used, as the ledger reads it: building the records, and shipping them; and how endpoints do, beside them.

pub mod health;
pub mod record;
pub mod ship;
