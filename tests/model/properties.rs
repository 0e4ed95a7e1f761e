//! What must hold: P1 in every state, P2 and the homecoming of money in every state of rest.

use stateright::Property;
use switchyard_proto::v1::Provenance;

use crate::{
    line::Closing,
    setup::Setup,
    state::{Attempt, Plane, Row, State},
    steps::rows,
    store::LeaseName,
};

pub const WITHIN_LIMIT: &str = "P1: an account is never taken further than its limit allows";
pub const REAL_SPEND: &str = "P1: what providers billed, up to its reservation, is within the limit";
pub const COVERED: &str = "P1: what data planes hold and owe is counted by the store";
pub const NO_OVERCHARGE: &str = "P1: no charge is beyond its reservation";
pub const ADDS_UP: &str = "P2: balances are the sums of lines and leases";
pub const ON_LEDGER: &str = "P2: at rest every attempt is on the ledger, as it ended";
pub const HOME: &str = "P2: at rest nothing is lent that nobody holds";
/// Without these the others would hold of a model that does nothing.
pub const ALL_DONE: &str = "every attempt can be booked and all be at rest";
pub const HOUSE: &str = "the house can have to pay";

/// The promises, and that there is something to them.
pub fn all() -> Vec<Property<Setup>> {
    vec![
        Property::always(WITHIN_LIMIT, |_, state: &State| !state.truth.went_over),
        Property::always(REAL_SPEND, |setup, state: &State| real_spend_is_within_the_limit(setup, state)),
        Property::always(COVERED, |setup, state: &State| all_is_covered(setup, state)),
        Property::always(NO_OVERCHARGE, |_, state: &State| !state.truth.overcharged),
        Property::always(ADDS_UP, |setup, state: &State| rows(setup).all(|row| adds_up(state, row))),
        Property::always(ON_LEDGER, |_, state: &State| !is_at_rest(state) || every_attempt_is_booked(state)),
        Property::always(HOME, |_, state: &State| !is_at_rest(state) || all_is_home(state)),
        Property::sometimes(ALL_DONE, |_, state: &State| {
            is_at_rest(state)
                && state.next_attempt().is_none()
                && state.store.lines.len() == state.attempts.len()
        }),
        Property::sometimes(HOUSE, |_, state: &State| {
            state.store.lines.values().any(|line| line.lines().house.is_some())
        }),
    ]
}

/// Looks past all bookkeeping: the worst that providers can have billed for attempts that were sent.
///
/// Says nothing once the store went back in time or an operator released what was not his to release: then the house pays.
fn real_spend_is_within_the_limit(setup: &Setup, state: &State) -> bool {
    if state.truth.restored_at.is_some() || !state.truth.released.is_empty() {
        return true;
    }
    rows(setup).all(|row| {
        let sent = state.attempts.iter().filter_map(Attempt::sent).filter(|(_, dues, _)| dues.contains(&row));
        let spent: u64 = sent.map(|(.., price)| price.unwrap_or(u64::MAX).min(setup.reserve)).sum();
        spent as i64 <= setup.limits[usize::from(row.owner)]
    })
}

/// The same, lease by lease: a session's unspent and unbooked money is no more than the store counts of its lease.
fn all_is_covered(setup: &Setup, state: &State) -> bool {
    (0..).zip(&state.planes).all(|(number, plane)| {
        let newest = plane.disk.mark.map_or(0, |mark| mark.epoch);
        let epochs = 1..=state.store.epochs[usize::from(number)].max(newest);
        epochs.filter(|epoch| !state.truth.released.contains(&(number, *epoch))).all(|epoch| {
            let owes = |row| owes(setup, state, number, row, epoch).map(|amount| amount as i64);
            rows(setup).all(|row| owes(row).is_none_or(|amount| amount <= counted(state, row, number, epoch)))
        })
    })
}

/// What a session holds or owes of an account; `None` where that cannot be told yet, because the store went back in time.
fn owes(setup: &Setup, state: &State, number: u8, row: Row, epoch: u64) -> Option<u64> {
    let plane = &state.planes[usize::from(number)];
    let all = plane.holds_of(row, epoch, setup.reserve) + unbooked(state, plane, row, epoch);
    let Some(epochs) = &state.truth.restored_at else { return Some(all) };
    if plane.disk.mark.is_none_or(|mark| mark.incarnation != state.store.incarnation) {
        return None;
    }
    // What is still under way or unbooked of the other incarnation may be the house's; nothing more may be spent of it.
    let is_of_this_store = epoch > epochs[usize::from(number)];
    Some(if is_of_this_store { all } else { plane.spendable(row, epoch) })
}

/// Charges of a session that are in its journal and not on the ledger.
fn unbooked(state: &State, plane: &Plane, row: Row, epoch: u64) -> u64 {
    let is_unbooked = |line: &&Closing| {
        line.epoch == epoch && line.dues.contains(&row) && !state.store.lines.contains_key(&line.attempt)
    };
    plane.disk.closings.iter().filter(is_unbooked).map(Closing::charged).sum()
}

/// What the store counts of a lease besides its lines.
fn counted(state: &State, row: Row, plane: u8, epoch: u64) -> i64 {
    state.store.leases.get(&(row, plane, epoch)).map_or(0, |lease| lease.granted - lease.used)
}

/// The proof job of the control plane: `store::proof::accounts`.
fn adds_up(state: &State, row: Row) -> bool {
    let balance = state.store.accounts.get(&row).copied().unwrap_or_default();
    let moved = state.store.moved.get(&row).copied().unwrap_or_default();
    let lines = state.store.lines.values().filter(|line| line.dues.contains(&row));
    let charged: i64 = lines.map(|line| line.charged() as i64).sum();
    let leases = state.store.leases.iter().filter(|((of, ..), _)| *of == row);
    let lent: i64 = leases.map(|(_, lease)| lease.rest()).sum();
    balance.charged == charged + moved.charged && balance.presumed == moved.presumed && balance.lent == lent
}

/// Nothing is under way, every data plane that can return is there, and its journal is booked.
pub fn is_at_rest(state: &State) -> bool {
    let is_under_way = |attempt: &Attempt| matches!(attempt, Attempt::UnderWay { .. });
    state.network.is_empty()
        && !state.attempts.iter().any(is_under_way)
        && state.planes.iter().enumerate().all(|(number, plane)| plane.is_lost || rests(state, number, plane))
}

fn rests(state: &State, number: usize, plane: &Plane) -> bool {
    let Some(session) = plane.process.as_ref().and_then(|process| process.session) else { return false };
    session.epoch == state.store.epochs[number]
        && session.incarnation == state.store.incarnation
        && plane.has_followed()
        && plane.disk.acknowledged == plane.disk.closings.len()
        && plane.disk.acknowledged_by.is_none_or(|by| by == state.store.incarnation)
}

/// Each attempt has the one line that it deserves; of what went with a disk no line can come, and [`all_is_covered`] says
/// that it stays counted.
fn every_attempt_is_booked(state: &State) -> bool {
    state.attempts.iter().enumerate().all(|(number, attempt)| {
        let line = state.store.lines.get(&(number as u8));
        match (attempt.sent(), line) {
            (None, None) => true,
            (Some((plane, ..)), None) => state.planes[usize::from(plane)].is_lost,
            (Some((.., price)), Some(line)) => is_faithful(line, price),
            (None, Some(_)) => false,
        }
    })
}

/// What is charged and what the house bears is what was billed, and the line says how that is known.
fn is_faithful(closing: &Closing, price: Option<u64>) -> bool {
    let lines = closing.lines();
    let house = lines.house.as_ref().map_or(0, |line| line.charge_nano);
    let (billed, provenance) = match price {
        Some(price) => (price, Provenance::ProviderFinal),
        None => (closing.reserved, Provenance::Interrupted),
    };
    lines.attempt.charge_nano + house == billed as i64 && lines.attempt.provenance == provenance as i16
}

/// What the store counts of a lease is what its holder holds, unless that is in doubt and will be closed.
///
/// Of what a restored store remembers to have lent its holders know nothing any more: it stays lent.
fn all_is_home(state: &State) -> bool {
    state.store.leases.iter().filter(|(name, _)| is_expected(state, **name)).all(
        |((row, number, epoch), lease)| {
            let plane = &state.planes[usize::from(*number)];
            let may_close = plane.disk.doubts.contains(&(*row, *epoch));
            may_close || lease.granted - lease.used <= plane.spendable(*row, *epoch) as i64
        },
    )
}

fn is_expected(state: &State, (_, number, epoch): LeaseName) -> bool {
    let number = usize::from(number);
    let is_of_this_store = state.truth.restored_at.as_ref().is_none_or(|epochs| epoch > epochs[number]);
    is_of_this_store && !state.planes[number].is_lost
}
