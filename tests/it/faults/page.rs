//! `docs/faults.md`: what was seen of every fault, for people. The text before the table is kept as it is.
//!
//! Dialects in which a fault came to the same share a row. The other surfaces have a table of their own: what a caller hears.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::failover::DIALECTS;
use crate::faults::cells::Seen;
use crate::faults::dialects;
use crate::faults::surfaces::SURFACES;

const BLESS: &str = "SWITCHYARD_BLESS";
const HEAD: &str = "\
| fault | form | dialects | alone: caller | alone: attempts | with a second: caller | with a second: attempts | why |
|---|---|---|---|---|---|---|---|
";

/// What stands before the table of the other surfaces.
const OTHERS: &str = "
## On the other surfaces

The same faults of a provider that speaks OpenAI's dialect, asked for on the other surfaces: what the caller hears alone, and
with a healthy provider behind. Who is tried, what it costs and how that is known was the same there as on chat completions, in
every cell; the test holds that too. A dash: the dialect has no way to ask for what the fault needs.

";

/// Compares the page with what was seen, or writes it.
pub fn hold(seen: &[Seen]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
    let known = fs::read_to_string(&path).unwrap_or_default();
    let text = known.split_once("\n| fault |").map_or(known.as_str(), |(text, _)| text);
    let (of_chat, of_others): (Vec<&Seen>, Vec<&Seen>) =
        seen.iter().partition(|seen| seen.cell.surface.is_chat());
    let page = format!("{}\n\n{}{OTHERS}{}", text.trim_end(), table(&of_chat), others(&of_others));
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

/// One fault in one form, and the dialects in which it came to this.
struct Group<'a> {
    adapters: Vec<&'static str>,
    alone: &'a Seen,
    second: &'a Seen,
}

fn table(seen: &[&Seen]) -> String {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for pair in seen.chunks(2) {
        let &[alone, second] = pair else { panic!("every form has two cells") };
        match groups.iter_mut().find(|group| group.is_like(alone, second)) {
            Some(group) => group.adapters.push(alone.cell.dialect.adapter),
            None => groups.push(Group { adapters: vec![alone.cell.dialect.adapter], alone, second }),
        }
    }
    let mut table = HEAD.to_owned();
    for group in &groups {
        let Group { alone, second, .. } = group;
        // Writing to memory cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} | {} | {} | {} | {} |",
            alone.cell.row.fault,
            alone.cell.form(),
            group.dialects(),
            alone.caller,
            alone.attempts.join("; "),
            second.caller,
            second.attempts.join("; "),
            group.why(),
        );
    }
    table
}

/// A row for each fault and form: a surface, a column.
fn others(seen: &[&Seen]) -> String {
    let surfaces = || SURFACES.iter().filter(|surface| !surface.is_chat());
    let names: Vec<&str> = surfaces().map(|surface| surface.name).collect();
    let mut table =
        format!("| fault | form | {} |\n|---|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    let is_one =
        |a: &&Seen, b: &&Seen| (a.cell.row.fault, a.cell.streamed) == (b.cell.row.fault, b.cell.streamed);
    for row in seen.chunk_by(is_one) {
        let heard = surfaces().map(|surface| {
            let cells: Vec<&str> = row
                .iter()
                .filter(|seen| seen.cell.surface.name == surface.name)
                .map(|seen| seen.caller.as_str())
                .collect();
            match cells.as_slice() {
                [alone, second] if alone == second => (*alone).to_owned(),
                [alone, second] => format!("{alone}; {second}"),
                _ => "–".to_owned(),
            }
        });
        let heard: Vec<String> = heard.collect();
        // Writing to memory cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {} |",
            row[0].cell.row.fault,
            row[0].cell.form(),
            heard.join(" | ")
        );
    }
    table
}

impl Group<'_> {
    fn is_like(&self, alone: &Seen, second: &Seen) -> bool {
        let same = |a: &Seen, b: &Seen| a.caller == b.caller && a.attempts == b.attempts;
        let place = |seen: &Seen| (seen.cell.row.fault, seen.cell.streamed);
        place(self.alone) == place(alone) && same(self.alone, alone) && same(self.second, second)
    }

    fn dialects(&self) -> String {
        if self.adapters.len() == DIALECTS.len() { "all".to_owned() } else { self.adapters.join(", ") }
    }

    fn why(&self) -> &'static str {
        let cell = self.alone.cell;
        dialects::own(cell.row.fault, cell.dialect.adapter, cell.streamed).map_or("", |own| own.why)
    }
}
