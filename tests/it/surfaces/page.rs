//! `docs/surfaces.md`: what was seen of every cell. The text before the table is kept as it is.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::failover::DIALECTS;
use crate::surfaces::asks::SURFACES;
use crate::surfaces::{DEEDS, Seen};

const BLESS: &str = "SWITCHYARD_BLESS";

/// Cells that cannot be: surface (empty: all), adapter (empty: all), deed, and why.
const KNOWN: [(&str, &str, &str, &str); 3] = [
    ("completions", "", "tools", "the dialect has no tools"),
    ("completions", "", "image", "the dialect has no images"),
    ("", "bedrock", "schema", "asked in words, and the lab's Bedrock reads no schema there"),
];

fn known(seen: &Seen) -> Option<&'static str> {
    let is = |known: &str, seen: &str| known.is_empty() || known == seen;
    let known = KNOWN.iter().find(|(surface, adapter, deed, _)| {
        is(surface, seen.surface) && is(adapter, seen.adapter) && *deed == seen.deed
    });
    known.map(|(.., why)| *why)
}

/// What is not as it is known to be: a cell that should pass and does not, or one that passes and should not.
pub fn surprise(seen: &Seen) -> Option<String> {
    match (seen.came.as_str(), known(seen)) {
        ("pass", Some(why)) => Some(format!("it passes, though it is said that it cannot: {why}")),
        ("pass", None) | (_, Some(_)) => None,
        (came, None) => Some(came.to_owned()),
    }
}

/// Compares the page with what was seen, or writes it.
pub fn hold(seen: &[Seen]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/surfaces.md");
    let before = fs::read_to_string(&path).unwrap_or_default();
    let text = before.split_once("\n| surface |").map_or(before.as_str(), |(text, _)| text);
    let page = format!("{}\n\n{}", text.trim_end(), table(seen));
    #[expect(
        clippy::disallowed_methods,
        reason = "who runs the tests says whether the page is to be written"
    )]
    let bless = std::env::var(BLESS).is_ok_and(|bless| bless == "1");
    if bless {
        fs::write(&path, page).unwrap_or_else(|wrong| panic!("docs/surfaces.md: {wrong}"));
        return;
    }
    assert!(
        before == page,
        "docs/surfaces.md is not what was seen: {BLESS}=1 writes it; then read what changed"
    );
}

fn table(seen: &[Seen]) -> String {
    let deeds = DEEDS.map(|(deed, _)| deed);
    let mut table =
        format!("| surface | adapter | {} |\n|---|---|{}\n", deeds.join(" | "), "---|".repeat(deeds.len()));
    for (surface, row) in SURFACES.iter().flat_map(|surface| DIALECTS.iter().map(move |row| (surface, row))) {
        let cells = seen.iter().filter(|seen| seen.surface == surface.name && seen.adapter == row.adapter);
        let cells: Vec<String> = cells
            .map(|seen| known(seen).map_or_else(|| seen.came.clone(), |why| format!("no: {why}")))
            .collect();
        // Writing to memory cannot fail.
        let _ = writeln!(table, "| {} | {} | {} |", surface.name, row.adapter, cells.join(" | "));
    }
    table
}

#[test]
fn a_cell_that_is_not_as_it_is_known_is_a_surprise() {
    let cell = |surface, deed, came: &str| Seen { surface, adapter: "openai", deed, came: came.to_owned() };
    for (seen, is_surprise) in [
        (cell("messages", "text", "pass"), false),
        (cell("messages", "text", "502"), true),
        (cell("completions", "tools", "400"), false),
        (cell("completions", "tools", "pass"), true),
    ] {
        assert_eq!(surprise(&seen).is_some(), is_surprise, "{} {}", seen.deed, seen.came);
    }
}
