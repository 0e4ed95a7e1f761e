//! Conversations and what Google gets of them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::contents;
use crate::adapters::Unsupported;
use crate::adapters::gemini::host::Host;
use crate::adapters::gemini::newest;
use crate::adapters::gemini::parts::Desk;
use crate::adapters::quirks::Quirks;
use crate::api::openai_chat::decode;
use crate::model::media::NOTHING;

fn run(messages: &Value, host: Host, quirks: &Quirks) -> Result<(Value, Value), Unsupported> {
    let body = json!({"model": "a/b", "messages": messages});
    let request = decode(Bytes::from(body.to_string())).expect("well-formed");
    let desk = Desk { host, fetched: &NOTHING };
    let found = contents(request.messages.get().expect("typed"), desk, quirks)?;
    Ok((Value::Array(found.system), Value::Array(found.contents)))
}

/// System parts and contents, of a model of the newest kind.
fn newest_contents(messages: Value) -> (Value, Value) {
    run(&messages, Host::DEVELOPER, &newest()).expect("supported")
}

fn user(parts: Value) -> Value {
    json!({"role": "user", "parts": parts})
}

fn model(parts: Value) -> Value {
    json!({"role": "model", "parts": parts})
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

#[test]
fn turns_alternate_and_nothing_is_empty() {
    let said = |role: &str, text: &str| json!({"role": role, "content": text});
    let text = |text: &str| json!({ "text": text });
    for (messages, system, expected) in [
        (
            json!([said("system", "s"), said("developer", "d"), said("user", "u"), said("user", "v")]),
            json!([text("s"), text("d")]),
            json!([user(json!([text("u"), text("v")]))]),
        ),
        (
            json!([said("user", "u"), said("assistant", ""), said("user", "v"), said("system", "later")]),
            json!([]),
            json!([user(json!([text("u"), text("v"), text("<system>later</system>")]))]),
        ),
        (
            json!([said("assistant", "a"), said("user", "u")]),
            json!([]),
            json!([user(json!([text(".")])), model(json!([text("a")])), user(json!([text("u")]))]),
        ),
        (json!([said("system", "s")]), json!([text("s")]), json!([user(json!([text(".")]))])),
    ] {
        assert_eq!(newest_contents(messages.clone()), (system, expected), "{messages}");
    }
}

#[test]
fn a_model_without_instruction_reads_it_first() {
    let quirks = Quirks { system_instruction: false, ..newest() };
    let messages = json!([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]);
    let found = run(&messages, Host::DEVELOPER, &quirks).expect("supported");
    assert_eq!(found, (json!([]), json!([user(json!([{"text": "s"}, {"text": "u"}]))])));
}

#[test]
fn results_stand_together_in_the_order_of_the_calls() {
    let messages = json!([
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": null,
            "tool_calls": [call("x", "f", "{\"a\":1}"), call("y", "bad name", ""), call("z", "f", "{}")]},
        {"role": "tool", "tool_call_id": "y", "content": "{\"ok\":true}"},
        {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}]},
        {"role": "tool", "tool_call_id": "who", "content": "lost"},
    ]);
    let (_, with_ids) = newest_contents(messages.clone());
    let expected = json!([
        user(json!([{"text": "u"}])),
        model(json!([
            {"functionCall": {"id": "x", "name": "f", "args": {"a": 1}},
                "thoughtSignature": "skip_thought_signature_validator"},
            {"functionCall": {"id": "y", "name": "bad_name_f7eefcac", "args": {}}},
            {"functionCall": {"id": "z", "name": "f", "args": {}}},
        ])),
        user(json!([
            {"functionResponse": {"id": "x", "name": "f", "response": {"output": "1\n2"}}},
            {"functionResponse": {"id": "y", "name": "bad_name_f7eefcac", "response": {"ok": true}}},
            {"functionResponse": {"id": "z", "name": "f", "response": {"error": "No result was recorded for this call."}}},
            {"text": "Tool result:"},
            {"text": "lost"},
        ])),
    ]);
    assert_eq!(with_ids, expected);
    let quirks = Quirks { call_signatures: false, ..newest() };
    let (_, without) = run(&messages, Host::VERTEX, &quirks).expect("supported");
    assert!(!without.to_string().contains("\"id\"") && !without.to_string().contains("thoughtSignature"));
}

#[test]
fn media_in_results_stay_in_them_where_the_model_can_read_them() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let sound = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}});
    let messages = json!([
        {"role": "user", "content": "u"},
        {"role": "assistant", "tool_calls": [call("x", "f", "{}"), call("y", "f", "{}")]},
        {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": "seen"}, image, sound]},
        {"role": "tool", "tool_call_id": "y", "content": "done"},
    ]);
    let image = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}});
    let sound = json!({"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}});
    let seen = json!({"name": "f", "response": {"output": "seen"}});
    let done = json!({"functionResponse": {"name": "f", "response": {"output": "done"}}});
    let mut held = seen.clone();
    held["parts"] = json!([image]);
    for (result_media, expected) in [
        (true, json!([{"functionResponse": held}, done, sound])),
        (false, json!([{"functionResponse": seen}, done, image, sound])),
    ] {
        let quirks = Quirks { result_media, ..newest() };
        let (_, contents) = run(&messages, Host::VERTEX, &quirks).expect("supported");
        assert_eq!(contents[2]["parts"], expected);
    }
}

#[test]
fn signatures_come_back_where_they_were() {
    let detail = |index: u32, kind: &str, rest: Value| {
        let mut detail = json!({"type": kind, "format": "google-gemini-v1", "index": index});
        detail.as_object_mut().expect("object").extend(rest.as_object().expect("object").clone());
        detail
    };
    let encrypted = |index: u32, rest: Value| detail(index, "reasoning.encrypted", rest);
    let foreign =
        json!({"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1"});
    for (message, expected) in [
        (
            json!({"role": "assistant", "content": "Hi", "reasoning_details": [
                detail(0, "reasoning.text", json!({"text": "hm"})), encrypted(1, json!({"data": "dGV4dA+/=="})), foreign]}),
            json!([{"text": "Hi", "thoughtSignature": "dGV4dA+/=="}]),
        ),
        (
            json!({"role": "assistant", "content": "Hi", "reasoning_details": [
                detail(0, "reasoning.text", json!({"text": "hm", "signature": "c2ln"})),
                encrypted(1, json!({"data": "ZW5k", "id": "end"}))]}),
            json!([{"text": "hm", "thought": true, "thoughtSignature": "c2ln"}, {"text": "Hi"},
                {"text": "", "thoughtSignature": "ZW5k"}]),
        ),
        (
            json!({"role": "assistant", "reasoning_details": [encrypted(0, json!({"data": "YQ=="}))]}),
            json!([{"text": "", "thoughtSignature": "YQ=="}]),
        ),
        (
            json!({"role": "assistant", "content": "Grüße, Welt!", "reasoning_details": [
                encrypted(0, json!({"data": "YQ==", "id": "text_7"})),
                encrypted(1, json!({"data": "Yg==", "id": "text_13"}))]}),
            json!([{"text": "Grüße", "thoughtSignature": "YQ=="}, {"text": ", Welt", "thoughtSignature": "Yg=="},
                {"text": "!"}]),
        ),
        (
            json!({"role": "assistant", "content": [{"type": "text", "text": "ab"}, {"type": "text", "text": "cd"}],
                "reasoning_details": [
                encrypted(0, json!({"data": "YQ==", "id": "text_1"})),
                encrypted(1, json!({"data": "Yg==", "id": "text_4"}))]}),
            json!([{"text": "a", "thoughtSignature": "YQ=="}, {"text": "b"}, {"text": "cd", "thoughtSignature": "Yg=="}]),
        ),
        // The caller cut the text: what has lost its place signs the last of it.
        (
            json!({"role": "assistant", "content": "ü", "reasoning_details": [
                encrypted(0, json!({"data": "YQ==", "id": "text_1"})),
                encrypted(1, json!({"data": "Yg==", "id": "text_9"}))]}),
            json!([{"text": "ü", "thoughtSignature": "Yg=="}]),
        ),
        (
            json!({"role": "assistant", "tool_calls": [call("x", "f", "{}"), call("y", "f", "{}")],
                "reasoning_details": [encrypted(0, json!({"data": "Y2FsbA==", "id": "x"}))]}),
            json!([{"functionCall": {"id": "x", "name": "f", "args": {}}, "thoughtSignature": "Y2FsbA=="},
                {"functionCall": {"id": "y", "name": "f", "args": {}}}]),
        ),
    ] {
        let messages = json!([{"role": "user", "content": "u"}, message, {"role": "user", "content": "v"}]);
        let (_, contents) = newest_contents(messages);
        assert_eq!(contents[1]["parts"], expected, "{message}");
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let image = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]);
    for (messages, message) in [
        (
            json!([{"role": "system", "content": image}]),
            "messages[0].content can only be text in a system message",
        ),
        (
            json!([{"role": "user", "content": "u"}, {"role": "assistant", "tool_calls": [call("x", "f", "[1")]}]),
            "messages[1].tool_calls[0].function.arguments must be the JSON text of an object",
        ),
    ] {
        let refused = run(&messages, Host::DEVELOPER, &newest()).expect_err(message);
        assert_eq!(refused.message, message);
    }
}
