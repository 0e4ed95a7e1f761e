//! `switchyard route explain`: where a request would go, and why not elsewhere, without sending it.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    chat::{Client, http, refused},
    output::{self, Column, Output},
};

const CANDIDATES: &[Column] = &[
    ("TRY", "try"),
    ("STAGE", "stage"),
    ("PROVIDER", "provider"),
    ("MODEL", "model"),
    ("ENDPOINT", "endpoint"),
    ("OWN KEY", "credential"),
    ("USD PER MILLION", "price"),
    ("HEALTH", "health"),
];

const EXCLUDED: &[Column] = &[
    ("PROVIDER", "provider"),
    ("MODEL", "model"),
    ("ENDPOINT", "endpoint"),
    ("RULE", "rule"),
    ("BECAUSE IT", "detail"),
];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Route {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say who would be tried for a request, in which order, and who would not and why
    Explain(Box<Explain>),
}

#[derive(Debug, Args)]
struct Explain {
    /// The model, alias or policy to ask for
    #[arg(long, short, value_name = "MODEL", required_unless_present = "file", conflicts_with = "file")]
    model: Option<String>,
    /// A whole chat request as JSON; `-` reads it from stdin
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The request's `provider` object as JSON, e.g. '{"sort": "price"}'
    #[arg(long, value_name = "JSON", conflicts_with = "file")]
    provider: Option<String>,
    /// `x-switchyard-priority`, for policies
    #[arg(long, value_name = "WORD")]
    priority: Option<String>,
    /// How to print it
    #[arg(long, value_name = "FORM", value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    client: Client,
}

impl Route {
    /// Asks and prints.
    ///
    /// # Errors
    /// What the request itself would be refused for, in words.
    pub async fn run(self) -> anyhow::Result<()> {
        let Verb::Explain(explain) = self.verb;
        explain.run().await
    }
}

impl Explain {
    async fn run(self) -> anyhow::Result<()> {
        let body = self.body()?;
        let (url, key) = (self.client.url(), self.client.key()?);
        let mut request = http()?
            .post(format!("{url}/api/v1/route/explain"))
            .bearer_auth(key.expose())
            .header("content-type", "application/json")
            .body(body);
        if let Some(priority) = &self.priority {
            request = request.header("x-switchyard-priority", priority);
        }
        let response =
            request.send().await.map_err(|error| anyhow!(error.without_url())).with_context(|| {
                format!("cannot reach the data plane at {url}: is `switchyard dev` running?")
            })?;
        let status = response.status();
        let answer = response.bytes().await.map_err(|error| anyhow!(error.without_url()))?;
        if !status.is_success() {
            bail!(refused(status, &answer));
        }
        let answer: Value = serde_json::from_slice(&answer).context("the answer is no JSON")?;
        match self.output {
            Output::Json => output::print_json(&answer["data"]),
            Output::Table => output::print_text(&tables(&answer["data"])),
        }
        Ok(())
    }

    fn body(&self) -> anyhow::Result<String> {
        if let Some(file) = &self.file {
            let text = match file.as_os_str() == "-" {
                true => std::io::read_to_string(std::io::stdin()).context("stdin cannot be read")?,
                false => std::fs::read_to_string(file)
                    .with_context(|| format!("{} cannot be read", file.display()))?,
            };
            return Ok(text);
        }
        let mut body = json!({"model": self.model, "messages": [{"role": "user", "content": "hi"}]});
        if let Some(provider) = &self.provider {
            body["provider"] = serde_json::from_str(provider).context("--provider is no JSON")?;
        }
        Ok(body.to_string())
    }
}

/// The candidates in order, then the excluded.
fn tables(decision: &Value) -> String {
    let mut rows = Vec::new();
    for stage in list(&decision["stages"]) {
        for candidate in list(&stage["candidates"]) {
            let mut row = candidate.clone();
            row["try"] = json!(rows.len() + 1);
            row["stage"] = stage["name"].clone();
            row["price"] = candidate["place"]["price"].clone();
            row["health"] = health(&candidate["health"]);
            rows.push(row);
        }
    }
    let mut text = String::new();
    if let Some(policy) = decision["policy"]["id"].as_str() {
        text.push_str(&format!("Policy {policy}.\n\n"));
    }
    text.push_str(&output::table(&rows, CANDIDATES));
    for skipped in list(&decision["skipped_stages"]) {
        let of = |name: &str| skipped[name].as_str().unwrap_or_default().to_owned();
        text.push_str(&format!("Stage {} is skipped: {}.\n", of("stage"), of("reason")));
    }
    let excluded = list(&decision["excluded"]);
    if !excluded.is_empty() {
        text.push_str("\nExcluded:\n");
        text.push_str(&output::table(excluded, EXCLUDED));
    }
    text
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn health(reading: &Value) -> Value {
    let state = reading["state"]["kind"].as_str().unwrap_or("unknown");
    let outage = if reading["recent_outage"] == json!(true) { ", recent outage" } else { "" };
    json!(format!("{state}{outage}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_listed_in_the_order_of_trying_and_the_excluded_after_them() {
        let candidate = |provider: &str| {
            json!({"provider": provider, "model": "a/m", "endpoint": "e", "credential": null,
                "place": {"price": 3.5}, "health": {"state": {"kind": "open", "until_ms": 5}, "recent_outage": true}})
        };
        let decision = json!({
            "policy": {"id": "careful"},
            "stages": [
                {"name": "cheap", "candidates": [candidate("One")]},
                {"name": "strong", "candidates": [candidate("Two")]},
            ],
            "skipped_stages": [{"stage": "night", "reason": "condition"}],
            "excluded": [{"provider": "Three", "model": "a/m", "endpoint": "e", "rule": "zdr", "detail": "may retain prompts"}],
        });
        let text = tables(&decision);
        let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
        assert!(at("Policy careful.") < at("One") && at("One") < at("Two"));
        assert!(at("Two") < at("Stage night is skipped: condition.") && at("Excluded:") < at("Three"));
        assert!(text.contains("open, recent outage") && text.contains("may retain prompts"), "{text}");
    }
}
