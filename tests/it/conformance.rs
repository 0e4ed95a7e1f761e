//! Every recorded exchange through its adapter: the proof that the dialects are spoken as providers speak them.
//!
//! Expectations come from the recordings by an oracle that knows no adapter, so traffic that was never seen is
//! judged as well: `SWITCHYARD_RECORDINGS` names a folder of it. Nothing is decided by the name of a file.

pub mod answers;
mod compare;
mod coverage;
pub mod exchange;
mod failures;
mod framing;
mod goldens;
mod invariants;
mod oracle;
pub mod probe;
mod report;
mod requests;
pub mod settings;
mod skips;
mod surfaces;
mod targets;

use std::io::Write;

#[test]
fn conformance() {
    let settings = settings::Settings::read();
    let report = report::run(&settings);
    // Past the capture of tests that pass: the line is what a reader of the log looks for.
    let mut out = std::io::stdout();
    writeln!(out, "\n{report}").expect("standard output takes it");
    out.flush().expect("standard output takes it");
    assert!(report.wrong().is_empty(), "{}", report.wrong());
}
