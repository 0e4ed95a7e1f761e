//! Tells the control plane how endpoints do, every few seconds while something happens, and the metrics how breakers
//! stand. What does not arrive is lost: the next report says what is new.

use std::{sync::Arc, time::Duration};

use switchyard_proto::{sketch::Sketch, v1};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{
    background::Background,
    link::{Link, Session},
    routing::health::{
        Health, State,
        count::{Count, Counts},
        delta::Delta,
    },
    telemetry::metrics as names,
};

const EVERY: Duration = Duration::from_secs(3);
/// Endpoints of one report.
const MOST: usize = 500;

/// Starts reporting, until shutdown.
pub fn start(health: Arc<Health>, link: Arc<Link>, background: &Background) {
    let session = link.session();
    let stopping = background.stopping().clone();
    background.spawn(async move { stopping.run_until_cancelled(run(health, link, session)).await });
}

async fn run(health: Arc<Health>, link: Arc<Link>, session: watch::Receiver<Option<Session>>) {
    let mut ticker = interval(EVERY);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticker.tick().await;
        for (model, endpoint, state) in health.states() {
            let labels = [("model", model.to_string()), ("endpoint", endpoint.to_string())];
            metrics::gauge!(names::BREAKER_STATE, &labels).set(f64::from(wire_state(state).0 as i32));
        }
        let Some(session) = session.borrow().clone() else { continue };
        for deltas in health.deltas().chunks(MOST) {
            report(&link, &session, deltas).await;
        }
    }
}

async fn report(link: &Link, session: &Session, deltas: &[Delta]) {
    let request = v1::ReportHealthRequest {
        instance: session.instance.as_str().to_owned(),
        epoch: session.epoch,
        endpoints: deltas.iter().map(to_proto).collect(),
    };
    match link.report_health(request).await {
        Ok(v1::ReportHealthResponse { refused: 0 }) => {}
        Ok(v1::ReportHealthResponse { refused }) => {
            tracing::warn!(refused, "the control plane does not take how some endpoints do");
        }
        Err(error) => tracing::debug!(%error, "how endpoints do could not be handed over and is lost"),
    }
}

fn to_proto(delta: &Delta) -> v1::EndpointNews {
    let (state, until_ms) = wire_state(delta.state);
    v1::EndpointNews {
        model: delta.model.to_string(),
        endpoint: delta.endpoint.to_string(),
        counts: Some(counts(&delta.counts)),
        latency: sketch(&delta.latency),
        throughput: sketch(&delta.throughput),
        consecutive_failures: delta.consecutive_failures,
        state: state.into(),
        until_ms,
        failed_ago_ms: delta.failed_ago,
        succeeded_ago_ms: delta.succeeded_ago,
    }
}

/// The wire's word, and in how many milliseconds requests may go again.
fn wire_state(state: State) -> (v1::BreakerState, u64) {
    match state {
        State::Closed => (v1::BreakerState::BreakerClosed, 0),
        State::HalfOpen => (v1::BreakerState::BreakerHalfOpen, 0),
        State::Open { until_ms } => (v1::BreakerState::BreakerOpen, until_ms),
        State::Limited { until_ms } => (v1::BreakerState::BreakerLimited, until_ms),
    }
}

fn counts(counts: &Counts) -> v1::HealthCounts {
    let of = |count: Count| counts[count.place()];
    v1::HealthCounts {
        ok: of(Count::Ok),
        rate_limited: of(Count::RateLimited),
        overloaded: of(Count::Overloaded),
        timeout: of(Count::Timeout),
        server: of(Count::Server),
        malformed: of(Count::Malformed),
        credential: of(Count::Credential),
        permission: of(Count::Permission),
        not_found: of(Count::NotFound),
        tools_valid: of(Count::ToolsValid),
        tools_invalid: of(Count::ToolsInvalid),
    }
}

fn sketch(sketch: &Sketch) -> Option<v1::Sketch> {
    let (buckets, counts): (Vec<u32>, Vec<u32>) =
        sketch.filled().map(|(bucket, count)| (u32::try_from(bucket).unwrap_or(u32::MAX), count)).unzip();
    (!buckets.is_empty()).then_some(v1::Sketch { buckets, counts })
}

#[cfg(test)]
mod tests {
    use switchyard_proto::id::{EndpointId, ModelId};

    use super::*;
    use crate::adapters::failure::FailureClass;
    use crate::routing::health::{Outcome, Report};

    #[test]
    fn news_says_what_was_counted_and_how_long_the_breaker_stays_open() {
        let health = Health::default();
        let (model, endpoint) = (ModelId::new("a/m"), EndpointId::new("p"));
        let report = Report::new(&model, &endpoint, Outcome::Ok, Duration::from_secs(2));
        let first_content = Some(Duration::from_millis(100));
        health.tell(&Report { first_content, completion_tokens: 190, ..report });
        health.tell_tools(&model, &endpoint, true);
        let timeout = Outcome::Failed(FailureClass::Timeout);
        (0..5).for_each(|_| health.tell(&Report { outcome: timeout, duration: Duration::ZERO, ..report }));
        let news: Vec<_> = health.deltas().iter().map(to_proto).collect();
        assert_eq!(news.len(), 1);
        let news = &news[0];
        let expected = v1::HealthCounts { ok: 1, timeout: 5, tools_valid: 1, ..Default::default() };
        assert_eq!(news.counts.as_ref(), Some(&expected));
        assert_eq!((news.state(), news.consecutive_failures), (v1::BreakerState::BreakerOpen, 5));
        assert!((1..=1000).contains(&news.until_ms), "{}", news.until_ms);
        let filled = |sketch: &Option<v1::Sketch>| sketch.as_ref().map(|sketch| sketch.counts.clone());
        assert_eq!((filled(&news.latency), filled(&news.throughput)), (Some(vec![1]), Some(vec![1])));
        assert!(news.failed_ago_ms.is_some() && news.succeeded_ago_ms.is_some());
    }
}
