//! Messages of every kind, in Ollama's form.

use bytes::Bytes;
use serde_json::{Value, json};

use super::write;
use crate::api::openai_chat;
use crate::model::media::{Fetched, FetchedFile};

fn run(messages: &Value) -> Result<Value, String> {
    let request =
        openai_chat::decode(Bytes::from(json!({ "messages": messages }).to_string())).expect("well-formed");
    let file = FetchedFile { media_type: "image/png".to_owned(), base64: "AAAA".to_owned() };
    let fetched = Fetched([("https://x/y".to_owned(), file)].into());
    let written = write(request.messages.get().expect("typed"), &fetched);
    written.map(Value::Array).map_err(|refused| refused.message)
}

#[track_caller]
fn check(messages: Value, expected: Value) {
    assert_eq!(run(&messages).expect("supported"), expected);
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": id, "arguments": arguments}})
}

#[test]
fn arguments_are_objects_and_results_name_their_tools() {
    check(
        json!([{"role": "developer", "content": "d"},
            {"role": "assistant", "content": null, "tool_calls": [call("x", "{\"b\":1,\"a\":2}"), call("y", "")]},
            {"role": "tool", "tool_call_id": "y", "content": "2"}, {"role": "tool", "tool_call_id": "x", "content": "1"}]),
        json!([{"role": "system", "content": "d"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "x", "function": {"index": 0, "name": "x", "arguments": {"b": 1, "a": 2}}},
                {"id": "y", "function": {"index": 1, "name": "y", "arguments": {}}}]},
            {"role": "tool", "content": "1", "tool_name": "x", "tool_call_id": "x"},
            {"role": "tool", "content": "2", "tool_name": "y", "tool_call_id": "y"}]),
    );
    let bad = json!([{"role": "assistant", "content": null, "tool_calls": [call("x", "[1")]}]);
    let why = "messages[0].tool_calls[0].function.arguments must be the JSON text of an object";
    assert_eq!(run(&bad).expect_err(why), why);
}

#[test]
fn images_and_sounds_stand_beside_the_text() {
    check(
        json!([{"role": "user", "content": [
            {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://x/y"}},
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,_-8"}},
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            {"type": "file", "file": {"filename": "f.txt", "file_data": "data:text/plain;base64,aGk="}},
            {"type": "text", "text": "b"}]}]),
        json!([{"role": "user", "content": "a\nf.txt:\nhi\nb", "images": ["AAAA", "/+8=", "UklG"]}]),
    );
    check(
        json!([{"role": "assistant", "content": null, "tool_calls": [call("x", "{}")]},
            {"role": "tool", "tool_call_id": "x", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]}]),
        json!([{"role": "assistant", "content": "", "tool_calls": [{"id": "x", "function": {"index": 0, "name": "x", "arguments": {}}}]},
            {"role": "tool", "content": "[attachment: in the next user message]", "tool_name": "x", "tool_call_id": "x"},
            {"role": "user", "content": "Attachments of the tool results:", "images": ["AAAA"]}]),
    );
    for (part, why) in [
        (
            json!({"type": "image_url", "image_url": {"url": "https://x/z"}}),
            "is behind a URL, which this provider cannot read itself",
        ),
        (
            json!({"type": "image_url", "image_url": {"url": "data:image/gif;base64,AA"}}),
            "is none of jpeg, png, webp",
        ),
        (
            json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg"}}),
            "is no plain text, and no image",
        ),
        (
            json!({"type": "video_url", "video_url": {"url": "https://x/"}}),
            "is video, which this model does not take",
        ),
    ] {
        let refused = run(&json!([{"role": "user", "content": [part]}])).expect_err(why);
        assert_eq!(refused, format!("messages[0].content[0] {why}"));
    }
}

#[test]
fn thinking_comes_back_unless_it_is_anothers() {
    let detail = |id: &str| json!([{"type": "reasoning.text", "id": id, "index": 0, "text": "hm"}]);
    for (message, thinking) in [
        (json!({"reasoning": "hm"}), json!("hm")),
        (json!({"reasoning": "hm", "reasoning_details": detail("ollama.thinking")}), json!("hm")),
        (json!({"reasoning": "hm", "reasoning_details": detail("else")}), json!(null)),
        (json!({}), json!(null)),
    ] {
        let mut sent = json!({"role": "assistant", "content": "a"});
        sent.as_object_mut().expect("an object").extend(message.as_object().expect("an object").clone());
        let written = run(&json!([sent, {"role": "user", "content": "u"}])).expect("supported");
        assert_eq!(written[0]["thinking"], thinking, "{message}");
    }
}
