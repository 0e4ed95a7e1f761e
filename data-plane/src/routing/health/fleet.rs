//! What all instances together know of endpoints, as the control plane sends it: good for a while, and second to what
//! this instance has seen itself.

use std::time::Duration;

use switchyard_proto::id::{EndpointId, ModelId};

use crate::routing::health::breaker::Millis;
use crate::routing::health::reading::{Band, ENOUGH, Quantiles, Reading};

/// Fewer measured answers of one's own than this, and the fleet's speak.
const ENOUGH_SAMPLES: u32 = 20;

/// The fleet's view, complete: it replaces what was learned before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetHealth {
    /// How long it may be used.
    pub valid_for: Duration,
    pub endpoints: Vec<FleetEndpoint>,
}

/// One endpoint, over the whole fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetEndpoint {
    pub model: ModelId,
    pub endpoint: EndpointId,
    pub uptime_5m: Uptime,
    pub uptime_30m: Uptime,
    pub uptime_1d: Uptime,
    /// Milliseconds to first content, over 30 minutes.
    pub latency_ms: Quantiles,
    /// Tokens per second, over 30 minutes.
    pub throughput: Quantiles,
    /// Answers with tool calls over 30 minutes of which every call was valid, in a thousand, and of how many.
    pub tools: Uptime,
    /// It failed a moment ago wherever it was tried, or instances keep requests from it.
    pub is_out: bool,
    /// Instances whose breaker is open.
    pub open_instances: u32,
}

/// A share in a thousand, and of how many attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uptime {
    pub permille: u16,
    pub requests: u32,
}

/// The fleet's view of one endpoint, while it is good.
#[derive(Debug)]
pub struct View {
    /// On this process's clock.
    pub until: Millis,
    pub health: FleetEndpoint,
}

impl View {
    /// A reading of this instance's own, with the fleet's numbers where its own are too few. The fleet's outage moves
    /// an endpoint back and never closes it; nor does it where this instance has answers of its own.
    pub fn complete(&self, own: Reading, has_answered: bool) -> Reading {
        let health = &self.health;
        let uptimes = [health.uptime_5m, health.uptime_30m];
        let uptime = uptimes.into_iter().find(|uptime| own.requests < ENOUGH && uptime.requests >= ENOUGH);
        let uptime = uptime.unwrap_or(Uptime { permille: own.uptime_permille, requests: own.requests });
        let own_tools = Uptime { permille: own.tool_success_permille, requests: own.tool_requests };
        let tools = if own_tools.requests < ENOUGH && health.tools.requests > own_tools.requests {
            health.tools
        } else {
            own_tools
        };
        Reading {
            recent_outage: own.recent_outage || (health.is_out && !has_answered),
            uptime: Band::of(uptime.permille, uptime.requests),
            uptime_permille: uptime.permille,
            requests: uptime.requests,
            latency_ms: fuller(own.latency_ms, health.latency_ms),
            throughput: fuller(own.throughput, health.throughput),
            tool_success_permille: tools.permille,
            tool_requests: tools.requests,
            ..own
        }
    }
}

fn fuller(own: Quantiles, fleet: Quantiles) -> Quantiles {
    if own.samples < ENOUGH_SAMPLES && fleet.samples > own.samples { fleet } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(requests: u32, permille: u16, is_out: bool) -> View {
        let uptime = Uptime { permille, requests };
        let health = FleetEndpoint {
            model: ModelId::new("a/m"),
            endpoint: EndpointId::new("p"),
            uptime_5m: uptime,
            uptime_30m: Uptime { permille: 999, requests: 1000 },
            uptime_1d: Uptime::default(),
            latency_ms: Quantiles { samples: 50, p50: 7.0, ..Quantiles::default() },
            throughput: Quantiles::default(),
            tools: Uptime { permille: 500, requests: 40 },
            is_out,
            open_instances: u32::from(is_out),
        };
        View { until: 1, health }
    }

    #[test]
    fn the_fleets_numbers_stand_in_where_ones_own_are_too_few() {
        let few = Reading { requests: 99, uptime_permille: 1000, ..Reading::default() };
        let enough = Reading { requests: 100, uptime_permille: 1000, uptime: Band::Normal, ..few };
        let told = |view: &View, own| {
            let reading = view.complete(own, true);
            (reading.uptime, reading.requests)
        };
        assert_eq!(told(&view(500, 700, false), few), (Band::Bad, 500));
        assert_eq!(told(&view(99, 700, false), few), (Band::Normal, 1000), "half an hour has enough");
        assert_eq!(told(&view(500, 700, false), enough), (Band::Normal, 100));
        let latency = |samples| {
            let own = Quantiles { samples, p50: 1.0, ..Quantiles::default() };
            view(0, 0, false).complete(Reading { latency_ms: own, ..few }, true).latency_ms.p50
        };
        assert_eq!([latency(0), latency(19), latency(20)], [7.0, 7.0, 1.0]);
        let tools = |tool_requests| {
            let own = Reading { tool_requests, tool_success_permille: 1000, ..few };
            view(0, 0, false).complete(own, true).tool_success_permille
        };
        assert_eq!([tools(0), tools(39), tools(40), tools(100)], [500, 500, 1000, 1000]);
    }

    #[test]
    fn the_fleets_outage_moves_back_and_never_closes() {
        let out = view(0, 0, true).complete(Reading::default(), false);
        assert!(out.recent_outage && out.may_try());
        assert!(!view(0, 0, true).complete(Reading::default(), true).recent_outage);
        assert!(!view(0, 0, false).complete(Reading::default(), false).recent_outage);
    }
}
