//! What tells conversations apart, and how many are remembered.

use serde_json::{Value, json};

use super::*;
use crate::routing::tests::{request, world};

fn of(stickiness: &Stickiness, tenant: &str, fields: Value, session: Option<&str>) -> Conversation {
    stickiness.conversation(&TenantId::new(tenant), &request(fields), session).expect("a conversation")
}

fn turns(texts: &[&str]) -> Value {
    let role = |at: usize| ["system", "user", "assistant"][if at == 0 { 0 } else { 1 + (at + 1) % 2 }];
    let turn = |(at, text): (usize, &&str)| json!({"role": role(at), "content": text});
    json!({"messages": texts.iter().enumerate().map(turn).collect::<Vec<_>>()})
}

#[test]
fn a_conversation_is_told_by_session_then_key_then_beginning() {
    let memory = Stickiness::default();
    let first = of(&memory, "t", turns(&["s", "hi"]), None);
    assert_eq!(first, of(&memory, "t", turns(&["s", "hi", "hello", "more"]), None));
    for (what, other) in [
        ("tenant", of(&memory, "u", turns(&["s", "hi"]), None)),
        ("instructions", of(&memory, "t", turns(&["other", "hi"]), None)),
        ("first message", of(&memory, "t", turns(&["s", "ho"]), None)),
        ("model", {
            let mut fields = turns(&["s", "hi"]);
            fields["model"] = json!("n");
            of(&memory, "t", fields, None)
        }),
    ] {
        assert_ne!(first, other, "{what}");
    }
    let session = |text| of(&memory, "t", turns(&["s", text]), Some("one"));
    assert_eq!(session("hi"), session("ho"));
    let keyed = |text: &str| {
        let mut fields = turns(&["s", text]);
        fields["prompt_cache_key"] = json!("one");
        of(&memory, "t", fields, None)
    };
    assert_eq!(keyed("hi"), keyed("ho"));
    assert_ne!(keyed("hi").hash, session("hi").hash);
}

#[test]
fn a_prompt_without_a_first_message_is_no_conversation() {
    let memory = Stickiness::default();
    let only_system = request(json!({"messages": [{"role": "system", "content": "s"}]}));
    assert_eq!(memory.conversation(&TenantId::new("t"), &only_system, None), None);
}

#[test]
fn a_cache_that_was_paid_for_an_hour_is_remembered_for_an_hour() {
    let cheaper = |row: &mut switchyard_proto::v1::EndpointConfig| {
        row.price.as_mut().unwrap().cached_input = "0.1".into();
    };
    let config = world(&[("m", "a", "1")]).at("a", cheaper).snapshot();
    let endpoint = &config.model("m").unwrap().endpoints[0];
    let memory = Stickiness::default();
    for (fields, minutes) in [
        (json!({}), 10),
        (json!({"cache_control": {"type": "ephemeral", "ttl": "1h"}}), 60),
        (
            json!({"messages": [{"role": "user", "content": [
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}]}),
            60,
        ),
    ] {
        let conversation = of(&memory, "t", fields, Some("s"));
        memory.tell(conversation, endpoint, 0, 0);
        let until = minutes * 60_000;
        let (before, after) = (memory.hint(conversation, until - 1), memory.hint(conversation, until));
        assert_eq!((before.is_some(), after.is_some()), (true, false), "{minutes}");
    }
}

#[test]
fn the_memory_is_bounded_and_forgets_the_oldest() {
    let mut shard = Shard::default();
    let entry = || {
        use switchyard_proto::id::{EndpointId, ModelId};
        Entry { at: Sticky { model: ModelId::new("m"), endpoint: EndpointId::new("e") }, until_ms: 1 }
    };
    for hash in 0..5 * MOST as u64 {
        shard.put(hash, entry());
    }
    assert!(shard.young.len() + shard.old.len() <= 2 * MOST);
    assert!(shard.young.contains_key(&(5 * MOST as u64 - 1)) && !shard.young.contains_key(&0));
}
