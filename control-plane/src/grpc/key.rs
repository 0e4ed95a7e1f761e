//! `KeyService`.

use switchyard_proto::money;
use switchyard_proto::{
    id::{KeyId, TenantId},
    secret::Secret,
    v1::{
        CreateKeyRequest, CreateKeyResponse, DeleteKeyRequest, DeleteKeyResponse, GetKeyRequest,
        Key as KeyMessage, ListKeysRequest, ListKeysResponse, UpdateKeyRequest,
        key_service_server::KeyService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        invalid::Invalid,
        key::{Draft, Key},
        page::Page,
        permission::WriteKeys,
    },
    error::ServiceError,
    grpc::{
        Admin,
        common::{from_limit, from_rates, limit, rates, time, timestamp},
        enter, given,
        mask::Masked,
    },
    service::{self, Update, allow, key::NewKey, key::WithUsage},
};

/// Fields that the server sets, or that never change.
const FIXED: &[&str] =
    &["id", "tenant", "label", "hash", "revision", "managed_by", "created_at", "updated_at", "usage_usd"];

#[tonic::async_trait]
impl KeyService for Admin {
    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let keys = service::key::list(&self.0, &actor, &TenantId::new(ask.tenant), &page).await?;
        let keys = keys.map(to_proto);
        Ok(Response::new(ListKeysResponse { keys: keys.items, next_page_token: keys.next }))
    }

    async fn get_key(&self, request: Request<GetKeyRequest>) -> Result<Response<KeyMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (TenantId::new(ask.tenant), KeyId::new(ask.id));
        let key = service::key::get(&self.0, &actor, &tenant, &id).await?;
        Ok(Response::new(to_proto(key)))
    }

    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<CreateKeyResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let tenant = TenantId::new(ask.tenant);
        allow::<WriteKeys>(&actor, Some(&tenant))?;
        let draft = draft(&given("key", ask.key)?).map_err(ServiceError::from)?;
        let secret = (!ask.secret.is_empty()).then(|| Secret::new(ask.secret));
        let new = NewKey { draft, secret, secret_ref: String::new() };
        let made = service::key::create(&self.0, &actor, &tenant, new).await?;
        Ok(Response::new(CreateKeyResponse {
            key: Some(to_proto(WithUsage { key: made.key, charged_nano: 0 })),
            secret: made.secret.map(|secret| secret.expose().to_owned()).unwrap_or_default(),
            served_everywhere: made.served_everywhere,
        }))
    }

    async fn update_key(&self, request: Request<UpdateKeyRequest>) -> Result<Response<KeyMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (TenantId::new(ask.tenant), KeyId::new(ask.id));
        allow::<WriteKeys>(&actor, Some(&tenant))?;
        let key = given("key", ask.key)?;
        let mask = ask.update_mask;
        let patch = move |current: &Key| {
            let masked = Masked { message: "Key", patch: &key, mask: mask.as_ref(), fixed: FIXED };
            let current = WithUsage { key: current.clone(), charged_nano: 0 };
            draft(&masked.over(&to_proto(current))?)
        };
        let update = Update { revision: ask.revision, patch };
        let key = service::key::update(&self.0, &actor, (&tenant, &id), update).await?;
        Ok(Response::new(to_proto(key)))
    }

    async fn delete_key(
        &self,
        request: Request<DeleteKeyRequest>,
    ) -> Result<Response<DeleteKeyResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (TenantId::new(ask.tenant), KeyId::new(ask.id));
        service::key::delete(&self.0, &actor, (&tenant, &id), ask.revision).await?;
        Ok(Response::new(DeleteKeyResponse {}))
    }
}

/// What a message says of a key's owner's choices.
///
/// # Errors
/// Names the field from `key` on.
pub fn draft(key: &KeyMessage) -> Result<Draft, Invalid> {
    let read = || {
        Ok(Draft {
            name: key.name.clone(),
            disabled: key.disabled,
            expires_at: time("expires_at", key.expires_at.as_ref())?,
            limit: key.limit.as_ref().map(|given| limit("limit", given)).transpose()?,
            rates: rates(key.rates.as_ref()),
            allowed_models: key.allowed_models.clone(),
            include_byok_in_limit: key.include_byok_in_limit,
            trust_user: key.trust_user,
            user_limit: key.user_limit.as_ref().map(|given| limit("user_limit", given)).transpose()?,
        })
    };
    read().map_err(|invalid: Invalid| invalid.within("key"))
}

/// A key as a message.
pub fn to_proto(WithUsage { key, charged_nano }: WithUsage) -> KeyMessage {
    KeyMessage {
        id: key.id.to_string(),
        tenant: key.tenant.to_string(),
        name: key.draft.name,
        label: key.label,
        hash: key.hash.to_hex(),
        disabled: key.draft.disabled,
        expires_at: key.draft.expires_at.and_then(timestamp),
        limit: key.draft.limit.map(from_limit),
        rates: from_rates(key.draft.rates),
        allowed_models: key.draft.allowed_models,
        revision: key.meta.revision,
        managed_by: key.meta.managed_by,
        created_at: timestamp(key.meta.created_at),
        updated_at: timestamp(key.meta.updated_at),
        usage_usd: money::signed(charged_nano),
        include_byok_in_limit: key.draft.include_byok_in_limit,
        trust_user: key.draft.trust_user,
        user_limit: key.draft.user_limit.map(from_limit),
    }
}
