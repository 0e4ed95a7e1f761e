//! `WebhookService`.

use switchyard_proto::{
    clock,
    id::{TenantId, WebhookId},
    money,
    secret::Secret,
    v1::{
        CreateWebhookRequest, CreateWebhookResponse, DeleteWebhookRequest, DeleteWebhookResponse,
        Delivery as DeliveryMessage, GetWebhookRequest, ListDeliveriesRequest, ListDeliveriesResponse,
        ListWebhooksRequest, ListWebhooksResponse, TestWebhookRequest, UpdateWebhookRequest,
        Webhook as WebhookMessage, webhook_service_server::WebhookService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        invalid::Invalid,
        page::Page,
        webhook::{Delivery, Draft, Webhook, message_id},
    },
    error::ServiceError,
    grpc::{
        Admin,
        common::{tenant, timestamp},
        enter, given,
        mask::Masked,
    },
    service::{
        self, Update,
        webhook::{Edit, may_write},
    },
};

/// Fields that the server sets, or that never change.
const FIXED: &[&str] = &["id", "tenant", "revision", "managed_by", "created_at", "updated_at"];

#[tonic::async_trait]
impl WebhookService for Admin {
    async fn list_webhooks(
        &self,
        request: Request<ListWebhooksRequest>,
    ) -> Result<Response<ListWebhooksResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let tenant = tenant(ask.tenant);
        let webhooks = service::webhook::list(&self.0, &actor, tenant.as_ref(), &page).await?.map(to_proto);
        Ok(Response::new(ListWebhooksResponse { webhooks: webhooks.items, next_page_token: webhooks.next }))
    }

    async fn get_webhook(
        &self,
        request: Request<GetWebhookRequest>,
    ) -> Result<Response<WebhookMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (tenant(ask.tenant), WebhookId::new(ask.id));
        let webhook = service::webhook::get(&self.0, &actor, (tenant.as_ref(), &id)).await?;
        Ok(Response::new(to_proto(webhook)))
    }

    async fn create_webhook(
        &self,
        request: Request<CreateWebhookRequest>,
    ) -> Result<Response<CreateWebhookResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let tenant = tenant(ask.tenant);
        may_write(&actor, tenant.as_ref())?;
        let message = given("webhook", ask.webhook)?;
        same_owner(&message.tenant, tenant.as_ref()).map_err(ServiceError::from)?;
        let edit = read(&message).map_err(|invalid| ServiceError::from(invalid.within("webhook")))?;
        let id = (!message.id.is_empty()).then(|| WebhookId::new(message.id.as_str()));
        let made = service::webhook::create(&self.0, &actor, (tenant.as_ref(), id), edit).await?;
        let secret = made.secret.map(|secret| secret.expose().to_owned()).unwrap_or_default();
        Ok(Response::new(CreateWebhookResponse { webhook: Some(to_proto(made.webhook)), secret }))
    }

    async fn update_webhook(
        &self,
        request: Request<UpdateWebhookRequest>,
    ) -> Result<Response<WebhookMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (tenant(ask.tenant), WebhookId::new(ask.id));
        may_write(&actor, tenant.as_ref())?;
        let message = given("webhook", ask.webhook)?;
        let mask = ask.update_mask;
        let patch = move |current: &Webhook| edit(current, &message, mask.as_ref());
        let update = Update { revision: ask.revision, patch };
        let webhook = service::webhook::update(&self.0, &actor, (tenant.as_ref(), &id), update).await?;
        Ok(Response::new(to_proto(webhook)))
    }

    async fn delete_webhook(
        &self,
        request: Request<DeleteWebhookRequest>,
    ) -> Result<Response<DeleteWebhookResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (tenant(ask.tenant), WebhookId::new(ask.id));
        service::webhook::delete(&self.0, &actor, (tenant.as_ref(), &id), ask.revision).await?;
        Ok(Response::new(DeleteWebhookResponse {}))
    }

    async fn test_webhook(
        &self,
        request: Request<TestWebhookRequest>,
    ) -> Result<Response<DeliveryMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (tenant(ask.tenant), WebhookId::new(ask.id));
        let delivery = service::webhook::test(&self.0, &actor, (tenant.as_ref(), &id), clock::now()).await?;
        Ok(Response::new(from_delivery(delivery)))
    }

    async fn list_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let (tenant, id) = (tenant(ask.tenant), WebhookId::new(ask.id));
        let named = (tenant.as_ref(), &id);
        let listed = service::webhook::list_deliveries(&self.0, &actor, named, &page).await?;
        let listed = listed.map(from_delivery);
        Ok(Response::new(ListDeliveriesResponse { deliveries: listed.items, next_page_token: listed.next }))
    }
}

/// A webhook may name its tenant, but no other one than the call.
fn same_owner(named: &str, tenant: Option<&TenantId>) -> Result<(), Invalid> {
    if named.is_empty() || tenant.is_some_and(|tenant| tenant.as_str() == named) {
        return Ok(());
    }
    Err(Invalid::new("webhook.tenant", "is not the tenant that the call names"))
}

/// What a change of some fields makes of a webhook.
fn edit(
    current: &Webhook,
    patch: &WebhookMessage,
    mask: Option<&prost_types::FieldMask>,
) -> Result<Edit, Invalid> {
    let masked = Masked { message: "Webhook", patch, mask, fixed: FIXED };
    let merged = masked.over(&to_proto(current.clone()))?;
    let edit = read(&merged).map_err(|invalid| invalid.within("webhook"))?;
    // A secret that is named is set, and an empty one refused.
    let secret = edit.secret.or_else(|| masked.names("secret").then(Secret::default));
    Ok(Edit { secret, ..edit })
}

/// What a message says of its owner's choices.
///
/// # Errors
/// Names the field.
pub fn read(message: &WebhookMessage) -> Result<Edit, Invalid> {
    let thresholds = message.thresholds.iter().map(|percent| i32::try_from(*percent).unwrap_or(i32::MAX));
    let low_balance = match message.low_balance_usd.as_str() {
        "" => None,
        usd => Some(money::parse_signed(usd).map_err(|reason| Invalid::new("low_balance_usd", reason))?),
    };
    let draft = Draft {
        url: message.url.clone(),
        description: message.description.clone(),
        disabled: message.disabled,
        events: message.events.clone(),
        thresholds: thresholds.collect(),
        low_balance_nano: low_balance,
    };
    Ok(Edit { draft, secret: (!message.secret.is_empty()).then(|| Secret::new(message.secret.as_str())) })
}

/// A webhook as a message, its secret left out.
pub fn to_proto(webhook: Webhook) -> WebhookMessage {
    WebhookMessage {
        id: webhook.id.to_string(),
        tenant: webhook.tenant.map(|tenant| tenant.to_string()).unwrap_or_default(),
        url: webhook.draft.url,
        description: webhook.draft.description,
        disabled: webhook.draft.disabled,
        events: webhook.draft.events,
        thresholds: webhook.draft.thresholds.iter().map(|percent| percent.unsigned_abs()).collect(),
        low_balance_usd: webhook.draft.low_balance_nano.map(money::signed).unwrap_or_default(),
        secret: String::new(),
        revision: webhook.meta.revision,
        managed_by: webhook.meta.managed_by,
        created_at: timestamp(webhook.meta.created_at),
        updated_at: timestamp(webhook.meta.updated_at),
    }
}

fn from_delivery(delivery: Delivery) -> DeliveryMessage {
    DeliveryMessage {
        id: message_id(delivery.id),
        r#type: delivery.kind,
        state: delivery.state,
        tries: delivery.tries,
        status: delivery.status,
        error: delivery.error,
        created_at: timestamp(delivery.created_at),
        next_at: delivery.next_at.and_then(timestamp),
        ended_at: delivery.ended_at.and_then(timestamp),
        body: delivery.body,
    }
}
