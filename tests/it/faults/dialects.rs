//! Where a dialect has a word of its own: cells that come to something else than the fault's row says, and why.
//!
//! Each is reasoned from the dialect: what it has no way to say, where it puts what, which status it uses.

use crate::faults::table::{Expected, HARMLESS, moves, passes, stays};

/// A fault in some dialects.
pub struct Own {
    fault: &'static str,
    adapters: &'static [&'static str],
    forms: Forms,
    pub expected: Expected,
    /// A clause for the page.
    pub why: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forms {
    Both,
    Streamed,
    Whole,
}

/// The word that `adapter` has on `fault`, where it has one.
pub fn own(fault: &str, adapter: &str, streamed: bool) -> Option<&'static Own> {
    let fits = |own: &&Own| {
        let forms = match own.forms {
            Forms::Both => true,
            Forms::Streamed => streamed,
            Forms::Whole => !streamed,
        };
        own.fault == fault && forms && own.adapters.contains(&adapter)
    };
    OWN.iter().find(fits)
}

const fn both(fault: &'static str, adapters: &'static [&'static str], expected: Expected, why: &'static str) -> Own {
    Own { fault, adapters, forms: Forms::Both, expected, why }
}

const fn streamed(
    fault: &'static str,
    adapters: &'static [&'static str],
    expected: Expected,
    why: &'static str,
) -> Own {
    Own { fault, adapters, forms: Forms::Streamed, expected, why }
}

const fn whole(fault: &'static str, adapters: &'static [&'static str], expected: Expected, why: &'static str) -> Own {
    Own { fault, adapters, forms: Forms::Whole, expected, why }
}

#[rustfmt::skip] // A table: one row, one thought.
static OWN: &[Own] = &[
];
