//! `UsageService`.

use switchyard_proto::{
    clock,
    id::{GenerationId, KeyId, ModelId, TenantId},
    money,
    price::Parts,
    v1::{
        Account as AccountMessage, AccountPeriod, Generation as GenerationMessage, GetGenerationRequest,
        GetStatementRequest, Line as LineMessage, ListAccountsRequest, ListAccountsResponse,
        ListGenerationsRequest, ListGenerationsResponse, ListLinesRequest, ListLinesResponse, PriceParts,
        ReportUsageRequest, ReportUsageResponse, Statement as StatementMessage,
        usage_service_server::UsageService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        account::Account,
        invalid::Invalid,
        page::Page,
        report::Month,
        usage::{Filter, Generation, Line},
    },
    error::ServiceError,
    grpc::{
        Admin,
        common::{revision, tenant, time, timestamp, tokens},
        enter,
    },
    service,
};

mod report;

#[tonic::async_trait]
impl UsageService for Admin {
    async fn list_generations(
        &self,
        request: Request<ListGenerationsRequest>,
    ) -> Result<Response<ListGenerationsResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let filter = generations_filter(&ask).map_err(ServiceError::from)?;
        let found = service::usage::list_generations(&self.0, &actor, &filter, &page).await?;
        let found = found.map(from_generation);
        let next_page_token = found.next;
        Ok(Response::new(ListGenerationsResponse { generations: found.items, next_page_token }))
    }

    async fn get_generation(
        &self,
        request: Request<GetGenerationRequest>,
    ) -> Result<Response<GenerationMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let id = generation_id("id", &ask.id).map_err(ServiceError::from)?;
        let generation = service::usage::get_generation(&self.0, &actor, id).await?;
        Ok(Response::new(from_generation(generation)))
    }

    async fn list_lines(
        &self,
        request: Request<ListLinesRequest>,
    ) -> Result<Response<ListLinesResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let filter = lines_filter(&ask).map_err(ServiceError::from)?;
        let lines = service::usage::list_lines(&self.0, &actor, &filter, &page).await?.map(from_line);
        Ok(Response::new(ListLinesResponse { lines: lines.items, next_page_token: lines.next }))
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let tenant = tenant(ask.tenant);
        let accounts = service::usage::list_accounts(&self.0, &actor, tenant.as_ref(), &page).await?;
        let accounts = accounts.map(from_account);
        Ok(Response::new(ListAccountsResponse { accounts: accounts.items, next_page_token: accounts.next }))
    }

    async fn report_usage(
        &self,
        request: Request<ReportUsageRequest>,
    ) -> Result<Response<ReportUsageResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let now = clock::now();
        let question = report::question(ask, now).map_err(ServiceError::from)?;
        let found = service::usage::report(&self.0, &actor, question, now).await?;
        Ok(Response::new(report::from_report(found)))
    }

    async fn get_statement(
        &self,
        request: Request<GetStatementRequest>,
    ) -> Result<Response<StatementMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let month = Month::parse(&ask.month).map_err(ServiceError::from)?;
        let tenant = TenantId::new(ask.tenant);
        let found = service::usage::statement(&self.0, &actor, (&tenant, month), clock::now()).await?;
        Ok(Response::new(report::from_statement(found)))
    }
}

fn generations_filter(ask: &ListGenerationsRequest) -> Result<Filter, Invalid> {
    Ok(Filter {
        tenant: tenant(ask.tenant.clone()),
        key: (!ask.key.is_empty()).then(|| KeyId::new(ask.key.as_str())),
        model: (!ask.model.is_empty()).then(|| ModelId::new(ask.model.as_str())),
        generation: None,
        since: time("since", ask.since.as_ref())?,
        until: time("until", ask.until.as_ref())?,
    })
}

fn lines_filter(ask: &ListLinesRequest) -> Result<Filter, Invalid> {
    let generation = match ask.generation.as_str() {
        "" => None,
        text => Some(generation_id("generation", text)?),
    };
    Ok(Filter {
        tenant: tenant(ask.tenant.clone()),
        key: (!ask.key.is_empty()).then(|| KeyId::new(ask.key.as_str())),
        model: None,
        generation,
        since: time("since", ask.since.as_ref())?,
        until: time("until", ask.until.as_ref())?,
    })
}

fn generation_id(field: &str, text: &str) -> Result<GenerationId, Invalid> {
    GenerationId::parse(text).ok_or_else(|| Invalid::new(field, "is not a generation's id: `gen-…`"))
}

fn from_generation(generation: Generation) -> GenerationMessage {
    GenerationMessage {
        id: generation.id.to_string(),
        tenant: generation.tenant,
        key: generation.key,
        requested_model: generation.requested_model,
        model: generation.model,
        provider: generation.provider,
        surface: generation.surface,
        streamed: generation.streamed,
        cancelled: generation.cancelled,
        status: generation.status,
        error_type: generation.error_type,
        finish_reason: generation.finish_reason,
        native_finish_reason: generation.native_finish_reason,
        tokens: Some(tokens(generation.tokens)),
        cost_usd: money::signed(generation.cost_nano),
        charge_usd: money::signed(generation.charge_nano),
        attempts: generation.attempts,
        admitted_at: timestamp(generation.admitted_at),
        first_content_ms: generation.first_content_ms,
        duration_ms: generation.duration_ms,
        instance: generation.instance,
        region: generation.region,
        config_revision: Some(revision(generation.config_revision)),
        user: generation.user,
        trace_id: generation.trace_id,
        decision: generation.decision,
    }
}

fn from_line(line: Line) -> LineMessage {
    let payer = AccountPeriod {
        kind: i32::from(line.payer_kind),
        owner: line.payer_owner,
        period: line.payer_period,
    };
    LineMessage {
        id: line.id.to_string(),
        attempt: line.attempt,
        kind: line.kind,
        tenant: line.tenant,
        key: line.key,
        payer: (payer.kind != 0).then_some(payer),
        model: line.model,
        endpoint: line.endpoint,
        provider: line.provider,
        tokens: Some(tokens(line.tokens)),
        cost_usd: money::signed(line.cost_nano),
        charge_usd: money::signed(line.charge_nano),
        house_usd: money::signed(line.house_nano),
        reserved_usd: money::signed(line.reserved_nano),
        provenance: line.provenance,
        outcome: line.outcome,
        at: timestamp(line.at),
        price: price(&line.price),
        markup_ppm: line.markup_ppm,
        tenant_price: price(&line.tenant_price),
        price_revision: (line.price_revision.number > 0).then(|| revision(line.price_revision)),
        instance: line.instance,
        epoch: line.epoch,
        reason: line.reason,
        actor: line.actor,
        credit: line.credit.map_or(0, |kind| report::credit_kind(kind).into()),
    }
}

/// None where no price is noted.
fn price(parts: &Parts) -> Option<PriceParts> {
    (!parts.0.is_empty()).then(|| parts.into())
}

fn from_account(account: Account) -> AccountMessage {
    AccountMessage {
        account: Some(AccountPeriod {
            kind: i32::from(account.kind),
            owner: account.owner,
            period: account.period,
        }),
        tenant: account.tenant,
        limit_usd: account.limit_nano.map(money::signed).unwrap_or_default(),
        charged_usd: money::signed(account.charged_nano),
        presumed_usd: money::signed(account.presumed_nano),
        lent_usd: money::signed(account.lent_nano),
    }
}
