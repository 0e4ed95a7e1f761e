//! `switchyard chat`: one question through the client API, the answer as it comes, then what it cost.

use std::{
    io::{Read, Write},
    path::PathBuf,
};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use futures_util::StreamExt;
use serde_json::{Value, json};
use switchyard_data_plane::wire::sse::SseParser;
use switchyard_proto::secret::Secret;

use crate::data_dir::{self, DataDir};

/// Where the data plane listens unless told otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Arguments.
#[derive(Debug, Args)]
pub struct Chat {
    /// What to say; `-` reads it from stdin
    message: String,
    /// The model to ask
    #[arg(long, short, value_name = "MODEL", default_value = "echo/echo")]
    model: String,
    /// A system prompt
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// The longest answer
    #[arg(long, value_name = "TOKENS")]
    max_tokens: Option<u64>,
    #[command(flatten)]
    client: Client,
}

/// How to reach the client API.
#[derive(Debug, Clone, Args)]
pub struct Client {
    /// The key to present [default: the one in <DATA_DIR>/key]
    #[arg(long, value_name = "KEY", env = "SWITCHYARD_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The data plane's address [default: that of the running `switchyard dev`, else http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", env = "SWITCHYARD_URL", hide_env_values = true)]
    url: Option<String>,
    /// The folder of `switchyard dev`, for key and address
    #[arg(long, value_name = "DIR", default_value = data_dir::DEFAULT)]
    data_dir: PathBuf,
}

impl Client {
    /// From flags of another command.
    pub fn new(key: Option<String>, url: Option<String>, data_dir: PathBuf) -> Self {
        Self { key, url, data_dir }
    }

    /// The data plane's origin, without a slash at the end.
    pub fn url(&self) -> String {
        let given = self.url.clone().filter(|url| !url.is_empty());
        let running = || DataDir::new(&self.data_dir).running().map(|running| running.client);
        let url = given.or_else(running).unwrap_or_else(|| DEFAULT_URL.to_owned());
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        let url = url.trim_end_matches('/');
        // The base URL that SDKs want works as well.
        url.strip_suffix("/api/v1").or_else(|| url.strip_suffix("/v1")).unwrap_or(url).to_owned()
    }

    /// The key to present.
    ///
    /// # Errors
    /// When there is none.
    pub fn key(&self) -> anyhow::Result<Secret> {
        if let Some(key) = self.key.as_ref().filter(|key| !key.is_empty()) {
            return Ok(Secret::new(key.trim()));
        }
        DataDir::new(&self.data_dir).secret("key")?.ok_or_else(|| {
            anyhow!(
                "no key: set SWITCHYARD_KEY, or run where `switchyard dev` keeps {}/key",
                self.data_dir.display()
            )
        })
    }
}

impl Chat {
    /// Asks and prints.
    ///
    /// # Errors
    /// What the router or the provider answered instead, in words.
    pub async fn run(self) -> anyhow::Result<()> {
        let (url, key) = (self.client.url(), self.client.key()?);
        let body = self.body()?;
        let response = http()?
            .post(format!("{url}/api/v1/chat/completions"))
            .bearer_auth(key.expose())
            .json(&body)
            .send()
            .await
            .map_err(|error| anyhow!(error.without_url()))
            .with_context(|| format!("cannot reach the data plane at {url}: is `switchyard dev` running?"))?;
        if !response.status().is_success() {
            let status = response.status();
            bail!(refused(status, &response.bytes().await.unwrap_or_default()));
        }
        print(response).await
    }

    fn body(self) -> anyhow::Result<Value> {
        let mut messages = Vec::new();
        if let Some(system) = self.system {
            messages.push(json!({"role": "system", "content": system}));
        }
        messages.push(json!({"role": "user", "content": read(self.message)?}));
        let mut body = json!({"model": self.model, "messages": messages, "stream": true});
        if let Some(most) = self.max_tokens {
            body["max_tokens"] = most.into();
        }
        Ok(body)
    }
}

/// A client without proxy settings from the environment: these calls stay between us and the router.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?)
}

/// An error answer in words.
pub fn refused(status: http::StatusCode, body: &[u8]) -> String {
    let error = serde_json::from_slice::<Value>(body).map(|body| body["error"].clone()).unwrap_or_default();
    told(&error).unwrap_or_else(|| format!("the router answered {status}"))
}

/// `error` of an answer or a chunk in words: what, which code, whose.
fn told(error: &Value) -> Option<String> {
    let message = error["message"].as_str()?;
    let code = error["code"].as_u64().map(|code| format!(" ({code}")).unwrap_or_default();
    let metadata = &error["metadata"];
    let kind = metadata["error_type"]
        .as_str()
        .or_else(|| error["error_type"].as_str())
        .or_else(|| error["type"].as_str());
    let kind = kind.map(|kind| format!(", {kind}")).unwrap_or_default();
    let close = if code.is_empty() { "" } else { ")" };
    let kind = if code.is_empty() { String::new() } else { kind };
    let provider =
        metadata["provider_name"].as_str().map(|name| format!(", from {name}")).unwrap_or_default();
    Some(format!("{message}{code}{kind}{close}{provider}"))
}

/// What a stream told besides its text.
#[derive(Debug, Default, PartialEq)]
struct Ending {
    provider: Option<String>,
    model: Option<String>,
    finish_reason: Option<String>,
    usage: Option<Value>,
    is_done: bool,
}

async fn print(response: reqwest::Response) -> anyhow::Result<()> {
    let mut parser = SseParser::default();
    let mut ending = Ending::default();
    let mut stream = response.bytes_stream();
    let mut out = std::io::stdout();
    while let Some(bytes) = stream.next().await {
        parser.push(bytes.map_err(|error| anyhow!(error.without_url())).context("the answer broke off")?);
        while let Some(event) = parser.next_event()? {
            let text = ending.take(&event.data).inspect_err(|_| println!())?;
            out.write_all(text.as_bytes())?;
        }
        out.flush()?;
    }
    println!();
    if !ending.is_done {
        bail!("the answer broke off");
    }
    println!("{}", ending.line());
    Ok(())
}

impl Ending {
    /// Reads one event: its text, or the error that ends the stream.
    fn take(&mut self, data: &[u8]) -> anyhow::Result<String> {
        if data == b"[DONE]" {
            self.is_done = true;
            return Ok(String::new());
        }
        let chunk: Value =
            serde_json::from_slice(data).context("the router sent something that is not JSON")?;
        if let Some(error) = told(&chunk["error"]) {
            bail!(error);
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        self.provider = text(&chunk["provider"]).or(self.provider.take());
        self.model = text(&chunk["model"]).or(self.model.take());
        self.usage = chunk.get("usage").filter(|usage| usage.is_object()).cloned().or(self.usage.take());
        let choice = &chunk["choices"][0];
        self.finish_reason = text(&choice["finish_reason"]).or(self.finish_reason.take());
        Ok(shown(&choice["delta"]))
    }

    /// Provider, model, tokens and cost.
    fn line(&self) -> String {
        let unknown = || "unknown".to_owned();
        let mut parts = vec![
            format!("provider: {}", self.provider.clone().unwrap_or_else(unknown)),
            format!("model: {}", self.model.clone().unwrap_or_else(unknown)),
        ];
        if let Some(usage) = &self.usage {
            let count = |name: &str| usage[name].as_u64().unwrap_or_default();
            parts.push(format!("tokens: {} + {}", count("prompt_tokens"), count("completion_tokens")));
            parts.push(format!("cost: {}", dollars(&usage["cost"])));
        }
        if let Some(reason) = self.finish_reason.as_deref().filter(|reason| *reason != "stop") {
            parts.push(format!("finished: {reason}"));
        }
        format!("[{}]", parts.join(", "))
    }
}

/// Text, and tool calls as they come.
fn shown(delta: &Value) -> String {
    let mut text = delta["content"].as_str().unwrap_or_default().to_owned();
    for call in delta["tool_calls"].as_array().into_iter().flatten() {
        if let Some(name) = call["function"]["name"].as_str() {
            text.push_str(&format!("\n[tool call: {name}] "));
        }
        text.push_str(call["function"]["arguments"].as_str().unwrap_or_default());
    }
    text
}

/// As few digits as the number needs, never in powers of ten.
pub fn dollars(cost: &Value) -> String {
    let Some(cost) = cost.as_f64() else { return "unknown".to_owned() };
    let text = format!("{cost:.9}");
    format!("${}", text.trim_end_matches('0').trim_end_matches('.'))
}

fn read(message: String) -> anyhow::Result<String> {
    if message != "-" {
        return Ok(message);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read stdin")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(events: &[&str]) -> (String, anyhow::Result<Ending>) {
        let (mut ending, mut said) = (Ending::default(), String::new());
        for event in events {
            match ending.take(event.as_bytes()) {
                Ok(text) => said.push_str(&text),
                Err(error) => return (said, Err(error)),
            }
        }
        (said, Ok(ending))
    }

    #[test]
    fn a_stream_ends_with_provider_tokens_and_cost() {
        let (said, ending) = heard(&[
            r#"{"provider":"echo","model":"echo/echo","choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"delta":{"content":"hi"},"finish_reason":null}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"cost":7e-7}}"#,
            "[DONE]",
        ]);
        let ending = ending.unwrap();
        assert!(ending.is_done);
        assert_eq!(said, "hi");
        assert_eq!(ending.line(), "[provider: echo, model: echo/echo, tokens: 3 + 1, cost: $0.0000007]");
    }

    #[test]
    fn an_error_in_the_stream_is_told_in_words() {
        let (said, ending) = heard(&[
            r#"{"choices":[{"delta":{"content":"hal"}}]}"#,
            r#"{"error":{"code":502,"message":"the provider broke off","metadata":{"provider_name":"echo","error_type":"provider_unavailable"}},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#,
        ]);
        assert_eq!(said, "hal");
        assert_eq!(
            ending.unwrap_err().to_string(),
            "the provider broke off (502, provider_unavailable), from echo"
        );
    }

    #[test]
    fn a_refusal_without_json_names_its_status() {
        assert_eq!(refused(http::StatusCode::BAD_GATEWAY, b"<html>"), "the router answered 502 Bad Gateway");
        let body = br#"{"error":{"code":401,"message":"no such key"}}"#;
        assert_eq!(refused(http::StatusCode::UNAUTHORIZED, body), "no such key (401)");
    }

    #[test]
    fn costs_are_plain_decimals() {
        for (cost, text) in
            [(json!(0), "$0"), (json!(1e-9), "$0.000000001"), (json!(1.5), "$1.5"), (json!(null), "unknown")]
        {
            assert_eq!(dollars(&cost), text);
        }
    }

    #[test]
    fn base_urls_of_sdks_are_taken_too() {
        for url in ["http://h:1", "h:1", "http://h:1/", "http://h:1/api/v1", "http://h:1/v1/"] {
            let client = Client { key: None, url: Some(url.into()), data_dir: "none".into() };
            assert_eq!(client.url(), "http://h:1", "{url}");
        }
    }
}
