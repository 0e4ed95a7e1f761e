//! `failover [TRIES]` measures how long a caller waits for the first content when the first provider fails: for each fault the
//! median of so many streamed calls (15), beside calls that nothing fails, and what is left when the fault's deadline is taken off.
//!
//! Every call has a model of its own, so that what one failure teaches is not used by the next.

use std::env;
use std::io::{Write, stderr, stdout};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use switchyard_cli::client::Answer as _;
use switchyard_proto::v1;
use switchyard_tests::client::Client;
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};
use switchyard_tests::queue::FullQueue;

/// The deadline that a silent fault costs.
const DEADLINE_MS: u64 = 500;
const FIRST: &str = "first";
const SECOND: &str = "second";

/// Where the first provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Lab,
    ClosedPort,
    FullQueue,
}

/// A fault, where it is met, and whether it is silent, so that its deadline ends it.
struct Fault(&'static str, At, bool);

const FAULTS: &[Fault] = &[
    Fault("(connection refused)", At::ClosedPort, false),
    Fault("(connection not accepted)", At::FullQueue, true),
    Fault("reset", At::Lab, false),
    Fault("close", At::Lab, false),
    Fault("hang", At::Lab, true),
    Fault("hang-after-headers", At::Lab, true),
    Fault("status-429", At::Lab, false),
    Fault("status-500", At::Lab, false),
    Fault("status-503", At::Lab, false),
    Fault("html-502", At::Lab, false),
    Fault("html-200", At::Lab, false),
    Fault("error-in-200", At::Lab, false),
    Fault("error-first", At::Lab, false),
    Fault("malformed", At::Lab, false),
    Fault("cut-early", At::Lab, false),
    Fault("end-early-0", At::Lab, false),
    Fault("gzip", At::Lab, false),
];

#[tokio::main]
async fn main() -> Result<()> {
    let tries: usize = match env::args().nth(1) {
        Some(word) => word.parse().context("usage: failover [TRIES]")?,
        None => 15,
    };
    if tries == 0 {
        bail!("usage: failover [TRIES], at least one");
    }
    let cluster = Shape::default().start().await?;
    let queue = FullQueue::start().await?;
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    cluster.provider(SECOND, "openai", &format!("{}/v1", cluster.lab.url())).await?;
    for (at, url) in places(&cluster, closed, queue.addr) {
        cluster.provider_with(first(at, url)).await?;
    }
    furnish(&cluster, tries).await?;
    let client = cluster.client().await?;
    let healthy = median(&client, "healthy", tries).await?;
    let mut out = stdout().lock();
    writeln!(out, "| fault | deadline ms | first content ms | added ms |\n|---|---|---|---|")?;
    writeln!(out, "| none | – | {:.2} | – |", ms(healthy))?;
    for Fault(name, _, is_silent) in FAULTS {
        write!(stderr(), "\r{name:<40}")?;
        let taken = median(&client, name, tries).await?;
        let deadline = Duration::from_millis(if *is_silent { DEADLINE_MS } else { 0 });
        let added = taken.saturating_sub(deadline).saturating_sub(healthy);
        writeln!(out, "| `{name}` | {} | {:.2} | {:.2} |", deadline.as_millis(), ms(taken), ms(added))?;
    }
    cluster.stop().await
}

fn places(cluster: &Cluster, closed: SocketAddr, full: SocketAddr) -> [(At, String); 3] {
    let lab = cluster.lab.url();
    [(At::Lab, lab), (At::ClosedPort, format!("http://{closed}")), (At::FullQueue, format!("http://{full}"))]
}

fn id(at: At) -> String {
    format!("{FIRST}-{at:?}").to_lowercase()
}

fn first(at: At, url: String) -> v1::Provider {
    v1::Provider {
        id: id(at),
        adapter: "openai".to_owned(),
        base_url: format!("{url}/v1"),
        credential: "a-credential".to_owned(),
        connect_timeout_ms: DEADLINE_MS,
        first_content_timeout_ms: DEADLINE_MS,
        ..Default::default()
    }
}

/// A model for every call: what it is called, and who serves it.
async fn furnish(cluster: &Cluster, tries: usize) -> Result<()> {
    let entry = |name: &str, at: Option<At>, number: usize| {
        let upstream = if at == Some(At::Lab) { name } else { "echo" };
        let failing = at.map(|at| plain_endpoint(&id(at), upstream));
        let endpoints = failing.into_iter().chain([plain_endpoint(SECOND, "echo")]).collect();
        let model = v1::Model { id: model(name, number), ..Default::default() };
        v1::ModelEntry { model: Some(model), endpoints }
    };
    let healthy = (0..=tries).map(|number| entry("healthy", None, number));
    let failing = FAULTS
        .iter()
        .flat_map(|Fault(name, at, _)| (0..=tries).map(move |number| entry(name, Some(*at), number)));
    let manifest = v1::Manifest { models: healthy.chain(failing).collect(), ..Default::default() };
    let request = v1::ApplyRequest { manifest: Some(manifest), ..Default::default() };
    cluster.admin.apply().apply(request).await.answer()?;
    Ok(())
}

fn model(name: &str, number: usize) -> String {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("test/{}-{number}", name.trim_matches('-'))
}

/// The median time to the first content; the first call opens connections and is not counted.
async fn median(client: &Client, name: &str, tries: usize) -> Result<Duration> {
    let mut taken = Vec::with_capacity(tries);
    for number in 0..=tries {
        let order: Vec<String> =
            [At::Lab, At::ClosedPort, At::FullQueue].map(id).into_iter().chain([SECOND.to_owned()]).collect();
        let body = json!({"model": model(name, number), "provider": {"order": order},
            "messages": [{"role": "user", "content": "one two three"}]});
        let began = Instant::now();
        let mut stream = client.stream(body).await;
        if stream.status != http::StatusCode::OK {
            bail!("{name}: {}", stream.answer().await.text);
        }
        stream.first_data().await;
        taken.push(began.elapsed());
        stream.rest().await;
    }
    let mut counted = taken.split_off(1);
    counted.sort_unstable();
    Ok(counted[counted.len() / 2])
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
