//! Messages of every kind, in Cohere's form.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Written, write};
use crate::api::openai_chat;
use crate::model::media::{Fetched, FetchedFile};

fn run(messages: &Value, with_documents: bool) -> Result<Written, String> {
    let request =
        openai_chat::decode(Bytes::from(json!({ "messages": messages }).to_string())).expect("well-formed");
    let file = FetchedFile { media_type: "text/plain".to_owned(), base64: "aGk=".to_owned() };
    let fetched = Fetched([("https://x/a.txt".to_owned(), file)].into());
    write(request.messages.get().expect("typed"), &fetched, with_documents).map_err(|refused| refused.message)
}

#[track_caller]
fn check(messages: Value, expected: Value) {
    assert_eq!(json!(run(&messages, true).expect("supported").messages), expected);
}

#[test]
fn text_beside_calls_is_a_plan_and_results_follow() {
    let call = json!({"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let image = json!({"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}});
    check(
        json!([{"role": "developer", "content": "d"}, {"role": "user", "content": "u"},
            {"role": "assistant", "content": "I will", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": "1"}, image]},
            {"role": "assistant", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "v"}, image]}]),
        json!([{"role": "system", "content": "d"}, {"role": "user", "content": "u"},
            {"role": "assistant", "tool_plan": "I will", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "x", "content": "1\n[attachment: in the next user message]"},
            {"role": "user", "content": [{"type": "text", "text": "Attachments of the tool results:"}, image]},
            {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
            {"role": "user", "content": [{"type": "text", "text": "v"}, image]}]),
    );
}

#[test]
fn coheres_own_reasoning_comes_back_where_it_was() {
    let call = json!({"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let detail = |id: &str, index: u64, text: &str| json!({"type": "reasoning.text", "id": id, "index": index, "text": text});
    check(
        json!([{"role": "assistant", "content": null, "tool_calls": [call], "reasoning_details": [
            detail("cohere.thinking", 0, "h"), detail("cohere.thinking", 0, "m"), detail("cohere.tool_plan", 1, "p"),
            detail("else", 2, "z")]}]),
        json!([{"role": "assistant", "tool_plan": "p", "tool_calls": [call],
            "content": [{"type": "thinking", "thinking": "hm"}]},
            {"role": "tool", "tool_call_id": "x", "content": "No result was recorded for this call."}]),
    );
}

#[test]
fn text_files_are_documents_or_text() {
    let files = json!([{"role": "user", "content": [
        {"type": "file", "file": {"filename": "a.txt", "file_data": "https://x/a.txt"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,aG8="}}]}]);
    let written = run(&files, true).expect("supported");
    assert_eq!(
        json!(written.documents),
        json!([{"id": "doc:0", "data": {"title": "a.txt", "text": "hi"}}, {"id": "doc:1", "data": {"title": "doc:1", "text": "ho"}}])
    );
    assert_eq!(written.messages[0]["content"][0]["text"], "[document: a.txt]");
    let written = run(&files, false).expect("supported");
    assert_eq!(
        (written.documents.len(), &written.messages[0]["content"][0]["text"]),
        (0, &json!("a.txt:\nhi"))
    );
}

#[test]
fn what_has_no_form_is_refused_by_name() {
    for (part, why) in [
        (
            json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}),
            "is audio, which this model does not take",
        ),
        (
            json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg"}}),
            "is no plain text, and no image",
        ),
        (json!({"type": "file", "file": {"file_id": "f"}}), "is no file that this provider holds"),
        (
            json!({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA"}}),
            "is none of jpeg, png, gif, webp",
        ),
    ] {
        let refused = run(&json!([{"role": "user", "content": [part]}]), true).expect_err(why);
        assert_eq!(refused, format!("messages[0].content[0] {why}"));
    }
    assert!(
        run(&json!([{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]), true)
            .expect("written")
            .is_prefilled
    );
}
