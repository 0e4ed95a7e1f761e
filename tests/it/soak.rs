//! The kill test, for a minute; `make soak SECS=600` runs it for longer. What it is made of is in `tests/src/soak.rs`.

use std::time::Duration;

use switchyard_tests::soak::{KINDS, Plan, run};

/// Requests a second that a machine must be able to do to be held to the floors in full.
const FAST: f64 = 450.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_overspent_and_nothing_billed_is_lost_while_every_part_is_killed_frozen_and_cut_off() {
    // Its faults are always the same; `make soak` draws others.
    let report = run(Plan::new(1, Duration::from_secs(60))).await.unwrap();
    eprintln!("{report}");
    assert_eq!((report.overspend(), report.lost()), (0, 0), "{report}");
    // It should all have come back. But a loan whose answer was lost stays lent until its data plane's next session.
    assert!(report.stranded() <= report.limits() / 100, "{report}");
    assert!(report.tally.served.len() as u64 > report.tally.sent / 10, "{report}");
    assert!(report.tally.refused_for_money > 0, "{report}");
    assert_eq!(report.strays, [""; 0], "{report}");
    assert!(KINDS.iter().all(|kind| report.faults(*kind) >= 2), "{report}");
    // A slow machine does less in a minute; what it does must still mean something.
    let share = (report.speed / FAST).min(1.0) / 2.0;
    assert_eq!(report.shortfalls(share), [""; 0], "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_the_grants_condition_is_found_out() {
    let report = run(Plan::unguarded(1, Duration::from_secs(12))).await.unwrap();
    eprintln!("{report}");
    assert!(report.overspend() > 0, "{report}");
}
