//! What was used, as the ledger reads it: building the records, and shipping them.

pub mod record;
pub mod ship;
