//! Judgements as tables: a request and an answer, and the fault that is found.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Asked, Fault, Reason, Reasons, Schema, judge, tool_quality};
use crate::api::openai_chat;
use crate::model::message::{ToolCall, ToolKind};
use crate::model::request::ChatRequest;
use crate::model::response::{ChatResponse, Choice, Finish, FinishReason, ResponseMessage};

fn request(fields: Value) -> ChatRequest {
    let mut body = json!({"model": "a/m", "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in fields.as_object().expect("fields are an object") {
        body[key] = value.clone();
    }
    openai_chat::decode(Bytes::from(body.to_string())).expect("the request is well-formed")
}

fn asked(fields: Value) -> Asked {
    Asked::of(&request(fields), None).expect("the request's tools can be read")
}

fn answer(reason: FinishReason, message: ResponseMessage) -> ChatResponse {
    let choice = Choice { message, finish: Finish { reason, native: None }, ..Choice::default() };
    ChatResponse { choices: vec![choice], ..ChatResponse::default() }
}

fn says(text: &str) -> ChatResponse {
    answer(
        FinishReason::Stop,
        ResponseMessage { content: Some(text.to_owned()), ..ResponseMessage::default() },
    )
}

fn call(name: &str, arguments: &str) -> ToolCall {
    let kind = if name == "sql" { ToolKind::Custom } else { ToolKind::Function };
    ToolCall { id: "call_1".to_owned(), kind, name: name.to_owned(), arguments: arguments.to_owned() }
}

fn calls(calls: &[(&str, &str)]) -> ChatResponse {
    let tool_calls = calls.iter().map(|(name, arguments)| call(name, arguments)).collect();
    answer(FinishReason::ToolCalls, ResponseMessage { tool_calls, ..ResponseMessage::default() })
}

/// The detail for one reason; empty where the answer is good.
fn detail(answer: &ChatResponse, asked: &Asked, reason: Reason) -> String {
    let fault = judge(answer, asked, Reasons::from_iter([reason]));
    assert!(fault.as_ref().is_none_or(|fault| fault.reason == reason));
    fault.map(|fault| fault.detail).unwrap_or_default()
}

#[track_caller]
fn check(answer: &ChatResponse, asked: &Asked, reason: Reason, expected: &str) {
    assert_eq!(detail(answer, asked, reason), expected);
}

#[test]
fn a_refusal_is_told_in_words_or_by_a_filter() {
    let refusal =
        |text: &str| ResponseMessage { refusal: Some(text.to_owned()), ..ResponseMessage::default() };
    for (answer, expected) in [
        (says("no"), ""),
        (answer(FinishReason::Stop, refusal("")), ""),
        (answer(FinishReason::Stop, refusal("I can't")), "choices[0].message holds a refusal"),
        (
            answer(FinishReason::ContentFilter, ResponseMessage::default()),
            "choices[0].finish_reason is content_filter",
        ),
    ] {
        check(&answer, &asked(json!({})), Reason::Refusal, expected);
    }
}

#[test]
fn one_cut_choice_among_others_is_a_cut_answer() {
    let mut two = says("whole");
    let cut = Finish { reason: FinishReason::Length, native: None };
    check(&two, &asked(json!({})), Reason::Length, "");
    two.choices.push(Choice { index: 1, finish: cut, ..Choice::default() });
    check(&two, &asked(json!({})), Reason::Length, "choices[1].finish_reason is length");
}

#[test]
fn an_answer_without_anything_to_use_is_empty() {
    let empty = "choices[0].message is empty";
    let with = |change: fn(&mut ResponseMessage)| {
        let mut message = ResponseMessage::default();
        change(&mut message);
        answer(FinishReason::Stop, message)
    };
    for (answer, expected) in [
        (ChatResponse::default(), "choices is empty"),
        (with(|_| ()), empty),
        (says(" \n\t"), empty),
        (with(|message| message.reasoning = Some("hm".to_owned())), empty),
        (with(|message| message.refusal = Some("no".to_owned())), ""),
        (with(|message| message.images = vec![json!({})]), ""),
        (with(|message| message.audio = Some(json!({}))), ""),
        (calls(&[("f", "{}")]), ""),
        (says("0"), ""),
    ] {
        check(&answer, &asked(json!({})), Reason::Empty, expected);
    }
}

#[test]
fn json_is_one_value_of_the_grammar_and_nothing_else() {
    let json_object = json!({"response_format": {"type": "json_object"}});
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in ["{}", " \r\n[1]\t", "1e400", "-0", r#""\ud800""#, r#"{"a":1,"a":2}"#, "null", &deep] {
        check(&says(text), &asked(json_object.clone()), Reason::InvalidJson, "");
    }
    for text in [
        "",
        "```json\n{}\n```",
        "{} {}",
        "{'a':1}",
        "{\"a\":1,}",
        "01",
        "NaN",
        "\u{feff}{}",
        r#""\u12""#,
        "\"\u{1}\"",
        "[",
        "\u{a0}1",
    ] {
        let detail = detail(&says(text), &asked(json_object.clone()), Reason::InvalidJson);
        assert!(detail.starts_with("choices[0].message.content is not JSON (line "), "{text}: {detail}");
    }
}

#[test]
fn text_is_json_only_where_that_was_asked_for() {
    let schema = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}});
    let refused = ResponseMessage { refusal: Some("no".to_owned()), ..ResponseMessage::default() };
    for (fields, answer, is_good) in [
        (json!({}), says("hi"), true),
        (json!({"response_format": {"type": "text"}}), says("hi"), true),
        (schema.clone(), says("hi"), false),
        (schema.clone(), calls(&[("f", "{}")]), true),
        (schema.clone(), answer(FinishReason::Stop, refused), true),
        (schema, answer(FinishReason::Stop, ResponseMessage::default()), false),
    ] {
        assert_eq!(detail(&answer, &asked(fields), Reason::InvalidJson).is_empty(), is_good);
    }
}

fn tools(choice: Value) -> Value {
    json!({"tools": [
        {"type": "function", "function": {"name": "weather", "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
            "required": ["city"],
        }}},
        {"type": "function", "function": {"name": "now"}},
        {"type": "function", "function": {"name": "odd", "parameters": {"pattern": "(?=a)"}}},
        {"type": "custom", "custom": {"name": "sql"}},
    ], "tool_choice": choice})
}

#[test]
fn a_tool_call_must_be_of_a_declared_tool_and_fit_its_parameters() {
    let at = "choices[0].message.tool_calls[0]";
    for (call, expected) in [
        (("weather", r#" {"city":"Oslo"} "#), ""),
        (("now", "{}"), ""),
        (("now", r#"{"a":1e400}"#), ""),
        (("odd", r#"{"a":1}"#), ""),
        (("sql", "select 1"), ""),
        (("wether", "{}"), " calls `wether`, which was not declared"),
        (("now", ""), ".function.arguments of `now` are not JSON (line 1, column 0)"),
        (("now", "{}{}"), ".function.arguments of `now` are not JSON (line 1, column 3)"),
        (("now", "[]"), ".function.arguments of `now` are not an object"),
        (("now", "\"{}\""), ".function.arguments of `now` are not an object"),
        (
            ("weather", r#"{"city":"Oslo","days":[1,"secret"]}"#),
            ".function.arguments of `weather` do not fit the tool's parameters: /days/1 (type)",
        ),
        (
            ("weather", "{}"),
            ".function.arguments of `weather` do not fit the tool's parameters: / (required)",
        ),
    ] {
        let expected = if expected.is_empty() { String::new() } else { format!("{at}{expected}") };
        check(&calls(&[call]), &asked(tools(json!("auto"))), Reason::InvalidToolCall, &expected);
    }
}

#[test]
fn a_name_that_the_model_invented_is_cut_when_shown() {
    let detail = detail(&calls(&[(&"ß".repeat(999), "{}")]), &asked(json!({})), Reason::InvalidToolCall);
    assert_eq!(
        detail,
        format!("choices[0].message.tool_calls[0] calls `{}`, which was not declared", "ß".repeat(32))
    );
}

#[test]
fn a_call_that_tool_choice_demands_must_come() {
    let named = |name: &str| json!({"type": "function", "function": {"name": name}});
    let allowed = |mode: &str| json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named("now"), named("odd")]}});
    let custom = json!({"type": "custom", "custom": {"name": "sql"}});
    for (choice, answer, expected) in [
        (json!("none"), says("hi"), ""),
        (json!("auto"), says("hi"), ""),
        (json!("required"), calls(&[("now", "{}")]), ""),
        (json!("required"), says("hi"), " is empty though tool_choice demands a call"),
        (named("now"), calls(&[("now", "{}")]), ""),
        (named("now"), calls(&[("odd", "{}")]), " lacks `now`, which tool_choice demands"),
        (custom.clone(), calls(&[("sql", "select 1")]), ""),
        (custom, says("hi"), " lacks `sql`, which tool_choice demands"),
        (allowed("auto"), says("hi"), ""),
        (allowed("required"), calls(&[("odd", "{}")]), ""),
        (allowed("required"), calls(&[("sql", "1")]), " lacks a call of the tools that tool_choice demands"),
    ] {
        let at = "choices[0].message.tool_calls";
        let expected = if expected.is_empty() { String::new() } else { format!("{at}{expected}") };
        check(&answer, &asked(tools(choice)), Reason::InvalidToolCall, &expected);
    }
}

fn shaped(schema: Value) -> Value {
    json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}})
}

#[test]
fn text_must_fit_the_requests_schema_and_the_policys() {
    let policy = Arc::new(Schema::compile(r#"{"required":["b"]}"#).expect("the schema is good"));
    let own = json!({"properties": {"a": {"type": "string"}}});
    for (policy, text, expected) in [
        (None, r#"{"a":""}"#, ""),
        (None, r#"{"a":1}"#, "the schema of response_format: /a (type)"),
        (
            None,
            "hi",
            "the schema of response_format: no JSON value, or one that is nested too deeply or holds too large a number",
        ),
        (Some(&policy), r#"{"a":"","b":1}"#, ""),
        (Some(&policy), r#"{"a":""}"#, "the policy's schema: / (required)"),
    ] {
        let asked = Asked::of(&request(shaped(own.clone())), policy).expect("there are no tools");
        let at = "choices[0].message.content does not fit";
        let expected = if expected.is_empty() { String::new() } else { format!("{at} {expected}") };
        check(&says(text), &asked, Reason::Schema, &expected);
    }
    let asked = Asked::of(&request(json!({})), Some(&policy)).expect("there are no tools");
    check(&calls(&[("f", "{}")]), &asked, Reason::Schema, "");
}

#[test]
fn the_cheapest_reason_that_counts_is_told() {
    let asked = asked(shaped(json!({"type": "string"})));
    let cut = answer(FinishReason::Length, ResponseMessage::default());
    for (wanted, expected) in [
        (&["schema", "invalid_json", "empty", "length"][..], Some(Reason::Length)),
        (&["schema", "invalid_json", "empty"], Some(Reason::Empty)),
        (&["schema", "invalid_json"], Some(Reason::InvalidJson)),
        (&["schema"], Some(Reason::Schema)),
        (&["error", "timeout", "check", "refusal", "invalid_tool_call"], None),
        (&[], None),
    ] {
        let wanted = Reasons::from_names(wanted.iter().copied()).expect("the names are known");
        assert_eq!(judge(&cut, &asked, wanted).map(|fault: Fault| fault.reason), expected);
    }
}

#[test]
fn a_schema_that_cannot_be_used_is_told_before_and_held_against_nobody() {
    let broken = asked(shaped(json!({"type": "strin"})));
    check(&says("7"), &broken, Reason::Schema, "");
    let all = Reasons::from_iter(Reason::ALL);
    let refused = broken.prove(all).expect_err("there is no such type");
    assert_eq!(refused.field, "response_format.json_schema.schema");
    assert!(refused.message.ends_with("/type: breaks the rules for schemas (`anyOf`)"), "{refused}");
    assert_eq!(broken.prove(Reasons::from_iter([Reason::InvalidJson])), Ok(()));

    let odd = asked(tools(json!("auto"))).prove(all).expect_err("lookaround is not supported");
    assert_eq!(odd.field, "tools[2].function.parameters");
}

#[test]
fn the_quality_of_tool_calls_is_known_where_there_were_any() {
    let mut cut = calls(&[("weather", r#"{"ci"#)]);
    cut.choices[0].finish.reason = FinishReason::Length;
    for (answer, expected) in [
        (says("hi"), None),
        (calls(&[("now", "{}"), ("weather", r#"{"city":""}"#)]), Some(true)),
        (calls(&[("now", "{}"), ("weather", "{}")]), Some(false)),
        (calls(&[("now", "{")]), Some(false)),
        (calls(&[("then", "{}")]), Some(false)),
        (cut, None),
    ] {
        assert_eq!(tool_quality(&answer, &asked(tools(json!("auto")))), expected);
    }
}
