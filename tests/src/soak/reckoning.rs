//! The lab's count against the ledger, line by line.
//!
//! Every call that the lab saw has one line. What the provider itself said agrees to the token, what was interrupted is
//! booked at its worst, and every other difference stands on a line that says how its numbers are known. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use switchyard_cli::fault_lab::Called;
use switchyard_proto::v1::Provenance;

use crate::soak::books::{Account, Books, Line};

/// Of all that went missing, so many are named.
const NAMED: usize = 20;
/// A key that ends with less than this share of its limit left is spent.
const SPENT: f64 = 0.95;
/// The outcome of an attempt whose answer was given.
const OK: &str = "ok";

/// What the comparison found.
#[derive(Debug, Default)]
pub struct Reckoning {
    pub calls: u64,
    pub billed_calls: u64,
    /// Nano-dollars.
    pub billed: u64,
    pub lines: u64,
    /// By how the numbers are known and how the attempt ended.
    pub rows: BTreeMap<(String, String), Row>,
    /// What the lab billed and the ledger has not, or has wrongly.
    pub lost: u64,
    /// The first of them.
    pub named: Vec<String>,
    /// Keys that ended within five percent of their limit.
    pub spent_keys: u64,
    /// What accounts are over their limits in the end, in nano-dollars.
    pub overspend: i64,
    /// What all accounts together may spend, in nano-dollars.
    pub limits: i64,
}

/// Lines of one kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub lines: u64,
    /// Nano-dollars: by the lab, and by the ledger.
    pub billed: u64,
    pub booked: u64,
    /// What tenants paid.
    pub charged: u64,
    /// Lines, and nano-dollars, that the ledger has more than the lab.
    pub over: (u64, u64),
    /// The same for less.
    pub short: (u64, u64),
}

impl Reckoning {
    pub fn of(
        calls: &[Called],
        books: &Books,
        served: &[String],
        limits: &BTreeMap<(i16, String), i64>,
    ) -> Self {
        let mut found = Self {
            calls: calls.len() as u64,
            lines: books.lines.len() as u64,
            limits: limits.values().sum(),
            ..Self::default()
        };
        let mut seen: HashMap<&str, &Called> = HashMap::new();
        for call in calls {
            found.billed_calls += u64::from(call.is_billed);
            found.billed += call.cost_nano_usd();
            if seen.insert(&call.id, call).is_some() {
                found.lose(format!("{}: called twice", call.id));
            }
        }
        let booked: HashSet<&str> = books.lines.iter().map(|line| line.id.as_str()).collect();
        for call in calls.iter().filter(|call| !booked.contains(call.id.as_str())) {
            found.lose(format!("{}: no line, {call:?}", call.id));
        }
        for line in &books.lines {
            found.compare(line, seen.get(line.id.as_str()).copied());
        }
        found.check_served(books, served);
        found.check_accounts(&books.accounts, limits);
        found
    }

    fn compare(&mut self, line: &Line, call: Option<&Called>) {
        let billed = call.map_or(0, Called::cost_nano_usd);
        let kind = (line.provenance.as_str_name().to_lowercase(), line.outcome.clone());
        let row = self.rows.entry(kind).or_default();
        row.lines += 1;
        row.billed += billed;
        row.booked += line.cost;
        row.charged += line.charge;
        if line.cost > billed {
            row.over = (row.over.0 + 1, row.over.1 + line.cost - billed);
        }
        if line.cost < billed {
            row.short = (row.short.0 + 1, row.short.1 + billed - line.cost);
        }
        let tokens = call.map_or((0, 0), |call| (call.prompt_tokens, call.completion_tokens));
        let is_wrong = match line.provenance {
            // The provider's word is the provider's bill.
            Provenance::ProviderFinal => {
                (line.prompt_tokens, line.completion_tokens) != tokens || line.cost != billed
            }
            // These stand for the worst.
            Provenance::Unspecified | Provenance::Interrupted | Provenance::Presumed => line.cost < billed,
            // What was on its way when an answer broke off, nobody here has seen; a whole answer has no such part.
            Provenance::ProviderPartial | Provenance::Estimated => line.outcome == OK && line.cost < billed,
        };
        // Nobody here has a mark-up, and every reservation covers what these providers bill.
        let is_wrong = is_wrong || line.outcome == OK && line.charge != line.cost;
        if is_wrong {
            self.lose(format!("{line:?} for {call:?}"));
        }
    }

    /// Whoever has a whole answer has it in the ledger, as such.
    fn check_served(&mut self, books: &Books, served: &[String]) {
        let good: HashSet<&str> = books
            .lines
            .iter()
            .filter(|line| line.outcome == OK)
            .map(|line| line.generation.as_str())
            .collect();
        for id in served.iter().filter(|id| !good.contains(id.as_str())) {
            self.lose(format!("{id}: a caller has the whole answer"));
        }
    }

    fn check_accounts(&mut self, accounts: &[Account], limits: &BTreeMap<(i16, String), i64>) {
        for Account { kind, owner, charged, presumed, lent } in accounts {
            let Some(limit) = limits.get(&(*kind, owner.clone())) else { continue };
            let taken = charged + presumed + lent;
            self.overspend += (taken - limit).max(0);
            let is_key = *kind == switchyard_proto::v1::AccountKind::KeyLimit as i16;
            self.spent_keys += u64::from(is_key && taken as f64 >= SPENT * *limit as f64);
        }
    }

    fn lose(&mut self, what: String) {
        self.lost += 1;
        if self.named.len() < NAMED {
            self.named.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str, completion_tokens: u64) -> Called {
        Called { id: id.into(), model: "m".into(), is_billed: true, prompt_tokens: 5, completion_tokens }
    }

    fn line(id: &str, completion_tokens: u64, provenance: Provenance) -> Line {
        Line {
            id: id.into(),
            generation: id.split('/').next().unwrap_or_default().into(),
            prompt_tokens: 5,
            completion_tokens,
            cost: 500 + 400 * completion_tokens,
            charge: 500 + 400 * completion_tokens,
            provenance,
            outcome: OK.into(),
        }
    }

    fn lost(calls: &[Called], lines: Vec<Line>, served: &[&str]) -> u64 {
        let served: Vec<String> = served.iter().map(|id| (*id).to_owned()).collect();
        Reckoning::of(calls, &Books { lines, ..Books::default() }, &served, &BTreeMap::new()).lost
    }

    #[test]
    fn what_is_missing_twice_or_too_little_is_lost() {
        use Provenance::{Estimated, Interrupted, ProviderFinal};
        assert_eq!(lost(&[call("a/1", 3)], vec![line("a/1", 3, ProviderFinal)], &["a"]), 0);
        assert_eq!(lost(&[call("a/1", 3)], vec![], &[]), 1, "no line");
        assert_eq!(lost(&[call("a/1", 3), call("a/1", 3)], vec![line("a/1", 3, ProviderFinal)], &[]), 1);
        assert_eq!(lost(&[call("a/1", 3)], vec![line("a/1", 4, ProviderFinal)], &[]), 1, "not what was said");
        assert_eq!(lost(&[call("a/1", 3)], vec![line("a/1", 2, Interrupted)], &[]), 1, "less than billed");
        assert_eq!(lost(&[call("a/1", 3)], vec![line("a/1", 9, Interrupted)], &[]), 0, "the worst case");
        assert_eq!(lost(&[call("a/1", 3)], vec![line("a/1", 2, Estimated)], &[]), 1, "less than billed");
        assert_eq!(lost(&[], vec![line("a/1", 2, Estimated)], &["b"]), 1, "an answer without a line");
        let cheaper = Line { charge: 1, ..line("a/1", 3, ProviderFinal) };
        assert_eq!(lost(&[call("a/1", 3)], vec![cheaper], &[]), 1, "not what it costs");
        let cut = Line { outcome: "timeout".into(), ..line("a/1", 2, Estimated) };
        assert_eq!(lost(&[call("a/1", 3)], vec![cut], &[]), 0, "a piece was on its way");
    }

    #[test]
    fn accounts_over_their_limit_and_spent_keys_are_counted() {
        let account =
            |owner: &str, charged, lent| Account { kind: 3, owner: owner.into(), charged, presumed: 0, lent };
        let accounts = vec![account("a", 90, 20), account("b", 95, 0), account("c", 94, 0)];
        let limits = ["a", "b", "c"].map(|owner| ((3, owner.to_owned()), 100)).into();
        let found = Reckoning::of(&[], &Books { accounts, ..Books::default() }, &[], &limits);
        assert_eq!((found.overspend, found.spent_keys), (10, 2));
    }
}
