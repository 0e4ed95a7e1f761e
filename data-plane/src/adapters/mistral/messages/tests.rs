//! Messages of every kind, in Mistral's order.

use bytes::Bytes;
use serde_json::{Value, json};

use super::write;
use crate::api::openai_chat;

fn run(messages: &Value) -> Result<(Value, Option<String>, Vec<String>), String> {
    let body = json!({ "messages": messages }).to_string();
    let request = openai_chat::decode(Bytes::from(body)).expect("well-formed");
    let mut dropped = Vec::new();
    let written = write(request.messages.get().expect("typed"), &mut dropped);
    let dropped = dropped.into_iter().map(Into::into).collect();
    written.map(|written| (written.messages, written.prefix, dropped)).map_err(|refused| refused.message)
}

#[track_caller]
fn check(messages: Value, expected: Value) {
    assert_eq!(run(&messages).expect("supported").0, expected);
}

fn calls(ids: &[&str]) -> Value {
    let call =
        |id: &&str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    json!({"role": "assistant", "content": null, "tool_calls": ids.iter().map(call).collect::<Value>()})
}

fn said(calls: &Value) -> Value {
    let mut calls = calls.clone();
    calls["content"] = "".into();
    calls
}

#[test]
fn results_follow_their_calls_and_the_assistant_speaks_before_the_user() {
    let calls = calls(&["AAAAAAAAA", "BBBBBBBBB"]);
    let result =
        |id: &str, text: &str| json!({"role": "tool", "tool_call_id": id, "name": "f", "content": text});
    check(
        json!([calls, {"role": "tool", "tool_call_id": "BBBBBBBBB", "content": "b"},
            {"role": "tool", "tool_call_id": "CCCCCCCCC", "content": "c"}, {"role": "user", "content": "u"}]),
        json!([said(&calls), result("AAAAAAAAA", "No result was recorded for this call."), result("BBBBBBBBB", "b"),
            {"role": "assistant", "content": "OK"}, {"role": "user", "content": "Tool result: c"},
            {"role": "user", "content": "u"}]),
    );
}

#[test]
fn images_of_results_are_shown_after_them() {
    let calls = calls(&["AAAAAAAAA"]);
    let image = json!({"type": "image_url", "image_url": {"url": "https://x/y.png"}});
    check(
        json!([calls, {"role": "tool", "tool_call_id": "AAAAAAAAA", "content": [{"type": "text", "text": "t"}, image]}]),
        json!([said(&calls),
            {"role": "tool", "tool_call_id": "AAAAAAAAA", "name": "f", "content": "t\n[attachment: in the next user message]"},
            {"role": "assistant", "content": "OK"},
            {"role": "user", "content": [{"type": "text", "text": "Attachments of the tool results:"}, image]}]),
    );
}

#[test]
fn system_messages_stand_where_they_may() {
    check(
        json!([{"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": "u", "name": "n"}, {"role": "system", "content": "s"},
            {"role": "assistant", "content": "v"}, {"role": "system", "content": "w"}]),
        json!([{"role": "system", "content": "a\nb"}, {"role": "user", "content": "u"}, {"role": "system", "content": "s"},
            {"role": "assistant", "content": "v"}, {"role": "user", "content": "<system>w</system>"}]),
    );
    let (_, _, dropped) = run(&json!([{"role": "user", "content": "u", "name": "n"}])).expect("supported");
    assert_eq!(dropped, ["messages[].name"]);
}

#[test]
fn parts_have_mistrals_form() {
    check(
        json!([{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,_-8A", "detail": "original"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg"}},
            {"type": "file", "file": {"file_data": "https://x/y.pdf"}},
            {"type": "file", "file": {"file_id": "f1"}},
            {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}},
        ]}]),
        json!([{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/+8A"}},
            {"type": "input_audio", "input_audio": "AAAA"},
            {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERg==", "document_name": "a.pdf"},
            {"type": "document_url", "document_url": "https://x/y.pdf"},
            {"type": "file", "file_id": "f1"},
            {"type": "text", "text": "a.txt:\nhi"},
        ]}]),
    );
    for (part, why) in [
        (
            json!({"type": "video_url", "video_url": {"url": "https://x/"}}),
            "messages[0].content[0] is video, which",
        ),
        (
            json!({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA"}}),
            "messages[0].content[0] is none of",
        ),
        (
            json!({"type": "file", "file": {"file_data": "data:application/zip;base64,AA"}}),
            "messages[0].content[0] is neither",
        ),
    ] {
        let refused = run(&json!([{"role": "user", "content": [part]}])).expect_err(why);
        assert!(refused.starts_with(why), "{refused}");
    }
}

#[test]
fn the_assistants_thoughts_come_back_as_they_were_and_others_do_not() {
    let detail = |id: &str, index: u64, text: &str, signature: Option<&str>| json!({"type": "reasoning.text", "id": id, "index": index, "text": text, "signature": signature, "format": "unknown"});
    check(
        json!([{"role": "user", "content": "u"}, {"role": "assistant", "content": "a", "reasoning": "xyz", "reasoning_details": [
            detail("mistral.thinking", 0, "x", None), detail("mistral.thinking", 0, "y", Some("s")),
            detail("other", 1, "z", None)]}, {"role": "user", "content": "v"}]),
        json!([{"role": "user", "content": "u"}, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "xy"}], "signature": "s"},
            {"type": "text", "text": "a"}]}, {"role": "user", "content": "v"}]),
    );
}

#[test]
fn the_beginning_of_the_answer_is_marked_and_empty_words_are_left_out() {
    let (messages, prefix, _) =
        run(&json!([{"role": "user", "content": "u"}, {"role": "assistant", "content": ""},
        {"role": "user", "content": "v"}, {"role": "assistant", "content": "{\"a\":"}]))
        .expect("supported");
    let expected = json!([{"role": "user", "content": "u"}, {"role": "user", "content": "v"},
        {"role": "assistant", "content": "{\"a\":", "prefix": true}]);
    assert_eq!((messages, prefix.as_deref()), (expected, Some("{\"a\":")));
}
