//! The rules of lending: what an account can spare, and who may borrow from it at all.
//!
//! Pure. `money::leases` reads and writes the rows, all under their locks.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use switchyard_proto::window::{Slot, Window};

use crate::domain::{
    account::{AccountKind, Reset, WHOLE_LIFE},
    budget::Budget,
    ledger::AccountPeriod,
};

/// How far a data plane's clock may be behind when a period ends, or its request that old.
const LATE: TimeDelta = TimeDelta::hours(1);
/// How far a data plane's clock may be ahead.
const EARLY: TimeDelta = TimeDelta::minutes(5);

/// The money of an account in one period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// `None`: no limit.
    pub limit: Option<i64>,
    pub charged: i64,
    pub presumed: i64,
    pub lent: i64,
}

impl Balance {
    /// Limit less what is spent and presumed; `None`: no limit. Never negative.
    pub fn unspent(&self) -> Option<i64> {
        self.limit.map(|limit| limit.saturating_sub(self.charged).saturating_sub(self.presumed).max(0))
    }

    /// Whether more is spent and presumed than the limit.
    pub fn is_overdrawn(&self) -> bool {
        self.limit.is_some_and(|limit| limit < self.charged.saturating_add(self.presumed))
    }

    /// The same account seen over its whole rolling window: what the other slots hold counts too.
    pub fn with(self, others: &Others) -> Self {
        Self {
            limit: self.limit,
            charged: self.charged.saturating_add(others.charged),
            presumed: self.presumed.saturating_add(others.presumed),
            lent: self.lent.saturating_add(others.lent),
        }
    }

    /// What can still be lent; `None`: no limit. Never negative.
    pub fn headroom(&self) -> Option<i64> {
        self.unspent().map(|unspent| unspent.saturating_sub(self.lent).max(0))
    }
}

/// What the other slots hold of those that share a rolling window with an account's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    pub charged: i64,
    pub presumed: i64,
    pub lent: i64,
    /// Their periods: those that have a row.
    pub periods: Vec<String>,
    /// Those of them of which something is lent.
    pub lent_periods: Vec<String>,
}

/// Whose lease: a data plane in one of its sessions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    pub instance: String,
    pub epoch: i64,
}

/// What a data plane may spend of an account on its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lease {
    pub granted: i64,
    pub used: i64,
    pub presumed: i64,
}

impl Lease {
    /// What is neither used nor presumed.
    pub fn rest(&self) -> i64 {
        self.granted - self.used - self.presumed
    }

    /// Gives back up to `amount`: first what is left, then what was presumed. Answers both parts.
    ///
    /// More than there is gives back everything, so that a repeated call does no harm to a closed session's lease.
    pub fn give_back(&mut self, balance: &mut Balance, amount: i64) -> GivenBack {
        let lent = amount.clamp(0, self.rest());
        let presumed = (amount.max(0) - lent).min(self.presumed);
        self.granted -= lent + presumed;
        self.presumed -= presumed;
        balance.lent -= lent;
        balance.presumed -= presumed;
        GivenBack { lent, presumed }
    }

    /// Counts what is left as spent until it is heard of; answers how much that is.
    pub fn presume(&mut self, balance: &mut Balance) -> i64 {
        let rest = self.rest();
        self.presumed += rest;
        balance.lent -= rest;
        balance.presumed += rest;
        rest
    }
}

/// What giving back moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenBack {
    pub lent: i64,
    pub presumed: i64,
}

/// One account that a data plane would like money of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub account: AccountPeriod,
    pub wanted: i64,
    /// Less is of no use.
    pub least: i64,
    /// Asks of one number are of use together alone; 0: this one is alone.
    pub group: u32,
}

/// What becomes of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Granted(i64),
    /// What is spent, presumed and in the asker's own hands leaves less than `least`.
    Exhausted,
    /// Enough is left, but lent elsewhere.
    Busy,
    Unlimited,
    UnknownAccount,
    /// It could be lent, but another ask of its group could not.
    Withheld,
}

impl Outcome {
    /// Whether an attempt that needs this account can go on.
    pub fn is_of_use(self) -> bool {
        match self {
            Self::Granted(_) | Self::Unlimited => true,
            Self::Exhausted | Self::Busy | Self::UnknownAccount | Self::Withheld => false,
        }
    }
}

/// Decides how much an account lends.
///
/// All leases together stay under half of what is unspent, so that one data plane cannot starve the others,
/// except that `least` is lent as long as it is there: near its limit an account lends one attempt at a time.
///
/// `own` is the part of what is lent that the asker holds itself. Nobody can give that back to it, so an account whose
/// rest the asker holds already is exhausted and not busy.
pub fn lend(balance: &Balance, own: i64, wanted: i64, least: i64) -> Outcome {
    let (Some(unspent), Some(headroom)) = (balance.unspent(), balance.headroom()) else {
        return Outcome::Unlimited;
    };
    let least = least.max(1);
    if unspent.saturating_sub(own) < least {
        return Outcome::Exhausted;
    }
    if headroom < least {
        return Outcome::Busy;
    }
    let half = (unspent / 2).saturating_sub(balance.lent);
    Outcome::Granted(wanted.clamp(least, half.max(least)).min(headroom))
}

/// Whether more of an account is lent than its limit bears: leases together stay under half of what is unspent. Without a
/// limit nothing needs to be lent.
pub fn is_overlent(balance: &Balance) -> bool {
    balance.lent > balance.unspent().unwrap_or(0) / 2
}

/// What config says of an account's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub tenant: String,
    /// It, or the tenant that it belongs to.
    pub disabled: bool,
    /// A tenant's credits where it is prepaid; a key's, a user's or a credential's limit.
    pub limit: Option<i64>,
    pub reset: Reset,
    /// A tenant's.
    pub budgets: Vec<Budget>,
}

/// On which terms an account lends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// Under the owner's limit; `None`: without one.
    Limit(Option<i64>),
    /// Not of this time, or of a limit that starts afresh at other times: the data plane's config or clock is behind.
    OtherPeriod,
    Unknown,
}

/// Finds an account's terms; `owner` is `None` where config knows nobody by that id.
pub fn terms(account: &AccountPeriod, owner: Option<&Owner>, now: DateTime<Utc>) -> Terms {
    if matches!(account.kind, AccountKind::House | AccountKind::ByokUsage) {
        return Terms::Limit(None);
    }
    let Some(owner) = owner.filter(|owner| !owner.disabled) else { return Terms::Unknown };
    if account.kind == AccountKind::TenantBudget {
        return budget_terms(&account.period, &owner.budgets, now);
    }
    if owner.limit.is_none() {
        return Terms::Limit(None);
    }
    match is_current(&account.period, |at| owner.reset.period(at), now) {
        true => Terms::Limit(owner.limit),
        false => Terms::OtherPeriod,
    }
}

/// A budget that was taken away is no limit.
fn budget_terms(period: &str, budgets: &[Budget], now: DateTime<Utc>) -> Terms {
    let window = Window::of_period(period);
    match budgets.iter().find(|budget| Some(budget.window) == window) {
        None => Terms::Limit(None),
        Some(budget) if is_current(period, |at| budget.window.period(at), now) => {
            Terms::Limit(Some(budget.usd.to_i64()))
        }
        Some(_) => Terms::OtherPeriod,
    }
}

/// Whether a period is that of now, for somebody whose clock may be a little off.
fn is_current(period: &str, period_at: impl Fn(DateTime<Utc>) -> String, now: DateTime<Utc>) -> bool {
    [now, now - LATE, now + EARLY].into_iter().any(|at| period_at(at) == period)
}

/// The slot that an account is, where it is one of a rolling window.
pub fn slot(account: &AccountPeriod) -> Option<Slot> {
    Slot::parse(&account.period)
}

/// Whether a text is a day that there is: the period of usage of own credentials, which is summed as dates.
pub fn is_day(text: &str) -> bool {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d");
    // One day has one name: no signs, no zeros left out.
    day.is_ok_and(|day| day.format("%Y-%m-%d").to_string() == text)
}

/// Whether a text has the form of a period.
pub fn is_period(text: &str) -> bool {
    if text.contains('/') {
        return Slot::parse(text).is_some();
    }
    let digits =
        |part: &str, count: usize| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [only] => *only == WHOLE_LIFE,
        [year, week] if week.starts_with('W') => digits(year, 4) && digits(&week[1..], 2),
        [year, month] => digits(year, 4) && digits(month, 2),
        [year, month, day] => digits(year, 4) && digits(month, 2) && digits(day, 2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::money::NanoUsd;

    use super::*;

    fn balance(limit: i64, charged: i64, presumed: i64, lent: i64) -> Balance {
        Balance { limit: Some(limit), charged, presumed, lent }
    }

    #[test]
    fn leases_stay_under_half_unless_one_attempt_needs_more() {
        for (balance, wanted, least, outcome) in [
            (balance(1000, 0, 0, 0), 100, 10, Outcome::Granted(100)),
            (balance(1000, 0, 0, 0), 900, 10, Outcome::Granted(500)),
            (balance(1000, 0, 0, 450), 900, 10, Outcome::Granted(50)),
            (balance(1000, 0, 0, 500), 900, 10, Outcome::Granted(10)),
            (balance(1000, 0, 0, 500), 900, 500, Outcome::Granted(500)),
            (balance(1000, 0, 0, 991), 900, 10, Outcome::Busy),
            (balance(1000, 700, 200, 0), 900, 10, Outcome::Granted(50)),
            (balance(1000, 700, 291, 0), 900, 10, Outcome::Exhausted),
            (balance(1000, 1000, 0, 0), 1, 0, Outcome::Exhausted),
            (balance(1000, 1200, 0, 0), 1, 1, Outcome::Exhausted),
            (balance(1000, 0, 0, 0), 5, 10, Outcome::Granted(10)),
            (balance(11, 0, 0, 0), 100, 11, Outcome::Granted(11)),
            (Balance::default(), 100, 10, Outcome::Unlimited),
        ] {
            assert_eq!(lend(&balance, 0, wanted, least), outcome, "{balance:?} {wanted} {least}");
        }
    }

    #[test]
    fn what_the_asker_holds_itself_cannot_be_called_back_for_it() {
        for (own, outcome) in [(0, Outcome::Busy), (890, Outcome::Busy), (991, Outcome::Exhausted)] {
            assert_eq!(lend(&balance(1000, 0, 0, 991), own, 900, 10), outcome, "{own}");
        }
        assert_eq!(lend(&balance(1000, 0, 0, 100), 100, 50, 10), Outcome::Granted(50));
    }

    #[test]
    fn nothing_is_ever_lent_beyond_the_limit() {
        for limit in 0..12 {
            for charged in 0..14 {
                for lent in 0..14 {
                    for (wanted, least) in [(0, 0), (3, 1), (9, 4), (i64::MAX, 7), (i64::MAX, i64::MAX)] {
                        let balance = balance(limit, charged, 1, lent);
                        if let Outcome::Granted(amount) = lend(&balance, 0, wanted, least) {
                            assert!(amount >= least && charged + 1 + lent + amount <= limit, "{balance:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn giving_back_takes_the_rest_first_and_never_more_than_there_is() {
        for (amount, given, granted) in
            [(10, (10, 0), 90), (40, (30, 10), 60), (i64::MAX, (30, 20), 50), (-1, (0, 0), 100)]
        {
            let mut lease = Lease { granted: 100, used: 50, presumed: 20 };
            let mut account = balance(1000, 0, 20, 30);
            let back = lease.give_back(&mut account, amount);
            assert_eq!(((back.lent, back.presumed), lease.granted), (given, granted), "{amount}");
            assert_eq!((account.lent, account.presumed), (30 - given.0, 20 - given.1));
        }
    }

    #[test]
    fn a_rolling_window_counts_what_its_other_slots_hold() {
        let others = Others { charged: 700, presumed: 100, lent: 50, ..Others::default() };
        let own = balance(1000, 10, 0, 20);
        let whole = own.with(&others);
        assert_eq!((whole.unspent(), whole.headroom()), (Some(190), Some(120)));
        assert_eq!(
            lend(&whole, 0, 500, 10),
            Outcome::Granted(25),
            "half of what is unspent, less what is lent"
        );
        assert_eq!(lend(&whole, 0, 500, 121), Outcome::Busy);
        assert_eq!(lend(&whole, 20, 500, 171), Outcome::Exhausted);
    }

    #[test]
    fn presumed_money_stays_counted() {
        let mut lease = Lease { granted: 100, used: 50, presumed: 20 };
        let mut account = balance(1000, 0, 20, 30);
        assert_eq!(lease.presume(&mut account), 30);
        assert_eq!((lease.rest(), account.lent, account.presumed), (0, 0, 50));
    }

    #[test]
    fn terms_follow_the_owner_and_the_time() {
        let now: DateTime<Utc> = "2026-11-23T00:10:00Z".parse().unwrap();
        let account = |kind, period: &str| AccountPeriod { kind, owner: "x".into(), period: period.into() };
        let owner = |limit, reset| Owner {
            tenant: "acme".into(),
            disabled: false,
            limit,
            reset,
            budgets: Vec::new(),
        };
        let daily = owner(Some(5), Reset::Daily);
        let budget = |window, usd| Budget {
            window: Window::parse(window).unwrap(),
            usd: NanoUsd::parse(usd).unwrap(),
        };
        let budgets = vec![budget("monthly", "0.000000009"), budget("24h", "0.000000003")];
        let tenant = Owner { budgets, ..owner(Some(7), Reset::Never) };
        use AccountKind::{
            ByokUsage, CredentialBudget, House, KeyLimit, TenantBudget, TenantCredits, UserBudget,
        };
        for (account, owner, terms_of) in [
            (account(KeyLimit, "2026-11-23"), Some(daily.clone()), Terms::Limit(Some(5))),
            (account(KeyLimit, "2026-11-22"), Some(daily.clone()), Terms::Limit(Some(5))),
            (account(KeyLimit, "2026-11-24"), Some(daily.clone()), Terms::OtherPeriod),
            (account(KeyLimit, "2026-11"), Some(daily.clone()), Terms::OtherPeriod),
            (account(KeyLimit, "2026-11"), Some(owner(None, Reset::Never)), Terms::Limit(None)),
            (account(KeyLimit, "all"), None, Terms::Unknown),
            (
                account(KeyLimit, "2026-11-23"),
                Some(Owner { disabled: true, ..daily.clone() }),
                Terms::Unknown,
            ),
            (account(TenantCredits, "all"), Some(owner(Some(7), Reset::Never)), Terms::Limit(Some(7))),
            (account(TenantCredits, "2026-11"), Some(owner(Some(7), Reset::Never)), Terms::OtherPeriod),
            (account(TenantBudget, "2026-11"), None, Terms::Unknown),
            (account(TenantBudget, "2026-11"), Some(tenant.clone()), Terms::Limit(Some(9))),
            (account(TenantBudget, "2026-12"), Some(tenant.clone()), Terms::OtherPeriod),
            (account(TenantBudget, "2026-11-23"), Some(tenant.clone()), Terms::Limit(None)),
            (account(TenantBudget, "24h/2026-11-23T00"), Some(tenant.clone()), Terms::Limit(Some(3))),
            // The data plane's clock is behind.
            (account(TenantBudget, "24h/2026-11-22T23"), Some(tenant.clone()), Terms::Limit(Some(3))),
            (account(TenantBudget, "24h/2026-11-22T22"), Some(tenant.clone()), Terms::OtherPeriod),
            (account(TenantBudget, "48h/2026-11-23T00"), Some(tenant), Terms::Limit(None)),
            (account(UserBudget, "2026-11-23"), Some(daily.clone()), Terms::Limit(Some(5))),
            (account(CredentialBudget, "2026-11-20"), Some(daily), Terms::OtherPeriod),
            (account(ByokUsage, "2026-11-23"), None, Terms::Limit(None)),
            (account(House, "all"), None, Terms::Limit(None)),
        ] {
            assert_eq!(terms(&account, owner.as_ref(), now), terms_of, "{account:?}");
        }
    }

    #[test]
    fn periods_have_five_forms() {
        for (text, fine) in [
            ("all", true),
            ("2026-11-23", true),
            ("2026-W48", true),
            ("2026-11", true),
            ("24h/2026-11-23T10", true),
            ("24h/2026-11-23", false),
            ("", false),
            ("2026", false),
            ("2026-W4", false),
            ("2026-11-2", false),
            ("2026-11-23-1", false),
            ("x026-11", false),
        ] {
            assert_eq!(is_period(text), fine, "{text}");
        }
    }
}
