//! `docs/faults.md`: what was seen of every fault, for people. The text before the table is kept as it is.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::faults::cells::Seen;

const BLESS: &str = "SWITCHYARD_BLESS";
const HEAD: &str = "\
| fault | form | alone: caller | alone: attempts | with a second: caller | with a second: attempts |
|---|---|---|---|---|---|
";

/// Compares the page with what was seen, or writes it.
pub fn hold(seen: &[Seen]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
    let known = fs::read_to_string(&path).unwrap_or_default();
    let text = known.split_once("\n| fault |").map_or(known.as_str(), |(text, _)| text);
    let page = format!("{}\n\n{}", text.trim_end(), table(seen));
    #[expect(
        clippy::disallowed_methods,
        reason = "who runs the tests says whether the page is to be written"
    )]
    let bless = std::env::var(BLESS).is_ok_and(|bless| bless == "1");
    if bless {
        return write(&path, &page);
    }
    assert!(
        known == page,
        "docs/faults.md is not what was seen: {BLESS}=1 writes it; then read what changed"
    );
}

fn write(path: &Path, page: &str) {
    fs::write(path, page).unwrap_or_else(|wrong| panic!("docs/faults.md: {wrong}"));
}

fn table(seen: &[Seen]) -> String {
    let mut table = HEAD.to_owned();
    for pair in seen.chunks(2) {
        let [alone, second] = pair else { panic!("every form has two cells") };
        let form = if alone.cell.streamed { "streamed" } else { "whole" };
        let attempts = |seen: &Seen| seen.attempts.join("; ");
        // Writing to memory cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {form} | {} | {} | {} | {} |",
            alone.cell.row.fault,
            alone.caller,
            attempts(alone),
            second.caller,
            attempts(second)
        );
    }
    table
}
