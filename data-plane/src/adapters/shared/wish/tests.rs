//! What stays behind by name, and whose word on the tier each dialect hands on.

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::adapters::{ADAPTERS, Encoded};
use crate::api::openai_chat::decode;
use crate::model::media::NOTHING;

#[test]
fn what_is_unknown_is_named_and_what_is_the_dialects_own_passes() {
    let image = json!({"type": "image_url", "image_url": {"url": "https://x/y", "detail": "low"}});
    let body = json!({"model": "a/b", "messages": [{"role": "user", "name": "n", "content": [image]}], "seed": 1, "top_k": 2,
        "container": {"id": "c"}, "frobnicate": true, "nothing": null});
    let request = decode(Bytes::from(body.to_string())).expect("a request");
    assert_eq!(lost(&request, &[Parameter::Seed, Parameter::MinP]), ["seed"]);
    let messages = request.messages.get().expect("typed");
    assert_eq!(lost_in_messages(messages), ["messages[0].name", "messages[0].content[0].image_url.detail"]);
    let (passed, unknown) = own_members(&request, &["container"]);
    assert_eq!(passed, [("container".to_owned(), json!({"id": "c"}))]);
    assert_eq!(unknown, ["frobnicate"]);
    assert_eq!(source_member(&request, "frobnicate"), Some(json!(true)));
    assert_eq!(source_member(&request, "nothing"), None);
}

/// What an adapter writes for an endpoint of this tier and a caller who sends these members.
fn sent(adapter: &str, tier: Option<&str>, members: &Value) -> Encoded {
    let mut body = json!({"model": "a/b", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let request = decode(Bytes::from(body.to_string())).unwrap();
    let adapter = ADAPTERS.iter().find(|known| known.name() == adapter).unwrap();
    let target = Target {
        model: "m",
        output_cap: Some(100),
        stream: false,
        quirks: &adapter.quirks(),
        fetched: &NOTHING,
        supported: Parameters::NONE,
        tier,
    };
    adapter.encode(&request, &target).unwrap()
}

/// The provider's word for the tier that is asked for, `-` for none, `lost` where it is named as left behind.
fn told(adapter: &str, tier: Option<&str>, asked: Option<&str>) -> String {
    let encoded = sent(adapter, tier, &json!({"service_tier": asked}));
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    let members = ["service_tier", "serviceTier"].map(|name| &body[name]);
    let word = members.into_iter().find_map(|said| said.as_str().or_else(|| said["type"].as_str()));
    match (word, encoded.dropped.as_slice()) {
        (Some(word), []) => word.to_owned(),
        (None, []) => "-".to_owned(),
        (None, [name]) if name == "service_tier" => "lost".to_owned(),
        other => panic!("{adapter}: {other:?}"),
    }
}

#[test]
fn the_endpoints_tier_is_asked_for_in_the_dialects_own_word() {
    // Rows of the tiers `priority` and `flex`, and of the default one for callers who say `default` or `auto`.
    for (adapter, words) in [
        ("openai", ["priority", "flex", "default", "auto"]),
        ("openai_responses", ["priority", "flex", "default", "auto"]),
        ("azure", ["priority", "flex", "default", "auto"]),
        ("anthropic", ["auto", "lost", "standard_only", "auto"]),
        ("gemini", ["priority", "flex", "standard", "-"]),
        ("vertex", ["lost", "lost", "-", "-"]),
        ("bedrock", ["priority", "flex", "-", "-"]),
        ("mistral", ["auto", "lost", "standard_only", "auto"]),
        ("cohere", ["lost", "lost", "-", "-"]),
        ("ollama", ["lost", "lost", "-", "-"]),
    ] {
        for asked in [None, Some("flex"), Some("priority"), Some("auto"), Some("scale")] {
            for (tier, word) in ["priority", "flex"].into_iter().zip(words) {
                assert_eq!(told(adapter, Some(tier), asked), word, "{adapter} {tier} {asked:?}");
            }
        }
        for (asked, word) in ["default", "auto"].into_iter().zip(&words[2..]) {
            assert_eq!(told(adapter, Some(""), Some(asked)), *word, "{adapter} {asked}");
        }
    }
}

#[test]
fn another_tier_is_asked_of_no_endpoint_of_the_default_one() {
    for adapter in ADAPTERS.iter().map(|adapter| adapter.name()) {
        for asked in [None, Some("priority"), Some("flex"), Some("fast"), Some("scale"), Some("reserved")] {
            assert_eq!(told(adapter, Some(""), asked), "-", "{adapter} {asked:?}");
        }
    }
}

#[test]
fn without_an_endpoint_the_callers_word_is_handed_on() {
    for (adapter, word) in [
        ("openai", "flex"),
        ("openai_responses", "flex"),
        ("anthropic", "lost"),
        ("gemini", "flex"),
        ("vertex", "lost"),
        ("bedrock", "flex"),
        ("mistral", "lost"),
        ("cohere", "lost"),
        ("ollama", "lost"),
    ] {
        assert_eq!(told(adapter, None, Some("flex")), word, "{adapter}");
    }
}

#[test]
fn speed_that_the_row_has_no_price_for_is_not_bought() {
    let check = |adapter, (name, value): (&str, Value), tier, passes: bool| {
        let encoded = sent(adapter, tier, &json!({ name: value }));
        let body: Value = serde_json::from_slice(&encoded.body).unwrap();
        assert_eq!((body[name] == value, encoded.dropped.is_empty()), (passes, passes), "{adapter} {tier:?}");
    };
    let latency = |word: &str| ("performanceConfig", json!({"latency": word}));
    for tier in [Some(""), Some("priority")] {
        check("anthropic", ("speed", json!("fast")), tier, false);
        check("anthropic", ("speed", json!("standard")), tier, true);
        check("bedrock", latency("optimized"), tier, false);
        check("bedrock", latency("standard"), tier, true);
    }
    check("anthropic", ("speed", json!("fast")), None, true);
    check("bedrock", latency("optimized"), None, true);
}
