//! `ProviderService`.

use switchyard_proto::{
    id::ProviderId,
    secret::Secret,
    v1::{
        CreateProviderRequest, CreateProviderResponse, DataPolicy as DataPolicyMessage,
        DeleteProviderRequest, DeleteProviderResponse, GetProviderRequest, ListProvidersRequest,
        ListProvidersResponse, Provider as ProviderMessage, UpdateProviderRequest,
        provider_service_server::ProviderService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        invalid::Invalid,
        page::Page,
        permission::WriteCatalogue,
        provider::{Credential, DataPolicy, Draft, Provider},
    },
    error::ServiceError,
    grpc::{
        Admin,
        common::{from_limit, from_rates, limit, rates, timestamp},
        enter, given,
        mask::Masked,
    },
    service::{self, Update, allow, provider::Edit},
};

/// Fields that the server sets, or that never change.
const FIXED: &[&str] =
    &["id", "has_credential", "revision", "managed_by", "created_at", "updated_at", "credential_ref"];

#[tonic::async_trait]
impl ProviderService for Admin {
    async fn list_providers(
        &self,
        request: Request<ListProvidersRequest>,
    ) -> Result<Response<ListProvidersResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let providers = service::provider::list(&self.0, &actor, &page).await?.map(to_proto);
        let next_page_token = providers.next;
        Ok(Response::new(ListProvidersResponse { providers: providers.items, next_page_token }))
    }

    async fn get_provider(
        &self,
        request: Request<GetProviderRequest>,
    ) -> Result<Response<ProviderMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let provider = service::provider::get(&self.0, &actor, &ProviderId::new(ask.id)).await?;
        Ok(Response::new(to_proto(provider)))
    }

    async fn create_provider(
        &self,
        request: Request<CreateProviderRequest>,
    ) -> Result<Response<CreateProviderResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        allow::<WriteCatalogue>(&actor, None)?;
        let provider = given("provider", ask.provider)?;
        let draft = draft(&provider).map_err(|invalid| ServiceError::from(invalid.within("provider")))?;
        let edit = Edit { draft, credential: credential(&provider), credential_ref: None };
        let id = ProviderId::new(provider.id);
        let made = service::provider::create(&self.0, &actor, &id, edit).await?;
        Ok(Response::new(CreateProviderResponse { provider: Some(to_proto(made)) }))
    }

    async fn update_provider(
        &self,
        request: Request<UpdateProviderRequest>,
    ) -> Result<Response<ProviderMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        allow::<WriteCatalogue>(&actor, None)?;
        let provider = given("provider", ask.provider)?;
        let mask = ask.update_mask;
        let patch = move |current: &Provider| {
            let masked = Masked { message: "Provider", patch: &provider, mask: mask.as_ref(), fixed: FIXED };
            let merged = masked.over(&to_proto(current.clone()))?;
            // An empty credential takes the stored one away only where it is named: it never comes back out, so that
            // whoever sends a whole provider back cannot know it.
            let credential = match credential(&merged) {
                Credential::Keep if masked.names("credential") => Credential::Remove,
                other => other,
            };
            let draft = draft(&merged).map_err(|invalid| invalid.within("provider"))?;
            Ok(Edit { draft, credential, credential_ref: None })
        };
        let update = Update { revision: ask.revision, patch };
        let provider = service::provider::update(&self.0, &actor, &ProviderId::new(ask.id), update).await?;
        Ok(Response::new(to_proto(provider)))
    }

    async fn delete_provider(
        &self,
        request: Request<DeleteProviderRequest>,
    ) -> Result<Response<DeleteProviderResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        service::provider::delete(&self.0, &actor, &ProviderId::new(ask.id), ask.revision).await?;
        Ok(Response::new(DeleteProviderResponse {}))
    }
}

/// What a message says of the operator's choices, the credential apart.
///
/// # Errors
/// Names the field.
pub fn draft(provider: &ProviderMessage) -> Result<Draft, Invalid> {
    let policy = provider.data_policy.unwrap_or_default();
    let budget = provider.credential_budget.as_ref();
    let draft = Draft {
        profile: provider.profile.clone(),
        display_name: provider.display_name.clone(),
        adapter: provider.adapter.clone(),
        base_url: provider.base_url.clone(),
        auth: provider.auth.clone(),
        data_policy: DataPolicy {
            retains_prompts: policy.retains_prompts,
            trains: policy.trains,
            zdr: policy.zdr,
        },
        region: provider.region.clone(),
        disabled: provider.disabled,
        quirks: provider.quirks.clone().into_iter().collect(),
        connect_timeout_ms: provider.connect_timeout_ms,
        headers_timeout_ms: provider.headers_timeout_ms,
        first_content_timeout_ms: provider.first_content_timeout_ms,
        idle_timeout_ms: provider.idle_timeout_ms,
        total_timeout_ms: provider.total_timeout_ms,
        min_tokens_per_second: provider.min_tokens_per_second,
        rates: rates(provider.rates.as_ref()),
        credential_budget: budget.map(|given| limit("credential_budget", given)).transpose()?,
    };
    Ok(draft.normal())
}

/// What a message says of the credential.
pub fn credential(provider: &ProviderMessage) -> Credential {
    match provider.credential.as_str() {
        "" => Credential::Keep,
        secret => Credential::Set(Secret::new(secret)),
    }
}

/// A provider as a message, its credential left out.
pub fn to_proto(provider: Provider) -> ProviderMessage {
    let policy = provider.draft.data_policy;
    ProviderMessage {
        id: provider.id.to_string(),
        profile: provider.draft.profile,
        display_name: provider.draft.display_name,
        adapter: provider.draft.adapter,
        base_url: provider.draft.base_url,
        auth: provider.draft.auth,
        credential: String::new(),
        has_credential: provider.has_credential,
        data_policy: (policy != DataPolicy::default()).then_some(DataPolicyMessage {
            retains_prompts: policy.retains_prompts,
            trains: policy.trains,
            zdr: policy.zdr,
        }),
        region: provider.draft.region,
        disabled: provider.draft.disabled,
        quirks: provider.draft.quirks.into_iter().collect(),
        revision: provider.meta.revision,
        managed_by: provider.meta.managed_by,
        created_at: timestamp(provider.meta.created_at),
        updated_at: timestamp(provider.meta.updated_at),
        connect_timeout_ms: provider.draft.connect_timeout_ms,
        headers_timeout_ms: provider.draft.headers_timeout_ms,
        first_content_timeout_ms: provider.draft.first_content_timeout_ms,
        idle_timeout_ms: provider.draft.idle_timeout_ms,
        total_timeout_ms: provider.draft.total_timeout_ms,
        min_tokens_per_second: provider.draft.min_tokens_per_second,
        rates: from_rates(provider.draft.rates),
        credential_budget: provider.draft.credential_budget.map(from_limit),
        credential_ref: provider.credential_ref,
    }
}
