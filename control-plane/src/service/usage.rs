//! Usage, read by whoever may see the tenant.

use chrono::{DateTime, Utc};
use switchyard_proto::{
    code::ErrorCode,
    id::{GenerationId, TenantId},
};
use uuid::Uuid;

use crate::{
    domain::{
        account::Account,
        page::{Listed, Page},
        permission::{Actor, ReadUsage},
        report::{Month, Question, Report, Row, Statement, Sums},
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

/// Rows of a report, at most: it is for people and their tables.
const MOST_ROWS: usize = 10_000;

/// Adds usage up by whatever was asked.
///
/// # Errors
/// Where the answer has too many rows.
pub async fn report(
    state: &State,
    actor: &Actor,
    question: Question,
    now: DateTime<Utc>,
) -> Result<Report, ServiceError> {
    let allowed = allow::<ReadUsage>(actor, question.tenant.as_ref())?;
    let mut db = store::report::reading(&state.pool, &allowed).await?;
    let most = MOST_ROWS as i64 + 1;
    let (rows, complete_until) = store::report::ask(&mut db, &allowed, &question, most).await?;
    if rows.len() > MOST_ROWS {
        let public = format!("the report has more than {MOST_ROWS} rows: narrow it, or name less in `by`");
        return Err(ServiceError::new(ErrorCode::InvalidRequest, public));
    }
    Ok(Report {
        total: rows.iter().map(|row: &Row| row.sums).fold(Sums::default(), Sums::plus),
        rows,
        from: question.from,
        until: question.until,
        complete_until: complete_until.unwrap_or(now),
    })
}

/// A tenant's credits over a month.
pub async fn statement(
    state: &State,
    actor: &Actor,
    (tenant, month): (&TenantId, Month),
    now: DateTime<Utc>,
) -> Result<Statement, ServiceError> {
    let allowed = allow::<ReadUsage>(actor, Some(tenant))?;
    let mut db = store::report::reading(&state.pool, &allowed).await?;
    // A tenant that was deleted has its ledger still.
    let (before, moved) = store::statement::moved(&mut db, &allowed, month).await?;
    Ok(Statement {
        tenant: tenant.clone(),
        month,
        opening_nano: before.net(),
        moved,
        movements: store::statement::movements(&mut db, &allowed, month).await?,
        is_over: now.date_naive() >= month.after(),
    })
}
