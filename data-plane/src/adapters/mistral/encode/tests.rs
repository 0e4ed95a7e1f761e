//! Chat requests and what Mistral gets of them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::encode;
use crate::adapters::mistral::Mistral;
use crate::adapters::quirks::ReasoningStyle;
use crate::adapters::{Adapter, Encoded, Quirks, Target, Unsupported};
use crate::api::openai_chat;
use crate::model::media::NOTHING;
use crate::model::parameter::Parameters;

const HI: &str = r#""messages":[{"role":"user", "content":"gr\u00fc\u00dfe"}]"#;

fn quirks() -> Quirks {
    Mistral.quirks()
}

fn run(body: &str, change: fn(&mut Quirks)) -> Result<Encoded, Unsupported> {
    let request = openai_chat::decode(Bytes::copy_from_slice(body.as_bytes())).expect("well-formed");
    let mut quirks = quirks();
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

/// The members beside model and messages, and what was dropped.
fn check(members: &str, expected: Value, dropped: &[&str]) {
    let encoded = run(&format!("{{{HI},{members}}}"), |_| {}).expect(members);
    let mut body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
    assert_eq!(body["model"], "up");
    let body = body.as_object_mut().expect("an object");
    assert!(body.shift_remove("messages").is_some() && body.shift_remove("model").is_some());
    assert_eq!(json!(body), expected, "{members}");
    assert_eq!(encoded.dropped, dropped, "{members}");
}

#[test]
fn messages_that_fit_travel_as_they_were_sent() {
    let encoded = run(&format!(r#"{{{HI},"stream":true,"model":"x"}}"#), |_| {}).expect("supported");
    let body = std::str::from_utf8(&encoded.body).expect("UTF-8");
    assert_eq!(body, format!(r#"{{"model":"up",{HI}}}"#));
}

#[test]
fn members_have_mistrals_names_and_unknown_ones_stay_behind_by_name() {
    check(
        r#""max_completion_tokens":7,"seed":3,"stop":["a",""],"temperature":0.70,"n":2,"safe_prompt":true"#,
        json!({"max_tokens": 7, "random_seed": 3, "stop": ["a"], "temperature": 0.7, "n": 2, "safe_prompt": true}),
        &[],
    );
    check(
        r#""user":"u","logit_bias":{"1":2},"store":true,"verbosity":"low","frobnicate":1,"seed":-1,"min_p":0.1,"stream_options":{"include_usage":true},"provider":{},"null":null"#,
        json!({}),
        &["min_p", "logit_bias", "verbosity", "store", "user", "frobnicate", "seed"],
    );
    check(
        r#""service_tier":"default","prompt_cache_key":"k","prediction":{"type":"content","content":[{"type":"text","text":"p"}]}"#,
        json!({"service_tier": "standard_only", "prompt_cache_key": "k", "prediction": {"type": "content", "content": "p"}}),
        &[],
    );
    check(
        r#""service_tier":"flex","prompt_cache_key":"ключ""#,
        json!({}),
        &["service_tier", "prompt_cache_key"],
    );
}

#[test]
fn wishes_about_reasoning_are_written_as_the_model_takes_them() {
    for (wish, style, expected, dropped) in [
        (r#""reasoning_effort":"low""#, ReasoningStyle::Effort, json!({"reasoning_effort": "high"}), &[][..]),
        (
            r#""reasoning":{"enabled":false}"#,
            ReasoningStyle::Effort,
            json!({"reasoning_effort": "none"}),
            &[],
        ),
        (
            r#""reasoning":{"effort":"high"}"#,
            ReasoningStyle::PromptMode,
            json!({"prompt_mode": "reasoning"}),
            &[],
        ),
        (r#""reasoning":{"effort":"none"}"#, ReasoningStyle::PromptMode, json!({}), &[]),
        (r#""reasoning":{"effort":"high"}"#, ReasoningStyle::Absent, json!({}), &["reasoning"]),
        (r#""reasoning":{"exclude":true}"#, ReasoningStyle::Effort, json!({}), &[]),
    ] {
        let request = openai_chat::decode(Bytes::from(format!("{{{HI},{wish}}}"))).expect("well-formed");
        let quirks = Quirks { reasoning: style, ..quirks() };
        let target = Target {
            model: "up",
            output_cap: None,
            stream: false,
            quirks: &quirks,
            fetched: &NOTHING,
            supported: Parameters::NONE,
            tier: None,
        };
        let encoded = encode(&request, &target).expect(wish);
        let mut body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
        body.as_object_mut().expect("an object").retain(|name, _| name != "model" && name != "messages");
        assert_eq!(
            (body, encoded.dropped),
            (expected, dropped.iter().map(|name| (*name).into()).collect()),
            "{wish}"
        );
        assert_eq!(encoded.context.hide_reasoning, wish.contains("exclude"));
    }
}

#[test]
fn tools_keep_their_members_and_no_others() {
    check(
        r##""tools":[{"type":"function","function":{"name":"a.b","description":"d","strict":true,"parameters":{"b":1, "a":2},"x":1},"cache_control":{"type":"ephemeral"}},{"type":"function","function":{"name":"c","parameters":{"$schema":"s","$defs":{"d":{"type":"string"}},"properties":{"p":{"$ref":"#/$defs/d"}}}}},{"type":"openrouter:web"}],"tool_choice":"required","parallel_tool_calls":false"##,
        json!({
            "tools": [
                {"type": "function", "function": {"name": "a_b_1eef715d", "description": "d", "strict": true, "parameters": {"b": 1, "a": 2}}},
                {"type": "function", "function": {"name": "c", "parameters": {"properties": {"p": {"type": "string"}}}}},
            ],
            "tool_choice": "any",
            "parallel_tool_calls": false,
        }),
        &["tools[2]"],
    );
    check(
        r#""functions":[{"name":"f"},{"name":"g"}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"g"}}]}}"#,
        json!({
            "tools": [{"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}}],
            "tool_choice": "auto",
        }),
        &[],
    );
    check(r#""tools":[],"tool_choice":"auto","parallel_tool_calls":true"#, json!({}), &[]);
}

#[test]
fn schemas_travel_byte_for_byte() {
    let encoded = run(
        &format!(
            r#"{{{HI},"response_format":{{"type":"json_schema","json_schema":{{"name":"n","strict":true,"schema":{{"type" : "object"}},"x":1}}}}}}"#
        ),
        |_| {},
    );
    let body = encoded.expect("supported").body;
    let expected = r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type" : "object"},"strict":true}}"#;
    assert!(std::str::from_utf8(&body).expect("UTF-8").contains(expected), "{body:?}");
}

#[test]
fn what_mistral_does_not_have_is_refused_by_name() {
    for (members, field) in [
        (r#""modalities":["text","audio"]"#, "modalities"),
        (r#""tools":[{"type":"custom","custom":{"name":"x"}}]"#, "tools[0].type"),
        (r#""response_format":{"type":"grammar","grammar":"x"}"#, "response_format.type"),
    ] {
        let refused = run(&format!("{{{HI},{members}}}"), |_| {}).expect_err(members);
        assert_eq!(refused.field, field);
    }
    let dropped = run(&format!(r#"{{{HI},"top_p":0.5}}"#), |quirks| quirks.drop = vec!["top_p".to_owned()]);
    assert_eq!(dropped.expect("supported").dropped, ["top_p"]);
}

#[test]
fn a_foreign_call_id_is_hashed_for_call_and_result_alike() {
    let body = r#"{"messages":[{"role":"user","content":"hi"},
        {"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]},
        {"role":"tool","tool_call_id":"call_1","content":"1"}]}"#;
    let encoded = run(body, |_| {}).expect("supported");
    let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
    let (call, result) = (&body["messages"][1]["tool_calls"][0], &body["messages"][2]);
    assert_eq!(call["id"], result["tool_call_id"]);
    assert_eq!(call["id"].as_str().map(str::len), Some(9));
    assert_eq!(call["function"]["arguments"], "{}");
}
