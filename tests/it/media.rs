//! What stands behind a caller's URL reaches a provider that cannot read it itself, and nothing that it must not.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use switchyard_tests::client::{Answer, Client};
use switchyard_tests::cluster::{Cluster, Shape};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and the rest of a picture";

/// A server of files that is also an Ollama, a Gemini and an OpenAI, which note what they are asked.
struct Server {
    url: String,
    /// Paths of files, and bodies of calls.
    seen: Seen,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    files: Arc<Mutex<Vec<&'static str>>>,
    calls: Arc<Mutex<Vec<Value>>>,
}

impl Seen {
    fn file(&self, name: &'static str) {
        self.files.lock().unwrap().push(name);
    }

    fn call(&self, body: &[u8]) {
        self.calls.lock().unwrap().push(serde_json::from_slice(body).unwrap());
    }
}

impl Server {
    async fn start() -> Self {
        let seen = Seen::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (router, until) = (router(seen.clone()), stop.clone());
        tasks.spawn(async move {
            let serving = axum::serve(listener, router).into_future();
            tokio::select! { served = serving => served.unwrap(), () = until.cancelled() => {} }
        });
        Self { url, seen, tasks, stop }
    }

    fn calls(&self) -> Vec<Value> {
        self.seen.calls.lock().unwrap().clone()
    }

    fn files(&self) -> Vec<&'static str> {
        self.seen.files.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
    }
}

fn router(seen: Seen) -> Router {
    let file = |name: &'static str, body: Vec<u8>| {
        get(move |State(seen): State<Seen>| async move {
            seen.file(name);
            ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response()
        })
    };
    let moved = get(|State(seen): State<Seen>| async move {
        seen.file("moved");
        Redirect::temporary("/picture")
    });
    let ollama = post(|State(seen): State<Seen>, body: Bytes| async move {
        seen.call(&body);
        axum::Json(
            json!({"model": "m", "created_at": "2026-11-22T10:00:09Z", "done": true, "done_reason": "stop",
            "message": {"role": "assistant", "content": "seen"}, "prompt_eval_count": 9, "eval_count": 1}),
        )
    });
    let gemini = post(|State(seen): State<Seen>, body: Bytes| async move {
        seen.call(&body);
        axum::Json(json!({"candidates": [{"index": 0, "finishReason": "STOP",
            "content": {"role": "model", "parts": [{"text": "seen"}]}}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1, "totalTokenCount": 10}}))
    });
    let broken = post(|State(seen): State<Seen>, body: Bytes| async move {
        seen.call(&body);
        (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(json!({"error": "broken"})))
    });
    let openai = post(|State(seen): State<Seen>, body: Bytes| async move {
        seen.call(&body);
        axum::Json(json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "seen"}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}}))
    });
    Router::new()
        .route("/openai/chat/completions", openai)
        .route("/picture", file("picture", PNG.to_vec()))
        .route("/large", file("large", [PNG, &[0; 5_000]].concat()))
        .route("/text", file("text", b"no picture".to_vec()))
        .route("/moved", moved)
        .route("/ollama/api/chat", ollama)
        .route("/broken/api/chat", broken)
        .route("/v1beta/models/{*call}", gemini)
        .with_state(seen)
}

/// A system with the server as the providers behind `test/ollama`, `test/gemini`, and `test/second`, whose first is broken.
async fn system(shape: Shape, server: &Server) -> (Cluster, Client) {
    let cluster = shape.start().await.unwrap();
    for (id, adapter, path) in [
        ("ollama", "ollama", "/ollama"),
        ("gemini", "gemini", "/v1beta"),
        ("broken", "ollama", "/broken"),
        ("openai", "openai", "/openai"),
    ] {
        cluster.provider(id, adapter, &format!("{}{path}", server.url)).await.unwrap();
    }
    cluster.model("test/ollama", &[("ollama", "m")]).await.unwrap();
    cluster.model("test/gemini", &[("gemini", "m")]).await.unwrap();
    cluster.model("test/second", &[("broken", "m"), ("gemini", "m")]).await.unwrap();
    cluster.model("test/reader", &[("ollama", "m"), ("gemini", "m"), ("openai", "m")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

fn asking(model: &str, urls: &[String]) -> Value {
    let images = urls.iter().map(|url| json!({"type": "image_url", "image_url": {"url": url}}));
    let content: Vec<Value> =
        std::iter::once(json!({"type": "text", "text": "look"})).chain(images).collect();
    json!({"model": model, "messages": [{"role": "user", "content": content}]})
}

#[track_caller]
fn check_refused(answer: &Answer, error_type: &str, field: &str, word: &str) {
    assert_eq!((answer.status.as_u16(), answer.error_type()), (400, error_type), "{}", answer.text);
    assert_eq!(answer.json["error"]["metadata"]["field"], field, "{}", answer.text);
    assert!(answer.message().contains(word) && answer.message().contains(field), "{}", answer.message());
    assert!(!answer.text.contains("signature"), "{}", answer.text);
}

#[tokio::test]
async fn providers_that_cannot_read_urls_get_the_bytes() {
    let server = Server::start().await;
    let (cluster, client) =
        system(Shape::default().set("SWITCHYARD_FETCH_ALLOW_PRIVATE", "true"), &server).await;
    let picture = format!("{}/picture?signature=s", server.url);
    let base64 = STANDARD.encode(PNG);

    // The same URL twice is read once.
    client.chat(asking("test/ollama", &[picture.clone(), picture.clone()])).await.ok();
    assert_eq!(server.calls()[0]["messages"][0]["images"], json!([base64, base64]));
    assert_eq!(server.files(), ["picture"]);

    client.chat(asking("test/gemini", std::slice::from_ref(&picture))).await.ok();
    let sent = server.calls()[1].to_string();
    assert!(sent.contains(&base64) && sent.contains("image/png") && !sent.contains("signature"), "{sent}");

    // What was fetched for the first candidate serves the second.
    let mut body = asking("test/second", &[picture]);
    body["provider"] = json!({"order": ["broken", "gemini"]});
    client.chat(body).await.ok();
    assert_eq!((server.calls().len(), server.files().len()), (4, 3));
    assert!(server.calls()[2..].iter().all(|call| call.to_string().contains(&base64)));
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_fetched_is_the_callers_fault_and_no_provider_hears_of_it() {
    let server = Server::start().await;
    let shape = Shape::default()
        .set("SWITCHYARD_FETCH_ALLOW_PRIVATE", "true")
        .set("SWITCHYARD_FETCH_MAX_FILE_BYTES", "1000")
        .set("SWITCHYARD_FETCH_MAX_FILES", "2");
    let (cluster, client) = system(shape, &server).await;
    let at = |path: &str| format!("{}/{path}?signature=s", server.url);
    let first = "messages[0].content[1]";
    for (urls, error_type, field, word) in [
        (vec![at("moved")], "image_download_failed", first, "redirect"),
        (vec![at("none")], "image_download_failed", first, "404"),
        (vec![at("picture"), at("large")], "image_too_large", "messages[0].content[2]", "1000"),
        (vec![at("text")], "invalid_image", first, "no image"),
        (vec![at("a"), at("b"), at("c")], "invalid_request", "messages[0].content[3]", "2 files"),
    ] {
        check_refused(&client.chat(asking("test/ollama", &urls)).await, error_type, field, word);
    }
    assert_eq!(server.calls(), Vec::<Value>::new());
    assert!(!server.files().is_empty());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_url_that_cannot_be_fetched_is_left_to_a_provider_that_reads_it_itself() {
    let server = Server::start().await;
    let (cluster, client) =
        system(Shape::default().set("SWITCHYARD_FETCH_ALLOW_PRIVATE", "true"), &server).await;
    let url = format!("{}/moved?signature=s", server.url);
    let mut body = asking("test/reader", std::slice::from_ref(&url));
    body["provider"] = json!({"order": ["ollama", "gemini", "openai"]});
    client.chat(body.clone()).await.ok();
    let calls = server.calls();
    assert_eq!(calls.len(), 1, "only the reader hears of it: {calls:?}");
    assert_eq!(calls[0]["messages"][0]["content"][1]["image_url"]["url"], url);
    assert_eq!(server.files(), ["moved"], "the second candidate does not ask again");

    body["provider"] = json!({"only": ["ollama", "gemini"]});
    check_refused(&client.chat(body).await, "image_download_failed", "messages[0].content[1]", "redirect");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn fetches_beyond_the_process_s_room_are_refused_for_now() {
    let server = Server::start().await;
    for setting in ["SWITCHYARD_FETCH_MAX_UNDER_WAY", "SWITCHYARD_FETCH_MAX_HELD_BYTES"] {
        let shape = Shape::default().set("SWITCHYARD_FETCH_ALLOW_PRIVATE", "true").set(setting, "0");
        let (cluster, client) = system(shape, &server).await;
        let answer = client.chat(asking("test/ollama", &[format!("{}/picture", server.url)])).await;
        assert_eq!((answer.status.as_u16(), answer.error_type()), (503, "overloaded"), "{}", answer.text);
        assert_eq!(answer.headers["retry-after"], "1");
        cluster.stop().await.unwrap();
    }
    assert_eq!((server.files().len(), server.calls().len()), (0, 0));
}

#[tokio::test]
async fn private_addresses_are_not_read_unless_the_operator_allows_it() {
    let server = Server::start().await;
    let (cluster, client) = system(Shape::default(), &server).await;
    let port = server.url.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"] {
        let url = format!("http://{host}:{port}/picture?signature=s");
        let answer = client.chat(asking("test/gemini", &[url])).await;
        check_refused(&answer, "image_download_failed", "messages[0].content[1]", "public internet");
    }
    assert_eq!((server.files().len(), server.calls().len()), (0, 0));
    cluster.stop().await.unwrap();
}
