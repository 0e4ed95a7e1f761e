//! The system that all cells share, and what its ledger says of them.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use switchyard_cli::client::Answer as _;
use switchyard_proto::v1;
use switchyard_tests::client::Client;
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};
use switchyard_tests::queue::FullQueue;
use switchyard_tests::wait;
use tokio::time::timeout;

use crate::faults::cells::{self, Cell, Seen};
use crate::faults::heard::Heard;

use crate::faults::table::{NO_LAB, SECOND, Under};

/// Far more than any cell takes, so that one that never ends is named.
const PATIENCE: Duration = Duration::from_secs(60);
/// Cells that are configured in one go.
const AT_A_TIME: usize = 400;

/// A whole system, in which every cell has a model of its own, and the cells of one fault in one dialect a faulty provider:
/// what a failure teaches the router about an endpoint is no other cell's business.
pub struct System {
    cluster: Cluster,
    client: Client,
    key: String,
    _queue: FullQueue,
}

/// Where providers are.
struct Places {
    lab: String,
    closed: SocketAddr,
    full: SocketAddr,
}

impl System {
    pub async fn start() -> Self {
        let patient = Shape::default()
            // A status is a status, however long a busy machine takes to come to it.
            .set("SWITCHYARD_REQUESTS_KEEP_ALIVE_AFTER_MS", "60000")
            .set("SWITCHYARD_RETRIES_MOST", "1")
            .set("SWITCHYARD_RETRIES_BASE_MS", "20")
            .set("SWITCHYARD_DEADLINES_MIN_RATE_OVER_MS", "500");
        let cluster = patient.start().await.unwrap();
        let queue = FullQueue::start().await.unwrap();
        // A port that was free a moment ago: nobody listens there.
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let places = Places { lab: cluster.lab.url(), closed, full: queue.addr };
        cluster.provider(SECOND, "openai", &format!("{}/v1", places.lab)).await.unwrap();
        for some in cells::all().chunks(AT_A_TIME) {
            let firsts = some.iter().filter(|cell| cell.is_first_of_provider());
            let providers = firsts.map(|cell| provider(cell, &places)).collect();
            let models = some.iter().map(model).collect();
            let manifest = v1::Manifest { providers, models, ..Default::default() };
            let request = v1::ApplyRequest { manifest: Some(manifest), ..Default::default() };
            cluster.admin.apply().apply(request).await.answer().unwrap();
        }
        let tenant = v1::Tenant { id: "payer".to_owned(), markup_ppm: 1_000_000, ..Default::default() };
        cluster.tenant_with(tenant, "").await.unwrap();
        let client = cluster.client().await.unwrap();
        let key = cluster.key("payer").await.unwrap();
        cluster.settled().await;
        Self { client: client.with_key(&key.secret), key: key.id, cluster, _queue: queue }
    }

    pub async fn call(&self, cell: &Cell) -> Heard {
        let (surface, asked) = (cell.surface, cell.body().to_string());
        let call = async {
            if cell.streamed {
                Heard::of_stream(surface, self.client.stream_at(surface.path, asked).await).await
            } else {
                Heard::of(surface, &self.client.post(surface.path, asked, &[]).await)
            }
        };
        let heard = timeout(PATIENCE, call).await;
        heard.unwrap_or_else(|_| panic!("{} has no end", cell.name()))
    }

    /// Adds what the ledger says, once it has all lines of all cells.
    pub async fn settled(&self, runs: Vec<(Cell, Heard)>) -> Vec<Seen> {
        let lines = wait::until("a line for each attempt of each cell", async || {
            let attempts = self.attempts().await?;
            let is_known = |(_, heard): &(Cell, Heard)| attempts.contains_key(&heard.generation);
            if !runs.iter().all(is_known) {
                return None;
            }
            let lines = self.lines().await?;
            let is_complete = |(_, heard): &(Cell, Heard)| {
                let booked = lines.get(&heard.generation).map_or(0, Vec::len);
                booked == attempts[&heard.generation] as usize
            };
            runs.iter().all(is_complete).then_some(lines)
        })
        .await;
        let seen = |(cell, heard): (Cell, Heard)| Seen {
            cell,
            attempts: lines[&heard.generation].iter().map(|line| cell.told(line)).collect(),
            caller: heard.caller,
        };
        runs.into_iter().map(seen).collect()
    }

    /// How many attempts each generation had.
    async fn attempts(&self) -> Option<BTreeMap<String, u32>> {
        let (mut attempts, mut page_token) = (BTreeMap::new(), String::new());
        loop {
            let request = v1::ListGenerationsRequest {
                key: self.key.clone(),
                page_size: 1000,
                page_token,
                ..Default::default()
            };
            let page = self.cluster.admin.usage().list_generations(request).await.answer().ok()?;
            attempts.extend(page.generations.into_iter().map(|one| (one.id, one.attempts)));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Some(attempts);
            }
        }
    }

    /// The lines of each generation's attempts, in their order.
    async fn lines(&self) -> Option<BTreeMap<String, Vec<v1::Line>>> {
        let (mut lines, mut page_token) = (BTreeMap::<String, Vec<v1::Line>>::new(), String::new());
        loop {
            let request = v1::ListLinesRequest {
                key: self.key.clone(),
                page_size: 1000,
                page_token,
                ..Default::default()
            };
            let page = self.cluster.admin.usage().list_lines(request).await.answer().ok()?;
            for line in page.lines.into_iter().filter(|line| line.kind == "attempt") {
                lines.entry(line.id.clone()).or_default().push(line);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        lines.values_mut().for_each(|of_one| of_one.sort_by_key(|line| line.attempt));
        Some(lines)
    }
}

fn provider(cell: &Cell, places: &Places) -> v1::Provider {
    let host = match cell.row.under {
        Under::ClosedPort => format!("http://{}", places.closed),
        Under::FullQueue => format!("http://{}", places.full),
        _ => places.lab.clone(),
    };
    let timeless = v1::Provider {
        id: cell.provider(),
        adapter: cell.dialect.adapter.to_owned(),
        base_url: format!("{host}{}", cell.dialect.path),
        credential: "a-credential".to_owned(),
        auth: cell.dialect.auth.to_owned(),
        ..Default::default()
    };
    deadlines(cell.row.under, timeless)
}

fn deadlines(under: Under, provider: v1::Provider) -> v1::Provider {
    let within = |silence_ms, total_timeout_ms| v1::Provider {
        first_content_timeout_ms: silence_ms,
        idle_timeout_ms: silence_ms,
        total_timeout_ms,
        ..provider.clone()
    };
    match under {
        Under::Patience | Under::ClosedPort => provider,
        Under::FullQueue => v1::Provider { connect_timeout_ms: 400, ..provider },
        // The head of a whole answer has the settings' deadline, which is longer; so a total holds it.
        Under::Haste => within(2_000, 3_000),
        Under::ShortTotal => within(0, 3_000),
        Under::MinimumRate => v1::Provider { min_tokens_per_second: 10.0, ..within(0, 5_000) },
    }
}

fn model(cell: &Cell) -> v1::ModelEntry {
    let upstream = if NO_LAB.contains(&cell.row.fault) { "echo" } else { cell.row.fault };
    let second = cell.has_second.then(|| plain_endpoint(SECOND, "echo"));
    let endpoints = std::iter::once(plain_endpoint(&cell.provider(), upstream)).chain(second).collect();
    v1::ModelEntry { model: Some(v1::Model { id: cell.model(), ..Default::default() }), endpoints }
}
