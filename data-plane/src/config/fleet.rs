//! The control plane's view of all endpoints, as health takes it. It is no config and is never kept.

use std::time::Duration;

use switchyard_proto::id::{EndpointId, ModelId};
use switchyard_proto::{sketch, v1};

use crate::routing::health::cell::{OUTAGE, THROUGHPUT_UNIT};
use crate::routing::health::fleet::{FleetEndpoint, FleetHealth, Uptime};
use crate::routing::health::reading::Quantiles;

/// Reads a view. What this version cannot read of an endpoint counts as unknown.
pub fn from_proto(view: v1::FleetHealth) -> FleetHealth {
    FleetHealth {
        valid_for: Duration::from_millis(view.valid_for_ms),
        endpoints: view.endpoints.iter().map(endpoint).collect(),
    }
}

fn endpoint(told: &v1::FleetEndpoint) -> FleetEndpoint {
    FleetEndpoint {
        model: ModelId::new(told.model.as_str()),
        endpoint: EndpointId::new(told.endpoint.as_str()),
        uptime_5m: uptime(told.uptime_5m),
        uptime_30m: uptime(told.uptime_30m),
        uptime_1d: uptime(told.uptime_1d),
        latency_ms: quantiles(told.latency.as_ref(), 1.0),
        throughput: quantiles(told.throughput.as_ref(), THROUGHPUT_UNIT),
        tools: uptime(told.tools),
        is_out: is_out(told),
        open_instances: told.open_instances,
    }
}

/// The same rule as an instance has for itself, over all of them: failed a moment ago, and not answered well since.
fn is_out(told: &v1::FleetEndpoint) -> bool {
    let failed = told.failed_ago_ms.filter(|ago| *ago <= OUTAGE);
    let is_failing =
        failed.is_some_and(|failed| told.succeeded_ago_ms.is_none_or(|answered| answered > failed));
    is_failing || told.open_instances > 0
}

fn uptime(told: Option<v1::Uptime>) -> Uptime {
    let told = told.unwrap_or_default();
    let permille = u16::try_from(told.permille.min(1000)).unwrap_or(1000);
    Uptime { permille, requests: told.requests }
}

fn quantiles(told: Option<&v1::Marks>, unit: f32) -> Quantiles {
    let marks = told.and_then(|told| {
        let buckets: Vec<u8> = told.buckets.iter().map_while(|bucket| u8::try_from(*bucket).ok()).collect();
        Some(sketch::Marks { samples: told.samples, buckets: buckets.try_into().ok()? })
    });
    Quantiles::of(marks.unwrap_or_default(), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_a_failure_a_moment_ago_without_a_success_since() {
        let check = |failed_ago_ms, succeeded_ago_ms, open_instances, expected| {
            let told =
                v1::FleetEndpoint { failed_ago_ms, succeeded_ago_ms, open_instances, ..Default::default() };
            assert_eq!(is_out(&told), expected, "{told:?}");
        };
        check(None, None, 0, false);
        check(Some(100), None, 0, true);
        check(Some(100), Some(200), 0, true);
        check(Some(200), Some(100), 0, false);
        check(Some(OUTAGE + 1), None, 0, false);
        check(None, Some(1), 2, true);
    }

    #[test]
    fn marks_that_cannot_be_read_are_unknown() {
        let told = |buckets| quantiles(Some(&v1::Marks { samples: 9, buckets }), 0.1);
        assert_eq!(told(vec![10, 20, 30, 40]).samples, 9);
        assert!(told(vec![10, 20, 30, 40]).p50 < 1.0);
        for buckets in [vec![], vec![1, 2, 3], vec![1, 2, 3, 256]] {
            assert_eq!(told(buckets), Quantiles::default());
        }
    }
}
