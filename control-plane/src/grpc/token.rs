//! `TokenService`.

use switchyard_proto::{
    id::TenantId,
    v1::{
        CreateTokenRequest, CreateTokenResponse, DeleteTokenRequest, DeleteTokenResponse, GetTokenRequest,
        ListTokensRequest, ListTokensResponse, Role as RoleMessage, Token as TokenMessage,
        UpdateTokenRequest, token_service_server::TokenService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        invalid::Invalid,
        page::Page,
        permission::{ManageTokens, Role},
        token::{Draft, Token},
    },
    error::ServiceError,
    grpc::{
        Admin,
        common::{tenant, time, timestamp},
        enter, given,
        mask::Masked,
    },
    service::{self, Update, allow},
};

/// Fields that the server sets, or that never change.
const FIXED: &[&str] = &["id", "label", "created_at", "last_used_at", "revision"];

#[tonic::async_trait]
impl TokenService for Admin {
    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let tokens = service::token::list(&self.0, &actor, &page).await?.map(to_proto);
        Ok(Response::new(ListTokensResponse { tokens: tokens.items, next_page_token: tokens.next }))
    }

    async fn get_token(&self, request: Request<GetTokenRequest>) -> Result<Response<TokenMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let token = service::token::get(&self.0, &actor, &ask.id).await?;
        Ok(Response::new(to_proto(token)))
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        allow::<ManageTokens>(&actor, None)?;
        let draft = draft(&given("token", ask.token)?).map_err(ServiceError::from)?;
        let made = service::token::create(&self.0, &actor, draft).await?;
        let secret = made.secret.expose().to_owned();
        Ok(Response::new(CreateTokenResponse { token: Some(to_proto(made.token)), secret }))
    }

    async fn update_token(
        &self,
        request: Request<UpdateTokenRequest>,
    ) -> Result<Response<TokenMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        allow::<ManageTokens>(&actor, None)?;
        let token = given("token", ask.token)?;
        let mask = ask.update_mask;
        let patch = move |current: &Token| {
            let masked = Masked { message: "Token", patch: &token, mask: mask.as_ref(), fixed: FIXED };
            draft(&masked.over(&to_proto(current.clone()))?)
        };
        let update = Update { revision: ask.revision, patch };
        let token = service::token::update(&self.0, &actor, &ask.id, update).await?;
        Ok(Response::new(to_proto(token)))
    }

    async fn delete_token(
        &self,
        request: Request<DeleteTokenRequest>,
    ) -> Result<Response<DeleteTokenResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        service::token::delete(&self.0, &actor, &ask.id, ask.revision).await?;
        Ok(Response::new(DeleteTokenResponse {}))
    }
}

fn draft(token: &TokenMessage) -> Result<Draft, Invalid> {
    let role = match RoleMessage::try_from(token.role) {
        Ok(RoleMessage::Operator) => Role::Operator,
        Ok(RoleMessage::TenantAdmin) => Role::TenantAdmin,
        Ok(RoleMessage::Viewer) => Role::Viewer,
        Ok(RoleMessage::Unspecified) => return Err(Invalid::new("token.role", "is required")),
        Err(_) => return Err(Invalid::new("token.role", "is none of OPERATOR, TENANT_ADMIN, VIEWER")),
    };
    Ok(Draft {
        name: token.name.clone(),
        role,
        tenant: tenant(token.tenant.clone()),
        disabled: token.disabled,
        expires_at: time("token.expires_at", token.expires_at.as_ref())?,
    })
}

fn to_proto(token: Token) -> TokenMessage {
    let role = match token.draft.role {
        Role::Operator => RoleMessage::Operator,
        Role::TenantAdmin => RoleMessage::TenantAdmin,
        Role::Viewer => RoleMessage::Viewer,
    };
    TokenMessage {
        id: token.id,
        name: token.draft.name,
        role: role.into(),
        tenant: token.draft.tenant.as_ref().map(TenantId::to_string).unwrap_or_default(),
        label: token.label,
        disabled: token.draft.disabled,
        expires_at: token.draft.expires_at.and_then(timestamp),
        created_at: timestamp(token.created_at),
        last_used_at: token.last_used_at.and_then(timestamp),
        revision: token.revision,
    }
}
