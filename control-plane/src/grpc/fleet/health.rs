//! How endpoints do, as messages.

use chrono::{DateTime, Utc};
use switchyard_proto::{
    sketch::{Marks, value_of},
    v1::{BreakerState, EndpointHealth, HealthCounts, InstanceBreaker, Percentiles},
};

use crate::{
    domain::health::{Breaker, Counts, Endpoint, State},
    grpc::common::timestamp,
};

/// One unit of the throughput sketch, in tokens per second.
const THROUGHPUT_UNIT: f64 = 0.1;

/// One endpoint.
pub fn to_proto(endpoint: Endpoint, now: DateTime<Utc>) -> EndpointHealth {
    EndpointHealth {
        uptime_last_5m: endpoint.uptime_5m.percent(),
        uptime_last_30m: endpoint.uptime_30m.percent(),
        uptime_last_1d: endpoint.uptime_1d.percent(),
        requests_last_5m: endpoint.uptime_5m.all,
        requests_last_30m: endpoint.uptime_30m.all,
        requests_last_1d: endpoint.uptime_1d.all,
        latency_last_30m: percentiles(endpoint.latency, 1.0),
        throughput_last_30m: percentiles(endpoint.throughput, THROUGHPUT_UNIT),
        tool_success_last_30m: endpoint.tools.percent(),
        last_failure_at: endpoint.failed_at().and_then(timestamp),
        last_success_at: endpoint.succeeded_at().and_then(timestamp),
        counts_last_30m: Some(counts(&endpoint.counts)),
        open_instances: endpoint.open_instances(now),
        breakers: endpoint.breakers.into_iter().map(breaker).collect(),
        model: endpoint.name.model,
        endpoint: endpoint.name.endpoint,
    }
}

fn percentiles(marks: Marks, unit: f64) -> Option<Percentiles> {
    let [p50, p75, p90, p99] = marks.buckets.map(|bucket| value_of(bucket.into()) * unit);
    (marks.samples > 0).then(|| Percentiles { p50, p75, p90, p99, samples: marks.samples.into() })
}

fn breaker(breaker: Breaker) -> InstanceBreaker {
    let state = match breaker.state {
        State::Closed => BreakerState::BreakerClosed,
        State::HalfOpen => BreakerState::BreakerHalfOpen,
        State::Open => BreakerState::BreakerOpen,
        State::Limited => BreakerState::BreakerLimited,
    };
    InstanceBreaker {
        instance: breaker.instance,
        state: state.into(),
        until: breaker.until.and_then(timestamp),
        consecutive_failures: breaker.consecutive_failures,
        reported_at: timestamp(breaker.reported_at),
    }
}

fn counts(counts: &Counts) -> HealthCounts {
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    HealthCounts {
        ok: count(counts.ok),
        rate_limited: count(counts.rate_limited),
        overloaded: count(counts.overloaded),
        timeout: count(counts.timeout),
        server: count(counts.server),
        malformed: count(counts.malformed),
        credential: count(counts.credential),
        permission: count(counts.permission),
        not_found: count(counts.not_found),
        tools_valid: count(counts.tools_valid),
        tools_invalid: count(counts.tools_invalid),
    }
}
