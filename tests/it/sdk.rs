//! Official client packages, pointed at us, work as at their own providers. What they do is in `sdk/*.py` and `sdk/*.mjs`.
//!
//! Where the package registry is out of reach, the test says so and passes.

use switchyard_cli::client::Answer;
use switchyard_proto::v1;
use switchyard_tests::cluster::{Cluster, plain_endpoint};
use tokio::process::Command;

use crate::{failover, node, python};

/// Models for what the scripts do.
async fn cluster() -> Cluster {
    let cluster = failover::cluster().await;
    for (model, endpoint) in [
        ("test/tools", ("lab-anthropic", "tools")),
        ("test/limited", ("lab", "status-429-7")),
        ("test/breaks", ("lab", "error-mid-2")),
        ("test/gemini", ("first-gemini", "echo")),
        ("test/thinks", ("lab", "reasoning")),
        ("test/thinks-claude", ("lab-anthropic", "reasoning")),
    ] {
        cluster.model(model, &[endpoint]).await.unwrap();
    }
    for (id, provider, behaviour) in [
        ("test/vectors", "lab", "echo"),
        ("test/cohere-vectors", "first-cohere", "echo"),
        ("test/limited-vectors", "lab", "status-429-7"),
    ] {
        let output_modalities = vec!["embeddings".to_owned()];
        let model = v1::Model { id: id.to_owned(), output_modalities, ..Default::default() };
        cluster.model_with(model, [plain_endpoint(provider, behaviour)]).await.unwrap();
    }
    cluster
}

async fn check(packages: &[&str], script: &str) {
    let Some(python) = python::with(packages).await else { return };
    let cluster = cluster().await;
    let client = cluster.client().await.unwrap();
    let mut command = Command::new(python);
    command
        .args(["-c", script])
        .env("BASE", format!("{}{}", client.url, base(packages)))
        .env("KEY", &client.key);
    for name in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"] {
        command.env_remove(name);
    }
    match python::run(&mut command).await {
        Ok(said) => eprintln!("{}", said.trim()),
        Err(said) => panic!("{said}"),
    }
}

/// Anthropic's package adds `/v1` itself.
fn base(packages: &[&str]) -> &'static str {
    if packages == ["anthropic"] { "/api" } else { "" }
}

/// Runs a script of Node's with a key and a management key of the same tenant.
async fn check_node(package: &str, script: &str) {
    let Some(folder) = node::with(&[package]).await else { return };
    let cluster = cluster().await;
    for (model, behaviour) in [("test/json", "json"), ("test/hangs", "stall-2")] {
        cluster.model(model, &[("lab", behaviour)]).await.unwrap();
    }
    let client = cluster.client().await.unwrap();
    let token = v1::Token {
        name: "management".to_owned(),
        role: v1::Role::TenantAdmin.into(),
        tenant: "acme".to_owned(),
        ..Default::default()
    };
    let request = v1::CreateTokenRequest { token: Some(token) };
    let management = cluster.admin.tokens().create_token(request).await.answer().unwrap().secret;
    let mut command = Command::new("node");
    // Packages are found from the working folder where the script is an argument.
    command.args(["--input-type=module", "--eval", &format!("{CASES}{script}")]).current_dir(folder);
    command
        .env("BASE", format!("{}/api/v1", client.url))
        .env("KEY", &client.key)
        .env("MANAGEMENT", management);
    for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENROUTER_API_KEY", "OPENROUTER_BASE_URL"] {
        command.env_remove(name);
    }
    match python::run(&mut command).await {
        Ok(said) => eprintln!("{}", said.trim()),
        Err(said) => panic!("{said}"),
    }
}

/// Runs named cases one after the other, and counts.
const CASES: &str = include_str!("sdk/cases.mjs");

#[tokio::test]
async fn openais_own_package_for_node_reads_our_answers() {
    check_node("openai", include_str!("sdk/openai.mjs")).await;
}

#[tokio::test]
async fn openrouters_own_package_cannot_tell_us_from_openrouter() {
    check_node("@openrouter/sdk", include_str!("sdk/openrouter.mjs")).await;
}

#[tokio::test]
async fn anthropics_own_package_reads_our_messages() {
    check(&["anthropic"], include_str!("sdk/anthropic.py")).await;
}

#[tokio::test]
async fn openais_own_package_reads_our_responses_and_embeddings() {
    check(&["openai"], include_str!("sdk/openai.py")).await;
}
