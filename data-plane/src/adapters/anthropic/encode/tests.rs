//! Chat requests and what Anthropic gets of them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::encode;
use crate::adapters::anthropic::Anthropic;
use crate::adapters::anthropic::models::quirks;
use crate::adapters::{Adapter, Encoded, Quirks, Target, Unsupported};
use crate::api::openai_chat;
use crate::model::facts::Media;
use crate::model::media::{Fetched, FetchedFile, NOTHING};
use crate::model::parameter::Parameters;

/// A model that takes everything of its time.
const MODEL: &str = "claude-sonnet-4-5";

fn run_with(request: &Value, quirks: &Quirks, cap: Option<u64>) -> Result<Encoded, Unsupported> {
    let request = openai_chat::decode(Bytes::from(request.to_string())).expect("well-formed");
    let target = Target {
        model: MODEL,
        output_cap: cap,
        stream: request.stream,
        quirks,
        fetched: &NOTHING,
        supported: Parameters::NONE,
        tier: None,
    };
    encode(&request, &target)
}

fn body(encoded: &Encoded) -> Value {
    serde_json::from_slice(&encoded.body).expect("JSON")
}

/// The body for these members beside one user message, without what is the same everywhere.
fn members(members: Value, model: &str) -> (Value, Vec<String>) {
    let mut request = json!({"messages": [{"role": "user", "content": "hi"}]});
    request.as_object_mut().expect("object").extend(members.as_object().expect("object").clone());
    let encoded = run_with(&request, &quirks(model), Some(10_000)).expect("supported");
    let mut body = body(&encoded);
    for name in ["model", "messages", "max_tokens"] {
        body.as_object_mut().expect("object").shift_remove(name);
    }
    (body, encoded.dropped.iter().map(ToString::to_string).collect())
}

fn messages(list: Value) -> Result<Value, Unsupported> {
    messages_with(list, &quirks(MODEL))
}

fn messages_with(list: Value, quirks: &Quirks) -> Result<Value, Unsupported> {
    let encoded = run_with(&json!({ "messages": list }), quirks, None)?;
    let body = body(&encoded);
    Ok(json!({"system": body["system"], "messages": body["messages"]}))
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[test]
fn a_small_request_is_translated_whole() {
    let request = json!({
        "model": "anthropic/claude", "stream": true, "temperature": 1.7, "top_k": 5, "stop": ["END"], "user": "u1",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
    });
    let encoded = run_with(&request, &quirks(MODEL), Some(77)).expect("supported");
    assert_eq!(
        body(&encoded),
        json!({
            "model": MODEL, "max_tokens": 77, "stream": true, "temperature": 1.0, "top_k": 5,
            "stop_sequences": ["END"], "metadata": {"user_id": "u1"}, "system": [text("be brief")],
            "messages": [{"role": "user", "content": [text("hi")]}],
        })
    );
    assert_eq!((encoded.path.as_ref(), encoded.dropped.len()), ("/messages", 0));
    assert_eq!(encoded.headers["anthropic-version"], "2023-06-01");
    assert_eq!(encoded.headers["accept"], "text/event-stream");
}

#[test]
fn on_vertex_the_model_is_in_the_path_and_the_version_in_the_body() {
    let mut quirks = quirks("claude-haiku-4-5@20251001");
    quirks.set("claude_host", "vertex").expect("a quirk");
    let image = json!({"type": "image_url", "image_url": {"url": "https://x/y.png"}});
    let request = json!({"max_tokens": 9, "messages": [{"role": "user", "content": [image]}]});
    for (stream, verb) in [(false, "rawPredict"), (true, "streamRawPredict")] {
        let mut request = request.clone();
        request["stream"] = stream.into();
        let request = openai_chat::decode(Bytes::from(request.to_string())).expect("well-formed");
        let png = FetchedFile { media_type: "image/png".to_owned(), base64: "AAAA".to_owned() };
        let fetched = Fetched([("https://x/y.png".to_owned(), png)].into());
        let target = Target {
            model: "claude-haiku-4-5@20251001",
            output_cap: None,
            stream,
            quirks: &quirks,
            fetched: &fetched,
            supported: Parameters::NONE,
            tier: None,
        };
        let encoded = encode(&request, &target).expect("supported");
        assert_eq!(encoded.path, format!("/publishers/anthropic/models/claude-haiku-4-5@20251001:{verb}"));
        assert!(!encoded.headers.contains_key("anthropic-version"));
        let body = body(&encoded);
        assert_eq!((&body["model"], &body["anthropic_version"]), (&Value::Null, &json!("vertex-2023-10-16")));
        let source = json!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
        assert_eq!(body["messages"][0]["content"], json!([{"type": "image", "source": source}]));
    }
    let urls = |quirks: &Quirks| Anthropic.must_fetch(Media::Image, "https://x/y.png", quirks);
    assert!(urls(&quirks) && !urls(&Quirks::default()));
}

#[test]
fn sampling_that_the_endpoint_does_not_list_is_left_out_by_name() {
    let request = json!({"temperature": 0.5, "top_k": 3, "messages": [{"role": "user", "content": "x"}]});
    let request = openai_chat::decode(Bytes::from(request.to_string())).expect("well-formed");
    let quirks = quirks(MODEL);
    let target = Target {
        model: MODEL,
        output_cap: None,
        stream: false,
        quirks: &quirks,
        fetched: &NOTHING,
        supported: Parameters::from_names(["temperature"]),
        tier: None,
    };
    let encoded = encode(&request, &target).expect("supported");
    assert_eq!((&body(&encoded)["temperature"], encoded.dropped), (&json!(0.5), vec!["top_k".into()]));
}

#[test]
fn the_cap_is_the_reserved_one_then_the_callers_then_the_models() {
    let request = |cap: Option<u64>| json!({"max_completion_tokens": cap, "messages": [{"role": "user", "content": "x"}]});
    for (caller, reserved, sent) in [(Some(50), Some(40), 40), (Some(50), None, 50), (None, None, 64_000)] {
        let encoded = run_with(&request(caller), &quirks(MODEL), reserved).expect("supported");
        assert_eq!(body(&encoded)["max_tokens"], sent);
    }
}

#[test]
fn turns_alternate_and_results_stand_first_in_the_order_of_the_calls() {
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    let list = json!([
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "  "}]},
        {"role": "assistant", "content": "", "tool_calls": [call("c1", "{\"x\":1}"), call("c.2", ""), call("c3", "{}")]},
        {"role": "tool", "tool_call_id": "c.2", "content": "two"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}}]},
        {"role": "tool", "tool_call_id": "zz", "content": "lost"},
        {"role": "user", "content": "go on"},
        {"role": "system", "content": "now in French"},
    ]);
    let second = "c_2_4c5a0c62";
    let found = messages(list).expect("supported");
    let second_sent = found["messages"][3]["content"][1]["id"].as_str().expect("an id");
    assert!(second_sent.starts_with("c_2_") && second_sent.len() == second.len(), "{second_sent}");
    assert_eq!(
        found,
        json!({"system": null, "messages": [
            {"role": "user", "content": [text(".")]},
            {"role": "assistant", "content": [text("Hello")]},
            {"role": "user", "content": [text("a"), text("b")]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": second_sent, "name": "f", "input": {}},
                {"type": "tool_use", "id": "c3", "name": "f", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "one", "cache_control": {"type": "ephemeral"}},
                {"type": "tool_result", "tool_use_id": second_sent, "content": "two"},
                {"type": "tool_result", "tool_use_id": "c3", "content": "No result was recorded for this call.", "is_error": true},
                text("Tool result: lost"), text("go on"), text("<system>now in French</system>"),
            ]},
        ]})
    );
}

#[test]
fn system_parts_stay_apart_and_later_ones_stay_where_the_model_knows_them() {
    let list = json!([
        {"role": "system", "content": [
            {"type": "text", "text": "one", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "text", "text": "two"}]},
        {"role": "developer", "content": "three"},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "four"},
    ]);
    let found = messages_with(list, &quirks("claude-opus-5")).expect("supported");
    assert_eq!(
        found,
        json!({
            "system": [
                {"type": "text", "text": "one", "cache_control": {"type": "ephemeral", "ttl": "1h"}}, text("two"), text("three"),
            ],
            "messages": [{"role": "user", "content": [text("hi")]}, {"role": "system", "content": [text("four")]}],
        })
    );
}

#[test]
fn own_thinking_goes_back_first_and_foreign_thinking_does_not() {
    let format = "anthropic-claude-v1";
    let list = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hm.", "reasoning": "hm", "reasoning_details": [
            {"type": "reasoning.text", "text": "h", "format": format, "index": 0},
            {"type": "reasoning.text", "text": "m", "format": format, "index": 0},
            {"type": "reasoning.text", "text": "", "signature": "c2ln", "format": format, "index": 0},
            {"type": "reasoning.encrypted", "data": "xyz", "format": format, "index": 1},
            {"type": "reasoning.text", "text": "unsigned", "format": format, "index": 2},
            {"type": "reasoning.text", "text": "x", "signature": "s", "format": "google-gemini-v1", "index": 3},
        ]},
        {"role": "user", "content": "and?"},
    ]);
    let found = messages(list).expect("supported");
    assert_eq!(
        found["messages"][1]["content"],
        json!([
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "xyz"},
            text("Hm."),
        ])
    );
}

#[test]
fn models_that_bind_their_thinking_are_told_to_drop_what_no_longer_fits() {
    let detail = json!({"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0});
    let list = |details: Value| {
        json!([{"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning_details": details}, {"role": "user", "content": "c"}])
    };
    let unbound = json!({"prefix_mismatch_behavior": "drop_block"});
    for (model, details, expected) in [
        ("claude-opus-5-5", json!([detail]), &unbound),
        ("claude-haiku-5-5", json!([detail]), &unbound),
        ("claude-opus-5-5", json!([]), &Value::Null),
        ("claude-opus-5", json!([detail]), &Value::Null),
    ] {
        let request = json!({"reasoning_effort": "low", "messages": list(details)});
        let body = body(&run_with(&request, &quirks(model), None).expect("supported"));
        assert_eq!(&body["thinking"]["block_binding"], expected, "{model}");
    }
}

#[test]
fn a_prefill_is_trimmed_or_refused() {
    let list = || json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "It is \n"}]);
    let found = messages(list()).expect("supported");
    assert_eq!(found["messages"][1]["content"], json!([text("It is")]));
    let refused = messages_with(list(), &quirks("claude-opus-4-6")).expect_err("no prefill");
    assert_eq!(refused.field, "messages");
}

#[test]
fn tools_and_choices_are_translated() {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "description": "d", "parameters": {"properties": {}}}});
    let sent = |name: &str| json!({"name": name, "description": "d", "input_schema": {"properties": {}, "type": "object"}});
    let named = |name: &str| json!({"type": "function", "function": {"name": name}});
    let allowed =
        json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named("b")]}});
    for (asked, parallel, tools, choice) in [
        (Value::Null, Value::Null, json!([sent("a"), sent("b")]), Value::Null),
        (json!("auto"), Value::Null, json!([sent("a"), sent("b")]), json!({"type": "auto"})),
        (json!("none"), json!(false), json!([sent("a"), sent("b")]), json!({"type": "none"})),
        (json!("required"), json!(true), json!([sent("a"), sent("b")]), json!({"type": "any"})),
        (
            Value::Null,
            json!(false),
            json!([sent("a"), sent("b")]),
            json!({"type": "auto", "disable_parallel_tool_use": true}),
        ),
        (
            named("b"),
            json!(false),
            json!([sent("a"), sent("b")]),
            json!({"type": "tool", "name": "b", "disable_parallel_tool_use": true}),
        ),
        (allowed, Value::Null, json!([sent("b")]), json!({"type": "any"})),
    ] {
        let request =
            json!({"tools": [tool("a"), tool("b")], "tool_choice": asked, "parallel_tool_calls": parallel});
        let (body, dropped) = members(request.clone(), MODEL);
        assert_eq!((&body["tools"], &body["tool_choice"]), (&tools, &choice), "{request}");
        assert!(dropped.is_empty(), "{dropped:?}");
    }
}

#[test]
fn odd_tool_names_are_mapped_and_remembered() {
    let request = json!({"tools": [{"type": "function", "function": {"name": "my.tool"}}],
        "messages": [{"role": "user", "content": "x"}]});
    let encoded = run_with(&request, &quirks(MODEL), None).expect("supported");
    let sent = body(&encoded)["tools"][0]["name"].as_str().expect("a name").to_owned();
    assert_eq!(encoded.context.client_name(&sent), "my.tool");
}

#[test]
fn tools_of_the_history_are_declared_though_none_are_offered() {
    let request = json!({"messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "1"}]});
    let body = body(&run_with(&request, &quirks(MODEL), None).expect("supported"));
    assert_eq!(body["tools"], json!([{"name": "f", "input_schema": {"type": "object"}}]));
    assert_eq!(body["tool_choice"], json!({"type": "none"}));
}

#[test]
fn reasoning_takes_the_form_that_the_model_knows() {
    let budget = |tokens: u64| json!({"thinking": {"type": "enabled", "budget_tokens": tokens}});
    let adaptive = |effort: &str| json!({"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": effort}});
    let nothing = json!({});
    for (model, wish, expected, dropped) in [
        ("claude-sonnet-4-5", json!({"reasoning": {"effort": "high"}}), budget(8000), vec![]),
        ("claude-sonnet-4-5", json!({"reasoning_effort": "minimal"}), budget(1024), vec![]),
        ("claude-sonnet-4-5", json!({"reasoning": {"max_tokens": 2000}}), budget(2000), vec![]),
        ("claude-sonnet-4-5", json!({"reasoning": {"max_tokens": 20_000}}), budget(9999), vec![]),
        ("claude-sonnet-4-5", json!({"reasoning": {"enabled": true}}), budget(5000), vec![]),
        ("claude-sonnet-4-5", json!({"reasoning": {"effort": "none"}}), nothing.clone(), vec![]),
        ("claude-3-haiku", json!({"reasoning": {"effort": "low"}}), nothing.clone(), vec!["reasoning"]),
        ("claude-opus-4-6", json!({"reasoning": {"effort": "xhigh"}}), adaptive("max"), vec![]),
        ("claude-opus-4-7", json!({"reasoning": {"effort": "xhigh"}}), adaptive("xhigh"), vec![]),
        ("claude-opus-4-7", json!({"reasoning": {"effort": "minimal"}}), adaptive("low"), vec![]),
        ("claude-opus-4-7", json!({"reasoning": {"max_tokens": 5000}}), adaptive("medium"), vec![]),
        (
            "claude-opus-4-7",
            json!({"reasoning": {"enabled": false}}),
            json!({"thinking": {"type": "disabled"}}),
            vec![],
        ),
        (
            "claude-sonnet-5-5",
            json!({"reasoning_effort": "none"}),
            json!({"thinking": {"type": "between_tools"}}),
            vec![],
        ),
        (
            "claude-opus-5-5",
            json!({"reasoning_effort": "none"}),
            json!({"output_config": {"effort": "low"}}),
            vec![],
        ),
        ("claude-opus-5", json!({"verbosity": "low"}), json!({"output_config": {"effort": "low"}}), vec![]),
        ("claude-sonnet-4-5", json!({"verbosity": "low"}), nothing.clone(), vec!["verbosity"]),
        (
            "claude-opus-5",
            json!({"temperature": 0.5, "top_p": 0.9}),
            nothing.clone(),
            vec!["temperature", "top_p"],
        ),
        (
            "claude-sonnet-4-5",
            json!({"temperature": 0.5, "top_p": 0.9}),
            json!({"temperature": 0.5}),
            vec!["top_p"],
        ),
    ] {
        let (body, found) = members(wish.clone(), model);
        assert_eq!(
            (body, found),
            (expected, dropped.into_iter().map(str::to_owned).collect()),
            "{model} {wish}"
        );
    }
}

#[test]
fn a_forced_call_or_an_unthought_tool_loop_switches_the_budget_off() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let (body, dropped) =
        members(json!({"reasoning_effort": "high", "tools": tools, "tool_choice": "required"}), MODEL);
    assert_eq!((&body["thinking"], dropped), (&Value::Null, vec!["reasoning".to_owned()]));
    let request = json!({"reasoning_effort": "high", "tools": tools, "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "1"}]});
    let encoded = run_with(&request, &quirks(MODEL), None).expect("supported");
    assert_eq!(encoded.dropped, ["reasoning"]);
}

#[test]
fn structured_output_is_native_or_a_forced_tool_or_asked_for() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
    let format = |schema: &Value| json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}});
    let mut closed = schema.clone();
    closed["additionalProperties"] = false.into();
    let (body, _) = members(format(&schema), MODEL);
    assert_eq!(body["output_config"], json!({"format": {"type": "json_schema", "schema": closed}}));

    let (body, _) = members(format(&schema), "claude-3-5-haiku");
    assert_eq!(body["tools"][0]["input_schema"], schema);
    assert_eq!(
        body["tool_choice"],
        json!({"type": "tool", "name": "json_response", "disable_parallel_tool_use": true})
    );

    let (body, _) = members(format(&json!({"type": "array", "items": {"type": "string"}})), MODEL);
    assert_eq!(body["tools"][0]["input_schema"]["required"], json!(["value"]));

    let json_object = json!({"response_format": {"type": "json_object"}, "tools": [{"type": "function", "function": {"name": "f"}}]});
    let (body, _) = members(json_object, MODEL);
    assert!(body["system"][0]["text"].as_str().is_some_and(|text| text.contains("JSON object")));
}

#[test]
fn what_has_no_counterpart_is_named() {
    let (body, dropped) = members(
        json!({
            "seed": 1, "logit_bias": {"1": 2}, "frequency_penalty": 0.1, "logprobs": true, "top_logprobs": 2, "min_p": 0.1,
            "prediction": {"type": "content", "content": "x"}, "user": "a@b.c", "service_tier": "flex", "store": true,
            "metadata": {"k": "v"}, "stop": " ", "unheard_of": 1, "container": "c1", "provider": {"zdr": true}, "plugins": [{"id": "web"}],
        }),
        MODEL,
    );
    let mut dropped = dropped;
    dropped.sort();
    assert_eq!(
        dropped,
        [
            "frequency_penalty",
            "logit_bias",
            "logprobs",
            "metadata",
            "min_p",
            "plugins",
            "prediction",
            "seed",
            "service_tier",
            "stop",
            "store",
            "top_logprobs",
            "unheard_of",
            "user"
        ]
    );
    assert_eq!(body, json!({"container": "c1"}));
}

#[test]
fn what_would_change_the_meaning_is_refused_by_name() {
    let audio = json!([{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}]}]);
    let hi = json!([{"role": "user", "content": "hi"}]);
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (model, request, field) in [
        (MODEL, json!({"messages": audio}), "messages[0].content[0]"),
        (MODEL, json!({"messages": hi, "n": 2}), "n"),
        (MODEL, json!({"messages": hi, "modalities": ["text", "audio"]}), "modalities"),
        (
            MODEL,
            json!({"messages": hi, "tools": [{"type": "custom", "custom": {"name": "c"}}]}),
            "tools[0].type",
        ),
        (
            "claude-opus-5-5",
            json!({"messages": hi, "tools": tools, "tool_choice": "required"}),
            "tool_choice",
        ),
        (MODEL, json!({"messages": hi, "response_format": {"type": "grammar"}}), "response_format.type"),
        (
            MODEL,
            json!({"messages": [hi[0], {"role": "assistant", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{broken"}}]}]}),
            "messages[1].tool_calls[0].function.arguments",
        ),
    ] {
        let refused = run_with(&request, &quirks(model), None).expect_err(field);
        assert_eq!(refused.field, field);
        assert!(refused.message.starts_with(field), "{}", refused.message);
    }
}

#[test]
fn no_more_than_four_breakpoints_are_sent() {
    let marked = |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
    let user = |text: &str| json!({"role": "user", "content": [marked(text)]});
    let list =
        json!([{"role": "system", "content": [marked("s")]}, user("1"), user("2"), user("3"), user("4")]);
    let encoded = run_with(&json!({ "messages": list }), &quirks(MODEL), None).expect("supported");
    let body = body(&encoded);
    let kept: Vec<bool> = body["messages"][0]["content"]
        .as_array()
        .expect("blocks")
        .iter()
        .map(|block| block.get("cache_control").is_some())
        .collect();
    assert!(body["system"][0].get("cache_control").is_some());
    assert_eq!(kept, [false, true, true, true]);
    assert_eq!(encoded.dropped, ["cache_control"]);
}

#[test]
fn the_prefix_of_two_turns_is_the_same_bytes() {
    let turn = |more: &[Value]| {
        let mut list =
            vec![json!({"role": "system", "content": "s"}), json!({"role": "user", "content": "a"})];
        list.extend_from_slice(more);
        let tools =
            json!([{"type": "function", "function": {"name": "f", "parameters": {"z": 1, "a": 2.50}}}]);
        let request = json!({"messages": list, "tools": tools});
        String::from_utf8(run_with(&request, &quirks(MODEL), None).expect("supported").body.to_vec())
            .expect("UTF-8")
    };
    let (one, two) = (
        turn(&[]),
        turn(&[json!({"role": "assistant", "content": "b"}), json!({"role": "user", "content": "c"})]),
    );
    let tail = |text: &str| text[text.find("\"tools\"").expect("tools")..].to_owned();
    assert_eq!(tail(&one), tail(&two));
    let end = one.find("]}]").expect("the end of the first turn");
    assert_eq!(one[..end], two[..end]);
}
