//! The vocabularies' files against recorded answers, and single answers against a small vocabulary.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::vocabulary::Vocabulary;
use super::*;
use crate::adapters::{ADAPTERS, vocabulary as files};
use crate::wire::eventstream::frame;

/// Folders of the recordings, `provider/api` with `*` for any, and the file that knows their answers.
const RECORDED: &[(&str, &str)] = &[
    ("mistral/chat", "mistral.txt"),
    ("*/chat", "openai.txt"),
    ("*/messages", "anthropic.txt"),
    ("vertex/raw_predict", "anthropic.txt"),
    ("*/generate_content", "gemini.txt"),
    ("bedrock/converse", "bedrock.txt"),
    ("cohere/chat_v2", "cohere.txt"),
    ("ollama/native_chat", "ollama.txt"),
    ("*/responses", "openai_responses.txt"),
];

const BLESS: &str = "SWITCHYARD_BLESS";

struct Recorded {
    name: String,
    file: &'static str,
    media: Option<String>,
    body: Vec<u8>,
}

impl Recorded {
    fn answer(&self) -> Answer<'_> {
        Answer { media: self.media.as_deref(), body: &self.body, extent: Extent::Whole }
    }
}

fn recordings() -> Vec<Recorded> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings");
    let list = |path: &Path| -> Vec<PathBuf> {
        let mut paths: Vec<_> =
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let apis = list(&root).into_iter().flat_map(|provider| list(&provider));
    let cases = apis.filter_map(|api| {
        let name = api.strip_prefix(&root).ok()?.to_str()?.to_owned();
        let kind = name.split_once('/')?.1;
        let fits = |pattern: &str| pattern == name || pattern.strip_prefix("*/") == Some(kind);
        let (_, file) = RECORDED.iter().find(|(pattern, _)| fits(pattern))?;
        Some((*file, api))
    });
    let all: Vec<_> =
        cases.flat_map(|(file, api)| list(&api).into_iter().map(move |path| read(file, &path))).collect();
    if all.is_empty() {
        println!("skipped: no recordings at {}", root.display());
    }
    all
}

fn read(file: &'static str, path: &Path) -> Recorded {
    let exchange: Value = serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON");
    let response = &exchange["response"];
    let body = match (response["body_text"].as_str(), response["body_base64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(base64)) => STANDARD.decode(base64).expect("base64"),
        (None, None) => response["body"].to_string().into_bytes(),
    };
    let media = response["headers"]["content-type"].as_str().map(str::to_owned);
    Recorded { name: path.display().to_string(), file, media, body }
}

#[test]
fn recorded_answers_hold_nothing_that_their_vocabulary_does_not_know() {
    let recordings = recordings();
    for (file, _) in files::ALL {
        let of_file: Vec<_> = recordings.iter().filter(|recorded| recorded.file == *file).collect();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/adapters/vocabulary").join(file);
        let mut text = fs::read_to_string(&path).expect("readable");
        if std::env::var_os(BLESS).is_some() {
            let mut vocabulary = Vocabulary::parse(&text).expect("a vocabulary");
            of_file.iter().for_each(|recorded| learn::learn(&mut vocabulary, &recorded.answer()));
            text = learn::write(&vocabulary, &text);
            fs::write(&path, &text).expect("writable");
        }
        let vocabulary = Vocabulary::parse(&text).expect("a vocabulary");
        let strange: Vec<String> = of_file
            .iter()
            .flat_map(|recorded| {
                let found = findings(&vocabulary, &recorded.answer());
                found.into_iter().map(|finding| format!("{}: {finding:?}", recorded.name))
            })
            .collect();
        assert!(
            strange.is_empty(),
            "{file}: {} unknown shapes. Read them, and if the adapter copes with them, run this with {BLESS}=1:\n{}",
            strange.len(),
            strange.join("\n")
        );
    }
}

#[test]
fn every_file_is_read_and_says_what_it_is() {
    for (file, vocabulary) in files::ALL {
        assert!(vocabulary.knows_media("Application/JSON"), "{file}: bodies are JSON");
        assert!(!vocabulary.knows_event("novelty"), "{file}");
    }
}

#[test]
fn every_adapter_tells_its_vocabulary() {
    for adapter in ADAPTERS {
        assert!(adapter.vocabulary().is_some(), "{}: name its file of adapters/vocabulary", adapter.name());
    }
}

const SMALL: &str = "
@form json events lines list frames
@media application/json text/event-stream
@name type
@body answer
@event start stop
start as $
id string
finish string: stop length
parts[].text string
parts[].more as parts[]
count number
open any
map.* number
start.named boolean
";

fn small() -> Vocabulary {
    Vocabulary::parse(SMALL).expect("a vocabulary")
}

#[track_caller]
fn check(body: &str, expected: &[(Kind, &str, &str)]) {
    check_bytes(body.as_bytes(), Extent::Whole, expected);
}

#[track_caller]
fn check_bytes(body: &[u8], extent: Extent, expected: &[(Kind, &str, &str)]) {
    let found = findings(&small(), &Answer { media: None, body, extent });
    let found: Vec<_> = found.iter().map(|one| (one.kind, one.path.as_str(), one.detail.as_str())).collect();
    assert_eq!(found, expected, "{}", String::from_utf8_lossy(body));
}

#[test]
fn what_is_known_is_no_finding() {
    for body in [
        "",
        " \n",
        "{}",
        r#"{"id":"x","finish":"stop","parts":[{"text":"t"}],"count":1.5}"#,
        r#"{"id":null,"finish":null,"parts":null,"count":null,"map":null}"#,
        r#"{"finish":""}"#,
        r#"{"open":{"anything":[{"deep":1}]},"map":{"jane@example.com":1,"b":2}}"#,
        r#"{"parts":[{"more":{"more":{"text":"t"}}}]}"#,
        r#"{"type":"answer","id":"x"}"#,
        "data: {\"type\":\"start\",\"id\":\"x\"}\n\ndata: [DONE]\n\n",
        "event: stop\ndata: {}\n\n: comment\n\n",
        ": only a comment\n\n",
        "{\"id\":\"x\"}\n{\"id\":\"y\"}\n",
        r#"[{"id":"x"},{"id":"y"}]"#,
    ] {
        check(body, &[]);
    }
}

#[test]
fn what_is_not_known_is_told_by_its_place_and_shape() {
    use Kind::{Event, Field, Type, Word};
    check(r#"{"mood":"secret"}"#, &[(Field, "mood", "string")]);
    check(r#"{"mood":{"inner":{"deep":1}}}"#, &[(Field, "mood", "object")]);
    check(r#"{"mood":null}"#, &[(Field, "mood", "null")]);
    check(r#"{"parts":[{"text":"a"},{"tone":1},{"tone":2}]}"#, &[(Field, "parts[].tone", "number")]);
    check(r#"{"parts":[{"more":{"tone":true}}]}"#, &[(Field, "parts[].more.tone", "boolean")]);
    check(r#"{"id":7}"#, &[(Type, "id", "number")]);
    check(r#"{"parts":{"text":"a"}}"#, &[(Type, "parts", "object")]);
    check(r#"{"map":{"jane@example.com":"x"}}"#, &[(Type, "map.*", "string")]);
    check(r#"{"finish":"paused"}"#, &[(Word, "finish", "paused")]);
    check("\"text\"", &[(Type, "$", "string")]);
    check("[1]", &[(Type, "$", "number")]);
    check("data: {\"type\":\"novelty\",\"mood\":1}\n\n", &[(Event, "$", "novelty")]);
    check("event: novelty\ndata: {\"mood\":1}\n\n", &[(Event, "$", "novelty")]);
    check("data: {\"type\":\"start\",\"mood\":1}\n\n", &[(Field, "mood", "number")]);
    check("{\"id\":\"x\"}\n{\"mood\":1}\n", &[(Field, "mood", "number")]);
    check(r#"[{"id":"x"},{"mood":1}]"#, &[(Field, "mood", "number")]);
    for unreadable in ["<html>secret</html>", "{\"id\":", "data: {broken\n\n", "secret"] {
        check(unreadable, &[(Type, "$", "unreadable")]);
    }
}

#[test]
fn values_and_names_that_look_like_data_are_never_told() {
    let secret = "canary-9f8a7b6c5d4e3f2a";
    let body = serde_json::json!({
        secret: 1,
        "mood": secret,
        "finish": secret,
        "count": secret,
        "parts": [{secret: secret}],
        "open": {secret: secret},
        "map": {secret: secret},
    });
    for body in [
        body.to_string(),
        format!("event: {secret}\ndata: {{}}\n\n"),
        format!("data: {{\"type\":\"{secret}\"}}\n\n"),
        format!("data: {secret}\n\n"),
        secret.to_owned(),
    ] {
        let answer = Answer { media: Some(secret), body: body.as_bytes(), extent: Extent::Whole };
        let found = format!("{:?}", findings(&small(), &answer));
        assert!(found.contains("{}") || found.contains("unreadable"), "{found}");
        assert!(!found.contains("canary"), "{found}");
    }
}

#[test]
fn content_types_are_known_without_their_parameters() {
    for (media, expected) in [
        ("application/json; charset=utf-8", vec![]),
        ("Text/Event-Stream", vec![]),
        ("", vec![]),
        ("text/html; charset=utf-8", vec![(Kind::Media, "text/html")]),
        ("tok-9f8a7b6c5d4e", vec![(Kind::Media, names::DATA)]),
    ] {
        let found = findings(&small(), &Answer { media: Some(media), body: b"{}", extent: Extent::Whole });
        let found: Vec<_> = found.iter().map(|one| (one.kind, one.detail.as_str())).collect();
        assert_eq!(found, expected, "{media}");
    }
}

#[test]
fn what_was_cut_off_is_no_finding() {
    for head in ["{\"id\":", "data: {\"type\":\"start\"}\n\ndata: {\"ty", "{\"id\":\"x\"}\n{\"i", "<html"] {
        check_bytes(head.as_bytes(), Extent::Head, &[]);
    }
    check_bytes(
        b"t\"}\n\ndata: {\"mood\":1}\n\ndata: {\"x",
        Extent::Middle,
        &[(Kind::Field, "mood", "number")],
    );
    check_bytes(b"{\"mood\":1}", Extent::Middle, &[]);
}

#[test]
fn frames_are_read_by_the_event_in_their_headers() {
    let known = frame(&[(":event-type", "start")], r#"{"named":true}"#);
    check_bytes(&known, Extent::Whole, &[]);
    let field = frame(&[(":event-type", "start")], r#"{"mood":1}"#);
    let event = frame(&[(":exception-type", "novelty")], r#"{"mood":1}"#);
    let cut = &field[..field.len() - 1];
    check_bytes(&[&known[..], cut].concat(), Extent::Whole, &[]);
    check_bytes(
        &[&known[..], &field, &event].concat(),
        Extent::Whole,
        &[(Kind::Field, "start.mood", "number"), (Kind::Event, "$", "novelty")],
    );
}

#[test]
fn hostile_answers_are_bounded_in_depth_and_number() {
    let many: String = (0..500).map(|at| format!("\"name_{}\":1,", "x".repeat(at % 50 + 1))).collect();
    let many = format!("{{{many}\"id\":\"x\"}}");
    let found = findings(&small(), &Answer { media: None, body: many.as_bytes(), extent: Extent::Whole });
    assert_eq!(found.len(), MOST_FINDINGS);
    let deep = format!("{{\"parts\":[{}1{}]}}", "{\"more\":".repeat(60), "}".repeat(60));
    check(&deep, &[]);
    let deeper = "[".repeat(100_000);
    check(&deeper, &[(Kind::Type, "$", "unreadable")]);
    for seed in 0_u32..2_000 {
        // Any bytes at all: a small generator of its own, so that a failure can be repeated.
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let body: Vec<u8> = (0..64)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                b"\0\x01\x20 {}[]\":,datevn:\n\r1\xff"[state as usize % 22]
            })
            .collect();
        for extent in [Extent::Whole, Extent::Head, Extent::Middle] {
            let found = findings(&small(), &Answer { media: None, body: &body, extent });
            assert!(found.len() <= MOST_FINDINGS);
        }
    }
}

#[test]
fn lines_that_are_no_vocabulary_are_named() {
    for (text, line) in [
        ("id", 1),
        ("\n\nid text", 3),
        ("@form morse", 1),
        ("a..b string", 1),
        ("a as b\na as c", 2),
        ("# fine\nid string:\nid number|text", 3),
    ] {
        assert_eq!(Vocabulary::parse(text).unwrap_err().line, line, "{text:?}");
    }
}

#[test]
fn what_is_learnt_is_written_and_read_back() {
    let old = "# head\n@form json events\n@name type\nagain as $\nfinish string: stop\nopen any\n";
    let mut vocabulary = Vocabulary::parse(old).unwrap();
    for body in [
        r#"{"id":"x","finish":"length","list":[{"a":1},"s"],"open":{"b":1},"again":{"c":true}}"#,
        r#"{"tags":{"jane@example.com":1,"9f8a7b6c5d4e":2}}"#,
        "data: {\"type\":\"start\"}\n\n",
    ] {
        learn::learn(&mut vocabulary, &Answer { media: None, body: body.as_bytes(), extent: Extent::Whole });
    }
    let text = learn::write(&vocabulary, old);
    let expected = "# head\n@form json events\n@name type\nagain as $\n@event start\nc boolean\nfinish string: length stop\n\
        id string\nlist[] string|object\nlist[].a number\nopen any\ntags.* number\ntype string\n";
    assert_eq!(text, expected);
    assert_eq!(learn::write(&Vocabulary::parse(&text).unwrap(), &text), expected);
}
