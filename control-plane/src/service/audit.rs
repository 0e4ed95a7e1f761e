//! The audit, read by operators and by tenants' admins.

use switchyard_proto::id::TenantId;

use crate::{
    domain::{
        audit::Entry,
        page::{Listed, Page},
        permission::{Actor, ReadAudit},
    },
    error::ServiceError,
    service::{State, allow},
    store,
};

/// Lists entries, newest first; `None`: of all tenants that the actor may see.
pub async fn list(
    state: &State,
    actor: &Actor,
    tenant: Option<&TenantId>,
    page: &Page<u64>,
) -> Result<Listed<Entry>, ServiceError> {
    let allowed = allow::<ReadAudit>(actor, tenant)?;
    let mut db = state.connection().await?;
    Ok(store::audit::list(&mut db, &allowed, page).await?)
}
