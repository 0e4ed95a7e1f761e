//! What a streamed chunk costs from a provider's bytes to a caller's, per dialect, and what a big request costs.
//!
//! Times are per chunk (one upstream event), over every stream of the recordings beside the repository, or of our own
//! fixtures where there are none. Read them beside the calibration row: machines differ.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, iter};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use switchyard_data_plane::adapters::{ADAPTERS, Adapter, Context, Target, by_name};
use switchyard_data_plane::api::openai_chat::{self, StreamEncoder};
use switchyard_data_plane::api::{AnswerFacts, Bill};
use switchyard_data_plane::model::event::Event;
use switchyard_data_plane::model::media::NOTHING;
use switchyard_data_plane::model::parameter::Parameters;

/// Where streams of an adapter are found: folders of the recordings.
const FOLDERS: [(&str, &str); 9] = [
    ("openai", "chat"),
    ("azure", "chat"),
    ("mistral", "chat"),
    ("openai_responses", "responses"),
    ("anthropic", "messages"),
    ("gemini", "generate_content"),
    ("bedrock", "converse"),
    ("cohere", "chat_v2"),
    ("ollama", "native_chat"),
];

fn streams(adapter: &str) -> Vec<Bytes> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recordings = home.join("../../shared/recordings");
    let folder = FOLDERS.iter().find(|(name, _)| *name == adapter).map(|(_, folder)| *folder);
    let mut folders = vec![home.join("fixtures").join(adapter).join("answers")];
    for provider in list(&recordings) {
        let name = provider.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let own = matches!(name.as_str(), "azure" | "mistral");
        if folder != Some("chat") || name == adapter || (adapter == "openai" && !own) {
            folders.extend(folder.map(|folder| provider.join(folder)));
        }
    }
    folders.iter().flat_map(|folder| list(folder)).filter_map(|path| stream(&path)).collect()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn stream(path: &Path) -> Option<Bytes> {
    let file: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let response = &file["response"];
    if response["status"] != 200 {
        return None;
    }
    let text = response["body_text"].as_str().map(|text| Bytes::from(text.to_owned()));
    text.or_else(|| STANDARD.decode(response["body_base64"].as_str()?).ok().map(Bytes::from))
}

/// Decodes a stream and prints it for a caller; says how many chunks of content that were.
fn carry(adapter: &dyn Adapter, body: &Bytes, facts: &AnswerFacts, out: &mut BytesMut) -> Option<u64> {
    let mut decoder = adapter.decoder(&Context::default());
    let mut encoder = StreamEncoder::new(facts);
    let (mut events, mut chunks) = (Vec::with_capacity(4), 0);
    // A read of the size that networks deliver holds a few events.
    for at in (0..body.len()).step_by(512) {
        decoder.push(body.slice(at..body.len().min(at + 512)), &mut events).ok()?;
        chunks += print(&mut events, &mut encoder, out);
    }
    decoder.finish(&mut events).ok()?;
    Some(chunks + print(&mut events, &mut encoder, out))
}

fn print(events: &mut Vec<Event>, encoder: &mut StreamEncoder, out: &mut BytesMut) -> u64 {
    let mut chunks = 0;
    for event in events.drain(..) {
        chunks += u64::from(matches!(event, Event::Chunk(_)));
        encoder.event(&event, out);
        if let Event::Usage(usage) = event {
            encoder.usage(&usage, &Bill::default(), out);
        }
    }
    black_box(&out);
    out.clear();
    chunks
}

/// The time of `iters` chunks, measured over whole streams.
fn per_chunk(iters: u64, round: &mut dyn FnMut() -> u64) -> Duration {
    let (began, mut chunks) = (Instant::now(), 0);
    while chunks < iters {
        chunks += round().max(1);
    }
    began.elapsed().mul_f64(iters as f64 / chunks as f64)
}

fn chunks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunk");
    let facts =
        AnswerFacts { id: "gen-1".to_owned(), created: 1, model: "a/m".to_owned(), provider: "P".to_owned() };
    for adapter in ADAPTERS {
        let mut out = BytesMut::with_capacity(64 << 10);
        let mut streams = streams(adapter.name());
        streams.retain(|body| carry(*adapter, body, &facts, &mut out).is_some_and(|chunks| chunks > 0));
        if streams.is_empty() {
            continue;
        }
        let mut next = streams.iter().cycle();
        let mut round = || next.next().and_then(|body| carry(*adapter, body, &facts, &mut out)).unwrap_or(0);
        group.bench_function(adapter.name(), |bencher| {
            bencher.iter_custom(|iters| per_chunk(iters, &mut round));
        });
    }
    group.finish();
}

fn requests(criterion: &mut Criterion) {
    let word = "All work and no play makes Jack a dull boy. ";
    let said: String = iter::repeat_n(word, 300 * 1024 / word.len()).collect();
    let body = json!({"model": "a/m", "stream": true, "max_tokens": 100, "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": said}]});
    let body = Bytes::from(body.to_string());
    let request = openai_chat::decode(body.clone()).expect("a request");
    let mut group = criterion.benchmark_group("request of 300 KB");
    group.bench_function("read", |bencher| bencher.iter(|| openai_chat::decode(body.clone()).is_ok()));
    for adapter in ["openai", "anthropic"].into_iter().filter_map(by_name) {
        let quirks = adapter.quirks();
        let target = Target {
            model: "m",
            output_cap: None,
            stream: true,
            quirks: &quirks,
            fetched: &NOTHING,
            supported: Parameters::NONE,
            tier: None,
        };
        group.bench_function(format!("write, {}", adapter.name()), |bencher| {
            bencher.iter(|| adapter.encode(&request, &target).map(|encoded| encoded.body.len()));
        });
    }
    group.finish();
}

/// Work that does not change with this project: what a chunk costs in units of it can be compared between machines.
fn calibration(criterion: &mut Criterion) {
    let chunk = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,
        "delta":{"content":"Hello"},"finish_reason":null}],"usage":null}"#;
    criterion.bench_function("calibration: serde_json, one small chunk to Value and back", |bencher| {
        bencher.iter(|| {
            serde_json::from_str::<Value>(black_box(chunk)).map(|value| value.to_string().len()).ok()
        });
    });
}

criterion_group!(benches, calibration, chunks, requests);
criterion_main!(benches);
