//! Which model the automatic one is: by policy, by price and age, narrowed by patterns.

use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{EndpointConfig, ModelConfig, PolicyConfig, PolicyStage, Resource, WeightedModel};

use super::*;
use crate::config::fixtures::{caller, endpoint, full, model, provider, resource, tenant};

/// Models at rising prices; `new` is the newest of them.
fn models() -> Vec<Resource> {
    let mut rows: Vec<Resource> =
        tenant().into_iter().chain([resource(Body::Provider(provider("p")))]).collect();
    for (id, dollars, created) in [
        ("a/one", "1", 1),
        ("a/two", "2", 2),
        ("b/three", "3", 3),
        ("b/four", "4", 4),
        ("c/five", "5", 5),
        ("c/new", "2.5", 9),
    ] {
        let created = Some(prost_types::Timestamp { seconds: created, nanos: 0 });
        rows.push(resource(Body::Model(ModelConfig { created, ..model(id) })));
        rows.push(resource(Body::Endpoint(endpoint(id, "p", dollars))));
    }
    let off = ModelConfig { disabled: true, ..model("z/off") };
    let vectors = ModelConfig { output_modalities: vec!["embeddings".into()], ..model("z/vectors") };
    let nobody = EndpointConfig { disabled: true, ..endpoint("z/nobody", "p", "1") };
    rows.extend([Body::Model(off), Body::Model(vectors), Body::Model(model("z/nobody"))].map(resource));
    let at_work = ["z/off", "z/vectors"].map(|id| resource(Body::Endpoint(endpoint(id, "p", "1"))));
    rows.extend(at_work);
    rows.push(resource(Body::Endpoint(nobody)));
    rows
}

fn policy(tenant: &str, models: &[&str]) -> Resource {
    let row = |model: &&str| WeightedModel { model: (*model).to_owned(), weight: 0 };
    let stages = models
        .chunks(1)
        .map(|models| PolicyStage { models: models.iter().map(row).collect(), ..Default::default() });
    resource(Body::Policy(PolicyConfig {
        id: "auto".into(),
        tenant: tenant.into(),
        stages: stages.collect(),
        ..Default::default()
    }))
}

fn chosen(rows: Vec<Resource>, narrowing: &Narrowing) -> Result<Vec<String>, String> {
    let compiled = full(rows);
    assert_eq!(compiled.refused, []);
    let caller = caller(&compiled.snapshot);
    choose(&compiled.snapshot, &caller, narrowing, 0).map_err(|error| error.code.error_type().to_owned())
}

fn narrowed(allowed: &[&str], excluded: &[&str], tier: Tier) -> Narrowing {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Narrowing { allowed: names(allowed), excluded: names(excluded), tier }
}

#[test]
fn without_a_policy_the_wanted_fifth_goes_first_and_in_it_the_newest() {
    for (tier, expected) in [
        // By price: one, two | new | three | four | five.
        (Tier::Low, ["a/two", "a/one", "c/new", "b/three", "b/four", "c/five"]),
        (Tier::Medium, ["c/new", "b/three", "a/two", "a/one", "b/four", "c/five"]),
        (Tier::Max, ["c/five", "b/four", "b/three", "c/new", "a/two", "a/one"]),
    ] {
        assert_eq!(chosen(models(), &narrowed(&[], &[], tier)).unwrap(), expected, "{tier:?}");
    }
}

#[test]
fn a_request_narrows_the_choice_by_patterns() {
    for (allowed, excluded, expected) in [
        (&["a/*"][..], &[][..], Ok(&["a/one", "a/two"][..])),
        (&["*/t*"], &[], Ok(&["a/two", "b/three"])),
        (&[], &["b/*", "c/*"], Ok(&["a/one", "a/two"])),
        (&["b/four"], &[], Ok(&["b/four"])),
        (&["z/*"], &[], Err("not_found")),
        (&["a/*"], &["*"], Err("not_found")),
    ] {
        let found = chosen(models(), &narrowed(allowed, excluded, Tier::Low)).map(|mut found| {
            found.sort();
            found
        });
        let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(found, expected.map_err(str::to_owned), "{allowed:?} {excluded:?}");
    }
}

#[test]
fn a_policy_of_the_name_decides_the_tenants_before_the_operators() {
    let with = |policies: Vec<Resource>| models().into_iter().chain(policies).collect::<Vec<_>>();
    let all = narrowed(&[], &[], Tier::Medium);
    for policies in [vec![policy("", &["a/one"])], vec![policy("", &["a/one"]), policy("acme", &["c/five"])]]
    {
        assert_eq!(chosen(with(policies), &all).unwrap(), ["policy/auto"]);
    }
    let own =
        vec![policy("", &["a/one"]), policy("acme", &["c/five", "nowhere/x", "b/four", "a/two", "b/four"])];
    let some = narrowed(&["b/*", "c/*"], &[], Tier::Medium);
    assert_eq!(chosen(with(own), &some).unwrap(), ["c/five", "b/four"]);
}

#[test]
fn patterns_fit_whole_names() {
    for (pattern, name, expected) in [
        ("a/b", "a/b", true),
        ("a/b", "a/bc", false),
        ("a/*", "a/b", true),
        ("a/*", "b/a/", false),
        ("*", "a/b", true),
        ("*/claude-*", "anthropic/claude-5", true),
        ("*claude*5", "anthropic/claude-4.5", true),
        ("*claude*5", "anthropic/claude-5-mini", false),
        ("ab*b", "ab", false),
        ("", "a", false),
    ] {
        assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
    }
}
