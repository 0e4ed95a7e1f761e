//! Tenants' own credentials: their order, what is refused, and what of a refused one holds.

use std::sync::Arc;

use switchyard_proto::id::TenantId;
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{ResourceKind, TenantConfig, TenantCredentialConfig, Tombstone};

use crate::config::compile::Compiled;
use crate::config::fixtures::{credential, full, provider, push, resource, tenant};
use crate::config::snapshot::{Snapshot, TenantCredential};

fn with(credentials: impl IntoIterator<Item = TenantCredentialConfig>) -> Compiled {
    let providers = ["p", "q"].map(|id| resource(Body::Provider(provider(id))));
    let credentials = credentials.into_iter().map(|row| resource(Body::Credential(row)));
    full(providers.into_iter().chain(tenant()).chain(credentials))
}

fn base() -> Snapshot {
    let compiled = with([credential("mine", "p")]);
    assert_eq!(compiled.refused, []);
    compiled.snapshot
}

fn acmes(snapshot: &Snapshot) -> &[Arc<TenantCredential>] {
    snapshot.credentials(&TenantId::new("acme"))
}

/// What the credential `mine` is signed with.
fn secret(snapshot: &Snapshot) -> Option<&str> {
    let mine = acmes(snapshot).iter().find(|row| row.id.as_str() == "mine")?;
    mine.secret.as_ref().map(|secret| secret.secret.expose())
}

#[test]
fn a_tenants_credentials_are_in_the_order_of_use() {
    let row = |id: &str, fallback, order| TenantCredentialConfig { fallback, order, ..credential(id, "p") };
    let given = [row("last", true, -1), row("c", false, 2), row("b", false, 1), row("a", false, 2)];
    let snapshot = with(given).snapshot;
    let ids: Vec<_> = acmes(&snapshot).iter().map(|row| row.full_id()).collect();
    assert_eq!(ids, ["acme#b", "acme#a", "acme#c", "acme#last"]);
    assert!(snapshot.credentials(&TenantId::new("nobody")).is_empty());
}

#[test]
fn a_tenants_secret_is_marked_as_the_tenants() {
    let snapshot = base();
    let secret = acmes(&snapshot)[0].secret.as_ref().unwrap();
    assert_eq!((&*secret.id, secret.tenant.as_ref().map(TenantId::as_str)), ("acme#mine", Some("acme")));
}

#[test]
fn a_bad_credential_is_refused_by_its_field() {
    let fine = || credential("new", "p");
    let mut foreign = provider("theirs");
    foreign.tenant = "globex".into();
    for (row, field) in [
        (TenantCredentialConfig { tenant: "nobody".into(), ..fine() }, "tenant"),
        (TenantCredentialConfig { provider: "nobody".into(), ..fine() }, "provider"),
        (credential("new", "theirs"), "provider"),
        (TenantCredentialConfig { secret: "ambient".into(), ..fine() }, "secret"),
        (TenantCredentialConfig { secret: "adc".into(), ..fine() }, "secret"),
        (TenantCredentialConfig { origin: "http://elsewhere.test".into(), ..fine() }, "origin"),
    ] {
        let theirs = resource(Body::Provider(foreign.clone()));
        let next = push(&base(), false, [theirs, resource(Body::Credential(row.clone()))], 2);
        let named: Vec<_> = next.refused.iter().map(|one| (one.kind(), one.field.as_str())).collect();
        assert_eq!(named, [(ResourceKind::ResourceCredential, field)], "{row:?}");
        assert_eq!(next.refused[0].id, format!("{}#new", row.tenant));
        assert_eq!(acmes(&next.snapshot).len(), 1, "the rest stays");
    }
}

#[test]
fn a_change_leaves_the_snapshot_before_as_it_was() {
    let before = base();
    let other = TenantConfig { id: "globex".into(), ..Default::default() };
    let theirs = TenantCredentialConfig { tenant: "globex".into(), ..credential("theirs", "p") };
    let rows = [resource(Body::Tenant(other)), resource(Body::Credential(theirs))];
    let next = push(&before, false, rows, 2).snapshot;
    assert_eq!((before.credentials.len(), next.credentials.len()), (1, 2));
    assert!(Arc::ptr_eq(&acmes(&before)[0], &acmes(&next)[0]), "what did not change is shared");
}

#[test]
fn a_secret_for_a_providers_new_address_never_reaches_the_old_one() {
    let mut moved = provider("p");
    (moved.base_url, moved.adapter) = ("http://new.test".into(), "telepathy".into());
    let row = TenantCredentialConfig {
        secret: "sk-new".into(),
        origin: "http://new.test".into(),
        ..credential("mine", "p")
    };
    let rows = [resource(Body::Provider(moved)), resource(Body::Credential(row))];
    let next = push(&base(), false, rows, 2);
    assert_eq!(secret(&next.snapshot), Some("sk-mine"), "the old form stays with the old address");

    let mut mended = provider("p");
    mended.base_url = "http://new.test/v1".into();
    let next = push(&next.snapshot, false, [resource(Body::Provider(mended))], 3);
    assert_eq!((next.refused, secret(&next.snapshot)), (vec![], Some("sk-new")), "it was tried again");
}

#[test]
fn what_a_refused_credential_narrows_holds_all_the_same() {
    let mut moved = provider("p");
    moved.base_url = "http://new.test".into();
    let stale = TenantCredentialConfig { disabled: true, required: true, ..credential("mine", "p") };
    let rows = [resource(Body::Provider(moved)), resource(Body::Credential(stale))];
    let next = push(&base(), false, rows, 2);
    assert_eq!(next.refused[0].field, "origin");
    let kept = &acmes(&next.snapshot)[0];
    assert!(kept.disabled && kept.required && kept.secret.is_none(), "{kept:?}");
}

#[test]
fn one_without_its_secret_still_requires() {
    let row = TenantCredentialConfig { secret: String::new(), required: true, ..credential("mine", "p") };
    let next = push(&base(), false, [resource(Body::Credential(row))], 2);
    assert_eq!(next.refused, []);
    assert!(acmes(&next.snapshot)[0].required && secret(&next.snapshot).is_none());
}

#[test]
fn a_tombstone_takes_a_credential_away_and_its_refusal_too() {
    let bad = TenantCredentialConfig { provider: "nobody".into(), ..credential("bad", "p") };
    let refused = push(&base(), false, [resource(Body::Credential(bad))], 2);
    let gone = ["acme#mine", "acme#bad", "acme#never"].map(|id| {
        let kind = ResourceKind::ResourceCredential.into();
        resource(Body::Tombstone(Tombstone { kind, id: id.into() }))
    });
    let next = push(&refused.snapshot, false, gone, 3);
    assert_eq!(next.refused, []);
    assert!(next.snapshot.credentials.is_empty() && next.snapshot.pending.is_empty());
}

#[test]
fn a_snapshot_does_not_print_secrets() {
    let canary = TenantCredentialConfig { secret: "canary-51c0".into(), ..credential("mine", "p") };
    let bad = TenantCredentialConfig { provider: "nobody".into(), ..canary.clone() };
    let snapshot = with([canary, TenantCredentialConfig { id: "bad".into(), ..bad }]).snapshot;
    assert!(!format!("{snapshot:?}").contains("canary-51c0"));
}
