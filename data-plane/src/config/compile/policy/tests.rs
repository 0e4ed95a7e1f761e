//! What becomes of a pushed policy: its compiled form, who finds it, and what is refused by which field.

use switchyard_proto::id::TenantId;
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{
    Deadlines, Hedge, MaxPrice, PolicyConfig, PolicyStage, ProviderPreferences, ResourceKind, Tombstone,
    WeightedModel,
};

use crate::config::fixtures::{full, push, resource, tenant};
use crate::config::snapshot::Snapshot;
use crate::config::snapshot::policy::StickyBy;

fn stage(model: &str) -> PolicyStage {
    PolicyStage { models: vec![WeightedModel { model: model.into(), weight: 0 }], ..Default::default() }
}

fn policy(owner: &str, id: &str, priority: i32) -> PolicyConfig {
    PolicyConfig {
        id: id.into(),
        tenant: owner.into(),
        r#match: "request.stream".into(),
        priority,
        stages: vec![stage("a/m")],
        ..Default::default()
    }
}

fn with(policies: impl IntoIterator<Item = PolicyConfig>) -> Snapshot {
    let policies = policies.into_iter().map(|policy| resource(Body::Policy(policy)));
    let compiled = full(tenant().into_iter().chain(policies));
    assert_eq!(compiled.refused, []);
    compiled.snapshot
}

fn acme() -> TenantId {
    TenantId::new("acme")
}

#[test]
fn a_policy_compiles_with_every_default_filled_in() {
    let mut config = policy("", "p", 0);
    config.sticky_by = "user".into();
    config.deadlines = Some(Deadlines { total_ms: Some(9000), idle_ms: Some(1000), ..Default::default() });
    config.stages[0].deadlines = Some(Deadlines { idle_ms: Some(500), ..Default::default() });
    config.stages[0].check = "answer.text != ''".into();
    config.stages[0].provider =
        Some(ProviderPreferences { data_collection: "deny".into(), ..Default::default() });
    config.stages.push(PolicyStage { name: "strong".into(), ..stage("b/m") });
    config.stages[1].models.push(WeightedModel { model: "c/m".into(), weight: 5 });
    let snapshot = with([config]);
    let policy = snapshot.policy(&acme(), "p").unwrap();
    let [first, second] = &policy.stages[..] else { panic!("two stages") };
    assert_eq!(policy.sticky_by, StickyBy::User);
    assert_eq!((first.name.as_str(), second.name.as_str()), ("1", "strong"));
    assert_eq!(first.escalate_on.names().collect::<Vec<_>>(), ["error", "timeout", "check"]);
    assert_eq!((first.deadlines.idle, first.deadlines.total).0.map(|idle| idle.as_millis()), Some(500));
    assert_eq!(second.deadlines.idle.map(|idle| idle.as_millis()), Some(1000));
    assert!(first.preferences.deny_data_collection && first.preferences.allow_fallbacks);
    let weights: Vec<_> = second.models.iter().map(|row| (row.model.as_str(), row.weight)).collect();
    assert_eq!((first.is_weighted, second.is_weighted, weights), (false, true, vec![("b/m", 1), ("c/m", 5)]));
}

#[test]
fn a_tenant_finds_its_own_policy_before_the_operators() {
    let mut hidden = policy("acme", "off", 0);
    hidden.disabled = true;
    let snapshot = with([policy("", "p", 0), policy("", "off", 0), policy("acme", "p", 0), hidden]);
    let owner = |tenant: &str, name: &str| {
        let policy = snapshot.policy(&TenantId::new(tenant), name)?;
        Some(policy.tenant.as_ref().map_or("", TenantId::as_str).to_owned())
    };
    assert_eq!(owner("acme", "p").as_deref(), Some("acme"));
    assert_eq!(owner("other", "p").as_deref(), Some(""));
    assert_eq!(owner("acme", "off"), None, "its own is off");
    assert_eq!(owner("acme", "none"), None);
}

#[test]
fn those_that_match_are_asked_by_priority_then_owner_then_id() {
    let mut by_name = policy("", "by-name", 99);
    by_name.r#match = String::new();
    let mut off = policy("acme", "off", 99);
    off.disabled = true;
    let rows =
        [("", "z", 5), ("", "b", 1), ("acme", "y", 1), ("acme", "x", 1), ("", "a", 1), ("acme", "w", 0)];
    let rows = rows.map(|(owner, id, priority)| policy(owner, id, priority));
    let snapshot = with(rows.into_iter().chain([by_name, off]));
    let order: Vec<_> = snapshot.matching_policies(&acme()).map(|policy| policy.id.as_str()).collect();
    assert_eq!(order, ["z", "x", "y", "a", "b", "w"]);
    let others: Vec<_> =
        snapshot.matching_policies(&TenantId::new("other")).map(|policy| policy.id.as_str()).collect();
    assert_eq!(others, ["z", "a", "b"]);
}

#[test]
fn a_bad_policy_is_refused_by_its_field_and_the_old_form_stays() {
    let before = with([policy("", "p", 7)]);
    let check = |field: &str, says: &str, spoil: fn(&mut PolicyConfig)| {
        let mut bad = policy("", "p", 0);
        bad.stages.push(stage("b/m"));
        bad.disabled = true;
        spoil(&mut bad);
        let next = push(&before, false, [resource(Body::Policy(bad))], 2);
        let refused = &next.refused[0];
        assert_eq!(
            (refused.kind(), refused.id.as_str(), refused.field.as_str()),
            (ResourceKind::ResourcePolicy, "#p", field)
        );
        assert!(refused.reason.contains(says), "{field}: {}", refused.reason);
        let kept = next.snapshot.policies.named(&acme(), "p").unwrap();
        assert_eq!(kept.config.priority, 7);
        assert!(kept.config.disabled, "disabling is never refused");
        assert_eq!(next.snapshot.matching_policies(&acme()).count(), 0);
    };
    check("match", "line 1, column 1", |bad| bad.r#match = "request.colour == 'red'".into());
    check("stages", "at least one", |bad| bad.stages.clear());
    check("sticky_by", "`glue`", |bad| bad.sticky_by = "glue".into());
    check("deadlines.total_ms", "more than 0", |bad| {
        bad.deadlines = Some(Deadlines { total_ms: Some(0), ..Default::default() });
    });
    check("stages[1].when", "line 1, column 5", |bad| bad.stages[1].when = "1 ==".into());
    check("stages[1].check", "not a variable", |bad| bad.stages[1].check = "answer.mood == ''".into());
    check("stages[1].schema", "not JSON", |bad| bad.stages[1].schema = "{".into());
    check("stages[1].schema", "JSON object", |bad| bad.stages[1].schema = "[]".into());
    check("stages[1].models", "at least one", |bad| bad.stages[1].models.clear());
    check("stages[1].models[0]", "a policy", |bad| bad.stages[1].models[0].model = "policy/q".into());
    check("stages[0].escalate_on", "`boredom`", |bad| bad.stages[0].escalate_on = vec!["boredom".into()]);
    check("stages[0].provider.partition", "`half`", |bad| {
        bad.stages[0].provider = Some(ProviderPreferences { partition: "half".into(), ..Default::default() });
    });
    check("stages[0].provider.sort", "`luck`", |bad| {
        bad.stages[0].provider = Some(ProviderPreferences { sort: "luck".into(), ..Default::default() });
    });
    check("stages[0].provider.max_price.prompt", "", |bad| {
        let max_price = Some(MaxPrice { prompt: "cheap".into(), ..Default::default() });
        bad.stages[0].provider = Some(ProviderPreferences { max_price, ..Default::default() });
    });
    check("stages[0].hedge.quantile_permille", "below 1000", |bad| {
        bad.stages[0].hedge =
            Some(Hedge { quantile_permille: 1000, max_rate_permille: 50, ..Hedge::default() });
    });
    check("stages[0].hedge.max_usd", "", |bad| {
        let max_usd = "a dollar".into();
        bad.stages[0].hedge = Some(Hedge { quantile_permille: 900, max_rate_permille: 50, max_usd });
    });
}

#[test]
fn a_policy_of_a_missing_tenant_waits_for_it() {
    let first = full([resource(Body::Policy(policy("acme", "p", 0)))]);
    assert_eq!(first.refused[0].field, "tenant");
    let next = push(&first.snapshot, false, tenant(), 2);
    assert_eq!(next.refused, []);
    assert!(next.snapshot.policy(&acme(), "p").is_some());
}

#[test]
fn tombstones_take_policies_away() {
    let before = with([policy("", "p", 0), policy("acme", "p", 0)]);
    let gone = |id: &str| {
        resource(Body::Tombstone(Tombstone { kind: ResourceKind::ResourcePolicy.into(), id: id.into() }))
    };
    let next = push(&before, false, [gone("acme#p")], 2).snapshot;
    assert!(next.policy(&acme(), "p").unwrap().tenant.is_none());
    let next = push(&next, false, [gone("#p")], 3).snapshot;
    assert!(next.policy(&acme(), "p").is_none());
    assert_eq!(next.policies.all().count(), 0);
}
