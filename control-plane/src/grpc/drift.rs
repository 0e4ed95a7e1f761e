//! `DriftService`.

use switchyard_proto::{
    clock,
    v1::{
        ClearDriftRequest, ClearDriftResponse, Drift as DriftMessage, ListDriftRequest, ListDriftResponse,
        drift_service_server::DriftService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        drift::{Drift, Filter, KINDS},
        invalid::Invalid,
        page::Page,
        permission::{ClearDrift, ReadDrift},
    },
    error::ServiceError,
    grpc::{
        Admin,
        common::{time, timestamp},
        enter,
    },
    service,
};

#[tonic::async_trait]
impl DriftService for Admin {
    async fn list_drift(
        &self,
        request: Request<ListDriftRequest>,
    ) -> Result<Response<ListDriftResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        service::allow::<ReadDrift>(&actor, None)?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let since = time("since", ask.since.as_ref()).map_err(ServiceError::from)?;
        let filter = filter(ask.provider, ask.model, ask.kind).map_err(ServiceError::from)?;
        let filter = Filter { since, cleared: ask.cleared, ..filter };
        let drift = service::drift::list(&self.0, &actor, &filter, &page).await?.map(to_proto);
        Ok(Response::new(ListDriftResponse { drift: drift.items, next_page_token: drift.next }))
    }

    async fn clear_drift(
        &self,
        request: Request<ClearDriftRequest>,
    ) -> Result<Response<ClearDriftResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        service::allow::<ClearDrift>(&actor, None)?;
        let filter = filter(ask.provider, ask.model, ask.kind).map_err(ServiceError::from)?;
        let cleared = service::drift::clear(&self.0, &actor, &filter, clock::now()).await?;
        Ok(Response::new(ClearDriftResponse { cleared }))
    }
}

fn filter(provider: String, model: String, kind: String) -> Result<Filter, Invalid> {
    if !kind.is_empty() && !KINDS.contains(&kind.as_str()) {
        return Err(Invalid::new("kind", format!("is none of {}", KINDS.join(", "))));
    }
    let given = |text: String| (!text.is_empty()).then_some(text);
    Ok(Filter { provider: given(provider), model: given(model), kind: given(kind), ..Filter::default() })
}

fn to_proto(drift: Drift) -> DriftMessage {
    let Drift { shape, seen, cleared_at, .. } = drift;
    DriftMessage {
        provider: shape.provider,
        adapter: shape.adapter,
        model: shape.model,
        kind: shape.kind,
        path: shape.path,
        detail: shape.detail,
        answers: seen.answers,
        first_seen: timestamp(seen.first),
        last_seen: timestamp(seen.last),
        cleared_at: cleared_at.and_then(timestamp),
    }
}
