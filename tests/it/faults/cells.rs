//! The cells: which there are, and what each of them asks for.

use serde_json::{Value, json};
use switchyard_proto::v1;

use crate::failover::{self, DIALECTS};
use crate::faults::dialects;
use crate::faults::surfaces::{SURFACES, Surface};
use crate::faults::table::{Expected, FIRST, FRAMINGS, Load, ROWS, Row, SECOND, Under};

/// One fault in one dialect and form, asked on one surface, without or with a healthy provider behind it.
#[derive(Clone, Copy)]
pub struct Cell {
    pub row: &'static Row,
    pub dialect: &'static failover::Row,
    pub surface: &'static Surface,
    /// Where it stands among all.
    pub place: usize,
    pub streamed: bool,
    pub has_second: bool,
}

/// How a cell must be run to say something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Beside others.
    Quick,
    /// A deadline ends it, or waits for it: it is mostly silence.
    Timed,
    /// Alone, for it keeps lab and router busy.
    Heavy,
}

/// What was seen of a cell: the four values.
pub struct Seen {
    pub cell: Cell,
    pub caller: String,
    /// Who, outcome, cost and charge, provenance, in the order of the attempts.
    pub attempts: Vec<String>,
}

/// All cells: fault by fault, in each form after form; on chat completions dialect after dialect, then on the other surfaces
/// in one dialect.
pub fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for row in ROWS {
        for streamed in [true, false] {
            for (dialect, surface) in spoken(row) {
                for has_second in [false, true] {
                    let place = cells.len();
                    cells.push(Cell { row, dialect, surface, place, streamed, has_second });
                }
            }
        }
    }
    cells
}

/// In which dialect a fault is met, and on which surface it is asked for.
fn spoken(row: &'static Row) -> impl Iterator<Item = (&'static failover::Row, &'static Surface)> {
    let [chat, others @ ..] = &SURFACES;
    let met = DIALECTS.iter().filter(|dialect| row.is_run_in(dialect.adapter));
    let plain = DIALECTS.iter().filter(|dialect| dialect.adapter == FRAMINGS[0]);
    let asked = others.iter().filter(|surface| surface.can_ask(row.asks));
    let asked: Vec<_> =
        plain.flat_map(|dialect| asked.clone().map(move |surface| (dialect, surface))).collect();
    met.map(move |dialect| (dialect, chat)).chain(asked)
}

impl Cell {
    pub fn run(&self) -> Run {
        match self.row.under {
            _ if self.row.load != Load::Light => Run::Heavy,
            Under::Patience | Under::ClosedPort => Run::Quick,
            Under::FullQueue | Under::Haste | Under::ShortTotal | Under::MinimumRate => Run::Timed,
        }
    }

    pub fn form(&self) -> &'static str {
        if self.streamed { "streamed" } else { "whole" }
    }

    /// Which cell it is, for people.
    pub fn name(&self) -> String {
        let company = if self.has_second { "with a second" } else { "alone" };
        let (fault, adapter, surface) = (self.row.fault, self.dialect.adapter, self.surface.name);
        format!("{fault} {surface} {adapter} {} {company}", self.form())
    }

    /// The cells of one fault in one dialect share it: a credential that is refused is refused to all of them.
    pub fn provider(&self) -> String {
        let fault: String =
            self.row.fault.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        format!("{}-{}", fault.trim_matches('-'), self.dialect.adapter.replace('_', "-"))
    }

    pub fn is_first_of_provider(&self) -> bool {
        self.streamed && !self.has_second && self.surface.is_chat()
    }

    pub fn model(&self) -> String {
        format!("test/cell-{}", self.place)
    }

    /// What it must come to: the row's word, or the dialect's own.
    pub fn expected(&self) -> Expected {
        let own = dialects::own(self.row.fault, self.dialect.adapter, self.streamed);
        let of_row = if self.streamed { self.row.streamed } else { self.row.whole };
        own.map_or(of_row, |own| own.expected)
    }

    pub fn body(&self) -> Value {
        let mut body = self.surface.body(self.row.asks);
        body["model"] = json!(self.model());
        body["provider"] = json!({"order": [self.provider(), SECOND]});
        body["stream"] = json!(self.streamed);
        body
    }

    /// A ledger line as the table has it.
    pub fn told(&self, line: &v1::Line) -> String {
        let who = match line.provider.as_str() {
            first if first == self.provider() => FIRST,
            other => other,
        };
        let provenance = line.provenance().as_str_name().to_lowercase();
        format!("{who} {} {}/{} {provenance}", line.outcome, nano(&line.cost_usd), nano(&line.charge_usd))
    }
}

/// Dollars, as the ledger prints them, in nano-dollars.
fn nano(usd: &str) -> u64 {
    let (whole, fraction) = usd.split_once('.').unwrap_or((usd, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap_or_else(|error| panic!("`{usd}`: {error}"))
}

impl Seen {
    /// What is wrong with it: a value that is missing, or another than the table has.
    pub fn wrong(&self) -> Option<String> {
        let expected = self.cell.expected();
        let caller = self.cell.surface.caller(expected, self.cell.has_second);
        let attempts = expected.attempts(self.cell.has_second);
        let is_whole = |told: &String| told.split(' ').filter(|value| !value.is_empty()).count() == 4;
        let is_complete =
            !self.caller.is_empty() && !self.attempts.is_empty() && self.attempts.iter().all(is_whole);
        let agrees = self.caller == caller && self.attempts == attempts;
        (!is_complete || !agrees).then(|| {
            format!(
                "{}:\n  seen     {} | {}\n  expected {caller} | {}",
                self.cell.name(),
                self.caller,
                self.attempts.join("; "),
                attempts.join("; ")
            )
        })
    }
}
