//! Signing against token endpoints and metadata services on loopback, well and badly behaved.

mod clouds;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use switchyard_proto::id::TenantId;
use switchyard_proto::v1::resource::Body as Row;
use switchyard_proto::v1::{CredentialConfig, ProviderConfig};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::adapters::Target;
use crate::adapters::quirks::Quirks;
use crate::config::fixtures::{endpoint, full, model, provider, resource};
use crate::drift::Drift;
use crate::model::media;
use crate::model::parameter::Parameters;
use crate::settings;
use crate::upstream::attempt::{self, Answer, Outcome, Try};
use crate::upstream::guard::PrivateUpstreams;
use crate::upstream::http::{HttpClient, Reach};
use crate::upstream::waits::Waits;

const SERVICE_ACCOUNT: &str = include_str!("tests/service_account.json");

/// One request as a fake server saw it.
#[derive(Debug, Clone)]
struct Seen {
    /// `POST /token?x=1`
    line: String,
    headers: HeaderMap,
    body: String,
}

/// A server that notes what it is asked.
struct Fake {
    addr: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Fake {
    /// Answers by the number of the request, from 0, and by what it says.
    async fn start<A, F>(answer: A) -> Self
    where
        A: Fn(usize, Seen) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let (count, noted) = (Arc::new(AtomicUsize::new(0)), seen.clone());
        let router = Router::new().fallback(move |request: Request| {
            let (answer, noted, number) =
                (answer.clone(), noted.clone(), count.fetch_add(1, Ordering::SeqCst));
            async move {
                let (head, body) = request.into_parts();
                let body = to_bytes(body, 1 << 20).await.unwrap();
                let seen = Seen {
                    line: format!("{} {}", head.method, head.uri),
                    headers: head.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                };
                noted.lock().unwrap().push(seen.clone());
                answer(number, seen).await
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (tasks, until) = (TaskTracker::new(), stop.clone());
        tasks.spawn(async move {
            let serving = axum::serve(listener, router).into_future();
            tokio::select! { served = serving => served.unwrap(), () = until.cancelled() => {} }
        });
        Self { addr, seen, tasks, stop }
    }

    /// Tokens `t-1`, `t-2`, … that are good for an hour.
    async fn of_tokens() -> Self {
        Self::start(async |number, _| token(number + 1, json!(3600))).await
    }

    fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
    }
}

fn token(number: usize, expires_in: Value) -> Response {
    axum::Json(
        json!({"access_token": format!("t-{number}"), "expires_in": expires_in, "token_type": "Bearer"}),
    )
    .into_response()
}

fn answer(status: u16, body: impl Into<Body>) -> Response {
    Response::builder().status(status).body(body.into()).unwrap()
}

/// A signer on this test's runtime that waits a second for answers.
fn signer(environment: &[(&str, &str)]) -> Signer {
    let environment: BTreeMap<String, String> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let background = Background::new(Handle::current());
    let asker = Asker::with_patience(Cloud::of(&environment), Duration::from_secs(1)).unwrap();
    Signer { asker: Arc::new(asker), background, cells: Mutex::default() }
}

/// A service account whose tokens come from there.
fn account(token_uri: &str) -> String {
    let mut key: Value = serde_json::from_str(SERVICE_ACCOUNT).unwrap();
    key["token_uri"] = json!(token_uri);
    key.to_string()
}

fn row(auth: &str, secret: &str) -> ProviderConfig {
    let credential = CredentialConfig { id: "c".into(), secret: secret.into(), weight: 1, rates: None };
    ProviderConfig { auth: auth.into(), credentials: vec![credential], ..provider("p") }
}

fn compiled(row: ProviderConfig) -> Arc<Provider> {
    let compiled = full([resource(Row::Provider(row))]);
    assert_eq!(compiled.refused, []);
    compiled.snapshot.catalogue.providers["p"].clone()
}

async fn headers(signer: &Signer, provider: &Provider) -> Result<HeaderMap, SignError> {
    let mut headers = HeaderMap::new();
    let uri = format!("{}://{}/v1/x", provider.scheme, provider.authority).parse().unwrap();
    let body = Bytes::from_static(b"{}");
    let request = Unsigned { method: &Method::POST, uri: &uri, headers: &mut headers, body: &body };
    signer.sign(provider, provider.credentials.first(), request).await?;
    Ok(headers)
}

#[tokio::test]
async fn each_scheme_writes_its_header_and_shows_it_to_no_log() {
    let signer = signer(&[]);
    for (auth, header, value) in [
        ("", "authorization", "Bearer s3cret"),
        ("bearer", "authorization", "Bearer s3cret"),
        ("x-api-key", "x-api-key", "s3cret"),
        ("header:X-Custom", "x-custom", "s3cret"),
        ("google-api-key", "x-goog-api-key", "s3cret"),
        ("azure-key", "api-key", "s3cret"),
    ] {
        let signed = headers(&signer, &compiled(row(auth, "s3cret"))).await.unwrap();
        assert_eq!(signed[header], value, "{auth}");
        assert_eq!(signed.len(), 1, "{auth}");
        assert!(!format!("{signed:?}").contains("s3cret"));
    }
    assert!(headers(&signer, &compiled(row("none", "s3cret"))).await.unwrap().is_empty());
    let bad = headers(&signer, &compiled(row("bearer", "a\nb"))).await.unwrap_err();
    assert_eq!(bad.message, "the credential has characters that no header can carry");
}

#[tokio::test]
async fn without_a_credential_local_servers_get_none_and_clouds_are_not_asked() {
    let signer = signer(&[]);
    for auth in ["bearer", "x-api-key", "azure-key", "none"] {
        let bare = compiled(ProviderConfig { auth: auth.into(), ..provider("p") });
        assert!(headers(&signer, &bare).await.unwrap().is_empty(), "{auth}");
    }
    for auth in ["google-oauth", "sigv4", "entra"] {
        let bare = compiled(ProviderConfig { auth: auth.into(), ..provider("p") });
        assert_eq!(headers(&signer, &bare).await.unwrap_err().message, "the provider has no credential");
    }
}

#[tokio::test]
async fn what_a_tenant_wrote_is_trusted_less_even_at_the_operators_provider() {
    let signer = signer(&[]);
    let elsewhere = account("http://127.0.0.1:1/token");
    for (auth, secret) in [
        ("google-oauth", elsewhere.as_str()),
        ("google-oauth", "adc"),
        ("sigv4", "ambient"),
        ("entra", "ambient"),
    ] {
        let mut provider = Provider::clone(&compiled(row(auth, secret)));
        provider.credentials[0].tenant = Some(TenantId::new("acme"));
        let refused = headers(&signer, &provider).await.unwrap_err();
        assert_eq!(refused.class, FailureClass::Auth, "{auth}: {refused}");
    }
}

#[test]
fn the_machines_own_credentials_are_the_operators_alone() {
    for (auth, word) in [("google-oauth", "adc"), ("sigv4", "ambient"), ("entra", "ambient")] {
        let theirs = ProviderConfig { tenant: "acme".into(), ..row(auth, word) };
        let refused = full([resource(Row::Provider(theirs))]).refused;
        assert_eq!(refused.len(), 1, "{auth}");
        assert_eq!(refused[0].field, "credentials.c");
        assert!(full([resource(Row::Provider(row(auth, word)))]).refused.is_empty(), "{auth}");
        let scheme = auth.parse().unwrap();
        assert!(Source::of(&scheme, &Secret::new(word), Trust::Tenant).is_err(), "the signer refuses, too");
    }
    let unknown = full([resource(Row::Provider(row("baerer", "s")))]).refused;
    assert_eq!(unknown[0].field, "auth");
}

#[tokio::test]
async fn a_token_is_fetched_once_for_everybody() {
    let fake = Fake::of_tokens().await;
    let (signer, provider) =
        (signer(&[]), compiled(row("google-oauth", &account(&format!("{}/token", fake.url())))));
    let signed = futures_util::future::join_all((0..20).map(|_| headers(&signer, &provider))).await;
    for signed in signed {
        assert_eq!(signed.unwrap()["authorization"], "Bearer t-1");
    }
    let seen = fake.seen();
    assert_eq!(fake.lines(), ["POST /token"]);
    assert_eq!(seen[0].headers["content-type"], "application/x-www-form-urlencoded");
    assert!(
        seen[0]
            .body
            .starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey"),
        "{}",
        seen[0].body
    );
    let another = compiled(row("google-oauth", &account(&format!("{}/other", fake.url()))));
    assert_eq!(headers(&signer, &another).await.unwrap()["authorization"], "Bearer t-2", "a new credential");
    assert!(!format!("{signer:?}").contains("t-1"));
}

/// The one cell of a signer that has signed once.
fn only_cell(signer: &Signer) -> Arc<Cell> {
    signer.cells.lock().unwrap().values().next().unwrap().clone()
}

fn shown(grant: &Grant) -> &str {
    match grant {
        Grant::Token { token, .. } => token.expose(),
        Grant::Aws(keys) => &keys.access_key_id,
    }
}

#[tokio::test]
async fn a_token_is_renewed_early_and_the_old_one_serves_until_then() {
    let fake = Fake::of_tokens().await;
    let (signer, provider) = (signer(&[]), compiled(row("google-oauth", &account(&fake.url()))));
    headers(&signer, &provider).await.unwrap();
    let (cell, now) = (only_cell(&signer), Instant::now());
    let at = async |seconds| {
        let now = now + Duration::from_secs(seconds);
        cell.get(now, &signer.asker, &signer.background).await
    };
    assert_eq!(shown(&at(3200).await.unwrap()), "t-1");
    let held = at(3400).await.unwrap();
    assert_eq!(shown(&held), "t-1", "whoever comes in time does not wait");
    assert_eq!(shown(&at(3401).await.unwrap()), "t-1", "nor does it start a second renewal");
    let landed = cell.renew(&held, now, &signer.asker, &signer.background).unwrap().await.unwrap();
    assert_eq!(shown(&landed), "t-2");
    assert_eq!(shown(&at(3402).await.unwrap()), "t-2");
    assert_eq!(fake.seen().len(), 2);
    assert_eq!(shown(&at(9_000).await.unwrap()), "t-3", "one that has ended is waited for");
}

#[tokio::test]
async fn token_endpoints_that_misbehave_are_never_the_callers_fault() {
    type Made = fn() -> Response;
    let cases: &[(&str, Made, FailureClass, &str)] = &[
        ("500", || answer(500, "canary"), FailureClass::Auth, "answered 500"),
        (
            "400",
            || answer(400, r#"{"error":"invalid_grant","error_description":"canary"}"#),
            FailureClass::Auth,
            "answered 400 (invalid_grant)",
        ),
        ("no word", || answer(401, r#"{"error":"Canary secret"}"#), FailureClass::Auth, "answered 401"),
        (
            "redirect",
            || Response::builder().status(302).header("location", "/x").body(Body::empty()).unwrap(),
            FailureClass::Auth,
            "answered 302",
        ),
        (
            "html",
            || answer(200, "<html>canary"),
            FailureClass::Auth,
            "sent something else than what was asked for",
        ),
        (
            "no token",
            || answer(200, r#"{"expires_in":3600}"#),
            FailureClass::Auth,
            "sent something else than what was asked for",
        ),
        ("expired", || token(1, json!(0)), FailureClass::Auth, "sent a token that has expired"),
        ("odd time", || token(1, json!("soon")), FailureClass::Auth, "sent a token that has expired"),
        ("huge", || answer(200, vec![b'x'; 300 << 10]), FailureClass::Auth, "sent more than 262144 bytes"),
    ];
    for (name, made, class, message) in cases {
        let fake = Fake::start(move |_, _| std::future::ready(made())).await;
        let (signer, provider) = (signer(&[]), compiled(row("google-oauth", &account(&fake.url()))));
        let error = headers(&signer, &provider).await.unwrap_err();
        assert_eq!(
            (error.class, error.message),
            (*class, format!("Google's token endpoint {message}")),
            "{name}"
        );
        let again = headers(&signer, &provider).await.unwrap_err();
        assert_eq!(again.class, *class);
        assert_eq!(fake.seen().len(), 1, "{name}: the endpoint is left alone for a while");
    }
}

#[tokio::test]
async fn a_token_endpoint_that_hangs_or_is_gone_is_a_timeout_or_a_failure() {
    let fake = Fake::start(|_, _| std::future::pending::<Response>()).await;
    let hangs = compiled(row("google-oauth", &account(&fake.url())));
    let error = headers(&signer(&[]), &hangs).await.unwrap_err();
    assert_eq!(error, SignError::timeout("Google's token endpoint did not answer in time"));
    let gone = compiled(row("google-oauth", &account("http://127.0.0.1:1/token")));
    let error = headers(&signer(&[]), &gone).await.unwrap_err();
    assert_eq!(error, SignError::auth("Google's token endpoint could not be connected to"));
}

#[tokio::test]
async fn after_a_failure_and_a_pause_the_endpoint_is_asked_again() {
    let fake = Fake::start(async |number, _| match number {
        0 => answer(503, ""),
        _ => token(number, json!("3600")),
    })
    .await;
    let (signer, provider) = (signer(&[]), compiled(row("google-oauth", &account(&fake.url()))));
    headers(&signer, &provider).await.unwrap_err();
    let (cell, later) = (only_cell(&signer), Instant::now() + Duration::from_secs(2));
    let grant = cell.get(later, &signer.asker, &signer.background).await.unwrap();
    assert_eq!(shown(&grant), "t-1");
}

const ANSWER: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,
    "message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

/// Tries a provider that accepts one token alone; what it was shown comes back.
async fn tried(signer: &Signer, tokens: &str, accepted: &'static str) -> (bool, Vec<String>) {
    let upstream = Fake::start(move |_, seen: Seen| {
        let is_fine = seen.headers["authorization"] == accepted;
        let status = if is_fine { 200 } else { 401 };
        let body = if is_fine { ANSWER } else { r#"{"error":{"message":"no"}}"# };
        let answer = Response::builder().status(status).header("content-type", "application/json");
        std::future::ready(answer.body(body.into()).unwrap())
    })
    .await;
    let config = ProviderConfig { base_url: upstream.url(), ..row("google-oauth", &account(tokens)) };
    let rows = [Row::Provider(config), Row::Model(model("a/m")), Row::Endpoint(endpoint("a/m", "p", "1"))];
    let snapshot = full(rows.map(resource)).snapshot;
    let endpoint = snapshot.model("a/m").unwrap().endpoints[0].clone();
    let body = Bytes::from_static(br#"{"model":"a/m","messages":[{"role":"user","content":"hi"}]}"#);
    let request = crate::api::openai_chat::decode(body).unwrap();
    let target = Target {
        model: "m",
        output_cap: None,
        stream: false,
        quirks: &Quirks::default(),
        fetched: &media::NOTHING,
        supported: Parameters::default(),
        tier: None,
    };
    let minute = Duration::from_secs(60);
    let waits = Waits {
        connect: minute,
        head: minute,
        first_content: minute,
        idle: minute,
        min_rate: 0.0,
        min_rate_over: minute,
        until: Instant::now() + minute,
    };
    let none = settings::Drift { first: 0, sample: 0.0, max_bytes: 0 };
    let drift = Drift::start(&none, &signer.background);
    let attempt = Try {
        endpoint: &endpoint,
        drift: &drift,
        calls: vec![endpoint.provider.adapter.encode(&request, &target).unwrap()],
        credential: endpoint.provider.credentials.first(),
        stream: false,
        waits,
        reach: &Reach::default(),
    };
    let private = PrivateUpstreams { operators: true, tenants: true };
    let outcome = attempt::attempt(&HttpClient::new(minute, private), signer, attempt).await;
    let is_answered = matches!(&outcome, Outcome::Committed(answer) if matches!(**answer, Answer::Whole(..)));
    let text = |seen: Seen| seen.headers["authorization"].to_str().unwrap().to_owned();
    (is_answered, upstream.seen().into_iter().map(text).collect())
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_within_the_attempt() {
    let (tokens, signer) = (Fake::of_tokens().await, signer(&[]));
    let (is_answered, shown) = tried(&signer, &tokens.url(), "Bearer t-2").await;
    assert_eq!((is_answered, shown), (true, vec!["Bearer t-1".to_owned(), "Bearer t-2".to_owned()]));
    let (is_answered, shown) = tried(&signer, &tokens.url(), "Bearer t-9").await;
    assert_eq!((is_answered, shown), (false, vec!["Bearer t-2".to_owned()]), "not again so soon");
    assert_eq!(tokens.seen().len(), 2);
}
