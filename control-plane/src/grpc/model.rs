//! `ModelService`.

use switchyard_proto::{
    id::ModelId,
    v1::{
        CreateModelRequest, CreateModelResponse, DeleteModelRequest, DeleteModelResponse, GetModelRequest,
        ListModelsRequest, ListModelsResponse, Model as ModelMessage, UpdateModelRequest,
        model_service_server::ModelService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        invalid::Invalid,
        model::{Draft, Model},
        page::Page,
        permission::WriteCatalogue,
    },
    error::ServiceError,
    grpc::{
        Admin,
        common::{from_rates, rates, time, timestamp},
        enter, given,
        mask::Masked,
    },
    service::{self, Update, allow},
};

/// Fields that the server sets, or that never change.
const FIXED: &[&str] = &["id", "revision", "managed_by", "created_at", "updated_at"];

#[tonic::async_trait]
impl ModelService for Admin {
    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let models = service::model::list(&self.0, &actor, &page).await?.map(to_proto);
        Ok(Response::new(ListModelsResponse { models: models.items, next_page_token: models.next }))
    }

    async fn get_model(&self, request: Request<GetModelRequest>) -> Result<Response<ModelMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let model = service::model::get(&self.0, &actor, &ModelId::new(ask.id)).await?;
        Ok(Response::new(to_proto(model)))
    }

    async fn create_model(
        &self,
        request: Request<CreateModelRequest>,
    ) -> Result<Response<CreateModelResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        allow::<WriteCatalogue>(&actor, None)?;
        let model = given("model", ask.model)?;
        let draft = draft(&model).map_err(ServiceError::from)?;
        let made = service::model::create(&self.0, &actor, &ModelId::new(model.id), draft).await?;
        Ok(Response::new(CreateModelResponse { model: Some(to_proto(made)) }))
    }

    async fn update_model(
        &self,
        request: Request<UpdateModelRequest>,
    ) -> Result<Response<ModelMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        allow::<WriteCatalogue>(&actor, None)?;
        let model = given("model", ask.model)?;
        let mask = ask.update_mask;
        let patch = move |current: &Model| {
            let masked = Masked { message: "Model", patch: &model, mask: mask.as_ref(), fixed: FIXED };
            draft(&masked.over(&to_proto(current.clone()))?)
        };
        let update = Update { revision: ask.revision, patch };
        let model = service::model::update(&self.0, &actor, &ModelId::new(ask.id), update).await?;
        Ok(Response::new(to_proto(model)))
    }

    async fn delete_model(
        &self,
        request: Request<DeleteModelRequest>,
    ) -> Result<Response<DeleteModelResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        service::model::delete(&self.0, &actor, &ModelId::new(ask.id), ask.revision).await?;
        Ok(Response::new(DeleteModelResponse {}))
    }
}

/// What a message says of the operator's choices.
///
/// # Errors
/// Names the field from `model` on.
pub fn draft(model: &ModelMessage) -> Result<Draft, Invalid> {
    let released_at = time("model.released_at", model.released_at.as_ref())?;
    Ok(Draft {
        name: model.name.clone(),
        description: model.description.clone(),
        released_at,
        input_modalities: model.input_modalities.clone(),
        output_modalities: model.output_modalities.clone(),
        tokenizer: model.tokenizer.clone(),
        aliases: model.aliases.clone(),
        disabled: model.disabled,
        distillable: model.distillable,
        rates: rates(model.rates.as_ref()),
    })
}

/// A model as a message.
pub fn to_proto(model: Model) -> ModelMessage {
    ModelMessage {
        id: model.id.to_string(),
        name: model.draft.name,
        description: model.draft.description,
        released_at: model.draft.released_at.and_then(timestamp),
        input_modalities: model.draft.input_modalities,
        output_modalities: model.draft.output_modalities,
        tokenizer: model.draft.tokenizer,
        aliases: model.draft.aliases,
        disabled: model.draft.disabled,
        distillable: model.draft.distillable,
        rates: from_rates(model.draft.rates),
        revision: model.meta.revision,
        managed_by: model.meta.managed_by,
        created_at: timestamp(model.meta.created_at),
        updated_at: timestamp(model.meta.updated_at),
    }
}
