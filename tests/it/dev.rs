//! `switchyard dev` as a newcomer meets it: one command, a key, a first answer, and all of it again tomorrow.

use std::net::TcpListener;
use std::path::Path;
use std::time::Instant;

use http::StatusCode;
use serde_json::json;
use switchyard_tests::client::{Client, Event, text};
use switchyard_tests::process::{Environment, Process, free_port};
use switchyard_tests::wait;

const FLAGS: [&str; 5] =
    ["--listen", "--admin-listen", "--fleet-listen", "--ops-listen", "--control-ops-listen"];

/// A `dev` on free ports.
struct Dev {
    process: Process,
    url: String,
}

fn words(data: &Path, ports: &[u16]) -> Vec<String> {
    let mut words = vec!["dev".to_owned(), "--data-dir".to_owned(), data.display().to_string()];
    for (flag, port) in FLAGS.iter().zip(ports) {
        words.extend([(*flag).to_owned(), format!("127.0.0.1:{port}")]);
    }
    words
}

fn ports() -> Vec<u16> {
    FLAGS.iter().map(|_| free_port().unwrap()).collect()
}

async fn spawn(words: &[String], environment: &Environment, log: &Path) -> Process {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Process::start(&words, environment, log).await.unwrap()
}

async fn start(folder: &Path, log: &str, environment: &Environment) -> Dev {
    let ports = ports();
    let began = Instant::now();
    let process = spawn(&words(&folder.join("data"), &ports), environment, &folder.join(log)).await;
    wait::until_true("`is ready` from dev", async || {
        let printed = process.printed();
        assert!(!printed.contains("error:"), "{printed}");
        printed.contains("is ready")
    })
    .await;
    // Not asserted: how long it takes depends on what else this machine does. The promise is 3 s.
    eprintln!("dev was ready after {:?}", began.elapsed());
    Dev { process, url: format!("http://127.0.0.1:{}", ports[0]) }
}

fn secret(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join("data").join(name)).unwrap().trim().to_owned()
}

#[tokio::test]
async fn one_command_gives_a_key_and_a_first_answer_and_starts_again_on_the_same_data() {
    let folder = tempfile::tempdir().unwrap();
    let mut dev = start(folder.path(), "first.log", &Environment::new()).await;
    let (key, token) = (secret(folder.path(), "key"), secret(folder.path(), "admin-token"));
    let printed = dev.process.printed();
    assert!(printed.contains(&key) && printed.contains(&token), "both are printed once: {printed}");
    assert!(printed.contains("curl") && printed.contains(&dev.url), "{printed}");
    let client = Client::new(&*dev.url, &*key);
    let hello = json!({"model": "echo/echo", "messages": [{"role": "user", "content": "Hello there!"}]});
    let answer = client.chat(hello.clone()).await.ok();
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello there!");
    assert!(answer["usage"]["cost"].is_number(), "{answer}");
    let events = client.stream(hello.clone()).await.rest().await;
    assert_eq!((text(&events).as_str(), events.last()), ("Hello there!", Some(&Event::Done)));
    let limited = client
        .chat(json!({"model": "echo/status-429", "messages": [{"role": "user", "content": "x"}]}))
        .await;
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS, "the lab fails on demand: {}", limited.text);
    assert_eq!(dev.process.terminate().await.unwrap(), 0, "{}", dev.process.printed());

    let mut again = start(folder.path(), "second.log", &Environment::new()).await;
    let printed = again.process.printed();
    assert!(!printed.contains(&key) && !printed.contains(&token), "they are shown once: {printed}");
    client.at(&*again.url).chat(hello).await.ok();
    assert_eq!(again.process.terminate().await.unwrap(), 0);
}

#[cfg(unix)]
#[tokio::test]
async fn what_dev_keeps_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let mut dev = start(folder.path(), "log", &Environment::new()).await;
    for name in ["key", "admin-token", "master-key", "config-key"] {
        let mode = std::fs::metadata(folder.path().join("data").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(dev.process.terminate().await.unwrap(), 0);
}

#[tokio::test]
async fn a_key_in_the_environment_configures_its_provider() {
    let folder = tempfile::tempdir().unwrap();
    let environment: Environment = [
        ("OPENAI_API_KEY".to_owned(), "sk-not-a-real-one".to_owned()),
        ("COHERE_API_KEY".to_owned(), "not-a-real-one".to_owned()),
    ]
    .into();
    let mut dev = start(folder.path(), "log", &environment).await;
    let client = Client::new(&*dev.url, secret(folder.path(), "key"));
    let models = client.get("/api/v1/models").await.ok();
    let is_openai =
        |model: &serde_json::Value| model["id"].as_str().is_some_and(|id| id.starts_with("openai/"));
    assert!(models["data"].as_array().unwrap().iter().any(is_openai), "{models}");
    let printed = dev.process.printed();
    assert!(printed.contains("COHERE_API_KEY"), "what is missing is said: {printed}");
    assert!(!printed.contains("not-a-real-one"), "{printed}");
    assert_eq!(dev.process.terminate().await.unwrap(), 0);
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_flag_that_changes_it() {
    for (at, flag) in FLAGS.iter().enumerate() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ports = ports();
        ports[at] = taken.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let words = words(&folder.path().join("data"), &ports);
        let mut process = spawn(&words, &Environment::new(), &folder.path().join("log")).await;
        let code = process.exited().await;
        let printed = process.printed();
        assert!(code == 1 || code == 2, "{flag}: {code}: {printed}");
        assert!(printed.contains(flag) && printed.contains(&ports[at].to_string()), "{flag}: {printed}");
    }
}
