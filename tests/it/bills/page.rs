//! The table of recorded bills, as a page.

use std::fmt::Write;
use std::fs;

use switchyard_proto::money::NanoUsd;

use crate::bills::Row;
use crate::conformance::settings::Settings;

const HEAD: &str = "\
# Recorded bills

What providers said that a call cost, and what our price function makes of the same usage at the price that was published
for the model: in OpenRouter's recorded list of models, else in the shared catalogue. Amounts are dollars; a difference is
ours less theirs, in nano-dollars. Written by `SWITCHYARD_BLESS=1 cargo test --workspace bills`; a difference without an
explanation fails the test, and so does an explanation without a difference.

| recording | prompt | cached | written | completion | reasoning | searches | theirs | ours | price | difference | why |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// Writes the page, or compares it with the one that is checked in.
pub fn hold(rows: &[Row], settings: &Settings) {
    let path = settings.fixtures.join("bills.md");
    let page = page(rows);
    if settings.bless {
        return fs::write(&path, page).unwrap();
    }
    let held = fs::read_to_string(&path).unwrap_or_default();
    assert!(held == page, "{} is not what was computed: SWITCHYARD_BLESS=1 writes it", path.display());
}

fn page(rows: &[Row]) -> String {
    let mut page = HEAD.to_owned();
    for row in rows {
        writeln!(page, "{}", line(row)).unwrap();
    }
    let agree = rows.iter().filter(|row| row.difference() == Some(0)).count();
    writeln!(page, "\n{agree} of {} agree to the nano-dollar.", rows.len()).unwrap();
    page
}

fn line(row: &Row) -> String {
    let tokens = &row.tokens;
    let (ours, source) = match row.ours {
        Some((ours, source)) => (ours.to_string(), source.as_str()),
        None => ("-".to_owned(), "none"),
    };
    let difference = row.difference().map_or_else(|| "-".to_owned(), |difference| difference.to_string());
    let cells = [
        format!("`{}`", row.place),
        tokens.prompt.to_string(),
        tokens.cached.to_string(),
        tokens.cache_write.to_string(),
        tokens.completion.to_string(),
        tokens.reasoning.to_string(),
        tokens.searches.to_string(),
        NanoUsd::to_string(&row.theirs),
        ours,
        source.to_owned(),
        difference,
        row.reason.unwrap_or_default().to_owned(),
    ];
    format!("| {} |", cells.join(" | "))
}
