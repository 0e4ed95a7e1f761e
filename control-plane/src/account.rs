//! A tenant's own API, passed on by data planes with the key or admin token that the caller presented.
//!
//! What was presented is looked at here, whatever the data plane thinks of it. Answers, errors included, have the shape of the
//! client API. Everything else under `/api/v1` is the data plane's business.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgPool;
use switchyard_proto::{
    clock,
    code::ErrorCode,
    id::TenantId,
    key::KeyHash,
    v1::{self, account_service_server::AccountService},
};
use tonic::{Request, Response, Status};

use crate::{
    account::{
        refusal::Refusal,
        route::{Keys, Route},
    },
    auth::presented::{self, Credential, Presented},
    domain::permission::{self, Allowed, ReadUsage},
    service::State,
    telemetry,
};

mod activity;
mod answer;
mod body;
mod generation;
mod keys;
mod own;
mod refusal;
mod route;

/// Serves forwarded calls. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    state: State,
}

/// Who calls, and whose things it is about.
struct Caller {
    presented: Presented,
    tenant: TenantId,
    now: DateTime<Utc>,
}

type Answered = Result<(u16, Value), Refusal>;

impl Service {
    pub fn new(state: State) -> Self {
        Self { state }
    }

    async fn answer(&self, request: &v1::ForwardRequest, now: DateTime<Utc>) -> Answered {
        let hash = KeyHash::from_bytes(&request.key_sha256).ok_or(Refusal::NO_KEY)?;
        let presented = presented::authenticate(self.pool(), hash, now).await?;
        let route = route::of(request)?;
        let caller = Caller::of(presented, now)?;
        match route {
            Route::Key => self.key(&caller).await,
            Route::Credits => self.credits(&caller).await,
            Route::Generation(id) => self.generation(&caller, id).await,
            Route::Content(id) => self.content(&caller, id).await,
            Route::Activity(asked) => self.activity(&caller, asked).await,
            Route::Keys(call) => {
                caller.manages()?;
                match call {
                    Keys::List(page) => self.list_keys(&caller, &page).await,
                    Keys::Create => self.create_key(&caller, &request.body).await,
                    Keys::Get(hash) => self.get_key(&caller, hash).await,
                    Keys::Update(hash) => self.update_key(&caller, hash, &request.body).await,
                    Keys::Delete(hash) => self.delete_key(&caller, hash).await,
                }
            }
        }
    }

    fn pool(&self) -> &PgPool {
        &self.state.pool
    }
}

impl Caller {
    fn of(presented: Presented, now: DateTime<Utc>) -> Result<Self, Refusal> {
        let tenant = presented.actor.tenant.clone().ok_or_else(|| {
            let text =
                "This admin token belongs to no tenant. Send one of a tenant's admin, or use the admin API.";
            Refusal::new(ErrorCode::PermissionDenied, text)
        })?;
        Ok(Self { presented, tenant, now })
    }

    /// Whether keys may be managed with what was shown; what its role allows is asked later.
    fn manages(&self) -> Result<(), Refusal> {
        match &self.presented.with {
            Credential::Token(_) => Ok(()),
            Credential::Key(_) => {
                let text = "Keys cannot do this. Send an admin token of the tenant (a management key).";
                Err(Refusal::new(ErrorCode::PermissionDenied, text))
            }
        }
    }

    /// The right to read what the tenant used.
    fn reads_usage(&self) -> Result<Allowed<ReadUsage>, Refusal> {
        permission::check(&self.presented.actor, Some(&self.tenant))
            .map_err(|_| Refusal::new(ErrorCode::PermissionDenied, "This key may not read usage."))
    }

    /// Workspaces are tenants here: another one does not exist.
    fn is_at(&self, workspace: Option<&str>) -> Result<(), Refusal> {
        match workspace {
            Some(other) if other != self.tenant.as_str() => {
                Err(Refusal::new(ErrorCode::NotFound, "Workspace not found.").field("workspace_id"))
            }
            _ => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl AccountService for Service {
    async fn forward(
        &self,
        request: Request<v1::ForwardRequest>,
    ) -> Result<Response<v1::ForwardResponse>, Status> {
        let span = tracing::debug_span!("account.forward", path = request.get_ref().path);
        telemetry::continue_trace(&span, &telemetry::traceparent(&request));
        let request = request.into_inner();
        let call = self.answer(&request, clock::now());
        let (status, body) = match tracing::Instrument::instrument(call, span).await {
            Ok((status, body)) => (status.into(), body),
            Err(refusal) => (refusal.code.status().as_u16().into(), refusal.body()),
        };
        Ok(Response::new(v1::ForwardResponse { status, body: body.to_string().into_bytes() }))
    }
}
