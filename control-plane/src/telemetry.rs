//! Every metric and span name of the control plane, with units and labels; and joining the traces of data planes.
//!
//! Where metrics and traces go is decided by whoever runs the process.

use std::{collections::HashMap, time::Duration};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Records booked now. Label `outcome`: `booked`, `known`, `quarantined`.
const USAGE_RECORDS: &str = "switchyard_usage_records_total";
/// Nano-dollars that no reservation or lease covered.
const HOUSE_NANO: &str = "switchyard_house_nano_usd_total";
/// Answers to asks for money. Label `outcome`: `granted`, `exhausted`, `busy`, `unlimited`, `unknown_account`.
const LEASE_ASKS: &str = "switchyard_lease_asks_total";
/// Leases of lost instances that were booked as presumed.
const LEASES_PRESUMED: &str = "switchyard_leases_presumed_total";
/// Seconds from sending a push to its answer.
const APPLY_SECONDS: &str = "switchyard_config_apply_seconds";
/// Resources that data planes refused.
const REFUSED: &str = "switchyard_config_refused_total";
/// Pushes that arrived broken.
const BROKEN: &str = "switchyard_config_broken_pushes_total";
/// Attached data planes.
const ATTACHED: &str = "switchyard_fleet_attached";
/// The newest revision.
const REVISION: &str = "switchyard_config_revision";
/// Revisions that the slowest attached data plane is behind.
const LAG: &str = "switchyard_fleet_lag_revisions";
/// 1 while the database answers.
const STORE_UP: &str = "switchyard_store_reachable";
/// Accounts whose balances are not what the ledger adds up to.
const MISMATCHES: &str = "switchyard_ledger_mismatches";
/// Seconds since the moment until which usage is rolled up completely; up to a minute while nothing happens.
const ROLLUP_AGE: &str = "switchyard_rollup_age_seconds";
/// Tries to send events to webhooks. Label `outcome`: `delivered`, `again`, `failed`.
const DELIVERIES: &str = "switchyard_webhook_tries_total";
/// Runs of background jobs. Labels `job`, `outcome`: `done`, `failed`.
const JOBS: &str = "switchyard_jobs_total";

/// Tells the installed recorder what each metric means.
pub fn describe() {
    describe_counter!(USAGE_RECORDS, Unit::Count, "Usage records by what became of them");
    describe_counter!(HOUSE_NANO, Unit::Count, "Nano-dollars that no reservation or lease covered");
    describe_counter!(LEASE_ASKS, Unit::Count, "Asks for money by outcome");
    describe_counter!(LEASES_PRESUMED, Unit::Count, "Leases of lost instances that were booked as presumed");
    describe_histogram!(APPLY_SECONDS, Unit::Seconds, "From sending a config push to its answer");
    describe_counter!(REFUSED, Unit::Count, "Resources that data planes refused");
    describe_counter!(BROKEN, Unit::Count, "Config pushes that arrived broken");
    describe_gauge!(ATTACHED, Unit::Count, "Attached data planes");
    describe_gauge!(REVISION, Unit::Count, "Newest config revision");
    describe_gauge!(LAG, Unit::Count, "Revisions that the slowest attached data plane is behind");
    describe_gauge!(STORE_UP, Unit::Count, "1 while the database answers");
    describe_gauge!(MISMATCHES, Unit::Count, "Accounts whose balances are not what the ledger adds up to");
    describe_gauge!(ROLLUP_AGE, Unit::Seconds, "Age of what usage is rolled up to completely");
    describe_counter!(DELIVERIES, Unit::Count, "Tries to send events to webhooks by outcome");
    describe_counter!(JOBS, Unit::Count, "Runs of background jobs");
}

/// A batch of usage records was committed.
pub fn reported(booked: u64, known: u64, quarantined: u64) {
    counter!(USAGE_RECORDS, "outcome" => "booked").increment(booked);
    counter!(USAGE_RECORDS, "outcome" => "known").increment(known);
    counter!(USAGE_RECORDS, "outcome" => "quarantined").increment(quarantined);
}

/// The operator pays for what nobody's reservation covered.
pub fn borne_by_house(nano: i64) {
    counter!(HOUSE_NANO).increment(u64::try_from(nano).unwrap_or(0));
}

/// An ask for money was answered.
pub fn asked(outcome: &'static str) {
    counter!(LEASE_ASKS, "outcome" => outcome).increment(1);
}

/// Leases of a lost instance were booked.
pub fn presumed(leases: usize) {
    counter!(LEASES_PRESUMED).increment(leases as u64);
}

/// A data plane answered to a push.
pub fn applied(took: Duration, refused: usize) {
    histogram!(APPLY_SECONDS).record(took.as_secs_f64());
    counter!(REFUSED).increment(refused as u64);
}

/// A data plane threw a push away.
pub fn push_broken() {
    counter!(BROKEN).increment(1);
}

/// How the fleet stands.
pub fn fleet(attached: usize, newest: u64, furthest_behind: Option<u64>) {
    gauge!(ATTACHED).set(attached as f64);
    gauge!(REVISION).set(newest as f64);
    gauge!(LAG).set(furthest_behind.map_or(0, |applied| newest.saturating_sub(applied)) as f64);
}

/// Whether the database answers.
pub fn store_reachable(is_reachable: bool) {
    gauge!(STORE_UP).set(if is_reachable { 1.0 } else { 0.0 });
}

/// The ledger was proven.
pub fn mismatches(count: usize) {
    gauge!(MISMATCHES).set(count as f64);
}

/// Usage was rolled up.
pub fn rolled_up(age_seconds: f64) {
    gauge!(ROLLUP_AGE).set(age_seconds);
}

/// An event was sent to a webhook, or tried to be.
pub fn sent(outcome: &'static str) {
    counter!(DELIVERIES, "outcome" => outcome).increment(1);
}

/// A background job ran.
pub fn job(name: &'static str, is_done: bool) {
    counter!(JOBS, "job" => name, "outcome" => if is_done { "done" } else { "failed" }).increment(1);
}

/// Makes a span the child of whoever sent this W3C `traceparent`; nothing happens without one.
pub fn continue_trace(span: &Span, traceparent: &str) {
    if traceparent.is_empty() {
        return;
    }
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    // Fails only where no tracer is installed, and then there is nothing to continue.
    let _ = span.set_parent(context);
}

/// The `traceparent` of a gRPC call.
pub fn traceparent<T>(request: &tonic::Request<T>) -> String {
    let value = request.metadata().get("traceparent").and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}
