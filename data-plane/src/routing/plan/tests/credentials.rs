//! Whose credential a candidate is called with.

use serde_json::json;

use crate::routing::health::{Reading, State};
use crate::routing::tests::{excluded, order, out, world};

#[test]
fn filters_decide_for_which_requests_a_credential_is() {
    let base = || world(&[("m", "p", "1")]);
    for (name, world, is_used) in [
        ("model", base().own("k", "p", |row| row.allowed_models = vec!["m".into()]), true),
        ("other model", base().own("k", "p", |row| row.allowed_models = vec!["n".into()]), false),
        ("key", base().own("k", "p", |row| row.allowed_keys = vec!["key_1".into()]), true),
        ("other key", base().own("k", "p", |row| row.allowed_keys = vec!["key_2".into()]), false),
        ("user", base().own("k", "p", |row| row.allowed_users = vec!["ada".into()]), true),
        ("other user", base().own("k", "p", |row| row.allowed_users = vec!["bob".into()]), false),
        ("disabled", base().own("k", "p", |row| row.disabled = true), false),
        ("without a secret", base().own("k", "p", |row| row.secret.clear()), false),
    ] {
        let order = world.ask(json!({"user": "ada"})).order();
        let expected: &[&str] = if is_used { &["m@p+k", "m@p"] } else { &["m@p"] };
        assert_eq!(order, expected, "{name}");
    }
}

#[test]
fn required_holds_without_a_secret_and_only_where_the_credential_covers() {
    let world = world(&[("m", "p", "1"), ("m", "q", "1"), ("n", "p", "1")])
        .own("k", "p", |row| (row.required, row.allowed_models) = (true, vec!["m".into()]))
        .provider("q", |_| {});
    let plan = world.ask(json!({"provider": {"sort": "price"}})).plan().unwrap();
    assert_eq!(
        (order(&plan), excluded(&plan)),
        (vec!["m@p+k".to_owned(), "m@q".to_owned()], vec![("p".to_owned(), "byok_required")])
    );
    assert_eq!(world.ask(json!({"model": "n"})).order(), ["n@p"]);
    let gone = world.own("k", "p", |row| (row.required, row.secret) = (true, String::new()));
    assert_eq!(gone.ask(json!({"provider": {"only": ["p"]}})).refusal().code.status(), 404);
}

#[test]
fn own_goes_first_whatever_is_cheaper_or_was_out_lately() {
    let world = world(&[("m", "cheap", "1"), ("m", "dear", "9")]).own("k", "dear", |_| {});
    for fields in [json!({}), json!({"provider": {"sort": "price"}})] {
        assert_eq!(world.ask(fields).read("dear", out()).order()[0], "m@dear+k");
    }
}

#[test]
fn what_may_not_be_tried_goes_behind_everybody() {
    let world = world(&[("m", "a", "1"), ("m", "b", "9"), ("n", "c", "1")]).own("k", "a", |_| {});
    let orders = [
        (State::Open { until_ms: 9 }, ["m@b", "n@c", "m@a+k", "m@a"]),
        // A limit of everybody's says nothing of who brings a credential of its own.
        (State::Limited { until_ms: 9 }, ["m@a+k", "m@b", "n@c", "m@a"]),
    ];
    for (state, order) in orders {
        let ask = world.ask(json!({"models": ["n"]})).read("a", Reading { state, ..Reading::default() });
        assert_eq!(ask.order(), order, "{state:?}");
    }
    let half = Reading { state: State::HalfOpen, ..Reading::default() };
    let ask = world.ask(json!({})).read("a", half);
    assert_eq!(ask.order(), ["m@a+k", "m@b", "m@a"]);
}

#[test]
fn a_credential_that_is_not_taken_goes_last() {
    let world = world(&[("m", "p", "1")]).own("k1", "p", |_| {}).own("k2", "p", |row| row.order = 1);
    let ask = world.ask(json!({}));
    let usable = |own: &crate::config::snapshot::TenantCredential| own.id.as_str() != "k1";
    let plan = ask
        .with(|inputs| {
            let inputs = crate::routing::inputs::Inputs { usable: &usable, ..inputs };
            crate::routing::plan::plan(&ask.config, &inputs)
        })
        .unwrap();
    assert_eq!(order(&plan), ["m@p+k2", "m@p", "m@p+k1"]);
}
