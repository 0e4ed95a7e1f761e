//! Facts of the breaker, told as steps in time.

use super::*;

const QUICK: Policy = Policy { failures: 3, first: 1_000, longest: 60_000 };
const FAILED: Told = Told::Failed { ratio: false };

/// One step: when the attempt began and ended, and how; or none, to look only.
type Step = (Millis, Millis, Option<Told>);

fn may_pass(breaker: &Breaker, now: Millis) -> bool {
    !matches!(breaker.pass(now), Passage::Shut(_))
}

/// The kinds of state after each step.
fn check(steps: &[Step], expected: &[&str]) {
    let breaker = Breaker::new(QUICK);
    let states: Vec<&str> = steps
        .iter()
        .map(|(began, now, told)| {
            if let Some(told) = told {
                breaker.tell(*began, *now, 7, *told);
            }
            match breaker.state(*now) {
                State::Closed => "closed",
                State::HalfOpen => "half-open",
                State::Open { .. } => "open",
                State::Limited { .. } => "limited",
            }
        })
        .collect();
    assert_eq!(states, expected);
}

#[test]
fn it_opens_on_failures_in_a_row() {
    let steps = [(1, 1, Some(FAILED)), (2, 2, Some(FAILED)), (3, 3, Some(FAILED))];
    check(&steps, &["closed", "closed", "open"]);
}

#[test]
fn a_success_between_starts_the_row_again() {
    let steps = [(1, 1, Some(FAILED)), (2, 2, Some(FAILED)), (3, 3, Some(Told::Well)), (4, 4, Some(FAILED))];
    check(&steps, &["closed"; 4]);
}

#[test]
fn a_callers_mistake_neither_opens_it_nor_ends_a_row() {
    let mut steps = [(1, 1, Some(Told::Nothing)); 9].to_vec();
    steps.extend([
        (2, 2, Some(FAILED)),
        (2, 2, Some(FAILED)),
        (2, 2, Some(Told::Nothing)),
        (2, 2, Some(FAILED)),
    ]);
    let mut expected = vec!["closed"; 12];
    expected.push("open");
    check(&steps, &expected);
}

#[test]
fn a_lost_race_is_half_a_failure_and_a_success_between_forgives_it() {
    let mut steps = [(1, 1, Some(Told::Outrun)); 6].to_vec();
    check(&steps, &["closed", "closed", "closed", "closed", "closed", "open"]);
    steps[2].2 = Some(Told::Well);
    check(&steps, &["closed"; 6]);
    check(
        &[(1, 1, Some(FAILED)), (1, 1, Some(Told::Outrun)), (1, 1, Some(Told::Outrun)), (1, 1, Some(FAILED))],
        &["closed", "closed", "closed", "open"],
    );
}

#[test]
fn a_probe_that_is_outrun_opens_it_for_longer() {
    let mut steps = [(1, 1, Some(FAILED)); 3].to_vec();
    steps.extend([(1_003, 1_010, Some(Told::Outrun)), (1_010, 2_009, None), (1_010, 3_011, None)]);
    check(&steps, &["closed", "closed", "open", "open", "open", "half-open"]);
}

#[test]
fn it_opens_on_the_ratio_alone() {
    check(&[(1, 1, Some(Told::Failed { ratio: true }))], &["open"]);
}

#[test]
fn after_the_pause_a_probe_closes_it_or_opens_it_for_longer() {
    let opening = [(1, 1, Some(FAILED)); 3];
    let opened = ["closed", "closed", "open"];
    let mut well = opening.to_vec();
    well.extend([(1, 1_002, None), (1_003, 1_010, Some(Told::Well))]);
    check(&well, &[&opened[..], &["half-open", "closed"]].concat());
    let mut failed = opening.to_vec();
    failed.extend([(1_003, 1_010, Some(FAILED)), (1_010, 2_009, None), (1_010, 3_011, None)]);
    check(&failed, &[&opened[..], &["open", "open", "half-open"]].concat());
}

#[test]
fn what_was_under_way_when_it_opened_says_nothing() {
    let mut steps = [(10, 10, Some(FAILED)); 3].to_vec();
    steps.extend([(5, 1_200, Some(Told::Well)), (5, 1_201, Some(FAILED))]);
    check(&steps, &["closed", "closed", "open", "half-open", "half-open"]);
}

#[test]
fn a_limit_lasts_as_long_as_the_provider_says_but_an_hour_at_most() {
    let limited = |seconds| Some(Told::Limited(Some(Duration::from_secs(seconds))));
    check(&[(1, 1, limited(2)), (1, 2_000, None), (1, 2_001, None)], &["limited", "limited", "closed"]);
    check(
        &[(1, 1, limited(86_400)), (1, 3_600_000, None), (1, 3_600_001, None)],
        &["limited", "limited", "closed"],
    );
}

#[test]
fn a_limit_without_a_word_grows_from_a_second_to_a_minute() {
    let breaker = Breaker::new(QUICK);
    let mut before = 0;
    for round in 0..12 {
        let now = 1 + round * 100_000;
        breaker.tell(now, now, 3, Told::Limited(None));
        let State::Limited { until_ms } = breaker.state(now) else { panic!("not limited") };
        let full = (1_000u64 << round.min(20)).min(60_000);
        assert!((full / 2..=full).contains(&until_ms), "round {round}: {until_ms}");
        assert!(until_ms >= before.min(30_000), "round {round}: {until_ms} after {before}");
        before = until_ms;
    }
}

#[test]
fn exactly_one_of_many_threads_gets_the_probe() {
    let breaker = Breaker::new(QUICK);
    (0..3).for_each(|_| breaker.tell(1, 1, 0, FAILED));
    assert!(!may_pass(&breaker, 2));
    let passed = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| may_pass(&breaker, 1_002))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|passed| *passed).count()
    });
    assert_eq!(passed, 1);
}

#[test]
fn a_probe_that_never_reports_is_given_up() {
    let breaker = Breaker::new(QUICK);
    (0..3).for_each(|_| breaker.tell(1, 1, 0, FAILED));
    assert!(may_pass(&breaker, 1_002));
    assert!(!may_pass(&breaker, 1_001 + PROBE));
    assert!(may_pass(&breaker, 1_002 + PROBE));
}

#[test]
fn a_probe_that_says_nothing_leaves_room_for_the_next() {
    let breaker = Breaker::new(QUICK);
    (0..3).for_each(|_| breaker.tell(2, 2, 0, FAILED));
    assert!(may_pass(&breaker, 1_002));
    breaker.tell(1, 1_003, 0, Told::Nothing);
    assert!(!may_pass(&breaker, 1_004), "that one began before the breaker opened");
    breaker.tell(1_002, 1_005, 0, Told::Nothing);
    assert!(may_pass(&breaker, 1_006));
}

#[test]
fn who_is_kept_out_hears_why_and_for_how_long() {
    let shut = |cause, for_ms| Passage::Shut(Shut { cause, for_ms });
    let breaker = Breaker::new(QUICK);
    assert_eq!(breaker.pass(1), Passage::Free);
    (0..3).for_each(|_| breaker.tell(1, 1, 0, FAILED));
    let State::Open { until_ms } = breaker.state(2) else { panic!("not open") };
    assert_eq!(breaker.pass(2), shut(Cause::Open, until_ms));
    assert_eq!(breaker.pass(2 + until_ms), Passage::Probe);
    assert_eq!(breaker.pass(2 + until_ms), shut(Cause::Probed, PROBED));
    breaker.give_back();
    assert_eq!(breaker.pass(2 + until_ms), Passage::Probe, "what was not sent leaves room for the next");
}

#[test]
fn only_a_limit_whose_end_the_provider_names_keeps_requests_out_and_only_those_it_is_about() {
    let breaker = Breaker::new(QUICK);
    breaker.tell(1, 1, 0, Told::Limited(None));
    assert!(matches!(breaker.state(2), State::Limited { .. }));
    assert_eq!(breaker.pass(2), Passage::Free);
    breaker.tell(2, 2, 0, Told::Limited(Some(Duration::from_secs(9))));
    assert_eq!(breaker.pass(3), Passage::Shut(Shut { cause: Cause::Limited, for_ms: 8_999 }));
    assert_eq!(breaker.pass_unlimited(3), Passage::Free, "it brings a credential of its own");
    breaker.tell(1, 4, 0, Told::Well);
    assert!(!may_pass(&breaker, 9_001), "an answer from before the limit does not lift it");
    assert!(may_pass(&breaker, 9_002));
}

#[test]
fn pauses_double_up_to_a_minute_and_differ_between_seeds() {
    for seed in 0..100 {
        for before in 0..40 {
            let full = (1_000u64 << before.min(20)).min(60_000);
            let pause = pause(&ENDPOINT, before, seed);
            assert!((full / 2..=full).contains(&pause), "{before}, {seed}: {pause}");
        }
    }
    let pauses: std::collections::BTreeSet<Millis> = (0..20).map(|seed| pause(&ENDPOINT, 4, seed)).collect();
    assert!(pauses.len() > 15, "{pauses:?}");
}
