//! A tenant's own API at the data plane's address: keys managed with a management key, spending, one request's account. Never
//! across tenants.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_cli::client::Answer;
use switchyard_proto::key::KeyHash;
use switchyard_proto::v1;
use switchyard_tests::client::Client;
use switchyard_tests::cluster::Cluster;
use switchyard_tests::wait;

/// A token of a tenant.
async fn token(cluster: &Cluster, role: v1::Role, tenant: &str) -> String {
    let name = format!("{}-{tenant}", role.as_str_name());
    let token = v1::Token { name, role: role.into(), tenant: tenant.to_owned(), ..Default::default() };
    let request = v1::CreateTokenRequest { token: Some(token) };
    cluster.admin.tokens().create_token(request).await.answer().unwrap().secret
}

fn hello(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "one two three"}]})
}

async fn create(client: &Client, body: Value) -> (String, String) {
    let answer = client.call("POST", "/api/v1/keys", Some(&body)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&answer.json["data"]["hash"]), text(&answer.json["key"]))
}

fn names(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_management_key_makes_keys_that_hold_and_takes_them_back() {
    wait::clear_of_midnight().await;
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let manager = client.with_key(token(&cluster, v1::Role::TenantAdmin, "acme").await);
    let (hash, key) =
        create(&manager, json!({"name": "made", "limit": 0.00015, "limit_reset": "daily"})).await;
    assert_eq!(hash, KeyHash::of(&key).to_hex());
    let made = client.with_key(&key);

    // It serves at once, and its limit holds.
    let call = |max_tokens: u64| {
        let mut call = hello("test/echo");
        call["max_tokens"] = max_tokens.into();
        call
    };
    let spent = made.chat(call(3)).await.ok()["usage"]["cost"].as_f64().unwrap();
    let path = format!("/api/v1/keys/{hash}");
    let row = wait::until("what the key spent", async || {
        let row = manager.get(&path).await.ok()["data"].clone();
        (row["usage"].as_f64() > Some(0.0)).then_some(row)
    })
    .await;
    assert_eq!((row["usage"].as_f64(), row["usage_daily"].as_f64()), (Some(spent), Some(spent)));
    assert!((row["limit_remaining"].as_f64().unwrap() - (0.00015 - spent)).abs() < 1e-12, "{row}");
    assert_eq!(made.get("/api/v1/key").await.ok()["data"]["limit_remaining"], row["limit_remaining"]);
    let dear = made.chat(call(10_000)).await;
    assert_eq!((dear.status, dear.error_type()), (StatusCode::PAYMENT_REQUIRED, "payment_required"));

    // What is changed is changed everywhere.
    let raise = manager.call("PATCH", &path, Some(&json!({"limit": 5, "name": "raised"}))).await.ok();
    assert_eq!((&raise["data"]["limit"], &raise["data"]["limit_reset"]), (&json!(5.0), &json!("daily")));
    wait::until_true("the raised limit holds", async || {
        made.chat(call(10_000)).await.status == StatusCode::OK
    })
    .await;
    manager.call("PATCH", &path, Some(&json!({"disabled": true}))).await.ok();
    cluster.settled().await;
    assert_eq!(made.chat(hello("test/echo")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(made.get("/api/v1/key").await.status, StatusCode::FORBIDDEN);
    assert_eq!(names(&manager.get("/api/v1/keys").await.ok()), ["test"]);
    assert_eq!(names(&manager.get("/api/v1/keys?include_disabled=true").await.ok()), ["raised", "test"]);
    assert_eq!(names(&manager.get("/api/v1/keys?include_disabled=true&offset=1").await.ok()), ["test"]);

    assert_eq!(manager.call("DELETE", &path, None).await.ok(), json!({"deleted": true}));
    cluster.settled().await;
    assert_eq!(made.chat(hello("test/echo")).await.status, StatusCode::UNAUTHORIZED);
    for method in ["GET", "DELETE"] {
        assert_eq!(manager.call(method, &path, None).await.status, StatusCode::NOT_FOUND, "{method}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_key_expires_and_one_from_elsewhere_is_taken() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let manager = client.with_key(token(&cluster, v1::Role::TenantAdmin, "acme").await);
    let secret = "a-secret-that-was-made-elsewhere-0001";
    let (hash, key) = create(&manager, json!({"name": "brought", "external": {"api_key": secret}})).await;
    assert_eq!((key.as_str(), hash), (secret, KeyHash::of(secret).to_hex()));
    client.with_key(secret).chat(hello("test/echo")).await.ok();
    let over = json!({"name": "over", "expires_at": "2020-01-01T00:00:00Z"});
    let (_, expired) = create(&manager, over).await;
    let refused = client.with_key(&expired).chat(hello("test/echo")).await;
    assert_eq!((refused.status, refused.error_type()), (StatusCode::FORBIDDEN, "permission_denied"));
    for (body, status) in [
        (json!({"name": "brought"}), StatusCode::CONFLICT),
        (json!({"name": "again", "external": {"api_key": secret}}), StatusCode::CONFLICT),
        (json!({"name": "short", "external": {"api_key": "short"}}), StatusCode::BAD_REQUEST),
        (json!({"name": "", "limit": 1}), StatusCode::BAD_REQUEST),
        (json!({"name": "x", "limit": -1}), StatusCode::BAD_REQUEST),
        (json!({"name": "nul\u{0}"}), StatusCode::BAD_REQUEST),
    ] {
        let answer = manager.call("POST", "/api/v1/keys", Some(&body)).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert!(!answer.text.contains(secret), "{}", answer.text);
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn rights_end_at_the_tenant_and_at_the_role() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    cluster.tenant("rival").await.unwrap();
    let rivals = cluster.key("rival").await.unwrap();
    let rivals_path = format!("/api/v1/keys/{}", KeyHash::of(&rivals.secret).to_hex());
    let manager = client.with_key(token(&cluster, v1::Role::TenantAdmin, "acme").await);
    assert_eq!(names(&manager.get("/api/v1/keys").await.ok()), ["test"]);
    let change = json!({"disabled": true});
    for (method, body) in [("GET", None), ("PATCH", Some(&change)), ("DELETE", None)] {
        let answer = manager.call(method, &rivals_path, body).await;
        assert_eq!((answer.status, answer.error_type()), (StatusCode::NOT_FOUND, "not_found"), "{method}");
    }
    for path in ["/api/v1/keys?workspace_id=rival", "/api/v1/activity?workspace_id=rival"] {
        assert_eq!(manager.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let theirs = client.with_key(&rivals.secret).chat(hello("test/echo")).await.ok();
    cluster.generation(theirs["id"].as_str().unwrap()).await;
    for path in ["generation", "generation/content"] {
        let path = format!("/api/v1/{path}?id={}", theirs["id"].as_str().unwrap());
        assert_eq!(client.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(manager.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }

    // A key reads about itself and manages nothing; a viewer's token reads; an operator's belongs to nobody.
    let viewer = client.with_key(token(&cluster, v1::Role::Viewer, "acme").await);
    let operator = client.with_key(cluster.token.expose());
    let new = json!({"name": "x"});
    for (who, caller, read, made) in [
        ("a key", &client, StatusCode::FORBIDDEN, StatusCode::FORBIDDEN),
        ("a viewer", &viewer, StatusCode::OK, StatusCode::FORBIDDEN),
        ("an operator", &operator, StatusCode::FORBIDDEN, StatusCode::FORBIDDEN),
        ("a manager", &manager, StatusCode::OK, StatusCode::CREATED),
        (
            "nobody",
            &client.with_key("sy-admin-v1-nobody"),
            StatusCode::UNAUTHORIZED,
            StatusCode::UNAUTHORIZED,
        ),
        ("without a key", &client.with_key(""), StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(caller.get("/api/v1/keys").await.status, read, "{who}");
        assert_eq!(caller.get("/api/v1/activity").await.status, read, "{who}");
        assert_eq!(caller.call("POST", "/api/v1/keys", Some(&new)).await.status, made, "{who}");
    }
    let runs = manager.chat(hello("test/echo")).await;
    assert_eq!((runs.status, runs.error_type()), (StatusCode::FORBIDDEN, "permission_denied"));
    let own = manager.get("/api/v1/key").await.ok();
    assert_eq!(
        (&own["data"]["is_management_key"], &own["data"]["organization_id"]),
        (&json!(true), &json!("acme"))
    );
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_generation_is_waited_for_and_an_old_one_is_not() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    for _ in 0..5 {
        let answer = client.chat(hello("test/echo")).await.ok();
        let id = answer["id"].as_str().unwrap();
        let found = client.get(&format!("/api/v1/generation?id={id}")).await.ok();
        assert_eq!((&found["data"]["id"], &found["data"]["is_byok"]), (&answer["id"], &json!(false)));
        assert_eq!(found["data"]["total_cost"].as_f64(), answer["usage"]["cost"].as_f64());
    }
    let id = client.chat(hello("test/echo")).await.ok()["id"].as_str().unwrap().to_owned();
    let content = client.get(&format!("/api/v1/generation/content?id={id}")).await;
    assert_eq!(content.status, StatusCode::NOT_FOUND);
    assert!(content.message().contains("not logged"), "{}", content.text);
    for (query, status) in [
        ("", StatusCode::BAD_REQUEST),
        ("id=", StatusCode::BAD_REQUEST),
        ("id=nonsense", StatusCode::NOT_FOUND),
        ("id=gen-0-0000000000000000000000", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(client.get(&format!("/api/v1/generation?{query}")).await.status, status, "{query}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_control_plane_accounts_are_503_and_the_catalogue_goes_on() {
    let mut cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    cluster.control.stop().await.unwrap();
    for path in ["key", "keys", "credits", "generation?id=x", "activity"] {
        let answer = client.get(&format!("/api/v1/{path}")).await;
        assert_eq!(
            (answer.status, answer.error_type()),
            (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
            "{path}"
        );
        assert!(answer.header("x-request-id").starts_with("gen-"));
    }
    for path in ["models", "models/user", "models/test/echo/endpoints", "providers", "endpoints/zdr"] {
        client.get(&format!("/api/v1/{path}")).await.ok();
    }
}

#[tokio::test]
async fn endpoints_tell_what_real_calls_were_like() {
    let cluster = Cluster::start().await.unwrap();
    cluster.model("test/down", &[("lab", "status-500")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let endpoint = async |client: &Client, model: &str| {
        let answer = client.get(&format!("/api/v1/models/test/{model}/endpoints")).await.ok();
        answer["data"]["endpoints"][0].clone()
    };
    let before = endpoint(&client, "echo").await;
    let unknown =
        ["uptime_last_5m", "latency_last_30m", "throughput_last_30m"].map(|name| before[name].clone());
    assert_eq!((unknown, &before["status"]), ([(); 3].map(|()| json!(null)), &json!(0)));
    for _ in 0..6 {
        // A whole answer has no first content that could be timed.
        client.stream(hello("test/echo")).await.rest().await;
        client.chat(hello("test/down")).await;
    }
    // The fleet's view comes by the control plane; until then this instance tells what it saw itself.
    let told = wait::until("the fleet's view", async || {
        let told = endpoint(&client, "echo").await;
        (told["uptime_last_1d"].is_number() && told["latency_last_30m"].is_object()).then_some(told)
    })
    .await;
    let uptimes = ["uptime_last_5m", "uptime_last_30m", "uptime_last_1d"].map(|name| told[name].as_f64());
    assert_eq!(uptimes, [Some(100.0); 3]);
    let quantiles = ["p50", "p75", "p90", "p99"].map(|name| told["latency_last_30m"][name].as_f64().unwrap());
    assert!(quantiles.is_sorted() && quantiles[0] > 0.0, "{quantiles:?}");
    assert!(endpoint(&client, "down").await["status"].as_i64().unwrap() < 0);
    let public = endpoint(&client.with_key(""), "echo").await;
    assert_eq!(
        (&public["latency_last_30m"], &public["uptime_last_1d"]),
        (&json!(null), &told["uptime_last_1d"])
    );
    let popular = client.get("/api/v1/models?sort=throughput-high-to-low&limit=1").await.ok();
    assert_eq!(popular["total_count"], 3);
    cluster.stop().await.unwrap();
}
