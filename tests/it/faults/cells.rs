//! The cells: a request for each, what the caller hears of it, and what the ledger says afterwards.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_cli::client::Answer as _;
use switchyard_proto::v1;
use switchyard_tests::client::{Answer, Client, Event, Stream, chunks};
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};
use switchyard_tests::wait;
use tokio::time::timeout;

use crate::faults::table::{Asks, REFUSED, ROWS, Row, Under};

const WORDS: &str = "one two three four five six";
const SECOND: &str = "second";
/// Far more than any cell takes, so that one that never ends is named.
const PATIENCE: Duration = Duration::from_secs(30);

/// One fault in one form, without or with a healthy provider behind it.
#[derive(Clone, Copy)]
pub struct Cell {
    pub row: &'static Row,
    /// Where it stands in the page.
    pub place: usize,
    pub streamed: bool,
    pub has_second: bool,
}

/// What the caller heard.
pub struct Heard {
    generation: String,
    caller: String,
}

/// A cell with what was seen: the four values.
pub struct Seen {
    pub cell: Cell,
    pub caller: String,
    /// Outcome, cost and charge, provenance, in the order of the attempts.
    pub attempts: Vec<String>,
}

pub fn all() -> Vec<Cell> {
    let forms = [(true, false), (true, true), (false, false), (false, true)];
    let cells = ROWS.iter().flat_map(|row| forms.map(|(streamed, has_second)| (row, streamed, has_second)));
    let numbered = cells.enumerate();
    numbered.map(|(place, (row, streamed, has_second))| Cell { row, place, streamed, has_second }).collect()
}

/// A whole system, in which every cell has a model and a faulty provider of its own: what one failure teaches the router
/// about an endpoint or a credential is no other cell's business.
pub struct System {
    cluster: Cluster,
    client: Client,
    key: String,
}

impl System {
    pub async fn start() -> Self {
        // A status is a status, however long a busy machine takes to come to it.
        let patient = Shape::default()
            .set("SWITCHYARD_REQUESTS_KEEP_ALIVE_AFTER_MS", "60000")
            .set("SWITCHYARD_RETRIES_MOST", "1");
        let cluster = patient.start().await.unwrap();
        let lab = format!("{}/v1", cluster.lab.url());
        cluster.provider(SECOND, "openai", &lab).await.unwrap();
        let (providers, models) = all().iter().map(|cell| (provider(cell, &lab), model(cell))).unzip();
        let manifest = v1::Manifest { providers, models, ..Default::default() };
        let request = v1::ApplyRequest { manifest: Some(manifest), ..Default::default() };
        cluster.admin.apply().apply(request).await.answer().unwrap();
        let tenant = v1::Tenant { id: "payer".to_owned(), markup_ppm: 1_000_000, ..Default::default() };
        cluster.tenant_with(tenant, "").await.unwrap();
        let client = cluster.client().await.unwrap();
        let key = cluster.key("payer").await.unwrap();
        cluster.settled().await;
        Self { client: client.with_key(&key.secret), key: key.id, cluster }
    }

    pub async fn call(&self, cell: &Cell) -> Heard {
        let asked = cell.body();
        let call = async {
            if cell.streamed {
                Heard::of_stream(self.client.stream(asked).await).await
            } else {
                Heard::of(&self.client.chat(asked).await)
            }
        };
        let heard = timeout(PATIENCE, call).await;
        heard.unwrap_or_else(|_| panic!("{} has no end, {}", cell.row.fault, cell.form()))
    }

    /// Adds what the ledger says, once it has all lines of all cells.
    pub async fn settled(&self, runs: Vec<(Cell, Heard)>) -> Vec<Seen> {
        let lines = wait::until("a line for each attempt of each cell", async || {
            let attempts = self.attempts().await?;
            let lines = self.lines().await?;
            let complete = runs.iter().all(|(_, heard)| {
                let booked = lines.get(&heard.generation).map_or(0, Vec::len);
                attempts.get(&heard.generation).is_some_and(|attempts| booked == *attempts as usize)
            });
            complete.then_some(lines)
        })
        .await;
        let seen = |(cell, heard): (Cell, Heard)| Seen {
            cell,
            attempts: lines[&heard.generation].iter().map(told).collect(),
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

fn provider(cell: &Cell, lab: &str) -> v1::Provider {
    let under = cell.row.under;
    let (first_content_timeout_ms, idle_timeout_ms, total_timeout_ms) = match under {
        Under::Patience | Under::ClosedPort => (0, 0, 0),
        // The head of a whole answer has the settings' deadline, which is longer; so a total holds it.
        Under::Haste => (500, 500, 800),
        Under::ShortTotal => (1_000, 1_000, 1_200),
    };
    // A port that was free a moment ago: nobody listens there.
    let closed = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    v1::Provider {
        id: cell.provider(),
        adapter: "openai".to_owned(),
        base_url: if under == Under::ClosedPort { format!("http://{}/v1", closed()) } else { lab.to_owned() },
        credential: "a-credential".to_owned(),
        first_content_timeout_ms,
        idle_timeout_ms,
        total_timeout_ms,
        ..Default::default()
    }
}

fn model(cell: &Cell) -> v1::ModelEntry {
    let upstream = if cell.row.fault == REFUSED { "echo" } else { cell.row.fault };
    let second = cell.has_second.then(|| plain_endpoint(SECOND, "echo"));
    let endpoints = std::iter::once(plain_endpoint(&cell.provider(), upstream)).chain(second).collect();
    v1::ModelEntry { model: Some(v1::Model { id: cell.model(), ..Default::default() }), endpoints }
}

impl Cell {
    fn form(&self) -> String {
        let form = if self.streamed { "streamed" } else { "whole" };
        format!("{form} {}", if self.has_second { "with a second" } else { "alone" })
    }

    fn provider(&self) -> String {
        format!("faulty-{}", self.place)
    }

    fn model(&self) -> String {
        format!("test/cell-{}", self.place)
    }

    fn body(&self) -> Value {
        let mut body = json!({
            "model": self.model(),
            "provider": {"order": [self.provider(), SECOND]},
            "max_tokens": 200,
            "messages": [{"role": "user", "content": WORDS}],
        });
        match self.row.asks {
            Asks::Text => {}
            Asks::Tools => {
                let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
                let function = json!({"name": "weather", "parameters": parameters});
                body["tools"] = json!([{"type": "function", "function": function}]);
            }
            Asks::Json => {
                let schema =
                    json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
                let named = json!({"name": "number", "schema": schema});
                body["response_format"] = json!({"type": "json_schema", "json_schema": named});
            }
        }
        body
    }
}

impl Heard {
    fn of(answer: &Answer) -> Self {
        let caller = if answer.status == StatusCode::OK {
            finished(&answer.json["choices"][0]["finish_reason"])
        } else {
            format!("{} {}", answer.status.as_u16(), answer.error_type())
        };
        Self { generation: answer.header("x-generation-id").to_owned(), caller }
    }

    async fn of_stream(stream: Stream) -> Self {
        if stream.status != StatusCode::OK {
            return Self::of(&stream.answer().await);
        }
        let generation = stream.headers["x-generation-id"].to_str().unwrap().to_owned();
        let events = stream.rest().await;
        assert_eq!(
            events.last(),
            Some(&Event::Done),
            "{generation}: a stream ends in good order, whatever was in it"
        );
        let chunks = chunks(&events);
        let errors: Vec<&Value> =
            chunks.iter().map(|chunk| &chunk["error"]).filter(|error| error.is_object()).collect();
        let finishes: Vec<&Value> = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0]["finish_reason"])
            .filter(|finish| finish.is_string())
            .collect();
        assert_eq!(finishes.len(), 1, "{generation}: exactly one finish: {events:?}");
        let caller = match errors.as_slice() {
            [] => finished(finishes[0]),
            [error] => {
                assert_eq!(finishes[0], "error", "{generation}: a failure is not dressed up as success");
                let kind = error["metadata"]["error_type"].as_str().unwrap_or_default();
                format!("200, then {kind}")
            }
            several => panic!("{generation}: more than one error: {several:?}"),
        };
        Self { generation, caller }
    }
}

fn finished(reason: &Value) -> String {
    format!("200 {}", reason.as_str().unwrap_or_default())
}

/// A ledger line as the table has it.
fn told(line: &v1::Line) -> String {
    let provenance = line.provenance().as_str_name().to_lowercase();
    format!("{} {}/{} {provenance}", line.outcome, nano(&line.cost_usd), nano(&line.charge_usd))
}

/// Dollars, as the ledger prints them, in nano-dollars.
fn nano(usd: &str) -> u64 {
    let (whole, fraction) = usd.split_once('.').unwrap_or((usd, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap_or_else(|error| panic!("`{usd}`: {error}"))
}

impl Seen {
    /// What is wrong with it: a value that is missing, or another than the table has.
    pub fn wrong(&self) -> Option<String> {
        let Cell { row, streamed, has_second, .. } = self.cell;
        let expected = if streamed { row.streamed } else { row.whole };
        let (caller, attempts) = (expected.caller(has_second), expected.attempts(has_second));
        let is_whole = |told: &String| told.split(' ').filter(|value| !value.is_empty()).count() == 3;
        let is_complete =
            !self.caller.is_empty() && !self.attempts.is_empty() && self.attempts.iter().all(is_whole);
        let agrees = self.caller == caller && self.attempts == attempts;
        let form = self.cell.form();
        (!is_complete || !agrees).then(|| {
            format!(
                "{} {form}:\n  seen     {} | {}\n  expected {caller} | {}",
                row.fault,
                self.caller,
                self.attempts.join("; "),
                attempts.join("; ")
            )
        })
    }
}
