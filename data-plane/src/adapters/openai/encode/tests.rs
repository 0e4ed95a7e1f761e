//! Chat requests and what an endpoint of the same dialect gets of them.

use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Value, json};

use super::encode;
use crate::adapters::quirks::{CacheMarks, CapField, ReasoningStyle, ReplayField};
use crate::adapters::{Encoded, Quirks, Target};
use crate::api::openai_chat;
use crate::model::media::NOTHING;
use crate::model::parameter::Parameters;
use crate::model::request::Effort;

const HI: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

fn run(body: &str, target: Target<'_>) -> Encoded {
    let request = openai_chat::decode(Bytes::copy_from_slice(body.as_bytes())).expect("well-formed");
    encode(&request, &target).expect("supported")
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

/// The whole upstream body as text, and what was dropped.
fn check(body: &str, target: Target<'_>, expected: &str, dropped: &[&str]) {
    let encoded = run(body, target);
    assert_eq!(std::str::from_utf8(&encoded.body).expect("UTF-8"), expected, "{body}");
    assert_eq!(encoded.dropped, dropped, "{body}");
}

#[test]
fn source_bytes_pass_and_only_what_must_change_changes() {
    let quirks = Quirks::default();
    check(
        r#"{"model":"openai/gpt","messages":[{"role":"user", "content":"gr\u00fc\u00dfe"}] , "new_field": {"x" : [1,2]},"seed":null}"#,
        target(&quirks),
        r#"{"model":"up","messages":[{"role":"user", "content":"gr\u00fc\u00dfe"}],"new_field": {"x" : [1,2]}}"#,
        &[],
    );
    check(
        &format!(
            r#"{{{HI},"models":["a"],"provider":{{"zdr":true}},"usage":{{"include":true}},"session_id":"s","trace":{{}},"route":"fallback","transforms":[],"preset":"p","debug":{{}},"user":"u"}}"#
        ),
        target(&quirks),
        &format!(r#"{{{HI},"user":"u","model":"up"}}"#),
        &["transforms"],
    );
}

#[test]
fn a_stream_always_reports_its_usage() {
    let quirks = Quirks::default();
    let stream = |quirks| Target { stream: true, ..target(quirks) };
    let asked = r#""stream_options":{"include_usage":true}"#;
    check(
        &format!(r#"{{{HI},"stream":true}}"#),
        stream(&quirks),
        &format!(r#"{{{HI},"stream":true,"model":"up",{asked}}}"#),
        &[],
    );
    check(
        &format!(
            r#"{{{HI},"stream":true,"stream_options":{{"include_obfuscation":false,"include_usage":false}}}}"#
        ),
        stream(&quirks),
        &format!(
            r#"{{{HI},"stream":true,"stream_options":{{"include_obfuscation":false,"include_usage":true}},"model":"up"}}"#
        ),
        &[],
    );
    let silent = Quirks { stream_options: false, ..Quirks::default() };
    check(
        &format!(r#"{{{HI},{asked}}}"#),
        stream(&silent),
        &format!(r#"{{{HI},"model":"up","stream":true}}"#),
        &[],
    );
    check(
        &format!(r#"{{{HI},"stream":true,{asked}}}"#),
        target(&quirks),
        &format!(r#"{{{HI},"model":"up"}}"#),
        &[],
    );
}

#[test]
fn the_reserved_cap_is_sent_under_the_name_that_the_endpoint_knows() {
    let sent = |cap_field, output_cap, members: &str| {
        let quirks = Quirks { cap_field, ..Quirks::default() };
        let encoded = run(&format!("{{{HI},{members}}}"), Target { output_cap, ..target(&quirks) });
        let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
        (body["max_tokens"].as_u64(), body["max_completion_tokens"].as_u64())
    };
    assert_eq!(sent(CapField::MaxTokens, None, r#""max_completion_tokens":9"#), (Some(9), None));
    assert_eq!(sent(CapField::MaxTokens, Some(7), r#""max_tokens":9"#), (Some(7), None));
    assert_eq!(sent(CapField::MaxCompletionTokens, Some(7), r#""n":1"#), (None, Some(7)));
    assert_eq!(
        sent(CapField::MaxCompletionTokens, None, r#""max_tokens":9,"max_completion_tokens":8"#),
        (None, Some(8))
    );
    assert_eq!(sent(CapField::MaxCompletionTokens, None, r#""n":1"#), (None, None));
}

#[test]
fn empty_tools_and_what_goes_with_them_are_left_out() {
    let quirks = Quirks::default();
    check(
        &format!(r#"{{{HI},"tools":[],"tool_choice":"auto","parallel_tool_calls":false,"stop":""}}"#),
        target(&quirks),
        &format!(r#"{{{HI},"model":"up"}}"#),
        &[],
    );
}

#[test]
fn parameters_that_the_endpoint_lacks_are_dropped_by_name() {
    let quirks = Quirks { drop: vec!["store".to_owned()], ..Quirks::default() };
    let supported = Parameters::from_names(["temperature", "max_tokens"]);
    check(
        &format!(r#"{{{HI},"temperature":1,"seed":3,"top_k":4,"store":true,"reasoning_effort":"low"}}"#),
        Target { supported, ..target(&quirks) },
        &format!(r#"{{{HI},"temperature":1,"model":"up"}}"#),
        &["store", "reasoning", "top_k", "seed"],
    );
}

#[test]
fn reasoning_is_wished_for_in_the_endpoints_words() {
    use ReasoningStyle::*;
    for (style, wish, expected) in [
        (Effort, r#""reasoning":{"effort":"high"}"#, json!({"reasoning_effort": "high"})),
        (Effort, r#""reasoning":{"enabled":true}"#, json!({"reasoning_effort": "medium"})),
        (
            Effort,
            r#""reasoning":{"max_tokens":800},"max_tokens":1000"#,
            json!({"reasoning_effort": "high", "max_completion_tokens": 1000}),
        ),
        (Effort, r#""reasoning_effort":"max""#, json!({"reasoning_effort": "xhigh"})),
        (Effort, r#""include_reasoning":false"#, json!({})),
        (Object, r#""reasoning":{"effort":"high"}"#, json!({"reasoning": {"effort": "high"}})),
        (ThinkingType, r#""reasoning":{"effort":"none"}"#, json!({"thinking": {"type": "disabled"}})),
        (
            ThinkingType,
            r#""reasoning_effort":"high""#,
            json!({"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        ),
        (
            EnableThinking,
            r#""reasoning":{"max_tokens":500}"#,
            json!({"enable_thinking": true, "thinking_budget": 500}),
        ),
        (
            TemplateSwitch,
            r#""reasoning":{"enabled":false}"#,
            json!({"chat_template_kwargs": {"enable_thinking": false, "thinking": false}}),
        ),
        (Absent, r#""reasoning_effort":"low""#, json!({})),
    ] {
        let quirks = Quirks { reasoning: style, ..Quirks::default() };
        let encoded = run(&format!("{{{HI},{wish}}}"), target(&quirks));
        let mut body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
        for name in ["messages", "model"] {
            body.as_object_mut().expect("object").shift_remove(name);
        }
        assert_eq!(body, expected, "{style:?} {wish}");
    }
}

#[test]
fn an_effort_that_the_model_lacks_snaps_to_the_nearest() {
    let quirks = Quirks { efforts: vec![Effort::Low, Effort::High], ..Quirks::default() };
    let encoded = run(&format!(r#"{{{HI},"reasoning_effort":"none"}}"#), target(&quirks));
    let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
    assert_eq!(body["reasoning_effort"], "low");
}

#[test]
fn messages_lose_what_the_endpoint_would_refuse() {
    let body = r#"{"messages":[{"role":"developer","content":"d"},
        {"role":"assistant","content":"a","reasoning":"r","reasoning_details":[{"x":1}]},
        {"role":"user","content":[{"type":"text","text":"t","cache_control":{"type":"ephemeral"}}]}]}"#;
    let sent = |quirks: &Quirks| {
        let encoded = run(body, target(quirks));
        let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
        body["messages"].clone()
    };
    let leave = Quirks { replay: ReplayField::Leave, cache_marks: CacheMarks::Keep, ..Quirks::default() };
    let original: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(sent(&leave), original["messages"]);
    assert_eq!(
        sent(&Quirks::default()),
        json!([{"role": "developer", "content": "d"}, {"role": "assistant", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "t"}]}])
    );
    let deepseek = Quirks {
        developer_role: false,
        replay: ReplayField::ReasoningContent,
        cache_marks: CacheMarks::Breakpoint,
        ..Quirks::default()
    };
    assert_eq!(
        sent(&deepseek),
        json!([{"role": "system", "content": "d"}, {"role": "assistant", "content": "a", "reasoning_content": "r"},
            {"role": "user", "content": [{"type": "text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}}]}])
    );
}

#[test]
fn duplicate_members_cannot_smuggle_another_prompt() {
    let quirks = Quirks::default();
    check(
        r#"{"messages":[{"role":"user","content":"long"}],"messages":[{"role":"user","content":"x"}]}"#,
        target(&quirks),
        r#"{"messages":[{"role":"user","content":"x"}],"model":"up"}"#,
        &[],
    );
}

#[test]
fn a_row_can_add_members_and_headers_and_another_path() {
    let mut quirks = Quirks::default();
    for (name, value) in [
        ("headers", r#"{"X-Title":"Acme"}"#),
        ("extra_members", r#"{"mode":"x","deep":{"a":1}}"#),
        ("chat_path", "/chat"),
    ] {
        quirks.set(name, value).expect("known");
    }
    let encoded = run(&format!(r#"{{{HI},"mode":"y"}}"#), target(&quirks));
    assert_eq!((&*encoded.path, &encoded.headers["x-title"]), ("/chat", &HeaderValue::from_static("Acme")));
    let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
    assert_eq!((&body["mode"], &body["deep"]), (&json!("y"), &json!({"a": 1})));
}

#[test]
fn thinking_can_be_switched_in_the_prompt() {
    let mut quirks = Quirks { reasoning: ReasoningStyle::Switch, ..Quirks::default() };
    quirks.set("thinking_prompt", "detailed thinking on|detailed thinking off").expect("known");
    for (wish, expected, dropped) in [
        (r#","reasoning_effort":"low""#, Some("detailed thinking on"), 0),
        (r#","reasoning":{"enabled":false}"#, Some("detailed thinking off"), 0),
        ("", None, 0),
    ] {
        let encoded = run(&format!("{{{HI}{wish}}}"), target(&quirks));
        let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
        let system = &body["messages"][0];
        assert_eq!(system["content"].as_str().filter(|_| system["role"] == "system"), expected, "{wish}");
        assert_eq!((encoded.dropped.len(), body.get("reasoning_effort")), (dropped, None), "{wish}");
    }
    let parts = r#"{"messages":[{"role":"system","content":[{"type":"text","text":"s"}]},{"role":"user","content":"hi"}],
        "reasoning_effort":"low"}"#;
    let body: Value = serde_json::from_slice(&run(parts, target(&quirks)).body).expect("JSON");
    assert_eq!(body["messages"][0]["content"][1]["text"], "detailed thinking on");
}

#[test]
fn files_behind_urls_are_inlined_or_refused() {
    use crate::model::media::{Fetched, FetchedFile};
    let url = "https://example.com/a.pdf";
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":[{{"type":"file","file":{{"filename":"a.pdf","file_data":"{url}"}}}},
            {{"type":"image_url","image_url":{{"url":"https://example.com/a.png","detail":"low"}}}}]}}]}}"#
    );
    let request = openai_chat::decode(Bytes::from(body)).expect("well-formed");
    let quirks = Quirks::default();
    let refused = encode(&request, &target(&quirks)).expect_err("not fetched");
    assert_eq!(refused.field, "messages[0].content[0]");
    let file = FetchedFile { media_type: "application/pdf".to_owned(), base64: "AAAA".to_owned() };
    let fetched = Fetched([(url.to_owned(), file)].into());
    let encoded = encode(&request, &Target { fetched: &fetched, ..target(&quirks) }).expect("fetched");
    let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
    assert_eq!(
        body["messages"][0]["content"],
        json!([
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        ])
    );
}

#[test]
fn a_router_gets_the_wish_of_another_dialect_as_its_own_object() {
    use crate::model::request::{Dialect, Reasoning};
    let mut request =
        openai_chat::decode(Bytes::from(format!(r#"{{"model":"m",{HI}}}"#))).expect("well-formed");
    request.source.dialect = Dialect::AnthropicMessages;
    request.reasoning = Reasoning { effort: Some(Effort::High), exclude: true, ..Reasoning::default() };
    let quirks = Quirks { reasoning: ReasoningStyle::Object, ..Quirks::default() };
    let encoded = encode(&request, &target(&quirks)).expect("supported");
    let body: Value = serde_json::from_slice(&encoded.body).expect("JSON");
    assert_eq!(body["reasoning"], json!({"effort": "high", "exclude": true}));
}

#[test]
fn a_tier_goes_to_endpoints_that_take_one_and_is_else_dropped_by_name() {
    let body = format!(r#"{{{HI},"service_tier":"flex"}}"#);
    let (with, without) =
        (format!(r#"{{{HI},"service_tier":"flex","model":"up"}}"#), format!(r#"{{{HI},"model":"up"}}"#));
    let listed = |names: &[&'static str]| Parameters::from_names(names.iter().copied());
    for (takes, supported, expected, dropped) in [
        (true, Parameters::NONE, &with, &[][..]),
        (false, Parameters::NONE, &without, &["service_tier"]),
        (false, listed(&["temperature", "service_tier"]), &with, &[]),
        (false, listed(&["temperature"]), &without, &["service_tier"]),
        (true, listed(&["temperature"]), &without, &["service_tier"]),
    ] {
        let quirks = Quirks { service_tier: takes, ..Quirks::default() };
        check(&body, Target { supported, ..target(&quirks) }, expected, dropped);
    }
    let quirks = Quirks { service_tier: false, ..Quirks::default() };
    check(&format!("{{{HI}}}"), target(&quirks), &without, &[]);
}

#[test]
fn the_rows_tier_takes_the_place_of_the_callers_word() {
    let (asked, bare) = (r#"{"service_tier":"flex","user":"u"}"#, r#"{"user":"u"}"#);
    let quirks = |name: &str| Quirks {
        service_tier: name != "untaken",
        drop: if name == "barred" { vec!["service_tier".to_owned()] } else { Vec::new() },
        ..Quirks::default()
    };
    for (row, tier, body, expected) in [
        ("taken", "", asked, r#"{"user":"u","model":"up"}"#),
        ("taken", "", r#"{"service_tier":"auto"}"#, r#"{"service_tier":"auto","model":"up"}"#),
        ("taken", "", bare, r#"{"user":"u","model":"up"}"#),
        ("taken", "flex", asked, r#"{"service_tier":"flex","user":"u","model":"up"}"#),
        ("taken", "priority", asked, r#"{"service_tier":"priority","user":"u","model":"up"}"#),
        ("taken", "priority", bare, r#"{"user":"u","model":"up","service_tier":"priority"}"#),
        ("untaken", "", asked, r#"{"user":"u","model":"up"}"#),
        ("untaken", "", r#"{"service_tier":"auto"}"#, r#"{"model":"up"}"#),
        // A row that is of a tier says by that how it is asked for, unless it bars the member.
        ("untaken", "priority", asked, r#"{"service_tier":"priority","user":"u","model":"up"}"#),
        ("barred", "priority", asked, r#"{"user":"u","model":"up"}"#),
    ] {
        let beside = |body: &str| body.replacen('{', &format!("{{{HI},"), 1);
        let quirks = quirks(row);
        check(&beside(body), Target { tier: Some(tier), ..target(&quirks) }, &beside(expected), &[]);
    }
}
