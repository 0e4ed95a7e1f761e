//! Recorded requests: read by the surface, written again in the same dialect, and through every adapter.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use switchyard_data_plane::adapters::quirks::{CacheMarks, CapField, ReasoningStyle, ReplayField};
use switchyard_data_plane::adapters::{ADAPTERS, Adapter, Encoded, Quirks, Target, Unsupported, by_name};
use switchyard_data_plane::api::openai_chat;
use switchyard_data_plane::model::facts::Media;
use switchyard_data_plane::model::media::{Fetched, FetchedFile};
use switchyard_data_plane::model::message::PartContent;
use switchyard_data_plane::model::parameter::Parameters;
use switchyard_data_plane::model::request::ChatRequest;

use super::compare::shown;
use super::exchange::Exchange;
use super::probe::unwound;
use super::surfaces::difference;
use super::targets::{Endpoint, endpoints};

/// A one-pixel PNG and a PDF of one line, for URLs that an adapter wants the bytes of.
pub const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const PDF: &str = "JVBERi0xLjQKJSVFT0YK";

/// Checks a recorded request of the chat-completions dialect. Returns the surface's words where it refuses one that
/// the provider took: a provider's own forms are not the surface's.
pub fn check(exchange: &Exchange) -> Result<Option<String>, String> {
    let Some(sent) = exchange.request.as_ref().filter(|_| exchange.folder == "chat") else { return Ok(None) };
    let request = match decode(sent)? {
        Ok(request) => request,
        Err(refused) if refused.starts_with(':') => {
            return Err(format!("the surface names no member: {refused}"));
        }
        // The provider did not understand it either.
        Err(_) if exchange.status.is_client_error() => return Ok(None),
        Err(refused) => return Ok(Some(refused)),
    };
    same_again(sent, &request)?;
    every_adapter(&request).map(|()| None)
}

/// Reads a request as the surface does.
pub fn decode(sent: &Value) -> Result<Result<ChatRequest, String>, String> {
    let body = Bytes::from(sent.to_string());
    unwound(|| openai_chat::decode(body).map_err(|refused| format!("{}: {}", refused.field, refused.message)))
}

/// Makes a body what it is expected to become.
type Normalise = fn(&mut Map<String, Value>);

/// What encoding for the same dialect changes on purpose, each with its reason.
const NORMALISATIONS: &[(&str, Normalise)] = &[
    ("null says nothing, and strict providers refuse it", |body| body.retain(|_, value| !value.is_null())),
    ("the model is the endpoint's", |body| set(body, "model", "the-model".into())),
    ("a stream always reports its usage", |body| {
        if body.get("stream") == Some(&Value::Bool(true)) {
            let mut options = body.remove("stream_options").unwrap_or_else(|| json!({}));
            options["include_usage"] = true.into();
            set(body, "stream_options", options);
        } else {
            body.remove("stream_options");
        }
    }),
    ("no stream is asked for by saying nothing", |body| {
        body.remove("stream")
            .filter(|stream| stream == true)
            .into_iter()
            .for_each(|stream| set(body, "stream", stream));
    }),
    ("two caps are one: the smaller", |body| {
        if body.contains_key("max_tokens") && body.contains_key("max_completion_tokens") {
            let caps = [body.remove("max_tokens"), body.remove("max_completion_tokens")];
            let least = caps.iter().flatten().filter_map(Value::as_u64).min();
            set(body, "max_completion_tokens", least.into());
        }
    }),
    ("without tools, members about them are errors", |body| {
        let has_tools =
            |name: &str| body.get(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        if !has_tools("tools") && !has_tools("functions") {
            for name in ["tools", "functions", "tool_choice", "function_call", "parallel_tool_calls"] {
                body.remove(name);
            }
        }
    }),
    ("an empty stop stops nothing", |body| {
        body.retain(|name, value| name != "stop" || (!is_empty_stop(value)));
    }),
];

fn is_empty_stop(stop: &Value) -> bool {
    stop == "" || stop.as_array().is_some_and(|stops| stops.iter().all(|stop| stop == ""))
}

fn set(body: &mut Map<String, Value>, name: &str, value: Value) {
    body.insert(name.to_owned(), value);
}

/// Recorded request, canonical, written again: the same JSON but for the normalisations.
fn same_again(sent: &Value, request: &ChatRequest) -> Result<(), String> {
    let Value::Object(mut expected) = sent.clone() else { return Err("the request is no object".to_owned()) };
    NORMALISATIONS.iter().for_each(|(_, normalise)| normalise(&mut expected));
    let has_old_cap = expected.contains_key("max_tokens");
    let quirks = Quirks {
        cap_field: if has_old_cap { CapField::MaxTokens } else { CapField::MaxCompletionTokens },
        router_fields: true,
        reasoning: ReasoningStyle::Object,
        replay: ReplayField::Leave,
        cache_marks: CacheMarks::Keep,
        ..Quirks::default()
    };
    let adapter = by_name("openai").ok_or("no adapter openai")?;
    let encoded = unwound(|| encode(adapter, request, "the-model", request.stream, &quirks))?;
    let encoded = encoded.map_err(|refused| format!("its own dialect refuses it: {refused}"))?;
    let body: Value = serde_json::from_slice(&encoded.body).map_err(|_| "encoded to what is no JSON")?;
    match difference(&Value::Object(expected), &body, "") {
        None if encoded.dropped.is_empty() => Ok(()),
        None => Err(format!("the same request, but called dropped: {:?}", encoded.dropped)),
        Some((path, (was, is))) => {
            Err(format!("encoded otherwise: {path} was {}, is {}", shown(&was), shown(&is)))
        }
    }
}

/// Encodes with whatever the adapter wants fetched.
pub fn encode(
    adapter: &dyn Adapter,
    request: &ChatRequest,
    model: &str,
    stream: bool,
    quirks: &Quirks,
) -> Result<Encoded, Unsupported> {
    let fetched = fetched(adapter, request, quirks);
    let supported = Parameters::NONE;
    adapter.encode(
        request,
        &Target { model, output_cap: None, stream, quirks, fetched: &fetched, supported, tier: None },
    )
}

/// What stands behind the URLs of a request, as far as the adapter must have it.
fn fetched(adapter: &dyn Adapter, request: &ChatRequest, quirks: &Quirks) -> Fetched {
    let mut fetched = Fetched::default();
    for message in request.messages.get().into_iter().flatten() {
        for part in &message.content {
            let (media, url, media_type, base64) = match &part.content {
                PartContent::Image { url, .. } => (Media::Image, url, "image/png", PNG),
                PartContent::File { data: Some(url), .. } => (Media::File, url, "application/pdf", PDF),
                _ => continue,
            };
            if url.starts_with("http") && adapter.must_fetch(media, url, quirks) {
                let file = FetchedFile { media_type: media_type.to_owned(), base64: base64.to_owned() };
                fetched.0.insert(url.clone(), file);
            }
        }
    }
    fetched
}

/// Every adapter takes it or refuses it by name, whole and streamed.
pub fn every_adapter(request: &ChatRequest) -> Result<(), String> {
    ADAPTERS.iter().try_for_each(|adapter| every_stream(*adapter, request))
}

/// An adapter takes it or refuses it by name, for each of its endpoints, whole and streamed.
pub fn every_stream(adapter: &dyn Adapter, request: &ChatRequest) -> Result<(), String> {
    for Endpoint { model, quirks } in endpoints(adapter)? {
        for stream in [false, true] {
            let encoded = unwound(|| encode(adapter, request, model, stream, &quirks));
            let sound = encoded.and_then(|encoded| check_encoded(request, &encoded));
            sound.map_err(|wrong| format!("{}, {model}, stream {stream}: {wrong}", adapter.name()))?;
        }
    }
    Ok(())
}

/// What is true of every upstream request and of every refusal.
pub fn check_encoded(request: &ChatRequest, encoded: &Result<Encoded, Unsupported>) -> Result<(), String> {
    let encoded = match encoded {
        Ok(encoded) => encoded,
        Err(refused) if refused.field.is_empty() || !refused.message.contains(&refused.field) => {
            return Err(format!("refused without naming the member: {refused:?}"));
        }
        Err(_) => return Ok(()),
    };
    let body: Value = serde_json::from_slice(&encoded.body).map_err(|_| "encoded to what is no JSON")?;
    if !body.is_object() || !encoded.path.starts_with('/') || encoded.method != http::Method::POST {
        return Err(format!("{} {} with {}", encoded.method, encoded.path, shown(&body.to_string())));
    }
    if encoded.headers.get("content-type").is_none_or(|kind| kind != "application/json") {
        return Err("no content-type: application/json".to_owned());
    }
    let dropped: BTreeSet<&str> = encoded.dropped.iter().map(AsRef::as_ref).collect();
    if dropped.contains("") || dropped.len() != encoded.dropped.len() {
        return Err(format!("dropped without a name, or twice: {:?}", encoded.dropped));
    }
    check_kept(request, &body, &dropped)
}

/// No text of the prompt is lost, unless its place is named.
fn check_kept(request: &ChatRequest, body: &Value, dropped: &BTreeSet<&str>) -> Result<(), String> {
    let mut said = String::new();
    leaves(body, &mut said);
    let messages = request.messages.get().map_err(|invalid| invalid.to_string())?;
    for (at, message) in messages.iter().enumerate() {
        let is_named = dropped.iter().any(|path| path.starts_with(&format!("messages[{at}]")));
        let texts = message.content.iter().filter_map(|part| match &part.content {
            PartContent::Text(text) => Some(text),
            _ => None,
        });
        for text in texts.filter(|_| !is_named) {
            // A tool's result that is JSON may travel as a value.
            let is_value = message.tool_call_id.is_some() && serde_json::from_str::<Value>(text).is_ok();
            if !is_value && !said.contains(&squeezed(text)) {
                return Err(format!("messages[{at}] lost the text {}", shown(text)));
            }
        }
    }
    Ok(())
}

/// The strings of a value, one after the other, without white space.
fn leaves(value: &Value, said: &mut String) {
    match value {
        Value::String(text) => said.push_str(&squeezed(text)),
        Value::Array(list) => list.iter().for_each(|value| leaves(value, said)),
        Value::Object(members) => members.values().for_each(|value| leaves(value, said)),
        _ => {}
    }
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace()).collect()
}
