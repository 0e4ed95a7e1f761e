//! Credentials: made, changed and deleted by their tenant's admin; their secrets sealed.

use switchyard_proto::{
    id::{self, CredentialId, TenantId},
    secret::Secret,
};

use crate::{
    catalogue::profile,
    crypto::{Crypto, Place},
    domain::{
        audit::{NewEntry, Verb},
        credential::{Address, Credential, Draft, check_id, check_secret},
        diff,
        invalid::Invalid,
        page::{ByAge, Listed, Page},
        permission::{Actor, Allowed, ReadCredentials, WriteCredentials},
        provider,
    },
    error::ServiceError,
    service::{State, Update, allow, missing, seal::seal},
    store::{self, StoreError, credential::Stored, revision::Change},
};

/// What is chosen of a credential, its secret included.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    pub draft: Draft,
    /// `None`: the stored one stays.
    pub secret: Option<Secret>,
}

/// Whether the provider has moved since the secret was given: it is sent nowhere until it is set again.
pub fn needs_secret(credential: &Credential) -> bool {
    origin(&credential.provider_at).is_none_or(|origin| origin != credential.origin)
}

/// Where a provider is, by its own base URL or its profile's; `None` for a profile that is gone.
pub fn origin(address: &Address) -> Option<String> {
    let draft = provider::Draft {
        profile: address.profile.clone(),
        base_url: address.base_url.clone(),
        ..provider::Draft::default()
    };
    provider::origin(&profile::filled_in(&draft).ok()?.base_url).ok()
}

/// Lists a tenant's credentials.
pub async fn list(
    state: &State,
    actor: &Actor,
    tenant: &TenantId,
    page: &Page<ByAge>,
) -> Result<Listed<Credential>, ServiceError> {
    let allowed = allow::<ReadCredentials>(actor, Some(tenant))?;
    let mut db = state.connection().await?;
    store::tenant::check(&mut db, &allowed).await.map_err(missing("tenant", tenant))?;
    Ok(store::credential::list(&mut db, &allowed, page).await?)
}

/// One credential of a tenant.
pub async fn get(
    state: &State,
    actor: &Actor,
    tenant: &TenantId,
    id: &CredentialId,
) -> Result<Credential, ServiceError> {
    let allowed = allow::<ReadCredentials>(actor, Some(tenant))?;
    let mut db = state.connection().await?;
    store::credential::get(&mut db, &allowed, id).await.map_err(missing("credential", id))
}

/// Makes a credential; without an id one is made.
pub async fn create(
    state: &State,
    actor: &Actor,
    tenant: &TenantId,
    (id, edit): (Option<CredentialId>, Edit),
) -> Result<Credential, ServiceError> {
    let allowed = allow::<WriteCredentials>(actor, Some(tenant))?;
    let id = id.unwrap_or_else(|| CredentialId::new(id::random("cred_")));
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let mut made = create_in(&mut change, &allowed, &state.crypto, (tenant, &id, edit)).await?;
    made.meta.revision = change.commit().await?.number;
    Ok(made)
}

/// Makes a credential inside a change.
pub async fn create_in(
    change: &mut Change,
    allowed: &Allowed<WriteCredentials>,
    crypto: &Crypto,
    (tenant, id, edit): (&TenantId, &CredentialId, Edit),
) -> Result<Credential, ServiceError> {
    let secret = edit.secret.clone().unwrap_or_default();
    check_id(id.as_str()).and_then(|()| check(&edit)).and_then(|()| check_secret(&secret)).map_err(within)?;
    store::tenant::hold(change, allowed, tenant).await.map_err(missing("tenant", tenant))?;
    check_keys(change, allowed, &edit.draft, &[]).await?;
    let place = place(change, allowed, tenant, &edit.draft).await?;
    let sealed = seal(change, allowed, crypto, (place, &secret)).await?;
    let made = store::credential::insert(change, allowed, id, (&edit.draft, &sealed)).await;
    let made = made.map_err(|error| match error {
        StoreError::Duplicate(_) => ServiceError::exists("credential", id),
        other => other.into(),
    })?;
    let mut changes = diff::from_nothing(&made.draft);
    changes.push(diff::replaced("secret"));
    change.record(entry(Verb::Create, &made, &changes));
    Ok(made)
}

fn check(edit: &Edit) -> Result<(), Invalid> {
    edit.draft.check()?;
    edit.secret.as_ref().map(check_secret).transpose().map(|_| ())
}

fn within(invalid: Invalid) -> Invalid {
    invalid.within("credential")
}

/// Keys that are named must be the tenant's; those that were named before may be gone meanwhile.
async fn check_keys(
    change: &mut Change,
    allowed: &Allowed<WriteCredentials>,
    draft: &Draft,
    before: &[String],
) -> Result<(), ServiceError> {
    let new: Vec<String> = draft.allowed_keys.iter().filter(|key| !before.contains(key)).cloned().collect();
    let unknown = store::credential::unknown_keys(change, allowed, &new).await?;
    let Some(first) = unknown.first() else { return Ok(()) };
    let index = draft.allowed_keys.iter().position(|key| key == first).unwrap_or_default();
    let field = format!("allowed_keys[{index}]");
    Err(within(Invalid::new(field, format!("is `{first}`, which is no key of the tenant"))).into())
}

/// Where a credential's secret belongs; keeps the provider as it is until the change ends.
async fn place(
    change: &mut Change,
    allowed: &Allowed<WriteCredentials>,
    tenant: &TenantId,
    draft: &Draft,
) -> Result<Place, ServiceError> {
    let provider = draft.provider_id();
    let address = store::provider::hold_address(change, allowed, &provider).await;
    let address = address.map_err(|error| match error {
        StoreError::NotFound => {
            let reason = format!("is `{provider}`, which is no provider of the operator's");
            ServiceError::from(within(Invalid::new("provider", reason)))
        }
        other => other.into(),
    })?;
    let origin = origin(&address).ok_or_else(|| {
        within(Invalid::new("provider", format!("is `{provider}`, whose profile this version does not know")))
    })?;
    Ok(Place { tenant: Some(tenant.clone()), provider, origin })
}

/// Changes a credential.
pub async fn update(
    state: &State,
    actor: &Actor,
    (tenant, id): (&TenantId, &CredentialId),
    update: Update<impl FnOnce(&Credential) -> Result<Edit, Invalid>>,
) -> Result<Credential, ServiceError> {
    let allowed = allow::<WriteCredentials>(actor, Some(tenant))?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let stored = store::credential::lock(&mut change, &allowed, id).await;
    let stored = stored.map_err(missing("credential", id))?;
    stored.credential.meta.expect(update.revision)?;
    let edit = (update.patch)(&stored.credential)?;
    let mut updated = update_in(&mut change, &allowed, &state.crypto, (stored, edit)).await?;
    let is_changed = !change.is_empty();
    let revision = change.commit().await?;
    if is_changed {
        updated.meta.revision = revision.number;
    }
    Ok(updated)
}

/// Changes a locked credential inside a change; what stays the same is not written.
///
/// # Errors
/// Another provider asks for the secret again: it is sealed to the one before.
pub async fn update_in(
    change: &mut Change,
    allowed: &Allowed<WriteCredentials>,
    crypto: &Crypto,
    (stored, edit): (Stored, Edit),
) -> Result<Credential, ServiceError> {
    check(&edit).map_err(within)?;
    let credential = stored.credential.clone();
    check_keys(change, allowed, &edit.draft, &credential.draft.allowed_keys).await?;
    let sealed = match fresh(change, allowed, crypto, (&stored, &edit)).await? {
        Some((place, secret)) => Some(seal(change, allowed, crypto, (place, &secret)).await?),
        None => None,
    };
    if sealed.is_none() && edit.draft == credential.draft {
        return Ok(credential);
    }
    let chosen = (&edit.draft, sealed.as_ref());
    let updated = store::credential::update(change, allowed, &credential.id, chosen).await?;
    let mut changes = diff::between(&credential.draft, &updated.draft);
    changes.extend(sealed.map(|_| diff::replaced("secret")));
    change.record(entry(Verb::Update, &updated, &changes));
    Ok(updated)
}

/// The secret to be sealed, and where it belongs. One that is already stored for the same place is kept: the same file
/// twice changes nothing.
async fn fresh(
    change: &mut Change,
    allowed: &Allowed<WriteCredentials>,
    crypto: &Crypto,
    (stored, edit): (&Stored, &Edit),
) -> Result<Option<(Place, Secret)>, ServiceError> {
    let before = &stored.sealed.place;
    let Some(secret) = &edit.secret else {
        if edit.draft.provider_id() == before.provider {
            return Ok(None);
        }
        let reason = format!("is sealed to provider `{}`; give it again for the other one", before.provider);
        return Err(within(Invalid::new("secret", reason)).into());
    };
    let place = place(change, allowed, &stored.credential.tenant, &edit.draft).await?;
    // One that no longer opens is replaced, whatever it was.
    let is_same = place == *before && crypto.open(&stored.sealed).await.is_ok_and(|known| known == *secret);
    Ok((!is_same).then(|| (place, secret.clone())))
}

/// Deletes a credential, its secret at once.
pub async fn delete(
    state: &State,
    actor: &Actor,
    (tenant, id): (&TenantId, &CredentialId),
    revision: u64,
) -> Result<(), ServiceError> {
    let allowed = allow::<WriteCredentials>(actor, Some(tenant))?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let stored = store::credential::lock(&mut change, &allowed, id).await;
    let credential = stored.map_err(missing("credential", id))?.credential;
    credential.meta.expect(revision)?;
    delete_in(&mut change, &allowed, &credential).await?;
    change.commit().await?;
    Ok(())
}

/// Deletes a locked credential inside a change.
pub async fn delete_in(
    change: &mut Change,
    allowed: &Allowed<WriteCredentials>,
    credential: &Credential,
) -> Result<(), ServiceError> {
    store::credential::delete(change, allowed, &credential.id).await?;
    change.record(entry(Verb::Delete, credential, &[]));
    Ok(())
}

fn entry(verb: Verb, credential: &Credential, changes: &[diff::Changed]) -> NewEntry {
    NewEntry::new(verb, "credential", credential.id.as_str(), changes).of_tenant(credential.tenant.as_str())
}
