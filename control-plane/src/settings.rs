//! The control plane's process settings: read once at start.
//!
//! The command line loads them from defaults, a file and the environment; every field is documented in `defaults.toml`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;
use switchyard_proto::secret::Secret;

/// Everything that a control plane must know before it can start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Admin gRPC, REST, OpenAPI and console, on one port.
    pub admin_listen: SocketAddr,
    /// Config, usage and leases; data planes only.
    pub fleet_listen: SocketAddr,
    /// `/livez`, `/readyz`, `/metrics`.
    pub ops_listen: SocketAddr,
    /// `postgres://…`.
    #[serde(deserialize_with = "secret")]
    pub database_url: Secret,
    /// Connections to Postgres.
    pub database_connections: u32,
    /// Base64 of 32 bytes that wrap the data keys of stored credentials.
    #[serde(deserialize_with = "secret")]
    pub master_key: Secret,
    /// Brings the schema up to date at start.
    pub migrate: bool,
    pub fleet_tls: FleetTls,
    pub money: Money,
    pub drift: Drift,
    pub retention: Retention,
    pub webhooks: Webhooks,
}

/// mTLS on the fleet port: PEM files; required outside loopback.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetTls {
    #[serde(deserialize_with = "path")]
    pub ca: Option<PathBuf>,
    #[serde(deserialize_with = "path")]
    pub cert: Option<PathBuf>,
    #[serde(deserialize_with = "path")]
    pub key: Option<PathBuf>,
}

/// Rules for lending.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Silence after which the rest of an instance's leases is booked as presumed.
    #[serde(rename = "presume_after_s", deserialize_with = "seconds")]
    pub presume_after: Duration,
}

/// What is new in providers' answers.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Time after which what was not seen again is forgotten.
    #[serde(rename = "keep_days", deserialize_with = "days")]
    pub keep: Duration,
}

/// How long what is partitioned by day is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Days of finished requests; 0: for ever.
    pub generations_days: u32,
    /// Days of ledger lines, whose sums are kept for ever; 0: the lines too.
    pub lines_days: u32,
}

/// Sending events to webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// Whether the operator's webhooks may be at private addresses and without TLS.
    pub allow_private: bool,
    /// The same for tenants' webhooks.
    pub allow_private_tenants: bool,
    /// Longest wait for an answer.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
}

fn milliseconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(Duration::from_millis)
}

fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

fn seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(Duration::from_secs)
}

fn days<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u32::deserialize(from).map(|days| Duration::from_secs(u64::from(days) * 24 * 60 * 60))
}

/// Empty text stands for no file, since TOML has no null.
fn path<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(from)?;
    Ok((!text.is_empty()).then(|| text.into()))
}
