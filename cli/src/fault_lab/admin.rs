//! The lab's own side, on the port of the provider: what it can do, what it has seen and billed, what it shall do next.
//!
//! Its calls are not counted among the provider's, and no dialect has its paths. Errors have one shape:
//! `{"error": {"message": …}}`.

use std::collections::BTreeMap;

use base64::Engine as _;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fault_lab::behaviour::{Behaviour, behaviours};
use crate::fault_lab::bill::Billed;
use crate::fault_lab::orders;
use crate::fault_lab::perform::{Performance, whole_of};
use crate::fault_lab::server::Lab;
use crate::fault_lab::witness::Received;

/// Headers whose values are never shown.
const SECRET_HEADERS: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-amz-security-token",
    "ocp-apim-subscription-key",
];
const REDACTED: &str = "[redacted]";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scripted {
    behaviours: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Standing {
    behaviour: String,
}

/// `GET /lab/counts`.
#[derive(Serialize)]
struct Counted {
    connections: u64,
    requests: u64,
    finished: u64,
    cancelled: u64,
    billed: Vec<Billed>,
}

/// The answer, if the path is one of the admin side's.
pub fn answer(lab: &Lab, head: &Parts, body: &[u8]) -> Option<Performance> {
    let noun = head.uri.path().strip_prefix("/lab/")?;
    let answered = match (&head.method, noun) {
        (&Method::GET, "behaviours") => Ok(json!({"behaviours": listed()})),
        (&Method::GET, "counts") => Ok(counts(lab)),
        (&Method::GET, "received") => {
            let received = lab.witness.received();
            Ok(json!({"received": received.iter().map(shown).collect::<Vec<_>>()}))
        }
        (&Method::GET, "calls") => Ok(json!({"calls": lab.witness.ledger.calls()})),
        (&Method::POST, "script") => script(lab, body),
        (&Method::POST, "always") => always(lab, body),
        (&Method::DELETE, "script") => {
            lab.orders.forget_queued();
            Ok(json!({}))
        }
        (&Method::DELETE, "always") => {
            lab.orders.set_always(None);
            Ok(json!({}))
        }
        (&Method::DELETE, "received") => {
            lab.witness.forget_received();
            Ok(json!({}))
        }
        (method, "behaviours" | "counts" | "received" | "calls" | "script" | "always") => {
            let message = format!("{method} does not go with /lab/{noun}.");
            Err((StatusCode::METHOD_NOT_ALLOWED, message))
        }
        _ => return None,
    };
    Some(match answered {
        Ok(body) => whole_of(body.to_string().into_bytes(), "application/json"),
        Err((status, message)) => {
            let body = json!({"error": {"message": message}}).to_string().into_bytes();
            Performance { status, ..whole_of(body, "application/json") }
        }
    })
}

/// The table of behaviours as JSON.
pub fn listed() -> Value {
    let row = |row: &Behaviour| json!({"name": row.name, "family": row.family, "ends": row.ends.to_string(), "description": row.description});
    behaviours().iter().map(row).collect()
}

fn counts(lab: &Lab) -> Value {
    let counts = lab.witness.counts();
    json!(Counted {
        connections: counts.connections,
        requests: counts.requests,
        finished: counts.finished,
        cancelled: counts.cancelled,
        billed: lab.witness.ledger.billed(),
    })
}

fn script(lab: &Lab, body: &[u8]) -> Result<Value, (StatusCode, String)> {
    let Scripted { behaviours } = read(body, r#"{"behaviours": ["cut-2", "echo"]}"#)?;
    let orders = orders::scripts(behaviours.iter().map(String::as_str));
    let orders = orders.map_err(|unknown| (StatusCode::BAD_REQUEST, unknown.to_string()))?;
    lab.orders.queue(orders);
    Ok(json!({"queued": lab.orders.queued()}))
}

fn always(lab: &Lab, body: &[u8]) -> Result<Value, (StatusCode, String)> {
    let Standing { behaviour } = read(body, r#"{"behaviour": "status-503"}"#)?;
    let script = orders::script(&behaviour);
    let script = script.map_err(|unknown| (StatusCode::BAD_REQUEST, unknown.to_string()))?;
    lab.orders.set_always(Some(script));
    Ok(json!({"always": behaviour}))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8], example: &str) -> Result<T, (StatusCode, String)> {
    serde_json::from_slice(body)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("The body must look like {example}: {error}.")))
}

/// A request as it may be shown: without credentials.
fn shown(received: &Received) -> Value {
    json!({
        "method": received.method.as_str(),
        "path": without_key(&received.path),
        "headers": headers(&received.headers),
        "body": body(&received.body),
    })
}

/// Google's clients may put the key into the query.
fn without_key(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name @ ("key" | "access_token"), _)) => format!("{name}={REDACTED}"),
        _ => pair.to_owned(),
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn headers(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let value = |name: &str, value: &HeaderValue| {
        if SECRET_HEADERS.contains(&name) {
            return REDACTED.to_owned();
        }
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    };
    headers.iter().map(|(name, header)| (name.as_str(), value(name.as_str(), header))).collect()
}

fn body(body: &Bytes) -> Value {
    if let Ok(json) = serde_json::from_slice(body) {
        return json;
    }
    match std::str::from_utf8(body) {
        Ok(text) => json!(text),
        Err(_) => json!({"base64": base64::engine::general_purpose::STANDARD.encode(body)}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        let mut sent = HeaderMap::new();
        for name in SECRET_HEADERS {
            sent.insert(name, HeaderValue::from_static("sk-canary"));
        }
        sent.insert("x-fault", HeaderValue::from_static("cut-2"));
        let received = Received {
            method: Method::POST,
            path: "/v1beta/models/m:generateContent?alt=sse&key=sk-canary".to_owned(),
            headers: sent,
            body: Bytes::from_static(br#"{"model":"m"}"#),
        };
        let shown = shown(&received);
        assert!(!shown.to_string().contains("canary"), "{shown}");
        assert_eq!(shown["headers"]["x-fault"], "cut-2");
        assert_eq!(shown["body"]["model"], "m");
        assert_eq!(shown["path"], "/v1beta/models/m:generateContent?alt=sse&key=[redacted]");
    }
}
