//! The benches: data planes beside a bare pass-through, with the fault lab as a fast upstream, in one run.
//!
//! Each of them is a process of its own, so that its processor time and memory are its own. Starting data planes
//! is the caller's business; this starts the lab and the pass-through. Figures gate nothing.
//!
//! Map: `target` (what is measured and with which requests), `plan` (how long and hard), `connection` and `load`
//! (the load), `process` (what the kernel knows), `driver` (the run), `report` (its results), `pass_through`
//! (the yardstick), `child` (processes), `samples` (percentiles); `store` is a bench of its own, of the ledger's database.

mod child;
mod connection;
mod driver;
mod load;
mod pass_through;
mod plan;
mod process;
mod report;
mod samples;
mod store;
mod system;
mod target;

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use http::{HeaderMap, HeaderValue, Uri, header};
use switchyard_proto::secret::Secret;

pub use crate::bench::child::{Child, ChildError};
pub use crate::bench::connection::LoadError;
pub use crate::bench::driver::{BenchError, run as measure};
pub use crate::bench::plan::Plan;
pub use crate::bench::report::Report;
use crate::bench::system::{System, SystemError};
pub use crate::bench::target::{Shot, TargetSpec};

/// Measure data planes beside a bare pass-through.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    PassThrough(pass_through::Args),
    Run(Box<RunArgs>),
    Store(store::Args),
}

/// Measure the fault lab, a pass-through and the data planes given, and print the figures.
///
/// Starts a whole system to measure: PostgreSQL, a control plane and two data planes with one request thread each,
/// one with governance off. Data planes that are named must already run and reach the lab as provider `echo`: start
/// `switchyard fault-lab` first and name it with --upstream.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The data plane with everything on, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    dataplane_url: Option<Uri>,
    /// Its process, for processor time and memory.
    #[arg(long, value_name = "PID", requires = "dataplane_url")]
    dataplane_pid: Option<u32>,
    /// The key for it.
    #[arg(long, env = "SWITCHYARD_BENCH_KEY", value_parser = secret, hide_env_values = true)]
    key: Option<Secret>,
    /// A data plane with governance off.
    #[arg(long, value_name = "URL")]
    ungoverned_url: Option<Uri>,
    /// Its process.
    #[arg(long, value_name = "PID", requires = "ungoverned_url")]
    ungoverned_pid: Option<u32>,
    /// The key for it; without one, the other data plane's.
    #[arg(long, value_parser = secret)]
    ungoverned_key: Option<Secret>,
    /// A fault lab that runs already; without it one is started.
    #[arg(long, value_name = "ADDR")]
    upstream: Option<SocketAddr>,
    /// Its process.
    #[arg(long, value_name = "PID", requires = "upstream")]
    upstream_pid: Option<u32>,
    /// What the data planes put before the lab's model names.
    #[arg(long, default_value = "echo/", value_name = "PREFIX")]
    model_prefix: String,
    /// Rough figures in a fraction of the time.
    #[arg(long)]
    quick: bool,
    /// Requests per second of the latency measurements.
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// How often everything is measured.
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// Write the figures as JSON here too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("--{flag} must be http://HOST:PORT, optionally with a path before /chat/completions")]
    Url { flag: &'static str },
    #[error("--key holds a character that no header can carry")]
    Key,
    #[error("--rate must be above 0, --rounds at least 1")]
    Plan,
    #[error("cannot start a process of the bench")]
    Child(#[from] ChildError),
    #[error("cannot start a system to measure")]
    System(#[from] SystemError),
    #[error("the store's bench failed")]
    Store(#[from] store::StoreError),
    #[error("the bench failed")]
    Bench(#[from] BenchError),
    #[error("cannot write {path}")]
    Json { path: PathBuf, source: io::Error },
    #[error("input or output failed")]
    Io(#[from] io::Error),
}

/// Runs the command to its end. Blocks; call it outside any runtime.
pub fn run(args: &Args) -> Result<(), CommandError> {
    match &args.command {
        Command::PassThrough(args) => Ok(pass_through::run(args)?),
        Command::Run(args) => run_all(args),
        Command::Store(args) => Ok(store::run(args)?),
    }
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

fn run_all(args: &RunArgs) -> Result<(), CommandError> {
    let plan = plan(args)?;
    let program = std::env::current_exe()?;
    let lab = match args.upstream {
        Some(_) => None,
        None => Some(Child::fault_lab(&program)?),
    };
    let upstream = args.upstream.or(lab.as_ref().map(|lab| lab.addr)).ok_or(CommandError::Plan)?;
    let upstream_pid = args.upstream_pid.or(lab.as_ref().map(Child::pid));
    let pass_through = Child::pass_through(&program, upstream)?;
    let mut targets = vec![
        at_lab("upstream alone", upstream, upstream_pid),
        at_lab("pass-through", pass_through.addr, Some(pass_through.pid())),
    ];
    let given = data_planes(args)?;
    // Nobody named a data plane: a whole system is started here.
    let system = match given.is_empty() {
        true => Some(System::start(&program, upstream, &plan.shots())?),
        false => None,
    };
    targets.extend(given);
    targets.extend(system.iter().map(own_data_planes).collect::<Result<Vec<_>, _>>()?.into_iter().flatten());
    let report = measure(&targets, &plan, &mut io::stderr())?;
    report.write_table(&mut io::stdout().lock())?;
    match &args.json {
        Some(path) => write_json(&report, path),
        None => Ok(()),
    }
}

fn plan(args: &RunArgs) -> Result<Plan, CommandError> {
    let base = if args.quick { Plan::QUICK } else { Plan::STANDARD };
    let plan =
        Plan { rate: args.rate.unwrap_or(base.rate), rounds: args.rounds.unwrap_or(base.rounds), ..base };
    if plan.rate > 0.0 && plan.rounds > 0 { Ok(plan) } else { Err(CommandError::Plan) }
}

fn at_lab(name: &str, addr: SocketAddr, pid: Option<u32>) -> TargetSpec {
    TargetSpec {
        name: name.to_owned(),
        addr,
        pid,
        path: "/v1/chat/completions".to_owned(),
        headers: HeaderMap::new(),
        model_prefix: String::new(),
    }
}

fn data_planes(args: &RunArgs) -> Result<Vec<TargetSpec>, CommandError> {
    let mut targets = Vec::new();
    if let Some(url) = &args.ungoverned_url {
        let key = args.ungoverned_key.as_ref().or(args.key.as_ref());
        let pid = args.ungoverned_pid;
        targets.push(data_plane("governance off", "ungoverned-url", url, pid, key, &args.model_prefix)?);
    }
    if let Some(url) = &args.dataplane_url {
        let pid = args.dataplane_pid;
        targets.push(data_plane(
            "data plane",
            "dataplane-url",
            url,
            pid,
            args.key.as_ref(),
            &args.model_prefix,
        )?);
    }
    Ok(targets)
}

fn own_data_planes(system: &System) -> Result<[TargetSpec; 2], CommandError> {
    let spec = |name, plane: &system::Plane| {
        let url = Uri::builder().scheme("http").authority(plane.addr.to_string()).path_and_query("/").build();
        let url = url.map_err(|_| CommandError::Url { flag: "dataplane-url" })?;
        data_plane(name, "dataplane-url", &url, Some(plane.pid()), Some(&system.key), "echo/")
    };
    Ok([spec("governance off", &system.ungoverned)?, spec("data plane", &system.governed)?])
}

fn data_plane(
    name: &str,
    flag: &'static str,
    url: &Uri,
    pid: Option<u32>,
    key: Option<&Secret>,
    model_prefix: &str,
) -> Result<TargetSpec, CommandError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let bearer = HeaderValue::try_from(format!("Bearer {}", key.expose()));
        headers.insert(header::AUTHORIZATION, bearer.map_err(|_| CommandError::Key)?);
    }
    let base = if url.path().len() > 1 { url.path().trim_end_matches('/') } else { "/api/v1" };
    Ok(TargetSpec {
        name: name.to_owned(),
        addr: address(url).ok_or(CommandError::Url { flag })?,
        pid,
        path: format!("{base}/chat/completions"),
        headers,
        model_prefix: model_prefix.to_owned(),
    })
}

fn address(url: &Uri) -> Option<SocketAddr> {
    let http = url.scheme_str() == Some("http");
    let host = url.host().filter(|_| http)?.trim_matches(['[', ']']);
    (host, url.port_u16().unwrap_or(80)).to_socket_addrs().ok()?.next()
}

fn write_json(report: &Report, path: &std::path::Path) -> Result<(), CommandError> {
    let failed = |source| CommandError::Json { path: path.to_owned(), source };
    let json = report.to_json().map_err(|error| failed(io::Error::other(error)))?;
    let mut file = std::fs::File::create(path).map_err(failed)?;
    writeln!(file, "{json}").map_err(failed)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::fault_lab::{FaultLab, Settings};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn run_args(flags: &[&str]) -> Box<RunArgs> {
        let cli = Cli::try_parse_from(["bench", "run"].iter().chain(flags)).expect("the flags are in order");
        match cli.args.command {
            Command::Run(args) => args,
            Command::PassThrough(_) | Command::Store(_) => panic!("`run` was asked for"),
        }
    }

    #[test]
    fn data_planes_are_found_by_url_key_and_prefix() {
        let flags =
            ["--dataplane-url", "http://127.0.0.1:8080", "--key", "sk-canary", "--dataplane-pid", "7"];
        let args = run_args(&flags);
        assert!(!format!("{args:?}").contains("canary"));
        let targets = data_planes(&args).expect("the flags are in order");
        let [target] = targets.as_slice() else { panic!("one data plane was named") };
        assert_eq!((target.path.as_str(), target.pid), ("/api/v1/chat/completions", Some(7)));
        assert_eq!(target.headers["authorization"], "Bearer sk-canary");
        assert_eq!(target.model_prefix, "echo/");
    }

    #[test]
    fn wrong_flags_are_named() {
        let cases = [(["--dataplane-url", "https://a"], "--dataplane-url"), (["--rate", "0"], "--rate")];
        for (flags, named) in cases {
            let args = run_args(&flags);
            let error =
                plan(&args).map(drop).and_then(|()| data_planes(&args).map(drop)).expect_err("is refused");
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn a_run_measures_every_target() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("there are threads");
        let lab = runtime.block_on(FaultLab::start(Settings::default())).expect("loopback has free ports");
        let me = Some(std::process::id());
        let targets =
            [at_lab("alone", lab.addr, me), at_lab("again", lab.addr, me), at_lab("third", lab.addr, None)];
        let plan = Plan {
            stretch_ms: 300,
            latency_ms: 20,
            connections: 2,
            streams: 2,
            chunks: 2,
            chunk_every_ms: 1,
            ..Plan::QUICK
        };
        let report = measure(&targets, &plan, &mut io::sink()).expect("the lab answers");
        let json: serde_json::Value =
            serde_json::from_str(&report.to_json().expect("serialises")).expect("is JSON");
        for measure in json["measures"].as_array().expect("is a list") {
            assert!(
                measure["values"]["third"].is_number() || measure["values"]["again"].is_number(),
                "{measure}"
            );
        }
        let failing =
            TargetSpec { model_prefix: "status-503+".to_owned(), ..at_lab("failing", lab.addr, None) };
        let error = measure(&[failing], &plan, &mut io::sink()).expect_err("503 is no answer");
        assert!(matches!(error, BenchError::Load(LoadError::Status { .. })), "{error:?}");
    }
}
