//! The checks of the true model. Each prints how many states it saw; none may find a counterexample.
//!
//! The bounds are such that a debug build takes seconds. `SWITCHYARD_MODEL=large` widens them: see `make model`.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::{
    guards::Guards,
    properties,
    setup::{Fault, Setup},
};

/// Two data planes, one key, two attempts of which the limit covers one and a half.
pub const SMALL: Setup = Setup {
    planes: 2,
    limits: &[3],
    lowered: 1,
    attempts: 2,
    reserve: 2,
    prices: &[1, 3],
    appetite: 2,
    faults: 2,
    kinds: &[],
    guards: Guards::ALL,
};

/// Whether there is time for wider bounds.
#[expect(clippy::disallowed_methods, reason = "who runs the tests says how long they may take")]
pub fn is_large() -> bool {
    std::env::var("SWITCHYARD_MODEL").is_ok_and(|bounds| bounds == "large")
}

/// How many faults are allowed where there are many kinds of them.
fn few() -> u8 {
    if is_large() { SMALL.faults } else { 1 }
}

/// The same with one more fault, where there is time.
fn widened(setup: Setup) -> Setup {
    match is_large() {
        true => Setup { faults: setup.faults + 1, ..setup },
        false => setup,
    }
}

/// Checks everything within the bounds.
#[track_caller]
fn check(name: &str, setup: Setup) {
    let setup = widened(setup);
    let start = Instant::now();
    let checker = setup.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{name}: {} states, {} steps, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f64()
    );
    for property in properties::all() {
        let found = checker.discovery(property.name);
        let is_wanted = property.expectation == stateright::Expectation::Sometimes;
        match found {
            Some(path) if !is_wanted => {
                let state = path.last_state().clone();
                panic!("{name}: {} fails after {:#?}\n{state:#?}", property.name, path.into_actions());
            }
            None if is_wanted => panic!("{name}: never seen: {}", property.name),
            _ => {}
        }
    }
}

#[test]
fn the_promises_hold_without_faults() {
    check("no faults", Setup { attempts: 3, limits: &[5], faults: 0, ..SMALL });
}

#[test]
fn the_promises_hold_whatever_dies() {
    use Fault::{Crash, LoseDisk, Presume, Release};
    check("deaths", Setup { kinds: &[Crash, LoseDisk, Presume, Release], ..SMALL });
}

#[test]
fn the_promises_hold_whatever_the_network_does() {
    use Fault::{Fence, Reconnect, Resend, Slow};
    check("network", Setup { faults: few(), kinds: &[Fence, Reconnect, Resend, Slow], ..SMALL });
}

#[test]
fn the_promises_hold_whatever_becomes_of_limits() {
    use Fault::{Crash, Lower, Presume, Reset};
    check("limits", Setup { kinds: &[Crash, Lower, Presume, Reset], ..SMALL });
}

#[test]
fn the_promises_hold_when_the_store_goes_back_in_time() {
    use Fault::{Crash, Reconnect, Restore, Slow};
    check("restore", Setup { faults: few(), kinds: &[Crash, Reconnect, Restore, Slow], ..SMALL });
}

#[test]
fn the_promises_hold_for_attempts_that_bill_two_accounts() {
    use Fault::{Crash, Slow};
    check("two accounts", Setup { limits: &[5, 3], kinds: &[Crash, Slow], faults: 1, ..SMALL });
}
