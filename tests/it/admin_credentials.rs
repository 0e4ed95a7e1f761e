//! Tenants' own credentials: sealed, listed without their secrets, and set again after the provider moved.

use prost_types::FieldMask;
use switchyard_control_plane::store;
use switchyard_proto::v1;
use switchyard_tests::admin::AdminPort;
use tonic::{Code, Status};

const CANARY: &str = "sk-canary-0123456789";

fn mine() -> v1::Credential {
    v1::Credential {
        id: "mine".to_owned(),
        provider: "p".to_owned(),
        secret: CANARY.to_owned(),
        ..Default::default()
    }
}

/// A port with tenant `acme` and the operator's providers `p` and `q`, which have no credentials of their own.
async fn port() -> AdminPort {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    for id in ["p", "q"] {
        port.provider(id, "").await.unwrap();
    }
    port
}

async fn create(port: &AdminPort, credential: v1::Credential) -> Result<v1::Credential, Status> {
    let request = v1::CreateCredentialRequest { tenant: "acme".to_owned(), credential: Some(credential) };
    port.call("CredentialService/CreateCredential", &request).await
}

async fn get(port: &AdminPort) -> Result<v1::Credential, Status> {
    let request = v1::GetCredentialRequest { tenant: "acme".to_owned(), id: "mine".to_owned() };
    port.call("CredentialService/GetCredential", &request).await
}

async fn update(
    port: &AdminPort,
    credential: v1::Credential,
    paths: &[&str],
) -> Result<v1::Credential, Status> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = v1::UpdateCredentialRequest {
        tenant: "acme".to_owned(),
        id: "mine".to_owned(),
        credential: Some(credential),
        update_mask: Some(FieldMask { paths }),
        revision: 0,
    };
    port.call("CredentialService/UpdateCredential", &request).await
}

async fn delete(port: &AdminPort) -> Result<v1::DeleteCredentialResponse, Status> {
    let request =
        v1::DeleteCredentialRequest { tenant: "acme".to_owned(), id: "mine".to_owned(), revision: 0 };
    port.call("CredentialService/DeleteCredential", &request).await
}

async fn move_provider(port: &AdminPort) {
    let provider = v1::Provider { base_url: "https://moved.example/v1".to_owned(), ..Default::default() };
    let request =
        v1::UpdateProviderRequest { id: "p".to_owned(), provider: Some(provider), ..Default::default() };
    let _: v1::Provider = port.call("ProviderService/UpdateProvider", &request).await.unwrap();
}

/// What the audit says, e.g. `update credential mine`, and all that it says was changed.
async fn audit(port: &AdminPort) -> (Vec<String>, String) {
    let listed: v1::ListEntriesResponse =
        port.call("AuditService/ListEntries", &v1::ListEntriesRequest::default()).await.unwrap();
    let entries = listed.entries.iter();
    let of_noun = entries.clone().filter(|entry| entry.noun == "credential");
    let told = of_noun.map(|entry| format!("{} {} of {}", entry.action, entry.resource, entry.tenant));
    (told.collect(), entries.map(|entry| entry.change.as_str()).collect())
}

fn field(status: &Status) -> &str {
    status.metadata().get("switchyard-field").map_or("", |field| field.to_str().unwrap())
}

#[tokio::test]
async fn a_secret_is_sealed_for_its_place_and_never_comes_back() {
    let port = port().await;
    let made = create(&port, mine()).await.unwrap();
    assert_eq!((made.secret.as_str(), made.has_secret, made.needs_secret), ("", true, false));
    assert_eq!(get(&port).await.unwrap(), made);
    let request = v1::ListCredentialsRequest { tenant: "acme".to_owned(), ..Default::default() };
    let listed: v1::ListCredentialsResponse =
        port.call("CredentialService/ListCredentials", &request).await.unwrap();
    assert_eq!(listed.credentials, [made]);

    let (mut reader, _) = store::feed::Reader::open(&port.pool).await.unwrap();
    let mut rows = store::credential::changed(reader.connection(), None);
    let stored = futures_util::StreamExt::next(&mut rows).await.unwrap().unwrap();
    assert_eq!(port.crypto.open(&stored.sealed).await.unwrap().expose(), CANARY);
    let mut elsewhere = stored.sealed;
    elsewhere.place.tenant = None;
    assert!(port.crypto.open(&elsewhere).await.is_err());

    let (told, changes) = audit(&port).await;
    assert_eq!(told, ["create mine of acme"]);
    assert!(changes.contains("secret") && !changes.contains(CANARY), "{changes}");
}

#[tokio::test]
async fn an_id_is_given_or_made_and_unique_in_its_tenant() {
    let port = port().await;
    create(&port, mine()).await.unwrap();
    assert_eq!(create(&port, mine()).await.unwrap_err().code(), Code::AlreadyExists);
    let made = create(&port, v1::Credential { id: String::new(), ..mine() }).await.unwrap();
    assert!(made.id.starts_with("cred_"), "{}", made.id);
    port.tenant("globex").await.unwrap();
    let request = v1::CreateCredentialRequest { tenant: "globex".to_owned(), credential: Some(mine()) };
    let theirs: v1::Credential = port.call("CredentialService/CreateCredential", &request).await.unwrap();
    assert_eq!((theirs.tenant.as_str(), theirs.id.as_str()), ("globex", "mine"));
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_by_its_field() {
    let port = port().await;
    for (credential, at) in [
        (v1::Credential { id: "a/b".to_owned(), ..mine() }, "credential.id"),
        (v1::Credential { provider: "nobody".to_owned(), ..mine() }, "credential.provider"),
        (v1::Credential { secret: String::new(), ..mine() }, "credential.secret"),
        (v1::Credential { secret: "ambient".to_owned(), ..mine() }, "credential.secret"),
        (v1::Credential { secret: "adc".to_owned(), ..mine() }, "credential.secret"),
        (v1::Credential { secret: format!(" {CANARY}"), ..mine() }, "credential.secret"),
        (v1::Credential { allowed_models: vec!["gpt".to_owned()], ..mine() }, "credential.allowed_models[0]"),
        (v1::Credential { allowed_keys: vec!["key_x".to_owned()], ..mine() }, "credential.allowed_keys[0]"),
        (v1::Credential { allowed_users: vec![String::new()], ..mine() }, "credential.allowed_users[0]"),
    ] {
        let refused = create(&port, credential).await.unwrap_err();
        assert_eq!((refused.code(), field(&refused)), (Code::InvalidArgument, at), "{refused:?}");
        assert!(!refused.message().contains(CANARY), "{refused:?}");
    }
}

#[tokio::test]
async fn only_what_the_mask_names_is_changed_and_another_provider_asks_for_the_secret() {
    let port = port().await;
    let before = create(&port, mine()).await.unwrap();
    let patch = v1::Credential { order: -2, required: true, declared_zdr: Some(false), ..Default::default() };
    let after = update(&port, patch, &["order", "declared_zdr"]).await.unwrap();
    assert_eq!((after.order, after.required, after.declared_zdr), (-2, false, Some(false)));
    assert!(after.revision > before.revision);

    let other = v1::Credential { provider: "q".to_owned(), secret: "sk-q".to_owned(), ..Default::default() };
    let refused = update(&port, other.clone(), &["provider"]).await.unwrap_err();
    assert_eq!(field(&refused), "credential.secret", "{refused:?}");
    let moved = update(&port, other, &["provider", "secret"]).await.unwrap();
    assert_eq!((moved.provider.as_str(), moved.needs_secret), ("q", false));

    let refused = update(&port, v1::Credential::default(), &["secret"]).await.unwrap_err();
    assert_eq!(field(&refused), "credential.secret", "{refused:?}");
    let stale = v1::DeleteCredentialRequest {
        tenant: "acme".to_owned(),
        id: "mine".to_owned(),
        revision: before.revision,
    };
    let refused: Result<v1::DeleteCredentialResponse, _> =
        port.call("CredentialService/DeleteCredential", &stale).await;
    assert_eq!(refused.unwrap_err().code(), Code::Aborted);
}

#[tokio::test]
async fn a_provider_that_moves_asks_for_the_secret_again() {
    let port = port().await;
    create(&port, mine()).await.unwrap();
    move_provider(&port).await;
    assert!(get(&port).await.unwrap().needs_secret);
    let off = v1::Credential { disabled: true, ..Default::default() };
    assert!(update(&port, off, &["disabled"]).await.unwrap().needs_secret, "it can be switched off");
    let again = update(&port, mine(), &["secret"]).await.unwrap();
    assert!(!again.needs_secret && again.disabled, "the same secret is sealed for the new address");
}

#[tokio::test]
async fn a_deleted_secret_is_gone_at_once_and_its_id_is_free() {
    let port = port().await;
    create(&port, mine()).await.unwrap();
    delete(&port).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM credentials WHERE sealed IS NOT NULL")
        .fetch_one(&port.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
    assert_eq!(get(&port).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(delete(&port).await.unwrap_err().code(), Code::NotFound);
    create(&port, mine()).await.unwrap();
}

#[tokio::test]
async fn credentials_go_with_their_provider_and_with_their_tenant() {
    let port = port().await;
    create(&port, mine()).await.unwrap();
    create(&port, v1::Credential { id: "other".to_owned(), provider: "q".to_owned(), ..mine() })
        .await
        .unwrap();
    let request = v1::DeleteProviderRequest { id: "p".to_owned(), revision: 0 };
    let _: v1::DeleteProviderResponse = port.call("ProviderService/DeleteProvider", &request).await.unwrap();
    assert_eq!(get(&port).await.unwrap_err().code(), Code::NotFound);
    let request = v1::DeleteTenantRequest { id: "acme".to_owned(), revision: 0 };
    let _: v1::DeleteTenantResponse = port.call("TenantService/DeleteTenant", &request).await.unwrap();
    let (mut told, _) = audit(&port).await;
    told.sort();
    let expected =
        ["create mine of acme", "create other of acme", "delete mine of acme", "delete other of acme"];
    assert_eq!(told, expected);
}
