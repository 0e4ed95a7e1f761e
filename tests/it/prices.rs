//! Prices at work: long prompts, hours and dates, tenants' own prices, and what is reserved for them.

use serde_json::{Value, json};
use switchyard_cli::client::Answer as _;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::v1;
use switchyard_tests::client::Event;
use switchyard_tests::cluster::{Cluster, plain_endpoint};

const LONG: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen";

fn body(model: &str, text: &str) -> Value {
    json!({"model": model, "max_tokens": 40, "messages": [{"role": "user", "content": text}]})
}

fn nano(usd: &str) -> u64 {
    NanoUsd::parse(usd).unwrap().0
}

fn parts(input: &str, output: &str) -> v1::PriceParts {
    v1::PriceParts { input: input.to_owned(), output: output.to_owned(), ..Default::default() }
}

fn long(above: u64, input: &str, output: &str) -> v1::PriceOverride {
    let price = Some(parts(input, output));
    v1::PriceOverride { min_prompt_tokens: Some(above), price, ..Default::default() }
}

fn hours(start: &str, end: &str, output: &str) -> v1::PriceOverride {
    v1::PriceOverride {
        utc_start: start.to_owned(),
        utc_end: end.to_owned(),
        price: Some(parts("", output)),
        ..Default::default()
    }
}

/// A model of the lab's echo at this price.
async fn model(cluster: &Cluster, id: &str, price: v1::Price) {
    let endpoint = v1::Endpoint { price: Some(price), ..plain_endpoint("lab", "echo") };
    let entry = v1::ModelEntry {
        model: Some(v1::Model { id: id.to_owned(), ..Default::default() }),
        endpoints: vec![v1::Endpoint { model: id.to_owned(), ..endpoint }],
    };
    let manifest = v1::Manifest { models: vec![entry], ..Default::default() };
    let request = v1::ApplyRequest { manifest: Some(manifest), ..Default::default() };
    cluster.admin.apply().apply(request).await.answer().unwrap();
}

/// The one ledger line of an answer.
async fn line(cluster: &Cluster, answer: &Value) -> v1::Line {
    cluster.lines(answer["id"].as_str().unwrap(), 1).await.remove(0)
}

#[tokio::test]
async fn the_line_shows_the_price_of_the_day_the_hour_and_the_prompts_length() {
    let cluster = Cluster::start().await.unwrap();
    let day = v1::PriceVersion {
        from: Some(prost_types::Timestamp { seconds: 946_684_800, nanos: 0 }),
        price: Some(parts("3", "5")),
        // Between them they have every hour.
        overrides: vec![long(15, "7", ""), hours("00:00", "12:00", "11"), hours("12:00", "00:00", "11")],
    };
    let price = v1::Price { versions: vec![day], ..parts("1", "2").into() };
    model(&cluster, "test/dated", price).await;
    let client = cluster.client().await.unwrap();
    for (text, input) in [("hi", 3), (LONG, 7)] {
        let answer = client.chat(body("test/dated", text)).await.ok();
        let line = line(&cluster, &answer).await;
        let (tokens, used) = (line.tokens.unwrap(), line.price.clone().unwrap());
        assert_eq!((used.input, used.output), (input.to_string(), "11".to_owned()), "{text}");
        let expected = 1_000 * (input * tokens.prompt + 11 * tokens.completion);
        assert_eq!((nano(&line.cost_usd), nano(&line.charge_usd)), (expected, expected), "{line:?}");
        assert!(nano(&line.reserved_usd) >= expected && nano(&line.house_usd) == 0, "{line:?}");
        assert!(line.price_revision.is_some_and(|revision| revision.number > 0));
    }
}

#[tokio::test]
async fn a_tenant_pays_by_its_price_book_while_the_cost_stays_the_providers() {
    let cluster = Cluster::start().await.unwrap();
    cluster.model("other/echo", &[("lab", "echo")]).await.unwrap();
    let own = v1::PriceRule { model: "test/*".into(), price: Some(parts("10", "20")), ..Default::default() };
    let free = v1::PriceRule { provider: "lab".into(), markup_ppm: Some(0), ..Default::default() };
    let book = vec![own, free];
    let tenant =
        v1::Tenant { id: "own".into(), markup_ppm: 500_000, price_book: book.clone(), ..Default::default() };
    cluster.tenant_with(tenant, "1").await.unwrap();
    let client = cluster.client().await.unwrap();
    let key = cluster.key("own").await.unwrap();
    cluster.settled().await;
    let client = client.with_key(&key.secret);
    for (model, times, own_price) in [("test/echo", 10, Some(parts("10", "20"))), ("other/echo", 1, None)] {
        let answer = client.chat(body(model, "hi")).await.ok();
        let line = line(&cluster, &answer).await;
        let tokens = line.tokens.unwrap();
        let cost = 1_000 * (tokens.prompt + 2 * tokens.completion);
        assert_eq!((nano(&line.cost_usd), nano(&line.charge_usd)), (cost, times * cost), "{model} {line:?}");
        assert_eq!((line.tenant_price, line.markup_ppm), (own_price, 0), "{model}");
        assert!(nano(&line.reserved_usd) >= times * cost, "the reservation covers the charge: {model}");
        let printed = answer["usage"]["cost"].as_f64().unwrap();
        assert!((printed * 1e9 - (times * cost) as f64).abs() < 1.0, "{printed}");
    }
    let read = v1::GetTenantRequest { id: "own".into() };
    assert_eq!(cluster.admin.tenants().get_tenant(read).await.answer().unwrap().price_book, book);
}

#[tokio::test]
async fn a_key_that_cannot_pay_the_dearest_price_in_reach_is_told_what_it_can() {
    let cluster = Cluster::start().await.unwrap();
    let price = v1::Price { overrides: vec![long(1_000, "1", "1000")], ..parts("1", "2").into() };
    model(&cluster, "test/steep", price).await;
    let limit = v1::SpendLimit { usd: "0.02".to_owned(), reset: v1::Reset::Never.into() };
    let key = v1::Key { name: "small".into(), limit: Some(limit), ..Default::default() };
    let client = cluster.client().await.unwrap();
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let client = client.with_key(&key.secret);
    // A prompt that cannot be longer than a thousand tokens is not reserved for at the price of longer ones.
    let answer = client.chat(body("test/steep", "hi")).await.ok();
    let small = line(&cluster, &answer).await;
    assert!(nano(&small.reserved_usd) < 1_000_000, "{small:?}");
    // A prompt that may be longer is: 40 tokens of answer would be 0.04 dollars.
    let refused = client.chat(body("test/steep", &"word ".repeat(300))).await;
    assert_eq!(
        (refused.status.as_u16(), refused.error_type()),
        (402, "payment_required"),
        "{}",
        refused.text
    );
    let affordable = refused.json["error"]["metadata"]["affordable_tokens"].as_u64().unwrap();
    assert!((1..40).contains(&affordable), "{}", refused.text);
    let mut less = body("test/steep", &"word ".repeat(300));
    less["max_tokens"] = json!(affordable);
    let line = line(&cluster, &client.chat(less).await.ok()).await;
    // 300 words are fewer than a thousand tokens: what was used is the lower price.
    assert_eq!(line.price.unwrap().output, "2");
    assert_eq!(nano(&line.house_usd), 0);
}

#[tokio::test]
async fn a_stream_that_its_provider_breaks_off_costs_us_and_not_the_tenant() {
    let cluster = Cluster::start().await.unwrap();
    cluster.model("test/broken", &[("lab", "cut-2")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let stream = client.stream(body("test/broken", LONG)).await;
    let id = stream.headers["x-generation-id"].to_str().unwrap().to_owned();
    assert_eq!(stream.rest().await.last(), Some(&Event::Done));
    let line = cluster.lines(&id, 1).await.remove(0);
    assert!(nano(&line.cost_usd) > 0, "{line:?}");
    assert_eq!((nano(&line.charge_usd), nano(&line.house_usd)), (0, 0), "{line:?}");
    assert_eq!(cluster.generation(&id).await.charge_usd, "0");
}

#[tokio::test]
async fn the_cap_that_is_sent_is_the_cap_that_is_reserved_at_the_dearest_price() {
    let cluster = Cluster::start().await.unwrap();
    let price = v1::Price { reasoning: "7".to_owned(), ..parts("1", "2").into() };
    model(&cluster, "test/thinker", price).await;
    let client = cluster.client().await.unwrap();
    let limit = v1::SpendLimit { usd: "1".to_owned(), reset: v1::Reset::Never.into() };
    let key = v1::Key { name: "limited".into(), limit: Some(limit), ..Default::default() };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let client = client.with_key(&key.secret);
    let mut rest = Vec::new();
    for asked in [json!(40), json!(90), Value::Null] {
        let mut body = body("test/thinker", "hi");
        body["max_tokens"] = asked.clone();
        let line = line(&cluster, &client.chat(body).await.ok()).await;
        let sent: Value = serde_json::from_slice(&cluster.lab.received().pop().unwrap().body).unwrap();
        let cap = sent["max_completion_tokens"].as_u64().or(sent["max_tokens"].as_u64()).unwrap();
        assert!(asked.as_u64().is_none_or(|asked| asked == cap), "{sent}");
        // Every token of the answer may be reasoning.
        rest.push(nano(&line.reserved_usd) - 7_000 * cap);
    }
    assert!(rest.iter().all(|prompt| *prompt == rest[0]), "what is left is the prompt's: {rest:?}");
}
