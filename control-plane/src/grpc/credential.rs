//! `CredentialService`.

use switchyard_proto::{
    id::{CredentialId, TenantId},
    secret::Secret,
    v1::{
        CreateCredentialRequest, Credential as CredentialMessage, DeleteCredentialRequest,
        DeleteCredentialResponse, GetCredentialRequest, ListCredentialsRequest, ListCredentialsResponse,
        UpdateCredentialRequest, credential_service_server::CredentialService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        credential::{Credential, Draft},
        invalid::Invalid,
        page::Page,
        permission::WriteCredentials,
    },
    error::ServiceError,
    grpc::{
        Admin,
        common::{from_rates, rates, timestamp},
        enter, given,
        mask::Masked,
    },
    service::{
        self, Update, allow,
        credential::{Edit, needs_secret},
    },
};

/// Fields that the server sets, or that never change.
const FIXED: &[&str] =
    &["id", "tenant", "has_secret", "needs_secret", "revision", "managed_by", "created_at", "updated_at"];

#[tonic::async_trait]
impl CredentialService for Admin {
    async fn list_credentials(
        &self,
        request: Request<ListCredentialsRequest>,
    ) -> Result<Response<ListCredentialsResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let listed = service::credential::list(&self.0, &actor, &TenantId::new(ask.tenant), &page).await?;
        let listed = listed.map(to_proto);
        Ok(Response::new(ListCredentialsResponse { credentials: listed.items, next_page_token: listed.next }))
    }

    async fn get_credential(
        &self,
        request: Request<GetCredentialRequest>,
    ) -> Result<Response<CredentialMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (TenantId::new(ask.tenant), CredentialId::new(ask.id));
        let credential = service::credential::get(&self.0, &actor, &tenant, &id).await?;
        Ok(Response::new(to_proto(credential)))
    }

    async fn create_credential(
        &self,
        request: Request<CreateCredentialRequest>,
    ) -> Result<Response<CredentialMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let tenant = TenantId::new(ask.tenant);
        allow::<WriteCredentials>(&actor, Some(&tenant))?;
        let message = given("credential", ask.credential)?;
        let edit = Edit { draft: draft(&message), secret: secret(&message) };
        let id = (!message.id.is_empty()).then(|| CredentialId::new(message.id.as_str()));
        let made = service::credential::create(&self.0, &actor, &tenant, (id, edit)).await?;
        Ok(Response::new(to_proto(made)))
    }

    async fn update_credential(
        &self,
        request: Request<UpdateCredentialRequest>,
    ) -> Result<Response<CredentialMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (TenantId::new(ask.tenant), CredentialId::new(ask.id));
        allow::<WriteCredentials>(&actor, Some(&tenant))?;
        let message = given("credential", ask.credential)?;
        let mask = ask.update_mask;
        let patch = move |current: &Credential| edit(current, &message, mask.as_ref());
        let update = Update { revision: ask.revision, patch };
        let credential = service::credential::update(&self.0, &actor, (&tenant, &id), update).await?;
        Ok(Response::new(to_proto(credential)))
    }

    async fn delete_credential(
        &self,
        request: Request<DeleteCredentialRequest>,
    ) -> Result<Response<DeleteCredentialResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (TenantId::new(ask.tenant), CredentialId::new(ask.id));
        service::credential::delete(&self.0, &actor, (&tenant, &id), ask.revision).await?;
        Ok(Response::new(DeleteCredentialResponse {}))
    }
}

/// What a change of some fields makes of a credential.
fn edit(
    current: &Credential,
    patch: &CredentialMessage,
    mask: Option<&prost_types::FieldMask>,
) -> Result<Edit, Invalid> {
    let masked = Masked { message: "Credential", patch, mask, fixed: FIXED };
    let merged = masked.over(&to_proto(current.clone()))?;
    // A credential is nothing without its secret: one that is named is set, and an empty one refused.
    let secret = secret(&merged).or_else(|| masked.names("secret").then(Secret::default));
    Ok(Edit { draft: draft(&merged), secret })
}

/// What a message says of its owner's choices, the secret apart.
pub fn draft(message: &CredentialMessage) -> Draft {
    Draft {
        provider: message.provider.clone(),
        name: message.name.clone(),
        disabled: message.disabled,
        fallback: message.fallback,
        order: message.order,
        required: message.required,
        allowed_models: message.allowed_models.clone(),
        allowed_keys: message.allowed_keys.clone(),
        allowed_users: message.allowed_users.clone(),
        declared_zdr: message.declared_zdr,
        rates: rates(message.rates.as_ref()),
    }
}

/// What a message says of the secret.
pub fn secret(message: &CredentialMessage) -> Option<Secret> {
    (!message.secret.is_empty()).then(|| Secret::new(message.secret.as_str()))
}

/// A credential as a message, its secret left out.
pub fn to_proto(credential: Credential) -> CredentialMessage {
    CredentialMessage {
        needs_secret: needs_secret(&credential),
        id: credential.id.to_string(),
        tenant: credential.tenant.to_string(),
        provider: credential.draft.provider,
        name: credential.draft.name,
        secret: String::new(),
        has_secret: true,
        disabled: credential.draft.disabled,
        fallback: credential.draft.fallback,
        order: credential.draft.order,
        required: credential.draft.required,
        allowed_models: credential.draft.allowed_models,
        allowed_keys: credential.draft.allowed_keys,
        allowed_users: credential.draft.allowed_users,
        declared_zdr: credential.draft.declared_zdr,
        rates: from_rates(credential.draft.rates),
        revision: credential.meta.revision,
        managed_by: credential.meta.managed_by,
        created_at: timestamp(credential.meta.created_at),
        updated_at: timestamp(credential.meta.updated_at),
    }
}
