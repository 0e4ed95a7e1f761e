//! The compatible-profile table: what each row makes of the same requests, and that it is used the way people name it.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use switchyard_control_plane::catalogue::{self, profile};
use switchyard_data_plane::adapters::{self, Adapter, Encoded, Quirks, Target, Unsupported};
use switchyard_data_plane::api::openai_chat;
use switchyard_data_plane::model::media::NOTHING;
use switchyard_data_plane::model::parameter::Parameters;

/// The adapter and the quirks of a row, over a model that nobody knows.
fn row(name: &str) -> (&'static dyn Adapter, Quirks) {
    let row = profile::by_name(name).unwrap_or_else(|| panic!("no profile {name}"));
    let adapter = adapters::by_name(&row.adapter).unwrap_or_else(|| panic!("no adapter {}", row.adapter));
    let mut quirks = adapter.quirks();
    for (name, value) in &row.quirks {
        quirks.set(name, value).unwrap();
    }
    (adapter, quirks)
}

fn encode(profile: &str, body: &Value) -> Result<Encoded, Unsupported> {
    let (adapter, quirks) = row(profile);
    let request = openai_chat::decode(Bytes::from(body.to_string())).unwrap();
    adapter.encode(&request, &target(&quirks))
}

fn target(quirks: &Quirks) -> Target<'_> {
    Target {
        model: "up",
        output_cap: None,
        stream: false,
        quirks,
        fetched: &NOTHING,
        supported: Parameters::NONE,
        tier: None,
    }
}

/// A request with these members beside a short prompt.
fn asking(members: &Value) -> Value {
    let mut body = json!({"model": "a/b", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

fn sent(encoded: &Encoded) -> Value {
    serde_json::from_slice(&encoded.body).unwrap()
}

fn tool(strict: bool) -> Value {
    let parameters = json!({"type": "object", "properties": {}});
    json!({"type": "function", "function": {"name": "f", "parameters": parameters, "strict": strict}})
}

fn plain_tool() -> Value {
    json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}})
}

#[test]
fn members_are_sent_dropped_and_renamed_as_the_row_says() {
    let off = json!({"reasoning": {"effort": "none"}});
    let high = json!({"reasoning": {"effort": "high"}});
    let cap = json!({"max_completion_tokens": 9});
    let tools = json!({"tools": [tool(true)]});
    for (profile, members, expected, dropped) in [
        ("openai", &cap, json!({"max_completion_tokens": 9}), vec![]),
        ("openai", &tools, json!({"tools": [tool(true)]}), vec![]),
        ("groq", &high, json!({"include_reasoning": true, "reasoning_effort": "high"}), vec![]),
        (
            "groq",
            &json!({"n": 1, "logprobs": true, "top_logprobs": 2, "logit_bias": {"1": 1}, "store": true, "seed": 1}),
            json!({"seed": 1}),
            vec!["logprobs", "top_logprobs", "logit_bias", "store"],
        ),
        ("together", &cap, json!({"max_tokens": 9}), vec![]),
        ("together", &json!({"logprobs": true, "top_logprobs": 3}), json!({"logprobs": 3}), vec![]),
        ("together", &json!({"logprobs": true}), json!({"logprobs": 1}), vec![]),
        ("together", &json!({"logprobs": false}), json!({}), vec![]),
        ("together", &tools, json!({"tools": [plain_tool()]}), vec!["tools[].function.strict"]),
        ("together", &json!({"tools": [tool(false)]}), json!({"tools": [plain_tool()]}), vec![]),
        ("together", &off, json!({"reasoning": {"enabled": false}}), vec![]),
        ("together", &high, json!({"reasoning": {"enabled": true}, "reasoning_effort": "high"}), vec![]),
        ("fireworks", &json!({}), json!({"context_length_exceeded_behavior": "error"}), vec![]),
        (
            "fireworks",
            &json!({"context_length_exceeded_behavior": "truncate"}),
            json!({"context_length_exceeded_behavior": "truncate"}),
            vec![],
        ),
        ("deepseek", &cap, json!({"max_tokens": 9}), vec![]),
        ("deepseek", &off, json!({"thinking": {"type": "disabled"}}), vec![]),
        (
            "deepseek",
            &json!({"reasoning_effort": "xhigh"}),
            json!({"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
            vec![],
        ),
        (
            "deepseek",
            &json!({"reasoning_effort": "max"}),
            json!({"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
            vec![],
        ),
        (
            "deepseek",
            &json!({"tools": [plain_tool()], "tool_choice": "required"}),
            json!({"tools": [plain_tool()], "tool_choice": "required", "thinking": {"type": "disabled"}}),
            vec![],
        ),
        ("xai", &cap, json!({"max_completion_tokens": 9}), vec![]),
        ("xai", &tools, json!({"tools": [plain_tool()]}), vec!["tools[].function.strict"]),
        (
            "xai",
            &json!({"stop": ["x"], "presence_penalty": 1, "temperature": 1}),
            json!({"temperature": 1}),
            vec!["stop", "presence_penalty"],
        ),
        ("perplexity", &json!({"stop": "x", "n": 1}), json!({}), vec!["stop"]),
        (
            "openrouter",
            &json!({"provider": {"zdr": true}, "reasoning": {"max_tokens": 5}}),
            json!({"provider": {"zdr": true}, "reasoning": {"max_tokens": 5}}),
            vec![],
        ),
        (
            "vllm",
            &high,
            json!({"chat_template_kwargs": {"enable_thinking": true, "thinking": true}, "reasoning_effort": "high"}),
            vec![],
        ),
        (
            "vllm",
            &json!({"reasoning": {"enabled": false}, "chat_template_kwargs": {"a": 1}}),
            json!({"chat_template_kwargs": {"a": 1, "enable_thinking": false, "thinking": false}}),
            vec![],
        ),
        ("llama-cpp", &off, json!({"reasoning_effort": "none"}), vec![]),
        (
            "sglang",
            &high,
            json!({
                "chat_template_kwargs": {"enable_thinking": true, "thinking": true},
                "reasoning_effort": "high",
                "separate_reasoning": true,
            }),
            vec![],
        ),
        ("ollama-compat", &json!({"n": 1, "logit_bias": {"1": 1}}), json!({}), vec!["logit_bias"]),
        ("cerebras", &json!({"max_tokens": 9, "n": 1}), json!({"max_completion_tokens": 9}), vec![]),
        ("cerebras", &json!({"frequency_penalty": 1}), json!({}), vec!["frequency_penalty"]),
        ("sambanova", &json!({"seed": 1, "top_k": 2}), json!({"top_k": 2}), vec!["seed"]),
        ("nvidia", &cap, json!({"max_tokens": 9}), vec![]),
        ("moonshot", &off, json!({"thinking": {"type": "disabled"}}), vec![]),
        (
            "alibaba",
            &json!({"reasoning": {"max_tokens": 500}}),
            json!({"enable_thinking": true, "thinking_budget": 500}),
            vec![],
        ),
        ("minimax", &high, json!({}), vec!["reasoning"]),
        ("huggingface", &cap, json!({"max_tokens": 9}), vec![]),
    ] {
        let encoded = encode(profile, &asking(members)).unwrap();
        let mut body = sent(&encoded);
        for name in ["model", "messages"] {
            body.as_object_mut().unwrap().remove(name);
        }
        assert_eq!(body, expected, "{profile} {members}");
        assert_eq!(encoded.dropped, dropped, "{profile} {members}");
    }
}

#[test]
fn what_would_change_the_meaning_is_refused_by_name() {
    let forced = json!({"tools": [plain_tool()], "tool_choice": "required"});
    let thinking = json!({"tools": [plain_tool()], "tool_choice": "required", "reasoning_effort": "high"});
    let custom = json!({"tools": [plain_tool(), {"type": "custom", "custom": {"name": "c"}}]});
    let file = json!({"messages": [{"role": "user", "content": [
        {"type": "text", "text": "read"}, {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}},
    ]}]});
    let url = json!({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]}]});
    let bucket = json!({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "gs://bucket/a.png"}},
    ]}]});
    for (profile, members, field) in [
        ("groq", &json!({"n": 2}), "n"),
        ("cerebras", &json!({"n": 3}), "n"),
        ("deepseek", &custom, "tools[1]"),
        ("deepseek", &thinking, "tool_choice"),
        (
            "deepseek",
            &json!({"tools": [plain_tool()], "tool_choice": "required", "thinking": {"type": "enabled"}}),
            "tool_choice",
        ),
        ("moonshot", &forced, "tool_choice"),
        ("ollama-compat", &forced, "tool_choice"),
        ("perplexity", &json!({"tools": [plain_tool()]}), "tools"),
        ("xai", &json!({"web_search_options": {}}), "web_search_options"),
        ("fireworks", &file, "messages[0].content[1]"),
        ("llama-cpp", &url, "messages[0].content[0]"),
        ("openai", &bucket, "messages[0].content[0]"),
        ("llama-cpp", &bucket, "messages[0].content[0]"),
    ] {
        let refused = encode(profile, &asking(members)).err().map(|unsupported| unsupported.field);
        assert_eq!(refused.as_deref(), Some(field), "{profile} {members}");
    }
    // Escapes hide nothing.
    let hidden = r#"{"messages":[{"role":"user","content":[
        {"type":"image\u005furl","image_url":{"url":"\u0068ttps://example.com/a.png"}}]}]}"#;
    let request = openai_chat::decode(Bytes::from(hidden)).unwrap();
    let (adapter, quirks) = row("llama-cpp");
    assert!(adapter.encode(&request, &target(&quirks)).is_err());
    for (profile, members) in
        [("deepseek", &forced), ("openai", &url), ("openai", &file), ("groq", &json!({"n": 1}))]
    {
        assert!(encode(profile, &asking(members)).is_ok(), "{profile} {members}");
    }
}

#[test]
fn messages_are_what_the_row_takes() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let parts = json!([{"type": "text", "text": "a \"b\""}, {"type": "text", "text": "c"}]);
    let answer = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "refusal": null, "function_call": null, "annotations": [],
            "audio": {"id": "x"}, "tool_calls": [call], "reasoning": "hm",
            "reasoning_details": [{"type": "reasoning.text", "text": "hm", "format": "unknown", "index": 0}]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]);
    let lost = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [call], "reasoning": "signed elsewhere",
            "reasoning_details": [{"type": "reasoning.text", "text": "signed elsewhere", "format": "anthropic-claude-v1"}]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]);
    for (profile, messages, expected, dropped) in [
        (
            "groq",
            &answer,
            json!([{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "1"}]),
            vec!["messages[].audio"],
        ),
        (
            "groq",
            &json!([{"role": "assistant", "content": null}, {"role": "user", "content": "hi", "name": "Ann"}]),
            json!([{"role": "assistant", "content": ""}, {"role": "user", "content": "hi", "name": "Ann"}]),
            vec![],
        ),
        (
            "deepseek",
            &lost,
            json!([{"role": "user", "content": "hi"},
                {"role": "assistant", "tool_calls": [call], "reasoning_content": " "},
                {"role": "tool", "tool_call_id": "c", "content": "1"}]),
            vec![],
        ),
        (
            "deepseek",
            &json!([{"role": "developer", "content": parts}, {"role": "user", "content": "hi"}]),
            json!([{"role": "system", "content": "a \"b\"\nc"}, {"role": "user", "content": "hi"}]),
            vec![],
        ),
        (
            "sambanova",
            &json!([{"role": "user", "content": parts}]),
            json!([{"role": "user", "content": "a \"b\"\nc"}]),
            vec![],
        ),
        (
            "sambanova",
            &json!([{"role": "user", "content": [{"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]),
            json!([{"role": "user", "content": [{"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]),
            vec![],
        ),
        (
            "xai",
            &json!([{"role": "user", "content": "hi", "name": "Ann"}]),
            json!([{"role": "user", "content": "hi"}]),
            vec!["messages[].name"],
        ),
        (
            "minimax",
            &json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes", "reasoning": "h\"m"},
                {"role": "user", "content": "so?"}]),
            json!([{"role": "user", "content": "hi"},
                {"role": "assistant", "content": "<think>h\"m</think>yes"}, {"role": "user", "content": "so?"}]),
            vec![],
        ),
        (
            "perplexity",
            &json!([{"role": "system", "content": "a"}, {"role": "system", "content": "b"},
                {"role": "user", "content": "c"}, {"role": "user", "content": "d"},
                {"role": "assistant", "content": "e"}, {"role": "system", "content": "f"},
                {"role": "user", "content": "g", "name": "Ann"}]),
            json!([{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "c\n\nd"},
                {"role": "assistant", "content": "e"}, {"role": "user", "content": "f\n\ng"}]),
            vec!["messages[].name"],
        ),
    ] {
        let encoded = encode(profile, &json!({"model": "a/b", "messages": messages})).unwrap();
        assert_eq!(sent(&encoded)["messages"], expected, "{profile} {messages}");
        assert_eq!(encoded.dropped, dropped, "{profile} {messages}");
    }
    let last = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]);
    let refused = encode("perplexity", &json!({"messages": last, "model": "a/b"})).err();
    assert_eq!(refused.map(|unsupported| unsupported.field).as_deref(), Some("messages[1]"));
}

#[test]
fn a_schema_that_a_row_lacks_goes_into_the_prompt() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let format = |strict: bool| json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": strict}});
    let told =
        format!("Answer with nothing but one JSON value that is valid against this JSON schema:\n{schema}");
    for profile in ["deepseek", "moonshot"] {
        let encoded = encode(profile, &asking(&json!({"response_format": format(false)}))).unwrap();
        let body = sent(&encoded);
        assert_eq!(body["response_format"], json!({"type": "json_object"}));
        let expected = json!([{"role": "system", "content": told}, {"role": "user", "content": "hi"}]);
        assert_eq!(body["messages"], expected);
        assert_eq!(encoded.dropped, Vec::<&str>::new());

        let messages =
            json!([{"role": "system", "content": "Be \"brief\"."}, {"role": "user", "content": "hi"}]);
        let body = json!({"model": "a/b", "messages": messages, "response_format": format(true)});
        let encoded = encode(profile, &body).unwrap();
        assert_eq!(sent(&encoded)["messages"][0]["content"], format!("Be \"brief\".\n\n{told}"));
        assert_eq!(encoded.dropped, ["response_format.json_schema.strict"]);
    }
    let json_mode = json!({"response_format": {"type": "json_object"}});
    let body = sent(&encode("deepseek", &asking(&json_mode)).unwrap());
    assert_eq!(body["messages"][0]["content"], "Answer with nothing but one JSON object.");
    let asked = json!({"model": "a/b", "messages": [{"role": "user", "content": "hi, in JSON"}],
        "response_format": {"type": "json_object"}});
    assert_eq!(sent(&encode("deepseek", &asked).unwrap())["messages"], asked["messages"]);
    let native = encode("fireworks", &asking(&json!({"response_format": format(true)}))).unwrap();
    assert_eq!(sent(&native)["response_format"], format(true));
}

#[test]
fn reasoning_inside_the_content_is_told_apart_where_the_row_says_so() {
    let body = json!({"id": "x", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "<think>hm</think>\n\nHi"}}]});
    for (profile, reasoning, content) in [
        ("perplexity", Some("hm"), "Hi"),
        ("groq", Some("hm"), "Hi"),
        ("openai", None, "<think>hm</think>\n\nHi"),
    ] {
        let (adapter, _) = row(profile);
        let context = encode(profile, &asking(&json!({}))).unwrap().context;
        let body = Bytes::from(body.to_string());
        let answer = adapter.decode(StatusCode::OK, &HeaderMap::new(), &body, &context).unwrap();
        let message = &answer.choices[0].message;
        assert_eq!((message.reasoning.as_deref(), message.content.as_deref()), (reasoning, Some(content)));
    }
}

#[test]
fn paths_and_headers_are_the_rows() {
    assert_eq!(encode("groq", &asking(&json!({}))).unwrap().path, "/chat/completions");
    assert_eq!(encode("writer", &asking(&json!({}))).unwrap().path, "/chat");
}

/// Recorded chat requests by provider and case; empty where there are no recordings.
fn recorded() -> Vec<(String, String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings");
    let list = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut all = Vec::new();
    for provider in list(&root) {
        for case in list(&provider.join("chat")) {
            let file: Value = serde_json::from_slice(&fs::read(&case).unwrap()).unwrap();
            all.push((name(&provider), name(&case), file["request"]["body"].clone()));
        }
    }
    all
}

/// What a provider took from others it gets from us: every member, but those that say nothing.
fn check_at_home(recorded: &Value, sent: &Value, encoded: &Encoded, case: &str) {
    const RENAMED: [&str; 2] = ["max_tokens", "max_completion_tokens"];
    for (name, value) in recorded.as_object().unwrap() {
        let says_nothing = value.is_null()
            || (name == "n" && value == 1)
            || (name == "stream" && value == false)
            || (name == "parallel_tool_calls" && recorded.get("tools").is_none())
            || name == "stream_options";
        // Messages have habits of their own, and a table of their own above.
        if says_nothing || ["model", "messages"].contains(&name.as_str()) {
            continue;
        }
        let found = match RENAMED.contains(&name.as_str()) {
            true => RENAMED.iter().find_map(|name| sent.get(name)),
            false => sent.get(name),
        };
        let is_dropped = encoded.dropped.iter().any(|dropped| dropped == name);
        let is_same = found.is_some_and(|found| loose(found) == loose(value));
        assert!(is_same || is_dropped, "{case}: {name} {value} became {found:?}");
    }
    let texts = |body: &Value| body["messages"].as_array().unwrap().len();
    assert_eq!(texts(recorded), texts(sent), "{case}");
}

/// Tools without `strict: false`, which says what its absence says.
fn loose(value: &Value) -> Value {
    let mut value = value.clone();
    for tool in value.as_array_mut().into_iter().flatten() {
        if let Some(function) = tool.get_mut("function").and_then(Value::as_object_mut)
            && function.get("strict").is_some_and(|strict| strict == &Value::Bool(false) || strict.is_null())
        {
            function.shift_remove("strict");
        }
    }
    value
}

#[test]
fn recorded_requests_go_through_every_row_or_are_refused_by_name() {
    let recorded = recorded();
    if recorded.is_empty() {
        println!("skipped: no recordings");
        return;
    }
    let mut encoded_at_home = 0;
    for (provider, case, body) in recorded {
        // What a surface refuses never comes to an adapter.
        let Ok(request) = openai_chat::decode(Bytes::from(body.to_string())) else { continue };
        for profile in catalogue::providers() {
            let Some(adapter) = adapters::by_name(&profile.adapter).filter(|found| found.name() == "openai")
            else {
                continue;
            };
            let (_, quirks) = row(&profile.id);
            let home = provider == profile.id || profile.aliases.contains(&provider);
            let stream = body["stream"] == true;
            match adapter.encode(&request, &Target { stream, ..target(&quirks) }) {
                Ok(encoded) => {
                    encoded_at_home += usize::from(home);
                    let sent = sent(&encoded);
                    let messages = sent["messages"].as_array().map_or(0, Vec::len);
                    assert!(messages > 0, "{} {provider}/{case}", profile.id);
                    for name in encoded.dropped.iter().filter(|name| !name.contains(['.', '['])) {
                        // A wish may be lost in part, and be told in other words.
                        assert!(sent.get(&**name).is_none(), "{} {provider}/{case}: {name}", profile.id);
                    }
                    if home {
                        check_at_home(&body, &sent, &encoded, &format!("{provider}/{case}"));
                    }
                }
                Err(refused) => {
                    assert!(!refused.field.is_empty(), "{} {provider}/{case}", profile.id);
                    // Fetching is not the adapter's business.
                    let unfetched = refused.message.contains("is behind a URL");
                    assert!(!home || unfetched, "{} {provider}/{case}: {refused}", profile.id);
                }
            }
        }
    }
    assert!(encoded_at_home > 50, "{encoded_at_home}");
}

#[test]
fn claude_on_vertex_is_asked_by_its_path() {
    let encoded = encode("vertex-anthropic", &asking(&json!({"max_tokens": 9}))).unwrap();
    assert_eq!(encoded.path, "/publishers/anthropic/models/up:rawPredict");
    let body = sent(&encoded);
    assert!(body.get("model").is_none() && body["anthropic_version"] == "vertex-2023-10-16", "{body}");
    let [claude, gemini] = ["vertex-anthropic", "vertex"].map(|name| profile::by_name(name).unwrap());
    assert_eq!(claude.base_url, gemini.base_url);
}

#[test]
fn the_usual_names_find_their_rows() {
    for name in [
        "openai",
        "anthropic",
        "gemini",
        "google-vertex",
        "vertex",
        "vertex-anthropic",
        "bedrock",
        "bedrock-api-key",
        "azure",
        "mistral",
        "cohere",
        "ollama",
        "groq",
        "together",
        "fireworks",
        "deepseek",
        "xai",
        "perplexity",
        "openrouter",
        "vllm",
        "llama-cpp",
        "sglang",
        "huggingface",
        "cerebras",
        "sambanova",
        "nvidia",
        "nim",
    ] {
        assert!(profile::by_name(name).is_some(), "{name}");
    }
    let known =
        ["openai", "anthropic", "gemini", "vertex", "bedrock", "azure", "mistral", "cohere", "ollama"];
    for provider in catalogue::providers() {
        assert!(known.contains(&provider.adapter.as_str()), "{}: {}", provider.id, provider.adapter);
    }
}
