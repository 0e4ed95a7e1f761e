//! `switchyard doctor`: looks at everything that an installation needs, and says what to do about what is wrong.
//!
//! Checks do not build on one another: each says what it could see. One cheap call is made to every provider,
//! through the router, so that its credential, its address and our prices are all in it.

mod providers;
mod stores;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::bail;
use clap::Args;
use serde_json::json;
use switchyard_proto::v1;

use crate::{
    chat,
    client::{self, Remote},
    data_dir::{DataDir, Running},
    fleet,
    output::{Output, lines, print_json},
    settings::{Settings, Sources},
};

/// Below this the journal may soon be full.
const LITTLE_SPACE: u64 = 2 << 30;
/// Below this it is as good as full.
const NO_SPACE: u64 = 200 << 20;

const ANSWER: Duration = Duration::from_secs(5);

/// Arguments.
#[derive(Debug, Args)]
pub struct Doctor {
    /// A TOML file of settings, where not everything is in the environment
    #[arg(long, value_name = "FILE", env = "SWITCHYARD_SETTINGS", hide_env_values = true)]
    settings: Option<PathBuf>,
    /// The key for calls to providers [default: the one in <DATA_DIR>/key]
    #[arg(long, value_name = "KEY", env = "SWITCHYARD_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The data plane's address [default: that of the running `switchyard dev`, else http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", env = "SWITCHYARD_URL", hide_env_values = true)]
    url: Option<String>,
    /// Make no calls to providers
    #[arg(long)]
    no_calls: bool,
    #[command(flatten)]
    remote: Remote,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Fail,
    /// There was nothing to look at.
    Skip,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    subject: String,
    verdict: Verdict,
    detail: String,
    /// What to do about it.
    hint: String,
}

impl Finding {
    fn new(subject: impl Into<String>, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), verdict, detail: detail.into(), hint: String::new() }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// What the checks look at.
struct Patient {
    settings: Settings,
    running: Option<Running>,
    http: reqwest::Client,
}

impl Doctor {
    /// Prints the report.
    ///
    /// # Errors
    /// When a check failed.
    pub async fn run(self) -> anyhow::Result<()> {
        let patient = Patient {
            settings: Sources::of_process(self.settings.clone()).read()?,
            running: DataDir::new(&self.remote.data_dir).running(),
            http: chat::http()?,
        };
        let (stores, planes) = tokio::join!(stores::check(&patient), self.planes(&patient));
        let mut findings = stores;
        findings.extend(planes);
        findings.push(disk(&self.folder(&patient)));
        report(self.remote.output, &findings);
        let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count();
        match failed {
            0 => Ok(()),
            1 => bail!("one check failed"),
            _ => bail!("{failed} checks failed"),
        }
    }

    async fn planes(&self, patient: &Patient) -> Vec<Finding> {
        let mut findings = Vec::new();
        let url = self.client().url();
        findings.push(
            ready(patient, "control plane", &patient.control_plane_ops(), "switchyard control-plane").await,
        );
        findings
            .push(ready(patient, "data plane", &patient.data_plane_ops(&url), "switchyard data-plane").await);
        let admin =
            match self.remote.connect().await {
                Ok(admin) => admin,
                Err(error) => {
                    let finding = Finding::new("admin API", Verdict::Fail, format!("{error:#}"));
                    findings.push(finding.hint(
                        "start `switchyard dev`, or set SWITCHYARD_ADMIN_ADDR and SWITCHYARD_ADMIN_TOKEN",
                    ));
                    return findings;
                }
            };
        findings.push(config(&admin).await);
        if self.no_calls {
            findings.push(Finding::new("providers", Verdict::Skip, "not called (--no-calls)"));
        } else {
            findings.extend(providers::check(patient, &admin, &self.client()).await);
        }
        findings
    }

    fn client(&self) -> chat::Client {
        chat::Client::new(self.key.clone(), self.url.clone(), self.remote.data_dir.clone())
    }

    /// Where the journal is.
    fn folder(&self, patient: &Patient) -> PathBuf {
        match &patient.running {
            Some(_) => self.remote.data_dir.clone(),
            None => PathBuf::from(patient.settings.text("data_plane.data_dir")),
        }
    }
}

impl Patient {
    fn control_plane_ops(&self) -> String {
        let local = || origin(self.settings.text("control_plane.ops_listen"));
        self.running.as_ref().map_or_else(local, |running| running.control_plane_ops.clone())
    }

    /// The ops port is asked where it is on this machine.
    fn data_plane_ops(&self, url: &str) -> String {
        let local = || match http::Uri::try_from(url).ok().and_then(|url| url.host().map(str::to_owned)) {
            Some(host) => format!("http://{host}:{}", port(self.settings.text("data_plane.ops_listen"))),
            None => origin(self.settings.text("data_plane.ops_listen")),
        };
        self.running.as_ref().map_or_else(local, |running| running.data_plane_ops.clone())
    }
}

/// A listening address as one to call.
fn origin(listen: &str) -> String {
    match listen.parse::<std::net::SocketAddr>() {
        Ok(addr) if addr.ip().is_unspecified() => format!("http://127.0.0.1:{}", addr.port()),
        _ => format!("http://{listen}"),
    }
}

fn port(listen: &str) -> &str {
    listen.rsplit(':').next().unwrap_or(listen)
}

async fn ready(patient: &Patient, subject: &str, origin: &str, command: &str) -> Finding {
    let answer = patient.http.get(format!("{origin}/readyz")).timeout(ANSWER).send().await;
    match answer {
        Ok(answer) if answer.status().is_success() => {
            Finding::new(subject, Verdict::Ok, format!("ready at {origin}"))
        }
        Ok(answer) => {
            let status = answer.status();
            let said = answer.text().await.unwrap_or_default();
            let detail = format!("not ready at {origin}: {status} {}", said.trim().replace('\n', " "));
            Finding::new(subject, Verdict::Fail, detail).hint("its log says why")
        }
        Err(_) => {
            let detail = format!("nobody answers at {origin}/readyz");
            Finding::new(subject, Verdict::Fail, detail)
                .hint(format!("start `switchyard dev` or `{command}`"))
        }
    }
}

/// Whether every data plane runs the newest config.
async fn config(admin: &client::Admin) -> Finding {
    let subject = "config";
    let (revision, instances) = tokio::join!(fleet::revision(admin), fleet::instances(admin, 1_000));
    let (revision, instances) = match (revision, instances) {
        (Ok(revision), Ok(instances)) => (revision, instances),
        (Err(error), _) | (_, Err(error)) => {
            return Finding::new(subject, Verdict::Fail, format!("{error:#}"));
        }
    };
    let number = revision.revision.unwrap_or_default().number;
    let refusing: Vec<&v1::Instance> =
        instances.iter().filter(|instance| !instance.refused.is_empty()).collect();
    let v1::FleetRevision { attached, current, .. } = revision;
    let detail = format!("revision {number}, run by {current} of {attached} attached data planes");
    if attached == 0 {
        let finding = Finding::new(subject, Verdict::Fail, "no data plane is attached");
        return finding.hint("start one with SWITCHYARD_CONTROL_PLANE set to the fleet port");
    }
    if !refusing.is_empty() {
        let finding =
            Finding::new(subject, Verdict::Warn, format!("{detail}; {} refuse a part", refusing.len()));
        return finding.hint("`switchyard fleet instances` tells what was refused and why");
    }
    let verdict = if current == attached { Verdict::Ok } else { Verdict::Warn };
    Finding::new(subject, verdict, detail)
}

fn disk(folder: &Path) -> Finding {
    let subject = "disk";
    // A folder that is not there yet will be on its parent's disk.
    let Some(place) = folder.ancestors().find(|place| place.is_dir() || place.as_os_str().is_empty()) else {
        return Finding::new(subject, Verdict::Skip, format!("there is no {}", folder.display()));
    };
    let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
    let free = match rustix::fs::statvfs(place) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return Finding::new(subject, Verdict::Warn, format!("{}: {error}", place.display())),
    };
    let detail = format!("{:.1} GiB free for {}", free as f64 / f64::from(1 << 30), folder.display());
    let hint = "a full disk stops the journal, and with it every request: make room";
    match free {
        free if free < NO_SPACE => Finding::new(subject, Verdict::Fail, detail).hint(hint),
        free if free < LITTLE_SPACE => Finding::new(subject, Verdict::Warn, detail).hint(hint),
        _ => Finding::new(subject, Verdict::Ok, detail),
    }
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        }
    }
}

fn report(output: Output, findings: &[Finding]) {
    match output {
        Output::Json => print_json(&findings.iter().map(to_json).collect()),
        Output::Table => print!("{}", lines(&findings.iter().flat_map(to_rows).collect::<Vec<_>>())),
    }
}

fn to_json(finding: &Finding) -> serde_json::Value {
    let Finding { subject, verdict, detail, hint } = finding;
    json!({"subject": subject, "verdict": verdict.as_str().to_lowercase(), "detail": detail, "hint": hint})
}

/// The finding, and the hint below it.
fn to_rows(finding: &Finding) -> Vec<Vec<String>> {
    let row = |verdict: &str, subject: &str, text: &str| {
        vec![verdict.to_owned(), subject.to_owned(), text.to_owned()]
    };
    let mut rows = vec![row(finding.verdict.as_str(), &finding.subject, &finding.detail)];
    if !finding.hint.is_empty() {
        rows.push(row("", "", &format!("-> {}", finding.hint)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_stands_below_its_finding() {
        let findings = [
            Finding::new("disk", Verdict::Ok, "much"),
            Finding::new("postgres", Verdict::Fail, "gone").hint("start it"),
        ];
        let rows: Vec<_> = findings.iter().flat_map(to_rows).collect();
        assert_eq!(lines(&rows), "ok    disk      much\nFAIL  postgres  gone\n                -> start it\n");
    }

    #[test]
    fn the_disk_of_a_folder_to_come_is_its_parents() {
        let folder = tempfile::tempdir().unwrap();
        let finding = disk(&folder.path().join("not/yet"));
        assert_ne!(finding.verdict, Verdict::Skip, "{finding:?}");
    }

    #[test]
    fn listening_everywhere_is_called_on_loopback() {
        assert_eq!(origin("0.0.0.0:9090"), "http://127.0.0.1:9090");
        assert_eq!(origin("10.0.0.1:9090"), "http://10.0.0.1:9090");
        assert_eq!(port("[::]:9090"), "9090");
    }
}
