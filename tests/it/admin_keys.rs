//! Keys: made, shown once, changed by field, deleted; and what is wrong with a bad one.

use prost_types::{FieldMask, Timestamp};
use switchyard_proto::{
    key::{self, KEY_PREFIX, KeyHash},
    v1,
};
use switchyard_tests::admin::AdminPort;
use tonic::{Code, Status};

async fn port() -> AdminPort {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    port
}

fn create(key: v1::Key, secret: &str) -> v1::CreateKeyRequest {
    v1::CreateKeyRequest { tenant: "acme".to_owned(), key: Some(key), secret: secret.to_owned() }
}

async fn make(port: &AdminPort, key: v1::Key, secret: &str) -> Result<v1::CreateKeyResponse, Status> {
    port.call("KeyService/CreateKey", &create(key, secret)).await
}

async fn get(port: &AdminPort, id: &str) -> Result<v1::Key, Status> {
    let request = v1::GetKeyRequest { tenant: "acme".to_owned(), id: id.to_owned() };
    port.call("KeyService/GetKey", &request).await
}

async fn update(
    port: &AdminPort,
    id: &str,
    key: v1::Key,
    (paths, revision): (&[&str], u64),
) -> Result<v1::Key, Status> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = v1::UpdateKeyRequest {
        tenant: "acme".to_owned(),
        id: id.to_owned(),
        key: Some(key),
        update_mask: Some(FieldMask { paths }),
        revision,
    };
    port.call("KeyService/UpdateKey", &request).await
}

fn named(name: &str) -> v1::Key {
    v1::Key { name: name.to_owned(), ..Default::default() }
}

fn limit(usd: &str, reset: v1::Reset) -> Option<v1::SpendLimit> {
    Some(v1::SpendLimit { usd: usd.to_owned(), reset: reset.into() })
}

#[tokio::test]
async fn a_key_is_shown_once_and_only_its_hash_is_kept() {
    let port = port().await;
    let made = make(&port, named("ci"), "").await.unwrap();
    let key = made.key.unwrap();
    assert!(key::is_well_formed(&made.secret) && made.secret.starts_with(KEY_PREFIX));
    assert_eq!(key.hash, KeyHash::of(&made.secret).to_hex());
    assert_eq!(key.label, key::label(&made.secret));
    assert_eq!(get(&port, &key.id).await.unwrap(), key);
    let row: String =
        sqlx::query_scalar("SELECT row_to_json(keys)::text FROM keys").fetch_one(&port.pool).await.unwrap();
    assert!(!row.contains(&made.secret), "{row}");
}

#[tokio::test]
async fn a_secret_from_elsewhere_is_not_shown_again() {
    let port = port().await;
    let secret = "sk-or-v1-0123456789012345678901234567890123456789";
    let made = make(&port, named("old"), secret).await.unwrap();
    assert_eq!(made.secret, "");
    assert_eq!(made.key.unwrap().hash, KeyHash::of(secret).to_hex());
}

#[tokio::test]
async fn making_a_key_tells_whether_the_fleet_has_it() {
    let port = port().await;
    assert!(make(&port, named("one"), "").await.unwrap().served_everywhere);
    port.fleet.fall_behind();
    assert!(!make(&port, named("two"), "").await.unwrap().served_everywhere);
}

#[tokio::test]
async fn bad_keys_are_refused_by_field() {
    let port = port().await;
    let rates = |requests_per_minute| Some(v1::Rates { requests_per_minute, ..Default::default() });
    let far = Timestamp { seconds: i64::MAX, nanos: 0 };
    for (key, secret, message) in [
        (named(""), "", "key.name is required"),
        (named("a\0b"), "", "key.name has a control character"),
        (
            v1::Key { limit: limit("five", v1::Reset::Daily), ..named("k") },
            "",
            "key.limit.usd is not a decimal number of dollars",
        ),
        (v1::Key { limit: limit("-1", v1::Reset::Daily), ..named("k") }, "", "key.limit.usd is negative"),
        (v1::Key { limit: limit("", v1::Reset::Daily), ..named("k") }, "", "key.limit.usd is required"),
        (
            v1::Key { rates: rates(Some(0)), ..named("k") },
            "",
            "key.rates.requests_per_minute must be at least 1; leave it out for no limit",
        ),
        (
            v1::Key { allowed_models: vec!["a/b".to_owned(), "gpt".to_owned()], ..named("k") },
            "",
            "key.allowed_models[1] is `gpt`, which is neither a model id (`author/name`) nor `author/*`",
        ),
        (
            v1::Key { expires_at: Some(far), ..named("k") },
            "",
            "key.expires_at is not a time between the years 1 and 9999",
        ),
        (named("k"), "too-short-to-be-a-secret", "secret has fewer than 32 characters"),
    ] {
        let refused = make(&port, key, secret).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, message));
        let field = message.split(' ').next().unwrap();
        assert_eq!(refused.metadata().get("switchyard-field").unwrap(), field);
        assert!(secret.is_empty() || !refused.message().contains(secret));
    }
    let without = v1::CreateKeyRequest { tenant: "acme".to_owned(), ..Default::default() };
    let refused = port.call::<_, v1::CreateKeyResponse>("KeyService/CreateKey", &without).await.unwrap_err();
    assert_eq!(refused.message(), "key is required");
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM keys").fetch_one(&port.pool).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn names_are_unique_in_a_tenant_and_secrets_everywhere() {
    let port = port().await;
    port.tenant("rival").await.unwrap();
    let secret = "s".repeat(40);
    let first = make(&port, named("ci"), &secret).await.unwrap().key.unwrap();
    let refused = make(&port, named("ci"), "").await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::AlreadyExists, "key `ci` already exists"));
    let elsewhere =
        v1::CreateKeyRequest { tenant: "rival".to_owned(), key: Some(named("ci")), secret: secret.clone() };
    let refused =
        port.call::<_, v1::CreateKeyResponse>("KeyService/CreateKey", &elsewhere).await.unwrap_err();
    assert_eq!(refused.message(), "secret is that of a key that already exists");
    // Both are free again once the key is gone.
    let delete = v1::DeleteKeyRequest { tenant: "acme".to_owned(), id: first.id, revision: first.revision };
    port.call::<_, v1::DeleteKeyResponse>("KeyService/DeleteKey", &delete).await.unwrap();
    port.call::<_, v1::CreateKeyResponse>("KeyService/CreateKey", &elsewhere).await.unwrap();
    make(&port, named("ci"), "").await.unwrap();
}

#[tokio::test]
async fn an_update_changes_what_its_mask_names() {
    let port = port().await;
    let first = v1::Key {
        limit: limit("5", v1::Reset::Daily),
        allowed_models: vec!["a/b".to_owned()],
        ..named("ci")
    };
    let key = make(&port, first, "").await.unwrap().key.unwrap();
    let patch = v1::Key { limit: limit("7.50", v1::Reset::Never), disabled: true, ..Default::default() };
    let updated = update(&port, &key.id, patch, (&["limit.usd", "disabled"], key.revision)).await.unwrap();
    let expected = v1::Key {
        limit: limit("7.5", v1::Reset::Daily),
        disabled: true,
        revision: key.revision + 1,
        updated_at: updated.updated_at,
        ..key.clone()
    };
    assert_eq!(updated, expected);
    assert_eq!(get(&port, &key.id).await.unwrap(), updated);
    let cleared =
        update(&port, &key.id, v1::Key::default(), (&["limit", "allowed_models"], 0)).await.unwrap();
    assert_eq!((cleared.limit, cleared.allowed_models), (None, vec![]));
}

#[tokio::test]
async fn a_change_that_changes_nothing_draws_no_revision() {
    let port = port().await;
    let key = make(&port, named("ci"), "").await.unwrap().key.unwrap();
    assert_eq!(update(&port, &key.id, key.clone(), (&["*"], key.revision)).await.unwrap(), key);
    let revision: v1::FleetRevision =
        port.call("FleetService/GetRevision", &v1::GetRevisionRequest {}).await.unwrap();
    assert_eq!(revision.revision.unwrap().number, key.revision);
}

#[tokio::test]
async fn a_change_based_on_an_old_revision_is_a_conflict() {
    let port = port().await;
    let key = make(&port, named("ci"), "").await.unwrap().key.unwrap();
    let newer = update(&port, &key.id, named("cd"), (&["name"], key.revision)).await.unwrap();
    let refused = update(&port, &key.id, named("ce"), (&["name"], key.revision)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    assert_eq!(refused.metadata().get("switchyard-error-type").unwrap(), "conflict");
    assert!(refused.message().contains(&format!("the current one is {}", newer.revision)), "{refused:?}");
    let delete =
        v1::DeleteKeyRequest { tenant: "acme".to_owned(), id: key.id.clone(), revision: key.revision };
    let refused = port.call::<_, v1::DeleteKeyResponse>("KeyService/DeleteKey", &delete).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    // 0 takes whatever is there.
    assert_eq!(update(&port, &key.id, named("ce"), (&["name"], 0)).await.unwrap().name, "ce");
}

#[tokio::test]
async fn updates_of_different_fields_at_once_lose_none() {
    let port = port().await;
    let key = make(&port, named("ci"), "").await.unwrap().key.unwrap();
    let off = v1::Key { disabled: true, ..Default::default() };
    let (one, two) = tokio::join!(
        update(&port, &key.id, named("cd"), (&["name"], 0)),
        update(&port, &key.id, off, (&["disabled"], 0)),
    );
    one.unwrap();
    two.unwrap();
    let stored = get(&port, &key.id).await.unwrap();
    assert_eq!((stored.name.as_str(), stored.disabled, stored.revision), ("cd", true, key.revision + 2));
}

#[tokio::test]
async fn fields_of_the_server_cannot_be_changed() {
    let port = port().await;
    let key = make(&port, named("ci"), "").await.unwrap().key.unwrap();
    for path in ["id", "hash", "revision", "created_at", "usage_usd"] {
        let refused = update(&port, &key.id, key.clone(), (&[path], 0)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{path}");
        assert_eq!(refused.metadata().get("switchyard-field").unwrap(), "update_mask");
    }
}

#[tokio::test]
async fn keys_are_listed_page_by_page_oldest_first() {
    let port = port().await;
    for index in 0..5 {
        make(&port, named(&format!("k{index}")), "").await.unwrap();
    }
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let request =
            v1::ListKeysRequest { tenant: "acme".to_owned(), page_size: 2, page_token: token.clone() };
        let page: v1::ListKeysResponse = port.call("KeyService/ListKeys", &request).await.unwrap();
        assert!(page.keys.len() <= 2);
        names.extend(page.keys.into_iter().map(|key| key.name));
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    assert_eq!(names, ["k0", "k1", "k2", "k3", "k4"]);
    let request =
        v1::ListKeysRequest { tenant: "acme".to_owned(), page_size: 0, page_token: "nonsense".to_owned() };
    let refused = port.call::<_, v1::ListKeysResponse>("KeyService/ListKeys", &request).await.unwrap_err();
    assert_eq!(refused.metadata().get("switchyard-field").unwrap(), "page_token");
}

#[tokio::test]
async fn a_deleted_key_is_gone_but_leaves_a_tombstone() {
    let port = port().await;
    let key = make(&port, named("ci"), "").await.unwrap().key.unwrap();
    let delete = v1::DeleteKeyRequest { tenant: "acme".to_owned(), id: key.id.clone(), revision: 0 };
    port.call::<_, v1::DeleteKeyResponse>("KeyService/DeleteKey", &delete).await.unwrap();
    assert_eq!(get(&port, &key.id).await.unwrap_err().code(), Code::NotFound);
    let refused = port.call::<_, v1::DeleteKeyResponse>("KeyService/DeleteKey", &delete).await.unwrap_err();
    assert_eq!(refused.message(), format!("key `{}` not found", key.id));
    let (revision, is_dead): (i64, bool) =
        sqlx::query_as("SELECT revision, deleted_at IS NOT NULL FROM keys")
            .fetch_one(&port.pool)
            .await
            .unwrap();
    assert_eq!((revision, is_dead), (i64::try_from(key.revision).unwrap() + 1, true));
}

#[tokio::test]
async fn usage_of_the_current_period_is_shown() {
    let port = port().await;
    let key = v1::Key { limit: limit("5", v1::Reset::Monthly), ..named("ci") };
    let key = make(&port, key, "").await.unwrap().key.unwrap();
    assert_eq!(key.usage_usd, "0");
    sqlx::query(
        "INSERT INTO accounts (kind, owner, period, tenant, charged)
         SELECT 3, $1, period, 'acme', charged
         FROM (VALUES (to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM'), 1500000000), ('1999-01', 7)) AS v(period, charged)",
    )
    .bind(&key.id)
    .execute(&port.pool)
    .await
    .unwrap();
    assert_eq!(get(&port, &key.id).await.unwrap().usage_usd, "1.5");
    let request = v1::ListKeysRequest { tenant: "acme".to_owned(), ..Default::default() };
    let listed: v1::ListKeysResponse = port.call("KeyService/ListKeys", &request).await.unwrap();
    assert_eq!(listed.keys[0].usage_usd, "1.5");
}

#[tokio::test]
async fn a_new_limit_reaches_the_account_of_the_current_period() {
    let port = port().await;
    let key = v1::Key { limit: limit("5", v1::Reset::Never), ..named("ci") };
    let key = make(&port, key, "").await.unwrap().key.unwrap();
    let patch = v1::Key { limit: limit("2", v1::Reset::Never), ..Default::default() };
    update(&port, &key.id, patch, (&["limit"], 0)).await.unwrap();
    let stored: (String, Option<i64>) =
        sqlx::query_as("SELECT period, limit_nano FROM accounts WHERE kind = 3 AND owner = $1")
            .bind(&key.id)
            .fetch_one(&port.pool)
            .await
            .unwrap();
    assert_eq!(stored, ("all".to_owned(), Some(2_000_000_000)));
}

#[tokio::test]
async fn a_key_of_a_tenant_that_is_not_there_is_not_found() {
    let port = port().await;
    let request =
        v1::CreateKeyRequest { tenant: "nobody".to_owned(), key: Some(named("ci")), ..Default::default() };
    let refused = port.call::<_, v1::CreateKeyResponse>("KeyService/CreateKey", &request).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "tenant `nobody` not found"));
    let request = v1::ListKeysRequest { tenant: "nobody".to_owned(), ..Default::default() };
    let refused = port.call::<_, v1::ListKeysResponse>("KeyService/ListKeys", &request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}
