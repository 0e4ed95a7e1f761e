//! How models are addressed.

use prost_types::Timestamp;
use serde_json::json;

use crate::routing::names::Address;
use crate::routing::tests::{World, excluded, order, world};

fn check(world: &World, model: &str, expected: &[&str]) {
    assert_eq!(
        world.ask(json!({"model": model, "provider": {"sort": "price"}})).order(),
        expected,
        "{model}"
    );
}

#[test]
fn free_is_a_model_of_its_own_or_endpoints_without_a_price() {
    let rows = [("a/m", "free", "0"), ("a/m", "paid", "1"), ("a/n", "paid", "1"), ("a/n:free", "free", "0")];
    let world = world(&rows);
    check(&world, "a/m:free", &["a/m@free"]);
    check(&world, "a/n:free", &["a/n:free@free"]);
    let plan = world.ask(json!({"model": "a/m:free"})).plan().unwrap();
    assert_eq!(excluded(&plan), [("paid".to_owned(), "free")]);
}

#[test]
fn suffixes_stack_and_the_last_order_counts() {
    let world = world(&[("a/m", "x", "2"), ("a/m", "y", "0"), ("a/m", "z", "1")]);
    check(&world, "a/m:nitro:floor", &["a/m@y", "a/m@z", "a/m@x"]);
    check(&world, "a/m:nitro:free", &["a/m@y"]);
    assert_eq!(world.ask(json!({"model": "a/m:floor"})).order(), ["a/m@y", "a/m@z", "a/m@x"]);
}

#[test]
fn a_colon_may_be_part_of_a_name() {
    let world = world(&[("local/llama3:8b", "x", "1")]);
    check(&world, "local/llama3:8b", &["local/llama3:8b@x"]);
    check(&world, "local/llama3:8b:floor", &["local/llama3:8b@x"]);
}

#[test]
fn an_unknown_suffix_is_named() {
    let error = world(&[("a/m", "x", "1")]).ask(json!({"model": "a/m:free:quick"})).refusal();
    assert_eq!(error.code.status(), 400);
    assert_eq!(error.metadata["availability"]["code"], "model_not_found");
    assert!(error.public.contains("`a/m:free:quick` is not a valid model ID"), "{}", error.public);
    assert!(error.public.contains("suffix `:quick`"), "{}", error.public);
}

#[test]
fn latest_is_the_newest_of_the_family_that_the_caller_sees() {
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let family = || {
        world(&[
            ("a/son-3", "x", "1"),
            ("a/son-4", "x", "1"),
            ("a/son-4:free", "x", "0"),
            ("a/son-5", "x", "1"),
            ("a/sonnet", "x", "1"),
        ])
        .model("a/son-3", |row| row.created = at(300))
        .model("a/son-4", |row| row.created = at(400))
        .model("a/son-4:free", |row| row.created = at(450))
        .model("a/son-5", |row| (row.created, row.disabled) = (at(500), true))
        .model("a/sonnet", |row| row.created = at(900))
    };
    let plan = family().ask(json!({"model": "~a/son-latest"})).plan().unwrap();
    assert_eq!((order(&plan), plan.strategy), (vec!["a/son-4@x".to_owned()], Address::Latest));
    check(&family(), "~a/son-latest:floor", &["a/son-4@x"]);
    let allowed = family().tenant(|row| row.allowed_models = vec!["a/son-3".into(), "a/sonnet".into()]);
    check(&allowed, "~a/son-latest", &["a/son-3@x"]);
    let error = family().ask(json!({"model": "~a/daughter-latest"})).refusal();
    assert_eq!(error.code.status(), 400);
}

#[test]
fn bare_names_and_aliases_lead_to_their_model() {
    let world = world(&[("a/m", "x", "1")]).model("a/m", |row| row.aliases = vec!["old/m".into()]);
    for (name, address) in [("a/m", Address::Direct), ("old/m", Address::Alias), ("m", Address::Alias)] {
        let plan = world.ask(json!({"model": name})).plan().unwrap();
        assert_eq!((order(&plan), plan.strategy), (vec!["a/m@x".to_owned()], address), "{name}");
    }
}

#[test]
fn models_that_a_tenant_may_not_use_are_refused_by_name() {
    let world =
        world(&[("a/m", "x", "1"), ("b/n", "x", "1")]).tenant(|row| row.allowed_models = vec!["b/*".into()]);
    let error = world.ask(json!({"model": "a/m"})).refusal();
    assert_eq!((error.code.status().as_u16(), error.public.contains("`a/m`")), (403, true));
    check(&world, "b/n", &["b/n@x"]);
}
