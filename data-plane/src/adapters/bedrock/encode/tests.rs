//! Chat requests and what Converse gets of them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::encode;
use crate::adapters::bedrock::Bedrock;
use crate::adapters::{Adapter, Encoded, Quirks, Target, Unsupported};
use crate::api::openai_chat;
use crate::model::media::{Fetched, FetchedFile};
use crate::model::parameter::Parameters;

const MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

/// The adapter's quirks with a row's over them.
fn row(quirks: &[(&str, &str)]) -> Quirks {
    let mut row = Bedrock.quirks();
    quirks.iter().for_each(|(name, value)| row.set(name, value).expect("a quirk"));
    row
}

fn claude() -> Quirks {
    row(&[
        ("model_fields", "claude"),
        ("thinking", "budget"),
        ("cache_marks", "keep"),
        ("output_format", "true"),
    ])
}

fn adaptive() -> Quirks {
    row(&[
        ("model_fields", "claude"),
        ("thinking", "adaptive"),
        ("efforts", "low,medium,high,xhigh,max"),
        ("sampling", "false"),
        ("prefill", "false"),
        ("forced_tools", "false"),
        ("output_format", "true"),
    ])
}

fn nova() -> Quirks {
    row(&[("model_fields", "nova"), ("cache_marks", "keep"), ("text_format", "true")])
}

fn run(request: &Value, quirks: &Quirks, cap: Option<u64>) -> Result<Encoded, Unsupported> {
    let request = openai_chat::decode(Bytes::from(request.to_string())).expect("well-formed");
    let png = FetchedFile { media_type: "image/png".to_owned(), base64: "AAAA".to_owned() };
    let fetched = Fetched([("https://x/y.png".to_owned(), png)].into());
    let target = Target {
        model: MODEL,
        output_cap: cap,
        stream: request.stream,
        quirks,
        fetched: &fetched,
        supported: Parameters::NONE,
        tier: None,
    };
    encode(&request, &target)
}

fn body(encoded: &Encoded) -> Value {
    serde_json::from_slice(&encoded.body).expect("JSON")
}

fn dropped(encoded: &Encoded) -> Vec<&str> {
    encoded.dropped.iter().map(AsRef::as_ref).collect()
}

/// The body and what was left out, for these members beside one user message and a cap of 10,000.
fn members(members: &Value, quirks: &Quirks) -> (Value, Vec<String>) {
    let mut request = json!({"messages": [{"role": "user", "content": "hi"}]});
    request.as_object_mut().expect("object").extend(members.as_object().expect("object").clone());
    let encoded = run(&request, quirks, Some(10_000)).expect("supported");
    let mut body = body(&encoded);
    body.as_object_mut().expect("object").shift_remove("messages");
    (body, dropped(&encoded).into_iter().map(str::to_owned).collect())
}

fn messages(list: &Value, quirks: &Quirks) -> Value {
    body(&run(&json!({ "messages": list }), quirks, None).expect("supported"))
}

fn text(text: &str) -> Value {
    json!({ "text": text })
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}})
}

fn function(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": "d", "parameters": {"properties": {}}}})
}

fn spec(name: &str) -> Value {
    json!({"toolSpec": {"name": name, "description": "d", "inputSchema": {"json": {"properties": {}, "type": "object"}}}})
}

#[test]
fn a_small_request_is_translated_whole() {
    let request = json!({
        "model": "a/claude", "stream": true, "temperature": 1.7, "top_k": 5, "stop": ["END"], "service_tier": "flex",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
    });
    let encoded = run(&request, &claude(), Some(77)).expect("supported");
    assert_eq!(
        body(&encoded),
        json!({
            "messages": [{"role": "user", "content": [text("hi")]}],
            "system": [text("be brief")],
            "inferenceConfig": {"maxTokens": 77, "temperature": 1.0, "stopSequences": ["END"]},
            "additionalModelRequestFields": {"top_k": 5},
            "serviceTier": {"type": "flex"},
        })
    );
    assert_eq!(encoded.path, "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream");
    assert_eq!(encoded.headers["accept"], "application/vnd.amazon.eventstream");
    assert!(dropped(&encoded).is_empty());
    let whole =
        run(&json!({"messages": [{"role": "user", "content": "hi"}]}), &claude(), None).expect("supported");
    assert_eq!(body(&whole), json!({"messages": [{"role": "user", "content": [text("hi")]}]}));
    assert!(whole.path.ends_with("/converse"), "{}", whole.path);
}

#[test]
fn turns_alternate_and_results_stand_first_in_the_order_of_the_calls() {
    let list = json!([
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "  "}]},
        {"role": "assistant", "content": "", "tool_calls": [call("c1", "{\"x\":1}"), call("c 2", ""), call("c3", "{}"), call("c4", "{}")]},
        {"role": "tool", "tool_call_id": "c 2", "content": "{\"ok\":true}"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
        {"role": "tool", "tool_call_id": "zz", "content": "lost"},
        {"role": "tool", "tool_call_id": "c4", "content": ""},
        {"role": "user", "content": "go on"},
        {"role": "system", "content": "now in French"},
    ]);
    let request = json!({"messages": list, "tools": [function("f")]});
    let found = body(&run(&request, &claude(), None).expect("supported"));
    let second =
        found["messages"][3]["content"][1]["toolUse"]["toolUseId"].as_str().expect("an id").to_owned();
    assert!(second.starts_with("c_2_"), "{second}");
    let tool_use =
        |id: &str, input: Value| json!({"toolUse": {"toolUseId": id, "name": "f", "input": input}});
    let result = |id: &str, content: Value| json!({"toolResult": {"toolUseId": id, "content": content}});
    let image = json!({"image": {"format": "png", "source": {"bytes": "AAAA"}}});
    assert_eq!(
        found["messages"],
        json!([
            {"role": "user", "content": [text(".")]},
            {"role": "assistant", "content": [text("Hello")]},
            {"role": "user", "content": [text("a"), text("b")]},
            {"role": "assistant", "content": [
                tool_use("c1", json!({"x": 1})), tool_use(&second, json!({})), tool_use("c3", json!({})), tool_use("c4", json!({}))]},
            {"role": "user", "content": [
                result("c1", json!([text("one"), image])),
                {"cachePoint": {"type": "default"}},
                result(&second, json!([{"json": {"ok": true}}])),
                {"toolResult": {"toolUseId": "c3", "status": "error", "content": [text("No result was recorded for this call.")]}},
                result("c4", json!([text("(no output)")])),
                text("Tool result: lost"), text("go on"), text("<system>now in French</system>"),
            ]},
        ])
    );
    assert_eq!(found["toolConfig"], json!({"tools": [spec("f")]}));
}

#[test]
fn without_tools_the_history_of_calls_is_told_in_words() {
    let list = json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call("c", "{\"a\":1}"), call("d", "{")]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]);
    let expected = json!([
        {"role": "user", "content": [text("x")]},
        {"role": "assistant", "content": [
            text("Let me see."), text("[Called tool f with {\"a\":1}]"), text("[Called tool f with {]")]},
        {"role": "user", "content": [
            text("Result of tool f: 1"), text("Result of tool f: No result was recorded for this call.")]},
    ]);
    for request in [
        json!({ "messages": list }),
        json!({"messages": list, "tools": [function("f")], "tool_choice": "none"}),
        json!({"messages": list, "tools": []}),
    ] {
        let found = body(&run(&request, &row(&[]), None).expect("supported"));
        assert_eq!((&found["messages"], &found["toolConfig"]), (&expected, &Value::Null), "{request}");
    }
}

#[test]
fn a_document_has_a_text_beside_it_and_a_result_need_not() {
    let pdf = json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}});
    let list = json!([{"role": "user", "content": [pdf]}, {"role": "assistant", "content": "b"}, {"role": "user", "content": [text_part("c"), pdf]}]);
    let encoded = run(&json!({ "messages": list }), &claude(), None).expect("supported");
    let document =
        |name: &str| json!({"document": {"format": "pdf", "name": name, "source": {"bytes": "AAAA"}}});
    let found = body(&encoded);
    assert_eq!(found["messages"][0]["content"], json!([document("Document 1"), text(".")]));
    assert_eq!(found["messages"][2]["content"], json!([text("c"), document("Document 2")]));
    assert_eq!(
        dropped(&encoded),
        ["messages[0].content[0].file.filename", "messages[2].content[1].file.filename"]
    );
}

fn text_part(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[test]
fn signed_reasoning_goes_back_first_to_the_maker_that_signed_it() {
    let detail = |format: &str| json!({"type": "reasoning.text", "text": "hm", "signature": "c2ln", "format": format, "index": 0});
    let hidden =
        json!({"type": "reasoning.encrypted", "data": "AAEC", "format": "anthropic-claude-v1", "index": 1});
    let list = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hm.", "reasoning_details": [detail("anthropic-claude-v1"), hidden, detail("unknown"), detail("google-gemini-v1")]},
        {"role": "user", "content": "and?"},
    ]);
    let signed = json!({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}});
    let redacted = json!({"reasoningContent": {"redactedContent": "AAEC"}});
    assert_eq!(messages(&list, &claude())["messages"][1]["content"], json!([signed, redacted, text("Hm.")]));
    assert_eq!(messages(&list, &nova())["messages"][1]["content"], json!([signed, text("Hm.")]));
}

#[test]
fn a_prefill_is_trimmed_or_refused() {
    let list = json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "It is \n"}]);
    assert_eq!(messages(&list, &claude())["messages"][1]["content"], json!([text("It is")]));
    let refused = run(&json!({ "messages": list }), &adaptive(), None).expect_err("no prefill");
    assert_eq!(refused.field, "messages");
    let thinking = json!({"messages": list, "reasoning_effort": "high"});
    assert_eq!(run(&thinking, &claude(), Some(10_000)).expect_err("thinks").field, "messages");
}

#[test]
fn tools_and_choices_are_translated() {
    let named = |name: &str| json!({"type": "function", "function": {"name": name}});
    let allowed =
        json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named("b")]}});
    let both = json!([spec("a"), spec("b")]);
    let one = json!({"type": "auto", "disable_parallel_tool_use": true});
    let this = json!({"type": "tool", "name": "b", "disable_parallel_tool_use": true});
    for (asked, parallel, tools, choice, claude_choice) in [
        (Value::Null, Value::Null, &both, Value::Null, &Value::Null),
        (json!("auto"), Value::Null, &both, json!({"auto": {}}), &Value::Null),
        (json!("required"), json!(true), &both, json!({"any": {}}), &Value::Null),
        (named("b"), Value::Null, &both, json!({"tool": {"name": "b"}}), &Value::Null),
        (allowed, Value::Null, &json!([spec("b")]), json!({"any": {}}), &Value::Null),
        (Value::Null, json!(false), &both, Value::Null, &one),
        (named("b"), json!(false), &both, Value::Null, &this),
    ] {
        let request = json!({"tools": [function("a"), function("b")], "tool_choice": asked, "parallel_tool_calls": parallel});
        let (body, dropped) = members(&request, &claude());
        let config = &body["toolConfig"];
        assert_eq!((&config["tools"], &config["toolChoice"]), (tools, &choice), "{request}");
        assert_eq!(&body["additionalModelRequestFields"]["tool_choice"], claude_choice, "{request}");
        assert!(dropped.is_empty(), "{dropped:?}");
    }
    let request = json!({"tools": [function("a"), {"type": "nova_grounding"}], "parallel_tool_calls": false});
    let (body, dropped) = members(&request, &nova());
    assert_eq!(body["toolConfig"]["tools"], json!([spec("a"), {"systemTool": {"name": "nova_grounding"}}]));
    assert_eq!(dropped, ["parallel_tool_calls"]);
}

#[test]
fn odd_tool_names_are_mapped_and_remembered_and_blank_descriptions_left_out() {
    let tool =
        json!({"type": "function", "function": {"name": "my.tool", "description": " ", "strict": true}});
    let request = json!({"tools": [tool], "tool_choice": {"type": "function", "function": {"name": "my.tool"}},
        "messages": [{"role": "user", "content": "x"}]});
    let encoded = run(&request, &row(&[]), None).expect("supported");
    let found = body(&encoded);
    let spec = &found["toolConfig"]["tools"][0]["toolSpec"];
    let sent = spec["name"].as_str().expect("a name");
    assert_eq!(found["toolConfig"]["toolChoice"]["tool"]["name"], sent);
    assert_eq!(encoded.context.client_name(sent), "my.tool");
    assert_eq!(*spec, json!({"name": sent, "inputSchema": {"json": {"type": "object", "properties": {}}}}));
    assert_eq!(dropped(&encoded), ["tools[0].function.strict"]);
}

#[test]
fn reasoning_takes_the_form_that_the_models_maker_knows() {
    let oss = row(&[("model_fields", "openai"), ("efforts", "low,medium,high")]);
    let gpt = row(&[("model_fields", "openai"), ("reasoning_style", "object")]);
    let nova_config =
        |effort: &str| json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}});
    let wish = |effort: &str| json!({"reasoning": {"effort": effort}});
    let adaptive_config = json!({"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "xhigh"}});
    for (quirks, wish, expected, lost) in [
        (claude(), wish("high"), json!({"thinking": {"type": "enabled", "budget_tokens": 8000}}), vec![]),
        (
            claude(),
            json!({"reasoning": {"max_tokens": 2000}}),
            json!({"thinking": {"type": "enabled", "budget_tokens": 2000}}),
            vec![],
        ),
        (claude(), wish("none"), Value::Null, vec![]),
        (adaptive(), wish("xhigh"), adaptive_config, vec![]),
        (adaptive(), json!({"verbosity": "low"}), json!({"output_config": {"effort": "low"}}), vec![]),
        (nova(), wish("low"), nova_config("low"), vec![]),
        (nova(), wish("max"), nova_config("medium"), vec![]),
        (
            nova(),
            json!({"reasoning": {"enabled": false}}),
            json!({"reasoningConfig": {"type": "disabled"}}),
            vec![],
        ),
        (nova(), json!({"verbosity": "low"}), Value::Null, vec!["verbosity"]),
        (oss, wish("xhigh"), json!({"reasoning_effort": "high"}), vec![]),
        (gpt, wish("low"), json!({"reasoning": {"effort": "low"}}), vec![]),
        (row(&[]), wish("low"), Value::Null, vec!["reasoning"]),
        (row(&[]), wish("none"), Value::Null, vec![]),
    ] {
        let (body, dropped) = members(&wish, &quirks);
        assert_eq!(
            (&body["additionalModelRequestFields"], dropped),
            (&expected, lost.into_iter().map(str::to_owned).collect()),
            "{wish}"
        );
        assert_eq!(body["inferenceConfig"]["maxTokens"], 10_000);
    }
}

#[test]
fn sampling_is_sent_where_it_is_taken() {
    let all = json!({"temperature": 0.5, "top_p": 0.9, "top_k": 3});
    for (quirks, inference, additional, lost) in [
        (claude(), json!({"maxTokens": 10_000, "temperature": 0.5}), json!({"top_k": 3}), vec!["top_p"]),
        (
            nova(),
            json!({"maxTokens": 10_000, "temperature": 0.5, "topP": 0.9}),
            json!({"inferenceConfig": {"topK": 3}}),
            vec![],
        ),
        (row(&[]), json!({"maxTokens": 10_000, "temperature": 0.5, "topP": 0.9}), Value::Null, vec!["top_k"]),
        (adaptive(), json!({"maxTokens": 10_000}), Value::Null, vec!["temperature", "top_p", "top_k"]),
        (
            row(&[("sampling", "false")]),
            json!({"maxTokens": 10_000}),
            Value::Null,
            vec!["temperature", "top_p", "top_k"],
        ),
    ] {
        let (body, dropped) = members(&all, &quirks);
        assert_eq!(body["inferenceConfig"], inference);
        assert_eq!(
            (&body["additionalModelRequestFields"], dropped),
            (&additional, lost.into_iter().map(str::to_owned).collect())
        );
    }
}

#[test]
fn a_forced_call_or_an_unthought_tool_loop_switches_the_budget_off() {
    let tools = json!([function("f")]);
    let (body, dropped_now) =
        members(&json!({"reasoning_effort": "high", "tools": tools, "tool_choice": "required"}), &claude());
    assert_eq!(
        (&body["additionalModelRequestFields"], dropped_now),
        (&Value::Null, vec!["reasoning".to_owned()])
    );
    let list = json!([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call("c", "{}")]},
        {"role": "tool", "tool_call_id": "c", "content": "1"}]);
    let request = json!({"reasoning_effort": "high", "tools": tools, "messages": list});
    assert_eq!(dropped(&run(&request, &claude(), None).expect("supported")), ["reasoning"]);
    // Told in words, the loop is none.
    let request = json!({"reasoning_effort": "high", "messages": list});
    assert!(dropped(&run(&request, &claude(), None).expect("supported")).is_empty());
}

#[test]
fn structured_output_is_native_or_a_forced_tool_or_asked_for() {
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]});
    let format = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": schema}}});
    let compiled = json!({"type": "object", "properties": {"a": {"type": "integer", "description": "minimum: 1"}}, "required": ["a"], "additionalProperties": false});

    let (body, _) = members(&format, &nova());
    let asked = &body["outputConfig"]["textFormat"]["structure"]["jsonSchema"];
    assert_eq!(*asked, json!({"schema": schema.to_string(), "name": "n", "description": "d"}));

    let (body, _) = members(&format, &claude());
    let output = &body["additionalModelRequestFields"]["output_config"];
    assert_eq!(*output, json!({"format": {"type": "json_schema", "schema": compiled}}));

    let mut both = claude();
    both.text_format = true;
    let (body, _) = members(&format, &both);
    let asked = &body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"];
    assert_eq!(*asked, compiled.to_string());
    assert_eq!(body["additionalModelRequestFields"], Value::Null);

    let (body, _) = members(&format, &row(&[]));
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"tool": {"name": "json_response"}}));
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"], json!({ "json": schema }));

    let object = json!({"response_format": {"type": "json_object"}, "tools": [function("f")]});
    let (body, _) = members(&object, &claude());
    assert!(body["system"][0]["text"].as_str().is_some_and(|text| text.contains("JSON object")));

    let mut unforced = format;
    unforced["messages"] = json!([{"role": "user", "content": "x"}]);
    let refused = run(&unforced, &row(&[("forced_tools", "false")]), None).expect_err("nothing enforces it");
    assert_eq!(refused.field, "response_format");
}

#[test]
fn cache_points_follow_what_they_close_and_are_at_most_four() {
    let marked = |text: &str, ttl: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral", "ttl": ttl}});
    let user = |text: &str| json!({"role": "user", "content": [marked(text, "5m")]});
    let mut tool = function("f");
    tool["cache_control"] = json!({"type": "ephemeral"});
    let request = json!({"tools": [tool], "cache_control": {"type": "ephemeral"}, "messages": [
        {"role": "system", "content": [marked("s", "1h"), text_part("t")]}, user("1"), user("2"), {"role": "user", "content": "3"}]});
    let encoded = run(&request, &claude(), None).expect("supported");
    let found = body(&encoded);
    let (point, long) =
        (json!({"cachePoint": {"type": "default"}}), json!({"cachePoint": {"type": "default", "ttl": "1h"}}));
    assert_eq!(found["system"], json!([text("s"), long, text("t")]));
    assert_eq!(
        found["messages"][0]["content"],
        json!([text("1"), point, text("2"), point, text("3"), point])
    );
    assert_eq!(found["toolConfig"]["tools"], json!([spec("f")]));
    assert_eq!(dropped(&encoded), ["cache_control"]);

    let encoded = run(&request, &nova(), None).expect("supported");
    assert_eq!(body(&encoded)["system"], json!([text("s"), point, text("t")]));
    assert_eq!(dropped(&encoded), ["tools[0].cache_control", "cache_control.ttl"]);

    let encoded = run(&request, &row(&[]), None).expect("supported");
    assert!(!String::from_utf8_lossy(&encoded.body).contains("cachePoint"));
    assert!(dropped(&encoded).contains(&"cache_control"), "{:?}", encoded.dropped);
}

#[test]
fn what_has_no_counterpart_is_named() {
    let (body, mut dropped) = members(
        &json!({
            "seed": 1, "logit_bias": {"1": 2}, "frequency_penalty": 0.1, "logprobs": true, "min_p": 0.1, "user": "u",
            "service_tier": "scale", "metadata": {"k": "v"}, "unheard_of": 1, "guardrailConfig": {"guardrailIdentifier": "g"},
            "additionalModelRequestFields": {"max_tokens": 9}, "provider": {"zdr": true}, "stop": [" "],
        }),
        &claude(),
    );
    dropped.sort();
    assert_eq!(
        dropped,
        [
            "additionalModelRequestFields",
            "frequency_penalty",
            "logit_bias",
            "logprobs",
            "metadata",
            "min_p",
            "seed",
            "service_tier",
            "stop",
            "unheard_of",
            "user"
        ]
    );
    let expected =
        json!({"inferenceConfig": {"maxTokens": 10_000}, "guardrailConfig": {"guardrailIdentifier": "g"}});
    assert_eq!(body, expected);
}

#[test]
fn what_would_change_the_meaning_is_refused_by_name() {
    let hi = json!([{"role": "user", "content": "hi"}]);
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/unfetched"}}]}]);
    let system = json!([{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]);
    for (quirks, request, field) in [
        (claude(), json!({ "messages": image }), "messages[0].content[0]"),
        (claude(), json!({ "messages": system }), "messages[0].content"),
        (claude(), json!({"messages": hi, "n": 2}), "n"),
        (claude(), json!({"messages": hi, "modalities": ["text", "audio"]}), "modalities"),
        (
            claude(),
            json!({"messages": hi, "tools": [{"type": "custom", "custom": {"name": "c"}}]}),
            "tools[0].type",
        ),
        (
            adaptive(),
            json!({"messages": hi, "tools": [function("f")], "tool_choice": "required"}),
            "tool_choice",
        ),
        (claude(), json!({"messages": hi, "response_format": {"type": "grammar"}}), "response_format.type"),
        (
            claude(),
            json!({"tools": [function("f")], "messages": [hi[0], {"role": "assistant", "tool_calls": [call("c", "{broken")]}]}),
            "messages[1].tool_calls[0].function.arguments",
        ),
    ] {
        let refused = run(&request, &quirks, None).expect_err(field);
        assert_eq!(refused.field, field);
        assert!(refused.message.starts_with(field), "{}", refused.message);
    }
}
