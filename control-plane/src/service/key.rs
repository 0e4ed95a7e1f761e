//! Keys: made, changed and deleted by their tenant's admin.

use std::time::Duration;

use switchyard_proto::{
    clock,
    id::{self, KeyId, TenantId},
    key::{self, KEY_PREFIX, KeyHash},
    secret::Secret,
};

use crate::{
    domain::{
        account::{AccountKind, Reset},
        audit::{NewEntry, Verb},
        diff,
        invalid::Invalid,
        key::{Draft, Key, check_secret},
        ledger::AccountPeriod,
        page::{ByAge, Listed, Page},
        permission::{Actor, Allowed, ReadKeys, WriteKeys},
    },
    error::ServiceError,
    service::{State, Update, allow, missing},
    store::{
        self, StoreError,
        limit::{self, Limit},
        revision::Change,
    },
};

/// How long making a key waits for the fleet.
const SERVED_WITHIN: Duration = Duration::from_secs(1);

/// A key, and what was charged to it in its current period.
#[derive(Debug, Clone)]
pub struct WithUsage {
    pub key: Key,
    pub charged_nano: i64,
}

/// A key to be made.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    pub draft: Draft,
    /// Brought from elsewhere; `None`: one is made.
    pub secret: Option<Secret>,
    /// Environment variable that the file names the secret by.
    pub secret_ref: String,
}

/// A key that was made.
#[derive(Debug, Clone)]
pub struct Made {
    pub key: Key,
    /// Shown this once; `None` where the caller brought it.
    pub secret: Option<Secret>,
    /// Every attached data plane has it.
    pub served_everywhere: bool,
}

/// What a change makes of a key.
#[derive(Debug, Clone)]
pub struct Edit {
    pub draft: Draft,
    /// `None`: the stored one stays.
    pub secret: Option<Secret>,
    /// `None`: the stored one stays.
    pub secret_ref: Option<String>,
}

/// Lists a tenant's keys.
pub async fn list(
    state: &State,
    actor: &Actor,
    tenant: &TenantId,
    page: &Page<ByAge>,
) -> Result<Listed<WithUsage>, ServiceError> {
    let allowed = allow::<ReadKeys>(actor, Some(tenant))?;
    let mut db = state.connection().await?;
    store::tenant::check(&mut db, &allowed).await.map_err(missing("tenant", tenant))?;
    let keys = store::key::list(&mut db, &allowed, page).await?;
    let current: Vec<(KeyId, String)> = keys.items.iter().map(current_period).collect();
    let charged = store::usage::charged_to_keys(&mut db, &allowed, &current).await?;
    Ok(keys.map(|key| {
        let charged_nano = charged.get(key.id.as_str()).copied().unwrap_or(0);
        WithUsage { key, charged_nano }
    }))
}

/// One key of a tenant.
pub async fn get(
    state: &State,
    actor: &Actor,
    tenant: &TenantId,
    id: &KeyId,
) -> Result<WithUsage, ServiceError> {
    let allowed = allow::<ReadKeys>(actor, Some(tenant))?;
    let mut db = state.connection().await?;
    let key = store::key::get(&mut db, &allowed, id).await.map_err(missing("key", id))?;
    let charged = store::usage::charged_to_keys(&mut db, &allowed, &[current_period(&key)]).await?;
    let charged_nano = charged.get(key.id.as_str()).copied().unwrap_or(0);
    Ok(WithUsage { key, charged_nano })
}

fn current_period(key: &Key) -> (KeyId, String) {
    let reset = key.draft.limit.map_or(Reset::Never, |limit| limit.reset);
    (key.id.clone(), reset.period(clock::now()))
}

/// Makes a key, and waits a little until the fleet has it.
pub async fn create(
    state: &State,
    actor: &Actor,
    tenant: &TenantId,
    new: NewKey,
) -> Result<Made, ServiceError> {
    let allowed = allow::<WriteKeys>(actor, Some(tenant))?;
    let mut change = Change::begin(&state.pool, actor.id.as_str()).await?;
    let mut made = create_in(&mut change, &allowed, tenant, new).await?;
    let revision = change.commit().await?.number;
    made.key.meta.revision = revision;
    made.served_everywhere = state.fleet.served(revision, SERVED_WITHIN).await;
    Ok(made)
}

/// Makes a key inside a change.
pub async fn create_in(
    change: &mut Change,
    allowed: &Allowed<WriteKeys>,
    tenant: &TenantId,
    new: NewKey,
) -> Result<Made, ServiceError> {
    new.draft.check().map_err(|invalid| invalid.within("key"))?;
    new.secret.as_ref().map(check_secret).transpose()?;
    store::tenant::hold(change, allowed, tenant).await.map_err(missing("tenant", tenant))?;
    let made = new.secret.is_none().then(|| key::generate(KEY_PREFIX));
    let secret = new.secret.as_ref().or(made.as_ref()).expect("given or made");
    let row = store::key::NewKey {
        id: KeyId::new(id::random("key_")),
        draft: &new.draft,
        label: key::label(secret.expose()),
        hash: KeyHash::of(secret.expose()),
        secret_ref: &new.secret_ref,
    };
    let key = store::key::insert(change, allowed, row).await.map_err(duplicate(&new.draft.name))?;
    let changes = diff::from_nothing(&key.draft);
    change.record(entry(Verb::Create, &key, &changes));
    Ok(Made { key, secret: made, served_everywhere: false })
}

/// Changes a key.
pub async fn update(
    state: &State,
    actor: &Actor,
    (tenant, id): (&TenantId, &KeyId),
    update: Update<impl FnOnce(&Key) -> Result<Draft, Invalid>>,
) -> Result<WithUsage, ServiceError> {
    let allowed = allow::<WriteKeys>(actor, Some(tenant))?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let key = store::key::lock(&mut change, &allowed, id).await.map_err(missing("key", id))?;
    key.meta.expect(update.revision)?;
    let edit = Edit { draft: (update.patch)(&key)?, secret: None, secret_ref: None };
    let mut key = update_in(&mut change, &allowed, key, edit).await?;
    let charged =
        store::usage::charged_to_keys(change.connection(), &allowed, &[current_period(&key)]).await?;
    let is_changed = !change.is_empty();
    let revision = change.commit().await?;
    if is_changed {
        key.meta.revision = revision.number;
    }
    let charged_nano = charged.get(key.id.as_str()).copied().unwrap_or(0);
    Ok(WithUsage { key, charged_nano })
}

/// Changes a locked key inside a change; what stays the same is not written.
pub async fn update_in(
    change: &mut Change,
    allowed: &Allowed<WriteKeys>,
    key: Key,
    edit: Edit,
) -> Result<Key, ServiceError> {
    edit.draft.check().map_err(|invalid| invalid.within("key"))?;
    edit.secret.as_ref().map(check_secret).transpose()?;
    let after = edited(&key, edit);
    if after == key {
        return Ok(key);
    }
    let stored = store::key::update(change, allowed, &after).await.map_err(duplicate(&after.draft.name))?;
    set_limit(change, allowed, (&key, &stored));
    let mut changes = diff::between(&key.draft, &stored.draft);
    if key.hash != stored.hash {
        changes.push(diff::replaced("secret"));
    }
    change.record(entry(Verb::Update, &stored, &changes));
    Ok(stored)
}

fn edited(key: &Key, edit: Edit) -> Key {
    let mut after = Key { draft: edit.draft, ..key.clone() };
    if let Some(secret) = &edit.secret {
        after.hash = KeyHash::of(secret.expose());
        // A label says nothing that the hash does not already fix.
        after.label = key::label(secret.expose());
    }
    if let Some(secret_ref) = edit.secret_ref {
        after.secret_ref = secret_ref;
    }
    after
}

/// Carries a new limit to the account of the current period.
fn set_limit(change: &mut Change, allowed: &Allowed<WriteKeys>, (before, after): (&Key, &Key)) {
    if before.draft.limit == after.draft.limit {
        return;
    }
    let (_, period) = current_period(after);
    let account = AccountPeriod { kind: AccountKind::KeyLimit, owner: after.id.to_string(), period };
    let nano = after.draft.limit.map(|limit| limit.usd.to_i64());
    limit::set(change, allowed, account, Limit { tenant: Some(after.tenant.clone()), nano });
}

/// Deletes a key.
pub async fn delete(
    state: &State,
    actor: &Actor,
    (tenant, id): (&TenantId, &KeyId),
    revision: u64,
) -> Result<(), ServiceError> {
    let allowed = allow::<WriteKeys>(actor, Some(tenant))?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let key = store::key::lock(&mut change, &allowed, id).await.map_err(missing("key", id))?;
    key.meta.expect(revision)?;
    delete_in(&mut change, &allowed, &key).await?;
    change.commit().await?;
    Ok(())
}

/// Deletes a locked key inside a change.
pub async fn delete_in(
    change: &mut Change,
    allowed: &Allowed<WriteKeys>,
    key: &Key,
) -> Result<(), ServiceError> {
    store::key::delete(change, allowed, &key.id).await?;
    change.record(entry(Verb::Delete, key, &[]));
    Ok(())
}

fn entry(verb: Verb, key: &Key, changes: &[diff::Changed]) -> NewEntry {
    NewEntry::new(verb, "key", key.id.as_str(), changes).of_tenant(key.tenant.as_str())
}

/// Says which of a key's two unique things is taken; never whose.
fn duplicate(name: &str) -> impl FnOnce(StoreError) -> ServiceError {
    let name = name.to_owned();
    move |error| match error {
        StoreError::Duplicate(constraint) if constraint == "keys_name" => ServiceError::exists("key", name),
        StoreError::Duplicate(_) => {
            let exists = ServiceError::exists("key", "with this secret");
            ServiceError {
                field: Some("secret".to_owned()),
                public: "secret is that of a key that already exists".to_owned(),
                ..exists
            }
        }
        other => other.into(),
    }
}
