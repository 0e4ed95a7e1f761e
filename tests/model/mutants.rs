//! The tests of the test: with one guard taken away the checker must find how a promise is broken.
//!
//! Each prints its counterexample, the shortest there is.

use stateright::{Checker, HasDiscoveries, Model};

use crate::{
    checks::{SMALL, is_large},
    guards::Guards,
    properties::{ADDS_UP, COVERED, HOME, NO_OVERCHARGE, ON_LEDGER, REAL_SPEND, WITHIN_LIMIT},
    setup::{
        Fault::{self, Crash, Presume, Reconnect, Resend, Restore, Slow},
        Setup,
    },
};

/// Takes guards away, and expects a promise to be broken by at most so many of these faults.
///
/// That it holds with the guards standing is what `checks` says; where there is time it is seen here too, with the same faults.
#[track_caller]
fn kills(guards: Guards, kinds: &'static [Fault], promise: &'static str) {
    if is_large() {
        let whole = Setup { guards: Guards::ALL, kinds, faults: kinds.len() as u8, ..SMALL };
        let checker = whole.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        assert!(checker.discovery(promise).is_none(), "broken with every guard: {promise}");
    }
    let mutant = Setup { guards, kinds, faults: kinds.len() as u8, ..SMALL };
    let checker = mutant.checker().finish_when(HasDiscoveries::AllOf([promise].into())).spawn_bfs().join();
    let Some(path) = checker.discovery(promise) else {
        panic!("survives {} states: {promise}", checker.unique_state_count());
    };
    println!("{promise}: broken by {:?}", path.into_actions());
}

#[test]
fn granting_what_is_asked_for_goes_over_a_limit() {
    let guards = Guards { grant_condition: false, ..Guards::ALL };
    kills(guards, &[], WITHIN_LIMIT);
    kills(guards, &[], REAL_SPEND);
}

#[test]
fn charging_more_than_was_reserved_charges_what_nobody_lent() {
    let guards = Guards { charge_within_reservation: false, ..Guards::ALL };
    kills(guards, &[], NO_OVERCHARGE);
    kills(guards, &[], COVERED);
}

#[test]
fn moving_money_for_known_lines_charges_twice() {
    let guards = Guards { new_rows_only: false, ..Guards::ALL };
    kills(guards, &[Resend], ADDS_UP);
}

#[test]
fn lending_to_a_fenced_session_lends_what_nobody_will_hold() {
    let guards = Guards { epoch_fence: false, ..Guards::ALL };
    kills(guards, &[Slow, Reconnect], HOME);
}

#[test]
fn sending_before_the_intent_is_written_loses_an_attempt() {
    let guards = Guards { intent_before_send: false, ..Guards::ALL };
    kills(guards, &[Crash], ON_LEDGER);
}

#[test]
fn releasing_what_a_silent_instance_holds_spends_it_twice() {
    let guards = Guards { presumed_not_released: false, ..Guards::ALL };
    kills(guards, &[Presume], REAL_SPEND);
}

#[test]
fn restarting_without_the_journal_loses_an_attempt() {
    let guards = Guards { journal_kept: false, ..Guards::ALL };
    kills(guards, &[Crash], ON_LEDGER);
}

#[test]
fn keeping_money_whose_return_was_not_answered_spends_it_twice() {
    let guards = Guards { lost_return_is_gone: false, ..Guards::ALL };
    kills(guards, &[Slow], REAL_SPEND);
}

#[test]
fn writing_a_return_down_only_when_it_is_answered_spends_it_twice() {
    let guards = Guards { return_in_journal_first: false, ..Guards::ALL };
    kills(guards, &[Slow, Crash], REAL_SPEND);
}

#[test]
fn keeping_what_another_incarnation_lent_spends_what_is_not_counted() {
    let guards = Guards { other_incarnation_void: false, ..Guards::ALL };
    kills(guards, &[Restore], COVERED);
}

#[test]
fn counting_epochs_from_the_restored_one_takes_an_old_line_for_a_new_one() {
    let guards = Guards { restore_skips_epochs: false, ..Guards::ALL };
    kills(guards, &[Reconnect, Restore], COVERED);
}

#[test]
fn keeping_void_money_that_could_not_be_given_back_spends_what_is_not_counted() {
    let guards = Guards { void_stays_void: false, ..Guards::ALL };
    kills(guards, &[Slow, Restore], COVERED);
}

#[test]
fn asking_a_store_that_is_not_followed_yet_borrows_what_nobody_will_hold() {
    let guards = Guards { ask_follows_session: false, ..Guards::ALL };
    kills(guards, &[Restore, Reconnect], HOME);
}

#[test]
fn believing_one_answer_about_another_call_forgets_what_it_lent() {
    let guards = Guards { doubt_of_each_call: false, ..Guards::ALL };
    kills(guards, &[Slow, Slow], HOME);
}

#[test]
fn closing_a_session_before_its_lines_are_booked_releases_what_it_spent() {
    let guards = Guards { closing_waits_for_lines: false, ..Guards::ALL };
    kills(guards, &[Slow, Reconnect], COVERED);
}

#[test]
fn closing_a_session_before_its_calls_are_answered_releases_what_it_holds() {
    let guards = Guards { closing_waits_for_calls: false, ..Guards::ALL };
    kills(guards, &[Slow, Reconnect], COVERED);
}
