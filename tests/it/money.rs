//! Money: every attempt is one ledger line, no limit is passed, and nothing is lost or booked twice.

use std::time::Instant;

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use switchyard_cli::client::Answer as _;
use switchyard_proto::id::GenerationId;
use switchyard_proto::v1;
use switchyard_tests::client::Client;
use switchyard_tests::cluster::{Cluster, MadeKey, Shape};
use switchyard_tests::plane::Place;
use switchyard_tests::wait;

const WORDS: &str = "one two three four five six seven eight nine ten";

fn body(model: &str) -> Value {
    json!({"model": model, "max_tokens": 40, "messages": [{"role": "user", "content": WORDS}]})
}

fn usd(text: &str) -> f64 {
    text.parse().unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

fn limited(name: &str, usd: &str) -> v1::Key {
    let limit = v1::SpendLimit { usd: usd.to_owned(), reset: v1::Reset::Never.into() };
    v1::Key { name: name.to_owned(), limit: Some(limit), ..Default::default() }
}

/// Calls until the answer is no success any more, and tells what was spent and said.
async fn spend(client: &Client) -> (Vec<String>, switchyard_tests::client::Answer) {
    let mut ids = Vec::new();
    for _ in 0..200 {
        let answer = client.chat(body("test/echo")).await;
        if answer.status != StatusCode::OK {
            return (ids, answer);
        }
        ids.push(answer.json["id"].as_str().unwrap().to_owned());
    }
    panic!("two hundred calls did not reach the limit");
}

#[tokio::test]
async fn an_answer_is_one_line_with_cost_charge_payer_and_provenance() {
    let cluster = Cluster::start().await.unwrap();
    let tenant = v1::Tenant { id: "dear".to_owned(), markup_ppm: 250_000, ..Default::default() };
    cluster.tenant_with(tenant, "").await.unwrap();
    let client = cluster.client().await.unwrap();
    let key = cluster.key("dear").await.unwrap();
    cluster.settled().await;
    let began = Instant::now();
    let answer = client.with_key(&key.secret).chat(body("test/echo")).await.ok();
    let id = answer["id"].as_str().unwrap();
    let generation = cluster.generation(id).await;
    eprintln!("a generation is known after {:?}; the promise is 2 s", began.elapsed());
    let lines = cluster.lines(id, 1).await;
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    let usage = &answer["usage"];
    let tokens = line.tokens.unwrap();
    assert_eq!(
        (json!(tokens.prompt), json!(tokens.completion)),
        (usage["prompt_tokens"].clone(), usage["completion_tokens"].clone())
    );
    assert_eq!((line.kind.as_str(), line.attempt, line.outcome.as_str()), ("attempt", 1, "ok"));
    assert_eq!((line.tenant.as_str(), &line.key), ("dear", &key.id));
    assert_eq!((line.model.as_str(), line.provider.as_str()), ("test/echo", "lab"));
    assert_eq!(line.provenance(), v1::Provenance::ProviderFinal);
    let payer = line.payer.as_ref().unwrap();
    assert_eq!((payer.kind(), payer.owner.as_str()), (v1::AccountKind::TenantCredits, "dear"));
    let expected = (tokens.prompt as f64 + 2.0 * tokens.completion as f64) / 1e6;
    assert!((usd(&line.cost_usd) - expected).abs() < 1e-9, "{line:?}");
    assert!((usd(&line.charge_usd) - 1.25 * expected).abs() < 2e-9, "{line:?}");
    assert!((usage["cost"].as_f64().unwrap() - usd(&line.charge_usd)).abs() < 1e-12, "{usage} {line:?}");
    assert!(usd(&line.reserved_usd) >= usd(&line.charge_usd) && usd(&line.house_usd) == 0.0, "{line:?}");
    assert_eq!((generation.tenant.as_str(), generation.status, generation.attempts), ("dear", 200, 1));
    assert_eq!(generation.charge_usd, line.charge_usd);
}

#[tokio::test]
async fn every_attempt_of_a_failover_has_its_line() {
    let cluster = Cluster::start().await.unwrap();
    cluster.provider("first", "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    cluster.model("test/two", &[("first", "status-500"), ("lab", "echo")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let mut body = body("test/two");
    body["provider"] = json!({"order": ["first", "lab"]});
    let answer = client.chat(body).await.ok();
    let mut lines = cluster.lines(answer["id"].as_str().unwrap(), 2).await;
    lines.sort_by_key(|line| line.attempt);
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0].provider.as_str(), usd(&lines[0].charge_usd)), ("first", 0.0));
    assert_ne!(lines[0].outcome, "ok");
    assert_eq!((lines[1].provider.as_str(), lines[1].outcome.as_str()), ("lab", "ok"));
    assert_eq!(cluster.generation(answer["id"].as_str().unwrap()).await.attempts, 2);
}

#[tokio::test]
async fn a_spent_limit_ends_in_402_and_was_never_passed() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let key = cluster.key_with("acme", limited("small", "0.0005")).await.unwrap();
    cluster.settled().await;
    let client = client.with_key(&key.secret);
    let (ids, refused) = spend(&client).await;
    assert_eq!(
        (refused.status.as_u16(), refused.error_type()),
        (402, "payment_required"),
        "{}",
        refused.text
    );
    assert!(!ids.is_empty(), "the limit allows some calls: {}", refused.text);
    assert!(
        refused.message().to_lowercase().contains("token"),
        "says what is affordable: {}",
        refused.message()
    );
    let mut spent = 0.0;
    for id in &ids {
        spent += cluster.lines(id, 1).await.iter().map(|line| usd(&line.charge_usd)).sum::<f64>();
    }
    assert!(spent > 0.0 && spent <= 0.0005, "{spent}");
    raise(&cluster, &key, "1").await;
    wait::until_true("a raised limit", async || {
        client.chat(body("test/echo")).await.status == StatusCode::OK
    })
    .await;
}

async fn raise(cluster: &Cluster, key: &MadeKey, usd: &str) {
    let request = v1::UpdateKeyRequest {
        tenant: "acme".to_owned(),
        id: key.id.clone(),
        key: Some(v1::Key { id: key.id.clone(), ..limited("small", usd) }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["limit".to_owned()] }),
        ..Default::default()
    };
    cluster.admin.keys().update_key(request).await.answer().unwrap();
}

#[tokio::test]
async fn an_answer_is_capped_to_what_is_affordable_where_the_caller_set_no_cap() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let key = cluster.key_with("acme", limited("small", "0.001")).await.unwrap();
    cluster.settled().await;
    let body = json!({"model": "test/echo", "messages": [{"role": "user", "content": "hi"}]});
    let answer = client.with_key(&key.secret).chat(body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let cap: u64 = answer.header("x-switchyard-output-cap").parse().expect("the answer names the cap");
    let sent: Value = serde_json::from_slice(&cluster.lab.received().pop().unwrap().body).unwrap();
    let injected = sent["max_completion_tokens"].as_u64().or(sent["max_tokens"].as_u64());
    assert_eq!(injected, Some(cap), "the cap that is reserved is the cap that is sent: {sent}");
    assert!(cap <= 500, "a tenth of a cent buys at most 500 tokens");
}

#[tokio::test]
async fn two_data_planes_under_load_do_not_pass_a_limit_together() {
    let shape = Shape::default().with_planes(&[Place::Here, Place::Here]);
    let cluster = shape.start().await.unwrap().furnished().await.unwrap();
    let client = cluster.client().await.unwrap();
    let key = cluster.key_with("acme", limited("shared", "0.002")).await.unwrap();
    cluster.settled().await;
    let callers: Vec<Client> =
        (0..8).map(|n| client.at(cluster.planes[n % 2].url()).with_key(&key.secret)).collect();
    let calls = join_all(callers.iter().map(async |caller| {
        let mut served = 0;
        for _ in 0..20 {
            let answer = caller.chat(body("test/echo")).await;
            match (answer.status.as_u16(), answer.error_type()) {
                (200, _) => served += 1,
                (402, "payment_required") | (503, "budget_busy") => {}
                other => panic!("{other:?}: {}", answer.text),
            }
        }
        served
    }));
    let served: usize = calls.await.iter().sum();
    assert!(served > 5, "{served} of 160");
    let lines = wait::until("a line for each answer", async || {
        let request = v1::ListLinesRequest { key: key.id.clone(), page_size: 1000, ..Default::default() };
        let lines = cluster.admin.usage().list_lines(request).await.answer().ok()?.lines;
        (lines.iter().filter(|line| line.outcome == "ok").count() >= served).then_some(lines)
    })
    .await;
    let spent: f64 = lines.iter().map(|line| usd(&line.charge_usd)).sum();
    assert!(spent <= 0.002, "{spent}");
    let request = v1::ListAccountsRequest { tenant: "acme".to_owned(), page_size: 100, ..Default::default() };
    let accounts = cluster.admin.usage().list_accounts(request).await.answer().unwrap().accounts;
    let own = accounts.iter().find(|account| account.account.as_ref().unwrap().owner == key.id).unwrap();
    let held = usd(&own.charged_usd) + usd(&own.presumed_usd) + usd(&own.lent_usd);
    assert!(held <= usd(&own.limit_usd) + 1e-12, "{own:?}");
}

#[tokio::test]
async fn prepaid_credits_are_spent_to_their_end_and_the_ledger_adds_up() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    cluster
        .tenant_with(v1::Tenant { id: "prepaid".to_owned(), ..Default::default() }, "0.0005")
        .await
        .unwrap();
    let key = cluster.key("prepaid").await.unwrap();
    cluster.settled().await;
    let (ids, refused) = spend(&client.with_key(&key.secret)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.error_type()),
        (402, "payment_required"),
        "{}",
        refused.text
    );
    let credits = wait::until("a line for each answer, and the credits", async || {
        let request =
            v1::ListLinesRequest { tenant: "prepaid".to_owned(), page_size: 1000, ..Default::default() };
        let lines = cluster.admin.usage().list_lines(request).await.answer().ok()?.lines;
        (lines.len() > ids.len()).then(|| lines.iter().map(|line| usd(&line.charge_usd)).sum::<f64>())
    })
    .await;
    // Credits granted are negative charges, so the sum is what is left, below zero.
    assert!((-0.0005..=0.0).contains(&credits), "{credits}");
}

/// A data plane that can be killed.
async fn killable() -> (Cluster, Client) {
    let shape = Shape::default().with_planes(&[Place::Child]);
    let cluster = shape.start().await.unwrap().furnished().await.unwrap();
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

#[tokio::test]
async fn an_answer_is_in_the_ledger_though_its_process_was_killed_right_after() {
    let (mut cluster, client) = killable().await;
    let answer = client.chat(body("test/echo")).await.ok();
    cluster.planes[0].kill().await.unwrap();
    let id = answer["id"].as_str().unwrap();
    cluster.planes[0].start().await.unwrap();
    let began = Instant::now();
    let lines = cluster.lines(id, 1).await;
    eprintln!("booked {:?} after the restart", began.elapsed());
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].provenance(), v1::Provenance::ProviderFinal);
    assert!(
        (usd(&lines[0].charge_usd) - answer["usage"]["cost"].as_f64().unwrap()).abs() < 1e-12,
        "{lines:?}"
    );
    assert_eq!(client.chat(body("test/echo")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_attempt_that_is_killed_in_the_middle_is_booked_at_its_reservation() {
    let (mut cluster, client) = killable().await;
    cluster.model("test/drips", &[("lab", "slow-100")]).await.unwrap();
    let key = cluster.key_with("acme", limited("mine", "1")).await.unwrap();
    cluster.settled().await;
    let mut stream = client.with_key(&key.secret).stream(body("test/drips")).await;
    let id = stream.first_data().await["id"].as_str().unwrap().to_owned();
    cluster.planes[0].kill().await.unwrap();
    cluster.planes[0].start().await.unwrap();
    let lines = cluster.lines(&id, 1).await;
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line.provenance(), v1::Provenance::Interrupted, "{line:?}");
    assert_eq!(line.charge_usd, line.reserved_usd, "{line:?}");
    assert!(usd(&line.charge_usd) > 0.0, "{line:?}");
}

#[tokio::test]
async fn a_restarted_data_plane_still_owns_what_it_was_lent() {
    let (mut cluster, client) = killable().await;
    let key = cluster.key_with("acme", limited("mine", "1")).await.unwrap();
    cluster.settled().await;
    let client = client.with_key(&key.secret);
    wait::until_true("more money lent than one attempt needs", async || {
        client.chat(body("test/echo")).await.ok();
        lent(&cluster, &key).await > 0.002
    })
    .await;
    cluster.control.stop().await.unwrap();
    wait::until_true("the lost stream, and with it the config on disk", async || {
        cluster.planes[0].log().contains("config stream ended")
    })
    .await;
    cluster.planes[0].kill().await.unwrap();
    cluster.planes[0].start().await.unwrap();
    let answer = client.chat(body("test/echo")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

async fn lent(cluster: &Cluster, key: &MadeKey) -> f64 {
    let request = v1::ListAccountsRequest { tenant: "acme".to_owned(), page_size: 100, ..Default::default() };
    let accounts = cluster.admin.usage().list_accounts(request).await.answer().unwrap().accounts;
    let own = accounts
        .iter()
        .find(|account| account.account.as_ref().is_some_and(|account| account.owner == key.id));
    own.map_or(0.0, |account| usd(&account.lent_usd))
}

#[tokio::test]
async fn money_that_cannot_be_borrowed_is_unavailable_and_not_spent() {
    let mut cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let key = cluster.key_with("acme", limited("cold", "1")).await.unwrap();
    cluster.settled().await;
    cluster.control.stop().await.unwrap();
    let answer = client.with_key(&key.secret).chat(body("test/echo")).await;
    assert_eq!((answer.status.as_u16(), answer.error_type()), (503, "budget_unavailable"), "{}", answer.text);
    assert_eq!(client.chat(body("test/echo")).await.status, StatusCode::OK, "who needs no loan is served");
    cluster.control.start().await.unwrap();
    wait::until_true("a loan, once the control plane is back", async || {
        client.with_key(&key.secret).chat(body("test/echo")).await.status == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn a_report_that_is_sent_twice_is_booked_once() {
    use prost::Message;
    use switchyard_proto::v1::config_service_client::ConfigServiceClient;
    use switchyard_proto::v1::ingest_service_client::IngestServiceClient;
    use switchyard_proto::v1::{usage_record, watch_request, watch_response};

    let cluster = Cluster::start().await.unwrap();
    cluster.tenant("acme").await.unwrap();
    let key = cluster.key("acme").await.unwrap();
    let fleet = cluster.control.fleet_url();
    let instance = "dp_00000000000000000000000001".to_owned();
    let hello = v1::Hello { instance: instance.clone(), version: "test".to_owned(), ..Default::default() };
    let hello = v1::WatchRequest { kind: Some(watch_request::Kind::Hello(hello)) };
    let mut config = ConfigServiceClient::connect(fleet.clone()).await.unwrap();
    let says = futures_util::StreamExt::chain(tokio_stream::once(hello), tokio_stream::pending());
    let mut watch = config.watch(says).await.unwrap().into_inner();
    let welcome = watch.message().await.unwrap().unwrap();
    let Some(watch_response::Kind::Welcome(welcome)) = welcome.kind else { panic!("{welcome:?}") };

    let generation = GenerationId::generate();
    let account = v1::AccountPeriod {
        kind: v1::AccountKind::TenantCredits.into(),
        owner: "acme".into(),
        period: "all".into(),
    };
    let charge =
        v1::Charge { account: Some(account), charged_nano: 700, reserved_nano: 1_000, leased: false };
    let now = Some(switchyard_proto::clock::to_timestamp(switchyard_proto::clock::now()));
    let attempt = v1::AttemptRecord {
        generation: generation.to_bytes(),
        attempt: 1,
        instance: instance.clone(),
        epoch: welcome.epoch,
        tenant: "acme".to_owned(),
        key: key.id.clone(),
        model: "test/echo".to_owned(),
        endpoint: "lab-echo".to_owned(),
        provider: "lab".to_owned(),
        charges: vec![charge],
        cost_nano: 700,
        charge_nano: 700,
        reserved_nano: 1_000,
        provenance: v1::Provenance::ProviderFinal.into(),
        outcome: "ok".to_owned(),
        started_at: now,
        ended_at: now,
        ..Default::default()
    };
    let record = v1::UsageRecord { kind: Some(usage_record::Kind::Attempt(attempt)) };
    let poison = bytes::Bytes::from_static(b"\xff\xff no record at all");
    let report = v1::ReportRequest {
        instance,
        epoch: welcome.epoch,
        records: vec![record.encode_to_vec().into(), poison],
        ..Default::default()
    };
    let mut ingest = IngestServiceClient::connect(fleet).await.unwrap();
    let first = ingest.report(report.clone()).await.unwrap().into_inner();
    assert_eq!((first.booked, first.quarantined), (1, 1), "one poisoned record stops nobody");
    let again = ingest.report(report).await.unwrap().into_inner();
    assert_eq!(again.booked, 0);
    let lines = cluster.lines(&generation.to_string(), 1).await;
    assert_eq!((lines.len(), usd(&lines[0].charge_usd)), (1, 7e-7), "{lines:?}");
}
