//! Webhooks: events about money are sent signed, until they arrive, and to nowhere near this machine.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, response::IntoResponse, routing::any};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use serde_json::Value;
use switchyard_control_plane::{jobs, settings::Webhooks, webhooks::send::Sender};
use switchyard_proto::{clock, id::GenerationId, v1, window::Window};
use switchyard_tests::{admin::AdminPort, wait::until_true};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tonic::Code;

/// What a receiver was sent.
#[derive(Debug, Clone)]
struct Sent {
    headers: HeaderMap,
    body: String,
}

impl Sent {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Checks the signature as a receiver does.
    fn assert_signed(&self, secret: &str) {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let signed =
            format!("{}.{}.{}", self.header("webhook-id"), self.header("webhook-timestamp"), self.body);
        let signature = self.header("webhook-signature").strip_prefix("v1,").unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
        ring::hmac::verify(&key, signed.as_bytes(), &STANDARD.decode(signature).unwrap()).unwrap();
    }
}

#[derive(Clone)]
struct Inbox {
    sent: Arc<Mutex<Vec<Sent>>>,
    /// Answers to come; then 200.
    answers: Arc<Mutex<Vec<StatusCode>>>,
    /// What comes to `/slow` is answered when there is a permit for it.
    gate: Arc<Semaphore>,
}

/// A customer's endpoint.
struct Receiver {
    addr: SocketAddr,
    inbox: Inbox,
    _server: JoinSet<()>,
}

impl Receiver {
    async fn start(answers: &[StatusCode]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let answers = Arc::new(Mutex::new(answers.to_vec()));
        let inbox = Inbox { sent: Arc::default(), answers, gate: Arc::new(Semaphore::new(0)) };
        let router = Router::new().route("/{*path}", any(take)).with_state(inbox.clone());
        let mut server = JoinSet::new();
        server.spawn(async move {
            axum::serve(listener, router).await.ok();
        });
        Self { addr, inbox, _server: server }
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    fn sent(&self) -> Vec<Sent> {
        self.inbox.sent.lock().unwrap().clone()
    }
}

async fn take(
    State(inbox): State<Inbox>,
    uri: http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let body = String::from_utf8(body.to_vec()).unwrap();
    inbox.sent.lock().unwrap().push(Sent { headers, body });
    if uri.path() == "/slow" {
        inbox.gate.acquire().await.unwrap().forget();
    }
    let mut answers = inbox.answers.lock().unwrap();
    let status = if answers.is_empty() { StatusCode::OK } else { answers.remove(0) };
    (status, [("location", "/elsewhere")], "canary-answer")
}

fn sender(port: &AdminPort, allow_private: bool) -> Sender {
    switchyard_tests::client::install_crypto();
    // Longer than any test waits for anything.
    let settings = Webhooks { allow_private, allow_private_tenants: false, timeout: Duration::from_secs(60) };
    Sender::new(port.crypto.clone(), settings)
}

async fn webhook(port: &AdminPort, tenant: &str, webhook: v1::Webhook) -> v1::CreateWebhookResponse {
    let request = v1::CreateWebhookRequest { tenant: tenant.to_owned(), webhook: Some(webhook) };
    port.call("WebhookService/CreateWebhook", &request).await.unwrap()
}

/// Sets what an account has used, and writes a line that moves it, as booking does.
async fn spend(port: &AdminPort, (kind, owner): (i16, &str), (limit, charged): (i64, i64)) {
    spend_in(port, (kind, owner, "all"), (limit, charged)).await;
}

async fn spend_in(port: &AdminPort, account: (i16, &str, &str), (limit, charged): (i64, i64)) {
    let (kind, owner, period) = account;
    sqlx::query(
        "INSERT INTO accounts (kind, owner, period, tenant, limit_nano, charged) VALUES ($1, $2, $3, 'acme', $4, $5)
         ON CONFLICT (kind, owner, period) DO UPDATE SET limit_nano = $4, charged = $5",
    )
    .bind(kind)
    .bind(owner)
    .bind(period)
    .bind(limit)
    .bind(charged)
    .execute(&port.pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO lines (id, attempt, kind, tenant, charges) VALUES ($1, 1, 'attempt', 'acme',
             jsonb_build_array(jsonb_build_object('kind', $2::int, 'owner', $3::text, 'period', $4::text, 'charged', 1)))",
    )
    .bind(GenerationId::generate().as_uuid())
    .bind(i32::from(kind))
    .bind(owner)
    .bind(period)
    .execute(&port.pool)
    .await
    .unwrap();
}

/// Looks at accounts until the follower has seen everything.
async fn look(port: &AdminPort) {
    look_at(port, clock::now()).await;
}

async fn look_at(port: &AdminPort, now: DateTime<Utc>) {
    until_true("all lines are looked at", async || {
        jobs::alerts::run_once(&port.pool, now).await.unwrap();
        let rest = "SELECT count(*) FROM lines, followers WHERE xid >= seen AND name = 'alerts'";
        sqlx::query_scalar::<_, i64>(rest).fetch_one(&port.pool).await.unwrap() == 0
    })
    .await;
}

async fn deliver(port: &AdminPort, sender: &Sender, now: DateTime<Utc>) {
    jobs::deliver::run_once(&port.pool, sender, now).await.unwrap();
}

async fn deliveries(port: &AdminPort, tenant: &str, id: &str) -> Vec<v1::Delivery> {
    let request =
        v1::ListDeliveriesRequest { tenant: tenant.to_owned(), id: id.to_owned(), ..Default::default() };
    let listed: v1::ListDeliveriesResponse =
        port.call("WebhookService/ListDeliveries", &request).await.unwrap();
    listed.deliveries
}

#[tokio::test]
async fn thresholds_are_told_once_each_signed_and_again_after_a_top_up() {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    let (receiver, sender) = (Receiver::start(&[]).await, sender(&port, true));
    let made = webhook(
        &port,
        "",
        v1::Webhook {
            id: "ops".into(),
            url: receiver.url(),
            low_balance_usd: "0.00000001".into(),
            ..Default::default()
        },
    )
    .await;
    let mut told = Vec::new();
    for (limit, charged) in [(100, 79), (100, 80), (100, 85), (100, 100), (1000, 100), (1000, 999)] {
        spend(&port, (1, "acme"), (limit, charged)).await;
        look(&port).await;
        deliver(&port, &sender, clock::now()).await;
        let sent = receiver.sent();
        let events = sent[told.len()..].iter().map(|sent| {
            sent.assert_signed(&made.secret);
            let json = sent.json();
            format!("{charged}: {} {}", json["type"].as_str().unwrap(), json["data"]["threshold_percent"])
        });
        let mut events: Vec<String> = events.collect();
        events.sort();
        told.extend(events);
    }
    assert_eq!(
        told,
        [
            "80: budget.threshold 80",
            "100: budget.threshold 100",
            "100: credits.low null",
            "999: budget.threshold 80",
            "999: credits.low null",
        ]
    );
    let sent = receiver.sent();
    let first = &sent[0].json()["data"];
    assert_eq!((&first["tenant"], &first["account"]["kind"]), (&"acme".into(), &"tenant_credits".into()));
    let listed = deliveries(&port, "", "ops").await;
    assert!(listed.iter().all(|one| (one.state.as_str(), one.tries, one.status) == ("delivered", 1, 200)));
    assert_eq!(sent[4].header("webhook-id"), listed[0].id);
}

#[tokio::test]
async fn a_rolling_budget_is_told_of_by_what_lies_in_its_window() {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    webhook(
        &port,
        "",
        v1::Webhook {
            id: "ops".into(),
            url: "https://hooks.example.com/".into(),
            thresholds: vec![80],
            ..Default::default()
        },
    )
    .await;
    let now = clock::now();
    let window = Window::parse("24h").unwrap();
    let mut told = 0;
    for (what, (looked_in, spent_in), charged, events) in [
        ("some", (0, -3), 50, 0),
        ("too little", (0, 0), 20, 0),
        ("enough in all slots together", (0, 0), 30, 1),
        ("more", (0, 0), 40, 0),
        ("a late line", (0, -3), 51, 0),
        ("more in the next slot", (1, 1), 1, 0),
        ("little, once all that has slid out", (50, 50), 1, 0),
        ("enough again", (50, 50), 85, 1),
    ] {
        let at = |hours| now + TimeDelta::hours(hours);
        spend_in(&port, (2, "acme", &window.period(at(spent_in))), (100, charged)).await;
        look_at(&port, at(looked_in)).await;
        told += events;
        let listed = deliveries(&port, "", "ops").await;
        assert_eq!(listed.len(), told, "{what}: {listed:#?}");
        if events == 1 {
            let data = serde_json::from_str::<Value>(&listed[0].body).unwrap()["data"].clone();
            assert_eq!(
                (&data["account"]["period"], &data["limit_usd"]),
                (&"24h".into(), &"0.0000001".into())
            );
        }
    }
}

#[tokio::test]
async fn a_webhook_hears_of_its_own_tenant_and_of_what_it_asked_for() {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    port.tenant("rival").await.unwrap();
    let url = "https://hooks.example.com/".to_owned();
    let made = |id: &str| v1::Webhook { id: id.to_owned(), url: url.clone(), ..Default::default() };
    webhook(&port, "acme", v1::Webhook { thresholds: vec![50], ..made("own") }).await;
    webhook(&port, "rival", made("others")).await;
    webhook(&port, "acme", v1::Webhook { events: vec!["credits.low".into()], ..made("deaf") }).await;
    webhook(&port, "acme", v1::Webhook { disabled: true, ..made("off") }).await;
    spend(&port, (3, "key_1"), (100, 60)).await;
    look(&port).await;
    for (tenant, id, count) in
        [("acme", "own", 1), ("rival", "others", 0), ("acme", "deaf", 0), ("acme", "off", 0)]
    {
        assert_eq!(deliveries(&port, tenant, id).await.len(), count, "{id}");
    }
}

#[tokio::test]
async fn an_event_is_sent_until_it_arrives_under_one_id_whoever_sends_it() {
    let port = AdminPort::start().await.unwrap();
    let answers = [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::FOUND, StatusCode::NO_CONTENT];
    let (receiver, sender) = (Receiver::start(&answers).await, sender(&port, true));
    webhook(&port, "", v1::Webhook { id: "ops".into(), url: receiver.url(), ..Default::default() }).await;
    let request = v1::TestWebhookRequest { id: "ops".to_owned(), ..Default::default() };
    let asked: v1::Delivery = port.call("WebhookService/TestWebhook", &request).await.unwrap();
    let mut now = clock::now();
    for (state, status, error) in [
        ("pending", 500, "answered with status 500"),
        ("pending", 302, "answered with status 302"),
        ("delivered", 204, ""),
    ] {
        // Two processes at once: one of them has it.
        tokio::join!(deliver(&port, &sender, now), deliver(&port, &sender, now));
        let one = deliveries(&port, "", "ops").await.remove(0);
        assert_eq!((one.state.as_str(), one.status, one.error.as_str()), (state, status, error));
        deliver(&port, &sender, now).await;
        now += TimeDelta::hours(1);
    }
    deliver(&port, &sender, now).await;
    let sent = receiver.sent();
    assert_eq!(sent.len(), 3, "one try each, no redirect followed");
    let is_the_same = |one: &Sent| one.header("webhook-id") == asked.id && one.body == sent[0].body;
    assert!(sent.iter().all(is_the_same));
    assert_eq!(sent[0].json()["type"], "webhook.test");
}

#[tokio::test]
async fn a_slow_receiver_keeps_nobody_else_from_events_or_from_their_outcome() {
    let port = AdminPort::start().await.unwrap();
    let (receiver, sender) = (Receiver::start(&[]).await, sender(&port, true));
    let slow = receiver.url().replace("/hook", "/slow");
    for (id, url) in [("slow", slow), ("fast", receiver.url())] {
        webhook(&port, "", v1::Webhook { id: id.to_owned(), url, ..Default::default() }).await;
    }
    let ask = async |id: &str| {
        let request = v1::TestWebhookRequest { id: id.to_owned(), ..Default::default() };
        port.call::<_, v1::Delivery>("WebhookService/TestWebhook", &request).await.unwrap();
    };
    let states = async |id: &str| {
        let listed = deliveries(&port, "", id).await;
        listed.into_iter().map(|one| one.state).collect::<Vec<_>>()
    };
    // More than are ever under way at once, and before the other's in line.
    for _ in 0..20 {
        ask("slow").await;
    }
    ask("fast").await;
    let began = clock::now();
    let meanwhile = async {
        until_true("the outcome of the other", async || states("fast").await == ["delivered"]).await;
        ask("fast").await;
        until_true("an event that came up meanwhile", async || states("fast").await == ["delivered"; 2])
            .await;
        assert_eq!(states("slow").await, ["pending"; 20], "these are being answered still");
        let at_once = receiver.sent().len() - 2;
        assert!((1..16).contains(&at_once), "{at_once} of one webhook at once leave no room for others");
        receiver.inbox.gate.add_permits(20);
    };
    tokio::join!(deliver(&port, &sender, began), meanwhile);
    assert_eq!(states("slow").await, ["delivered"; 20]);
    for one in deliveries(&port, "", "slow").await {
        let ended = clock::from_timestamp(&one.ended_at.unwrap()).unwrap();
        assert!(ended > began, "ended when the answer came, not when the run began");
    }
}

#[tokio::test]
async fn what_a_crashed_process_took_is_sent_by_another_later() {
    let port = AdminPort::start().await.unwrap();
    let (receiver, sender) = (Receiver::start(&[]).await, sender(&port, true));
    webhook(&port, "", v1::Webhook { id: "ops".into(), url: receiver.url(), ..Default::default() }).await;
    let request = v1::TestWebhookRequest { id: "ops".to_owned(), ..Default::default() };
    port.call::<_, v1::Delivery>("WebhookService/TestWebhook", &request).await.unwrap();
    let now = clock::now();
    let mut db = port.pool.acquire().await.unwrap();
    let taken =
        switchyard_control_plane::store::delivery::take_due(&mut db, 16, &[], (Duration::from_secs(60), now))
            .await;
    assert_eq!(taken.unwrap().len(), 1);
    deliver(&port, &sender, now + TimeDelta::seconds(59)).await;
    assert_eq!(receiver.sent().len(), 0, "somebody else may be sending it");
    deliver(&port, &sender, now + TimeDelta::seconds(61)).await;
    assert_eq!(receiver.sent().len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_near_this_machine_or_in_the_clear_unless_it_is_allowed() {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    let receiver = Receiver::start(&[]).await;
    let https = receiver.url().replace("http://", "https://");
    let by_name = format!("https://localhost:{}/hook", receiver.addr.port());
    let (open, closed) = (sender(&port, true), sender(&port, false));
    let plain = "the URL is not https, which only private addresses may be where they are allowed";
    let private = "the URL leads to an address that is not of the public internet";
    for (index, (tenant, url, sender, error)) in [
        ("", receiver.url(), &closed, plain),
        ("", https.clone(), &closed, private),
        ("", by_name, &closed, private),
        // What the operator's may, tenants' may not.
        ("acme", receiver.url(), &open, plain),
        ("acme", https, &open, private),
        ("acme", "https://169.254.169.254/latest/meta-data".to_owned(), &open, private),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("w{index}");
        webhook(&port, tenant, v1::Webhook { id: id.clone(), url, ..Default::default() }).await;
        let request = v1::TestWebhookRequest { tenant: tenant.to_owned(), id: id.clone() };
        port.call::<_, v1::Delivery>("WebhookService/TestWebhook", &request).await.unwrap();
        deliver(&port, sender, clock::now()).await;
        let one = deliveries(&port, tenant, &id).await.remove(0);
        assert_eq!((one.state.as_str(), one.error.as_str()), ("pending", error), "{id}");
    }
    assert_eq!(receiver.sent().len(), 0);
}

#[tokio::test]
async fn a_webhook_is_made_changed_and_deleted_and_its_secret_never_comes_back() {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    let made = port.webhook("acme", "w").await.unwrap();
    assert!(made.secret.starts_with("whsec_"));
    let webhook = made.webhook.unwrap();
    assert_eq!((webhook.secret.as_str(), webhook.thresholds.as_slice()), ("", [80, 100].as_slice()));
    let update = |webhook: v1::Webhook, path: &str, revision| v1::UpdateWebhookRequest {
        tenant: "acme".to_owned(),
        id: "w".to_owned(),
        webhook: Some(webhook),
        update_mask: Some(prost_types::FieldMask { paths: vec![path.to_owned()] }),
        revision,
    };
    let change = v1::Webhook { thresholds: vec![100, 50], ..Default::default() };
    let changed: v1::Webhook = port
        .call("WebhookService/UpdateWebhook", &update(change, "thresholds", webhook.revision))
        .await
        .unwrap();
    assert_eq!((changed.thresholds, changed.url), (vec![50, 100], webhook.url));
    for (change, path, revision, code) in [
        (v1::Webhook::default(), "thresholds", webhook.revision, Code::Aborted),
        (v1::Webhook::default(), "url", 0, Code::InvalidArgument),
        (
            v1::Webhook { secret: "whsec_short".into(), ..Default::default() },
            "secret",
            0,
            Code::InvalidArgument,
        ),
        (v1::Webhook::default(), "secret", 0, Code::InvalidArgument),
        (
            v1::Webhook { events: vec!["all".into()], ..Default::default() },
            "events",
            0,
            Code::InvalidArgument,
        ),
    ] {
        let request = update(change, path, revision);
        let refused =
            port.call::<_, v1::Webhook>("WebhookService/UpdateWebhook", &request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{path}: {refused:?}");
        assert!(!refused.message().contains("short"), "{refused:?}");
    }
    let request = v1::DeleteWebhookRequest { tenant: "acme".to_owned(), id: "w".to_owned(), revision: 0 };
    port.call::<_, v1::DeleteWebhookResponse>("WebhookService/DeleteWebhook", &request).await.unwrap();
    let request = v1::GetWebhookRequest { tenant: "acme".to_owned(), id: "w".to_owned() };
    let gone = port.call::<_, v1::Webhook>("WebhookService/GetWebhook", &request).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let again = port.webhook("acme", "w").await.unwrap();
    assert_ne!(again.secret, made.secret);
}
