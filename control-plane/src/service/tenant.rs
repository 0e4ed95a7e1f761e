//! Tenants: made, changed and deleted by operators; and their credits.

use switchyard_proto::{
    clock,
    code::ErrorCode,
    id::TenantId,
    money::{self, NanoUsd},
};
use uuid::Uuid;

use crate::{
    domain::{
        account::{AccountKind, WHOLE_LIFE},
        audit::{NewEntry, Verb},
        budget::Budget,
        diff,
        invalid::{self, Invalid},
        ledger::AccountPeriod,
        page::{ByAge, Listed, Page},
        permission::{Actor, Allowed, MoveCredits, ReadTenants, WriteTenants},
        policy, preset,
        report::CreditKind,
        tenant::{Draft, Tenant, check_slug},
        webhook,
    },
    error::ServiceError,
    service::{State, Update, allow, missing},
    store::{
        self, StoreError,
        credit::Movement,
        limit::{self, Limit},
        revision::Change,
    },
};

/// A tenant, and what its accounts say of its credits.
#[derive(Debug, Clone)]
pub struct WithCredits {
    pub tenant: Tenant,
    /// Charged, presumed or lent.
    pub taken_nano: i64,
}

impl WithCredits {
    /// Credits granted less what is taken; `None` unless prepaid. Negative where credits were taken back too late.
    pub fn left_nano(&self) -> Option<i64> {
        let left = self.tenant.credits_nano.saturating_sub(self.taken_nano);
        self.tenant.draft.prepaid.then_some(left)
    }
}

/// Credits to be granted, or taken back when negative.
#[derive(Debug, Clone, Default)]
pub struct Credits {
    pub amount_nano: i64,
    /// `None`: a top-up where credits are granted, else an adjustment.
    pub kind: Option<CreditKind>,
    pub reason: String,
    /// Makes a repeated call harmless; empty: none.
    pub idempotency_key: String,
    /// Takes back what is spent or lent already.
    pub force: bool,
}

impl Credits {
    /// What a tenant starts with.
    pub fn opening(amount: NanoUsd) -> Self {
        Self { amount_nano: amount.to_i64(), reason: "opening credits".to_owned(), ..Self::default() }
    }
}

/// The rights that making a tenant takes.
pub struct Rights {
    pub write: Allowed<WriteTenants>,
    pub credits: Allowed<MoveCredits>,
}

impl Rights {
    /// Checks both rights.
    ///
    /// # Errors
    /// Unless the actor is an operator.
    pub fn of(actor: &Actor, tenant: &TenantId) -> Result<Self, ServiceError> {
        Ok(Self { write: allow(actor, Some(tenant))?, credits: allow(actor, Some(tenant))? })
    }
}

/// Lists the tenants that the actor may see.
pub async fn list(
    state: &State,
    actor: &Actor,
    page: &Page<ByAge>,
) -> Result<Listed<WithCredits>, ServiceError> {
    let allowed = allow::<ReadTenants>(actor, None)?;
    let mut db = state.connection().await?;
    let tenants = store::tenant::list(&mut db, &allowed, page).await?;
    let ids: Vec<TenantId> = tenants.items.iter().map(|tenant| tenant.id.clone()).collect();
    let taken = store::usage::credits_taken(&mut db, &allowed, &ids).await?;
    Ok(tenants.map(|tenant| {
        let taken_nano = taken.get(tenant.id.as_str()).copied().unwrap_or(0);
        WithCredits { tenant, taken_nano }
    }))
}

/// One tenant.
pub async fn get(state: &State, actor: &Actor, id: &TenantId) -> Result<WithCredits, ServiceError> {
    let allowed = allow::<ReadTenants>(actor, Some(id))?;
    let mut db = state.connection().await?;
    let tenant = store::tenant::get(&mut db, &allowed).await.map_err(missing("tenant", id))?;
    Ok(with_credits(&mut db, &allowed, tenant).await?)
}

async fn with_credits<A>(
    db: &mut sqlx::PgConnection,
    allowed: &Allowed<A>,
    tenant: Tenant,
) -> Result<WithCredits, StoreError> {
    let taken = store::usage::credits_taken(db, allowed, std::slice::from_ref(&tenant.id)).await?;
    let taken_nano = taken.get(tenant.id.as_str()).copied().unwrap_or(0);
    Ok(WithCredits { tenant, taken_nano })
}

/// Makes a tenant, with credits or without.
pub async fn create(
    state: &State,
    actor: &Actor,
    id: &TenantId,
    (draft, credits): (Draft, Option<NanoUsd>),
) -> Result<WithCredits, ServiceError> {
    let rights = Rights::of(actor, id)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let tenant = create_in(&mut change, &rights, id, (draft, credits)).await?;
    let mut made = with_credits(change.connection(), &rights.write, tenant).await?;
    made.tenant.meta.revision = change.commit().await?.number;
    Ok(made)
}

/// Makes a tenant inside a change. Credits make it prepaid.
pub async fn create_in(
    change: &mut Change,
    rights: &Rights,
    id: &TenantId,
    (draft, credits): (Draft, Option<NanoUsd>),
) -> Result<Tenant, ServiceError> {
    let draft = Draft { prepaid: draft.prepaid || credits.is_some(), ..draft };
    check_slug(id.as_str()).and_then(|()| draft.check()).map_err(|invalid| invalid.within("tenant"))?;
    let mut tenant =
        store::tenant::insert(change, &rights.write, id, &draft).await.map_err(|error| match error {
            StoreError::Duplicate(_) => ServiceError::exists("tenant", id),
            other => other.into(),
        })?;
    let changes = diff::from_nothing(&tenant.draft);
    change.record(NewEntry::new(Verb::Create, "tenant", id.as_str(), &changes).of_tenant(id.as_str()));
    if let Some(amount) = credits.filter(|amount| *amount > NanoUsd::ZERO) {
        tenant = move_credits(change, &rights.credits, tenant, &Credits::opening(amount)).await?;
    }
    set_limits(change, &rights.write, &tenant, None);
    Ok(tenant)
}

/// Changes a tenant.
pub async fn update(
    state: &State,
    actor: &Actor,
    id: &TenantId,
    update: Update<impl FnOnce(&Tenant) -> Result<Draft, Invalid>>,
) -> Result<WithCredits, ServiceError> {
    let allowed = allow::<WriteTenants>(actor, Some(id))?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let tenant = store::tenant::lock(&mut change, &allowed, id).await.map_err(missing("tenant", id))?;
    tenant.meta.expect(update.revision)?;
    let draft = (update.patch)(&tenant)?;
    let tenant = update_in(&mut change, &allowed, tenant, draft).await?;
    let mut updated = with_credits(change.connection(), &allowed, tenant).await?;
    let is_changed = !change.is_empty();
    let revision = change.commit().await?;
    if is_changed {
        updated.tenant.meta.revision = revision.number;
    }
    Ok(updated)
}

/// Changes a locked tenant inside a change; what stays the same is not written.
pub async fn update_in(
    change: &mut Change,
    allowed: &Allowed<WriteTenants>,
    tenant: Tenant,
    draft: Draft,
) -> Result<Tenant, ServiceError> {
    draft.check().map_err(|invalid| invalid.within("tenant"))?;
    if draft == tenant.draft {
        return Ok(tenant);
    }
    let stored = store::tenant::update(change, allowed, &tenant.id, &draft).await?;
    set_limits(change, allowed, &stored, Some(&tenant.draft));
    let changes = diff::between(&tenant.draft, &stored.draft);
    let id = stored.id.as_str();
    change.record(NewEntry::new(Verb::Update, "tenant", id, &changes).of_tenant(id));
    Ok(stored)
}

/// Deletes a tenant with its keys, credentials and admin tokens. What it spent stays in the ledger.
pub async fn delete(state: &State, actor: &Actor, id: &TenantId, revision: u64) -> Result<(), ServiceError> {
    let allowed = allow::<WriteTenants>(actor, Some(id))?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let tenant = store::tenant::lock(&mut change, &allowed, id).await.map_err(missing("tenant", id))?;
    tenant.meta.expect(revision)?;
    delete_in(&mut change, &allowed, &tenant).await?;
    change.commit().await?;
    Ok(())
}

/// Deletes a locked tenant inside a change.
pub async fn delete_in(
    change: &mut Change,
    allowed: &Allowed<WriteTenants>,
    tenant: &Tenant,
) -> Result<(), ServiceError> {
    let id = tenant.id.as_str();
    for key in store::key::delete_all(change, allowed, &tenant.id).await? {
        change.record(NewEntry::new(Verb::Delete, "key", key.as_str(), &[]).of_tenant(id));
    }
    for credential in store::credential::delete_of_tenant(change, allowed, &tenant.id).await? {
        change.record(NewEntry::new(Verb::Delete, "credential", credential.as_str(), &[]).of_tenant(id));
    }
    for policy in store::policy::delete_all(change, allowed, &tenant.id).await? {
        let shown = policy::shown(Some(&tenant.id), &policy);
        change.record(NewEntry::new(Verb::Delete, "policy", &shown, &[]).of_tenant(id));
    }
    for preset in store::preset::delete_all(change, allowed, &tenant.id).await? {
        let shown = preset::shown(&tenant.id, &preset);
        change.record(NewEntry::new(Verb::Delete, "preset", &shown, &[]).of_tenant(id));
    }
    for webhook in store::webhook::delete_all(change, allowed, &tenant.id).await? {
        let shown = webhook::shown(Some(&tenant.id), &webhook);
        change.record(NewEntry::new(Verb::Delete, "webhook", &shown, &[]).of_tenant(id));
    }
    for token in store::token::delete_all(change, allowed, &tenant.id).await? {
        change.record(NewEntry::new(Verb::Delete, "token", &token, &[]).of_tenant(id));
    }
    store::tenant::delete(change, allowed, &tenant.id).await?;
    change.record(NewEntry::new(Verb::Delete, "tenant", id, &[]).of_tenant(id));
    Ok(())
}

/// Grants credits to a prepaid tenant, or takes some back.
pub async fn adjust_credits(
    state: &State,
    actor: &Actor,
    id: &TenantId,
    credits: &Credits,
) -> Result<WithCredits, ServiceError> {
    let allowed = allow::<MoveCredits>(actor, Some(id))?;
    check_credits(credits)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let tenant =
        store::tenant::lock_for_credits(&mut change, &allowed, id).await.map_err(missing("tenant", id))?;
    if !tenant.draft.prepaid {
        let public = format!("tenant `{id}` is not prepaid; set `prepaid` first");
        return Err(ServiceError::new(ErrorCode::PreconditionFailed, public));
    }
    let before = tenant.credits_nano;
    let tenant = move_credits(&mut change, &allowed, tenant, credits).await?;
    if tenant.credits_nano < before {
        check_spent(&mut change, &allowed, &tenant, credits).await?;
    }
    set_credits_limit(&mut change, &allowed, &tenant);
    let adjusted = with_credits(change.connection(), &allowed, tenant).await?;
    change.commit().await?;
    Ok(adjusted)
}

fn check_credits(credits: &Credits) -> Result<(), Invalid> {
    if credits.amount_nano == 0 {
        return Err(Invalid::new("usd", "must not be 0"));
    }
    match (credits.kind, credits.amount_nano > 0) {
        (Some(CreditKind::TopUp), false) => {
            return Err(Invalid::new("usd", "is negative, and a top-up only grants"));
        }
        (Some(CreditKind::Refund), true) => {
            return Err(Invalid::new("usd", "is positive, and a refund pays back: it only takes"));
        }
        _ => {}
    }
    match credits.kind {
        Some(CreditKind::Adjustment | CreditKind::Refund) => {
            invalid::required("reason", &credits.reason, 1000)?
        }
        None | Some(CreditKind::TopUp) => invalid::text("reason", &credits.reason, 1000)?,
    }
    invalid::text("idempotency_key", &credits.idempotency_key, 200)
}

/// What is spent cannot be taken back, nor what is lent and may be spent at this moment.
async fn check_spent(
    change: &mut Change,
    allowed: &Allowed<MoveCredits>,
    tenant: &Tenant,
    credits: &Credits,
) -> Result<(), ServiceError> {
    if credits.force {
        return Ok(());
    }
    let taken = store::credit::taken(change, allowed, &tenant.id).await?;
    if tenant.credits_nano >= taken {
        return Ok(());
    }
    let left = tenant.credits_nano.saturating_sub(credits.amount_nano).saturating_sub(taken).max(0);
    let reason = format!(
        "takes back credits that are spent or lent: {} USD are left; set `force` to do it all the same",
        money::signed(left)
    );
    Err(ServiceError::invalid("usd", reason))
}

/// Moves credits of a locked tenant: the sum, the ledger line, the audit. A repeated call moves nothing.
async fn move_credits(
    change: &mut Change,
    allowed: &Allowed<MoveCredits>,
    tenant: Tenant,
    credits: &Credits,
) -> Result<Tenant, ServiceError> {
    let movement = Movement {
        tenant: &tenant.id,
        amount_nano: credits.amount_nano,
        kind: credits.kind.unwrap_or_else(|| CreditKind::of_amount(credits.amount_nano)),
        reason: &credits.reason,
        idempotency_key: &credits.idempotency_key,
        line: Uuid::now_v7(),
    };
    if !credits.idempotency_key.is_empty()
        && let Some(before) = store::credit::claim(change, allowed, &movement).await?
    {
        return repeated(tenant, credits, before);
    }
    let credits_nano = sum(&tenant, credits)?;
    store::tenant::set_credits(change, allowed, &tenant.id, credits_nano).await?;
    store::credit::add_line(change, allowed, &movement).await?;
    let changes = diff::between(&granted(tenant.credits_nano, None), &granted(credits_nano, Some(&movement)));
    let id = tenant.id.as_str();
    change.record(NewEntry::new(Verb::Credits, "tenant", id, &changes).of_tenant(id));
    Ok(Tenant { credits_nano, ..tenant })
}

fn repeated(tenant: Tenant, credits: &Credits, before: i64) -> Result<Tenant, ServiceError> {
    if before == credits.amount_nano {
        return Ok(tenant);
    }
    let public = format!("idempotency_key was used before with {} USD", money::signed(before));
    let conflict = ServiceError::new(ErrorCode::Conflict, public);
    Err(ServiceError { field: Some("idempotency_key".to_owned()), ..conflict })
}

fn sum(tenant: &Tenant, credits: &Credits) -> Result<i64, ServiceError> {
    match tenant.credits_nano.checked_add(credits.amount_nano) {
        Some(sum) if sum >= 0 => Ok(sum),
        Some(_) => {
            let granted = money::signed(tenant.credits_nano);
            Err(ServiceError::invalid("usd", format!("takes back more than the {granted} USD ever granted")))
        }
        None => Err(ServiceError::invalid("usd", money::ParseError::TooLarge)),
    }
}

/// For the audit: the sum, and how it came about.
fn granted(credits_nano: i64, by: Option<&Movement<'_>>) -> serde_json::Value {
    let kind = by.map(|movement| movement.kind.as_str());
    let reason = by.map(|movement| movement.reason).filter(|reason| !reason.is_empty());
    serde_json::json!({"credits_usd": money::signed(credits_nano), "kind": kind, "reason": reason})
}

/// Carries credits and budgets that are new, changed or gone to the accounts of their current periods.
///
/// What was spent before a budget was set does not count on it.
fn set_limits<A>(change: &mut Change, allowed: &Allowed<A>, tenant: &Tenant, before: Option<&Draft>) {
    if before.is_none_or(|before| before.prepaid != tenant.draft.prepaid) {
        set_credits_limit(change, allowed, tenant);
    }
    let (before, after) = (before.map_or(&[][..], |before| &before.budgets), &tenant.draft.budgets);
    let is_gone = |budget: &&Budget| !after.iter().any(|other| other.window == budget.window);
    let gone = before.iter().filter(is_gone).map(|budget| (budget.window, None));
    let changed = after.iter().filter(|budget| !before.contains(budget));
    let changed = changed.map(|budget| (budget.window, Some(budget.usd.to_i64())));
    let now = clock::now();
    for (window, nano) in gone.chain(changed) {
        let (kind, owner) = (AccountKind::TenantBudget, tenant.id.to_string());
        let account = AccountPeriod { kind, owner, period: window.period(now) };
        limit::set(change, allowed, account, Limit { tenant: Some(tenant.id.clone()), nano });
    }
}

/// Carries the sum of credits to the tenant's account: its limit while it is prepaid.
fn set_credits_limit<A>(change: &mut Change, allowed: &Allowed<A>, tenant: &Tenant) {
    let (kind, owner) = (AccountKind::TenantCredits, tenant.id.to_string());
    let account = AccountPeriod { kind, owner, period: WHOLE_LIFE.to_owned() };
    let nano = tenant.draft.prepaid.then_some(tenant.credits_nano);
    limit::set(change, allowed, account, Limit { tenant: Some(tenant.id.clone()), nano });
}
