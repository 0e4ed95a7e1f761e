//! Facts of health as a whole: endpoints apart, credentials apart, and the fleet's view.

use super::*;
use crate::adapters::failure::FailureClass;
use crate::routing::health::fleet::{FleetEndpoint, Uptime};

fn names() -> (ModelId, EndpointId) {
    (ModelId::new("a/m"), EndpointId::new("p"))
}

fn told(model: &ModelId, endpoint: &EndpointId, outcome: Outcome) -> Health {
    let health = Health::default();
    health.tell(&Report::new(model, endpoint, outcome, Duration::ZERO));
    health
}

#[test]
fn an_endpoint_is_known_by_model_and_id() {
    let (model, endpoint) = names();
    let health = told(&model, &endpoint, Outcome::Failed(FailureClass::Server));
    assert!(health.is_failing(&model, &endpoint));
    assert!(!health.is_failing(&ModelId::new("a/n"), &endpoint));
    assert!(!health.is_failing(&model, &EndpointId::new("q")));
    health.retain(|_, _| false);
    assert!(!health.is_failing(&model, &endpoint));
}

#[test]
fn a_refused_credential_is_taken_out_and_not_its_endpoint() {
    let (model, endpoint) = names();
    let (bad, good) = (CredentialId::new("bad"), CredentialId::new("good"));
    for class in [FailureClass::Auth, FailureClass::Payment, FailureClass::RateLimited] {
        let health = Health::default();
        let failed = Report::new(&model, &endpoint, Outcome::Failed(class), Duration::ZERO);
        health.tell_at(1, &Report { credential: Some(&bad), has_other_credentials: true, ..failed });
        assert!(!health.credential_usable(&bad), "{class:?}");
        assert!(health.credential_usable(&good), "{class:?}");
        assert!(!health.reading_at(2, &model, &endpoint).is_failing(), "{class:?}");
        health.tell_at(2, &Report { credential: Some(&bad), ..failed });
        assert!(health.reading_at(3, &model, &endpoint).is_failing(), "{class:?} of the only one");
    }
}

#[test]
fn a_credential_that_does_well_is_not_even_remembered() {
    let (model, endpoint) = names();
    let credential = CredentialId::new("c");
    let health = Health::default();
    let report = Report::new(&model, &endpoint, Outcome::Ok, Duration::ZERO);
    health.tell(&Report { credential: Some(&credential), ..report });
    assert!(health.credentials.all().is_empty());
}

#[test]
fn a_fresh_instance_goes_by_the_fleets_view_until_it_is_old_or_replaced() {
    let (model, endpoint) = names();
    let health = Health::default();
    let uptime = Uptime { permille: 700, requests: 500 };
    let out = FleetEndpoint {
        model: model.clone(),
        endpoint: endpoint.clone(),
        uptime_5m: uptime,
        uptime_30m: uptime,
        uptime_1d: uptime,
        latency_ms: Quantiles::default(),
        throughput: Quantiles::default(),
        tools: Uptime::default(),
        is_out: true,
        open_instances: 1,
    };
    let fleet = FleetHealth { valid_for: Duration::from_secs(15), endpoints: vec![out] };
    health.learn_at(1_000, fleet.clone());
    let reading = health.reading_at(1_001, &model, &endpoint);
    assert!(reading.recent_outage && reading.may_try());
    assert_eq!(reading.uptime, Band::Bad);
    assert!(!health.reading_at(16_000, &model, &endpoint).recent_outage, "too old");
    health.learn_at(20_000, fleet);
    assert!(health.reading_at(20_001, &model, &endpoint).recent_outage);
    health.learn_at(20_002, FleetHealth { valid_for: Duration::from_secs(15), endpoints: vec![] });
    assert!(!health.reading_at(20_003, &model, &endpoint).recent_outage);
}

#[test]
fn deltas_name_what_happened_since_the_last() {
    let (model, endpoint) = names();
    let health = told(&model, &endpoint, Outcome::Failed(FailureClass::Timeout));
    let deltas = health.deltas();
    assert_eq!(deltas.len(), 1);
    assert_eq!(deltas[0].counts[Count::Timeout.place()], 1);
    assert_eq!(deltas[0].consecutive_failures, 1);
    assert!(deltas[0].failed_ago.is_some() && deltas[0].succeeded_ago.is_none());
    assert!(health.deltas().is_empty());
}
