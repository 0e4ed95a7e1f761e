//! What is left out of a prompt that is too long, and what stays.

use serde_json::{Value, json};

use super::*;
use crate::api::surface::Surface;

fn message(role: &str, text: &str) -> Value {
    json!({"role": role, "content": text})
}

fn asked(messages: Vec<Value>) -> ChatRequest {
    let body = json!({"model": "a/b", "max_tokens": 10, "messages": messages});
    Surface::ChatCompletions.decode(body.to_string().into()).unwrap()
}

/// A hundred tokens that begin with a name.
fn long(name: &str) -> String {
    format!("{name} {}", "x".repeat(399 - name.len()))
}

/// The first words of what is left.
fn left(request: &ChatRequest) -> Vec<String> {
    let body: Value = serde_json::from_slice(&request.source.body).unwrap();
    let messages = body["messages"].as_array().unwrap();
    let word = |message: &Value| {
        let text = message["content"].as_str().or(message["tool_calls"][0]["id"].as_str());
        text.unwrap_or_default().split(' ').next().unwrap().to_owned()
    };
    messages.iter().map(word).collect()
}

#[test]
fn whole_turns_go_from_the_middle_outwards() {
    let roles = ["user", "assistant", "user", "assistant", "user"];
    let mut messages = vec![message("system", &long("S"))];
    messages.extend(roles.iter().enumerate().map(|(at, role)| message(role, &long(&at.to_string()))));
    let request = asked(messages);
    for (window, expected) in [
        (600, &["S", "0", "1", "3", "4"][..]),
        (500, &["S", "0", "3", "4"]),
        (400, &["S", "0", "4"]),
        (300, &["S", "4"]),
    ] {
        let (made, out) = middle_out(&request, window).unwrap();
        assert_eq!(left(&made), expected, "{window}");
        assert_eq!(out, LeftOut { messages: 6 - expected.len(), is_text_cut: false }, "{window}");
        assert!(price::prompt_estimate(&made.facts) + 10 <= window, "{window}");
    }
}

#[test]
fn a_call_and_its_results_go_together() {
    let call = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "call", "type": "function", "function": {"name": "f", "arguments": long("{}")}}]});
    let result = |text: &str| json!({"role": "tool", "tool_call_id": "call", "content": long(text)});
    let request = asked(vec![
        message("user", &long("first")),
        call,
        result("one"),
        result("two"),
        message("assistant", &long("said")),
        message("user", &long("last")),
    ]);
    let (made, out) = middle_out(&request, 500).unwrap();
    assert_eq!((left(&made), out.messages), (vec!["first".to_owned(), "said".into(), "last".into()], 3));
}

#[test]
fn a_last_turn_that_is_too_long_loses_its_own_middle() {
    let text = format!("start {} end", "é".repeat(1_000));
    let request = asked(vec![message("system", "S"), message("user", "early"), message("user", &text)]);
    let (made, out) = middle_out(&request, 300).unwrap();
    assert_eq!(
        (left(&made), out),
        (vec!["S".to_owned(), "start".into()], LeftOut { messages: 1, is_text_cut: true })
    );
    let body: Value = serde_json::from_slice(&made.source.body).unwrap();
    let text = body["messages"][1]["content"].as_str().unwrap();
    assert!(text.starts_with("start é") && text.contains("é\n[…]\né") && text.ends_with("é end"), "{text}");
    assert!(price::prompt_estimate(&made.facts) + 10 <= 300);
}

#[test]
fn what_cannot_be_made_to_fit_is_left_alone() {
    let parts = json!({"role": "user", "content": [{"type": "text", "text": long("parts")}]});
    assert!(middle_out(&asked(vec![message("user", "early"), parts]), 60).is_none());
    assert!(middle_out(&asked(vec![message("system", &long("S")), message("user", "last")]), 60).is_none());
    assert!(middle_out(&asked(vec![message("user", "last")]), 5).is_none());
}

#[test]
fn a_failed_tool_stays_failed() {
    let body = json!({"model": "m", "max_tokens": 10, "messages": [
        {"role": "user", "content": long("first")},
        {"role": "assistant", "content": long("said")},
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": true}]},
    ]});
    let request = Surface::Messages.decode(body.to_string().into()).unwrap();
    let (made, out) = middle_out(&request, 200).unwrap();
    let messages = made.messages.get().unwrap();
    assert!(out.messages > 0 && messages.len() == 5 - out.messages);
    assert!(messages.last().unwrap().is_error && made.source.own.is_some());
}

#[test]
fn it_is_due_where_it_is_asked_for_or_the_window_is_small() {
    let request = asked(vec![message("user", &long("a")), message("user", &long("b"))]);
    let needed = price::prompt_estimate(&request.facts) + 10;
    for (window, wish, expected) in [
        (needed, Some(true), false),
        (needed - 1, Some(true), true),
        (needed - 1, None, true),
        (needed - 1, Some(false), false),
        // Less than half of what is needed.
        (needed / 2 - 1, Some(true), false),
    ] {
        assert_eq!(is_due(&request, window, wish), expected, "{window} {wish:?}");
    }
    let messages = (0..100).map(|_| message("user", &long("a"))).collect();
    assert!(!is_due(&asked(messages), 9_000, None), "a large window is not small");
}
