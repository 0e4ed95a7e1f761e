//! What becomes of a push: what applies, what is refused by name, and what stays.

use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{
    Budget, DataPolicy, KeyConfig, Price, ProviderConfig, ResourceKind, TenantConfig, Tombstone,
};

use crate::config::fixtures::{SECRET, endpoint, full, model, provider, push, resource, tenant};
use crate::config::snapshot::Snapshot;
use switchyard_proto::key::KeyHash;

fn base() -> Snapshot {
    let catalogue = [
        resource(Body::Provider(provider("p"))),
        resource(Body::Model(model("a/m"))),
        resource(Body::Endpoint(endpoint("a/m", "p", "1"))),
    ];
    let compiled = full(catalogue.into_iter().chain(tenant()));
    assert_eq!(compiled.refused, []);
    compiled.snapshot
}

fn tombstone(kind: ResourceKind, id: &str) -> switchyard_proto::v1::Resource {
    resource(Body::Tombstone(Tombstone { kind: kind.into(), id: id.into() }))
}

#[test]
fn a_bad_resource_keeps_its_old_form_and_the_rest_applies() {
    let mut bad = endpoint("a/m", "p", "1");
    bad.price = Some(Price { input: "cheap".into(), ..Default::default() });
    let next =
        push(&base(), false, [resource(Body::Endpoint(bad)), resource(Body::Model(model("a/new")))], 2);
    let refused = &next.refused[0];
    assert_eq!(
        (next.refused.len(), refused.kind(), refused.id.as_str(), refused.field.as_str()),
        (1, ResourceKind::ResourceEndpoint, "a/m#p", "price.input")
    );
    assert_eq!(
        next.snapshot.model("a/m").unwrap().endpoints[0].tariff.at_ms(0).prices(0).input.per_unit(),
        "0.000001"
    );
    assert!(next.snapshot.model("a/new").is_some());
}

#[test]
fn disabling_is_never_refused() {
    let mut bad = endpoint("a/m", "p", "cheap");
    bad.disabled = true;
    let next = push(&base(), false, [resource(Body::Endpoint(bad))], 2);
    assert!(!next.snapshot.model("a/m").unwrap().endpoints[0].is_enabled());

    let broken =
        KeyConfig { id: "key_1".into(), tenant: "acme".into(), disabled: true, ..Default::default() };
    let next = push(&base(), false, [resource(Body::Key(broken))], 2);
    assert_eq!(next.refused[0].field, "sha256");
    assert!(next.snapshot.keys.get(&KeyHash::of(SECRET)).unwrap().config.disabled);
}

#[test]
fn limits_that_cannot_be_read_leave_the_old_ones_and_keep_what_was_narrowed_beside_them() {
    let tenant = |budget: &str, disabled| {
        let budgets = vec![Budget { window: "daily".into(), usd: budget.into() }];
        let config =
            TenantConfig { id: "acme".into(), name: "new".into(), budgets, disabled, ..Default::default() };
        [resource(Body::Tenant(config))]
    };
    let first = push(&base(), false, tenant("5", false), 2);
    assert_eq!(first.refused, []);
    let next = push(&first.snapshot, false, tenant("much", true), 3);
    assert_eq!((next.refused.len(), next.refused[0].field.as_str()), (1, "budgets.usd"));
    let kept = next.snapshot.tenants.get("acme").unwrap();
    assert!(kept.config.disabled, "narrowing cannot be refused");
    assert_eq!((kept.config.name.as_str(), kept.budgets.len()), ("new", 1));
    assert_eq!(kept.budgets, first.snapshot.tenants.get("acme").unwrap().budgets);
    // What is unreadable cannot widen anything either.
    let again = push(&next.snapshot, false, tenant("much", false), 4);
    assert!(again.snapshot.tenants.get("acme").unwrap().config.disabled);
}

#[test]
fn what_depends_on_a_missing_resource_is_refused_by_name() {
    let next = push(
        &base(),
        false,
        [
            resource(Body::Endpoint(endpoint("a/m", "nobody", "1"))),
            resource(Body::Endpoint(endpoint("a/nothing", "p", "1"))),
            resource(Body::Key(KeyConfig {
                id: "key_2".into(),
                tenant: "nobody".into(),
                ..Default::default()
            })),
        ],
        2,
    );
    let named: Vec<_> =
        next.refused.iter().map(|refused| (refused.id.as_str(), refused.field.as_str())).collect();
    assert_eq!(named, [("a/m#nobody", "provider"), ("a/nothing#p", "model"), ("key_2", "tenant")]);
}

#[test]
fn an_unknown_adapter_is_refused_with_its_name() {
    let mut strange = provider("q");
    strange.adapter = "telepathy".into();
    let next = push(&base(), false, [resource(Body::Provider(strange))], 2);
    assert_eq!(next.refused[0].field, "adapter");
    assert!(next.refused[0].reason.contains("telepathy"));
}

#[test]
fn a_changed_provider_reaches_its_endpoints() {
    let mut moved = provider("p");
    moved.base_url = "https://elsewhere.test/v2/".into();
    let next = push(&base(), false, [resource(Body::Provider(moved))], 2);
    let endpoint = &next.snapshot.model("a/m").unwrap().endpoints[0];
    assert_eq!(
        (endpoint.provider.authority.as_str(), endpoint.provider.path_prefix.as_str()),
        ("elsewhere.test", "/v2")
    );
}

#[test]
fn who_keeps_nothing_says_so_or_retains_no_prompts() {
    for (retains_prompts, zdr, keeps_nothing) in [
        (None, None, false),
        (Some(true), None, false),
        (Some(false), None, true),
        (Some(false), Some(false), false),
        (None, Some(true), true),
        (None, Some(false), false),
    ] {
        let policy = DataPolicy { retains_prompts, zdr, ..DataPolicy::default() };
        let row = ProviderConfig { data_policy: Some(policy), ..provider("p") };
        let next = push(&base(), false, [resource(Body::Provider(row))], 2).snapshot;
        let provider = &next.catalogue.providers["p"];
        assert_eq!(provider.keeps_nothing(), keeps_nothing, "{retains_prompts:?} {zdr:?}");
    }
}

#[test]
fn tombstones_take_away() {
    let gone =
        [tombstone(ResourceKind::ResourceKey, "key_1"), tombstone(ResourceKind::ResourceEndpoint, "a/m#p")];
    let next = push(&base(), false, gone, 2).snapshot;
    assert!(next.keys.is_empty() && next.key_hashes.is_empty());
    assert!(next.model("a/m").unwrap().endpoints.is_empty());
}

#[test]
fn a_full_push_replaces_everything() {
    let next = push(&base(), true, [resource(Body::Model(model("b/other")))], 2).snapshot;
    assert!(next.model("a/m").is_none() && next.keys.is_empty() && next.model("b/other").is_some());
}

#[test]
fn a_rotated_key_is_found_under_its_new_secret_only() {
    let rotated =
        KeyConfig { id: "key_1".into(), tenant: "acme".into(), sha256: vec![7; 32], ..Default::default() };
    let next = push(&base(), false, [resource(Body::Key(rotated))], 2).snapshot;
    assert!(next.keys.get(&KeyHash::of(SECRET)).is_none());
    assert!(next.keys.get(&KeyHash([7; 32])).is_some());
}

#[test]
fn a_bare_name_resolves_only_when_it_is_unique() {
    let mut aliased = model("a/long");
    aliased.aliases = vec!["short".into()];
    let next = push(
        &base(),
        false,
        [
            resource(Body::Model(aliased)),
            resource(Body::Model(model("b/m"))),
            resource(Body::Model(model("b/only"))),
        ],
        2,
    )
    .snapshot;
    assert!(next.model("m").is_none());
    assert_eq!(next.model("only").unwrap().id.as_str(), "b/only");
    assert_eq!(next.model("short").unwrap().id.as_str(), "a/long");
}

#[test]
fn what_was_refused_is_named_until_it_is_mended() {
    let mut bad = endpoint("a/m", "p", "1");
    bad.price = Some(Price { input: "cheap".into(), ..Default::default() });
    let first = push(&base(), false, [resource(Body::Endpoint(bad))], 2);
    let second = push(&first.snapshot, false, [resource(Body::Model(model("a/other")))], 3);
    assert_eq!(second.refused.len(), 1, "still refused");
    let third = push(&second.snapshot, false, [resource(Body::Endpoint(endpoint("a/m", "p", "2")))], 4);
    assert_eq!(third.refused, []);
    let gone = push(&second.snapshot, false, [tombstone(ResourceKind::ResourceEndpoint, "a/m#p")], 4);
    assert_eq!(gone.refused, []);
}

#[test]
fn what_lacked_a_parent_comes_up_with_it() {
    let orphan = push(&base(), false, [resource(Body::Endpoint(endpoint("a/m", "late", "1")))], 2);
    assert_eq!(orphan.refused.len(), 1);
    let joined = push(&orphan.snapshot, false, [resource(Body::Provider(provider("late")))], 3);
    assert_eq!(joined.refused, []);
    assert_eq!(joined.snapshot.model("a/m").unwrap().endpoints.len(), 2);
}
