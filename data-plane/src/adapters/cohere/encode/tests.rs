//! Chat requests and what Cohere gets of them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::encode;
use crate::adapters::cohere::Cohere;
use crate::adapters::quirks::Thinking;
use crate::adapters::{Adapter, Encoded, Quirks, Target, Unsupported};
use crate::api::openai_chat;
use crate::model::media::NOTHING;
use crate::model::parameter::Parameters;

const HI: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

fn run_with(members: &str, change: impl FnOnce(&mut Quirks)) -> Result<Encoded, Unsupported> {
    let request = openai_chat::decode(Bytes::from(format!("{{{HI},{members}}}"))).expect("well-formed");
    let mut quirks = Cohere.quirks();
    change(&mut quirks);
    let target = Target {
        model: "up",
        output_cap: None,
        stream: false,
        quirks: &quirks,
        fetched: &NOTHING,
        supported: Parameters::NONE,
        tier: None,
    };
    encode(&request, &target)
}

fn run(members: &str) -> Result<Encoded, Unsupported> {
    run_with(members, |_| {})
}

/// The members beside model, messages and stream, and what was dropped.
#[track_caller]
fn check(encoded: Result<Encoded, Unsupported>, expected: Value, dropped: &[&str]) {
    let encoded = encoded.expect("supported");
    let mut body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
    assert_eq!((&body["model"], &body["stream"]), (&json!("up"), &json!(false)));
    body.as_object_mut()
        .expect("an object")
        .retain(|name, _| !["model", "messages", "stream"].contains(&&**name));
    assert_eq!(body, expected);
    assert_eq!(encoded.dropped, dropped);
}

#[test]
fn numbers_have_coheres_names_and_ranges() {
    check(
        run(
            r#""max_tokens":9,"temperature":0.5,"top_p":1,"top_k":900,"seed":4,"stop":"x","frequency_penalty":2,"logprobs":true,"top_logprobs":3"#,
        ),
        json!({"temperature": 0.5, "p": 0.99, "k": 500, "frequency_penalty": 1.0, "seed": 4, "logprobs": true,
            "stop_sequences": ["x"], "max_tokens": 9}),
        &["top_logprobs"],
    );
    check(
        run(
            r#""presence_penalty":-1,"seed":-4,"stop":[],"user":"u","service_tier":"flex","frobnicate":1,"min_p":0.1"#,
        ),
        json!({}),
        &["min_p", "user", "service_tier", "frobnicate", "presence_penalty", "seed"],
    );
    check(
        run(r#""safety_mode":"STRICT","documents":[{"data":{"text":"t"}}],"priority":3"#),
        json!({"safety_mode": "STRICT", "documents": [{"data": {"text": "t"}}], "priority": 3}),
        &[],
    );
}

#[test]
fn thinking_has_a_budget() {
    for (wish, expected) in [
        (
            r#""reasoning":{"effort":"low"},"max_tokens":1000"#,
            json!({"type": "enabled", "token_budget": 200}),
        ),
        (r#""reasoning":{"max_tokens":300}"#, json!({"type": "enabled", "token_budget": 300})),
        (r#""reasoning":{"enabled":true}"#, json!({"type": "enabled"})),
        (r#""reasoning_effort":"none""#, json!({"type": "disabled"})),
        (r#""thinking":{"type":"disabled"}"#, json!({"type": "disabled"})),
    ] {
        let encoded = run(wish).expect("supported");
        let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
        assert_eq!((&body["thinking"], encoded.dropped.len()), (&expected, 0), "{wish}");
    }
    let plain = |quirks: &mut Quirks| quirks.thinking = Thinking::Absent;
    check(run_with(r#""reasoning":{"effort":"low"}"#, plain), json!({}), &["reasoning"]);
    check(run_with(r#""reasoning":{"effort":"none"}"#, plain), json!({}), &[]);
}

const TOOLS: &str = r#""tools":[{"type":"function","function":{"name":"get-it","strict":true}},{"type":"function","function":{"name":"b","parameters":{"z":1,"a":2}}}]"#;

fn tool(name: &str, parameters: Value) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": parameters}})
}

#[test]
fn choices_are_made_by_leaving_tools_out() {
    let get_it = tool("get_it_c27ee1cf", json!({"type": "object", "properties": {}}));
    let b = tool("b", json!({"z": 1, "a": 2}));
    check(run(TOOLS), json!({"tools": [get_it, b], "strict_tools": true}), &[]);
    check(
        run(&format!(
            r#"{TOOLS},"tool_choice":{{"type":"function","function":{{"name":"b"}}}},"parallel_tool_calls":false"#
        )),
        json!({"tools": [b], "tool_choice": "REQUIRED"}),
        &["parallel_tool_calls"],
    );
    check(
        run(&format!(r#"{TOOLS},"tool_choice":"none""#)),
        json!({"tools": [get_it, b], "tool_choice": "NONE", "strict_tools": true}),
        &[],
    );
    let encoded = run(TOOLS).expect("supported");
    assert_eq!(encoded.context.client_name("get_it_c27ee1cf"), "get-it");
}

const SCHEMA: &str =
    r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}}"#;

#[test]
fn a_schema_is_enforced_where_no_tool_may_be_called() {
    let native = json!({"response_format": {"type": "json_object", "json_schema": {"type": "object"}}});
    check(run(SCHEMA), native.clone(), &[]);
    check(run(&format!(r#"{SCHEMA},{TOOLS},"tool_choice":"none""#)), native, &[]);
    check(
        run(r#""response_format":{"type":"json_object"}"#),
        json!({"response_format": {"type": "json_object"}}),
        &[],
    );
    let asked = run(&format!(r#""response_format":{{"type":"json_object"}},{TOOLS}"#)).expect("supported");
    let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
    assert_eq!((&body["messages"][0]["role"], body.get("response_format")), (&json!("system"), None));
}

#[test]
fn what_cohere_does_not_have_is_refused_by_name() {
    for (members, field) in [
        ("\"n\":2".to_owned(), "n"),
        (r#""modalities":["audio"]"#.to_owned(), "modalities"),
        (format!("{SCHEMA},{TOOLS}"), "response_format"),
        (SCHEMA.replace("object", "array"), "response_format.json_schema.schema"),
        (r#""tools":[{"type":"web_search"}]"#.to_owned(), "tools[0].type"),
    ] {
        assert_eq!(run(&members).expect_err(&members).field, field);
    }
    let body = format!(r#"{TOOLS},"tool_choice":"required""#);
    let refused = run_with(&body, |quirks| quirks.forced_tools = false).expect_err("refused");
    assert_eq!(refused.field, "tool_choice");
}
