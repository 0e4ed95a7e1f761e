//! The data plane's process settings: read once at start, never pushed.
//!
//! The command line loads them from defaults, a file and the environment; every field is documented in `defaults.toml`.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;
use switchyard_proto::secret::Secret;

/// Everything that a data plane must know before it can start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Client API.
    pub listen: SocketAddr,
    /// `/livez`, `/readyz`, `/metrics`.
    pub ops_listen: SocketAddr,
    /// The control plane's fleet address, e.g. `http://127.0.0.1:50051`.
    pub control_plane: String,
    /// Holds the journal, the last good config and the instance's id.
    pub data_dir: PathBuf,
    /// Shown in the fleet view; picks endpoints one day.
    pub region: String,
    /// Request threads, each with its own runtime; 0: one per core.
    pub threads: usize,
    /// False carries requests without limits, journal, ledger and metrics: for `make bench` alone, to show what they cost.
    pub governance: bool,
    /// Base64 of 32 bytes that seal the config on disk; empty: nothing is written.
    #[serde(deserialize_with = "secret")]
    pub config_key: Secret,
    /// The oldest config that is still served from when the control plane is away.
    #[serde(rename = "config_max_age_s", deserialize_with = "seconds")]
    pub config_max_age: Duration,
    /// Rate counters; empty: in this process's memory.
    #[serde(deserialize_with = "secret")]
    pub redis_url: Secret,
    pub fleet_tls: FleetTls,
    pub client_tls: ClientTls,
    pub requests: Requests,
    pub deadlines: Deadlines,
    pub retries: Retries,
    pub routing: Routing,
    pub fetch: Fetch,
    pub journal: Journal,
    pub leases: Leases,
    pub drift: Drift,
    pub cache: Cache,
    /// Not settings of ours: what the machine says to the programs on it.
    #[serde(skip)]
    pub cloud: Cloud,
}

impl Settings {
    /// Which answers are looked at for drift: none without governance, since that is work beside the carrying.
    pub fn watched_for_drift(&self) -> Drift {
        if self.governance { self.drift } else { Drift { first: 0, sample: 0.0, ..self.drift } }
    }
}

/// Variables by which clouds tell a program what it may sign with; read for ambient credentials alone.
#[derive(Debug, Clone, Default)]
pub struct Cloud(BTreeMap<String, Secret>);

impl Cloud {
    /// Picks the clouds' variables out of an environment.
    pub fn of(environment: &BTreeMap<String, String>) -> Self {
        const NAMES: [&str; 5] =
            ["HOME", "CLOUDSDK_CONFIG", "GCE_METADATA_HOST", "IDENTITY_ENDPOINT", "IDENTITY_HEADER"];
        const PREFIXES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];
        let is_theirs =
            |name: &str| NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let theirs = environment.iter().filter(|(name, _)| is_theirs(name));
        Self(theirs.map(|(name, value)| (name.clone(), Secret::new(value.as_str()))).collect())
    }

    /// A variable's value; one that is empty counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Secret::expose).filter(|value| !value.is_empty())
    }
}

/// mTLS towards the control plane: PEM files; all empty on loopback.
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

/// TLS for clients: PEM files; both empty for plain HTTP.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTls {
    #[serde(deserialize_with = "path")]
    pub cert: Option<PathBuf>,
    #[serde(deserialize_with = "path")]
    pub key: Option<PathBuf>,
}

/// Limits of the client side.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Requests under way at once in the process; beyond it callers get 503.
    pub max_concurrent: usize,
    /// Time to send a whole request.
    #[serde(rename = "read_timeout_s", deserialize_with = "seconds")]
    pub read_timeout: Duration,
    /// Silence after which a streaming caller gets headers and keep-alive comments.
    #[serde(rename = "keep_alive_after_ms", deserialize_with = "milliseconds")]
    pub keep_alive_after: Duration,
    /// How long open requests may finish at shutdown.
    #[serde(rename = "drain_s", deserialize_with = "seconds")]
    pub drain: Duration,
    /// Whether operators' providers may have private and loopback addresses.
    pub allow_private_upstreams: bool,
    /// The same for tenants' own providers.
    pub allow_private_tenant_upstreams: bool,
}

/// Default deadlines of one attempt, and of the whole request.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    #[serde(rename = "connect_ms", deserialize_with = "milliseconds")]
    pub connect: Duration,
    #[serde(rename = "headers_ms", deserialize_with = "milliseconds")]
    pub headers: Duration,
    #[serde(rename = "first_content_ms", deserialize_with = "milliseconds")]
    pub first_content: Duration,
    /// To the head of a whole answer, which comes when the answer is done.
    #[serde(rename = "whole_ms", deserialize_with = "milliseconds")]
    pub whole: Duration,
    /// Longest silence between two pieces of an answer.
    #[serde(rename = "idle_ms", deserialize_with = "milliseconds")]
    pub idle: Duration,
    #[serde(rename = "total_ms", deserialize_with = "milliseconds")]
    pub total: Duration,
    /// A streamed answer that brings fewer tokens per second than this has failed; 0: none.
    pub min_tokens_per_second: f64,
    /// How long a stream may be slower than its minimum rate.
    #[serde(rename = "min_rate_over_ms", deserialize_with = "milliseconds")]
    pub min_rate_over: Duration,
}

/// Trying the same candidate again, after all others.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// Further rounds over the candidates that failed in a way that may pass.
    pub most: u32,
    /// Retries of a provider as a share, 0 to 1, of the requests that were sent to it.
    pub share: f64,
    /// Retries that a provider's share may save up.
    pub burst: u32,
    /// The first pause; it doubles with every round.
    #[serde(rename = "base_ms", deserialize_with = "milliseconds")]
    pub base: Duration,
    /// The longest pause, and the longest that a provider may ask for.
    #[serde(rename = "longest_ms", deserialize_with = "milliseconds")]
    pub longest: Duration,
}

impl Retries {
    /// The share in thousandths.
    pub fn share_permille(&self) -> u32 {
        (self.share.clamp(0.0, 1.0) * 1000.0).round() as u32
    }
}

/// What plans may know of requests, and what is kept of plans.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// Request headers that policies' conditions can read; names in lower case.
    #[serde(deserialize_with = "words")]
    pub policy_headers: Vec<String>,
    /// The share, 0 to 1, of requests that went well whose decision is kept; those of failed ones always are.
    pub keep_decisions: f64,
    /// How many requests that came to no attempt are recorded in a second, over some time; 0: none.
    pub keep_refused_per_second: u32,
}

/// Reading what callers' URLs hold, where a provider cannot read them itself.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// Largest file.
    pub max_file_bytes: u64,
    /// Most bytes of one request's files together.
    pub max_request_bytes: u64,
    /// Most files of one request.
    pub max_files: usize,
    /// A file's time, from its name's resolution to its last byte.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
    /// Private and loopback addresses that callers' URLs may lead to.
    pub allow_private: bool,
    /// Most fetches under way at once in the process.
    pub max_under_way: usize,
    /// Most bytes that all requests of the process hold of what was fetched for them, as it was fetched.
    pub max_held_bytes: u64,
}

/// The journal of intents and closings.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Unacknowledged bytes on disk after which requests are refused.
    pub max_bytes: u64,
    /// Bytes after which a new segment is begun.
    pub segment_bytes: u64,
    /// How often written records are flushed to the disk itself; 0: left to the operating system.
    #[serde(rename = "fsync_every_ms", deserialize_with = "milliseconds")]
    pub fsync_every: Duration,
    /// How long acknowledged segments are kept for a restored store.
    #[serde(rename = "keep_acknowledged_s", deserialize_with = "seconds")]
    pub keep_acknowledged: Duration,
    /// How long closings may wait to be sent together.
    #[serde(rename = "ship_every_ms", deserialize_with = "milliseconds")]
    pub ship_every: Duration,
}

/// Money borrowed from the control plane.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leases {
    /// How long a lease should last at recent demand.
    #[serde(rename = "autonomy_s", deserialize_with = "seconds")]
    pub autonomy: Duration,
    /// Longest wait of a request for money that others hold; the control plane's answer itself is given a second.
    #[serde(rename = "wait_ms", deserialize_with = "milliseconds")]
    pub wait: Duration,
    /// Output tokens reserved where the caller sets no cap and the endpoint has none.
    pub default_output_tokens: u64,
    /// A lease without use for this long is given back.
    #[serde(rename = "idle_s", deserialize_with = "seconds")]
    pub idle: Duration,
}

/// Looking for what is new in providers' answers.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// How many answers of each provider and model are looked at first of all.
    pub first: u32,
    /// The share, 0 to 1, of the later ones.
    pub sample: f64,
    /// Most bytes of an answer that are kept to be looked at.
    pub max_bytes: usize,
}

/// Answers that are kept for those who ask the same again, and say so.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// What all answers that are kept take in memory; 0 keeps none.
    pub max_bytes: usize,
    /// Longest answer that is kept.
    pub max_answer_bytes: usize,
}

fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

/// Words between commas, in lower case.
fn words<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let text = String::deserialize(from)?;
    let words = text.split(',').map(|word| word.trim().to_ascii_lowercase());
    Ok(words.filter(|word| !word.is_empty()).collect())
}

fn seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(Duration::from_secs)
}

fn milliseconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(Duration::from_millis)
}

/// Empty text stands for no file, since TOML has no null.
fn path<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(from)?;
    Ok((!text.is_empty()).then(|| text.into()))
}
