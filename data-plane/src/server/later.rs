//! Paths that clients know and that are not served yet: they are answered as such, by every method.

/// Below `/v1` and `/api/v1`.
pub const V1: &[&str] = &[
    "/images",
    "/images/{*rest}",
    "/audio/{*rest}",
    "/videos",
    "/videos/{*rest}",
    "/files",
    "/files/{*rest}",
    "/batches",
    "/batches/{*rest}",
    "/messages/batches",
    "/messages/batches/{*rest}",
    "/realtime",
    "/realtime/{*rest}",
];

/// Where OpenRouter has its batches.
pub const TOP: &[&str] = &["/api/beta/batches", "/api/beta/batches/{*rest}"];
