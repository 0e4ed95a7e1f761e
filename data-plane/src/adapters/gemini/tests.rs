//! Recorded and written exchanges: whole or byte by byte, the same answer or the same failure.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::adapters::{Adapter, Context, Failure, Target, by_name};
use crate::model::event::{Event, fold};
use crate::model::response::ChatResponse;

#[test]
fn exchanges_read_the_same_in_any_pieces() {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recordings = crate_root.join("../../shared/recordings");
    if !recordings.is_dir() {
        println!("skipped: no recordings at {}", recordings.display());
    }
    let folders = [
        ("gemini", recordings.join("google/generate_content"), 0),
        ("vertex", recordings.join("vertex/generate_content"), 0),
        ("gemini", crate_root.join("fixtures/gemini/answers"), 20),
        ("vertex", crate_root.join("fixtures/vertex/answers"), 3),
    ];
    for (name, folder, least) in folders {
        let adapter = by_name(name).expect("listed");
        let cases: Vec<_> = fs::read_dir(&folder).into_iter().flatten().flatten().collect();
        assert!(cases.len() >= least, "only {} in {}", cases.len(), folder.display());
        for case in cases {
            check(adapter, &case.path());
        }
    }
}

fn check(adapter: &dyn Adapter, path: &Path) {
    let file: Value = serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON");
    let response = &file["response"];
    let status = response["status"].as_u64().and_then(|code| u16::try_from(code).ok()).expect("a status");
    let status = StatusCode::from_u16(status).expect("a status");
    let body = match response["body_text"].as_str() {
        Some(text) => Bytes::from(text.to_owned()),
        None => Bytes::from(response["body"].to_string()),
    };
    if !status.is_success() {
        let failure = adapter.failure(status, &HeaderMap::new(), &body);
        assert!(
            failure.status == Some(status) && failure.provider_code.is_some(),
            "{}: {failure:?}",
            path.display()
        );
        return;
    }
    let whole = run(adapter, [body.clone()]);
    let bytes = run(adapter, (0..body.len()).map(|at| body.slice(at..=at)));
    assert_eq!(format!("{whole:?}"), format!("{bytes:?}"), "{}", path.display());
    let tags = file["tags"].as_array().cloned().unwrap_or_default();
    let fails = ["refusal", "odd_finish", "stream_error", "error_in_200"];
    let may_fail = fails.iter().any(|tag| tags.contains(&Value::from(*tag)));
    match whole {
        Ok(answer) => check_answer(&answer, path),
        Err(failure) => assert!(may_fail, "{}: {failure:?}", path.display()),
    }
}

fn run(adapter: &dyn Adapter, pieces: impl IntoIterator<Item = Bytes>) -> Result<ChatResponse, Failure> {
    let (mut decoder, mut events): (_, Vec<Event>) = (adapter.decoder(&Context::default()), Vec::new());
    for piece in pieces {
        decoder.push(piece, &mut events)?;
    }
    decoder.finish(&mut events)?;
    Ok(fold(&events))
}

fn check_answer(answer: &ChatResponse, path: &Path) {
    assert!(!answer.choices.is_empty(), "{}", path.display());
    if let Some(usage) = &answer.usage {
        assert!(usage.adds_up(), "{}: {usage:?}", path.display());
        let total = usage.reported_total_tokens.unwrap_or(usage.total_tokens());
        assert_eq!(usage.total_tokens(), total, "{}", path.display());
    }
}

#[test]
fn signatures_on_several_texts_survive_the_way_to_the_caller_and_back() {
    let parts = json!([
        {"text": "Erst", "thoughtSignature": "YQ=="}, {"text": " dann", "thoughtSignature": "Yg=="}, {"text": "."},
    ]);
    let body =
        json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]});
    let (adapter, headers) = (by_name("gemini").expect("listed"), HeaderMap::new());
    let answer = adapter
        .decode(StatusCode::OK, &headers, &Bytes::from(body.to_string()), &Context::default())
        .unwrap();
    let message = &answer.choices[0].message;
    let request = json!({"model": "a/b", "messages": [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": message.content, "reasoning_details": message.reasoning_details},
        {"role": "user", "content": "v"},
    ]});
    let request = crate::api::openai_chat::decode(Bytes::from(request.to_string())).unwrap();
    let quirks = adapter.quirks();
    let target = Target {
        model: "m",
        output_cap: None,
        stream: false,
        quirks: &quirks,
        fetched: &crate::model::media::NOTHING,
        supported: crate::model::parameter::Parameters::NONE,
        tier: None,
    };
    let sent: Value = serde_json::from_slice(&adapter.encode(&request, &target).unwrap().body).unwrap();
    assert_eq!(sent["contents"][1]["parts"], parts);
}
