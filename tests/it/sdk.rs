//! Official client packages, pointed at us, work as at their own providers. What they do is in `sdk/*.py`.
//!
//! Where the package registry is out of reach, the test says so and passes.

use switchyard_tests::cluster::Cluster;
use tokio::process::Command;

use crate::{failover, python};

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

#[tokio::test]
async fn anthropics_own_package_reads_our_messages() {
    check(&["anthropic"], include_str!("sdk/anthropic.py")).await;
}

#[tokio::test]
async fn openais_own_package_reads_our_responses() {
    check(&["openai"], include_str!("sdk/openai.py")).await;
}
