//! Decides asks under the accounts' locks: each by `domain::lending`, those of one group all or nothing.
//!
//! Pure: rows come in, answers and grants go out.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        account::AccountKind,
        ledger::AccountPeriod,
        lending::{self, Ask, Balance, Others, Outcome, Owner, Terms},
    },
    money::leases::Answer,
    store::lease::Grant,
};

/// Accounts under their locks, with what their owners allow.
pub(super) struct Desk {
    /// Those that have a row.
    pub balances: BTreeMap<AccountPeriod, Balance>,
    /// Of slots of rolling windows.
    pub others: BTreeMap<AccountPeriod, Others>,
    pub owners: BTreeMap<(AccountKind, String), Owner>,
    /// What the asker holds already, in all its sessions.
    pub own: BTreeMap<AccountPeriod, i64>,
    /// What is lent by this very decision.
    pub lent_now: BTreeMap<AccountPeriod, i64>,
    pub now: DateTime<Utc>,
}

impl Desk {
    /// Decides every ask, in their order; groups when their first member comes.
    pub fn answer_all(&mut self, asks: &[Ask]) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = vec![None; asks.len()];
        for index in 0..asks.len() {
            if answers[index].is_some() {
                continue;
            }
            let group = asks[index].group;
            let is_member = |other: &usize| *other == index || (group != 0 && asks[*other].group == group);
            let members: Vec<usize> = (index..asks.len()).filter(is_member).collect();
            for (member, answer) in members.iter().zip(self.together(&members, asks)) {
                answers[*member] = Some(answer);
            }
        }
        answers.into_iter().flatten().collect()
    }

    /// Decides asks that are of use together alone.
    fn together(&mut self, members: &[usize], asks: &[Ask]) -> Vec<Answer> {
        if let [only] = members {
            return vec![self.answer(&asks[*only])];
        }
        let before = self.lent_now.clone();
        let answers: Vec<Answer> = members.iter().map(|member| self.answer(&asks[*member])).collect();
        if answers.iter().all(|answer| answer.outcome.is_of_use()) {
            return answers;
        }
        self.lent_now = before;
        answers.into_iter().map(|answer| self.withheld(answer)).collect()
    }

    /// What is said instead of a grant that is not made.
    fn withheld(&self, answer: Answer) -> Answer {
        let Outcome::Granted(_) = answer.outcome else { return answer };
        let headroom = self.whole(&answer.account, Some(answer.limit)).headroom().unwrap_or(0);
        Answer { outcome: Outcome::Withheld, headroom, ..answer }
    }

    /// Decides one ask and debits the account, so that a second ask of the same account sees the first.
    fn answer(&mut self, ask: &Ask) -> Answer {
        let owner = self.owners.get(&(ask.account.kind, ask.account.owner.clone()));
        let (outcome, after) = match lending::terms(&ask.account, owner, self.now) {
            Terms::Unknown => (Outcome::UnknownAccount, Balance::default()),
            Terms::OtherPeriod => (Outcome::Busy, Balance::default()),
            Terms::Limit(None) => (Outcome::Unlimited, Balance::default()),
            Terms::Limit(limit) => self.lend(ask, limit),
        };
        Answer {
            account: ask.account.clone(),
            outcome,
            headroom: after.headroom().unwrap_or(0),
            limit: after.limit.unwrap_or(0),
            is_overdrawn: after.is_overdrawn(),
        }
    }

    /// What becomes of an ask under a limit, and how the account stands then.
    fn lend(&mut self, ask: &Ask, limit: Option<i64>) -> (Outcome, Balance) {
        let own = self.own.get(&ask.account).copied().unwrap_or(0) + self.lent_now(&ask.account);
        let outcome = lending::lend(&self.whole(&ask.account, limit), own, ask.wanted, ask.least);
        if let Outcome::Granted(amount) = outcome {
            *self.lent_now.entry(ask.account.clone()).or_default() += amount;
        }
        (outcome, self.whole(&ask.account, limit))
    }

    fn lent_now(&self, account: &AccountPeriod) -> i64 {
        self.lent_now.get(account).copied().unwrap_or(0)
    }

    /// How an account stands, with what the other slots of its window hold.
    fn whole(&self, account: &AccountPeriod, limit: Option<i64>) -> Balance {
        let mut balance = Balance { limit, ..self.balances.get(account).copied().unwrap_or_default() };
        balance.lent = balance.lent.saturating_add(self.lent_now(account));
        let Some(others) = self.others.get(account) else { return balance };
        let is_neighbour = |other: &AccountPeriod| {
            (other.kind, &other.owner) == (account.kind, &account.owner)
                && lending::slot(account)
                    .zip(lending::slot(other))
                    .is_some_and(|(slot, other)| slot.is_neighbour_of(other))
        };
        let lent_beside: i64 =
            self.lent_now.iter().filter(|(other, _)| is_neighbour(other)).map(|(_, lent)| lent).sum();
        balance.lent = balance.lent.saturating_add(lent_beside);
        balance.with(others)
    }

    /// Sums the grants account by account: one statement debits each of them once.
    pub fn grants(&self, answers: &[Answer]) -> Vec<Grant> {
        let mut sums: BTreeMap<&AccountPeriod, (i64, i64)> = BTreeMap::new();
        for answer in answers {
            if let Outcome::Granted(amount) = answer.outcome {
                let (sum, limit) = sums.entry(&answer.account).or_default();
                *sum += amount;
                *limit = answer.limit;
            }
        }
        let grant = |(account, (amount, limit_nano)): (&AccountPeriod, (i64, i64))| Grant {
            account: account.clone(),
            amount,
            limit_nano,
            others: self.others.get(account).map(|others| others.periods.clone()).unwrap_or_default(),
        };
        sums.into_iter().map(grant).collect()
    }

    /// An account and the tenant that it belongs to; none: the operator.
    pub fn with_tenant(&self, account: &AccountPeriod) -> (AccountPeriod, String) {
        let owner = self.owners.get(&(account.kind, account.owner.clone()));
        (account.clone(), owner.map(|owner| owner.tenant.clone()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::{money::NanoUsd, window::Window};

    use super::*;
    use crate::domain::{account::Reset, budget::Budget};

    fn account(kind: AccountKind, owner: &str, period: &str) -> AccountPeriod {
        AccountPeriod { kind, owner: owner.into(), period: period.into() }
    }

    fn key(owner: &str) -> AccountPeriod {
        account(AccountKind::KeyLimit, owner, "all")
    }

    fn ask(account: &AccountPeriod, least: i64, group: u32) -> Ask {
        Ask { account: account.clone(), wanted: least, least, group }
    }

    /// Keys with these limits, and a tenant with a budget of 100 for 24 hours.
    fn desk(limits: &[(&str, i64)]) -> Desk {
        let owner = |limit, budgets| Owner {
            tenant: "acme".into(),
            disabled: false,
            limit,
            reset: Reset::Never,
            budgets,
        };
        let mut owners: BTreeMap<_, _> = limits
            .iter()
            .map(|(key, limit)| ((AccountKind::KeyLimit, (*key).to_owned()), owner(Some(*limit), Vec::new())))
            .collect();
        let budget = Budget { window: Window::parse("24h").unwrap(), usd: NanoUsd(100) };
        owners.insert((AccountKind::TenantBudget, "acme".to_owned()), owner(None, vec![budget]));
        Desk {
            balances: BTreeMap::new(),
            others: BTreeMap::new(),
            owners,
            own: BTreeMap::new(),
            lent_now: BTreeMap::new(),
            now: "2026-11-23T10:20:00Z".parse().unwrap(),
        }
    }

    fn outcomes(desk: &mut Desk, asks: &[Ask]) -> Vec<Outcome> {
        desk.answer_all(asks).into_iter().map(|answer| answer.outcome).collect()
    }

    #[test]
    fn of_a_group_all_or_nothing_is_lent() {
        use Outcome::{Exhausted, Granted, UnknownAccount, Withheld};
        let (rich, poor) = (key("rich"), key("poor"));
        let limits = [("rich", 1000), ("poor", 10)];
        for (asks, expected) in [
            (vec![ask(&rich, 50, 0), ask(&poor, 50, 0)], vec![Granted(50), Exhausted]),
            (vec![ask(&rich, 50, 1), ask(&poor, 50, 1)], vec![Withheld, Exhausted]),
            (vec![ask(&rich, 50, 1), ask(&poor, 5, 1)], vec![Granted(50), Granted(5)]),
            (vec![ask(&rich, 50, 1), ask(&poor, 50, 2)], vec![Granted(50), Exhausted]),
            (
                vec![ask(&rich, 50, 1), ask(&rich, 5, 0), ask(&key("nobody"), 1, 1)],
                vec![Withheld, Granted(5), UnknownAccount],
            ),
        ] {
            assert_eq!(outcomes(&mut desk(&limits), &asks), expected, "{asks:?}");
        }
    }

    #[test]
    fn what_is_withheld_is_there_for_the_next() {
        let (rich, poor) = (key("rich"), key("poor"));
        let mut desk = desk(&[("rich", 100), ("poor", 10)]);
        let asks = [ask(&rich, 100, 1), ask(&poor, 50, 1), ask(&rich, 100, 2)];
        let answers = desk.answer_all(&asks);
        assert_eq!((answers[0].outcome, answers[0].headroom), (Outcome::Withheld, 100));
        assert_eq!((answers[2].outcome, answers[2].headroom), (Outcome::Granted(100), 0));
        assert_eq!(desk.grants(&answers).len(), 1);
    }

    #[test]
    fn slots_of_one_window_share_its_limit_within_one_call_too() {
        let slot = |hour| account(AccountKind::TenantBudget, "acme", &format!("24h/2026-11-23T{hour:02}"));
        let mut desk = desk(&[]);
        let charged = Others { charged: 30, periods: vec!["24h/2026-11-22T10".into()], ..Others::default() };
        desk.others.insert(slot(10), charged);
        desk.others.insert(slot(9), Others::default());
        let asks = [ask(&slot(9), 40, 0), ask(&slot(10), 40, 0), ask(&slot(10), 30, 0)];
        let answers = desk.answer_all(&asks);
        let shown: Vec<_> = answers.iter().map(|answer| (answer.outcome, answer.headroom)).collect();
        assert_eq!(
            shown,
            [(Outcome::Granted(40), 60), (Outcome::Busy, 30), (Outcome::Granted(30), 0)],
            "30 are spent, so the last 70 are lent once"
        );
        let others: Vec<_> = desk.grants(&answers).into_iter().map(|grant| grant.others.len()).collect();
        assert_eq!(others, [0, 1]);
    }
}
