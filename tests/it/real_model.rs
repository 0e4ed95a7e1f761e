//! A real model behind both dialects: real tokens, real streams, and failover from one dialect to the other.
//!
//! The server is `../shared/llm/serve`; where that is missing or cannot fetch its model, the tests say so and pass.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use switchyard_tests::client::{Event, chunks, http, text};
use switchyard_tests::cluster::Cluster;
use switchyard_tests::process::free_port;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const MODEL: &str = "smollm2-135m-instruct";

/// The first start fetches some 130 MB.
const FETCH: Duration = Duration::from_secs(150);

/// The model's server; dropping it ends it.
struct Server {
    url: String,
    _process: Child,
}

impl Server {
    /// `None`, and a line that says why, where there is none to be had.
    async fn start() -> Option<Self> {
        let skip = |why: &str| eprintln!("skipped: no real model: {why}");
        let program = program();
        if !program.is_file() {
            skip(&format!("{} is not there", program.display()));
            return None;
        }
        let port = free_port().unwrap();
        let mut command = Command::new(program);
        command.arg(port.to_string()).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("ready") {
                    return true;
                }
            }
            false
        };
        match timeout(FETCH, ready).await {
            Ok(true) => Some(Self { url: format!("http://127.0.0.1:{port}/v1"), _process: process }),
            Ok(false) => {
                skip("its server did not start; the lines above say why");
                None
            }
            Err(_) => {
                skip("it could not be fetched in time");
                None
            }
        }
    }

    /// What the server says when it is asked without us.
    async fn directly(&self, path: &str, body: &Value) -> Value {
        let answer = http().post(format!("{}{path}", self.url)).json(body).send().await.unwrap();
        answer.json().await.unwrap()
    }
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/llm/serve")
}

fn ask() -> Value {
    json!({
        "temperature": 0,
        "max_tokens": 8,
        "messages": [{"role": "user", "content": "Name three colours of a rainbow."}],
    })
}

fn to(model: &str) -> Value {
    let mut body = ask();
    body["model"] = model.into();
    body
}

#[tokio::test]
async fn a_real_model_streams_through_both_dialects_and_they_stand_in_for_each_other() {
    let Some(server) = Server::start().await else { return };
    let cluster = Cluster::start().await.unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("http://{closed}/v1");
    for (id, adapter, url) in [
        ("local-openai", "openai", &server.url),
        ("local-anthropic", "anthropic", &server.url),
        ("gone-openai", "openai", &gone),
        ("gone-anthropic", "anthropic", &gone),
    ] {
        cluster.provider(id, adapter, url).await.unwrap();
    }
    for (model, first, second) in [
        ("real/openai", "local-openai", None),
        ("real/anthropic", "local-anthropic", None),
        ("real/to-anthropic", "gone-openai", Some("local-anthropic")),
        ("real/to-openai", "gone-anthropic", Some("local-openai")),
    ] {
        let served: Vec<(&str, &str)> =
            [Some(first), second].into_iter().flatten().map(|id| (id, MODEL)).collect();
        cluster.model(model, &served).await.unwrap();
    }
    let client = cluster.client().await.unwrap();
    // Anthropic's dialect counts cached prompt tokens apart.
    let anthropics = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
    let own_usage: [(&str, &str, &[&str], &str); 2] = [
        ("real/openai", "/chat/completions", &["prompt_tokens"], "completion_tokens"),
        ("real/anthropic", "/messages", &anthropics, "output_tokens"),
    ];
    for (model, path, prompts, completion) in own_usage {
        let own = server.directly(path, &to(MODEL)).await;
        let prompt: u64 = prompts.iter().filter_map(|name| own["usage"][name].as_u64()).sum();
        let whole = client.chat(to(model)).await.ok();
        let said = whole["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(said.len() > 3, "{model}: {whole}");
        let usage = &whole["usage"];
        assert_eq!(
            (&usage["prompt_tokens"], &usage["completion_tokens"]),
            (&json!(prompt), &own["usage"][completion]),
            "{model}: {whole} {own}"
        );

        let events = client.stream(to(model)).await.rest().await;
        assert_eq!((text(&events).trim(), events.last()), (said.trim(), Some(&Event::Done)), "{model}");
        let streamed =
            chunks(&events).into_iter().rev().find_map(|chunk| chunk["usage"].as_object()).unwrap();
        assert_eq!(
            (&streamed["prompt_tokens"], &streamed["completion_tokens"]),
            (&usage["prompt_tokens"], &usage["completion_tokens"]),
            "{model}"
        );
        let line = cluster.lines(whole["id"].as_str().unwrap(), 1).await.remove(0);
        assert_eq!(Some(line.tokens.unwrap().completion), usage["completion_tokens"].as_u64());
        eprintln!("{model}: {said:?}, {usage}");
    }
    for (model, provider) in [("real/to-anthropic", "local-anthropic"), ("real/to-openai", "local-openai")] {
        let mut body = to(model);
        body["provider"] = json!({"order": ["gone-openai", "gone-anthropic"]});
        let events = client.stream(body).await.rest().await;
        assert!(
            text(&events).len() > 3 && chunks(&events).iter().all(|chunk| chunk["provider"] == provider),
            "{events:?}"
        );
    }
}
