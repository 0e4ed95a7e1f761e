//! Runs every exchange and gathers what came of it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use switchyard_data_plane::adapters::by_name;

use super::answers::{self, Outcome};
use super::coverage::Coverage;
use super::exchange::{Exchange, fixtures, recordings};
use super::goldens;
use super::probe::unwound;
use super::requests;
use super::settings::Settings;
use super::skips::Skips;
use super::surfaces;

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    exchanges: usize,
    passed: usize,
    /// Skipped exchanges by their reason.
    skipped: BTreeMap<String, usize>,
    /// Failed exchanges with the reason.
    failed: BTreeMap<String, String>,
    /// Requests that the surface refuses though a provider took them, with its words.
    refused: Vec<String>,
    /// What is wrong with lists, goldens and tables.
    breaches: Vec<String>,
    notes: Vec<String>,
    coverage: Coverage,
}

/// What came of one exchange.
enum Verdict {
    /// With the surface's words where it refuses the request.
    Passed(Coverage, Option<String>),
    /// By the list, or because nobody here speaks it.
    Skipped {
        reason: String,
        is_listed: bool,
    },
    Failed(String),
}

/// Walks the recordings and the repository's own exchanges.
pub fn run(settings: &Settings) -> Report {
    let mut report = Report::default();
    let skips = fs::read_to_string(settings.fixtures.join("skips.txt")).unwrap_or_default();
    let skips = Skips::parse(&skips).unwrap_or_else(|wrong| report.breach(format!("skips.txt: {wrong}")));
    let exchanges = report.gather(settings);
    let verdicts = verdicts(&exchanges, &skips);
    let listed =
        verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Skipped { is_listed: true, .. })).count();
    exchanges.iter().zip(verdicts).for_each(|(exchange, verdict)| report.note(exchange, verdict));
    report.check_goldens(settings, &exchanges);
    if settings.ratchets && settings.recordings.is_dir() {
        report.hold_skips(&skips, &exchanges, listed);
        report.hold_coverage(settings);
    }
    report
}

/// Every exchange on all cores.
fn verdicts(exchanges: &[Exchange], skips: &Skips) -> Vec<Verdict> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some(exchange) = exchanges.get(next.fetch_add(1, Ordering::Relaxed)) {
            let verdict = judge(exchange, skips);
            done.lock().expect("nobody panics while holding it").insert(&exchange.place, verdict);
        }
    };
    thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, usize::from);
        (0..count).for_each(|_| drop(scope.spawn(work)));
    });
    let mut done = done.into_inner().expect("nobody panics while holding it");
    exchanges.iter().filter_map(|exchange| done.remove(&exchange.place)).collect()
}

fn judge(exchange: &Exchange, skips: &Skips) -> Verdict {
    if let Some(reason) = skips.reason(exchange) {
        return Verdict::Skipped { reason: reason.to_owned(), is_listed: true };
    }
    let skipped = |reason: String| Verdict::Skipped { reason, is_listed: false };
    let Some((_, name)) = exchange.speaker else {
        return skipped(format!("`{}` is a kind of call that nobody here speaks", exchange.folder));
    };
    if by_name(name).is_none() {
        return match requests::check(exchange) {
            Ok(_) => skipped(format!("no adapter yet: {name}")),
            Err(reason) => Verdict::Failed(reason),
        };
    }
    match unwound(|| check(exchange)).and_then(|checked| checked) {
        Ok((coverage, refused)) => Verdict::Passed(coverage, refused),
        Err(reason) => Verdict::Failed(reason),
    }
}

/// Checks all that an exchange proves.
fn check(exchange: &Exchange) -> Result<(Coverage, Option<String>), String> {
    let (api, name) = exchange.speaker.ok_or("nobody speaks it")?;
    let adapter = by_name(name).ok_or("no adapter")?;
    let mut coverage = Coverage::default();
    let outcome = answers::check(adapter, api, exchange)?;
    coverage.answered(name, &outcome);
    if let Outcome::Answer { response, events } = &outcome {
        surfaces::check(response, events.as_deref())?;
    }
    Ok((coverage, requests::check(exchange)?))
}

impl Report {
    fn breach<T: Default>(&mut self, wrong: String) -> T {
        self.breaches.push(wrong);
        T::default()
    }

    fn gather(&mut self, settings: &Settings) -> Vec<Exchange> {
        let mut exchanges = Vec::new();
        if settings.recordings.is_dir() {
            let recorded = recordings(&settings.recordings).unwrap_or_else(|wrong| self.breach(wrong));
            self.notes.push(format!("{} recorded exchanges", recorded.len()));
            exchanges.extend(recorded);
        } else if settings.ratchets {
            self.notes.push("no recordings beside the repository: its own fixtures alone".to_owned());
        } else {
            self.breaches
                .push(format!("SWITCHYARD_RECORDINGS: {} is no folder", settings.recordings.display()));
        }
        if settings.ratchets {
            let own = fixtures(&settings.fixtures).unwrap_or_else(|wrong| self.breach(wrong));
            self.notes.push(format!("{} exchanges of the repository's own", own.len()));
            exchanges.extend(own);
        }
        exchanges
    }

    fn note(&mut self, exchange: &Exchange, verdict: Verdict) {
        self.exchanges += 1;
        match verdict {
            Verdict::Passed(coverage, refused) => {
                self.passed += 1;
                self.refused.extend(refused.map(|refused| format!("{}: {refused}", exchange.place)));
                self.coverage.join(coverage);
            }
            Verdict::Skipped { reason, .. } => *self.skipped.entry(reason).or_default() += 1,
            Verdict::Failed(reason) => drop(self.failed.insert(exchange.place.clone(), reason)),
        }
    }

    fn check_goldens(&mut self, settings: &Settings, exchanges: &[Exchange]) {
        // With other recordings the fields that they use are others, and the goldens are not theirs.
        if settings.ratchets {
            let checked = goldens::check(settings, exchanges);
            self.notes.push(format!("{} canonical requests written by the adapters", checked.count));
            self.breaches.extend(checked.wrong);
            self.coverage.join(checked.coverage);
        }
    }

    /// The list may only shrink.
    fn hold_skips(&mut self, skips: &Skips, exchanges: &[Exchange], listed: usize) {
        for pattern in skips.idle(exchanges) {
            self.breaches.push(format!("skips.txt: `{pattern}` matches nothing any more: remove it"));
        }
        if listed > skips.most {
            self.breaches.push(format!(
                "skips.txt: {listed} exchanges are skipped, and {} at most may be",
                skips.most
            ));
        }
        let refusals = self.refused.len();
        if refusals > skips.most_refusals {
            let most = skips.most_refusals;
            self.breaches
                .push(format!("skips.txt: {refusals} requests are refused, and {most} at most may be"));
        }
        let unlisted: Vec<String> =
            self.skipped.keys().filter(|reason| reason.contains("nobody here speaks")).cloned().collect();
        for reason in unlisted {
            self.breaches.push(format!("skips.txt: no line says why: {reason}"));
        }
    }

    /// The table may only grow.
    fn hold_coverage(&mut self, settings: &Settings) {
        let path = settings.fixtures.join("coverage.md");
        let known = fs::read_to_string(&path).unwrap_or_default();
        let before = Coverage::parse(&known);
        if settings.bless {
            let text = known.split_once("\n|").map_or(known.as_str(), |(text, _)| text);
            let written = fs::write(&path, format!("{}\n\n{}", text.trim_end(), self.coverage.table()));
            return written.unwrap_or_else(|wrong| self.breach(format!("coverage.md: {wrong}")));
        }
        let lost = self.coverage.lost(&before);
        self.breaches.extend(lost.iter().map(|lost| format!("coverage.md: less than there was: {lost}")));
        if lost.is_empty() && self.coverage.has_grown(&before) {
            self.notes.push("more is covered than coverage.md says: SWITCHYARD_BLESS=1 writes it".to_owned());
        }
    }

    /// Everything that is wrong; empty if nothing is.
    pub fn wrong(&self) -> String {
        let failed = self.failed.iter().map(|(place, reason)| format!("{place}: {reason}"));
        failed.chain(self.breaches.iter().cloned()).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.notes.iter().try_for_each(|note| writeln!(text, "{note}"))?;
        self.skipped.iter().try_for_each(|(reason, count)| writeln!(text, "skipped {count}: {reason}"))?;
        self.refused.iter().try_for_each(|refused| writeln!(text, "refused by the surface {refused}"))?;
        writeln!(text, "\n{}", self.coverage.table())?;
        self.failed.iter().try_for_each(|(place, reason)| writeln!(text, "failed {place}: {reason}"))?;
        self.breaches.iter().try_for_each(|breach| writeln!(text, "wrong: {breach}"))?;
        let (exchanges, passed, failed) = (self.exchanges, self.passed, self.failed.len());
        let skipped: usize = self.skipped.values().sum();
        write!(
            f,
            "{text}conformance: exchanges {exchanges} passed {passed} skipped {skipped} failed {failed}"
        )
    }
}
