//! One recorded exchange, and who speaks its dialect. Names of files serve messages alone; nothing is decided by them.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

/// The wire languages that recordings are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    Chat,
    Responses,
    Messages,
    Google,
    Converse,
    Cohere,
    Ollama,
}

/// A folder of recordings, the provider that it is narrowed to, its language, and the adapter that speaks it.
const SPEAKERS: &[(&str, Option<&str>, Api, &str)] = &[
    ("chat", Some("azure"), Api::Chat, "azure"),
    ("chat", Some("mistral"), Api::Chat, "mistral"),
    ("chat", None, Api::Chat, "openai"),
    ("responses", None, Api::Responses, "openai_responses"),
    ("messages", None, Api::Messages, "anthropic"),
    ("raw_predict", None, Api::Messages, "anthropic"),
    ("generate_content", Some("vertex"), Api::Google, "vertex"),
    ("generate_content", None, Api::Google, "gemini"),
    ("converse", None, Api::Converse, "bedrock"),
    ("chat_v2", None, Api::Cohere, "cohere"),
    ("native_chat", None, Api::Ollama, "ollama"),
];

/// Language and adapter of a folder; a provider nobody knows is spoken to as its dialect's generic one.
pub fn speaker(provider: &str, folder: &str) -> Option<(Api, &'static str)> {
    let row =
        SPEAKERS.iter().find(|(api, only, ..)| *api == folder && only.is_none_or(|only| only == provider));
    row.map(|(_, _, api, adapter)| (*api, *adapter))
}

/// The language that an adapter speaks.
pub fn api_of(adapter: &str) -> Option<Api> {
    SPEAKERS.iter().find(|row| row.3 == adapter).map(|row| row.2)
}

/// One request and the answer that a provider gave.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Where it is, for messages.
    pub place: String,
    pub provider: String,
    /// The folder that names the kind of call.
    pub folder: String,
    pub speaker: Option<(Api, &'static str)>,
    /// Whether the repository itself has it.
    pub own: bool,
    pub request: Option<Value>,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether the recording holds the body's bytes or text, and not only its JSON value.
    pub has_text: bool,
    /// The sizes in which the body arrived; empty where nobody noted them.
    pub chunk_sizes: Vec<usize>,
}

/// The exchanges below `root`, which has a folder per provider and in it one per kind of call.
pub fn recordings(root: &Path) -> Result<Vec<Exchange>, String> {
    let mut exchanges = Vec::new();
    for provider in folders_in(root) {
        for folder in folders_in(&provider) {
            let (provider, kind) = (name(&provider), name(&folder));
            let speaker = speaker(&provider, &kind);
            for path in cases(&folder) {
                let place = format!("{provider}/{kind}/{}", stem(&path));
                exchanges.push(read(&path, place, &provider, &kind, speaker)?);
            }
        }
    }
    Ok(exchanges)
}

/// The repository's own exchanges: a folder per adapter.
pub fn fixtures(root: &Path) -> Result<Vec<Exchange>, String> {
    let mut exchanges = Vec::new();
    for folder in folders_in(root) {
        let adapter = name(&folder);
        let known = SPEAKERS.iter().find(|row| row.3 == adapter);
        for path in cases(&folder.join("answers")) {
            let place = format!("fixtures/{adapter}/{}", stem(&path));
            let row = known.ok_or_else(|| format!("{place}: no adapter has the name `{adapter}`"))?;
            let exchange = read(&path, place, &adapter, row.0, Some((row.2, row.3)))?;
            exchanges.push(Exchange { own: true, ..exchange });
        }
    }
    Ok(exchanges)
}

/// The entries of a folder in a steady order.
pub fn list(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    list(folder).into_iter().filter(|path| path.is_dir()).collect()
}

/// The JSON files of a folder.
pub fn cases(folder: &Path) -> Vec<PathBuf> {
    list(folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
}

/// The last part of a path.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The last part of a path without its ending.
pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(
    path: &Path,
    place: String,
    provider: &str,
    folder: &str,
    speaker: Option<(Api, &'static str)>,
) -> Result<Exchange, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{place}: {error}"))?;
    let file: Value = serde_json::from_str(&text).map_err(|error| format!("{place}: {error}"))?;
    let response = &file["response"];
    let status = response["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let speaker = speaker.map(|known| hosted(folder, response, known));
    let (body, has_text) = body(response).ok_or_else(|| format!("{place}: body_base64 is no base64"))?;
    let sizes = response["chunk_sizes"].as_array();
    Ok(Exchange {
        provider: provider.to_owned(),
        folder: folder.to_owned(),
        speaker,
        own: false,
        request: Some(file["request"]["body"].clone()).filter(|body| !body.is_null()),
        status: status.ok_or_else(|| format!("{place}: no status"))?,
        headers: headers(&response["headers"]),
        body,
        has_text,
        chunk_sizes: sizes
            .into_iter()
            .flatten()
            .filter_map(|size| size.as_u64())
            .map(|size| size as usize)
            .collect(),
        place,
    })
}

/// Google hands calls to other publishers' models on as they are; most are Anthropic's, some speak chat completions.
fn hosted(folder: &str, response: &Value, known: (Api, &'static str)) -> (Api, &'static str) {
    let streamed = response["body_text"].as_str().into_iter().flat_map(str::lines);
    let first =
        streamed.filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok()).next();
    let answer = first.as_ref().unwrap_or(&response["body"]);
    let is_chat = folder == "raw_predict" && answer.get("choices").is_some();
    if is_chat { (Api::Chat, "openai") } else { known }
}

/// The bytes, and whether they are as they were received.
fn body(response: &Value) -> Option<(Bytes, bool)> {
    if let Some(text) = response["body_text"].as_str() {
        return Some((Bytes::from(text.to_owned()), true));
    }
    if let Some(base64) = response["body_base64"].as_str() {
        return Some((Bytes::from(STANDARD.decode(base64).ok()?), true));
    }
    match response.get("body") {
        None | Some(Value::Null) => Some((Bytes::new(), false)),
        Some(body) => Some((Bytes::from(body.to_string()), false)),
    }
}

/// Headers that cannot be HTTP are left out: a recording tool may have masked them.
fn headers(recorded: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in recorded.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let value = HeaderValue::from_str(&text).ok();
        if let (Ok(name), Some(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
            headers.insert(name, value);
        }
    }
    headers
}
