//! The canonical requests through every adapter, beside goldens that were reviewed by hand.
//!
//! A golden's members must be ones that recorded requests of its dialect use, or that the adapter's list of further
//! fields names: a misspelt one is found though the golden has it too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use switchyard_data_plane::adapters::{ADAPTERS, Adapter, Encoded, Unsupported};

use super::coverage::Coverage;
use super::exchange::{Exchange, api_of, cases, stem};
use super::probe::unwound;
use super::requests::{check_encoded, decode, encode, every_stream};
use super::settings::Settings;
use super::surfaces::difference;
use super::targets::{Endpoint, endpoints};

/// Fewer canonical requests than this prove nothing of a dialect.
const FEWEST: usize = 12;

/// Members whose values are the caller's own: schemas, arguments, tool results that are JSON.
const FREE: &[&str] = &[
    "parameters",
    "parametersJsonSchema",
    "input_schema",
    "schema",
    "responseSchema",
    "responseJsonSchema",
    "arguments",
    "args",
    "response",
    "json",
    "metadata",
    "requestMetadata",
    "logit_bias",
];

/// Members that only a gateway acts on: their loss changes nothing upstream and is not named.
const GATEWAY: &[&str] =
    &["model", "messages", "stream", "stream_options", "models", "provider", "session_id", "trace"];

/// Members that may go without a word where a provider has no place for them: the end of the path before them, the
/// name, and why the request still asks for the same.
const HINTS: &[(&str, &str, &str)] = &[
    ("", "cache_control", "prefixes are cached without marks, or not at all; the answer is the same"),
    ("", "type", "it only says what the members beside it say"),
    ("/reasoning_details/", "", "thoughts are for the provider that had them; others must not see them"),
    ("/messages/", "reasoning", "the same thoughts as text"),
    ("/messages/", "reasoning_details", "the same thoughts"),
    ("/messages/", "name", "a label of the speaker; the text says what is said"),
    ("/image_url", "detail", "how closely to look, where that can be chosen"),
    ("/file", "filename", "a label of the file; its bytes say what it is"),
    ("/function", "strict", "whether arguments are forced to fit the schema; it stays the schema"),
    ("/json_schema", "strict", "the schema holds, strictly where the provider can"),
    ("/json_schema", "name", "a label of the schema"),
    ("/json_schema", "description", "a label of the schema"),
];

/// What came of the goldens.
#[derive(Debug, Default)]
pub struct Checked {
    pub wrong: Vec<String>,
    pub count: usize,
    pub coverage: Coverage,
}

/// Checks every canonical request with every adapter.
pub fn check(settings: &Settings, exchanges: &[Exchange]) -> Checked {
    let mut checked = Checked::default();
    let paths = cases(&settings.fixtures.join("requests"));
    if paths.len() < FEWEST {
        checked.wrong.push(format!(
            "fixtures/requests: {} canonical requests, at least {FEWEST} are needed",
            paths.len()
        ));
    }
    for adapter in ADAPTERS {
        let known = known_fields(settings, exchanges, adapter.name());
        for path in &paths {
            let name = stem(path);
            match one(settings, *adapter, path, known.as_ref(), &mut checked.coverage) {
                Ok(()) => checked.count += 1,
                Err(wrong) => {
                    checked.wrong.push(format!("fixtures/{}/encoded/{name}: {wrong}", adapter.name()))
                }
            }
        }
    }
    checked
}

fn one(
    settings: &Settings,
    adapter: &dyn Adapter,
    path: &Path,
    known: Option<&BTreeSet<String>>,
    coverage: &mut Coverage,
) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let sent: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let request = decode(&sent)??;
    every_stream(adapter, &request)?;
    let encoded = written(adapter, &sent)?;
    check_encoded(&request, &encoded)?;
    check_named(adapter, &sent, &encoded)?;
    let golden = golden(&encoded)?;
    if encoded.is_ok() {
        coverage.asked(adapter.name(), &sent);
    }
    if let (Some(known), Some(body)) = (known, golden.get("body")) {
        check_fields(body, known)?;
    }
    let place = settings.fixtures.join(adapter.name()).join("encoded").join(format!("{}.json", stem(path)));
    if settings.bless { bless(&place, &golden) } else { compare(&place, &golden) }
}

/// The upstream request for a body that callers send.
fn written(adapter: &dyn Adapter, sent: &Value) -> Result<Result<Encoded, Unsupported>, String> {
    let request = decode(sent)??;
    let endpoints = endpoints(adapter)?;
    let Endpoint { model, quirks } = &endpoints[0];
    unwound(|| encode(adapter, &request, model, false, quirks))
}

fn golden(encoded: &Result<Encoded, Unsupported>) -> Result<Value, String> {
    Ok(match encoded {
        Ok(encoded) => {
            let body: Value = serde_json::from_slice(&encoded.body).map_err(|error| error.to_string())?;
            json!({"path": encoded.path, "body": body, "dropped": encoded.dropped})
        }
        Err(refused) => json!({"refused": {"field": refused.field, "message": refused.message}}),
    })
}

fn bless(place: &Path, golden: &Value) -> Result<(), String> {
    let text = serde_json::to_string_pretty(golden).map_err(|error| error.to_string())?;
    fs::create_dir_all(place.parent().unwrap_or(place)).map_err(|error| error.to_string())?;
    fs::write(place, text + "\n").map_err(|error| error.to_string())
}

fn compare(place: &Path, golden: &Value) -> Result<(), String> {
    let text = fs::read_to_string(place)
        .map_err(|_| "no golden yet: SWITCHYARD_BLESS=1 writes it; then review it by hand".to_owned())?;
    let known: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    match difference(&known, golden, "") {
        None => Ok(()),
        Some((path, (was, is))) => Err(format!("{path} was {was}, is {is}")),
    }
}

/// Nothing is left out in silence: without a member the request is another, or the member is called dropped.
fn check_named(
    adapter: &dyn Adapter,
    sent: &Value,
    encoded: &Result<Encoded, Unsupported>,
) -> Result<(), String> {
    let Ok(encoded) = encoded else { return Ok(()) };
    let mut paths = Vec::new();
    members(sent, "", &mut paths);
    let mut silent = Vec::new();
    for (holder, name) in paths {
        let mut without = sent.clone();
        let place = without.pointer_mut(&holder).and_then(Value::as_object_mut);
        let Some(value) = place.and_then(|members| members.shift_remove(&name)) else { continue };
        let is_of_tools = holder.starts_with("/tools") || name == "tools";
        let may_go =
            GATEWAY.contains(&name.as_str()) || is_hint(&holder, &name) || is_of_tools && forbids_tools(sent);
        if may_go || is_usual(&name, &value) {
            continue;
        }
        // What does not stand without the member needs it.
        let Ok(Ok(other)) = written(adapter, &without) else { continue };
        let is_same =
            other.body == encoded.body && other.path == encoded.path && other.context == encoded.context;
        if is_same && other.dropped == encoded.dropped {
            silent.push(format!("{holder}/{name}"));
        }
    }
    if silent.is_empty() { Ok(()) } else { Err(format!("left out in silence: {}", silent.join(", "))) }
}

fn is_hint(holder: &str, name: &str) -> bool {
    let holder = holder.trim_end_matches(|letter: char| letter.is_ascii_digit());
    HINTS.iter().any(|(end, hint, _)| holder.ends_with(end) && (hint.is_empty() || *hint == name))
        || holder.contains("/cache_control")
}

/// Whether the choice does not allow some or all of the tools: they need not be sent.
fn forbids_tools(sent: &Value) -> bool {
    sent["tool_choice"] == "none" || sent["tool_choice"].is_object()
}

/// Every member of a request: where it stands, and its name. Schemas are one value.
fn members(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                found.push((path.to_owned(), name.clone()));
                if !is_free(name, value) {
                    members(value, &format!("{path}/{name}"), found);
                }
            }
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, value)| members(value, &format!("{path}/{at}"), found));
        }
        _ => {}
    }
}

/// What a request says by saying nothing.
fn is_usual(name: &str, value: &Value) -> bool {
    value.is_null()
        || value == ""
        || matches!(name, "tool_choice") && value == "auto"
        || matches!(name, "response_format") && value["type"] == "text"
        || matches!(name, "parallel_tool_calls") && value == true
        || matches!(name, "n") && value == 1
        // Models that do not think by themselves need not be told.
        || matches!(name, "reasoning") && value["effort"] == "none"
        || matches!(name, "effort" | "reasoning_effort") && value == "none"
}

/// Fields of the recorded requests of an adapter's dialect, and those that its list names; none without recordings.
fn known_fields(settings: &Settings, exchanges: &[Exchange], adapter: &str) -> Option<BTreeSet<String>> {
    let mut known = BTreeSet::new();
    let recorded = exchanges.iter().filter(|exchange| !exchange.own && is_like(adapter, exchange));
    for request in recorded
        .filter(|exchange| exchange.status.is_success())
        .filter_map(|exchange| exchange.request.as_ref())
    {
        fields(request, "", &mut known);
    }
    if known.is_empty() {
        return None;
    }
    let list = fs::read_to_string(settings.fixtures.join(adapter).join("fields.txt")).unwrap_or_default();
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    known.extend(lines.map(str::to_owned));
    Some(known)
}

/// Whether an exchange shows which members an adapter may send. Mistral refuses those of its relatives, and bodies
/// that a cloud wraps lack some and have others.
fn is_like(adapter: &str, exchange: &Exchange) -> bool {
    let Some((api, speaker)) = exchange.speaker else { return false };
    let is_strict = [adapter, speaker].contains(&"mistral");
    exchange.folder != "raw_predict"
        && if is_strict { speaker == adapter } else { Some(api) == api_of(adapter) }
}

fn check_fields(body: &Value, known: &BTreeSet<String>) -> Result<(), String> {
    let mut used = BTreeSet::new();
    fields(body, "", &mut used);
    let unknown: Vec<&String> = used.difference(known).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(format!("no recorded request has {unknown:?}: a slip of the pen, or a line for fields.txt"))
}

/// The paths of a value's members, `[]` for elements; what is the caller's own is not looked into.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                found.insert(path.clone());
                if !is_free(name, value) {
                    fields(value, &path, found);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| fields(value, &format!("{path}[]"), found)),
        _ => {}
    }
}

/// Whether a member's value is the caller's own; `input` is a call's where it is an object, else a conversation.
fn is_free(name: &str, value: &Value) -> bool {
    // Chat completions wrap a schema together with its name; others have it bare.
    let is_bare_schema = name == "json_schema" && value["name"].is_null();
    is_bare_schema
        || FREE.contains(&name)
        || (name == "input" && value.is_object())
        || (name == "format" && value["type"] == "object")
}
