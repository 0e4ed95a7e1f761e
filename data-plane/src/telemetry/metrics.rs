//! Every metric of the data plane: name, kind, unit and meaning, in one list.
//!
//! Names end in their unit. Recording happens where the fact is; nothing is renamed elsewhere.

use metrics::Unit;

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One row of the list.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub help: &'static str,
}

/// Declares constants and the list at once, so that none is missing from it.
macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:ident, $unit:ident, $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// Every metric.
        pub const ALL: &[Metric] =
            &[$(Metric { name: $name, kind: Kind::$kind, unit: Unit::$unit, help: $help },)*];
    };
}

metrics! {
    REQUESTS = "switchyard_requests_total", Counter, Count,
        "Chat requests that ended, by `outcome` (`ok` or the error type) and `mode` (`stream`, `whole`).";
    REQUEST_DURATION = "switchyard_request_duration_seconds", Histogram, Seconds,
        "From the request's head to its ending, by `mode`.";
    FIRST_CONTENT = "switchyard_first_content_seconds", Histogram, Seconds,
        "From the request's head to the first content, by `mode`.";
    ATTEMPTS = "switchyard_attempts_total", Counter, Count,
        "Tries of candidates, by `provider` and `outcome` (`ok` or the failure's class).";
    REFUSED_UNRECORDED = "switchyard_refused_unrecorded_total", Counter, Count,
        "Requests that came to no attempt and are no generations, since too many came at once.";
    RESPONSE_CACHE = "switchyard_response_cache_total", Counter, Count,
        "Requests that may be answered from the response cache, by `outcome` (`hit`, `miss`).";
    TOKENS = "switchyard_tokens_total", Counter, Count,
        "Tokens of answers, by `kind` (`prompt`, `completion`).";
    CONFIG_REVISION = "switchyard_config_revision_count", Gauge, Count,
        "Number of the config revision that is served from.";
    CONFIG_REFUSED = "switchyard_config_refused_count", Gauge, Count,
        "Resources that the last push was refused for.";
    CONFIG_AGE = "switchyard_config_age_seconds", Gauge, Seconds,
        "How long ago the config was last known to be the newest; 0 while attached.";
    JOURNAL_BYTES = "switchyard_journal_bytes", Gauge, Bytes,
        "Bytes of all journal segments on disk.";
    JOURNAL_UNACKNOWLEDGED_BYTES = "switchyard_journal_unacknowledged_bytes", Gauge, Bytes,
        "Bytes of the journal that the control plane has not acknowledged.";
    JOURNAL_REFUSED = "switchyard_journal_refused_total", Counter, Count,
        "Attempts that were not sent because the journal took no intent.";
    SHIPPED_RECORDS = "switchyard_usage_shipped_records_total", Counter, Count,
        "Closings and generations that the control plane acknowledged.";
    SHIPPING_FAILURES = "switchyard_usage_shipping_failures_total", Counter, Count,
        "Batches that the control plane did not acknowledge; they are sent again.";
    SHIPPING_LAG = "switchyard_usage_shipping_lag_seconds", Gauge, Seconds,
        "Time since everything written was acknowledged.";
    LINK_ATTACHED = "switchyard_link_attached", Gauge, Count,
        "1 while the control plane has accepted this instance's session, else 0.";
    LEASE_BALANCE = "switchyard_lease_balance_usd", Gauge, Count,
        "Dollars of all leases that are free to be spent here.";
    LEASE_ACCOUNTS = "switchyard_lease_accounts", Gauge, Count,
        "Accounts that this instance knows a lease or a denial of.";
    LEASE_GRANTS = "switchyard_lease_grants_total", Counter, Count,
        "Answers to asks for money, by `outcome`.";
    LEASE_RETURNS = "switchyard_lease_returns_total", Counter, Count,
        "Leases given back, by `reason`: idle, recall, doubt, shutdown.";
    LEASE_WAIT = "switchyard_lease_wait_seconds", Histogram, Seconds,
        "How long requests waited for money.";
    MONEY_DENIED = "switchyard_money_denied_total", Counter, Count,
        "Reservations that were refused, by `reason`.";
    DRIFT_SAMPLES = "switchyard_drift_samples_total", Counter, Count,
        "Answers that were compared with what their adapter knows, by `provider`.";
    DRIFT_FINDINGS = "switchyard_drift_findings_total", Counter, Count,
        "Shapes in such answers that their adapter has never seen, by `provider`, `model`, `kind` (`field`, `event`, `word`, `type`, `media`; `overflow` stands for all beyond the bound) and `path`.";
    BREAKER_STATE = "switchyard_endpoint_breaker_state", Gauge, Count,
        "Whether requests go to an endpoint, by `model` and `endpoint`: 0 they do, 1 one at a time to see, 2 not after failures, 3 not until the provider's limit is reset.";
    FLEET_HEALTH = "switchyard_fleet_health_endpoints", Gauge, Count,
        "Endpoints of which the control plane told last how they do over the whole fleet.";
    HOUSE_CHARGES = "switchyard_house_charges_total", Counter, Count,
        "Attempts that cost more than was reserved, by `provider` and `model`; the house bore the rest.";
    RATE_LIMITED = "switchyard_rate_limited_total", Counter, Count,
        "Requests refused by a rate limit, by `scope` and `limit`.";
    RATES_DEGRADED = "switchyard_rates_degraded", Gauge, Count,
        "1 while rate limits are approximate because their store is out of reach, else 0.";
}

/// Gives the recorder units and texts; call once after it is installed.
pub fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_ours() {
        for (index, metric) in ALL.iter().enumerate() {
            assert!(metric.name.starts_with("switchyard_"), "{}", metric.name);
            assert!(ALL[..index].iter().all(|other| other.name != metric.name), "{}", metric.name);
        }
    }
}
