//! Exactly one ending: whatever cuts a request off, each attempt that was sent is one ledger line, the request is one
//! generation, and nothing stays reserved.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_cli::client::Answer as _;
use switchyard_proto::money::parse_signed;
use switchyard_proto::v1;
use switchyard_tests::client::{Client, Event, chunks};
use switchyard_tests::cluster::{Cluster, MadeKey, Shape, plain_endpoint};
use switchyard_tests::plane::Place;
use switchyard_tests::wait;

/// Callers are kept company at once, so that their answers have a head, and an id, before anything is answered.
fn shape() -> Shape {
    Shape::default().set("SWITCHYARD_REQUESTS_KEEP_ALIVE_AFTER_MS", "50")
}

/// A model for each behaviour of the lab, `lab/<behaviour>`, whose provider stops billing when it is called off or not; and a
/// key with a limit of a dollar.
async fn cluster(
    shape: Shape,
    cancel_stops_billing: bool,
    behaviours: &[&str],
) -> (Cluster, Client, MadeKey) {
    let cluster = shape.start().await.unwrap();
    cluster.provider("lab", "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    for behaviour in behaviours {
        let endpoint = v1::Endpoint { cancel_stops_billing, ..plain_endpoint("lab", behaviour) };
        let model = v1::Model { id: format!("lab/{behaviour}"), ..Default::default() };
        cluster.model_with(model, [endpoint]).await.unwrap();
    }
    let client = cluster.client().await.unwrap();
    let key = limited(&cluster).await;
    (cluster, client.with_key(&key.secret), key)
}

/// A key of `acme` with a limit of a dollar.
pub async fn limited(cluster: &Cluster) -> MadeKey {
    let limit = v1::SpendLimit { usd: "1".to_owned(), reset: v1::Reset::Never.into() };
    let key = v1::Key { name: "limited".to_owned(), limit: Some(limit), ..Default::default() };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    key
}

fn body(behaviour: &str, words: usize) -> Value {
    let words = vec!["word"; words].join(" ");
    json!({"model": format!("lab/{behaviour}"), "max_tokens": 500, "messages": [{"role": "user", "content": words}]})
}

fn nano(usd: &str) -> i64 {
    parse_signed(usd).unwrap_or_else(|error| panic!("`{usd}`: {error}"))
}

fn id(headers: &http::HeaderMap) -> String {
    headers["x-generation-id"].to_str().unwrap().to_owned()
}

/// Waits until the lab has been asked so often.
async fn asked(cluster: &Cluster, times: u64) {
    wait::until_true("the lab is asked", async || cluster.lab.counts().requests >= times).await;
}

/// The request's lines by number and its generation, which agree.
async fn ended(cluster: &Cluster, id: &str, attempts: usize) -> (Vec<v1::Line>, v1::Generation) {
    let generation = cluster.generation(id).await;
    let mut lines = cluster.lines(id, attempts).await;
    lines.sort_by_key(|line| line.attempt);
    let numbers: Vec<usize> = lines.iter().map(|line| line.attempt as usize).collect();
    assert_eq!(numbers, (1..=attempts).collect::<Vec<_>>(), "one line for each attempt: {lines:?}");
    assert_eq!(generation.attempts as usize, attempts, "{generation:?}");
    let charged: i64 = lines.iter().map(|line| nano(&line.charge_usd)).sum();
    assert_eq!(nano(&generation.charge_usd), charged, "{generation:?} {lines:?}");
    assert!(lines.iter().all(|line| nano(&line.house_usd) == 0), "{lines:?}");
    (lines, generation)
}

/// What is told of a line: outcome, provenance, whether it cost us, whether it costs the tenant.
fn told(line: &v1::Line) -> (&str, v1::Provenance, bool, bool) {
    (&line.outcome, line.provenance(), nano(&line.cost_usd) > 0, nano(&line.charge_usd) > 0)
}

/// Stops the data planes, and looks whether the key's account holds what its lines charge, and nothing else.
pub async fn nothing_is_left(cluster: &mut Cluster, key: &MadeKey) {
    for plane in &mut cluster.planes {
        plane.stop().await.unwrap();
    }
    let request = v1::ListLinesRequest { key: key.id.clone(), page_size: 1000, ..Default::default() };
    let lines = cluster.admin.usage().list_lines(request).await.answer().unwrap().lines;
    let charged: i64 = lines.iter().map(|line| nano(&line.charge_usd)).sum();
    let request = v1::ListAccountsRequest { tenant: "acme".to_owned(), page_size: 100, ..Default::default() };
    let accounts = cluster.admin.usage().list_accounts(request).await.answer().unwrap().accounts;
    let is_own = |account: &&v1::Account| account.account.as_ref().is_some_and(|of| of.owner == key.id);
    let own = accounts.iter().find(is_own).expect("the key's account");
    let held = [&own.charged_usd, &own.lent_usd, &own.presumed_usd].map(|usd| nano(usd));
    assert_eq!(held, [charged, 0, 0], "{own:?}");
    let proof = cluster.admin.ledger().prove(v1::ProveRequest {}).await.answer().unwrap();
    assert!(proof.holds, "{proof:?}");
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_head_costs_us_and_not_the_tenant() {
    let (mut cluster, client, key) = cluster(shape(), true, &["hang"]).await;
    let stream = client.stream(body("hang", 8)).await;
    let id = id(&stream.headers);
    asked(&cluster, 1).await;
    drop(stream);
    let (lines, generation) = ended(&cluster, &id, 1).await;
    assert_eq!(told(&lines[0]), ("cancelled", v1::Provenance::Estimated, true, false));
    assert!(generation.cancelled && generation.error_type == "request_timeout", "{generation:?}");
    nothing_is_left(&mut cluster, &key).await;
}

#[tokio::test]
async fn a_caller_who_leaves_between_two_attempts_ends_the_request_there() {
    let shape = shape()
        .set("SWITCHYARD_RETRIES_MOST", "1")
        .set("SWITCHYARD_RETRIES_BASE_MS", "60000")
        .set("SWITCHYARD_RETRIES_LONGEST_MS", "60000");
    let (mut cluster, client, key) = cluster(shape, true, &["status-500"]).await;
    let stream = client.stream(body("status-500", 8)).await;
    let id = id(&stream.headers);
    let failed = cluster.lines(&id, 1).await;
    assert_eq!(failed[0].outcome, "server");
    drop(stream);
    let (lines, generation) = ended(&cluster, &id, 1).await;
    let (outcome, _, _, is_charged) = told(&lines[0]);
    assert_eq!((outcome, is_charged), ("server", false));
    assert!(generation.cancelled, "{generation:?}");
    assert_eq!(cluster.lab.counts().requests, 1, "it is not sent again for nobody");
    nothing_is_left(&mut cluster, &key).await;
}

#[tokio::test]
async fn m3_a_caller_who_leaves_a_stream_that_can_be_called_off_pays_what_was_produced() {
    const WORDS: u64 = 200;
    let (mut cluster, client, key) = cluster(shape(), true, &["slow-50"]).await;
    let mut stream = client.stream(body("slow-50", WORDS as usize)).await;
    let id = id(&stream.headers);
    stream.first_data().await;
    drop(stream);
    let (lines, generation) = ended(&cluster, &id, 1).await;
    let produced = lines[0].tokens.unwrap_or_default().completion;
    assert!((1..WORDS / 2).contains(&produced), "{lines:?}");
    assert_eq!(told(&lines[0]), ("cancelled", v1::Provenance::Estimated, true, true));
    assert_eq!(lines[0].charge_usd, lines[0].cost_usd);
    assert!(generation.cancelled && generation.status == 200, "{generation:?}");
    nothing_is_left(&mut cluster, &key).await;
}

#[tokio::test]
async fn m4_a_caller_who_leaves_a_whole_answer_pays_all_of_it() {
    const WORDS: usize = 20;
    // Even where it could be called off: the answer is made by then.
    let (mut cluster, client, key) = cluster(shape(), true, &["slow-head-700"]).await;
    tokio::select! {
        answer = client.chat(body("slow-head-700", WORDS)) => panic!("too early: {answer:?}"),
        () = asked(&cluster, 1) => {}
    }
    let request = v1::ListLinesRequest { key: key.id.clone(), ..Default::default() };
    let line = wait::until("the line of the call", async || {
        cluster.admin.usage().list_lines(request.clone()).await.answer().ok()?.lines.pop()
    })
    .await;
    let (lines, generation) = ended(&cluster, &line.id, 1).await;
    assert_eq!(told(&lines[0]), ("ok", v1::Provenance::ProviderFinal, true, true));
    let heard = client.chat(body("slow-head-700", WORDS)).await.ok()["usage"]["completion_tokens"].as_u64();
    assert_eq!(
        (Some(lines[0].tokens.unwrap().completion), &lines[0].charge_usd),
        (heard, &lines[0].cost_usd)
    );
    assert!(generation.cancelled && generation.status == 200, "{generation:?}");
    nothing_is_left(&mut cluster, &key).await;
}

#[tokio::test]
async fn a_stream_that_ends_within_the_drain_is_served_to_its_end() {
    let shape = shape().set("SWITCHYARD_REQUESTS_DRAIN_S", "60").with_planes(&[Place::Child]);
    let (mut cluster, client, key) = cluster(shape, true, &["slow-100"]).await;
    let mut stream = client.stream(body("slow-100", 12)).await;
    let id = id(&stream.headers);
    stream.first_data().await;
    let (stopped, events) = tokio::join!(cluster.planes[0].stop(), stream.rest());
    stopped.unwrap();
    assert_eq!(events.last(), Some(&Event::Done));
    let (lines, generation) = ended(&cluster, &id, 1).await;
    assert_eq!(told(&lines[0]), ("ok", v1::Provenance::ProviderFinal, true, true));
    assert!(!generation.cancelled && generation.status == 200, "{generation:?}");
    nothing_is_left(&mut cluster, &key).await;
}

#[tokio::test]
async fn what_outlasts_the_drain_is_told_so_and_costs_the_tenant_nothing() {
    let shape = shape().set("SWITCHYARD_REQUESTS_DRAIN_S", "1").with_planes(&[Place::Child]);
    // A provider that bills on: it is not waited for all the same.
    let (mut cluster, client, key) = cluster(shape, false, &["slow-400", "hang"]).await;
    let mut stream = client.stream(body("slow-400", 200)).await;
    let streamed = id(&stream.headers);
    stream.first_data().await;
    let waiting = async {
        let waited = client.chat(body("hang", 8)).await;
        (id(&waited.headers), waited)
    };
    let stopping = async {
        wait::until_true("both are under way", async || cluster.lab.counts().requests >= 2).await;
        cluster.planes[0].stop().await
    };
    let (stopped, events, (waited, refused)) = tokio::join!(stopping, stream.rest(), waiting);
    stopped.unwrap();
    let last = chunks(&events).pop().unwrap().clone();
    assert_eq!(last["error"]["metadata"]["error_type"], "draining", "{last}");
    assert_eq!((refused.status, refused.error_type()), (StatusCode::SERVICE_UNAVAILABLE, "draining"));
    assert_eq!(refused.header("x-switchyard-fault"), "router");
    for (id, is_produced) in [(&streamed, true), (&waited, false)] {
        let (lines, generation) = ended(&cluster, id, 1).await;
        assert_eq!(told(&lines[0]), ("draining", v1::Provenance::Estimated, true, false));
        assert_eq!(lines[0].tokens.unwrap().completion > 0, is_produced, "{lines:?}");
        assert_eq!((generation.status, generation.error_type.as_str()), (503, "draining"), "{generation:?}");
        assert!(!generation.cancelled, "{generation:?}");
    }
    nothing_is_left(&mut cluster, &key).await;
}

#[tokio::test]
async fn a_request_that_is_killed_has_its_lines_and_its_generation_after_the_restart() {
    let (mut cluster, client, key) =
        cluster(shape().with_planes(&[Place::Child]), true, &["status-500", "slow-100"]).await;
    let mut body = body("status-500", 100);
    body["models"] = json!(["lab/slow-100"]);
    let mut stream = client.stream(body).await;
    let id = id(&stream.headers);
    stream.first_data().await;
    cluster.planes[0].kill().await.unwrap();
    cluster.planes[0].start().await.unwrap();
    let (lines, generation) = ended(&cluster, &id, 2).await;
    assert_eq!(lines[0].outcome, "server");
    assert_eq!(told(&lines[1]), ("interrupted", v1::Provenance::Interrupted, true, true));
    assert_eq!(lines[1].charge_usd, lines[1].reserved_usd);
    let shown = (generation.status, generation.error_type.as_str(), generation.model.as_str());
    assert_eq!(shown, (500, "interrupted", "lab/slow-100"), "{generation:?}");
    nothing_is_left(&mut cluster, &key).await;
}

#[tokio::test]
async fn an_answer_that_a_stage_does_not_take_and_the_one_that_is_given_leave_nothing_reserved() {
    let (mut cluster, client, key) = cluster(shape(), true, &["length", "echo"]).await;
    let stage = |model: &str, escalate_on: &[&str]| v1::PolicyStage {
        models: vec![v1::WeightedModel { model: model.to_owned(), weight: 0 }],
        escalate_on: escalate_on.iter().map(|reason| (*reason).to_owned()).collect(),
        ..Default::default()
    };
    let stages = vec![stage("lab/length", &["length"]), stage("lab/echo", &[])];
    cluster.policy(v1::Policy { id: "careful".to_owned(), stages, ..Default::default() }).await.unwrap();
    cluster.settled().await;
    let mut body = body("echo", 8);
    body["model"] = json!("policy/careful");
    let answer = client.chat(body).await.ok();
    let (lines, _) = ended(&cluster, answer["id"].as_str().unwrap(), 2).await;
    assert_eq!(told(&lines[0]), ("length", v1::Provenance::ProviderFinal, true, true));
    assert_eq!(told(&lines[1]), ("ok", v1::Provenance::ProviderFinal, true, true));
    nothing_is_left(&mut cluster, &key).await;
}

#[tokio::test]
async fn when_no_intent_can_be_written_nothing_is_sent_and_readiness_says_so_until_there_is_room() {
    let shape =
        shape().set("SWITCHYARD_JOURNAL_MAX_BYTES", "65536").set("SWITCHYARD_JOURNAL_SEGMENT_BYTES", "65536");
    let (mut cluster, _, _) = cluster(shape, true, &["echo"]).await;
    // Without a limit nothing is borrowed, so that the journal alone can be in the way.
    let key = v1::Key { name: "unlimited".to_owned(), ..Default::default() };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let client = Client::new(cluster.planes[0].url(), key.secret);
    assert!(cluster.planes[0].is_ready().await);
    cluster.control.stop().await.unwrap();
    let mut served = 0;
    let refused = loop {
        let answer = client.chat(body("echo", 8)).await;
        match answer.status {
            StatusCode::OK => served += 1,
            _ => break answer,
        }
        assert!(served < 500, "64 KiB never fill up");
    };
    assert!(served > 3, "{served}");
    assert_eq!(
        (refused.status.as_u16(), refused.error_type()),
        (503, "journal_unavailable"),
        "{}",
        refused.text
    );
    assert_eq!(refused.header("x-switchyard-fault"), "router");
    assert_eq!(cluster.lab.counts().requests, served, "what is refused is not sent");
    let ready = Client::new(cluster.planes[0].ops_url(), "").get("/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.text.as_str()), (503, "the journal takes no more\n"));
    cluster.control.start().await.unwrap();
    wait::until_true("room, once the journal is handed over", async || cluster.planes[0].is_ready().await)
        .await;
    client.chat(body("echo", 8)).await.ok();
    cluster.stop().await.unwrap();
}
