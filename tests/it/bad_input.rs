//! Bad input gets a clear error in the dialect that names the field, and nothing reaches a provider.

use http::StatusCode;
use serde_json::json;
use switchyard_proto::v1;
use switchyard_tests::client::Answer;
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status, error type, the field that is named (empty: none), and a word of the message.
#[track_caller]
fn check(what: &str, answer: &Answer, expected: (u16, &str, &str, &str)) {
    let (status, error_type, field, word) = expected;
    let error = &answer.json["error"];
    assert_eq!(answer.status.as_u16(), status, "{what}: {}", answer.text);
    assert_eq!(error["code"], status, "{what}: {}", answer.text);
    assert_eq!(answer.error_type(), error_type, "{what}: {}", answer.text);
    assert_eq!(error["metadata"]["field"].as_str().unwrap_or_default(), field, "{what}: {}", answer.text);
    assert!(answer.message().contains(word), "{what}: no `{word}` in `{}`", answer.message());
    assert!(answer.message().len() > 10, "{what}: {}", answer.message());
}

#[tokio::test]
async fn a_body_that_is_wrong_is_told_what_is_wrong_with_it() {
    let cluster = Cluster::start().await.unwrap();
    let images = v1::Model {
        id: "test/text-only".to_owned(),
        input_modalities: vec!["text".to_owned()],
        ..Default::default()
    };
    cluster.model_with(images, [plain_endpoint("lab", "echo")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let message = r#""messages":[{"role":"user","content":"hi"}]"#;
    let image = r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}"#;
    let cases = [
        ("no JSON", "{\"model\": \"test/echo\", ".to_owned(), (400, "invalid_request", "", "JSON")),
        ("not an object", "[1, 2]".to_owned(), (400, "invalid_request", "", "object")),
        ("an empty body", String::new(), (400, "invalid_request", "", "JSON")),
        (
            "no messages",
            r#"{"model":"test/echo"}"#.to_owned(),
            (400, "invalid_request", "messages", "messages"),
        ),
        (
            "empty messages",
            r#"{"model":"test/echo","messages":[]}"#.to_owned(),
            (400, "invalid_request", "messages", "messages"),
        ),
        (
            "messages of the wrong type",
            r#"{"model":"test/echo","messages":"hi"}"#.to_owned(),
            (400, "invalid_request", "messages", "messages"),
        ),
        (
            "a model of the wrong type",
            format!(r#"{{"model":7,{message}}}"#),
            (400, "invalid_request", "model", "model"),
        ),
        ("no model", format!("{{{message}}}"), (400, "invalid_request", "model", "model")),
        (
            "an unknown model",
            format!(r#"{{"model":"test/ecko",{message}}}"#),
            (400, "invalid_request", "model", "test/echo"),
        ),
        (
            "a wrong number",
            format!(r#"{{"model":"test/echo","temperature":"hot",{message}}}"#),
            (400, "invalid_request", "temperature", "temperature"),
        ),
        (
            "a wrong flag",
            format!(r#"{{"model":"test/echo","stream":"yes",{message}}}"#),
            (400, "invalid_request", "stream", "stream"),
        ),
        (
            "a negative cap",
            format!(r#"{{"model":"test/echo","max_tokens":-5,{message}}}"#),
            (400, "invalid_request", "max_tokens", "max_tokens"),
        ),
        (
            "unsupported content",
            format!(r#"{{"model":"test/text-only","messages":[{{"role":"user","content":[{image}]}}]}}"#),
            (400, "invalid_request", "messages", "image"),
        ),
    ];
    for (what, body, expected) in cases {
        let answer = client.post("/api/v1/chat/completions", body, &[]).await;
        check(what, &answer, expected);
        assert!(!answer.text.contains("iVBOR"), "{what}: contents come back: {}", answer.text);
    }
    assert_eq!(cluster.lab.counts().requests, 0, "none of these is a provider's business");
}

#[tokio::test]
async fn a_message_that_is_wrong_is_named_by_its_place() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    for (messages, place) in [
        (r#"[{"role":"user","content":"a"},{"role":"user","content":5}]"#, "messages[1].content"),
        (r#"[{"role":"user","content":"a"},"b"]"#, "messages[1]"),
        (r#"[{"content":"a"}]"#, "messages[0].role"),
    ] {
        let body = format!(r#"{{"model":"test/echo","messages":{messages}}}"#);
        let answer = client.post("/v1/chat/completions", body, &[]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{place}: {}", answer.text);
        let field = answer.json["error"]["metadata"]["field"].as_str().unwrap_or_default();
        assert!(
            field
                .replace(['[', ']'], ".")
                .replace("..", ".")
                .trim_end_matches('.')
                .starts_with(place.replace(['[', ']'], ".").replace("..", ".").trim_end_matches('.')),
            "{place}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_too_large() {
    let shape = Shape::default().set("SWITCHYARD_REQUESTS_MAX_BODY_BYTES", "2000");
    let cluster = shape.start().await.unwrap().furnished().await.unwrap();
    let client = cluster.client().await.unwrap();
    let content = "x".repeat(3_000);
    let body = json!({"model": "test/echo", "messages": [{"role": "user", "content": content}]}).to_string();
    let announced = client.post("/v1/chat/completions", body.clone(), &[]).await;
    check("announced", &announced, (413, "payload_too_large", "", "2000"));
    // In pieces, with no length before them.
    let pieces =
        futures_util::stream::iter(body.into_bytes().chunks(500).map(<[u8]>::to_vec).collect::<Vec<_>>());
    let pieces = futures_util::StreamExt::map(pieces, Ok::<_, std::io::Error>);
    let in_pieces = client.post("/v1/chat/completions", reqwest::Body::wrap_stream(pieces), &[]).await;
    check("in pieces", &in_pieces, (413, "payload_too_large", "", "2000"));
}

#[tokio::test]
async fn what_is_no_key_is_refused_before_the_body_is_read() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let flipped = format!(
        "{}{}",
        &client.key[..client.key.len() - 1],
        if client.key.ends_with('a') { 'b' } else { 'a' }
    );
    for (what, header) in [
        ("malformed", "Authorization: Bearer sk-sy-v1-nonsense\r\n".to_owned()),
        ("a wrong checksum", format!("Authorization: Bearer {flipped}\r\n")),
        ("another scheme", "Authorization: Basic dXNlcjpwYXNz\r\n".to_owned()),
        ("none", String::new()),
    ] {
        let address = client.url.trim_start_matches("http://");
        let mut socket = TcpStream::connect(address).await.unwrap();
        // A body is announced and never sent.
        let head = format!(
            "POST /api/v1/chat/completions HTTP/1.1\r\nHost: {address}\r\n{header}Content-Length: 100000\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 2_000];
        let length = socket.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 401 "), "{what}: {answer}");
    }
    let unknown = switchyard_proto::key::generate(switchyard_proto::key::KEY_PREFIX);
    let answer = client.with_key(unknown.expose()).chat(json!({"model": "test/echo", "messages": []})).await;
    check("a key that nobody made", &answer, (401, "authentication", "", "key"));
    assert_eq!(cluster.lab.counts().requests, 0);
}

#[tokio::test]
async fn a_key_that_may_not_is_told_why() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let body = json!({"model": "test/echo", "messages": [{"role": "user", "content": "hi"}]});
    let key = |key: v1::Key| cluster.key_with("acme", key);
    let disabled =
        key(v1::Key { name: "disabled".into(), disabled: true, ..Default::default() }).await.unwrap();
    let past = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 };
    let narrow =
        key(v1::Key { name: "narrow".into(), allowed_models: vec!["other/*".into()], ..Default::default() })
            .await
            .unwrap();
    cluster.settled().await;
    let answer = client.with_key(disabled.secret).chat(body.clone()).await;
    check("disabled", &answer, (403, "permission_denied", "", "disabled"));
    let answer = client.with_key(narrow.secret).chat(body.clone()).await;
    check("another model", &answer, (403, "permission_denied", "model", "test/echo"));
    // Where the control plane takes an expiry that has passed at all.
    if let Ok(expired) =
        key(v1::Key { name: "expired".into(), expires_at: Some(past), ..Default::default() }).await
    {
        cluster.settled().await;
        let answer = client.with_key(expired.secret).chat(body).await;
        check("expired", &answer, (403, "permission_denied", "", "expired"));
    }
}

#[tokio::test]
async fn what_is_not_there_says_so_in_the_same_shape() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let answer = client.get("/api/v1/nothing").await;
    check("an unknown path", &answer, (404, "not_found", "", "/api/v1/nothing"));
    let answer = client.get("/api/v1/chat/completions").await;
    check("the wrong method", &answer, (405, "method_not_allowed", "", "GET"));
}
