//! Writes recorded answers as the first inputs: `seeds CORPUS FOLDER…`, a folder per target under CORPUS.
//!
//! Folders hold exchanges in the recordings' format, `<provider>/<api>/<case>.json` or `<adapter>/answers/<case>.json`.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use switchyard_data_plane::wire::eventstream::FrameParser;

/// The folder that tells the dialect, and its adapter. Own fixtures are sorted by adapter already.
const DIALECTS: [(&str, &str); 8] = [
    ("chat", "openai"),
    ("responses", "openai_responses"),
    ("messages", "anthropic"),
    ("generate_content", "gemini"),
    ("converse", "bedrock"),
    ("chat_v2", "cohere"),
    ("native_chat", "ollama"),
    ("raw_predict", "anthropic"),
];

fn main() {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let corpus = arguments.next().expect("usage: seeds CORPUS FOLDER...");
    let mut written = 0;
    for folder in arguments {
        for provider in list(&folder) {
            for api in list(&provider) {
                for case in list(&api) {
                    written += usize::from(seed(&corpus, &case).is_some());
                }
            }
        }
    }
    println!("{written} seeds under {}", corpus.display());
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Writes one exchange; None where no adapter speaks it.
fn seed(corpus: &Path, case: &Path) -> Option<()> {
    let api = case.parent()?.file_name()?.to_str()?;
    let provider = case.parent()?.parent()?.file_name()?.to_str()?;
    let adapter = match (provider, api) {
        (adapter, "answers") => adapter,
        ("mistral" | "azure", "chat") => provider,
        _ => DIALECTS.iter().find(|(name, _)| *name == api)?.1,
    };
    let file: Value = serde_json::from_slice(&fs::read(case).ok()?).ok()?;
    let response = &file["response"];
    let text = response["body_text"].as_str().map(|text| text.as_bytes().to_vec());
    let bytes = response["body_base64"].as_str().and_then(|text| STANDARD.decode(text).ok());
    let streamed = text.or(bytes);
    let kind = if streamed.is_some() { "stream" } else { "answer" };
    let body = streamed.unwrap_or_else(|| response["body"].to_string().into_bytes());
    let body = if adapter == "bedrock" && kind == "stream" { told(&body) } else { body };
    let name = case.file_stem()?.to_str()?;
    for target in [format!("{kind}-{adapter}"), format!("frames-{}", frames(adapter))] {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder).ok()?;
        // The first byte seeds the cuts.
        fs::write(folder.join(format!("{provider}-{name}")), [&[b'7'], &body[..]].concat()).ok()?;
    }
    Some(())
}

fn frames(adapter: &str) -> &'static str {
    match adapter {
        "bedrock" => "eventstream",
        "ollama" => "lines",
        _ => "sse",
    }
}

/// Frames as lines of `eventType payload`, which the fuzzer frames again.
fn told(body: &[u8]) -> Vec<u8> {
    let (mut parser, mut lines) = (FrameParser::default(), Vec::new());
    parser.push(body);
    while let Ok(Some(frame)) = parser.next_frame() {
        let exception = frame.header(":exception-type").map(|kind| format!("!{kind}"));
        let kind = exception.or_else(|| frame.header(":event-type").map(str::to_owned)).unwrap_or_default();
        lines.extend([kind.as_bytes(), b" ", frame.payload(), b"\n"].concat());
    }
    lines
}
