//! `FleetService`.

mod health;

use switchyard_proto::{
    clock, money,
    v1::{
        FleetRevision, GetRevisionRequest, Instance as InstanceMessage, ListHealthRequest,
        ListHealthResponse, ListInstancesRequest, ListInstancesResponse, Refusal as RefusalMessage,
        ReleaseInstanceRequest, ReleaseInstanceResponse, fleet_service_server::FleetService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        fleet::{Instance, Refusal},
        meta::Revision,
        page::Page,
        permission::ReadFleet,
    },
    error::ServiceError,
    grpc::{
        Admin,
        common::{revision, timestamp},
        enter,
    },
    service,
};

#[tonic::async_trait]
impl FleetService for Admin {
    async fn list_instances(
        &self,
        request: Request<ListInstancesRequest>,
    ) -> Result<Response<ListInstancesResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let (instances, newest) = service::fleet::list(&self.0, &actor, &page).await?;
        let instances = instances.map(|instance| to_proto(instance, &newest));
        let next_page_token = instances.next;
        Ok(Response::new(ListInstancesResponse { instances: instances.items, next_page_token }))
    }

    async fn get_revision(
        &self,
        request: Request<GetRevisionRequest>,
    ) -> Result<Response<FleetRevision>, Status> {
        let (actor, _) = enter(self, request).await?;
        let progress = service::fleet::progress(&self.0, &actor).await?;
        Ok(Response::new(FleetRevision {
            revision: Some(revision(progress.revision)),
            attached: u32::try_from(progress.attached).unwrap_or(u32::MAX),
            current: u32::try_from(progress.current).unwrap_or(u32::MAX),
        }))
    }

    async fn release_instance(
        &self,
        request: Request<ReleaseInstanceRequest>,
    ) -> Result<Response<ReleaseInstanceResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let named = (ask.id.as_str(), ask.reason.as_str());
        let released = service::fleet::release(&self.0, &actor, named, clock::now()).await?;
        Ok(Response::new(ReleaseInstanceResponse {
            leases: released.leases,
            lent_usd: money::signed(released.lent_nano),
            presumed_usd: money::signed(released.presumed_nano),
        }))
    }

    async fn list_health(
        &self,
        request: Request<ListHealthRequest>,
    ) -> Result<Response<ListHealthResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        service::allow::<ReadFleet>(&actor, None)?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let model = Some(ask.model.as_str()).filter(|model| !model.is_empty());
        let now = clock::now();
        let listed = service::fleet::health(&self.0, &actor, model, &page).await?;
        let listed = listed.map(|endpoint| health::to_proto(endpoint, now));
        Ok(Response::new(ListHealthResponse { endpoints: listed.items, next_page_token: listed.next }))
    }
}

fn to_proto(instance: Instance, newest: &Revision) -> InstanceMessage {
    InstanceMessage {
        lag: instance.lag(newest),
        id: instance.id,
        version: instance.version,
        region: instance.region,
        attached: instance.attached,
        epoch: instance.epoch,
        sent: instance.sent.map(revision),
        applied: instance.applied.map(revision),
        refused: instance.refused.into_iter().map(from_refusal).collect(),
        last_seen: instance.last_seen.and_then(timestamp),
        attached_at: instance.attached_at.and_then(timestamp),
        apply_ms: instance.apply_ms,
    }
}

fn from_refusal(refusal: Refusal) -> RefusalMessage {
    RefusalMessage { kind: refusal.kind, id: refusal.id, field: refusal.field, reason: refusal.reason }
}
