//! Facts of one endpoint's cell.

use std::time::Duration;

use switchyard_proto::id::{EndpointId, ModelId};

use super::*;
use crate::adapters::failure::FailureClass;
use crate::routing::health::State;

const SERVER: Outcome = Outcome::Failed(FailureClass::Server);

fn tell(cell: &Cell, now: Millis, outcome: Outcome) {
    tell_with(cell, now, outcome, |report| report);
}

fn tell_with(cell: &Cell, now: Millis, outcome: Outcome, with: impl Fn(Report<'_>) -> Report<'_>) {
    let (model, endpoint) = (ModelId::new("a/m"), EndpointId::new("p"));
    cell.tell(now, &with(Report::new(&model, &endpoint, outcome, Duration::ZERO)));
}

fn repeat(cell: &Cell, now: Millis, times: u32, outcome: Outcome) {
    (0..times).for_each(|_| tell(cell, now, outcome));
}

#[test]
fn a_failure_counts_for_half_a_minute_or_until_a_success_follows() {
    let cell = Cell::default();
    assert!(!cell.reading(1).recent_outage);
    tell(&cell, 10, SERVER);
    assert!(cell.reading(11).recent_outage);
    assert!(cell.reading(10 + OUTAGE).recent_outage);
    assert!(!cell.reading(11 + OUTAGE).recent_outage);
    tell(&cell, 12, Outcome::Ok);
    assert!(!cell.reading(13).recent_outage);
}

#[test]
fn uptime_leaves_out_what_openrouter_leaves_out() {
    for (outcome, requests, permille) in [
        (SERVER, 10, 900),
        (Outcome::Failed(FailureClass::Timeout), 10, 900),
        (Outcome::Failed(FailureClass::Overloaded), 10, 900),
        (Outcome::Failed(FailureClass::Malformed), 10, 900),
        (Outcome::Failed(FailureClass::NotFound), 10, 900),
        (Outcome::Failed(FailureClass::Auth), 10, 900),
        (Outcome::Failed(FailureClass::Payment), 10, 900),
        (Outcome::Failed(FailureClass::RateLimited), 9, 1000),
        (Outcome::Failed(FailureClass::Permission), 9, 1000),
        (Outcome::Failed(FailureClass::InvalidRequest), 9, 1000),
        (Outcome::Failed(FailureClass::ContextLength), 9, 1000),
        (Outcome::CallersFault, 9, 1000),
        (Outcome::Cancelled, 9, 1000),
        (Outcome::Outrun, 9, 1000),
    ] {
        let cell = Cell::default();
        repeat(&cell, 1, 9, Outcome::Ok);
        tell(&cell, 1, outcome);
        let reading = cell.reading(2);
        assert_eq!((reading.requests, reading.uptime_permille), (requests, permille), "{outcome:?}");
    }
}

#[test]
fn a_race_lost_tells_how_long_the_silence_was_and_ten_in_a_row_open_the_breaker() {
    let outrun = |cell: &Cell, outcome| {
        let silent = Duration::from_millis(500);
        tell_with(cell, 1, outcome, |report| Report { duration: silent, ..report });
    };
    let cell = Cell::default();
    for _ in 0..9 {
        outrun(&cell, Outcome::Outrun);
    }
    let reading = cell.reading(2);
    assert_eq!((reading.latency_ms.samples, reading.state, reading.recent_outage), (9, State::Closed, false));
    assert!((450.0..550.0).contains(&reading.latency_ms.p50), "{reading:?}");
    outrun(&cell, Outcome::Outrun);
    assert!(matches!(cell.reading(3).state, State::Open { .. }));
    let called_off = Cell::default();
    outrun(&called_off, Outcome::Cancelled);
    assert_eq!(called_off.reading(2).latency_ms.samples, 0);
}

#[test]
fn uptime_is_that_of_the_last_five_minutes() {
    let cell = Cell::default();
    repeat(&cell, 5_000, 50, SERVER);
    repeat(&cell, 200_000, 150, Outcome::Ok);
    assert_eq!(cell.reading(200_001).uptime, Band::Bad);
    assert_eq!(cell.reading(299_999).requests, 200);
    let later = cell.reading(309_999);
    assert_eq!((later.uptime, later.requests), (Band::Normal, 150));
    assert_eq!(cell.reading(900_000).uptime, Band::Unknown);
}

#[test]
fn sums_are_added_up_once_a_second_and_the_state_is_always_new() {
    let cell = Cell::default();
    assert_eq!(cell.reading(1).requests, 0);
    repeat(&cell, 2, 5, SERVER);
    let reading = cell.reading(3);
    assert_eq!(reading.requests, 0);
    assert!(matches!(reading.state, State::Open { .. }));
    assert_eq!(cell.reading(1_001).requests, 5);
}

#[test]
fn half_of_many_attempts_open_the_breaker_and_half_of_few_do_not() {
    let alternate = |times: u32| {
        let cell = Cell::default();
        for _ in 0..times {
            tell(&cell, 1, Outcome::Ok);
            tell(&cell, 1, SERVER);
        }
        cell.reading(2).may_try()
    };
    assert!(alternate(9));
    assert!(!alternate(10));
}

#[test]
fn what_failed_before_the_breaker_closed_does_not_open_it_again() {
    let cell = Cell::default();
    repeat(&cell, 1, 30, SERVER);
    tell(&cell, 20_000, Outcome::Ok);
    assert_eq!(cell.reading(20_001).state, State::Closed);
    tell(&cell, 20_002, SERVER);
    assert_eq!(cell.reading(20_003).state, State::Closed);
}

#[test]
fn refusals_that_are_not_the_machines_fault_open_nothing() {
    for class in
        [FailureClass::InvalidRequest, FailureClass::Auth, FailureClass::NotFound, FailureClass::Permission]
    {
        let cell = Cell::default();
        repeat(&cell, 1, 50, Outcome::Failed(class));
        assert_eq!(cell.reading(2).state, State::Closed, "{class:?}");
    }
}

#[test]
fn a_limit_closes_the_endpoint_unless_another_credential_can_be_used() {
    let limited = Outcome::Failed(FailureClass::RateLimited);
    let credential = switchyard_proto::id::CredentialId::new("c");
    let check = |has_other_credentials, expected: State, is_out: bool| {
        let cell = Cell::default();
        let (model, endpoint) = (ModelId::new("a/m"), EndpointId::new("p"));
        let report = Report {
            credential: Some(&credential),
            has_other_credentials,
            retry_after: Some(Duration::from_secs(5)),
            ..Report::new(&model, &endpoint, limited, Duration::ZERO)
        };
        cell.tell(1, &report);
        let reading = cell.reading(2);
        assert_eq!((reading.state, reading.recent_outage), (expected, is_out));
    };
    check(false, State::Limited { until_ms: 4_999 }, true);
    check(true, State::Closed, false);
}

#[test]
fn latency_and_throughput_run_in_opposite_directions() {
    let cell = Cell::default();
    for step in 1..=100 {
        tell_with(&cell, 1, Outcome::Ok, |report| Report {
            first_content: Some(Duration::from_millis(step * 10)),
            duration: Duration::from_millis(step * 20),
            completion_tokens: 100,
            ..report
        });
    }
    let reading = cell.reading(2);
    let (latency, speed) = (reading.latency_ms, reading.throughput);
    assert_eq!((latency.samples, speed.samples), (100, 100));
    for (told, truth) in
        [(latency.p50, 500.0), (latency.p99, 990.0), (speed.p50, 100.0 / 0.5), (speed.p99, 100.0 / 0.99)]
    {
        assert!((told - truth).abs() / truth < 0.06, "{told} for {truth}");
    }
    assert!(speed.p99 < speed.p50 && latency.p99 > latency.p50);
    assert_eq!(cell.reading(400_000).latency_ms, Quantiles::default());
}

#[test]
fn tool_calls_are_counted_per_answer() {
    let cell = Cell::default();
    for valid in [true, true, false, true] {
        tell(&cell, 1, Outcome::Ok);
        cell.tell_tools(1, valid);
    }
    tell(&cell, 1, Outcome::Ok);
    let reading = cell.reading(2);
    assert_eq!((reading.tool_success_permille, reading.tool_requests), (750, 4));
}

#[test]
fn news_is_taken_once() {
    let cell = Cell::default();
    assert!(cell.take_unreported().is_none());
    tell(&cell, 1, SERVER);
    tell_with(&cell, 1, Outcome::Ok, |report| Report {
        first_content: Some(Duration::from_millis(1)),
        ..report
    });
    let (counts, latency, throughput) = cell.take_unreported().unwrap();
    assert_eq!((counts[Count::Ok.place()], counts[Count::Server.place()]), (1, 1));
    assert_eq!((latency.filled().count(), throughput.filled().count()), (1, 0));
    assert!(cell.take_unreported().is_none());
}
