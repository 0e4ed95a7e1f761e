//! The rules of booking: how the charges of new lines move the money of accounts and leases.
//!
//! Pure. A charge is covered by its lease; what is left uncovered never pushes an account over its limit,
//! so no data plane's mistake can: the house bears it. `money::ingest` reads and writes the rows under their locks.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::domain::{
    account::AccountKind,
    ledger::{AccountPeriod, Charge, Line, LineKind},
    lending::{self, Balance, Holder, Lease},
};

/// What new lines charge one account, summed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// The tenant that the account belongs to.
    pub tenant: String,
    /// Charges that nothing was lent for.
    pub plain: i64,
    pub leased: BTreeMap<Holder, i64>,
}

/// The sum of a batch does not fit; its records are then booked one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the charges add up to more than the ledger can hold")]
pub struct TooMuch;

/// Sums what lines charge, account by account.
///
/// # Errors
/// [`TooMuch`] beyond 9.2 billion dollars.
pub fn demands<'a>(
    lines: impl IntoIterator<Item = &'a Line>,
) -> Result<BTreeMap<AccountPeriod, Demand>, TooMuch> {
    let mut demands: BTreeMap<AccountPeriod, Demand> = BTreeMap::new();
    for line in lines {
        let holder = Holder { instance: line.instance.clone(), epoch: line.epoch };
        for charge in &line.charges {
            let demand = demands.entry(charge.account.clone()).or_default();
            // What the operator's credentials cost is no tenant's to see.
            if charge.account.kind != AccountKind::CredentialBudget {
                demand.tenant.clone_from(&line.tenant);
            }
            let sum = match charge.leased {
                true => demand.leased.entry(holder.clone()).or_default(),
                false => &mut demand.plain,
            };
            *sum = sum.checked_add(charge.charged).ok_or(TooMuch)?;
        }
    }
    Ok(demands)
}

/// An account's rows, locked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    pub balance: Balance,
    /// The leases that a demand names.
    pub leases: BTreeMap<Holder, Lease>,
}

/// Holders whose leases do not cover what is charged to them: only of these it matters whether they were released.
pub fn short<'a>(
    demands: &'a BTreeMap<AccountPeriod, Demand>,
    held: &BTreeMap<AccountPeriod, Held>,
) -> BTreeSet<&'a Holder> {
    let is_short = |account: &AccountPeriod, holder: &Holder, charged: i64| {
        let lease = held.get(account).and_then(|held| held.leases.get(holder));
        let lease = lease.copied().unwrap_or_default();
        charged > lease.rest().saturating_add(lease.presumed)
    };
    let leased = demands.iter().flat_map(|(account, demand)| {
        demand.leased.iter().map(move |(holder, charged)| (account, holder, *charged))
    });
    leased
        .filter(|(account, holder, charged)| is_short(account, holder, *charged))
        .map(|(_, holder, _)| holder)
        .collect()
}

/// What holds for all that is booked at once.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    pub now: DateTime<Utc>,
    /// Those of the [`short`] holders whose leases an operator released: whatever they report later is the house's.
    pub released: BTreeSet<Holder>,
}

/// Moves one account's money and answers the lines that this needs beside the attempts' own:
/// what draws presumed money down, and what the house takes over.
///
/// # Errors
/// [`TooMuch`] when the account would hold more than 9.2 billion dollars.
pub fn settle(
    account: &AccountPeriod,
    demand: &Demand,
    held: &mut Held,
    conditions: &Conditions,
) -> Result<Vec<Line>, TooMuch> {
    let now = conditions.now;
    let mut lines = Vec::new();
    add(&mut held.balance.charged, demand.plain)?;
    // What a rolling window has to spare is not known from one of its slots.
    let is_slot = lending::slot(account).is_some();
    for (holder, charged) in &demand.leased {
        let lease = held.leases.entry(holder.clone()).or_default();
        let may_spare = !is_slot && !conditions.released.contains(holder);
        let cover = cover(&mut held.balance, lease, *charged, may_spare)?;
        if cover.presumed > 0 {
            let line = Line::movement(LineKind::Presumed, account, -cover.presumed, now);
            lines.push(of(line, &demand.tenant, holder, "late lines"));
        }
        if cover.house > 0 {
            lines.push(house_takes_over(account, cover.house, holder, now));
        }
    }
    Ok(lines)
}

/// What covers a leased charge besides the lease itself.
struct Cover {
    presumed: i64,
    house: i64,
}

/// Takes a charge from the lease, then from what was presumed of it, then from what the account has left, if it may spare
/// that.
fn cover(balance: &mut Balance, lease: &mut Lease, charged: i64, may_spare: bool) -> Result<Cover, TooMuch> {
    let lent = charged.min(lease.rest());
    let presumed = (charged - lent).min(lease.presumed);
    lease.used += lent + presumed;
    lease.presumed -= presumed;
    balance.lent -= lent;
    balance.presumed -= presumed;
    add(&mut balance.charged, lent + presumed)?;
    // Reached when the store went back in time, or a data plane spent what it did not hold.
    let uncovered = charged - lent - presumed;
    let spare = if may_spare { uncovered.min(balance.headroom().unwrap_or(i64::MAX)) } else { 0 };
    add(&mut balance.charged, spare)?;
    Ok(Cover { presumed, house: uncovered - spare })
}

fn house_takes_over(account: &AccountPeriod, amount: i64, holder: &Holder, now: DateTime<Utc>) -> Line {
    let charge = |account: &AccountPeriod, charged| Charge {
        account: account.clone(),
        charged,
        reserved: 0,
        leased: false,
    };
    let house = AccountPeriod::house();
    // A line charges a tenant's credits and its key's limit alike, but the house pays once: limits are only corrected.
    let borne = if account.kind == AccountKind::TenantCredits { amount } else { 0 };
    let mut line = Line::movement(LineKind::House, &house, borne, now);
    line.charges = vec![charge(account, -amount), charge(&house, borne)];
    of(line, "", holder, "no lease covers it")
}

/// Says whose money a movement was, and why it moved.
pub fn of(line: Line, tenant: &str, holder: &Holder, reason: &str) -> Line {
    Line {
        tenant: tenant.to_owned(),
        instance: holder.instance.clone(),
        epoch: holder.epoch,
        reason: reason.to_owned(),
        ..line
    }
}

/// Why leases are changed, for the lines that this takes.
#[derive(Debug, Clone)]
pub struct Why {
    pub reason: String,
    /// Empty: nobody but the system.
    pub actor: String,
    pub now: DateTime<Utc>,
}

impl Why {
    /// A reason of the system's own.
    pub fn of(reason: &str, now: DateTime<Utc>) -> Self {
        Self { reason: reason.to_owned(), actor: String::new(), now }
    }
}

fn add(sum: &mut i64, amount: i64) -> Result<(), TooMuch> {
    *sum = sum.checked_add(amount).ok_or(TooMuch)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountPeriod {
        AccountPeriod { kind: AccountKind::TenantCredits, owner: "acme".into(), period: "all".into() }
    }

    fn holder() -> Holder {
        Holder { instance: "i".into(), epoch: 1 }
    }

    fn held(balance: Balance, lease: Lease) -> Held {
        Held { balance, leases: BTreeMap::from([(holder(), lease)]) }
    }

    fn leased(amount: i64) -> Demand {
        Demand { tenant: "acme".into(), plain: 0, leased: BTreeMap::from([(holder(), amount)]) }
    }

    /// Settles and shows balance, lease and extra lines.
    fn check(demand: Demand, before: Held, balance: [i64; 3], lease: [i64; 3], lines: &[(LineKind, i64)]) {
        check_with(&BTreeSet::new(), demand, before, (balance, lease), lines);
    }

    fn check_with(
        released: &BTreeSet<Holder>,
        demand: Demand,
        mut before: Held,
        (balance, lease): ([i64; 3], [i64; 3]),
        lines: &[(LineKind, i64)],
    ) {
        let conditions = Conditions { released: released.clone(), ..Conditions::default() };
        let booked = settle(&account(), &demand, &mut before, &conditions).unwrap();
        let after = before.balance;
        assert_eq!([after.charged, after.presumed, after.lent], balance);
        let row = before.leases.get(&holder()).copied().unwrap_or_default();
        assert_eq!([row.granted, row.used, row.presumed], lease);
        let shown: Vec<_> = booked.iter().map(|line| (line.kind, line.charge_nano)).collect();
        assert_eq!(shown, lines);
        assert!(after.limit.is_none_or(|limit| after.charged + after.presumed + after.lent <= limit));
    }

    #[test]
    fn a_charge_is_taken_from_its_lease() {
        let balance = Balance { limit: Some(100), charged: 5, presumed: 0, lent: 50 };
        let lease = Lease { granted: 50, used: 0, presumed: 0 };
        check(leased(20), held(balance, lease), [25, 0, 30], [50, 20, 0], &[]);
    }

    #[test]
    fn a_late_charge_draws_presumed_money_down() {
        let balance = Balance { limit: Some(100), charged: 0, presumed: 50, lent: 0 };
        let lease = Lease { granted: 50, used: 0, presumed: 50 };
        check(leased(20), held(balance, lease), [20, 30, 0], [50, 20, 30], &[(LineKind::Presumed, -20)]);
    }

    #[test]
    fn what_no_lease_covers_is_charged_while_there_is_room_and_then_the_houses() {
        let balance = Balance { limit: Some(100), charged: 90, presumed: 0, lent: 5 };
        let lease = Lease { granted: 5, used: 0, presumed: 0 };
        check(leased(30), held(balance, lease), [100, 0, 0], [5, 5, 0], &[(LineKind::House, 20)]);
        let balance = Balance { limit: Some(100), ..Balance::default() };
        check(leased(30), Held { balance, ..Held::default() }, [30, 0, 0], [0, 0, 0], &[]);
    }

    #[test]
    fn what_comes_after_a_release_is_the_houses_though_there_is_room() {
        let balance = Balance { limit: Some(100), charged: 20, presumed: 0, lent: 0 };
        let spent = Lease { granted: 20, used: 20, presumed: 0 };
        let released = BTreeSet::from([holder()]);
        let after = ([20, 0, 0], [20, 20, 0]);
        check_with(&released, leased(30), held(balance, spent), after, &[(LineKind::House, 30)]);
    }

    #[test]
    fn a_holder_is_short_where_lease_and_presumed_money_do_not_cover_it() {
        for (lease, charged, is_short) in [
            (Lease { granted: 50, used: 20, presumed: 0 }, 30, false),
            (Lease { granted: 50, used: 20, presumed: 0 }, 31, true),
            (Lease { granted: 50, used: 20, presumed: 30 }, 30, false),
            (Lease::default(), 0, false),
        ] {
            let demands = BTreeMap::from([(account(), leased(charged))]);
            let held = BTreeMap::from([(account(), held(Balance::default(), lease))]);
            assert_eq!(short(&demands, &held).len(), usize::from(is_short), "{lease:?} {charged}");
        }
        let demands = BTreeMap::from([(account(), leased(1))]);
        assert_eq!(short(&demands, &BTreeMap::new()), BTreeSet::from([&holder()]), "no lease at all");
    }

    #[test]
    fn a_slot_of_a_rolling_window_spares_nothing() {
        let slot = AccountPeriod {
            kind: AccountKind::TenantBudget,
            owner: "acme".into(),
            period: "24h/2026-11-23T10".into(),
        };
        let mut before =
            Held { balance: Balance { limit: Some(100), ..Balance::default() }, ..Held::default() };
        let lines = settle(&slot, &leased(7), &mut before, &Conditions::default()).unwrap();
        assert_eq!((before.balance.charged, lines[0].charges[0].charged, lines[0].charge_nano), (0, -7, 0));
    }

    #[test]
    fn a_house_line_moves_between_two_accounts() {
        let mut before =
            Held { balance: Balance { limit: Some(0), ..Balance::default() }, ..Held::default() };
        for (kind, borne) in [(AccountKind::TenantCredits, 7), (AccountKind::KeyLimit, 0)] {
            let account = AccountPeriod { kind, ..account() };
            let lines = settle(&account, &leased(7), &mut before, &Conditions::default()).unwrap();
            let moved: Vec<_> =
                lines[0].charges.iter().map(|charge| (charge.account.kind, charge.charged)).collect();
            assert_eq!(moved, [(kind, -7), (AccountKind::House, borne)]);
            assert_eq!(
                (lines[0].tenant.as_str(), lines[0].charge_nano),
                ("", borne),
                "the operator's business"
            );
        }
    }

    #[test]
    fn a_charge_without_a_lease_is_only_counted() {
        let demand = Demand { tenant: "acme".into(), plain: 30, leased: BTreeMap::new() };
        let balance = Balance { limit: None, charged: 1, presumed: 0, lent: 0 };
        check(demand, held(balance, Lease::default()), [31, 0, 0], [0, 0, 0], &[]);
    }

    #[test]
    fn more_than_the_ledger_can_hold_is_refused() {
        let mut full =
            Held { balance: Balance { charged: i64::MAX, ..Balance::default() }, ..Held::default() };
        let demand = Demand { plain: 1, ..Demand::default() };
        assert_eq!(settle(&account(), &demand, &mut full, &Conditions::default()), Err(TooMuch));
    }
}
