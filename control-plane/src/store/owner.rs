//! SQL of the owners of accounts: on which terms config lets them lend.

use std::collections::BTreeMap;

use sqlx::{PgConnection, types::Json};

use crate::{
    domain::{
        account::{AccountKind, Reset},
        budget::{self, Budget},
        ledger::AccountPeriod,
        lending::Owner,
    },
    store::StoreError,
};

/// Owners by kind and id.
pub type Owners = BTreeMap<(AccountKind, String), Owner>;

#[derive(sqlx::FromRow)]
struct Row {
    owner: String,
    tenant: String,
    disabled: bool,
    limit_nano: Option<i64>,
    limit_reset: String,
    #[sqlx(default)]
    budgets: Json<Vec<Budget>>,
}

impl Row {
    fn into_owner(self) -> (String, Owner) {
        let reset = Reset::parse(&self.limit_reset).unwrap_or_default();
        let owner = Owner {
            tenant: self.tenant,
            disabled: self.disabled,
            limit: self.limit_nano,
            reset,
            budgets: self.budgets.0,
        };
        (self.owner, owner)
    }
}

/// What config says of the owners of accounts; those that are missing or deleted are left out.
pub async fn of(db: &mut PgConnection, accounts: &[&AccountPeriod]) -> Result<Owners, StoreError> {
    let mut owners = Owners::new();
    for kind in [
        AccountKind::TenantCredits,
        AccountKind::TenantBudget,
        AccountKind::KeyLimit,
        AccountKind::UserBudget,
        AccountKind::CredentialBudget,
    ] {
        let mut ids: Vec<&str> = accounts
            .iter()
            .filter(|account| account.kind == kind)
            .map(|account| account.owner.as_str())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            continue;
        }
        let found = match kind {
            AccountKind::KeyLimit => keys(db, &ids).await?,
            AccountKind::UserBudget => users(db, &ids).await?,
            AccountKind::CredentialBudget => credentials(db, &ids).await?,
            _ => tenants(db, &ids).await?,
        };
        owners.extend(found.into_iter().map(Row::into_owner).map(|(id, owner)| ((kind, id), owner)));
    }
    Ok(owners)
}

/// Tenants: their credits, and their budgets.
async fn tenants(db: &mut PgConnection, ids: &[&str]) -> Result<Vec<Row>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT id AS owner, id AS tenant, disabled, CASE WHEN prepaid THEN credits_nano END AS limit_nano,
             'never' AS limit_reset, budgets
         FROM tenants WHERE id = ANY($1) AND deleted_at IS NULL",
    );
    Ok(rows.bind(ids).fetch_all(db).await?)
}

async fn keys(db: &mut PgConnection, ids: &[&str]) -> Result<Vec<Row>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT k.id AS owner, t.id AS tenant, t.disabled OR k.disabled AS disabled, k.limit_nano, k.limit_reset
         FROM keys k JOIN tenants t ON t.id = k.tenant AND t.deleted_at IS NULL
         WHERE k.id = ANY($1) AND k.deleted_at IS NULL",
    );
    Ok(rows.bind(ids).fetch_all(db).await?)
}

/// Users have no rows: their limit is that of their key, or of their tenant for all keys. Without a key that trusts them
/// there is nobody by that name.
async fn users(db: &mut PgConnection, ids: &[&str]) -> Result<Vec<Row>, StoreError> {
    let named = ids.iter().filter_map(|id| budget::user_scope(id).map(|(tenant, key)| (*id, tenant, key)));
    let (mut owners, mut tenants, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for (owner, tenant, key) in named {
        owners.push(owner);
        tenants.push(tenant);
        keys.push(key);
    }
    let rows = sqlx::query_as(
        "SELECT w.owner, t.id AS tenant, t.disabled OR coalesce(k.disabled, false) AS disabled,
             CASE WHEN w.key IS NULL THEN t.user_limit_nano ELSE k.user_limit_nano END AS limit_nano,
             CASE WHEN w.key IS NULL THEN t.user_limit_reset ELSE k.user_limit_reset END AS limit_reset
         FROM unnest($1::text[], $2::text[], $3::text[]) AS w(owner, tenant, key)
         JOIN tenants t ON t.id = w.tenant AND t.deleted_at IS NULL
         LEFT JOIN keys k ON k.id = w.key AND k.tenant = t.id AND k.trust_user AND k.deleted_at IS NULL
         WHERE w.key IS NULL OR k.id IS NOT NULL",
    );
    Ok(rows.bind(owners).bind(tenants).bind(keys).fetch_all(db).await?)
}

/// The operator's: no tenant's accounts.
async fn credentials(db: &mut PgConnection, ids: &[&str]) -> Result<Vec<Row>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT c.id AS owner, '' AS tenant, false AS disabled, p.credential_budget_nano AS limit_nano,
             p.credential_budget_reset AS limit_reset
         FROM provider_credentials c JOIN providers p ON p.id = c.provider AND p.deleted_at IS NULL
         WHERE c.id = ANY($1)",
    );
    Ok(rows.bind(ids).fetch_all(db).await?)
}
