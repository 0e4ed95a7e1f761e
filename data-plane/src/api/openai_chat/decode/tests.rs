//! What the surface takes, what it refuses and in which words.

use bytes::Bytes;
use serde_json::json;
use switchyard_proto::code::ErrorCode;

use super::decode;
use crate::model::facts::{Media, MediaFacts};
use crate::model::message::{PartContent, Role, Tool, ToolChoice};
use crate::model::preferences::{Sort, SortBy};
use crate::model::request::{ChatRequest, Effort, ResponseFormat};

fn accept(body: &str) -> ChatRequest {
    decode(Bytes::copy_from_slice(body.as_bytes())).unwrap_or_else(|refused| panic!("{body}: {refused}"))
}

fn refuse(body: &str) -> (String, String) {
    match decode(Bytes::copy_from_slice(body.as_bytes())) {
        Ok(_) => panic!("accepted: {body}"),
        Err(refused) => {
            assert_eq!(refused.code, ErrorCode::InvalidRequest);
            (refused.field, refused.message)
        }
    }
}

/// A request with one user message and these members besides.
fn with(members: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{members}}}"#)
}

#[test]
fn a_refusal_names_the_field_and_says_what_is_wrong() {
    let user = |content: &str| format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
    for (body, field, message) in [
        (r#"{"model":"m"}"#.to_owned(), "messages", "messages is required"),
        (r#"{"messages":[]}"#.to_owned(), "messages", "messages must not be empty"),
        (r#"{"messages":"hi"}"#.to_owned(), "messages", "messages must be a list of messages, not a string"),
        (r#"{"messages":null}"#.to_owned(), "messages", "messages must be a list of messages, not null"),
        (r#"[]"#.to_owned(), "", "request body must be a JSON object, not a list"),
        (
            r#"{"messages":["hi"]}"#.to_owned(),
            "messages[0]",
            "messages[0] must be a message object, not a string",
        ),
        (r#"{"messages":[{"content":"x"}]}"#.to_owned(), "messages[0].role", "messages[0].role is required"),
        (
            r#"{"messages":[{"role":"bot","content":"x"}]}"#.to_owned(),
            "messages[0].role",
            "messages[0].role `bot` is none of system, developer, user, assistant, tool",
        ),
        (
            r#"{"messages":[{"role":"user"}]}"#.to_owned(),
            "messages[0].content",
            "messages[0].content is required",
        ),
        (
            r#"{"messages":[{"role":"tool","content":"x"}]}"#.to_owned(),
            "messages[0].tool_call_id",
            "messages[0].tool_call_id is required",
        ),
        (
            user("7"),
            "messages[0].content",
            "messages[0].content must be a string or a list of content parts, not a number",
        ),
        (
            user(r#"[{"type":"text","text":"a"},{"type":"foo"}]"#),
            "messages[0].content[1].type",
            "messages[0].content[1].type `foo` is not supported",
        ),
        (user(r#"[{"text":"a"}]"#), "messages[0].content[0].type", "messages[0].content[0].type is required"),
        (
            user(r#"[{"type":"text"}]"#),
            "messages[0].content[0].text",
            "messages[0].content[0].text is required",
        ),
        (
            user(r#"[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]"#),
            "messages[0].content[0].image_url.url",
            "messages[0].content[0].image_url.url must be an https, http or data URL",
        ),
        (
            user(r#"[{"type":"image_url","image_url":"https://x/y.png"}]"#),
            "messages[0].content[0].image_url",
            "messages[0].content[0].image_url must be an object, not a string",
        ),
        (
            user(r#"[{"type":"file","file":{"filename":"a.pdf"}}]"#),
            "messages[0].content[0].file.file_data",
            "messages[0].content[0].file.file_data is required",
        ),
        (with(r#""temperature":"hot""#), "temperature", "temperature must be a number, not a string"),
        (with(r#""max_tokens":-1"#), "max_tokens", "max_tokens must be a whole number that is not negative"),
        (with(r#""max_tokens":0"#), "max_tokens", "max_tokens must be at least 1"),
        (with(r#""n":0"#), "n", "n must be at least 1"),
        (with(r#""stream":"yes""#), "stream", "stream must be a boolean, not a string"),
        (with(r#""stop":5"#), "stop", "stop must be a string or a list of strings, not a number"),
        (
            with(r#""reasoning_effort":"extreme""#),
            "reasoning_effort",
            "reasoning_effort `extreme` is none of none, minimal, low, medium, high, xhigh, max",
        ),
        (
            with(r#""reasoning":{"effort":"low"},"reasoning_effort":"high""#),
            "reasoning_effort",
            "reasoning_effort differs from reasoning.effort",
        ),
        (
            with(r#""reasoning":{"effort":"low","max_tokens":2000}"#),
            "reasoning.max_tokens",
            "reasoning.max_tokens and reasoning.effort cannot both be set",
        ),
        (
            with(r#""response_format":{"type":"yaml"}"#),
            "response_format.type",
            "response_format.type `yaml` is not supported",
        ),
        (
            with(r#""response_format":{"type":"json_schema"}"#),
            "response_format.json_schema",
            "response_format.json_schema is required",
        ),
        (
            with(r#""tool_choice":"maybe""#),
            "tool_choice",
            "tool_choice `maybe` is none of none, auto, required",
        ),
        (
            with(r#""tool_choice":{"type":"function","function":{"name":"f"}}"#),
            "tool_choice.function.name",
            "tool_choice.function.name `f` is none of the declared tools",
        ),
        (with(r#""tools":[{"type":"function"}]"#), "tools[0].function", "tools[0].function is required"),
        (
            with(r#""provider":{"order":"openai"}"#),
            "provider.order",
            "provider.order must be a list, not a string",
        ),
        (
            with(r#""provider":{"sort":"speed"}"#),
            "provider.sort",
            "provider.sort `speed` is none of price, throughput, latency, exacto",
        ),
        (
            with(r#""provider":{"max_price":{"prompt":"-1"}}"#),
            "provider.max_price.prompt",
            "provider.max_price.prompt must be a price: a decimal number that is not negative",
        ),
    ] {
        let (named, text) = refuse(&body);
        assert_eq!((named.as_str(), text.as_str()), (field, message), "{body}");
    }
}

#[test]
fn broken_json_is_said_to_be_broken() {
    for body in ["", "{", r#"{"messages":[{"role":"user","content":"x"}"#, "{}}", "{'a':1}", "\u{0}"] {
        let (field, message) = refuse(body);
        assert_eq!(field, "", "{body}");
        assert!(message.starts_with("request body is not valid JSON: "), "{body}: {message}");
    }
    let refused = decode(Bytes::from_static(b"{\"model\":\"\xff\"}")).expect_err("not UTF-8");
    assert!(refused.message.starts_with("request body is not valid JSON: "), "{refused}");
}

#[test]
fn everything_that_openai_and_openrouter_take_is_read() {
    let request = accept(
        r#"{"model":"a/b","models":["c/d"],"messages":[{"role":"user","content":"hi"}],"stream":true,
        "stream_options":{"include_usage":true},"temperature":1,"top_p":0.5,"seed":-7,"stop":["","END"],"n":2,
        "max_tokens":100,"max_completion_tokens":50,"reasoning":{"effort":"high","exclude":true},"user":"u",
        "provider":{"order":["x"],"only":null,"allow_fallbacks":false,"data_collection":"deny","zdr":true,
          "sort":{"by":"throughput","partition":"none"},"max_price":{"prompt":1,"completion":"2.50","image":1e-7},
          "preferred_min_throughput":50,"preferred_max_latency":{"p90":3},"quantizations":["fp8"],"new_wish":{}},
        "response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"a" : 1},"strict":true}},
        "usage":{"include":true},"transforms":["middle-out"],"route":"fallback","unheard_of":{"x":[1]}}"#,
    );
    assert_eq!(
        (request.model.as_deref(), &request.fallback_models[..]),
        (Some("a/b"), &["c/d".to_owned()][..])
    );
    assert_eq!((request.max_output_tokens, request.n, request.stream), (Some(50), 2, true));
    assert_eq!((request.sampling.temperature, request.sampling.seed), (Some(1.0), Some(-7)));
    assert_eq!(
        (request.stop.as_slice(), request.reasoning.effort),
        (&["END".to_owned()][..], Some(Effort::High))
    );
    assert!(request.reasoning.exclude);
    let wishes = &request.provider;
    assert_eq!(wishes.sort, Some(Sort { by: SortBy::Throughput, across_models: true }));
    assert_eq!(wishes.max_price.completion.as_deref(), Some("2.50"));
    assert_eq!(wishes.max_price.image.as_deref(), Some("0.0000001"));
    assert_eq!(
        (wishes.preferred_min_throughput.p50, wishes.preferred_max_latency.p90),
        (Some(50.0), Some(3.0))
    );
    assert!(wishes.deny_data_collection && wishes.zdr && !wishes.allow_fallbacks && wishes.only.is_empty());
    let Some(ResponseFormat::JsonSchema { schema: Some(schema), .. }) = &request.response_format else {
        panic!("a schema was sent")
    };
    assert_eq!(schema.get(), r#"{"a" : 1}"#, "byte for byte");
    let sent: Vec<_> = request.facts.parameters.iter().map(|parameter| parameter.name()).collect();
    assert_eq!(
        sent,
        [
            "temperature",
            "top_p",
            "max_tokens",
            "max_completion_tokens",
            "seed",
            "stop",
            "n",
            "response_format",
            "structured_outputs",
            "reasoning",
            "user",
            "transforms"
        ]
    );
}

#[test]
fn null_means_absent() {
    let request = accept(&with(
        r#""temperature":null,"tools":null,"tool_choice":null,"stop":null,"stream":null,"n":null,"provider":null,
        "response_format":null,"reasoning":null,"max_tokens":null,"stream_options":null,"metadata":null,"user":null,
        "functions":null,"function_call":null,"logit_bias":null,"models":null"#,
    ));
    assert!(request.facts.parameters.is_empty(), "{:?}", request.facts.parameters);
    assert!(!request.stream && request.n == 1 && request.provider.allow_fallbacks);
}

#[test]
fn facts_measure_text_and_media() {
    let request = accept(
        r#"{"messages":[
        {"role":"system","content":[{"type":"text","text":"abc","cache_control":{"type":"ephemeral"}}]},
        {"role":"user","content":[{"type":"text","text":"gr\u00fc\u00dfe"},
          {"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},
          {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
          {"type":"input_audio","input_audio":{"data":"AAAAAAAA","format":"wav"}},
          {"type":"video_url","video_url":{"url":"https://x/y.mp4"}},
          {"type":"file","file":{"file_id":"f"}}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"now","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"c1","content":"12:00"},
        {"role":"assistant","content":"It is"}],
        "tools":[{"type":"function","function":{"name":"now","parameters":{"type":"object"}}},{"type":"openrouter:web_search"}]}"#,
    );
    let facts = request.facts;
    assert_eq!((facts.messages, facts.tools, facts.server_tools), (5, 1, 1));
    assert!(facts.tool_history && facts.prefill);
    assert_eq!(facts.cache_breakpoints, 1);
    assert_eq!(facts.images, MediaFacts { count: 2, remote: 1, inline_bytes: 26 });
    assert_eq!(facts.audio, MediaFacts { count: 1, remote: 0, inline_bytes: 8 });
    assert_eq!((facts.videos.remote, facts.files.remote), (1, 1));
    assert_eq!(facts.modalities().collect::<Vec<_>>(), Media::ALL);
    let text = "abc".len() + "grüße".len() + "c1now{}".len() + "c112:00".len() + "It is".len();
    let tools = "now".len() + r#"{"type":"object"}"#.len();
    // `type` of a call and of a tool choice are no text of anybody's.
    assert_eq!(facts.text_bytes, (text + tools) as u64);
    assert_eq!(facts.body_bytes, request.source.body.len() as u64);
}

#[test]
fn messages_and_tools_are_typed_when_asked() {
    let request = accept(
        r#"{"messages":[
        {"role":"developer","content":"be brief"},
        {"role":"user","content":[{"type":"text","text":"x","prompt_cache_breakpoint":{"mode":"explicit"}},
          {"image_url":{"url":"https://x"},"type":"image_url"}]},
        {"role":"assistant","content":null,"reasoning_content":"hm","function_call":{"name":"f","arguments":"{}"}},
        {"role":"function","name":"f","content":"1"}],
        "functions":[{"name":"f","description":"d","parameters":{"b":1,"a":2}}],"function_call":{"name":"f"}}"#,
    );
    let messages = request.messages.get().expect("typed");
    assert_eq!(messages[0].role, Role::Developer);
    assert_eq!(messages[1].content[0].cache_control, Some(json!({"type": "ephemeral"})));
    assert_eq!(
        messages[1].content[1].content,
        PartContent::Image { url: "https://x".to_owned(), detail: None }
    );
    assert_eq!(messages[2].reasoning.as_deref(), Some("hm"));
    assert_eq!(Some(messages[2].tool_calls[0].id.as_str()), messages[3].tool_call_id.as_deref());
    let [Tool::Function { name, parameters: Some(parameters), .. }] =
        &request.tools.get().expect("typed")[..]
    else {
        panic!("one function was declared")
    };
    assert_eq!((name.as_str(), parameters.get()), ("f", r#"{"b":1,"a":2}"#));
    assert_eq!(request.tool_choice, Some(ToolChoice::Named("f".to_owned())));
}

#[test]
fn members_of_a_tool_come_in_any_order() {
    let named = r#"{"name":"f","parameters":{}}"#;
    for tool in [
        format!(r#"{{"type":"function","function":{named}}}"#),
        format!(r#"{{"function":{named},"type":"function"}}"#),
    ] {
        let request =
            accept(&format!(r#"{{"messages":[{{"role":"user","content":"1"}}],"tools":[{tool}]}}"#));
        assert_eq!(request.facts.tools, 1, "{tool}");
    }
}

#[test]
fn the_last_of_duplicate_members_counts() {
    let request = accept(
        r#"{"model":"a","messages":[{"role":"user","content":"1"},{"role":"user","content":"2"}],"model":"b",
        "messages":[{"role":"user","content":"3"}]}"#,
    );
    assert_eq!((request.model.as_deref(), request.facts.messages), (Some("b"), 1));
}
