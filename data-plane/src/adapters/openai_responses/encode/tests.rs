//! Chat requests and what the Responses dialect gets of them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::encode;
use crate::adapters::shared::openai_models::responses_quirks;
use crate::adapters::{Encoded, Quirks, Target, Unsupported};
use crate::api::openai_chat;
use crate::model::media::NOTHING;
use crate::model::parameter::Parameters;

/// A model that reasons and takes everything of its time.
const MODEL: &str = "gpt-5.6";

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

fn row(model: &str, row: &[(&str, &str)]) -> Quirks {
    let mut quirks = responses_quirks(model);
    row.iter().for_each(|(name, value)| quirks.set(name, value).expect("known"));
    quirks
}

/// The body for these members beside one user message, without what is the same everywhere, and what was dropped.
fn members(members: &Value, quirks: &Quirks) -> (Value, Vec<String>) {
    let mut request = json!({"messages": [{"role": "user", "content": "hi"}]});
    request.as_object_mut().expect("object").extend(members.as_object().expect("object").clone());
    let encoded = run_with(&request, quirks, None).unwrap_or_else(|refused| panic!("{members}: {refused}"));
    let mut body = body(&encoded);
    for name in ["model", "store", "input"] {
        body.as_object_mut().expect("object").shift_remove(name);
    }
    (body, encoded.dropped.iter().map(ToString::to_string).collect())
}

/// The input items of these messages.
fn input(messages: Value) -> Value {
    let encoded = run_with(&json!({ "messages": messages }), &row(MODEL, &[]), None).expect("supported");
    body(&encoded)["input"].take()
}

const SEALED: &str = "reasoning.encrypted_content";

#[test]
fn a_small_request_is_translated_whole() {
    let request = json!({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "stream": true, "max_tokens": 5, "temperature": 0.5});
    let encoded = run_with(&request, &row(MODEL, &[]), Some(300)).expect("supported");
    assert_eq!(
        body(&encoded),
        json!({"model": MODEL, "store": false, "stream": true, "max_output_tokens": 300, "include": [SEALED],
            "temperature": 0.5, "input": [
                {"type": "message", "role": "system", "content": "Be brief."},
                {"type": "message", "role": "user", "content": "hi"}]})
    );
    assert_eq!((encoded.path.as_ref(), encoded.dropped.len()), ("/responses", 0));
    assert_eq!(encoded.headers["accept"], "text/event-stream");
}

#[test]
fn a_dated_version_stands_beside_the_path() {
    let request = json!({"messages": [{"role": "user", "content": "hi"}]});
    let quirks = row(MODEL, &[("api_version", "2025-04-01-preview")]);
    let encoded = run_with(&request, &quirks, None).expect("supported");
    assert_eq!(encoded.path, "/responses?api-version=2025-04-01-preview");
}

#[test]
fn wishes_are_written_in_the_dialects_words() {
    let reasons = |more: Value| {
        let mut all = json!({"include": [SEALED]});
        all.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        all
    };
    let schema = json!({"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}});
    for (sent, expected) in [
        (json!({"max_tokens": 5}), json!({"max_output_tokens": 16})),
        (json!({"max_tokens": 50, "max_completion_tokens": 40}), json!({"max_output_tokens": 40})),
        (json!({"top_p": 0.5}), json!({"top_p": 0.5})),
        (json!({"verbosity": "max"}), json!({"text": {"verbosity": "high"}})),
        (json!({"response_format": {"type": "text"}}), json!({})),
        (
            json!({"response_format": {"type": "json_object"}}),
            json!({"text": {"format": {"type": "json_object"}}}),
        ),
        (
            json!({"verbosity": "low", "response_format": {"type": "json_schema",
                "json_schema": {"name": "n", "description": "d", "schema": schema, "strict": true}}}),
            json!({"text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "description": "d",
                "schema": schema, "strict": true}}}),
        ),
        (json!({"service_tier": "flex", "user": "u"}), json!({"service_tier": "flex", "user": "u"})),
        (
            json!({"metadata": {"a": "b"}, "safety_identifier": "s", "prompt_cache_key": "k"}),
            json!({"metadata": {"a": "b"}, "safety_identifier": "s", "prompt_cache_key": "k"}),
        ),
        (
            json!({"truncation": "auto", "prompt_cache_retention": "24h"}),
            json!({"truncation": "auto", "prompt_cache_retention": "24h"}),
        ),
        (json!({"reasoning_effort": "max"}), json!({"reasoning": {"effort": "max", "summary": "auto"}})),
        (
            json!({"reasoning": {"effort": "high", "summary": "detailed", "mode": "pro"}}),
            json!({"reasoning": {"effort": "high", "summary": "detailed", "mode": "pro"}}),
        ),
        (json!({"reasoning": {"effort": "low", "exclude": true}}), json!({"reasoning": {"effort": "low"}})),
        (json!({"reasoning": {"enabled": false}}), json!({"reasoning": {"effort": "none"}})),
        (
            json!({"reasoning": {"max_tokens": 900}, "max_tokens": 1000}),
            json!({"max_output_tokens": 1000, "reasoning": {"effort": "xhigh", "summary": "auto"}}),
        ),
        (
            json!({"logprobs": true, "top_logprobs": 2}),
            json!({"include": [SEALED, "message.output_text.logprobs"], "top_logprobs": 2}),
        ),
        (json!({"store": false, "stream_options": {"include_usage": true}}), json!({})),
    ] {
        assert_eq!(members(&sent, &row(MODEL, &[])), (reasons(expected), Vec::new()), "{sent}");
    }
}

#[test]
fn what_has_no_word_is_dropped_by_name() {
    for (sent, dropped) in [
        (json!({"stop": ["x"], "seed": 1}), &["seed", "stop"][..]),
        (json!({"frequency_penalty": 1, "presence_penalty": 1}), &["frequency_penalty", "presence_penalty"]),
        (json!({"logit_bias": {"1": 1}, "top_k": 3}), &["top_k", "logit_bias"]),
        (json!({"prediction": {"type": "content", "content": "x"}}), &["prediction"]),
        (json!({"audio": {"voice": "v", "format": "wav"}}), &["audio"]),
        (json!({"store": true}), &["store"]),
        (json!({"previous_response_id": "resp_1"}), &["previous_response_id"]),
        (json!({"top_logprobs": 2}), &["top_logprobs"]),
        (json!({"verbosity": "loud"}), &["verbosity"]),
        (json!({"plugins": [{"id": "web"}]}), &["plugins"]),
        (json!({"messages": [{"role": "user", "name": "ann", "content": "hi"}]}), &["messages[0].name"]),
        (json!({"tools": [{"type": "openrouter:web_search"}]}), &["tools[0]"]),
        (
            json!({"messages": [{"role": "user", "content": [
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://x/a.pdf"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}}]}]}),
            &["messages[0].content[0].file.filename"],
        ),
    ] {
        let (body, found) = members(&sent, &row(MODEL, &[]));
        assert_eq!(found, dropped, "{sent}");
        assert_eq!(body, json!({"include": [SEALED]}), "{sent}");
    }
}

#[test]
fn what_would_change_the_request_is_refused_by_name() {
    for (sent, quirks, field) in [
        (json!({"n": 2}), &[][..], "n"),
        (json!({"modalities": ["text", "audio"]}), &[], "modalities"),
        (json!({"response_format": {"type": "grammar", "grammar": "x"}}), &[], "response_format.type"),
        (
            json!({"messages": [{"role": "user", "content": [
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]}),
            &[],
            "messages[0].content[0]",
        ),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}),
            &[("forced_tools", "false")],
            "tool_choice",
        ),
        (
            json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}),
            &[("prefill", "false")],
            "messages",
        ),
    ] {
        let mut request = json!({"messages": [{"role": "user", "content": "hi"}]});
        request.as_object_mut().expect("object").extend(sent.as_object().expect("object").clone());
        let refused = run_with(&request, &row(MODEL, quirks), None).expect_err(field);
        assert_eq!(refused.field, field);
        assert!(refused.message.contains(field), "{}", refused.message);
    }
}

#[test]
fn rows_say_what_a_host_does_not_take() {
    let asked = json!({"temperature": 0.5, "reasoning_effort": "high", "user": "u"});
    for (model, quirks, expected, dropped) in [
        ("gpt-4o", &[][..], json!({"temperature": 0.5, "user": "u"}), &["reasoning"][..]),
        (
            MODEL,
            &[("drop", "include,store,user"), ("sampling", "false")],
            json!({"reasoning": {"effort": "high", "summary": "auto"}}),
            &["temperature", "user"],
        ),
        (
            MODEL,
            &[("reasoning_summaries", "false"), ("efforts", "low")],
            json!({"include": [SEALED], "temperature": 0.5, "reasoning": {"effort": "low"}, "user": "u"}),
            &[],
        ),
    ] {
        let (body, found) = members(&asked, &row(model, quirks));
        assert_eq!(
            (body, found),
            (expected, dropped.iter().map(ToString::to_string).collect()),
            "{quirks:?}"
        );
    }
    let (body, dropped) = members(&json!({"logprobs": true}), &row(MODEL, &[("drop", "include")]));
    assert_eq!((body, dropped), (json!({}), vec!["logprobs".to_owned()]));
    let routers = json!({"provider": {"only": ["a"]}, "plugins": [{"id": "web"}]});
    let (body, dropped) = members(&routers, &row(MODEL, &[("router_fields", "true"), ("drop", "include")]));
    assert_eq!((body, dropped), (routers, vec![]));
}

#[test]
fn tools_are_flat_and_not_strict_unless_asked() {
    let schema = json!({"type": "object", "properties": {"z": {}, "a": {}}});
    let f = json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}});
    let flat =
        json!({"type": "function", "name": "f", "description": "d", "parameters": schema, "strict": false});
    let custom = json!({"type": "custom", "custom": {"name": "c", "format":
        {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}});
    let flat_custom = json!({"type": "custom", "name": "c",
        "format": {"type": "grammar", "syntax": "lark", "definition": "x"}});
    for (sent, tools, choice) in [
        (json!({"tools": [f], "tool_choice": "auto"}), json!([flat]), json!("auto")),
        (
            json!({"tools": [{"type": "function", "function": {"name": "g", "strict": true}}],
                "tool_choice": {"type": "function", "function": {"name": "g"}}}),
            json!([{"type": "function", "name": "g", "parameters": {"type": "object", "properties": {}},
                "strict": true}]),
            json!({"type": "function", "name": "g"}),
        ),
        (
            json!({"tools": [custom, f], "tool_choice": {"type": "custom", "custom": {"name": "c"}}}),
            json!([flat_custom, flat]),
            json!({"type": "custom", "name": "c"}),
        ),
        (
            json!({"tools": [custom, f], "tool_choice": {"type": "allowed_tools", "allowed_tools": {
                "mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}}}),
            json!([flat_custom, flat]),
            json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}),
        ),
        (json!({"tools": [f], "tool_choice": "none"}), json!([flat]), json!("none")),
        (json!({"tools": [{"type": "web_search"}]}), json!([{"type": "web_search"}]), Value::Null),
        (
            json!({"web_search_options": {"search_context_size": "low",
                "user_location": {"type": "approximate", "approximate": {"country": "NZ"}}}}),
            json!([{"type": "web_search", "search_context_size": "low",
                "user_location": {"country": "NZ", "type": "approximate"}}]),
            Value::Null,
        ),
        (json!({"tools": [], "tool_choice": "auto", "parallel_tool_calls": true}), Value::Null, Value::Null),
    ] {
        let (body, dropped) = members(&sent, &row(MODEL, &[]));
        assert_eq!((&body["tools"], &body["tool_choice"]), (&tools, &choice), "{sent}");
        assert_eq!(dropped, Vec::<String>::new(), "{sent}");
    }
    let (body, _) = members(&json!({"tools": [f], "parallel_tool_calls": false}), &row(MODEL, &[]));
    assert_eq!(body["parallel_tool_calls"], false);
}

#[test]
fn names_that_the_host_would_refuse_are_changed_and_changed_back() {
    let request = json!({"messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "a.b"}}],
        "tool_choice": {"type": "function", "function": {"name": "a.b"}}});
    let encoded = run_with(&request, &row(MODEL, &[]), None).expect("supported");
    let body = body(&encoded);
    let sent = body["tools"][0]["name"].as_str().expect("a name");
    assert!(sent.starts_with("a_b_"), "{sent}");
    assert_eq!(body["tool_choice"]["name"], sent);
    assert_eq!(encoded.context.client_name(sent), "a.b");
}

#[test]
fn calls_and_results_are_items_of_their_own() {
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let image = json!({"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "high"}});
    let found = input(json!([
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
        {"role": "assistant", "content": "Well.", "tool_calls": [call("c1", "f", "{\"a\":1}"), call("c2", "g", ""),
            {"id": "c3", "type": "custom", "custom": {"name": "h", "input": "free"}}]},
        {"role": "tool", "tool_call_id": "c3", "content": "third"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "first"}, image]},
        {"role": "tool", "tool_call_id": "other", "content": "nobody asked"},
        {"role": "user", "content": "go on"},
        {"role": "assistant", "content": null, "refusal": "No."},
    ]));
    let sent_image = json!({"type": "input_image", "image_url": "https://x/y.png", "detail": "high"});
    assert_eq!(
        found,
        json!([
            {"type": "message", "role": "developer", "content": "Be brief."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "look"}, sent_image]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Well."}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}"},
            {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "c3", "name": "h", "input": "free"},
            {"type": "function_call_output", "call_id": "c1",
                "output": [{"type": "input_text", "text": "first"}, sent_image]},
            {"type": "function_call_output", "call_id": "c2", "output": "No result was recorded for this call."},
            {"type": "custom_tool_call_output", "call_id": "c3", "output": "third"},
            {"type": "message", "role": "user", "content": "nobody asked"},
            {"type": "message", "role": "user", "content": "go on"},
            {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        ])
    );
}

#[test]
fn reasoning_of_this_host_comes_back_where_it_stood() {
    let detail = |kind: &str, member: &str, text: &str, index: u64, format: &str| {
        let mut detail = json!({"type": kind, "id": "rs_1", "format": format, "index": index});
        detail[member] = text.into();
        detail
    };
    let own = "openai-responses-v1";
    let details = json!([
        detail("reasoning.summary", "summary", "One", 0, own),
        detail("reasoning.summary", "summary", "Two", 1, own),
        detail("reasoning.encrypted", "data", "c2VhbGVk", 2, own),
    ]);
    let message = |details: &Value| {
        json!([{"role": "assistant", "content": "", "reasoning": "OneTwo", "reasoning_details": details,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"}])
    };
    assert_eq!(
        input(message(&details))[0],
        json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "One"},
            {"type": "summary_text", "text": "Two"}], "encrypted_content": "c2VhbGVk"})
    );
    let bare = json!([detail("reasoning.encrypted", "data", "x", 0, own)]);
    assert_eq!(input(message(&bare))[0]["summary"], json!([]));
    let foreign = json!([detail("reasoning.encrypted", "data", "x", 0, "xai-responses-v1")]);
    assert_eq!(input(message(&foreign))[0]["type"], "function_call");
}

#[test]
fn cache_marks_are_what_the_row_says() {
    let messages = json!([{"role": "user", "content": [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}]);
    for (marks, content) in [
        ("strip", json!("a")),
        (
            "breakpoint",
            json!([{"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}]),
        ),
        ("keep", json!([{"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral"}}])),
    ] {
        let quirks = row(MODEL, &[("cache_marks", marks)]);
        let encoded = run_with(&json!({ "messages": messages }), &quirks, None).expect("supported");
        assert_eq!(body(&encoded)["input"][0]["content"], content, "{marks}");
    }
}

#[test]
fn a_tier_that_the_host_does_not_take_is_dropped_by_name() {
    let tier = json!({"service_tier": "flex"});
    let (sent, dropped) = members(&tier, &row(MODEL, &[("service_tier", "false")]));
    assert_eq!((sent.get("service_tier"), dropped), (None, vec!["service_tier".to_owned()]));
    let (sent, dropped) = members(&tier, &row(MODEL, &[]));
    assert_eq!((&sent["service_tier"], dropped.is_empty()), (&json!("flex"), true));
}
