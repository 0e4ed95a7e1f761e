//! `AuditService`.

use switchyard_proto::v1::{
    Entry as EntryMessage, ListEntriesRequest, ListEntriesResponse, audit_service_server::AuditService,
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{audit::Entry, page::Page},
    error::ServiceError,
    grpc::{
        Admin,
        common::{tenant, timestamp},
        enter,
    },
    service,
};

#[tonic::async_trait]
impl AuditService for Admin {
    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let tenant = tenant(ask.tenant);
        let entries = service::audit::list(&self.0, &actor, tenant.as_ref(), &page).await?.map(to_proto);
        Ok(Response::new(ListEntriesResponse { entries: entries.items, next_page_token: entries.next }))
    }
}

fn to_proto(entry: Entry) -> EntryMessage {
    EntryMessage {
        id: entry.id,
        at: timestamp(entry.at),
        actor: entry.actor,
        action: entry.action,
        noun: entry.noun,
        resource: entry.resource,
        tenant: entry.tenant,
        revision: entry.revision,
        change: entry.change.to_string(),
    }
}
