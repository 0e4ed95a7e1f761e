//! SQL of presets and their versions.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use switchyard_proto::id::{PresetId, TenantId};

use crate::{
    domain::{
        page::{self, ByAge, Listed, Page},
        permission::{Allowed, ReadPresets, WritePresets, WriteTenants},
        preset::{Draft, Preset, Says, VERSIONS_KEPT, Version},
    },
    store::{
        MetaRow, StoreError,
        revision::{Change, Table},
        signed, start, unsigned,
    },
};

macro_rules! columns {
    () => {
        "tenant, id, description, disabled, version, system_prompt, config, revision, managed_by, managed_revision, \
         created_at, updated_at"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant: String,
    id: String,
    description: String,
    disabled: bool,
    version: i64,
    system_prompt: String,
    config: String,
    #[sqlx(flatten)]
    meta: MetaRow,
}

impl From<Row> for Preset {
    fn from(row: Row) -> Self {
        let says = Says { system_prompt: row.system_prompt, config: row.config };
        Self {
            id: PresetId::new(row.id),
            tenant: TenantId::new(row.tenant),
            version: unsigned(row.version),
            draft: Draft { description: row.description, disabled: row.disabled, says },
            meta: row.meta.into(),
        }
    }
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    version: i64,
    system_prompt: String,
    config: String,
    created_by: String,
    created_at: DateTime<Utc>,
}

impl From<VersionRow> for Version {
    fn from(row: VersionRow) -> Self {
        Self {
            version: unsigned(row.version),
            says: Says { system_prompt: row.system_prompt, config: row.config },
            created_by: row.created_by,
            created_at: row.created_at,
        }
    }
}

/// Lists a tenant's presets, oldest first.
pub async fn list(
    db: &mut PgConnection,
    allowed: &Allowed<ReadPresets>,
    page: &Page<ByAge>,
) -> Result<Listed<Preset>, StoreError> {
    let (after, after_id) = start(page);
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM presets WHERE tenant = $1 AND deleted_at IS NULL AND (created_at, id) > ($2, $3)
          ORDER BY created_at, id LIMIT $4"
    ))
    .bind(allowed.scope())
    .bind(after)
    .bind(after_id)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let presets = rows.into_iter().map(Preset::from).collect();
    Ok(page.cut(presets, |preset: &Preset| page::by_age(preset.meta.created_at, preset.id.as_str())))
}

/// One preset.
pub async fn get(
    db: &mut PgConnection,
    allowed: &Allowed<ReadPresets>,
    id: &PresetId,
) -> Result<Preset, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM presets WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL"
    ))
    .bind(allowed.scope())
    .bind(id.as_str())
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// Lists a live preset's versions, newest first.
pub async fn versions(
    db: &mut PgConnection,
    allowed: &Allowed<ReadPresets>,
    id: &PresetId,
    page: &Page<u64>,
) -> Result<Listed<Version>, StoreError> {
    let rows: Vec<VersionRow> = sqlx::query_as(
        "SELECT version, system_prompt, config, created_by, created_at FROM preset_versions
         WHERE tenant = $1 AND preset = $2 AND version < $3 ORDER BY version DESC LIMIT $4",
    )
    .bind(allowed.scope())
    .bind(id.as_str())
    .bind(page.after.map_or(i64::MAX, signed))
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    Ok(page.cut(rows.into_iter().map(Version::from).collect(), |row: &Version| row.version))
}

/// One version of a live preset.
pub async fn version(
    db: &mut PgConnection,
    allowed: &Allowed<ReadPresets>,
    id: &PresetId,
    version: u64,
) -> Result<Version, StoreError> {
    let row: VersionRow = sqlx::query_as(
        "SELECT v.version, v.system_prompt, v.config, v.created_by, v.created_at
         FROM preset_versions v JOIN presets p ON p.tenant = v.tenant AND p.id = v.preset
         WHERE v.tenant = $1 AND v.preset = $2 AND v.version = $3 AND p.deleted_at IS NULL",
    )
    .bind(allowed.scope())
    .bind(id.as_str())
    .bind(signed(version))
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// One preset, locked until the change ends.
pub async fn lock(
    change: &mut Change,
    allowed: &Allowed<WritePresets>,
    id: &PresetId,
) -> Result<Preset, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM presets WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE"
    ))
    .bind(allowed.scope())
    .bind(id.as_str())
    .fetch_one(change.connection())
    .await?;
    Ok(row.into())
}

/// Adds a preset; a deleted one of the same id comes back as this one, in its next version.
///
/// # Errors
/// [`StoreError::Duplicate`] of `presets_pkey`, among others.
pub async fn insert(
    change: &mut Change,
    allowed: &Allowed<WritePresets>,
    tenant: &TenantId,
    id: &PresetId,
    draft: &Draft,
) -> Result<Preset, StoreError> {
    let managed_by = change.managed_by();
    let row: Option<Row> = sqlx::query_as(concat!(
        "INSERT INTO presets (tenant, id, description, disabled, system_prompt, config, managed_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (tenant, id) DO UPDATE SET description = $3, disabled = $4, system_prompt = $5, config = $6,
             managed_by = $7, managed_revision = 0, version = presets.version + 1,
             created_at = statement_timestamp(), updated_at = statement_timestamp(), deleted_at = NULL
             WHERE presets.deleted_at IS NOT NULL
         RETURNING ",
        columns!()
    ))
    .bind(tenant.as_str())
    .bind(id.as_str())
    .bind(&draft.description)
    .bind(draft.disabled)
    .bind(&draft.says.system_prompt)
    .bind(&draft.says.config)
    .bind(managed_by)
    .fetch_optional(change.connection())
    .await?;
    let preset = row.map(Preset::from).ok_or_else(|| StoreError::Duplicate("presets_pkey".to_owned()))?;
    keep(change, allowed, &preset).await?;
    change.touch(Table::Presets, tenant.as_str(), id.as_str());
    Ok(preset)
}

/// Writes what the owner chose of a locked preset; what it says as another version, if that changed.
pub async fn update(
    change: &mut Change,
    allowed: &Allowed<WritePresets>,
    before: &Preset,
    draft: &Draft,
) -> Result<Preset, StoreError> {
    let says_else = before.draft.says != draft.says;
    let row: Row = sqlx::query_as(concat!(
        "UPDATE presets SET description = $3, disabled = $4, system_prompt = $5, config = $6,
             version = version + $7, updated_at = statement_timestamp()
         WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL RETURNING ",
        columns!()
    ))
    .bind(before.tenant.as_str())
    .bind(before.id.as_str())
    .bind(&draft.description)
    .bind(draft.disabled)
    .bind(&draft.says.system_prompt)
    .bind(&draft.says.config)
    .bind(i64::from(says_else))
    .fetch_one(change.connection())
    .await?;
    let preset = Preset::from(row);
    if says_else {
        keep(change, allowed, &preset).await?;
    }
    change.touch(Table::Presets, preset.tenant.as_str(), preset.id.as_str());
    Ok(preset)
}

/// Keeps what a preset says now as a version, and drops the oldest beyond those that are kept.
async fn keep(
    change: &mut Change,
    allowed: &Allowed<WritePresets>,
    preset: &Preset,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO preset_versions (tenant, preset, version, system_prompt, config, created_by)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(preset.tenant.as_str())
    .bind(preset.id.as_str())
    .bind(signed(preset.version))
    .bind(&preset.draft.says.system_prompt)
    .bind(&preset.draft.says.config)
    .bind(allowed.actor())
    .execute(change.connection())
    .await?;
    sqlx::query("DELETE FROM preset_versions WHERE tenant = $1 AND preset = $2 AND version <= $3")
        .bind(preset.tenant.as_str())
        .bind(preset.id.as_str())
        .bind(signed(preset.version) - VERSIONS_KEPT)
        .execute(change.connection())
        .await?;
    Ok(())
}

/// Makes a preset a tombstone, without what it said.
pub async fn delete(
    change: &mut Change,
    _allowed: &Allowed<WritePresets>,
    preset: &Preset,
) -> Result<(), StoreError> {
    bury(change, &preset.tenant, Some(&preset.id)).await.map(drop)
}

/// Makes all presets of a tenant tombstones, and says which.
pub async fn delete_all(
    change: &mut Change,
    _allowed: &Allowed<WriteTenants>,
    tenant: &TenantId,
) -> Result<Vec<PresetId>, StoreError> {
    bury(change, tenant, None).await
}

async fn bury(
    change: &mut Change,
    tenant: &TenantId,
    only: Option<&PresetId>,
) -> Result<Vec<PresetId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "UPDATE presets SET deleted_at = now(), updated_at = statement_timestamp(), system_prompt = '', config = ''
         WHERE tenant = $1 AND ($2::text IS NULL OR id = $2) AND deleted_at IS NULL RETURNING id",
    )
    .bind(tenant.as_str())
    .bind(only.map(PresetId::as_str))
    .fetch_all(change.connection())
    .await?;
    sqlx::query("DELETE FROM preset_versions WHERE tenant = $1 AND preset = ANY($2)")
        .bind(tenant.as_str())
        .bind(&ids)
        .execute(change.connection())
        .await?;
    for id in &ids {
        change.touch(Table::Presets, tenant.as_str(), id);
    }
    Ok(ids.into_iter().map(PresetId::new).collect())
}
