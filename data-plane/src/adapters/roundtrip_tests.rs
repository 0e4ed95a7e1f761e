//! Recorded streams, printed by the chat surface and read again: callers get what providers said.

use std::fs;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use crate::adapters::{Context, Decoder, by_name};
use crate::api::openai_chat::StreamEncoder;
use crate::api::{AnswerFacts, Bill};
use crate::model::event::{Event, fold};
use crate::model::response::{ChatResponse, FinishReason};

#[test]
fn recorded_streams_survive_the_surface() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings");
    if !root.is_dir() {
        println!("skipped: no recordings at {}", root.display());
        return;
    }
    let mut seen = 0;
    for provider in fs::read_dir(&root).expect("readable").flatten() {
        for (folder, adapter) in [("chat", "openai"), ("messages", "anthropic")] {
            for case in fs::read_dir(provider.path().join(folder)).into_iter().flatten().flatten() {
                seen += usize::from(check(&case.path(), adapter));
            }
        }
    }
    assert!(seen > 80, "only {seen} streams were found");
}

/// Whether the case is a stream that ends well; panics where it does not survive.
fn check(path: &Path, adapter: &str) -> bool {
    let file: Value = serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON");
    let Some(text) = file["response"]["body_text"].as_str() else { return false };
    let Ok(events) = read(adapter, Bytes::from(text.to_owned())) else { return false };
    let printed = print(&events);
    check_chunks(&printed, path);
    let again =
        read("openai", printed.freeze()).unwrap_or_else(|failure| panic!("{}: {failure:?}", path.display()));
    assert_eq!(essence(&fold(&again)), essence(&fold(&events)), "{}", path.display());
    true
}

fn read(adapter: &str, body: Bytes) -> Result<Vec<Event>, crate::adapters::Failure> {
    let mut decoder: Box<dyn Decoder> = by_name(adapter).expect("listed").decoder(&Context::default());
    let mut events = Vec::new();
    decoder.push(body, &mut events)?;
    decoder.finish(&mut events)?;
    Ok(events)
}

fn print(events: &[Event]) -> BytesMut {
    let facts =
        AnswerFacts { id: "gen-1".to_owned(), created: 1, model: "a/m".to_owned(), provider: "P".to_owned() };
    let (mut encoder, mut out) = (StreamEncoder::new(&facts), BytesMut::new());
    for event in events {
        encoder.event(event, &mut out);
        if let Event::Usage(usage) = event {
            encoder.usage(usage, &Bill::default(), &mut out);
        }
    }
    encoder.done(&mut out);
    out
}

/// What a strict client relies on in every chunk.
fn check_chunks(printed: &[u8], path: &Path) {
    let text = std::str::from_utf8(printed).expect("UTF-8");
    let mut opened: Vec<u64> = Vec::new();
    let mut lines = text.split_terminator("\n\n").peekable();
    while let Some(line) = lines.next() {
        let data = line.strip_prefix("data: ").unwrap_or_else(|| panic!("{}: {line}", path.display()));
        if lines.peek().is_none() {
            assert_eq!(data, "[DONE]");
            return;
        }
        let chunk: Value =
            serde_json::from_str(data).unwrap_or_else(|_| panic!("{}: {data}", path.display()));
        assert_eq!(chunk["id"], "gen-1");
        assert_eq!((&chunk["object"], &chunk["model"]), (&"chat.completion.chunk".into(), &"a/m".into()));
        for choice in chunk["choices"].as_array().expect("choices") {
            let index = choice["index"].as_u64().expect("an index");
            if !opened.contains(&index) {
                assert_eq!(choice["delta"]["role"], "assistant", "{}: {data}", path.display());
                opened.push(index);
            }
        }
    }
}

/// Index, content, reasoning, tool calls (id, name, arguments), finish and total tokens of one choice.
type Essence = (u32, String, String, Vec<(String, String, String)>, FinishReason, u64);

/// What must be the same on both sides.
fn essence(response: &ChatResponse) -> Vec<Essence> {
    let total = response.usage.map_or(0, |usage| usage.total_tokens());
    let choices = response.choices.iter().map(|choice| {
        let message = &choice.message;
        let calls = message.tool_calls.iter();
        (
            choice.index,
            message.content.clone().unwrap_or_default(),
            message.reasoning.clone().unwrap_or_default(),
            calls.map(|call| (call.id.clone(), call.name.clone(), call.arguments.clone())).collect(),
            choice.finish.reason,
            total,
        )
    });
    choices.collect()
}
