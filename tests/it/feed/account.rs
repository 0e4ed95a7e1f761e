//! A tenant's own API, as data planes pass it on.

use serde_json::{Value, json};
use switchyard_proto::{id::GenerationId, key::KeyHash};

use super::*;

async fn forward(plane: &Plane, secret: &str, path: &str, query: &str) -> (u32, Value) {
    let request = v1::ForwardRequest {
        method: "GET".into(),
        path: path.into(),
        query: query.into(),
        key_sha256: KeyHash::of(secret).0.to_vec(),
        body: Vec::new(),
    };
    let answer = plane.account().await.forward(request).await.unwrap().into_inner();
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

#[tokio::test]
async fn a_key_sees_its_limit_and_what_it_spent() {
    switchyard_tests::wait::clear_of_midnight().await;
    let plane = Plane::start().await;
    plane.tenant("acme", "10.00").await;
    let made = plane.key("one", "5.00", v1::Reset::Daily).await;
    let key = made.key.unwrap();
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    let id = GenerationId::generate();
    let today = id.admitted_at().format("%Y-%m-%d").to_string();
    let charge = |account| v1::Charge {
        account: Some(account),
        charged_nano: 1_500_000_000,
        reserved_nano: 1_500_000_000,
        leased: false,
    };
    let attempt = v1::AttemptRecord {
        generation: id.to_bytes(),
        attempt: 1,
        instance: "dp".into(),
        epoch: 1,
        tenant: "acme".into(),
        key: key.id.clone(),
        charges: vec![
            charge(account(v1::AccountKind::TenantCredits, "acme", "all")),
            charge(account(v1::AccountKind::KeyLimit, &key.id, &today)),
        ],
        charge_nano: 1_500_000_000,
        provenance: v1::Provenance::Estimated.into(),
        ..Default::default()
    };
    let generation = v1::GenerationRecord {
        id: id.to_bytes(),
        instance: "dp".into(),
        tenant: "acme".into(),
        key: key.id.clone(),
        model: "openai/gpt".into(),
        surface: "chat_completions".into(),
        charge_nano: 1_500_000_000,
        ..Default::default()
    };
    let kinds = [v1::usage_record::Kind::Attempt(attempt), v1::usage_record::Kind::Generation(generation)];
    let request = v1::ReportRequest {
        instance: data_plane.instance.clone(),
        epoch: data_plane.epoch,
        records: kinds.map(|kind| v1::UsageRecord { kind: Some(kind) }.encode_to_vec().into()).to_vec(),
        traceparents: vec!["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(), String::new()],
    };
    plane.usage().await.report(request).await.unwrap();

    let (status, body) = forward(&plane, &made.secret, "/key", "").await;
    let data = &body["data"];
    assert_eq!(status, 200);
    assert_eq!(data["label"], key.label);
    assert_eq!(
        [&data["limit"], &data["limit_remaining"], &data["usage"], &data["usage_daily"]],
        [5.0, 3.5, 1.5, 1.5]
    );
    assert_eq!(data["limit_reset"], "daily");
    let (_, body) = forward(&plane, &made.secret, "/credits", "").await;
    assert_eq!(body, json!({"data": {"total_credits": 10.0, "total_usage": 1.5}}));
    let (status, body) = forward(&plane, &made.secret, "/generation", &format!("id={id}")).await;
    assert_eq!((status, &body["data"]["model"]), (200, &json!("openai/gpt")));
    assert_eq!(body["data"]["total_cost"], 1.5);
    assert_eq!(body["data"]["provider_responses"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_own_credentials_were_billed_is_shown_apart() {
    switchyard_tests::wait::clear_of_midnight().await;
    let plane = Plane::start().await;
    plane.tenant("acme", "10.00").await;
    let made = plane.key("one", "5.00", v1::Reset::Never).await;
    let key = made.key.unwrap().id;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    let now = switchyard_proto::clock::now();
    let long_ago = now - chrono::TimeDelta::days(60);
    let attempt = |at: chrono::DateTime<chrono::Utc>, charged_nano| {
        let charge = |account, charged_nano| v1::Charge {
            account: Some(account),
            charged_nano,
            reserved_nano: charged_nano,
            leased: false,
        };
        let day = at.format("%Y-%m-%d").to_string();
        let attempt = v1::AttemptRecord {
            generation: GenerationId::generate().to_bytes(),
            attempt: 1,
            instance: "dp".into(),
            epoch: 1,
            tenant: "acme".into(),
            key: key.clone(),
            charges: vec![
                charge(account(v1::AccountKind::TenantCredits, "acme", "all"), 0),
                charge(account(v1::AccountKind::ByokUsage, &key, &day), charged_nano),
            ],
            cost_nano: charged_nano,
            provenance: v1::Provenance::Estimated.into(),
            ..Default::default()
        };
        let kind = Some(v1::usage_record::Kind::Attempt(attempt));
        v1::UsageRecord { kind }.encode_to_vec().into()
    };
    let request = v1::ReportRequest {
        instance: data_plane.instance.clone(),
        epoch: data_plane.epoch,
        records: vec![attempt(now, 500_000_000), attempt(now, 250_000_000), attempt(long_ago, 1_000_000_000)],
        ..Default::default()
    };
    plane.usage().await.report(request).await.unwrap();
    let (_, body) = forward(&plane, &made.secret, "/key", "").await;
    let data = &body["data"];
    let byok = ["byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly"];
    assert_eq!(byok.map(|name| data[name].as_f64().unwrap()), [1.75, 0.75, 0.75, 0.75]);
    assert_eq!([&data["usage"], &data["limit_remaining"]], [0.0, 5.0], "neither usage nor limit counts it");
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn others_see_nothing() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    let secret = plane.key("one", "", v1::Reset::Never).await.secret;
    let unknown = GenerationId::generate();
    for (secret, path, query, status, error_type) in [
        ("sk-sy-v1-nobody", "/key", "", 401, "authentication"),
        (&*secret, "/generation", &*format!("id={unknown}"), 404, "not_found"),
        (&*secret, "/generation", "", 400, "invalid_request"),
        (&*secret, "/keys", "", 403, "permission_denied"),
        (&*secret, "/activity", "", 403, "permission_denied"),
        (&*secret, "/workspaces", "", 501, "not_supported"),
    ] {
        let (found, body) = forward(&plane, secret, path, query).await;
        assert_eq!((found, &body["error"]["metadata"]["error_type"]), (status, &json!(error_type)), "{path}");
        assert_eq!(body["error"]["code"], status);
    }
}

/// A record's id, of some days ago.
fn id_of_days_ago(days: i64) -> Vec<u8> {
    let at = switchyard_proto::clock::now() - chrono::TimeDelta::days(days);
    let mut id = GenerationId::generate().to_bytes();
    id[..6].copy_from_slice(&at.timestamp_millis().to_be_bytes()[2..]);
    id
}

/// A finished request with one attempt.
fn request(days_ago: i64, key: &str, charge_nano: u64) -> Vec<Vec<u8>> {
    let id = id_of_days_ago(days_ago);
    let charge = |account| v1::Charge {
        account: Some(account),
        charged_nano: charge_nano,
        reserved_nano: charge_nano,
        leased: false,
    };
    let attempt = v1::AttemptRecord {
        generation: id.clone(),
        attempt: 1,
        instance: "dp".into(),
        epoch: 1,
        tenant: "acme".into(),
        key: key.into(),
        model: "a/m".into(),
        provider: "p".into(),
        charges: vec![charge(account(v1::AccountKind::TenantCredits, "acme", "all"))],
        charge_nano,
        cost_nano: charge_nano,
        tokens: Some(v1::TokenUsage { prompt: 7, completion: 3, reasoning: 1, ..Default::default() }),
        provenance: v1::Provenance::ProviderFinal.into(),
        ..Default::default()
    };
    let generation = v1::GenerationRecord {
        id,
        instance: "dp".into(),
        tenant: "acme".into(),
        key: key.into(),
        model: "a/m".into(),
        provider: "p".into(),
        status: 200,
        charge_nano,
        ..Default::default()
    };
    let kinds = [v1::usage_record::Kind::Attempt(attempt), v1::usage_record::Kind::Generation(generation)];
    kinds.map(|kind| v1::UsageRecord { kind: Some(kind) }.encode_to_vec()).to_vec()
}

#[tokio::test]
async fn activity_is_of_the_days_that_are_over() {
    switchyard_tests::wait::clear_of_midnight().await;
    let plane = Plane::start().await;
    plane.tenant("acme", "10.00").await;
    let (one, two) =
        (plane.key("one", "", v1::Reset::Never).await, plane.key("two", "", v1::Reset::Never).await);
    let token = v1::Token {
        name: "management".into(),
        role: v1::Role::TenantAdmin.into(),
        tenant: "acme".into(),
        ..Default::default()
    };
    let mut tokens = v1::token_service_client::TokenServiceClient::new(plane.admin().await);
    let made = v1::CreateTokenRequest { token: Some(token) };
    let management = tokens.create_token(plane.as_operator(made)).await.unwrap().into_inner().secret;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    let (first, second) = (one.key.unwrap(), two.key.unwrap());
    let records = [
        request(0, &first.id, 1_000_000_000),
        request(1, &first.id, 500_000_000),
        request(1, &second.id, 250_000_000),
        request(30, &first.id, 125_000_000),
        request(31, &first.id, 1_000_000_000),
    ];
    let request = v1::ReportRequest {
        instance: data_plane.instance.clone(),
        epoch: data_plane.epoch,
        records: records.into_iter().flatten().map(Into::into).collect(),
        ..Default::default()
    };
    plane.usage().await.report(request).await.unwrap();
    let rows = async |query: &str| {
        let (status, body) = forward(&plane, &management, "/activity", query).await;
        assert_eq!(status, 200, "{body}");
        let row = |row: &Value| (row["date"].as_str().unwrap().to_owned(), row["usage"].as_f64().unwrap());
        body["data"].as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    let day =
        |ago| (switchyard_proto::clock::now() - chrono::TimeDelta::days(ago)).format("%Y-%m-%d").to_string();
    assert_eq!(rows("").await, [(day(30), 0.125), (day(1), 0.75)]);
    assert_eq!(rows(&format!("date={}", day(1))).await, [(day(1), 0.75)]);
    assert_eq!(rows(&format!("date={}", day(2))).await, []);
    assert_eq!(rows(&format!("api_key_hash={}", second.hash)).await, [(day(1), 0.25)]);
    let (_, body) =
        forward(&plane, &management, "/activity", &format!("date={}&group_by=workspace", day(1))).await;
    let expected = json!([{
        "date": day(1), "model": "a/m", "model_permaslug": "a/m", "endpoint_id": "a/m#p", "provider_name": "p",
        "usage": 0.75, "byok_usage_inference": 0.0, "requests": 2, "prompt_tokens": 14, "completion_tokens": 6,
        "reasoning_tokens": 2, "workspace_id": "acme",
    }]);
    assert_eq!(body["data"], expected);
    for (query, status) in [
        (format!("date={}", day(0)), 400),
        (format!("date={}", day(31)), 400),
        (format!("api_key_hash={}", "0".repeat(64)), 404),
        ("workspace_id=rival".to_owned(), 404),
        ("user_id=u".to_owned(), 400),
    ] {
        assert_eq!(forward(&plane, &management, "/activity", &query).await.0, status, "{query}");
    }
}
