//! Usage, read by whoever may see the tenant.

use switchyard_proto::id::{GenerationId, TenantId};
use uuid::Uuid;

use crate::{
    domain::{
        account::Account,
        page::{Listed, Page},
        permission::{Actor, ReadUsage},
        usage::{Filter, Generation, Line},
    },
    error::ServiceError,
    service::{State, allow, missing},
    store::{
        self,
        usage::{AccountPlace, LinePlace},
    },
};

/// Lists generations, newest first.
pub async fn list_generations(
    state: &State,
    actor: &Actor,
    filter: &Filter,
    page: &Page<Uuid>,
) -> Result<Listed<Generation>, ServiceError> {
    let allowed = allow::<ReadUsage>(actor, filter.tenant.as_ref())?;
    let mut db = state.connection().await?;
    Ok(store::usage::list_generations(&mut db, &allowed, filter, page).await?)
}

/// One generation; another tenant's does not exist.
pub async fn get_generation(
    state: &State,
    actor: &Actor,
    id: GenerationId,
) -> Result<Generation, ServiceError> {
    let allowed = allow::<ReadUsage>(actor, None)?;
    let mut db = state.connection().await?;
    store::usage::get_generation(&mut db, &allowed, id).await.map_err(missing("generation", id))
}

/// Lists ledger lines, newest first.
pub async fn list_lines(
    state: &State,
    actor: &Actor,
    filter: &Filter,
    page: &Page<LinePlace>,
) -> Result<Listed<Line>, ServiceError> {
    let allowed = allow::<ReadUsage>(actor, filter.tenant.as_ref())?;
    let mut db = state.connection().await?;
    Ok(store::usage::list_lines(&mut db, &allowed, filter, page).await?)
}

/// Lists accounts with their balances; `None`: of all tenants that the actor may see.
pub async fn list_accounts(
    state: &State,
    actor: &Actor,
    tenant: Option<&TenantId>,
    page: &Page<AccountPlace>,
) -> Result<Listed<Account>, ServiceError> {
    let allowed = allow::<ReadUsage>(actor, tenant)?;
    let mut db = state.connection().await?;
    Ok(store::usage::list_accounts(&mut db, &allowed, page).await?)
}
