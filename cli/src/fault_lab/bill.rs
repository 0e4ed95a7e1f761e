//! What the lab would bill: counted as a real provider counts, whatever it tells its callers about usage.
//!
//! A call is billed from its first piece of content (or its end, where it has none): the prompt in full, and of the
//! answer what was produced until it broke or the caller left. A whole answer is produced before its first byte.
//! Errors, pages, redirects and silence cost nothing. Calls appear here when they have ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// The price of a prompt token, in nano-dollars: 0.10 USD per million.
pub const PROMPT_NANO_USD: u64 = 100;
/// The price of a token of the answer, reasoning included, in nano-dollars: 0.40 USD per million.
pub const COMPLETION_NANO_USD: u64 = 400;

/// Models are what callers say, so their number is bounded; calls of further ones are counted under [`OTHERS`].
const MOST_ROWS: usize = 1_000;
const OTHERS: &str = "(others)";

/// What the calls of one model in one dialect came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Billed {
    pub dialect: &'static str,
    pub model: String,
    pub calls: u64,
    pub prompt_tokens: u64,
    /// Reasoning included.
    pub completion_tokens: u64,
    pub cost_nano_usd: u64,
}

/// One call that has ended, under the name that its client gave it in `x-client-request-id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Called {
    /// Empty where the client gave it none.
    pub id: String,
    /// Empty where nothing could be billed, as with errors.
    pub model: String,
    /// Whether it is billed; if not, the tokens are 0.
    pub is_billed: bool,
    pub prompt_tokens: u64,
    /// Reasoning included.
    pub completion_tokens: u64,
}

impl Called {
    /// What it costs, in nano-dollars.
    pub fn cost_nano_usd(&self) -> u64 {
        self.prompt_tokens * PROMPT_NANO_USD + self.completion_tokens * COMPLETION_NANO_USD
    }
}

/// What a call is billed under, should it produce anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payer {
    pub dialect: &'static str,
    pub model: String,
    pub prompt_tokens: u64,
}

/// One call's bill while it is open.
#[derive(Debug)]
pub struct Tab {
    payer: Payer,
    /// Absent until something is produced.
    completion_tokens: Option<u64>,
}

#[derive(Debug)]
pub struct Ledger {
    rows: Mutex<BTreeMap<(&'static str, String), Totals>>,
    /// How many calls are kept one by one, the newest.
    keep: usize,
    calls: Mutex<VecDeque<Called>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    calls: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Tab {
    pub fn new(payer: Payer) -> Self {
        Self { payer, completion_tokens: None }
    }

    /// Adds what has just been produced; zero tokens still make the prompt due.
    pub fn add(&mut self, tokens: u64) {
        *self.completion_tokens.get_or_insert(0) += tokens;
    }
}

impl Ledger {
    pub fn new(keep: usize) -> Self {
        Self { rows: Mutex::default(), keep, calls: Mutex::default() }
    }

    /// Books a call that has ended under the name that its client gave it; one that produced nothing is not billed.
    pub fn book(&self, id: String, tab: Option<Tab>) {
        let (payer, completion) = tab.map_or((None, None), |tab| (Some(tab.payer), tab.completion_tokens));
        self.keep(id, payer.as_ref(), completion);
        if let (Some(payer), Some(completion)) = (payer, completion) {
            self.add(payer, completion);
        }
    }

    fn keep(&self, id: String, payer: Option<&Payer>, completion: Option<u64>) {
        if self.keep == 0 {
            return;
        }
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == self.keep {
            calls.pop_front();
        }
        calls.push_back(Called {
            id,
            model: payer.map(|payer| payer.model.clone()).unwrap_or_default(),
            is_billed: completion.is_some(),
            prompt_tokens: completion.and(payer).map_or(0, |payer| payer.prompt_tokens),
            completion_tokens: completion.unwrap_or(0),
        });
    }

    /// The calls kept, in the order in which they ended.
    pub fn calls(&self) -> Vec<Called> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn add(&self, payer: Payer, completion_tokens: u64) {
        let Payer { dialect, model, prompt_tokens } = payer;
        let mut rows = self.lock();
        let mut key = (dialect, model);
        if rows.len() >= MOST_ROWS && !rows.contains_key(&key) {
            key.1 = OTHERS.to_owned();
        }
        let totals = rows.entry(key).or_default();
        totals.calls += 1;
        totals.prompt_tokens += prompt_tokens;
        totals.completion_tokens += completion_tokens;
    }

    /// The rows, by dialect and model.
    pub fn billed(&self) -> Vec<Billed> {
        self.lock().iter().map(|((dialect, model), totals)| totals.under(dialect, model)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(&'static str, String), Totals>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    fn under(self, dialect: &'static str, model: &str) -> Billed {
        let Self { calls, prompt_tokens, completion_tokens } = self;
        let cost_nano_usd = prompt_tokens * PROMPT_NANO_USD + completion_tokens * COMPLETION_NANO_USD;
        Billed { dialect, model: model.to_owned(), calls, prompt_tokens, completion_tokens, cost_nano_usd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tab(model: &str) -> Tab {
        Tab::new(Payer { dialect: "openai", model: model.to_owned(), prompt_tokens: 7 })
    }

    #[test]
    fn what_produced_nothing_is_not_billed_and_the_prompt_is_due_with_the_first_piece() {
        let ledger = Ledger::new(2);
        ledger.book("first".to_owned(), Some(tab("m")));
        ledger.book("second".to_owned(), None);
        assert_eq!(ledger.billed(), []);
        for pieces in [vec![0], vec![2, 3]] {
            let mut open = tab("m");
            pieces.into_iter().for_each(|tokens| open.add(tokens));
            ledger.book("later".to_owned(), Some(open));
        }
        let expected = Billed {
            dialect: "openai",
            model: "m".to_owned(),
            calls: 2,
            prompt_tokens: 14,
            completion_tokens: 5,
            cost_nano_usd: 14 * 100 + 5 * 400,
        };
        assert_eq!(ledger.billed(), [expected]);
        let kept: Vec<_> =
            ledger.calls().into_iter().map(|call| (call.id.clone(), call.cost_nano_usd())).collect();
        assert_eq!(kept, [("later".to_owned(), 700), ("later".to_owned(), 2_700)], "the newest two");
    }

    #[test]
    fn invented_models_do_not_fill_the_memory() {
        let ledger = Ledger::new(0);
        for number in 0..MOST_ROWS + 5 {
            let mut open = tab(&number.to_string());
            open.add(1);
            ledger.book(String::new(), Some(open));
        }
        let billed = ledger.billed();
        assert_eq!((billed.len(), ledger.calls().len()), (MOST_ROWS + 1, 0));
        assert!(billed.iter().any(|row| row.model == OTHERS && row.calls == 5));
    }
}
