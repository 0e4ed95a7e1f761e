//! Providers: made, changed and deleted by operators; and their sealed credentials.

use switchyard_proto::{
    clock,
    code::ErrorCode,
    id::{self, ProviderId},
    secret::Secret,
};

use crate::{
    catalogue::profile,
    crypto::{Crypto, Place},
    domain::{
        account::{AccountKind, Reset},
        audit::{NewEntry, Verb},
        diff,
        invalid::Invalid,
        ledger::AccountPeriod,
        page::{ByAge, Listed, Page},
        permission::{Actor, Allowed, ReadCatalogue, WriteCatalogue},
        provider::{Credential, Draft, Provider, check_credential, origin},
        tenant::check_slug,
    },
    error::ServiceError,
    service::{State, Update, allow, missing, seal},
    store::{
        self, StoreError,
        limit::{self, Limit},
        revision::Change,
    },
};

/// What providers are checked against and sealed with.
pub struct Tools<'a> {
    pub crypto: &'a Crypto,
    pub adapters: &'a [&'static str],
}

impl State {
    /// The tools for changes of providers.
    pub fn provider_tools(&self) -> Tools<'_> {
        Tools { crypto: &self.crypto, adapters: &self.adapters }
    }
}

/// What is chosen of a provider, its credential included.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    pub draft: Draft,
    pub credential: Credential,
    /// Environment variable that the file names the credential by; `None`: the stored one stays.
    pub credential_ref: Option<String>,
}

/// Lists the providers that the actor may see.
pub async fn list(
    state: &State,
    actor: &Actor,
    page: &Page<ByAge>,
) -> Result<Listed<Provider>, ServiceError> {
    let allowed = allow::<ReadCatalogue>(actor, None)?;
    let mut db = state.connection().await?;
    Ok(store::provider::list(&mut db, &allowed, page).await?)
}

/// One provider.
pub async fn get(state: &State, actor: &Actor, id: &ProviderId) -> Result<Provider, ServiceError> {
    let allowed = allow::<ReadCatalogue>(actor, None)?;
    let mut db = state.connection().await?;
    store::provider::get(&mut db, &allowed, id).await.map_err(missing("provider", id))
}

/// Makes a provider of the operator's.
pub async fn create(
    state: &State,
    actor: &Actor,
    id: &ProviderId,
    edit: Edit,
) -> Result<Provider, ServiceError> {
    let allowed = allow::<WriteCatalogue>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let mut provider = create_in(&mut change, &allowed, &state.provider_tools(), (id, edit)).await?;
    provider.meta.revision = change.commit().await?.number;
    Ok(provider)
}

/// Makes a provider inside a change.
pub async fn create_in(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    tools: &Tools<'_>,
    (id, edit): (&ProviderId, Edit),
) -> Result<Provider, ServiceError> {
    let draft = edit.draft.normal();
    check_slug(id.as_str()).map_err(|invalid| invalid.within("provider"))?;
    check(&draft, &edit.credential, tools)?;
    let credential_ref = edit.credential_ref.unwrap_or_default();
    let mut provider =
        store::provider::insert(change, allowed, id, &draft, &credential_ref).await.map_err(|error| {
            match error {
                StoreError::Duplicate(_) => ServiceError::exists("provider", id),
                other => other.into(),
            }
        })?;
    let mut changes = diff::from_nothing(&provider.draft);
    if let Credential::Set(secret) = &edit.credential {
        put(change, allowed, tools, (&provider, secret)).await?;
        provider.has_credential = true;
        changes.push(diff::replaced("credential"));
    }
    change.record(NewEntry::new(Verb::Create, "provider", id.as_str(), &changes));
    Ok(provider)
}

fn check(draft: &Draft, credential: &Credential, tools: &Tools<'_>) -> Result<(), Invalid> {
    let credential = match credential {
        Credential::Set(secret) => check_credential(secret),
        Credential::Keep | Credential::Remove => Ok(()),
    };
    let whole = profile::filled_in(draft).and_then(|whole| whole.check(tools.adapters));
    whole.and(credential).map_err(|invalid| invalid.within("provider"))
}

/// Changes a provider.
pub async fn update(
    state: &State,
    actor: &Actor,
    id: &ProviderId,
    update: Update<impl FnOnce(&Provider) -> Result<Edit, Invalid>>,
) -> Result<Provider, ServiceError> {
    let allowed = allow::<WriteCatalogue>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let provider = store::provider::lock(&mut change, &allowed, id).await.map_err(missing("provider", id))?;
    provider.meta.expect(update.revision)?;
    let edit = (update.patch)(&provider)?;
    let mut provider = update_in(&mut change, &allowed, &state.provider_tools(), (provider, edit)).await?;
    let is_changed = !change.is_empty();
    let revision = change.commit().await?;
    if is_changed {
        provider.meta.revision = revision.number;
    }
    Ok(provider)
}

/// Changes a locked provider inside a change; what stays the same is not written.
///
/// # Errors
/// A new origin asks for the credential again: it is sealed to the old one.
pub async fn update_in(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    tools: &Tools<'_>,
    (provider, edit): (Provider, Edit),
) -> Result<Provider, ServiceError> {
    let draft = edit.draft.normal();
    check(&draft, &edit.credential, tools)?;
    check_origin(&provider, &draft, &edit.credential)?;
    let credential = plan(change, tools, (&provider, &draft, edit.credential)).await?;
    let credential_ref = edit.credential_ref.unwrap_or_else(|| provider.credential_ref.clone());
    let is_same = draft == provider.draft && credential_ref == provider.credential_ref;
    if is_same && credential == Credential::Keep {
        return Ok(provider);
    }
    let mut changes = diff::between(&provider.draft, &draft);
    let mut stored = store::provider::update(change, allowed, &provider.id, &draft, &credential_ref).await?;
    set_budget(change, allowed, &provider, &stored).await?;
    match &credential {
        Credential::Keep => {}
        Credential::Set(secret) => {
            put(change, allowed, tools, (&stored, secret)).await?;
            stored.has_credential = true;
            changes.push(diff::replaced("credential"));
        }
        Credential::Remove => {
            store::sealed::remove(change, allowed, &provider.id).await?;
            stored.has_credential = false;
            changes.push(diff::removed("credential"));
        }
    }
    change.record(NewEntry::new(Verb::Update, "provider", stored.id.as_str(), &changes));
    Ok(stored)
}

/// Carries a new budget to the accounts of the credentials' current period.
async fn set_budget(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    before: &Provider,
    after: &Provider,
) -> Result<(), StoreError> {
    let budget = after.draft.credential_budget;
    if before.draft.credential_budget == budget {
        return Ok(());
    }
    let period = budget.map_or(Reset::Never, |budget| budget.reset).period(clock::now());
    let ids = [after.id.to_string()];
    for credential in store::sealed::of_providers(change.connection(), &ids).await? {
        let kind = AccountKind::CredentialBudget;
        let account = AccountPeriod { kind, owner: credential.id, period: period.clone() };
        let nano = budget.map(|budget| budget.usd.to_i64());
        limit::set(change, allowed, account, Limit { tenant: None, nano });
    }
    Ok(())
}

fn check_origin(provider: &Provider, draft: &Draft, credential: &Credential) -> Result<(), Invalid> {
    // A profile that is gone has no origin, and is to be replaced by what has one.
    let (before, after) = (origin_of(&provider.draft).unwrap_or_default(), origin_of(draft)?);
    if before == after || !provider.has_credential || *credential != Credential::Keep {
        return Ok(());
    }
    let reason = format!("is sealed to {before}; give it again for {after}");
    Err(Invalid::new("provider.credential", reason))
}

/// Where a provider's credential goes, by its own base URL or its profile's.
fn origin_of(draft: &Draft) -> Result<String, Invalid> {
    origin(&profile::filled_in(draft)?.base_url)
}

/// A credential that is already stored, for the same origin, is kept: the same file twice changes nothing.
async fn plan(
    change: &mut Change,
    tools: &Tools<'_>,
    (provider, draft, credential): (&Provider, &Draft, Credential),
) -> Result<Credential, ServiceError> {
    let Credential::Set(secret) = &credential else {
        let removes_nothing = credential == Credential::Remove && !provider.has_credential;
        return Ok(if removes_nothing { Credential::Keep } else { credential });
    };
    let ids = [provider.id.to_string()];
    let stored = store::sealed::of_providers(change.connection(), &ids).await?;
    let [only] = stored.as_slice() else { return Ok(credential) };
    let is_here = only.sealed.place.origin == origin_of(draft)?;
    // One that no longer opens is replaced, whatever it was.
    let is_same = tools.crypto.open(&only.sealed).await.is_ok_and(|before| before == *secret);
    Ok(if is_here && is_same { Credential::Keep } else { credential })
}

async fn put(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    tools: &Tools<'_>,
    (provider, secret): (&Provider, &Secret),
) -> Result<(), ServiceError> {
    let place = Place {
        tenant: provider.tenant.clone(),
        provider: provider.id.clone(),
        origin: origin_of(&provider.draft)?,
    };
    let sealed = seal::seal(change, allowed, tools.crypto, (place, secret)).await?;
    store::sealed::replace(change, allowed, &id::random("cred_"), &sealed).await?;
    Ok(())
}

/// Deletes a provider that no endpoint uses, its credential for good, and tenants' credentials for it.
pub async fn delete(
    state: &State,
    actor: &Actor,
    id: &ProviderId,
    revision: u64,
) -> Result<(), ServiceError> {
    let allowed = allow::<WriteCatalogue>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let provider = store::provider::lock(&mut change, &allowed, id).await.map_err(missing("provider", id))?;
    provider.meta.expect(revision)?;
    delete_in(&mut change, &allowed, &provider).await?;
    change.commit().await?;
    Ok(())
}

/// Deletes a locked provider inside a change.
pub async fn delete_in(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    provider: &Provider,
) -> Result<(), ServiceError> {
    let users = store::provider::users(change, allowed, &provider.id).await?;
    if !users.is_empty() {
        return Err(in_use(&provider.id, &users));
    }
    for (tenant, credential) in store::credential::delete_of_provider(change, allowed, &provider.id).await? {
        let entry = NewEntry::new(Verb::Delete, "credential", credential.as_str(), &[]);
        change.record(entry.of_tenant(tenant.as_str()));
    }
    store::sealed::remove(change, allowed, &provider.id).await?;
    store::provider::delete(change, allowed, &provider.id).await?;
    change.record(NewEntry::new(Verb::Delete, "provider", provider.id.as_str(), &[]));
    Ok(())
}

fn in_use(id: &ProviderId, users: &[String]) -> ServiceError {
    let named: Vec<String> = users.iter().take(10).map(|user| format!("`{user}`")).collect();
    let more = if users.len() > named.len() { " and others" } else { "" };
    let public =
        format!("provider `{id}` is used by endpoints {}{more}; delete those first", named.join(", "));
    ServiceError::new(ErrorCode::PreconditionFailed, public)
}
