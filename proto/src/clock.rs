//! Wall time, read in one place.
//!
//! Pure code takes time as an argument; code at the rim asks here.

use chrono::{DateTime, Utc};

/// The current wall time.
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A wall time as a protobuf timestamp.
pub fn to_timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.timestamp(),
        nanos: i32::try_from(at.timestamp_subsec_nanos().min(999_999_999)).unwrap_or(0),
    }
}

/// A protobuf timestamp as a wall time; `None` outside chrono's range.
pub fn from_timestamp(at: &prost_types::Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?)
}
