//! `TenantService`.

use switchyard_proto::{
    id::TenantId,
    money::{self, NanoUsd},
    v1::{
        self, AdjustCreditsRequest, CreateTenantRequest, CreateTenantResponse, DeleteTenantRequest,
        DeleteTenantResponse, GetTenantRequest, ListTenantsRequest, ListTenantsResponse, PriceRule,
        Tenant as TenantMessage, UpdateTenantRequest, tenant_service_server::TenantService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        invalid::Invalid,
        page::Page,
        permission::{MoveCredits, WriteTenants},
        price::Rule,
        report::CreditKind,
        tenant::{Draft, Rules, Tenant},
    },
    error::ServiceError,
    grpc::{
        Admin,
        common::{budgets, from_budgets, from_limit, from_rates, limit, rates, timestamp},
        enter, given,
        mask::Masked,
    },
    service::{
        self, Update, allow,
        tenant::{Credits, WithCredits},
    },
};

/// Fields that the server sets, or that never change.
const FIXED: &[&str] = &["id", "revision", "managed_by", "created_at", "updated_at", "credits_left_usd"];

#[tonic::async_trait]
impl TenantService for Admin {
    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let tenants = service::tenant::list(&self.0, &actor, &page).await?.map(to_proto);
        Ok(Response::new(ListTenantsResponse { tenants: tenants.items, next_page_token: tenants.next }))
    }

    async fn get_tenant(
        &self,
        request: Request<GetTenantRequest>,
    ) -> Result<Response<TenantMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let tenant = service::tenant::get(&self.0, &actor, &TenantId::new(ask.id)).await?;
        Ok(Response::new(to_proto(tenant)))
    }

    async fn create_tenant(
        &self,
        request: Request<CreateTenantRequest>,
    ) -> Result<Response<CreateTenantResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        allow::<WriteTenants>(&actor, tenant_id(ask.tenant.as_ref()).as_ref())?;
        let tenant = given("tenant", ask.tenant)?;
        let credits = credits(&ask.credits_usd).map_err(ServiceError::from)?;
        let id = TenantId::new(tenant.id.as_str());
        let draft = draft(&tenant).map_err(ServiceError::from)?;
        let made = service::tenant::create(&self.0, &actor, &id, (draft, credits)).await?;
        Ok(Response::new(CreateTenantResponse { tenant: Some(to_proto(made)) }))
    }

    async fn update_tenant(
        &self,
        request: Request<UpdateTenantRequest>,
    ) -> Result<Response<TenantMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let id = TenantId::new(ask.id);
        allow::<WriteTenants>(&actor, Some(&id))?;
        let tenant = given("tenant", ask.tenant)?;
        let mask = ask.update_mask;
        let patch = move |current: &Tenant| {
            let masked = Masked { message: "Tenant", patch: &tenant, mask: mask.as_ref(), fixed: FIXED };
            let current = WithCredits { tenant: current.clone(), taken_nano: 0 };
            draft(&masked.over(&to_proto(current))?)
        };
        let update = Update { revision: ask.revision, patch };
        let tenant = service::tenant::update(&self.0, &actor, &id, update).await?;
        Ok(Response::new(to_proto(tenant)))
    }

    async fn delete_tenant(
        &self,
        request: Request<DeleteTenantRequest>,
    ) -> Result<Response<DeleteTenantResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        service::tenant::delete(&self.0, &actor, &TenantId::new(ask.id), ask.revision).await?;
        Ok(Response::new(DeleteTenantResponse {}))
    }

    async fn adjust_credits(
        &self,
        request: Request<AdjustCreditsRequest>,
    ) -> Result<Response<TenantMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let id = TenantId::new(ask.id);
        allow::<MoveCredits>(&actor, Some(&id))?;
        let amount = money::parse_signed(&ask.usd).map_err(|reason| ServiceError::invalid("usd", reason))?;
        let credits = Credits {
            amount_nano: amount,
            kind: credit_kind(ask.kind).map_err(ServiceError::from)?,
            reason: ask.reason,
            idempotency_key: ask.idempotency_key,
            force: ask.force,
        };
        let tenant = service::tenant::adjust_credits(&self.0, &actor, &id, &credits).await?;
        Ok(Response::new(to_proto(tenant)))
    }
}

fn credit_kind(kind: i32) -> Result<Option<CreditKind>, Invalid> {
    match v1::CreditKind::try_from(kind) {
        Ok(v1::CreditKind::Unspecified) => Ok(None),
        Ok(v1::CreditKind::TopUp) => Ok(Some(CreditKind::TopUp)),
        Ok(v1::CreditKind::Adjustment) => Ok(Some(CreditKind::Adjustment)),
        Ok(v1::CreditKind::Refund) => Ok(Some(CreditKind::Refund)),
        Err(_) => Err(Invalid::new("kind", "is none of TOP_UP, ADJUSTMENT, REFUND")),
    }
}

fn tenant_id(tenant: Option<&TenantMessage>) -> Option<TenantId> {
    tenant.map(|tenant| TenantId::new(tenant.id.as_str()))
}

/// Reads the credits that a tenant starts with; empty: none.
///
/// # Errors
/// Names `credits_usd`.
pub fn credits(usd: &str) -> Result<Option<NanoUsd>, Invalid> {
    if usd.is_empty() {
        return Ok(None);
    }
    let amount = NanoUsd::parse(usd).map_err(|reason| Invalid::new("credits_usd", reason))?;
    if amount.0 > i64::MAX as u64 {
        return Err(Invalid::new("credits_usd", money::ParseError::TooLarge));
    }
    Ok(Some(amount))
}

/// What a message says of the operator's choices.
///
/// # Errors
/// Names the field from `tenant` on.
pub fn draft(tenant: &TenantMessage) -> Result<Draft, Invalid> {
    let read = || {
        Ok(Draft {
            name: tenant.name.clone(),
            disabled: tenant.disabled,
            rates: rates(tenant.rates.as_ref()),
            prepaid: tenant.prepaid,
            markup_ppm: tenant.markup_ppm,
            allowed_models: tenant.allowed_models.clone(),
            rules: Rules {
                allowed_providers: tenant.allowed_providers.clone(),
                ignored_providers: tenant.ignored_providers.clone(),
                zdr: tenant.zdr,
                data_collection: tenant.data_collection.clone(),
                allowed_regions: tenant.allowed_regions.clone(),
            },
            price_book: tenant.price_book.iter().cloned().map(rule).collect(),
            budgets: budgets(&tenant.budgets)?,
            include_byok_in_budgets: tenant.include_byok_in_budgets,
            user_limit: tenant.user_limit.as_ref().map(|given| limit("user_limit", given)).transpose()?,
        })
    };
    read().map_err(|invalid: Invalid| invalid.within("tenant"))
}

/// A tenant as a message.
pub fn to_proto(shown: WithCredits) -> TenantMessage {
    let credits_left_usd = shown.left_nano().map(money::signed).unwrap_or_default();
    let tenant = shown.tenant;
    TenantMessage {
        id: tenant.id.to_string(),
        name: tenant.draft.name,
        disabled: tenant.draft.disabled,
        rates: from_rates(tenant.draft.rates),
        prepaid: tenant.draft.prepaid,
        markup_ppm: tenant.draft.markup_ppm,
        allowed_models: tenant.draft.allowed_models,
        budgets: from_budgets(&tenant.draft.budgets),
        include_byok_in_budgets: tenant.draft.include_byok_in_budgets,
        user_limit: tenant.draft.user_limit.map(from_limit),
        revision: tenant.meta.revision,
        managed_by: tenant.meta.managed_by,
        created_at: timestamp(tenant.meta.created_at),
        updated_at: timestamp(tenant.meta.updated_at),
        credits_left_usd,
        allowed_providers: tenant.draft.rules.allowed_providers,
        ignored_providers: tenant.draft.rules.ignored_providers,
        zdr: tenant.draft.rules.zdr,
        data_collection: tenant.draft.rules.data_collection,
        allowed_regions: tenant.draft.rules.allowed_regions,
        price_book: tenant.draft.price_book.into_iter().map(from_rule).collect(),
    }
}

fn rule(rule: PriceRule) -> Rule {
    let PriceRule { model, provider, markup_ppm, price } = rule;
    Rule { model, provider, markup_ppm, price: price.map(Into::into) }
}

fn from_rule(rule: Rule) -> PriceRule {
    let Rule { model, provider, markup_ppm, price } = rule;
    PriceRule { model, provider, markup_ppm, price: price.as_ref().map(Into::into) }
}
