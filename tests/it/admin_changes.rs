//! What every change leaves behind: a revision, an audit entry, a notification; tokens; and a database that is gone.

use std::{sync::Arc, time::Duration};

use prost_types::FieldMask;
use sqlx::postgres::PgListener;
use switchyard_control_plane::{
    auth::{self, Actor},
    crypto::{Crypto, master::MasterKey},
    domain::{
        fleet::Instance,
        meta::Revision,
        page::{ByAge, Page},
        tenant::Draft,
    },
    error::ServiceError,
    service::{self, State},
    store::{
        revision::{self, Change},
        schema,
    },
};
use switchyard_proto::{
    clock,
    id::TenantId,
    key::{self, TOKEN_PREFIX},
    seal,
    secret::Secret,
    v1,
};
use switchyard_tests::{
    admin::{self, ADAPTERS, AdminPort, ScriptedFleet},
    postgres,
};
use tonic::Code;

async fn entries(port: &AdminPort) -> Vec<v1::Entry> {
    let listed: v1::ListEntriesResponse =
        port.call("AuditService/ListEntries", &v1::ListEntriesRequest::default()).await.unwrap();
    listed.entries
}

#[tokio::test]
async fn every_change_is_in_the_audit_with_its_revision() {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    let made = port.key("acme", "ci").await.unwrap();
    let key = made.key.unwrap();
    let update = v1::UpdateKeyRequest {
        tenant: "acme".to_owned(),
        id: key.id.clone(),
        key: Some(v1::Key { name: "cd".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let updated: v1::Key = port.call("KeyService/UpdateKey", &update).await.unwrap();
    let delete = v1::DeleteKeyRequest { tenant: "acme".to_owned(), id: key.id.clone(), revision: 0 };
    port.call::<_, v1::DeleteKeyResponse>("KeyService/DeleteKey", &delete).await.unwrap();
    let entries = entries(&port).await;
    let shown: Vec<(&str, &str, &str, u64)> = entries
        .iter()
        .map(|entry| (entry.action.as_str(), entry.noun.as_str(), entry.tenant.as_str(), entry.revision))
        .collect();
    let last = updated.revision;
    let expected = [
        ("delete", "key", "acme", last + 1),
        ("update", "key", "acme", last),
        ("create", "key", "acme", last - 1),
        ("create", "tenant", "acme", last - 2),
        ("create", "token", "", last - 3),
    ];
    assert_eq!(shown, expected);
    assert_eq!(entries[1].change, r#"{"name":{"after":"cd","before":"ci"}}"#);
    assert!(entries[..4].iter().all(|entry| entry.actor.starts_with("tok_")));
    assert_eq!(entries[4].actor, "system:init");
    assert!(entries.iter().all(|entry| !entry.change.contains(&made.secret)));
}

#[tokio::test]
async fn a_change_wakes_whoever_listens_with_its_revision() {
    let port = AdminPort::start().await.unwrap();
    let mut listener = PgListener::connect_with(&port.pool).await.unwrap();
    listener.listen(revision::CHANNEL).await.unwrap();
    let tenant = port.tenant("acme").await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(10), listener.recv()).await.unwrap().unwrap();
    assert_eq!(heard.payload(), tenant.revision.to_string());
}

#[tokio::test]
async fn revisions_are_drawn_in_commit_order() {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    let names: Vec<String> = (0..12).map(|index| format!("k{index}")).collect();
    let calls = names.iter().map(|name| port.key("acme", name));
    let made = futures_util::future::join_all(calls).await;
    let mut revisions: Vec<u64> = made.into_iter().map(|made| made.unwrap().key.unwrap().revision).collect();
    revisions.sort_unstable();
    let first = revisions[0];
    assert_eq!(revisions, (first..first + 12).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_change_that_is_dropped_has_not_happened() {
    let port = AdminPort::start().await.unwrap();
    let mut change = Change::begin(&port.pool, "tok_test").await.unwrap();
    let id = TenantId::new("acme");
    let rights = service::tenant::Rights::of(&operator(), &id).unwrap();
    service::tenant::create_in(&mut change, &rights, &id, (Draft::default(), None)).await.unwrap();
    drop(change);
    let tenants: v1::ListTenantsResponse =
        port.call("TenantService/ListTenants", &v1::ListTenantsRequest::default()).await.unwrap();
    assert!(tenants.tenants.is_empty());
}

fn operator() -> Actor {
    Actor::system("test")
}

fn state(port: &AdminPort) -> State {
    State {
        pool: port.pool.clone(),
        crypto: port.crypto.clone(),
        fleet: port.fleet.clone(),
        adapters: ADAPTERS.into(),
    }
}

#[tokio::test]
async fn what_the_file_made_and_somebody_else_edited_has_drifted() {
    let port = AdminPort::start().await.unwrap();
    let id = TenantId::new("acme");
    let rights = service::tenant::Rights::of(&operator(), &id).unwrap();
    let mut change = Change::begin(&port.pool, "tok_test").await.unwrap().owned_by("file");
    service::tenant::create_in(&mut change, &rights, &id, (Draft::default(), None)).await.unwrap();
    change.commit().await.unwrap();
    let read = async || service::tenant::get(&state(&port), &operator(), &id).await.unwrap().tenant;
    assert_eq!((read().await.meta.managed_by.as_str(), read().await.meta.has_drifted()), ("file", false));
    let update = v1::UpdateTenantRequest {
        id: "acme".to_owned(),
        tenant: Some(v1::Tenant { name: "Acme".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let updated: v1::Tenant = port.call("TenantService/UpdateTenant", &update).await.unwrap();
    assert_eq!(updated.managed_by, "file");
    assert!(read().await.meta.has_drifted());
    // The file wins, and owns it again.
    let mut change = Change::begin(&port.pool, "tok_test").await.unwrap().owned_by("file");
    let tenant = read().await;
    service::tenant::update_in(&mut change, &rights.write, tenant, Draft::default()).await.unwrap();
    change.commit().await.unwrap();
    assert!(!read().await.meta.has_drifted());
}

#[tokio::test]
async fn old_tombstones_go_and_who_holds_less_needs_a_full_state() {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    port.key("acme", "ci").await.unwrap();
    let delete = v1::DeleteTenantRequest { id: "acme".to_owned(), revision: 0 };
    port.call::<_, v1::DeleteTenantResponse>("TenantService/DeleteTenant", &delete).await.unwrap();
    let from = async || -> i64 {
        sqlx::query_scalar("SELECT tombstones_from FROM config_state").fetch_one(&port.pool).await.unwrap()
    };
    assert_eq!(revision::purge(&port.pool, clock::now() - revision::TOMBSTONES_KEPT).await.unwrap(), 0);
    assert_eq!(from().await, 0);
    assert_eq!(revision::purge(&port.pool, clock::now() + Duration::from_secs(60)).await.unwrap(), 2);
    let newest: v1::FleetRevision =
        port.call("FleetService/GetRevision", &v1::GetRevisionRequest {}).await.unwrap();
    assert_eq!(from().await, i64::try_from(newest.revision.unwrap().number).unwrap());
}

#[tokio::test]
async fn the_first_token_is_made_once() {
    let port = AdminPort::start().await.unwrap();
    assert!(service::token::init(&port.pool).await.unwrap().is_none());
    let tokens: v1::ListTokensResponse =
        port.call("TokenService/ListTokens", &v1::ListTokensRequest::default()).await.unwrap();
    let first = &tokens.tokens[0];
    assert_eq!((tokens.tokens.len(), first.role()), (1, v1::Role::Operator));
    assert!(first.last_used_at.is_some());
}

#[tokio::test]
async fn only_one_of_two_first_tokens_is_made() {
    let database = postgres::database(&schema::migrations()).await.unwrap();
    let pool = admin::pool(&database.url).unwrap();
    let (one, two) = tokio::join!(service::token::init(&pool), service::token::init(&pool));
    assert!(one.unwrap().is_some() != two.unwrap().is_some());
}

#[tokio::test]
async fn tokens_are_changed_and_refused_by_field() {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    let make = async |token: v1::Token| {
        let request = v1::CreateTokenRequest { token: Some(token) };
        port.call::<_, v1::CreateTokenResponse>("TokenService/CreateToken", &request).await
    };
    let token = |name: &str, role: v1::Role, tenant: &str| v1::Token {
        name: name.to_owned(),
        role: role.into(),
        tenant: tenant.to_owned(),
        ..Default::default()
    };
    for (token, message) in [
        (token("", v1::Role::Viewer, ""), "token.name is required"),
        (token("t", v1::Role::Unspecified, ""), "token.role is required"),
        (token("t", v1::Role::TenantAdmin, ""), "token.tenant is required for a tenant admin"),
        (token("t", v1::Role::Operator, "acme"), "token.tenant must be empty for an operator"),
        (token("t", v1::Role::TenantAdmin, "nobody"), "token.tenant names unknown tenant `nobody`"),
    ] {
        let refused = make(token).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, message));
    }
    let made = make(token("t", v1::Role::Viewer, "acme")).await.unwrap();
    assert!(key::is_well_formed_token(&made.secret) && made.secret.starts_with(TOKEN_PREFIX));
    let made_token = made.token.unwrap();
    let update = v1::UpdateTokenRequest {
        id: made_token.id.clone(),
        token: Some(v1::Token { disabled: true, ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["disabled".to_owned()] }),
        revision: made_token.revision,
    };
    port.call::<_, v1::Token>("TokenService/UpdateToken", &update).await.unwrap();
    let list = v1::ListTenantsRequest::default();
    let refused =
        port.call_as::<_, v1::ListTenantsResponse>(&made.secret, "TenantService/ListTenants", &list).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(
        port.call::<_, v1::Token>("TokenService/UpdateToken", &update).await.unwrap_err().code(),
        Code::Aborted
    );
}

#[tokio::test]
async fn the_fleet_is_shown_with_its_lag() {
    let port = AdminPort::start().await.unwrap();
    let newest: v1::FleetRevision =
        port.call("FleetService/GetRevision", &v1::GetRevisionRequest {}).await.unwrap();
    let newest = newest.revision.unwrap();
    let instance = |id: &str, attached, number| Instance {
        id: id.to_owned(),
        version: "0.1.0".to_owned(),
        region: "eu".to_owned(),
        attached,
        epoch: 1,
        sent: None,
        applied: Some(Revision { incarnation: newest.incarnation.clone(), number }),
        refused: Vec::new(),
        last_seen: None,
        attached_at: None,
        apply_ms: 3,
    };
    port.fleet.set_instances(vec![
        instance("c", true, newest.number),
        instance("a", true, newest.number - 1),
        instance("b", false, newest.number),
    ]);
    let progress: v1::FleetRevision =
        port.call("FleetService/GetRevision", &v1::GetRevisionRequest {}).await.unwrap();
    assert_eq!((progress.attached, progress.current), (2, 1));
    let mut request = v1::ListInstancesRequest { page_size: 2, ..Default::default() };
    let first: v1::ListInstancesResponse = port.call("FleetService/ListInstances", &request).await.unwrap();
    request.page_token = first.next_page_token;
    let second: v1::ListInstancesResponse = port.call("FleetService/ListInstances", &request).await.unwrap();
    let shown: Vec<(String, u64)> =
        first.instances.into_iter().chain(second.instances).map(|row| (row.id, row.lag)).collect();
    assert_eq!(shown, [("a".to_owned(), 1), ("b".to_owned(), 0), ("c".to_owned(), 0)]);
    assert_eq!(second.next_page_token, "");
}

#[tokio::test]
async fn a_database_that_is_gone_is_nobodys_wrong_token() {
    // Nobody listens there.
    let pool = admin::pool("postgres://nobody@127.0.0.1:1/none").unwrap();
    let master = MasterKey::from_base64(&Secret::new(seal::generate_base64())).unwrap();
    let state = State {
        pool,
        crypto: Crypto::new(Arc::new(master)),
        fleet: Arc::new(ScriptedFleet::default()),
        adapters: ADAPTERS.into(),
    };
    let actor = operator();
    let error = service::tenant::list(&state, &actor, &Page::<ByAge>::first()).await.unwrap_err();
    let status = tonic::Status::from(error);
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("switchyard-error-type").unwrap(), "store_unavailable");
    let token = key::generate(TOKEN_PREFIX);
    let bearer = format!("Bearer {}", token.expose());
    let error = auth::token::authenticate(&state.pool, Some(&bearer), clock::now()).await.unwrap_err();
    let status = tonic::Status::from(ServiceError::from(error));
    assert_eq!(status.code(), Code::Unavailable);
}
