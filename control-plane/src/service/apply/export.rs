//! Everything that a manifest can say, read in one state of the store. Secrets stay where they are.

use sqlx::PgConnection;
use switchyard_proto::id::TenantId;

use crate::{
    domain::{
        credential::Credential,
        endpoint::Endpoint,
        key::Key,
        model::Model,
        page::{ByAge, Listed, Page},
        permission::{Actor, ReadCatalogue, ReadCredentials, ReadKeys, ReadTenants},
        policy::Policy,
        provider::Provider,
        tenant::Tenant,
        webhook::Webhook,
    },
    error::ServiceError,
    service::{State, allow, policy, webhook},
    store,
};

/// All rows that the operator owns.
#[derive(Debug, Clone, Default)]
pub struct Exported {
    pub providers: Vec<Provider>,
    pub models: Vec<(Model, Vec<Endpoint>)>,
    pub tenants: Vec<ExportedTenant>,
    /// The operator's, then those of tenants.
    pub policies: Vec<Policy>,
    /// The same.
    pub webhooks: Vec<Webhook>,
}

/// A tenant and what belongs to it.
#[derive(Debug, Clone)]
pub struct ExportedTenant {
    pub tenant: Tenant,
    pub keys: Vec<Key>,
    /// Their keys are named by their names.
    pub credentials: Vec<Credential>,
}

/// Reads everything, by id; keys by name.
///
/// # Errors
/// Unless the actor is an operator.
pub async fn export(state: &State, actor: &Actor) -> Result<Exported, ServiceError> {
    let mut tx = store::apply::reading(&state.pool, &allow(actor, None)?).await?;
    let mut all = Exported::default();
    let catalogue = allow::<ReadCatalogue>(actor, None)?;
    let mut pages = Pages::default();
    while let Some(page) = pages.next()? {
        let rows = pages.took(store::provider::list(&mut tx, &catalogue, &page).await?);
        // Tenants' own providers are theirs to export.
        all.providers.extend(rows.into_iter().filter(|provider| provider.tenant.is_none()));
    }
    let mut pages = Pages::default();
    while let Some(page) = pages.next()? {
        for model in pages.took(store::model::list(&mut tx, &catalogue, &page).await?) {
            let endpoints = endpoints(&mut tx, actor, &model).await?;
            all.models.push((model, endpoints));
        }
    }
    let tenants = allow::<ReadTenants>(actor, None)?;
    let mut pages = Pages::default();
    while let Some(page) = pages.next()? {
        for tenant in pages.took(store::tenant::list(&mut tx, &tenants, &page).await?) {
            let keys = keys(&mut tx, actor, &tenant).await?;
            let credentials = credentials(&mut tx, actor, (&tenant, &keys)).await?;
            all.policies.extend(policies(&mut tx, actor, Some(&tenant.id)).await?);
            all.webhooks.extend(webhooks(&mut tx, actor, Some(&tenant.id)).await?);
            all.tenants.push(ExportedTenant { tenant, keys, credentials });
        }
    }
    all.policies.extend(policies(&mut tx, actor, None).await?);
    all.webhooks.extend(webhooks(&mut tx, actor, None).await?);
    all.sort();
    Ok(all)
}

impl Exported {
    /// Rows of one apply are equally old, so that age would give an order that changes from store to store.
    fn sort(&mut self) {
        self.providers.sort_by(|one, other| one.id.cmp(&other.id));
        self.models.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
        for (_, endpoints) in &mut self.models {
            endpoints.sort_by(|one, other| one.id.cmp(&other.id));
        }
        self.policies.sort_by(|one, other| (&one.tenant, &one.id).cmp(&(&other.tenant, &other.id)));
        self.webhooks.sort_by(|one, other| (&one.tenant, &one.id).cmp(&(&other.tenant, &other.id)));
        self.tenants.sort_by(|one, other| one.tenant.id.cmp(&other.tenant.id));
        for of in &mut self.tenants {
            of.keys.sort_by(|one, other| one.draft.name.cmp(&other.draft.name));
            of.credentials.sort_by(|one, other| one.id.cmp(&other.id));
        }
    }
}

async fn endpoints(
    db: &mut PgConnection,
    actor: &Actor,
    model: &Model,
) -> Result<Vec<Endpoint>, ServiceError> {
    let allowed = allow::<ReadCatalogue>(actor, None)?;
    let (mut all, mut pages) = (Vec::new(), Pages::default());
    while let Some(page) = pages.next()? {
        all.extend(pages.took(store::endpoint::list(&mut *db, &allowed, &model.id, &page).await?));
    }
    Ok(all)
}

async fn keys(db: &mut PgConnection, actor: &Actor, tenant: &Tenant) -> Result<Vec<Key>, ServiceError> {
    let allowed = allow::<ReadKeys>(actor, Some(&tenant.id))?;
    let (mut all, mut pages) = (Vec::new(), Pages::default());
    while let Some(page) = pages.next()? {
        all.extend(pages.took(store::key::list(&mut *db, &allowed, &page).await?));
    }
    Ok(all)
}

async fn credentials(
    db: &mut PgConnection,
    actor: &Actor,
    (tenant, keys): (&Tenant, &[Key]),
) -> Result<Vec<Credential>, ServiceError> {
    let allowed = allow::<ReadCredentials>(actor, Some(&tenant.id))?;
    let (mut all, mut pages) = (Vec::new(), Pages::default());
    while let Some(page) = pages.next()? {
        all.extend(pages.took(store::credential::list(&mut *db, &allowed, &page).await?));
    }
    for named in all.iter_mut().flat_map(|row: &mut Credential| &mut row.draft.allowed_keys) {
        if let Some(key) = keys.iter().find(|key| key.id.as_str() == named) {
            named.clone_from(&key.draft.name);
        }
    }
    Ok(all)
}

async fn policies(
    db: &mut PgConnection,
    actor: &Actor,
    tenant: Option<&TenantId>,
) -> Result<Vec<Policy>, ServiceError> {
    let allowed = policy::may_read(actor, tenant)?;
    let (mut all, mut pages) = (Vec::new(), Pages::default());
    while let Some(page) = pages.next()? {
        all.extend(pages.took(store::policy::list(&mut *db, &allowed, &page).await?));
    }
    Ok(all)
}

async fn webhooks(
    db: &mut PgConnection,
    actor: &Actor,
    tenant: Option<&TenantId>,
) -> Result<Vec<Webhook>, ServiceError> {
    let allowed = webhook::may_read(actor, tenant)?;
    let (mut all, mut pages) = (Vec::new(), Pages::default());
    while let Some(page) = pages.next()? {
        all.extend(pages.took(store::webhook::list(&mut *db, &allowed, &page).await?));
    }
    Ok(all)
}

/// Walks a list to its end.
#[derive(Default)]
struct Pages {
    token: String,
    is_over: bool,
}

impl Pages {
    fn next(&self) -> Result<Option<Page<ByAge>>, ServiceError> {
        if self.is_over {
            return Ok(None);
        }
        Ok(Some(Page::read(u32::MAX, &self.token)?))
    }

    fn took<T>(&mut self, listed: Listed<T>) -> Vec<T> {
        self.is_over = listed.next.is_empty();
        self.token = listed.next;
        listed.items
    }
}
