//! Chat requests and what Ollama gets of them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::encode;
use crate::adapters::ollama::Ollama;
use crate::adapters::quirks::Thinking;
use crate::adapters::{Adapter, Encoded, Quirks, Target, Unsupported};
use crate::api::openai_chat;
use crate::model::media::NOTHING;
use crate::model::parameter::Parameters;
use crate::model::request::Effort;

const HI: &str = r#""messages":[{"role":"user","content":"hi"}]"#;
const TOOLS: &str = r#""tools":[{"type":"function","function":{"name":"a","strict":true}},{"type":"function","function":{"name":"b"}}]"#;

fn run_with(members: &str, change: impl FnOnce(&mut Quirks)) -> Result<Encoded, Unsupported> {
    let request = openai_chat::decode(Bytes::from(format!("{{{HI},{members}}}"))).expect("well-formed");
    let mut quirks = Ollama.quirks();
    change(&mut quirks);
    let target = Target {
        model: "up",
        output_cap: Some(50),
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

/// The members beside model and messages, and what was dropped.
#[track_caller]
fn check(encoded: Result<Encoded, Unsupported>, expected: Value, dropped: &[&str]) {
    let encoded = encoded.expect("supported");
    let mut body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
    body.as_object_mut().expect("an object").retain(|name, _| name != "model" && name != "messages");
    assert_eq!(body, expected);
    assert_eq!(encoded.dropped, dropped);
}

#[test]
fn numbers_are_options_and_the_reserved_cap_wins() {
    check(
        run(
            r#""temperature":0.5,"top_k":3,"repetition_penalty":1.1,"seed":-4,"stop":["x"],"logprobs":true,"top_logprobs":2,
            "options":{"num_predict":9000,"mirostat":1},"keep_alive":"5m","user":"u","frobnicate":1"#,
        ),
        json!({"keep_alive": "5m", "options": {"num_predict": 50, "mirostat": 1, "temperature": 0.5, "top_k": 3,
            "repeat_penalty": 1.1, "seed": -4, "stop": ["x"]}, "logprobs": true, "top_logprobs": 2, "stream": false}),
        &["user", "frobnicate"],
    );
    check(
        run_with("\"x\":null", |quirks| quirks.num_ctx = Some(32_768)),
        json!({"options": {"num_ctx": 32_768, "num_predict": 50}, "stream": false}),
        &[],
    );
}

#[test]
fn thinking_is_on_or_off_or_has_the_levels_of_the_row() {
    let levels = vec![Effort::Low, Effort::Medium, Effort::High];
    for (wish, efforts, think) in [
        (r#""reasoning":{"effort":"high"}"#, vec![], json!(true)),
        (r#""reasoning":{"effort":"none"}"#, vec![], json!(false)),
        (r#""reasoning":{"effort":"xhigh"}"#, levels.clone(), json!("high")),
        (r#""reasoning":{"effort":"minimal"}"#, levels, json!("low")),
        (r#""reasoning":{"effort":"max"}"#, vec![Effort::None, Effort::High, Effort::Max], json!("max")),
        (r#""reasoning":{"effort":"none"}"#, vec![Effort::None, Effort::High], json!(false)),
        (r#""think":"low""#, vec![], json!("low")),
    ] {
        let encoded = run_with(wish, |quirks| quirks.efforts = efforts).expect(wish);
        let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
        assert_eq!(body["think"], think, "{wish}");
    }
    let plain = run_with(r#""reasoning":{"effort":"high"}"#, |quirks| quirks.thinking = Thinking::Absent);
    check(plain, json!({"options": {"num_predict": 50}, "stream": false}), &["reasoning"]);
}

#[test]
fn tools_may_be_left_out_but_not_forced() {
    let tool = |name: &str| {
        let parameters = json!({"properties": {}, "type": "object"});
        json!({"type": "function", "function": {"name": name, "parameters": parameters}})
    };
    let options = json!({"num_predict": 50});
    check(
        run(TOOLS),
        json!({"tools": [tool("a"), tool("b")], "options": options, "stream": false}),
        &["tools[0].function.strict"],
    );
    check(
        run(&format!(r#"{TOOLS},"tool_choice":"none""#)),
        json!({"options": options, "stream": false}),
        &[],
    );
    let one = r#""tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"b"}}]}}"#;
    check(
        run(&format!("{TOOLS},{one}")),
        json!({"tools": [tool("b")], "options": options, "stream": false}),
        &[],
    );
}

#[test]
fn a_schema_is_the_format() {
    let schema =
        r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"array"}}}"#;
    let options = json!({"num_predict": 50});
    check(run(schema), json!({"format": {"type": "array"}, "options": options, "stream": false}), &[]);
    check(
        run(r#""response_format":{"type":"json_object"}"#),
        json!({"format": "json", "options": options, "stream": false}),
        &[],
    );
    for (members, field) in [
        (format!("{schema},{TOOLS}"), "response_format"),
        ("\"n\":2".to_owned(), "n"),
        (format!(r#"{TOOLS},"tool_choice":"required""#), "tool_choice"),
        (r#""tools":[{"type":"web_search"}]"#.to_owned(), "tools[0].type"),
        (r#""modalities":["image"]"#.to_owned(), "modalities"),
    ] {
        assert_eq!(run(&members).expect_err(&members).field, field);
    }
}
