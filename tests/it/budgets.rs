//! Budgets over the whole system: who is refused with what, who goes on, and that all of the money can be used.

use futures_util::future::join_all;
use serde_json::{Value, json};
use switchyard_cli::client::Answer as _;
use switchyard_proto::v1;
use switchyard_tests::client::{Answer, Client};
use switchyard_tests::cluster::{Cluster, MadeKey, Shape, plain_endpoint};
use switchyard_tests::plane::Place;
use switchyard_tests::redis::Redis;
use switchyard_tests::wait;

const WORDS: &str = "one two three four five six seven eight nine ten";

fn body() -> Value {
    json!({"model": "test/echo", "max_tokens": 40, "messages": [{"role": "user", "content": WORDS}]})
}

fn of_user(user: &str) -> Value {
    let mut body = body();
    body["user"] = json!(user);
    body
}

fn usd(text: &str) -> f64 {
    text.parse().unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

fn limit(usd: &str) -> Option<v1::SpendLimit> {
    Some(v1::SpendLimit { usd: usd.to_owned(), reset: v1::Reset::Never.into() })
}

fn budget(window: &str, usd: &str) -> v1::Budget {
    v1::Budget { window: window.to_owned(), usd: usd.to_owned() }
}

/// Calls until the answer is no success any more; what was spent, and the answer.
async fn spend(client: &Client, body: Value) -> (f64, Answer) {
    let mut spent = 0.0;
    for _ in 0..200 {
        let answer = client.chat(body.clone()).await;
        if answer.status != 200 {
            return (spent, answer);
        }
        spent += answer.json["usage"]["cost"].as_f64().unwrap();
    }
    panic!("two hundred calls did not reach the limit");
}

fn refusal(answer: &Answer) -> (u16, &str, &str) {
    let source = answer.json["error"]["metadata"]["limit_source"].as_str().unwrap_or_default();
    (answer.status.as_u16(), answer.error_type(), source)
}

async fn tenant(cluster: &Cluster, id: &str, budgets: Vec<v1::Budget>) -> Client {
    let tenant = v1::Tenant { id: id.to_owned(), budgets, ..Default::default() };
    cluster.tenant_with(tenant, "").await.unwrap();
    let key = cluster.key(id).await.unwrap();
    cluster.settled().await;
    Client::new(cluster.planes[0].url(), key.secret)
}

#[tokio::test]
async fn m8_a_used_up_budget_is_403_and_the_broadest_is_named() {
    wait::clear_of_midnight().await;
    let cluster = Cluster::start().await.unwrap();
    let check = async |id: &str, budgets: Vec<v1::Budget>, most: f64, text: &str| {
        let client = tenant(&cluster, id, budgets).await;
        let (spent, refused) = spend(&client, body()).await;
        assert_eq!(refusal(&refused), (403, "budget_exceeded", "tenant_budget"), "{}", refused.text);
        assert!(refused.message().starts_with(text), "{id}: {}", refused.message());
        assert!(spent > 0.0 && spent <= most, "{id}: {spent}");
    };
    let budgets = vec![budget("monthly", "500"), budget("daily", "0.0004")];
    check("day", budgets, 0.0004, "Tenant daily budget of $0.0004 exceeded: the request asks").await;
    let both = vec![budget("daily", "0.0004"), budget("monthly", "0.000400001")];
    check("both", both, 0.0004, "Tenant monthly budget of $0.000400001 exceeded: ").await;
    check("hours", vec![budget("24h", "0.0004")], 0.0004, "Tenant budget of $0.0004 per 24 hours exceeded: ")
        .await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn m11_each_user_has_its_own_budget_and_the_keys_limit_holds_for_all() {
    let cluster = Cluster::start().await.unwrap();
    let client = tenant(&cluster, "acme", Vec::new()).await;
    let key = v1::Key {
        name: "app".to_owned(),
        limit: limit("0.0006"),
        trust_user: true,
        user_limit: limit("0.0004"),
        ..Default::default()
    };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let client = client.with_key(&key.secret);
    let (ann, refused) = spend(&client, of_user("ann")).await;
    assert_eq!(refusal(&refused), (403, "budget_exceeded", "user_budget"), "{}", refused.text);
    assert!(refused.message().starts_with("User budget of $0.0004 exceeded: "), "{}", refused.message());
    assert!(ann > 0.0 && ann <= 0.0004, "{ann}");
    let (ben, refused) = spend(&client, of_user("ben")).await;
    assert!(ben > 0.0 && ben <= 0.0004, "not shared: {ben} {}", refused.text);
    let (others, refused) = spend(&client, of_user("eve")).await;
    assert_eq!(refusal(&refused), (402, "payment_required", "key_limit"), "{}", refused.text);
    assert!(ann + ben + others <= 0.0006, "{ann} {ben} {others}");
    let refused = client.chat(body()).await;
    assert_eq!(refused.status, 402, "who names no user is somebody too: {}", refused.text);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn m12_own_credentials_count_apart_and_on_no_limit_that_does_not_say_so() {
    wait::clear_of_midnight().await;
    let cluster = Cluster::start().await.unwrap();
    let client = tenant(&cluster, "acme", vec![budget("daily", "0.0004")]).await;
    let own = v1::Credential {
        id: "mine".to_owned(),
        tenant: "acme".to_owned(),
        provider: "lab".to_owned(),
        secret: "the-tenants-own-credential".to_owned(),
        ..Default::default()
    };
    let request = v1::CreateCredentialRequest { tenant: "acme".to_owned(), credential: Some(own) };
    cluster.admin.credentials().create_credential(request).await.answer().unwrap();
    let key = v1::Key { name: "app".to_owned(), limit: limit("0.0004"), ..Default::default() };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let client = client.with_key(&key.secret);
    let mut upstream = 0.0;
    for _ in 0..30 {
        let answer = client.chat(body()).await.ok();
        upstream += answer["usage"]["cost_details"]["upstream_inference_cost"].as_f64().unwrap();
    }
    assert!(upstream > 0.0004, "more than either limit: {upstream}");
    let shown = wait::until("the cost of thirty calls", async || {
        let answer = client.get("/api/v1/key").await.json["data"].clone();
        ((answer["byok_usage"].as_f64()? - upstream).abs() < 1e-12).then_some(answer)
    })
    .await;
    assert_eq!([&shown["usage"], &shown["limit_remaining"]], [0.0, 0.0004], "{shown:#}");
    assert_eq!(shown["byok_usage_daily"], shown["byok_usage_monthly"]);
    let counting = v1::Key { include_byok_in_limit: true, ..Default::default() };
    update_key(&cluster, &key, counting, "include_byok_in_limit").await;
    let (_, refused) = spend(&client, body()).await;
    assert_eq!(refusal(&refused), (402, "payment_required", "key_limit"), "{}", refused.text);
    cluster.stop().await.unwrap();
}

async fn update_key(cluster: &Cluster, key: &MadeKey, fields: v1::Key, path: &str) {
    let request = v1::UpdateKeyRequest {
        tenant: "acme".to_owned(),
        id: key.id.clone(),
        key: Some(fields),
        update_mask: Some(prost_types::FieldMask { paths: vec![path.to_owned()] }),
        ..Default::default()
    };
    cluster.admin.keys().update_key(request).await.answer().unwrap();
    cluster.settled().await;
}

#[tokio::test]
async fn a_provider_whose_credentials_have_used_up_their_budget_is_passed_over() {
    let cluster = Shape::default().start().await.unwrap();
    let provider = |id: &str, credential_budget| v1::Provider {
        id: id.to_owned(),
        adapter: "openai".to_owned(),
        base_url: format!("{}/v1", cluster.lab.url()),
        credential: format!("credential-of-{id}"),
        credential_budget,
        ..Default::default()
    };
    cluster.provider_with(provider("capped", limit("0.0004"))).await.unwrap();
    cluster.provider_with(provider("open", None)).await.unwrap();
    let model = |id: &str| v1::Model { id: id.to_owned(), ..Default::default() };
    let (capped, open) = (plain_endpoint("capped", "echo"), plain_endpoint("open", "echo"));
    cluster.model_with(model("test/echo"), [capped.clone(), open]).await.unwrap();
    cluster.model_with(model("test/only"), [capped]).await.unwrap();
    // A second credential of the same provider, as an operator's pool has it.
    let pool = sqlx::PgPool::connect(&cluster.database.url).await.unwrap();
    let copied = sqlx::query(
        "INSERT INTO provider_credentials (id, provider, data_key, origin, sealed, weight)
         SELECT 'cred_second', provider, data_key, origin, sealed, weight FROM provider_credentials
         WHERE provider = 'capped'",
    );
    assert_eq!(copied.execute(&pool).await.unwrap().rows_affected(), 1);
    let renamed = v1::Provider { display_name: "Capped".to_owned(), ..Default::default() };
    let request = v1::UpdateProviderRequest {
        id: "capped".to_owned(),
        provider: Some(renamed),
        update_mask: Some(prost_types::FieldMask { paths: vec!["display_name".to_owned()] }),
        ..Default::default()
    };
    cluster.admin.providers().update_provider(request).await.answer().unwrap();
    let client = tenant(&cluster, "acme", Vec::new()).await;
    let mut body = body();
    body["provider"] = json!({"order": ["capped", "open"]});
    body["debug"] = json!({"openrouter_metadata": true});
    let mut served = Vec::new();
    for _ in 0..80 {
        let answer = client.chat(body.clone()).await.ok();
        let provider = answer["provider"].as_str().unwrap().to_owned();
        let skipped = &answer["openrouter_metadata"]["skipped"];
        match provider.as_str() {
            "open" => assert_eq!(
                (&skipped[0]["provider"], &skipped[0]["rule"]),
                (&json!("Capped"), &json!("budget"))
            ),
            _ => assert_eq!(*skipped, json!([])),
        }
        served.push(provider);
    }
    let first = served.iter().position(|provider| provider != "Capped").expect("its budgets end");
    assert!(
        served[first..].iter().all(|provider| provider == "open"),
        "and then it is passed over: {served:?}"
    );
    // A call that reserves about 0.0002 is refused with less than that left.
    wait::until_true("the costs of both credentials", async || {
        let charged: Vec<i64> =
            sqlx::query_scalar("SELECT charged FROM accounts WHERE kind = 5").fetch_all(&pool).await.unwrap();
        charged.len() == 2 && charged.iter().all(|nano| (190_000..=400_000).contains(nano))
    })
    .await;
    body["model"] = json!("test/only");
    let refused = client.chat(body).await;
    assert_eq!(refusal(&refused).0, 503, "the operator's budget is not the caller's fault: {}", refused.text);
    assert_eq!(refused.error_type(), "provider_overloaded");
    assert!(!refused.text.contains("cred_"), "{}", refused.text);
    cluster.stop().await.unwrap();
}

/// What a call may cost at most is a fifth of a ten-cent limit; it costs much less.
fn dear_endpoint() -> v1::Endpoint {
    let price = v1::Price { input: "100".to_owned(), output: "200".to_owned(), ..Default::default() };
    v1::Endpoint { price: Some(price), ..plain_endpoint("lab", "echo") }
}

#[tokio::test]
async fn a_ten_cent_key_works_from_ten_data_planes_and_all_of_its_money_can_be_used() {
    const LIMIT: f64 = 0.10;
    let cluster = Shape::default().with_planes(&[Place::Here; 10]).start().await.unwrap();
    cluster.provider("lab", "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    let model = v1::Model { id: "test/echo".to_owned(), ..Default::default() };
    cluster.model_with(model, [dear_endpoint()]).await.unwrap();
    cluster.tenant("acme").await.unwrap();
    let key = v1::Key { name: "small".to_owned(), limit: limit("0.10"), ..Default::default() };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let clients: Vec<Client> =
        cluster.planes.iter().map(|plane| Client::new(plane.url(), key.secret.clone())).collect();
    // At once: more worst cases than the limit holds, so some wait for what others do not need.
    let answers = join_all(clients.iter().map(until_not_busy)).await;
    let mut spent = 0.0;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text);
        spent += answer.json["usage"]["cost"].as_f64().unwrap();
    }
    let id = answers[0].json["id"].as_str().unwrap();
    let worst = usd(&cluster.lines(id, 1).await[0].reserved_usd);
    assert!(10.0 * worst > LIMIT, "{worst}");
    // One after the other: whoever is asked hears that the money is spent only once it is.
    let mut refused = 0;
    for client in clients.iter().cycle().take(2_000) {
        let answer = until_not_busy(client).await;
        match answer.status.as_u16() {
            200 => {
                assert!(refused == 0, "money turned up after it was said to be spent: {}", LIMIT - spent);
                spent += answer.json["usage"]["cost"].as_f64().unwrap();
            }
            402 => {
                assert!(LIMIT - spent < worst, "{} were idle elsewhere: {}", LIMIT - spent, answer.text);
                refused += 1;
            }
            _ => panic!("{}", answer.text),
        }
        if refused == clients.len() {
            break;
        }
    }
    assert_eq!(refused, clients.len(), "spent {spent}");
    assert!(spent <= LIMIT && spent > LIMIT - worst, "{spent}");
    cluster.stop().await.unwrap();
}

/// Calls until the answer is not that the money is lent elsewhere at the moment.
async fn until_not_busy(client: &Client) -> Answer {
    wait::until("an answer that is not `budget_busy`", async || {
        let answer = client.chat(body()).await;
        (answer.error_type() != "budget_busy").then_some(answer)
    })
    .await
}

/// The value of a metric of this process, summed over its labels; 0 where it was never counted.
async fn metric(cluster: &Cluster, name: &str) -> f64 {
    let url = format!("{}/metrics", cluster.planes[0].ops_url());
    let text = switchyard_tests::client::http().get(url).send().await.unwrap().text().await.unwrap();
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    values.sum()
}

/// Scripts that Redis has run.
async fn scripts(redis: &mut redis::aio::MultiplexedConnection) -> u64 {
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(redis).await.unwrap();
    let calls = stats
        .lines()
        .filter(|line| line.starts_with("cmdstat_eval"))
        .filter_map(|line| line.split("calls=").nth(1)?.split(',').next()?.parse::<u64>().ok());
    calls.sum()
}

#[tokio::test]
async fn a_busy_keys_requests_wait_for_nobody_but_the_upstream() {
    const BURST: u32 = 400;
    let server = Redis::start().await.unwrap();
    let shape = Shape::default().set("SWITCHYARD_REDIS_URL", server.url());
    let cluster = shape.start().await.unwrap().furnished().await.unwrap();
    let rates = v1::Rates {
        requests_per_minute: Some(600_000),
        tokens_per_minute: Some(600_000_000),
        concurrency: None,
    };
    let tenant = v1::Tenant {
        id: "acme".to_owned(),
        budgets: vec![budget("monthly", "900"), budget("24h", "800")],
        rates: Some(rates),
        ..Default::default()
    };
    cluster.tenant_with(tenant, "1000").await.unwrap();
    let key = v1::Key {
        name: "busy".to_owned(),
        limit: limit("500"),
        rates: Some(rates),
        trust_user: true,
        user_limit: limit("400"),
        ..Default::default()
    };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let client = Client::new(cluster.planes[0].url(), key.secret);
    let mut redis =
        redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let burst = async || {
        for _ in 0..BURST {
            assert_eq!(client.chat(of_user("ann")).await.status, 200);
        }
    };
    // Until what is lent holds minutes of it.
    wait::until_true("leases that were asked for ahead", async || {
        burst().await;
        metric(&cluster, "switchyard_lease_balance_usd").await > 0.5
    })
    .await;
    let began = std::time::Instant::now();
    let (waits, grants) = (
        metric(&cluster, "switchyard_lease_wait_seconds_count").await,
        metric(&cluster, "switchyard_lease_grants_total").await,
    );
    let before = scripts(&mut redis).await;
    burst().await;
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(
        metric(&cluster, "switchyard_lease_wait_seconds_count").await,
        waits,
        "nobody waited for money"
    );
    let grants = metric(&cluster, "switchyard_lease_grants_total").await - grants;
    assert!(grants <= 6.0 * (seconds + 1.0), "{grants} grants in {seconds} s are more than renewals");
    // Two buckets of the key and two of the tenant: slices of 200 ms, and corrections each 100 ms.
    let calls = scripts(&mut redis).await - before;
    let most = 4.0 * (seconds / 0.2 + 1.0) + 2.0 * (seconds / 0.1 + 1.0);
    eprintln!("{BURST} requests in {seconds:.2} s: {grants} grants, {calls} calls of Redis");
    assert!((calls as f64) <= most, "{calls} calls in {seconds} s: more than what runs behind the requests");
    cluster.stop().await.unwrap();
    server.stop().await.unwrap();
}
