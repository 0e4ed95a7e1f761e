//! Which environment variable sets which setting, and a guess at what an unknown one meant.

use std::collections::BTreeMap;

/// Variable, and the settings it stands for. Planes are processes of their own, so one name may serve both.
pub(super) const VARIABLES: &[(&str, &[&str])] = &[
    ("SWITCHYARD_LOG", &["log.filter"]),
    ("SWITCHYARD_LOG_FORMAT", &["log.format"]),
    ("SWITCHYARD_OTLP_ENDPOINT", &["log.otlp_endpoint"]),
    ("SWITCHYARD_OTLP_SAMPLE_RATIO", &["log.otlp_sample_ratio"]),
    ("SWITCHYARD_OPS_LISTEN", &["data_plane.ops_listen", "control_plane.ops_listen"]),
    ("SWITCHYARD_FLEET_CA", &["data_plane.fleet_tls.ca", "control_plane.fleet_tls.ca"]),
    ("SWITCHYARD_FLEET_CERT", &["data_plane.fleet_tls.cert", "control_plane.fleet_tls.cert"]),
    ("SWITCHYARD_FLEET_KEY", &["data_plane.fleet_tls.key", "control_plane.fleet_tls.key"]),
    ("SWITCHYARD_LISTEN", &["data_plane.listen"]),
    ("SWITCHYARD_CONTROL_PLANE", &["data_plane.control_plane"]),
    ("SWITCHYARD_DATA_DIR", &["data_plane.data_dir"]),
    ("SWITCHYARD_REGION", &["data_plane.region"]),
    ("SWITCHYARD_THREADS", &["data_plane.threads"]),
    ("SWITCHYARD_GOVERNANCE", &["data_plane.governance"]),
    ("SWITCHYARD_CONFIG_KEY", &["data_plane.config_key"]),
    ("SWITCHYARD_CONFIG_MAX_AGE_S", &["data_plane.config_max_age_s"]),
    ("SWITCHYARD_REDIS_URL", &["data_plane.redis_url"]),
    ("SWITCHYARD_TLS_CERT", &["data_plane.client_tls.cert"]),
    ("SWITCHYARD_TLS_KEY", &["data_plane.client_tls.key"]),
    ("SWITCHYARD_REQUESTS_MAX_BODY_BYTES", &["data_plane.requests.max_body_bytes"]),
    ("SWITCHYARD_REQUESTS_MAX_CONCURRENT", &["data_plane.requests.max_concurrent"]),
    ("SWITCHYARD_REQUESTS_READ_TIMEOUT_S", &["data_plane.requests.read_timeout_s"]),
    ("SWITCHYARD_REQUESTS_KEEP_ALIVE_AFTER_MS", &["data_plane.requests.keep_alive_after_ms"]),
    ("SWITCHYARD_REQUESTS_DRAIN_S", &["data_plane.requests.drain_s"]),
    ("SWITCHYARD_REQUESTS_ALLOW_PRIVATE_UPSTREAMS", &["data_plane.requests.allow_private_upstreams"]),
    (
        "SWITCHYARD_REQUESTS_ALLOW_PRIVATE_TENANT_UPSTREAMS",
        &["data_plane.requests.allow_private_tenant_upstreams"],
    ),
    ("SWITCHYARD_DEADLINES_CONNECT_MS", &["data_plane.deadlines.connect_ms"]),
    ("SWITCHYARD_DEADLINES_HEADERS_MS", &["data_plane.deadlines.headers_ms"]),
    ("SWITCHYARD_DEADLINES_FIRST_CONTENT_MS", &["data_plane.deadlines.first_content_ms"]),
    ("SWITCHYARD_DEADLINES_WHOLE_MS", &["data_plane.deadlines.whole_ms"]),
    ("SWITCHYARD_DEADLINES_IDLE_MS", &["data_plane.deadlines.idle_ms"]),
    ("SWITCHYARD_DEADLINES_TOTAL_MS", &["data_plane.deadlines.total_ms"]),
    ("SWITCHYARD_DEADLINES_MIN_TOKENS_PER_SECOND", &["data_plane.deadlines.min_tokens_per_second"]),
    ("SWITCHYARD_DEADLINES_MIN_RATE_OVER_MS", &["data_plane.deadlines.min_rate_over_ms"]),
    ("SWITCHYARD_RETRIES_MOST", &["data_plane.retries.most"]),
    ("SWITCHYARD_RETRIES_SHARE", &["data_plane.retries.share"]),
    ("SWITCHYARD_RETRIES_BURST", &["data_plane.retries.burst"]),
    ("SWITCHYARD_RETRIES_BASE_MS", &["data_plane.retries.base_ms"]),
    ("SWITCHYARD_RETRIES_LONGEST_MS", &["data_plane.retries.longest_ms"]),
    ("SWITCHYARD_ROUTING_POLICY_HEADERS", &["data_plane.routing.policy_headers"]),
    ("SWITCHYARD_ROUTING_KEEP_DECISIONS", &["data_plane.routing.keep_decisions"]),
    ("SWITCHYARD_ROUTING_KEEP_REFUSED_PER_SECOND", &["data_plane.routing.keep_refused_per_second"]),
    ("SWITCHYARD_FETCH_MAX_FILE_BYTES", &["data_plane.fetch.max_file_bytes"]),
    ("SWITCHYARD_FETCH_MAX_REQUEST_BYTES", &["data_plane.fetch.max_request_bytes"]),
    ("SWITCHYARD_FETCH_MAX_FILES", &["data_plane.fetch.max_files"]),
    ("SWITCHYARD_FETCH_MAX_UNDER_WAY", &["data_plane.fetch.max_under_way"]),
    ("SWITCHYARD_FETCH_MAX_HELD_BYTES", &["data_plane.fetch.max_held_bytes"]),
    ("SWITCHYARD_FETCH_TIMEOUT_MS", &["data_plane.fetch.timeout_ms"]),
    ("SWITCHYARD_FETCH_ALLOW_PRIVATE", &["data_plane.fetch.allow_private"]),
    ("SWITCHYARD_JOURNAL_MAX_BYTES", &["data_plane.journal.max_bytes"]),
    ("SWITCHYARD_JOURNAL_SEGMENT_BYTES", &["data_plane.journal.segment_bytes"]),
    ("SWITCHYARD_JOURNAL_FSYNC_EVERY_MS", &["data_plane.journal.fsync_every_ms"]),
    ("SWITCHYARD_JOURNAL_KEEP_ACKNOWLEDGED_S", &["data_plane.journal.keep_acknowledged_s"]),
    ("SWITCHYARD_JOURNAL_SHIP_EVERY_MS", &["data_plane.journal.ship_every_ms"]),
    ("SWITCHYARD_LEASES_AUTONOMY_S", &["data_plane.leases.autonomy_s"]),
    ("SWITCHYARD_LEASES_WAIT_MS", &["data_plane.leases.wait_ms"]),
    ("SWITCHYARD_LEASES_DEFAULT_OUTPUT_TOKENS", &["data_plane.leases.default_output_tokens"]),
    ("SWITCHYARD_LEASES_IDLE_S", &["data_plane.leases.idle_s"]),
    ("SWITCHYARD_CACHE_MAX_BYTES", &["data_plane.cache.max_bytes"]),
    ("SWITCHYARD_CACHE_MAX_ANSWER_BYTES", &["data_plane.cache.max_answer_bytes"]),
    ("SWITCHYARD_DRIFT_FIRST", &["data_plane.drift.first"]),
    ("SWITCHYARD_DRIFT_SAMPLE", &["data_plane.drift.sample"]),
    ("SWITCHYARD_DRIFT_MAX_BYTES", &["data_plane.drift.max_bytes"]),
    ("SWITCHYARD_ADMIN_LISTEN", &["control_plane.admin_listen"]),
    ("SWITCHYARD_FLEET_LISTEN", &["control_plane.fleet_listen"]),
    ("SWITCHYARD_DATABASE_URL", &["control_plane.database_url"]),
    ("SWITCHYARD_DATABASE_CONNECTIONS", &["control_plane.database_connections"]),
    ("SWITCHYARD_MASTER_KEY", &["control_plane.master_key"]),
    ("SWITCHYARD_MIGRATE", &["control_plane.migrate"]),
    ("SWITCHYARD_MONEY_PRESUME_AFTER_S", &["control_plane.money.presume_after_s"]),
    ("SWITCHYARD_DRIFT_KEEP_DAYS", &["control_plane.drift.keep_days"]),
    ("SWITCHYARD_RETENTION_GENERATIONS_DAYS", &["control_plane.retention.generations_days"]),
    ("SWITCHYARD_RETENTION_LINES_DAYS", &["control_plane.retention.lines_days"]),
    ("SWITCHYARD_WEBHOOKS_ALLOW_PRIVATE", &["control_plane.webhooks.allow_private"]),
    ("SWITCHYARD_WEBHOOKS_ALLOW_PRIVATE_TENANTS", &["control_plane.webhooks.allow_private_tenants"]),
    ("SWITCHYARD_WEBHOOKS_TIMEOUT_MS", &["control_plane.webhooks.timeout_ms"]),
];

/// Variables that commands read as defaults of their flags.
const OF_COMMANDS: &[&str] = &[
    "SWITCHYARD_SETTINGS",
    "SWITCHYARD_ADMIN_ADDR",
    "SWITCHYARD_ADMIN_TOKEN",
    "SWITCHYARD_KEY",
    "SWITCHYARD_URL",
];

/// How an exported file names the secrets that it left out.
const OF_EXPORTS: &[&str] =
    &["SWITCHYARD_PROVIDER_", "SWITCHYARD_CREDENTIAL_", "SWITCHYARD_KEY_", "SWITCHYARD_WEBHOOK_"];

/// Every variable that the program knows.
pub fn environment_names() -> Vec<String> {
    let settings = VARIABLES.iter().map(|(name, _)| *name);
    settings.chain(OF_COMMANDS.iter().copied()).map(str::to_owned).collect()
}

/// The variable that sets this.
pub(super) fn variable_of(setting: &str) -> Option<&'static str> {
    VARIABLES.iter().find(|(_, settings)| settings.contains(&setting)).map(|(name, _)| *name)
}

/// One warning for each variable that has our prefix and no meaning.
pub(super) fn strangers(environment: &BTreeMap<String, String>) -> Vec<String> {
    let known = environment_names();
    let ours = environment.iter().filter(|(name, _)| name.starts_with("SWITCHYARD_"));
    let strange = ours.filter(|(name, value)| {
        !known.contains(name)
            && !OF_EXPORTS.iter().any(|prefix| name.starts_with(prefix))
            && !is_of_kubernetes(name, value)
    });
    strange.map(|(name, _)| stranger(name, &known)).collect()
}

/// `; did you mean …?` if something known is much like it.
pub(super) fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let likeness = |candidate: &str| strsim::normalized_damerau_levenshtein(name, candidate);
    let best = known.map(|candidate| (likeness(candidate), candidate)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, candidate)) if likeness > 0.7 => format!("; did you mean `{candidate}`?"),
        _ => String::new(),
    }
}

fn stranger(name: &str, known: &[String]) -> String {
    let hint = near(name, known.iter().map(String::as_str));
    format!("the environment variable `{name}` is not a setting{hint}")
}

/// Kubernetes tells every pod about every service, in variables that begin with the service's name.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.contains("_PORT") && (value.contains("://") || name.contains("_TCP")))
}
