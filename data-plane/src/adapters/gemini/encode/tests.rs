//! Chat requests and what Google gets of them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::encode;
use crate::adapters::gemini::host::Host;
use crate::adapters::gemini::newest;
use crate::adapters::quirks::{Quirks, SchemaStyle, ThinkingConfig, ThinkingOff};
use crate::adapters::{Encoded, Target, Unsupported};
use crate::api::openai_chat;
use crate::model::media::NOTHING;
use crate::model::parameter::Parameters;

fn run_at(host: Host, request: &Value, quirks: &Quirks, cap: Option<u64>) -> Result<Encoded, Unsupported> {
    let request = openai_chat::decode(Bytes::from(request.to_string())).expect("well-formed");
    let target = Target {
        model: "gemini-x",
        output_cap: cap,
        stream: request.stream,
        quirks,
        fetched: &NOTHING,
        supported: Parameters::NONE,
        tier: None,
    };
    encode(&request, &target, host)
}

fn with(members: &Value) -> Value {
    let mut request = json!({"model": "a/b", "messages": [{"role": "user", "content": "hi"}]});
    request.as_object_mut().expect("object").extend(members.as_object().expect("object").clone());
    request
}

fn body(encoded: &Encoded) -> Value {
    serde_json::from_slice(&encoded.body).expect("JSON")
}

fn dropped(encoded: &Encoded) -> Vec<&str> {
    encoded.dropped.iter().map(AsRef::as_ref).collect()
}

/// The body for these members, without the prompt, and what was dropped.
fn check(members: Value, quirks: &Quirks, expected: Value, lost: &[&str]) {
    let encoded = run_at(Host::DEVELOPER, &with(&members), quirks, None).expect("supported");
    let mut body = body(&encoded);
    body.as_object_mut().expect("object").shift_remove("contents");
    assert_eq!(body, expected, "{members}");
    assert_eq!(dropped(&encoded), lost, "{members}");
}

fn config(config: Value) -> Value {
    json!({ "generationConfig": config })
}

/// Models of the time of 2.5.
fn older() -> Quirks {
    Quirks {
        thinking_config: ThinkingConfig::Budget,
        thinking_off: ThinkingOff::Disabled,
        least_thinking: 512,
        most_thinking: 24_576,
        json_with_tools: false,
        result_media: false,
        call_signatures: false,
        ..newest()
    }
}

fn weather(strict: bool) -> Value {
    json!({"type": "function", "function": {"name": "get weather", "description": "d", "strict": strict,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}})
}

#[test]
fn a_small_request_is_translated_whole() {
    let request = json!({
        "model": "a/b", "stream": true, "temperature": 1.7, "top_k": 5, "top_p": 0.5, "seed": 7, "stop": ["END"],
        "presence_penalty": 0.1, "frequency_penalty": 0.2, "n": 2, "logprobs": true, "top_logprobs": 3,
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
    });
    let encoded = run_at(Host::DEVELOPER, &request, &newest(), Some(77)).expect("supported");
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"maxOutputTokens": 77, "temperature": 1.7, "topP": 0.5, "topK": 5, "seed": 7,
            "presencePenalty": 0.1, "frequencyPenalty": 0.2, "responseLogprobs": true, "logprobs": 3,
            "stopSequences": ["END"], "candidateCount": 2},
    });
    assert_eq!(body(&encoded), expected);
    assert_eq!(encoded.path, "/models/gemini-x:streamGenerateContent?alt=sse");
    assert_eq!(encoded.headers["accept"], "text/event-stream");
    assert!(encoded.dropped.is_empty());
}

#[test]
fn what_a_model_does_not_take_stays_behind_by_name() {
    let plain = newest();
    let picky = Quirks { sampling: false, drop: vec!["presence_penalty".to_owned()], ..newest() };
    check(
        json!({"temperature": 1, "presence_penalty": 1}),
        &picky,
        json!({}),
        &["temperature", "presence_penalty"],
    );
    check(json!({"top_k": 0, "seed": 4_294_967_297_i64}), &plain, config(json!({"seed": 1})), &[]);
    check(json!({"min_p": 0.1, "user": "u", "frob": 1}), &plain, json!({}), &["min_p", "user", "frob"]);
    check(json!({"service_tier": "flex"}), &plain, json!({"serviceTier": "flex"}), &[]);
    check(json!({"service_tier": "default"}), &plain, json!({"serviceTier": "standard"}), &[]);
    check(json!({"service_tier": "scale"}), &plain, json!({}), &["service_tier"]);
    let marked = json!({"messages": [{"role": "user", "content": [
        {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}]});
    check(marked, &plain, json!({}), &["cache_control"]);
    let settings = json!([{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]);
    check(json!({"safety_settings": settings}), &plain, json!({"safetySettings": settings}), &[]);
    let safe = Quirks { safety: "OFF".to_owned(), ..newest() };
    let encoded = run_at(Host::DEVELOPER, &with(&json!({"safety_settings": settings})), &safe, None);
    let encoded = encoded.expect("supported");
    assert_eq!(body(&encoded)["safetySettings"][3]["threshold"], "OFF");
    assert_eq!(dropped(&encoded), ["safety_settings"]);
    let encoded =
        run_at(Host::VERTEX, &with(&json!({"service_tier": "flex"})), &plain, None).expect("supported");
    assert_eq!(dropped(&encoded), ["service_tier"]);
}

#[test]
fn thinking_is_a_level_or_a_budget_but_never_both() {
    let level = newest();
    let budget = older();
    let absent = Quirks { thinking_config: ThinkingConfig::Absent, ..newest() };
    let always = Quirks { thinking_off: ThinkingOff::Never, ..older() };
    for (quirks, wish, thinking, lost) in [
        (
            &level,
            json!({"reasoning_effort": "high"}),
            json!({"thinkingLevel": "HIGH", "includeThoughts": true}),
            false,
        ),
        (
            &level,
            json!({"reasoning_effort": "minimal"}),
            json!({"thinkingLevel": "LOW", "includeThoughts": true}),
            false,
        ),
        (&level, json!({"reasoning_effort": "none"}), json!({"thinkingLevel": "LOW"}), false),
        (
            &level,
            json!({"reasoning": {"effort": "low", "exclude": true}}),
            json!({"thinkingLevel": "LOW"}),
            false,
        ),
        (
            &level,
            json!({"reasoning": {"max_tokens": 2000}}),
            json!({"thinkingBudget": 2000, "includeThoughts": true}),
            false,
        ),
        (
            &budget,
            json!({"reasoning": {"enabled": true}, "max_tokens": 10_000}),
            json!({"thinkingBudget": 5000, "includeThoughts": true}),
            false,
        ),
        (&budget, json!({"reasoning_effort": "none"}), json!({"thinkingBudget": 0}), false),
        (&always, json!({"reasoning_effort": "none"}), json!({"thinkingBudget": 512}), false),
        (
            &budget,
            json!({"reasoning": {"max_tokens": 99_999}}),
            json!({"thinkingBudget": 24_576, "includeThoughts": true}),
            false,
        ),
        (&absent, json!({"reasoning_effort": "high"}), Value::Null, true),
        (&absent, json!({"reasoning_effort": "none"}), Value::Null, false),
        (&level, json!({"reasoning": {"exclude": true}}), Value::Null, false),
    ] {
        let encoded = run_at(Host::DEVELOPER, &with(&wish), quirks, None).expect("supported");
        assert_eq!(body(&encoded)["generationConfig"]["thinkingConfig"], thinking, "{wish}");
        assert_eq!(encoded.dropped.iter().any(|name| name == "reasoning"), lost, "{wish}");
    }
}

#[test]
fn tools_and_choices_are_translated() {
    let declared = json!({"functionDeclarations": [{"name": "get_weather_a02301fc", "description": "d",
        "parametersJsonSchema": {"type": "object", "properties": {"city": {"type": "string"}}}}]});
    let name = declared["functionDeclarations"][0]["name"].clone();
    for (members, calling) in [
        (json!({"tools": [weather(false)]}), Value::Null),
        (json!({"tools": [weather(true)]}), json!({"mode": "VALIDATED"})),
        (json!({"tools": [weather(true)], "tool_choice": "none"}), json!({"mode": "NONE"})),
        (json!({"tools": [weather(true)], "tool_choice": "required"}), json!({"mode": "ANY"})),
        (
            json!({"tools": [weather(false)], "tool_choice": {"type": "function", "function": {"name": "get weather"}}}),
            json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        ),
    ] {
        let encoded = run_at(Host::DEVELOPER, &with(&members), &newest(), None).expect("supported");
        let body = body(&encoded);
        assert_eq!(body["tools"], json!([declared]), "{members}");
        assert_eq!(body["toolConfig"]["functionCallingConfig"], calling, "{members}");
        let sent = name.as_str().expect("text").to_owned();
        assert_eq!(encoded.context.tool_names, [(sent, "get weather".to_owned())]);
    }
    let empty = json!({"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}});
    let search = json!({"type": "google_search", "google_search": {"excludeDomains": ["x.test"]}});
    check(
        json!({"tools": [empty, search, {"type": "openrouter:web_search"}], "parallel_tool_calls": false}),
        &newest(),
        json!({"tools": [{"functionDeclarations": [{"name": "now"}]},
            {"googleSearch": {"excludeDomains": ["x.test"]}}]}),
        &["tools[2]", "parallel_tool_calls"],
    );
    check(
        json!({"web_search_options": {"search_context_size": "low"}}),
        &newest(),
        json!({"tools": [{"googleSearch": {}}]}),
        &["web_search_options.search_context_size"],
    );
    let lax = Quirks { strict_tools: false, schema: SchemaStyle::OpenApi, ..newest() };
    let encoded =
        run_at(Host::DEVELOPER, &with(&json!({"tools": [weather(true)]})), &lax, None).expect("supported");
    assert_eq!(dropped(&encoded), ["tools[0].function.strict"]);
    assert_eq!(body(&encoded)["tools"][0]["functionDeclarations"][0]["parameters"]["type"], "object");
}

#[test]
fn structured_output_is_enforced_one_way_or_another() {
    let schema = json!({"type": "array", "items": {"type": "string"}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let native = config(json!({"responseMimeType": "application/json", "responseJsonSchema": schema}));
    check(json!({"response_format": format}), &newest(), native.clone(), &[]);
    let plain = config(json!({"responseMimeType": "application/json"}));
    check(json!({"response_format": {"type": "json_object"}}), &newest(), plain, &[]);
    let open_api = Quirks { schema: SchemaStyle::OpenApi, ..older() };
    let rewritten = config(json!({"responseMimeType": "application/json", "responseSchema": schema}));
    check(json!({"response_format": format}), &open_api, rewritten, &[]);
    // Tools that must not be called are left out, where they would forbid the format.
    let none = json!({"response_format": format, "tools": [weather(false)], "tool_choice": "none"});
    check(none, &older(), native, &[]);

    let beside = json!({"response_format": format, "tools": [weather(false)]});
    let encoded = run_at(Host::DEVELOPER, &with(&beside), &newest(), None).expect("supported");
    assert_eq!(body(&encoded)["generationConfig"]["responseJsonSchema"], schema);
    let encoded = run_at(Host::DEVELOPER, &with(&beside), &older(), None).expect("supported");
    let tools = &body(&encoded)["tools"][0]["functionDeclarations"];
    assert_eq!(tools[1]["name"], "json_response");
    assert_eq!(tools[1]["parametersJsonSchema"]["properties"]["value"], schema);
    assert_eq!(body(&encoded)["toolConfig"]["functionCallingConfig"], json!({"mode": "ANY"}));
    assert!(encoded.context.json_tool.is_some_and(|tool| tool.wrapped));

    let forced = json!({"response_format": format, "tools": [weather(false)], "tool_choice": "required"});
    let encoded = run_at(Host::DEVELOPER, &with(&forced), &older(), None).expect("supported");
    assert_eq!(dropped(&encoded), ["response_format"]);
    let object = json!({"response_format": {"type": "json_object"}, "tools": [weather(false)]});
    let encoded = run_at(Host::DEVELOPER, &with(&object), &older(), None).expect("supported");
    let asked = body(&encoded)["systemInstruction"]["parts"][0]["text"].to_string();
    assert!(asked.contains("JSON object"), "{asked}");
}

#[test]
fn other_kinds_of_output_are_asked_for() {
    check(
        json!({"modalities": ["image", "text"], "image_config": {"aspect_ratio": "16:9", "image_size": "2K", "style": "x"}}),
        &newest(),
        config(
            json!({"responseModalities": ["IMAGE", "TEXT"], "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}}),
        ),
        &["image_config.style"],
    );
    check(
        json!({"modalities": ["text", "audio"], "audio": {"voice": "Kore", "format": "pcm16"}}),
        &newest(),
        config(json!({"responseModalities": ["AUDIO"],
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}})),
        &[],
    );
    let image = |detail: &str| json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": detail}});
    for (details, resolution, lost) in [
        (vec!["low", "low"], json!("MEDIA_RESOLUTION_LOW"), false),
        (vec!["high"], json!("MEDIA_RESOLUTION_HIGH"), false),
        (vec!["auto", "auto"], Value::Null, false),
        (vec!["low", "high"], Value::Null, true),
    ] {
        let parts: Vec<_> = details.iter().map(|detail| image(detail)).collect();
        let request = with(&json!({"messages": [{"role": "user", "content": parts}]}));
        let encoded = run_at(Host::DEVELOPER, &request, &newest(), None).expect("supported");
        assert_eq!(body(&encoded)["generationConfig"]["mediaResolution"], resolution, "{details:?}");
        assert_eq!(encoded.dropped.iter().any(|name| name == "image_url.detail"), lost, "{details:?}");
    }
}

#[test]
fn what_would_change_the_meaning_is_refused_by_name() {
    let circle = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
    let circular = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": circle}});
    let open_api = Quirks { schema: SchemaStyle::OpenApi, ..older() };
    let unforced = Quirks { forced_tools: false, ..older() };
    let finished = Quirks { prefill: false, ..newest() };
    let prefilled = json!([{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]);
    for (members, quirks, field) in [
        (json!({"n": 9}), &newest(), "n"),
        (json!({"stop": ["a", "b", "c", "d", "e", "f"]}), &newest(), "stop"),
        (json!({"modalities": ["video"]}), &newest(), "modalities"),
        (json!({"modalities": ["audio"], "audio": {"format": "mp3"}}), &newest(), "audio.format"),
        (json!({"tools": [{"type": "computer"}]}), &newest(), "tools[0].type"),
        (json!({"response_format": circular}), &open_api, "response_format.json_schema.schema"),
        (json!({"tools": [weather(false)], "tool_choice": "required"}), &unforced, "tool_choice"),
        (json!({"messages": prefilled}), &finished, "messages"),
    ] {
        let refused = run_at(Host::DEVELOPER, &with(&members), quirks, None).expect_err(field);
        assert_eq!(refused.field, field);
        assert!(refused.message.starts_with(field), "{refused}");
    }
}
