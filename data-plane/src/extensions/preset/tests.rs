//! How a preset is named, and how it is laid under a request.

use serde_json::{Value, json};
use switchyard_proto::v1::PresetConfig;
use switchyard_proto::v1::resource::Body;

use super::*;
use crate::api::surface::Surface;
use crate::config::fixtures;

fn preset(system_prompt: &str, config: &Value) -> Preset {
    let config = PresetConfig {
        id: "p".into(),
        tenant: "acme".into(),
        system_prompt: system_prompt.into(),
        config: config.to_string(),
        ..Default::default()
    };
    let resources = fixtures::tenant().into_iter().chain([fixtures::resource(Body::Preset(config))]);
    let compiled = fixtures::full(resources);
    assert_eq!(compiled.refused, []);
    let caller = fixtures::caller(&compiled.snapshot);
    Preset::clone(compiled.snapshot.preset(&caller.tenant.id, "p").unwrap())
}

fn asked(members: &Value) -> ChatRequest {
    let mut body = json!({"messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    Surface::ChatCompletions.decode(body.to_string().into()).unwrap()
}

/// The merged body without its messages.
fn merge(config: &Value, members: &Value) -> Value {
    let request = asked(members);
    let made = apply(&request, named(&request).unwrap().unwrap(), &preset("", config)).unwrap();
    let mut body: Value = serde_json::from_slice(&made.source.body).unwrap();
    body.as_object_mut().unwrap().remove("messages").unwrap();
    body
}

#[test]
fn a_preset_is_named_in_the_model_or_by_a_member() {
    let check = |members: &Value, expected: Result<Option<(&str, Option<&str>)>, &str>| {
        let request = asked(members);
        let found = named(&request).map(|named| named.map(|named| (named.preset, named.model)));
        let found = found.map_err(|error| error.metadata["field"].as_str().unwrap_or_default().to_owned());
        assert_eq!(found, expected.map_err(str::to_owned), "{members}");
    };
    check(&json!({}), Ok(None));
    check(&json!({"model": "a/b"}), Ok(None));
    check(&json!({"preset": ""}), Ok(None));
    check(&json!({"preset": "p"}), Ok(Some(("p", None))));
    check(&json!({"preset": "@preset/p"}), Ok(Some(("p", None))));
    check(&json!({"preset": "p", "model": "a/b"}), Ok(Some(("p", Some("a/b")))));
    check(&json!({"model": "@preset/p"}), Ok(Some(("p", None))));
    check(&json!({"model": "a/b:nitro@preset/p"}), Ok(Some(("p", Some("a/b:nitro")))));
    check(&json!({"model": "@preset/p", "preset": "p"}), Ok(Some(("p", None))));
    check(&json!({"model": "@preset/p", "preset": "q"}), Err("preset"));
    check(&json!({"model": "a/b", "models": ["@preset/p"]}), Err("models"));
}

#[test]
fn what_the_request_says_goes_over_the_preset_member_by_member() {
    let named = |more: Value| {
        let mut members = json!({"model": "@preset/p"});
        members.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        members
    };
    let rows = [
        // Nothing said.
        (
            json!({"model": "a/b", "temperature": 0.5}),
            named(json!({})),
            json!({"model": "a/b", "temperature": 0.5}),
        ),
        // The same member.
        (
            json!({"model": "a/b", "temperature": 0.5}),
            named(json!({"temperature": 0})),
            json!({"model": "a/b", "temperature": 0}),
        ),
        // Null says nothing.
        (
            json!({"model": "a/b", "temperature": 0.5}),
            named(json!({"temperature": null})),
            json!({"model": "a/b", "temperature": 0.5}),
        ),
        // Objects are not merged.
        (
            json!({"model": "a/b", "provider": {"sort": "price", "zdr": true}}),
            named(json!({"provider": {"only": ["x"]}})),
            json!({"model": "a/b", "provider": {"only": ["x"]}}),
        ),
        // Other words for the same.
        (
            json!({"model": "a/b", "max_tokens": 5}),
            named(json!({"max_completion_tokens": 9})),
            json!({"model": "a/b", "max_completion_tokens": 9}),
        ),
        (
            json!({"model": "a/b", "reasoning": {"effort": "high"}}),
            named(json!({"reasoning_effort": "low"})),
            json!({"model": "a/b", "reasoning_effort": "low"}),
        ),
        // What is not known here stays.
        (
            json!({"model": "a/b"}),
            named(json!({"safe_prompt": true})),
            json!({"model": "a/b", "safe_prompt": true}),
        ),
        // A preset without a model leaves none.
        (json!({"temperature": 1}), named(json!({})), json!({"temperature": 1})),
        // Models are one thing with the model.
        (
            json!({"model": "a/b", "models": ["c/d"]}),
            named(json!({})),
            json!({"model": "a/b", "models": ["c/d"]}),
        ),
        (
            json!({"model": "a/b", "models": ["c/d"]}),
            named(json!({"models": ["e/f"]})),
            json!({"models": ["e/f"]}),
        ),
        (
            json!({"model": "a/b", "models": ["c/d"]}),
            json!({"model": "e/f@preset/p"}),
            json!({"model": "e/f"}),
        ),
        (json!({"model": "a/b"}), json!({"preset": "p"}), json!({"model": "a/b"})),
        (json!({"model": "a/b"}), json!({"preset": "p", "model": "e/f"}), json!({"model": "e/f"})),
        // The cache's are for the cache.
        (json!({"model": "a/b", "cache_ttl": 60}), named(json!({})), json!({"model": "a/b"})),
    ];
    for (config, members, expected) in rows {
        assert_eq!(merge(&config, &members), expected, "{config} under {members}");
    }
}

#[test]
fn tools_are_joined_by_what_they_are() {
    let function = |name: &str, about: &str| json!({"type": "function", "function": {"name": name, "description": about}});
    let search = |most: u64| json!({"type": "openrouter:web_search", "parameters": {"max_results": most}});
    let agent = |name: &str| json!({"type": "openrouter:subagent", "parameters": {"name": name}});
    let rows = [
        (vec![function("a", "1")], vec![function("b", "2")], vec![function("a", "1"), function("b", "2")]),
        (
            vec![function("a", "1"), function("c", "1")],
            vec![function("b", "2"), function("a", "2")],
            vec![function("a", "2"), function("c", "1"), function("b", "2")],
        ),
        (vec![search(1)], vec![search(2)], vec![search(2)]),
        (vec![agent("x")], vec![agent("y"), agent("x")], vec![agent("x"), agent("y")]),
        (vec![function("a", "1")], vec![], vec![function("a", "1")]),
    ];
    for (ours, theirs, expected) in rows {
        let made =
            merge(&json!({"model": "m/m", "tools": ours}), &json!({"model": "@preset/p", "tools": theirs}));
        assert_eq!(made["tools"], json!(expected), "{ours:?} and {theirs:?}");
    }
}

#[test]
fn a_tool_of_the_preset_may_be_chosen_by_the_request() {
    let config = json!({"model": "m/m", "tools": [{"type": "function", "function": {"name": "a"}}]});
    let choice = |name: &str| json!({"model": "@preset/p", "tool_choice": {"type": "function", "function": {"name": name}}});
    assert_eq!(merge(&config, &choice("a"))["tool_choice"]["function"]["name"], "a");
    let request = asked(&choice("b"));
    let error = apply(&request, named(&request).unwrap().unwrap(), &preset("", &config)).unwrap_err();
    assert_eq!(error.public, "With preset `p`: tool_choice.function.name `b` is none of the declared tools");
}

#[test]
fn the_prompt_goes_before_the_callers_messages() {
    let preset = preset("Be terse.", &json!({"model": "a/b"}));
    let bodies = [
        (
            Surface::ChatCompletions,
            json!({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}]}),
        ),
        (
            Surface::Messages,
            json!({"max_tokens": 5, "system": "S", "messages": [{"role": "user", "content": "hi"}]}),
        ),
        (Surface::Responses, json!({"instructions": "S", "input": "hi"})),
    ];
    for (surface, mut body) in bodies {
        body["model"] = json!("@preset/p");
        let request = surface.decode(body.to_string().into()).unwrap();
        let made = apply(&request, named(&request).unwrap().unwrap(), &preset).unwrap();
        let texts: Vec<String> =
            made.messages.get().unwrap().iter().map(|message| format!("{:?}", message.content)).collect();
        assert_eq!(texts.len(), 3, "{surface:?}");
        for (text, expected) in texts.iter().zip(["Be terse.", "S", "hi"]) {
            assert!(text.contains(expected), "{surface:?}: {text}");
        }
        assert_eq!(made.facts.messages, 3, "{surface:?}");
    }
}

#[test]
fn a_failed_tool_of_the_messages_dialect_stays_failed() {
    let body = json!({"model": "@preset/p", "max_tokens": 5, "messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": true}]},
    ]});
    let request = Surface::Messages.decode(body.to_string().into()).unwrap();
    let made =
        apply(&request, named(&request).unwrap().unwrap(), &preset("Be terse.", &json!({"model": "a/b"})))
            .unwrap();
    let messages = made.messages.get().unwrap();
    assert_eq!(messages.len(), 4);
    assert!(messages[3].is_error && made.source.own.is_some());
}
