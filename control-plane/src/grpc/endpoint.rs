//! `EndpointService`.

use switchyard_proto::{
    id::{EndpointId, ModelId},
    price::Written,
    v1::{
        Billing as BillingMessage, CreateEndpointRequest, CreateEndpointResponse, DeleteEndpointRequest,
        DeleteEndpointResponse, Endpoint as EndpointMessage, GetEndpointRequest, ListEndpointsRequest,
        ListEndpointsResponse, UpdateEndpointRequest, endpoint_service_server::EndpointService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        endpoint::{Billing, Draft, Endpoint},
        page::Page,
        permission::WriteCatalogue,
    },
    error::ServiceError,
    grpc::{Admin, common::timestamp, enter, given, mask::Masked},
    service::{self, Update, allow},
};

/// Fields that the server sets, or that never change.
const FIXED: &[&str] = &["model", "id", "revision", "managed_by", "created_at", "updated_at"];

#[tonic::async_trait]
impl EndpointService for Admin {
    async fn list_endpoints(
        &self,
        request: Request<ListEndpointsRequest>,
    ) -> Result<Response<ListEndpointsResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let model = ModelId::new(ask.model);
        let endpoints = service::endpoint::list(&self.0, &actor, &model, &page).await?.map(to_proto);
        let next_page_token = endpoints.next;
        Ok(Response::new(ListEndpointsResponse { endpoints: endpoints.items, next_page_token }))
    }

    async fn get_endpoint(
        &self,
        request: Request<GetEndpointRequest>,
    ) -> Result<Response<EndpointMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (model, id) = (ModelId::new(ask.model), EndpointId::new(ask.id));
        let endpoint = service::endpoint::get(&self.0, &actor, &model, &id).await?;
        Ok(Response::new(to_proto(endpoint)))
    }

    async fn create_endpoint(
        &self,
        request: Request<CreateEndpointRequest>,
    ) -> Result<Response<CreateEndpointResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        allow::<WriteCatalogue>(&actor, None)?;
        let endpoint = given("endpoint", ask.endpoint)?;
        let id = (!endpoint.id.is_empty()).then(|| EndpointId::new(endpoint.id.as_str()));
        let chosen = (id, draft(&endpoint));
        let made = service::endpoint::create(&self.0, &actor, &ModelId::new(ask.model), chosen).await?;
        Ok(Response::new(CreateEndpointResponse { endpoint: Some(to_proto(made)) }))
    }

    async fn update_endpoint(
        &self,
        request: Request<UpdateEndpointRequest>,
    ) -> Result<Response<EndpointMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (model, id) = (ModelId::new(ask.model), EndpointId::new(ask.id));
        allow::<WriteCatalogue>(&actor, None)?;
        let endpoint = given("endpoint", ask.endpoint)?;
        let mask = ask.update_mask;
        let patch = move |current: &Endpoint| {
            let masked = Masked { message: "Endpoint", patch: &endpoint, mask: mask.as_ref(), fixed: FIXED };
            Ok(draft(&masked.over(&to_proto(current.clone()))?))
        };
        let update = Update { revision: ask.revision, patch };
        let endpoint = service::endpoint::update(&self.0, &actor, (&model, &id), update).await?;
        Ok(Response::new(to_proto(endpoint)))
    }

    async fn delete_endpoint(
        &self,
        request: Request<DeleteEndpointRequest>,
    ) -> Result<Response<DeleteEndpointResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (model, id) = (ModelId::new(ask.model), EndpointId::new(ask.id));
        service::endpoint::delete(&self.0, &actor, (&model, &id), ask.revision).await?;
        Ok(Response::new(DeleteEndpointResponse {}))
    }
}

/// What a message says of the operator's choices.
pub fn draft(endpoint: &EndpointMessage) -> Draft {
    Draft {
        provider: endpoint.provider.clone(),
        upstream_id: endpoint.upstream_id.clone(),
        context_length: endpoint.context_length,
        max_output_tokens: endpoint.max_output_tokens,
        price: endpoint.price.as_ref().map(Written::from).unwrap_or_default(),
        supported_parameters: endpoint.supported_parameters.clone(),
        quantization: endpoint.quantization.clone(),
        cancel_stops_billing: endpoint.cancel_stops_billing,
        disabled: endpoint.disabled,
        quirks: endpoint.quirks.clone().into_iter().collect(),
        input_modalities: endpoint.input_modalities.clone(),
        billing: billing(endpoint.billing.as_ref()),
        service_tier: endpoint.service_tier.clone(),
    }
}

fn billing(billing: Option<&BillingMessage>) -> Billing {
    let billing = billing.copied().unwrap_or_default();
    let named = [
        ("hidden_tool_tokens", billing.hidden_tool_tokens),
        ("tokens_per_image", billing.tokens_per_image),
        ("tokens_per_audio_kib", billing.tokens_per_audio_kib),
        ("tokens_per_file", billing.tokens_per_file),
        ("tokens_per_video", billing.tokens_per_video),
        ("max_searches", billing.max_searches),
        ("max_searches_unasked", billing.max_searches_unasked),
        ("step_tokens", billing.step_tokens),
    ];
    Billing(named.into_iter().filter_map(|(name, tokens)| Some((name.to_owned(), tokens?))).collect())
}

fn from_billing(billing: &Billing) -> BillingMessage {
    let get = |name: &str| billing.0.get(name).copied();
    BillingMessage {
        hidden_tool_tokens: get("hidden_tool_tokens"),
        tokens_per_image: get("tokens_per_image"),
        tokens_per_audio_kib: get("tokens_per_audio_kib"),
        tokens_per_file: get("tokens_per_file"),
        tokens_per_video: get("tokens_per_video"),
        max_searches: get("max_searches"),
        max_searches_unasked: get("max_searches_unasked"),
        step_tokens: get("step_tokens"),
    }
}

/// An endpoint as a message.
pub fn to_proto(endpoint: Endpoint) -> EndpointMessage {
    EndpointMessage {
        model: endpoint.model.to_string(),
        id: endpoint.id.to_string(),
        price: (!endpoint.draft.price.is_empty()).then(|| (&endpoint.draft.price).into()),
        provider: endpoint.draft.provider,
        upstream_id: endpoint.draft.upstream_id,
        context_length: endpoint.draft.context_length,
        max_output_tokens: endpoint.draft.max_output_tokens,
        supported_parameters: endpoint.draft.supported_parameters,
        quantization: endpoint.draft.quantization,
        cancel_stops_billing: endpoint.draft.cancel_stops_billing,
        disabled: endpoint.draft.disabled,
        quirks: endpoint.draft.quirks.into_iter().collect(),
        input_modalities: endpoint.draft.input_modalities,
        billing: (!endpoint.draft.billing.0.is_empty()).then(|| from_billing(&endpoint.draft.billing)),
        service_tier: endpoint.draft.service_tier,
        revision: endpoint.meta.revision,
        managed_by: endpoint.meta.managed_by,
        created_at: timestamp(endpoint.meta.created_at),
        updated_at: timestamp(endpoint.meta.updated_at),
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;
    use switchyard_proto::DESCRIPTORS;

    use super::*;

    #[test]
    fn every_billing_fact_of_the_wire_is_carried() {
        let message = BillingMessage {
            hidden_tool_tokens: Some(1),
            tokens_per_image: Some(2),
            tokens_per_audio_kib: Some(3),
            tokens_per_file: Some(4),
            tokens_per_video: Some(0),
            max_searches: Some(5),
            max_searches_unasked: Some(6),
            step_tokens: Some(7),
        };
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let fields = pool.get_message_by_name("switchyard.v1.Billing").unwrap().fields().count();
        let read = billing(Some(&message));
        assert_eq!((read.0.len(), from_billing(&read)), (fields, message));
    }
}
