//! SQL of routing policies. The operator's have the empty owner.

use sqlx::{PgConnection, types::Json};
use switchyard_proto::id::{PolicyId, TenantId};

use crate::{
    domain::{
        page::{self, ByAge, Listed, Page},
        permission::{Allowed, ReadPolicies, WritePolicies, WriteTenants},
        policy::{Deadlines, Draft, Policy, Stage},
    },
    store::{
        MetaRow, StoreError,
        revision::{Change, Table},
        start,
    },
};

macro_rules! columns {
    () => {
        "tenant, id, description, disabled, match, priority, stages, sticky_by, deadlines, revision, managed_by, \
         managed_revision, created_at, updated_at"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant: Option<String>,
    id: String,
    description: String,
    disabled: bool,
    #[sqlx(rename = "match")]
    matches: String,
    priority: i32,
    stages: Json<Vec<Stage>>,
    sticky_by: String,
    deadlines: Json<Deadlines>,
    #[sqlx(flatten)]
    meta: MetaRow,
}

impl From<Row> for Policy {
    fn from(row: Row) -> Self {
        Self {
            id: PolicyId::new(row.id),
            tenant: row.tenant.map(TenantId::new),
            draft: Draft {
                description: row.description,
                disabled: row.disabled,
                matches: row.matches,
                priority: row.priority,
                stages: row.stages.0,
                sticky_by: row.sticky_by,
                deadlines: row.deadlines.0,
            },
            meta: row.meta.into(),
        }
    }
}

/// Whose policies an access is about: its tenant's, or the operator's where it has none.
fn owner<A>(allowed: &Allowed<A>) -> &str {
    allowed.scope().unwrap_or_default()
}

/// Lists one owner's policies, oldest first.
pub async fn list(
    db: &mut PgConnection,
    allowed: &Allowed<ReadPolicies>,
    page: &Page<ByAge>,
) -> Result<Listed<Policy>, StoreError> {
    let (after, after_id) = start(page);
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM policies WHERE owner = $1 AND deleted_at IS NULL AND (created_at, id) > ($2, $3)
          ORDER BY created_at, id LIMIT $4"
    ))
    .bind(owner(allowed))
    .bind(after)
    .bind(after_id)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let policies = rows.into_iter().map(Policy::from).collect();
    Ok(page.cut(policies, |policy: &Policy| page::by_age(policy.meta.created_at, policy.id.as_str())))
}

/// One policy.
pub async fn get(
    db: &mut PgConnection,
    allowed: &Allowed<ReadPolicies>,
    id: &PolicyId,
) -> Result<Policy, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM policies WHERE owner = $1 AND id = $2 AND deleted_at IS NULL"
    ))
    .bind(owner(allowed))
    .bind(id.as_str())
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// One policy, locked until the change ends.
pub async fn lock(
    change: &mut Change,
    allowed: &Allowed<WritePolicies>,
    id: &PolicyId,
) -> Result<Policy, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM policies WHERE owner = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE"
    ))
    .bind(owner(allowed))
    .bind(id.as_str())
    .fetch_one(change.connection())
    .await?;
    Ok(row.into())
}

/// Adds a policy; a deleted one of the same id comes back as this one.
///
/// # Errors
/// [`StoreError::Duplicate`] of `policies_pkey`, among others.
pub async fn insert(
    change: &mut Change,
    allowed: &Allowed<WritePolicies>,
    id: &PolicyId,
    draft: &Draft,
) -> Result<Policy, StoreError> {
    let managed_by = change.managed_by();
    let row: Option<Row> = sqlx::query_as(concat!(
        "INSERT INTO policies (owner, id, description, disabled, match, priority, stages, sticky_by, deadlines,
             managed_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (owner, id) DO UPDATE SET description = $3, disabled = $4, match = $5, priority = $6, stages = $7,
             sticky_by = $8, deadlines = $9, managed_by = $10, managed_revision = 0,
             created_at = statement_timestamp(), updated_at = statement_timestamp(), deleted_at = NULL
             WHERE policies.deleted_at IS NOT NULL
         RETURNING ",
        columns!()
    ))
    .bind(owner(allowed))
    .bind(id.as_str())
    .bind(&draft.description)
    .bind(draft.disabled)
    .bind(&draft.matches)
    .bind(draft.priority)
    .bind(Json(&draft.stages))
    .bind(&draft.sticky_by)
    .bind(Json(&draft.deadlines))
    .bind(managed_by)
    .fetch_optional(change.connection())
    .await?;
    change.touch(Table::Policies, owner(allowed), id.as_str());
    row.map(Policy::from).ok_or_else(|| StoreError::Duplicate("policies_pkey".to_owned()))
}

/// Writes what the owner chose of a policy.
pub async fn update(
    change: &mut Change,
    allowed: &Allowed<WritePolicies>,
    id: &PolicyId,
    draft: &Draft,
) -> Result<Policy, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "UPDATE policies SET description = $3, disabled = $4, match = $5, priority = $6, stages = $7, sticky_by = $8,
             deadlines = $9, updated_at = statement_timestamp()
         WHERE owner = $1 AND id = $2 AND deleted_at IS NULL RETURNING ",
        columns!()
    ))
    .bind(owner(allowed))
    .bind(id.as_str())
    .bind(&draft.description)
    .bind(draft.disabled)
    .bind(&draft.matches)
    .bind(draft.priority)
    .bind(Json(&draft.stages))
    .bind(&draft.sticky_by)
    .bind(Json(&draft.deadlines))
    .fetch_one(change.connection())
    .await?;
    change.touch(Table::Policies, owner(allowed), id.as_str());
    Ok(row.into())
}

/// Makes a policy a tombstone.
pub async fn delete(
    change: &mut Change,
    allowed: &Allowed<WritePolicies>,
    id: &PolicyId,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE policies SET deleted_at = now(), updated_at = statement_timestamp()
         WHERE owner = $1 AND id = $2 AND deleted_at IS NULL",
    )
    .bind(owner(allowed))
    .bind(id.as_str())
    .execute(change.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound);
    }
    change.touch(Table::Policies, owner(allowed), id.as_str());
    Ok(())
}

/// Makes all policies of a tenant tombstones, and says which.
pub async fn delete_all(
    change: &mut Change,
    _allowed: &Allowed<WriteTenants>,
    tenant: &TenantId,
) -> Result<Vec<PolicyId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "UPDATE policies SET deleted_at = now(), updated_at = statement_timestamp()
         WHERE owner = $1 AND deleted_at IS NULL RETURNING id",
    )
    .bind(tenant.as_str())
    .fetch_all(change.connection())
    .await?;
    for id in &ids {
        change.touch(Table::Policies, tenant.as_str(), id);
    }
    Ok(ids.into_iter().map(PolicyId::new).collect())
}
