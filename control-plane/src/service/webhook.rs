//! Use cases of webhooks. Without a tenant they are about the operator's.

use chrono::{DateTime, Utc};
use serde_json::json;
use switchyard_proto::{
    id::{self, TenantId, WebhookId},
    secret::Secret,
};
use uuid::Uuid;

use crate::{
    crypto::Crypto,
    domain::{
        audit::{NewEntry, Verb},
        diff,
        invalid::Invalid,
        page::{ByAge, Listed, Page},
        permission::{
            Actor, Allowed, ReadOperatorsWebhooks, ReadWebhooks, WriteOperatorsWebhooks, WriteWebhooks,
        },
        webhook::{Delivery, Draft, TEST, Webhook, check_id, new_secret, shown, signing_key},
    },
    error::ServiceError,
    service::{State, Update, allow, missing, seal::seal},
    store::{
        self, StoreError,
        delivery::NewDelivery,
        revision::Change,
        webhook::{Stored, place},
    },
};

/// What is chosen of a webhook, its secret included.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    pub draft: Draft,
    /// `None`: the stored one stays, or one is made.
    pub secret: Option<Secret>,
}

/// A webhook that was made.
#[derive(Debug, Clone)]
pub struct Made {
    pub webhook: Webhook,
    /// Where it was made here.
    pub secret: Option<Secret>,
}

/// The right to read one owner's webhooks.
///
/// # Errors
/// As [`allow`]: bound actors may not see the operator's.
pub fn may_read(actor: &Actor, tenant: Option<&TenantId>) -> Result<Allowed<ReadWebhooks>, ServiceError> {
    if tenant.is_none() {
        allow::<ReadOperatorsWebhooks>(actor, None)?;
    }
    allow(actor, tenant)
}

/// The right to write one owner's webhooks.
///
/// # Errors
/// As [`allow`].
pub fn may_write(actor: &Actor, tenant: Option<&TenantId>) -> Result<Allowed<WriteWebhooks>, ServiceError> {
    if tenant.is_none() {
        allow::<WriteOperatorsWebhooks>(actor, None)?;
    }
    allow(actor, tenant)
}

/// Lists one owner's webhooks.
pub async fn list(
    state: &State,
    actor: &Actor,
    tenant: Option<&TenantId>,
    page: &Page<ByAge>,
) -> Result<Listed<Webhook>, ServiceError> {
    let allowed = may_read(actor, tenant)?;
    let mut db = state.connection().await?;
    if let Some(tenant) = tenant {
        store::tenant::check(&mut db, &allowed).await.map_err(missing("tenant", tenant))?;
    }
    Ok(store::webhook::list(&mut db, &allowed, page).await?)
}

/// One webhook.
pub async fn get(
    state: &State,
    actor: &Actor,
    (tenant, id): (Option<&TenantId>, &WebhookId),
) -> Result<Webhook, ServiceError> {
    let allowed = may_read(actor, tenant)?;
    let mut db = state.connection().await?;
    store::webhook::get(&mut db, &allowed, id).await.map_err(missing("webhook", shown(tenant, id)))
}

/// Makes a webhook; without an id or a secret they are made.
pub async fn create(
    state: &State,
    actor: &Actor,
    (tenant, id): (Option<&TenantId>, Option<WebhookId>),
    edit: Edit,
) -> Result<Made, ServiceError> {
    let allowed = may_write(actor, tenant)?;
    let id = id.unwrap_or_else(|| WebhookId::new(id::random("wh_")));
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let mut made = create_in(&mut change, &allowed, &state.crypto, (tenant, &id, edit)).await?;
    made.webhook.meta.revision = change.commit().await?.number;
    Ok(made)
}

/// Makes a webhook inside a change.
pub async fn create_in(
    change: &mut Change,
    allowed: &Allowed<WriteWebhooks>,
    crypto: &Crypto,
    (tenant, id, edit): (Option<&TenantId>, &WebhookId, Edit),
) -> Result<Made, ServiceError> {
    let draft = edit.draft.in_order();
    let given = edit.secret.as_ref().map(signing_key).transpose();
    check_id(id.as_str()).and_then(|()| draft.check()).and(given).map_err(within)?;
    if let Some(tenant) = tenant {
        store::tenant::hold(change, allowed, tenant).await.map_err(missing("tenant", tenant))?;
    }
    let made_here = edit.secret.is_none().then(new_secret);
    let secret = edit.secret.or_else(|| made_here.clone()).unwrap_or_default();
    let sealed = seal(change, allowed, crypto, (place(tenant.cloned(), id), &secret)).await?;
    let webhook = store::webhook::insert(change, allowed, id, (&draft, &sealed)).await;
    let webhook = webhook.map_err(|error| match error {
        StoreError::Duplicate(_) => ServiceError::exists("webhook", shown(tenant, id)),
        other => other.into(),
    })?;
    let mut changes = diff::from_nothing(&webhook.draft);
    changes.push(diff::replaced("secret"));
    change.record(entry(Verb::Create, &webhook, &changes));
    Ok(Made { webhook, secret: made_here })
}

fn within(invalid: Invalid) -> Invalid {
    invalid.within("webhook")
}

/// Changes a webhook.
pub async fn update(
    state: &State,
    actor: &Actor,
    (tenant, id): (Option<&TenantId>, &WebhookId),
    update: Update<impl FnOnce(&Webhook) -> Result<Edit, Invalid>>,
) -> Result<Webhook, ServiceError> {
    let allowed = may_write(actor, tenant)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let stored = store::webhook::lock(&mut change, &allowed, id).await;
    let stored = stored.map_err(missing("webhook", shown(tenant, id)))?;
    stored.webhook.meta.expect(update.revision)?;
    let edit = (update.patch)(&stored.webhook)?;
    let mut updated = update_in(&mut change, &allowed, &state.crypto, (stored, edit)).await?;
    let is_changed = !change.is_empty();
    let revision = change.commit().await?;
    if is_changed {
        updated.meta.revision = revision.number;
    }
    Ok(updated)
}

/// Changes a locked webhook inside a change; what stays the same is not written.
pub async fn update_in(
    change: &mut Change,
    allowed: &Allowed<WriteWebhooks>,
    crypto: &Crypto,
    (stored, edit): (Stored, Edit),
) -> Result<Webhook, ServiceError> {
    let draft = edit.draft.in_order();
    draft.check().and(edit.secret.as_ref().map(signing_key).transpose()).map_err(within)?;
    // A secret that no longer opens is replaced, whatever it was.
    let is_same = match &edit.secret {
        None => true,
        Some(secret) => crypto.open(&stored.sealed).await.is_ok_and(|known| known == *secret),
    };
    let sealed = match edit.secret.filter(|_| !is_same) {
        Some(secret) => Some(seal(change, allowed, crypto, (stored.sealed.place, &secret)).await?),
        None => None,
    };
    let webhook = stored.webhook;
    if sealed.is_none() && draft == webhook.draft {
        return Ok(webhook);
    }
    let updated = store::webhook::update(change, allowed, &webhook.id, (&draft, sealed.as_ref())).await?;
    let mut changes = diff::between(&webhook.draft, &updated.draft);
    changes.extend(sealed.map(|_| diff::replaced("secret")));
    change.record(entry(Verb::Update, &updated, &changes));
    Ok(updated)
}

/// Deletes a webhook, its secret at once; what is under way to it is given up.
pub async fn delete(
    state: &State,
    actor: &Actor,
    (tenant, id): (Option<&TenantId>, &WebhookId),
    revision: u64,
) -> Result<(), ServiceError> {
    let allowed = may_write(actor, tenant)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let stored = store::webhook::lock(&mut change, &allowed, id).await;
    let webhook = stored.map_err(missing("webhook", shown(tenant, id)))?.webhook;
    webhook.meta.expect(revision)?;
    delete_in(&mut change, &allowed, &webhook).await?;
    change.commit().await?;
    Ok(())
}

/// Deletes a locked webhook inside a change.
pub async fn delete_in(
    change: &mut Change,
    allowed: &Allowed<WriteWebhooks>,
    webhook: &Webhook,
) -> Result<(), ServiceError> {
    store::webhook::delete(change, allowed, &webhook.id).await?;
    change.record(entry(Verb::Delete, webhook, &[]));
    Ok(())
}

/// Puts a test event on its way to a webhook.
pub async fn test(
    state: &State,
    actor: &Actor,
    (tenant, id): (Option<&TenantId>, &WebhookId),
    now: DateTime<Utc>,
) -> Result<Delivery, ServiceError> {
    let allowed = may_write(actor, tenant)?;
    let mut db = state.connection().await?;
    let webhook = store::webhook::get(&mut db, &allowed, id).await;
    let webhook = webhook.map_err(missing("webhook", shown(tenant, id)))?;
    let timestamp = now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let data = json!({"webhook": webhook.shown()});
    let new = NewDelivery {
        id: Uuid::now_v7(),
        owner: tenant.map(ToString::to_string).unwrap_or_default(),
        webhook: id.to_string(),
        kind: TEST,
        body: json!({"type": TEST, "timestamp": timestamp, "data": data}).to_string(),
    };
    Ok(store::delivery::insert_asked(&mut db, &allowed, &new, now).await?)
}

/// Lists what was sent to a webhook, newest first.
pub async fn list_deliveries(
    state: &State,
    actor: &Actor,
    (tenant, id): (Option<&TenantId>, &WebhookId),
    page: &Page<Uuid>,
) -> Result<Listed<Delivery>, ServiceError> {
    let allowed = may_read(actor, tenant)?;
    let mut db = state.connection().await?;
    store::webhook::get(&mut db, &allowed, id).await.map_err(missing("webhook", shown(tenant, id)))?;
    Ok(store::delivery::list(&mut db, &allowed, id, page).await?)
}

fn entry(verb: Verb, webhook: &Webhook, changes: &[diff::Changed]) -> NewEntry {
    let entry = NewEntry::new(verb, "webhook", &webhook.shown(), changes);
    match &webhook.tenant {
        Some(tenant) => entry.of_tenant(tenant.as_str()),
        None => entry,
    }
}
