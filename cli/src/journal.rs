//! `switchyard journal`: what a data plane that never comes back has left on its disk, counted or handed over.
//!
//! Reading, shipping and giving back are the data plane's (`orphan`, `journal::Survey`); here are options and words.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use switchyard_data_plane::{
    journal::{Survey, Tally},
    orphan::{self, Shipped},
    settings::Settings,
};

use crate::{
    output::{self, Output, print_json},
    settings::Sources,
    telemetry::Telemetry,
};

/// Between two words about how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

const SHIP_HELP: &str = "\
DIR is the data plane's folder (its `data_dir`, which holds `instance` and `journal/`), or the `journal` folder in it. Mount
the disk where this command can write: it closes attempts that were cut off, at their reservations, as a restart of the data
plane would, and notes how far it came. Its records then go to the control plane, which books each once however often it is
sent, and what is left of its leases is given back. A second run goes on where the first one stopped.

It refuses while a running process holds the folder, and while the control plane counts the data plane as attached. Never run
it on a copy of the disk of a data plane that lives.

The control plane is reached as the data plane reaches it: the same settings, certificates and variables.

Exit codes: 0 everything is in the ledger; 1 not everything: what is left, in quarantine or unreadable is said; 2 wrong usage
or settings.";

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Journal {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Hand over what an orphaned journal still owes the ledger, and give back the money that its data plane was lent
    #[command(after_long_help = SHIP_HELP)]
    Ship(Ship),
}

#[derive(Debug, Args)]
struct Ship {
    /// The data plane's folder, or the journal folder in it
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Only say what would be handed over; nothing in the folder changes and nobody is called
    #[arg(long)]
    dry_run: bool,
    /// The control plane's fleet address
    #[arg(long, value_name = "URL", env = "SWITCHYARD_CONTROL_PLANE")]
    control_plane: Option<String>,
    /// PEM: the authority that the control plane's certificate must be signed by
    #[arg(long, value_name = "FILE", env = "SWITCHYARD_FLEET_CA")]
    ca: Option<String>,
    /// PEM: a data plane's certificate
    #[arg(long, value_name = "FILE", env = "SWITCHYARD_FLEET_CERT")]
    cert: Option<String>,
    /// PEM: the certificate's private key
    #[arg(long, value_name = "FILE", env = "SWITCHYARD_FLEET_KEY")]
    key: Option<String>,
    /// A TOML file of settings: that of the data plane will do
    #[arg(long, value_name = "FILE", env = "SWITCHYARD_SETTINGS", hide_env_values = true)]
    settings: Option<PathBuf>,
    /// How long to go on trying without any progress, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait_s: u64,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Journal {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// Wrong settings, no journal, one that is in use, and when not everything was booked.
    pub async fn run(self) -> anyhow::Result<()> {
        let Verb::Ship(ship) = self.verb;
        ship.run().await
    }
}

impl Ship {
    async fn run(self) -> anyhow::Result<()> {
        let sources = self.sources()?;
        let (settings, log) = {
            let settings = sources.read()?;
            (settings.data_plane()?, settings.log()?)
        };
        let telemetry = Telemetry::start("switchyard-journal", &log)?;
        let done = self.ship(&settings).await;
        telemetry.shutdown();
        done
    }

    /// The data plane's settings, under what the command line says.
    fn sources(&self) -> anyhow::Result<Sources> {
        let data_dir = data_dir(&self.dir)?;
        let data_dir = data_dir.to_str().context("the folder's path is not UTF-8")?.to_owned();
        let mut sources = Sources::of_process(self.settings.clone());
        sources.profile = vec![("log.filter", "warn".into()), ("log.format", "text".into())];
        sources.flags.push(("data_plane.data_dir", data_dir.into(), "DIR"));
        for (setting, value, flag) in [
            ("data_plane.control_plane", &self.control_plane, "--control-plane"),
            ("data_plane.fleet_tls.ca", &self.ca, "--ca"),
            ("data_plane.fleet_tls.cert", &self.cert, "--cert"),
            ("data_plane.fleet_tls.key", &self.key, "--key"),
        ] {
            // An empty variable counts as not set.
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                sources.flags.push((setting, value.as_str().into(), flag));
            }
        }
        Ok(sources)
    }

    async fn ship(&self, settings: &Settings) -> anyhow::Result<()> {
        let survey = Survey::of(&settings.data_dir)?;
        if self.dry_run {
            self.print(surveyed(&survey), |_| in_words(&survey));
            return Ok(());
        }
        if survey.is_settled() {
            self.print(shipped_json(&survey, &Shipped::default()), |_| {
                "Nothing is left to be handed over.\n".into()
            });
            return survey_is_clean(&survey);
        }
        let mut progress = Progress::of(&survey);
        let wait = Duration::from_secs(self.wait_s);
        let shipped = orphan::ship(settings, wait, |shipped| progress.tell(shipped)).await;
        let shipped = shipped.with_context(|| progress.broke_off())?;
        self.print(shipped_json(&survey, &shipped), |_| told(&survey, &shipped));
        is_clean(&survey, &shipped)
    }

    fn print(&self, value: Value, text: impl FnOnce(&Value) -> String) {
        match self.output {
            Output::Json => print_json(&value),
            Output::Table => output::print_text(&text(&value)),
        }
    }
}

/// The folder that holds `journal/`, whichever of the two is named.
fn data_dir(dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = dir.canonicalize().with_context(|| format!("cannot open the folder `{}`", dir.display()))?;
    if dir.join("journal").is_dir() {
        return Ok(dir);
    }
    match (dir.file_name(), dir.parent()) {
        (Some(name), Some(parent)) if name == "journal" => Ok(parent.to_owned()),
        _ => bail!("there is no journal in `{}`", dir.display()),
    }
}

/// Says from time to time how far it is.
struct Progress {
    all: u64,
    done: u64,
    is_seen: bool,
    next: Instant,
}

impl Progress {
    fn of(survey: &Survey) -> Self {
        let next = Instant::now() + TELL_EVERY;
        Self { all: survey.records(), done: 0, is_seen: std::io::stderr().is_terminal(), next }
    }

    fn tell(&mut self, shipped: &Shipped) {
        self.done = shipped.records;
        if Instant::now() >= self.next || (self.is_seen && self.done == self.all) {
            self.next = Instant::now() + TELL_EVERY;
            eprintln!("{} of {} records handed over", self.done, self.all.max(self.done));
        }
    }

    fn broke_off(&self) -> String {
        format!("{} of {} records were handed over; the rest stays in the journal", self.done, self.all)
    }
}

/// Fails where something needs a person though all was handed over.
fn is_clean(survey: &Survey, shipped: &Shipped) -> anyhow::Result<()> {
    if shipped.quarantined > 0 {
        bail!("{} records cannot be booked: they are in the control plane's quarantine", shipped.quarantined);
    }
    if shipped.kept > 0 {
        bail!("{} leases could not be given back: run it again, or `switchyard fleet release`", shipped.kept);
    }
    survey_is_clean(survey)
}

fn survey_is_clean(survey: &Survey) -> anyhow::Result<()> {
    if survey.damaged > 0 {
        bail!(
            "{} stretches of the journal cannot be read: they are in its folder as `damaged-….raw`, and what the data plane \
             was lent stays counted until `switchyard fleet release`",
            survey.damaged
        );
    }
    Ok(())
}

fn tally(tally: &Tally) -> Value {
    json!({"count": tally.count, "charge_usd": tally.charge.to_string(), "cost_usd": tally.cost.to_string()})
}

fn surveyed(survey: &Survey) -> Value {
    json!({
        "instance": instance(survey),
        "records": survey.records(),
        "attempts": tally(&survey.ended),
        "interrupted": tally(&survey.interrupted),
        "generations": survey.generations + survey.unfinished,
        "oldest": survey.oldest.map(|at| at.to_rfc3339()),
        "newest": survey.newest.map(|at| at.to_rfc3339()),
        "leases": {"count": survey.leases, "usd": survey.held.to_string(), "in_doubt": survey.doubts},
        "damaged": survey.damaged,
    })
}

fn shipped_json(survey: &Survey, shipped: &Shipped) -> Value {
    json!({
        "instance": instance(survey),
        "records": shipped.records,
        "booked": shipped.booked,
        "quarantined": shipped.quarantined,
        "interrupted": shipped.interrupted,
        "leases": {"count": shipped.returned, "usd": shipped.returned_nano.to_string(), "kept": shipped.kept},
        "damaged": survey.damaged,
        "released_epoch": shipped.released_epoch,
    })
}

fn instance(survey: &Survey) -> &str {
    survey.instance.as_ref().map_or("", |instance| instance.as_str())
}

/// What would be handed over, a line for each kind.
fn in_words(survey: &Survey) -> String {
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or_else(|| "-".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S").to_string())
    };
    let attempts = |what: &str, tally: &Tally| {
        [what.to_owned(), tally.count.to_string(), tally.charge.to_string(), tally.cost.to_string()].to_vec()
    };
    let plain = |what: &str, count: u64| [what.to_owned(), count.to_string()].to_vec();
    let head = ["WHAT", "COUNT", "CHARGE USD", "COST USD"].map(str::to_owned).to_vec();
    let leases =
        ["leases to give back".to_owned(), survey.leases.to_string(), survey.held.to_string()].to_vec();
    let table = output::lines(&[
        head,
        attempts("attempts that ended", &survey.ended),
        attempts("attempts cut off, at their reservation", &survey.interrupted),
        plain("requests", survey.generations + survey.unfinished),
        leases,
        plain("leases in doubt", survey.doubts),
        plain("unreadable stretches", survey.damaged),
    ]);
    let (oldest, newest) = (time(survey.oldest), time(survey.newest));
    format!("The journal of {}, from {oldest} to {newest} UTC:\n{table}", instance(survey))
}

fn told(survey: &Survey, shipped: &Shipped) -> String {
    let Shipped { records, booked, quarantined, interrupted, returned, returned_nano, .. } = *shipped;
    let known = records.saturating_sub(booked + quarantined);
    let mut text = format!(
        "The journal of {} is handed over: {records} records, of which {booked} were booked now, {known} known already and \
         {quarantined} unbookable.\n{interrupted} attempts were cut off and are booked at their reservation.\n\
         {returned} leases were given back: {returned_nano} USD.\n",
        instance(survey)
    );
    if shipped.released_epoch > 0 {
        text.push_str(
            "An operator had released it: what it reports of its released sessions the house pays.\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_folder_may_be_named() {
        let dir = tempfile::tempdir().unwrap();
        let refused = data_dir(dir.path()).unwrap_err().to_string();
        assert!(refused.starts_with("there is no journal in `"), "{refused}");
        let journal = dir.path().join("journal");
        std::fs::create_dir(&journal).unwrap();
        let whole = dir.path().canonicalize().unwrap();
        assert_eq!((data_dir(dir.path()).unwrap(), data_dir(&journal).unwrap()), (whole.clone(), whole));
        let missing = data_dir(&dir.path().join("nowhere")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot open the folder `"), "{missing}");
    }

    #[test]
    fn what_needs_a_person_is_a_failure() {
        let says =
            |survey: &Survey, shipped: &Shipped| is_clean(survey, shipped).map_err(|error| error.to_string());
        let clean = (Survey::default(), Shipped { records: 3, booked: 3, ..Shipped::default() });
        assert_eq!(says(&clean.0, &clean.1), Ok(()));
        let damaged = Survey { damaged: 3, ..Survey::default() };
        for (survey, shipped, text) in [
            (Survey::default(), Shipped { quarantined: 1, ..clean.1 }, "1 records cannot be booked"),
            (Survey::default(), Shipped { kept: 2, ..clean.1 }, "2 leases could not be given back"),
            (damaged, clean.1, "3 stretches of the journal cannot be read"),
        ] {
            let said = says(&survey, &shipped).unwrap_err();
            assert!(said.starts_with(text), "{said}");
        }
    }
}
