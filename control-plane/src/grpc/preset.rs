//! `PresetService`.

use switchyard_proto::{
    id::{PresetId, TenantId},
    v1::{
        CreatePresetRequest, CreatePresetResponse, DeletePresetRequest, DeletePresetResponse,
        GetPresetRequest, GetPresetVersionRequest, ListPresetVersionsRequest, ListPresetVersionsResponse,
        ListPresetsRequest, ListPresetsResponse, Preset as PresetMessage, PresetVersion, UpdatePresetRequest,
        preset_service_server::PresetService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        page::Page,
        permission::WritePresets,
        preset::{Draft, Preset, Says, Version},
    },
    error::ServiceError,
    grpc::{Admin, common::timestamp, enter, given, mask::Masked},
    service::{self, Update, allow},
};

/// Fields that the server sets, or that never change.
const FIXED: &[&str] = &["id", "tenant", "version", "revision", "managed_by", "created_at", "updated_at"];

#[tonic::async_trait]
impl PresetService for Admin {
    async fn list_presets(
        &self,
        request: Request<ListPresetsRequest>,
    ) -> Result<Response<ListPresetsResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let tenant = TenantId::new(ask.tenant);
        let presets = service::preset::list(&self.0, &actor, &tenant, &page).await?.map(to_proto);
        let next_page_token = presets.next;
        Ok(Response::new(ListPresetsResponse { presets: presets.items, next_page_token }))
    }

    async fn get_preset(
        &self,
        request: Request<GetPresetRequest>,
    ) -> Result<Response<PresetMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (TenantId::new(ask.tenant), PresetId::new(ask.id));
        Ok(Response::new(to_proto(service::preset::get(&self.0, &actor, (&tenant, &id)).await?)))
    }

    async fn create_preset(
        &self,
        request: Request<CreatePresetRequest>,
    ) -> Result<Response<CreatePresetResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let tenant = TenantId::new(ask.tenant);
        allow::<WritePresets>(&actor, Some(&tenant))?;
        let preset = given("preset", ask.preset)?;
        let id = PresetId::new(preset.id.as_str());
        let made = service::preset::create(&self.0, &actor, (&tenant, &id), draft(preset)).await?;
        Ok(Response::new(CreatePresetResponse { preset: Some(to_proto(made)) }))
    }

    async fn update_preset(
        &self,
        request: Request<UpdatePresetRequest>,
    ) -> Result<Response<PresetMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (TenantId::new(ask.tenant), PresetId::new(ask.id));
        allow::<WritePresets>(&actor, Some(&tenant))?;
        let preset = given("preset", ask.preset)?;
        let mask = ask.update_mask;
        let patch = move |current: &Preset| {
            let masked = Masked { message: "Preset", patch: &preset, mask: mask.as_ref(), fixed: FIXED };
            Ok(draft(masked.over(&to_proto(current.clone()))?))
        };
        let update = Update { revision: ask.revision, patch };
        Ok(Response::new(to_proto(service::preset::update(&self.0, &actor, (&tenant, &id), update).await?)))
    }

    async fn delete_preset(
        &self,
        request: Request<DeletePresetRequest>,
    ) -> Result<Response<DeletePresetResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (TenantId::new(ask.tenant), PresetId::new(ask.id));
        service::preset::delete(&self.0, &actor, (&tenant, &id), ask.revision).await?;
        Ok(Response::new(DeletePresetResponse {}))
    }

    async fn list_preset_versions(
        &self,
        request: Request<ListPresetVersionsRequest>,
    ) -> Result<Response<ListPresetVersionsResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let (tenant, id) = (TenantId::new(ask.tenant), PresetId::new(ask.id));
        let versions = service::preset::versions(&self.0, &actor, (&tenant, &id), &page).await?.map(version);
        let next_page_token = versions.next;
        Ok(Response::new(ListPresetVersionsResponse { versions: versions.items, next_page_token }))
    }

    async fn get_preset_version(
        &self,
        request: Request<GetPresetVersionRequest>,
    ) -> Result<Response<PresetVersion>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (TenantId::new(ask.tenant), PresetId::new(ask.id));
        let found = service::preset::version(&self.0, &actor, (&tenant, &id), ask.version).await?;
        Ok(Response::new(version(found)))
    }
}

fn draft(preset: PresetMessage) -> Draft {
    Draft {
        description: preset.description,
        disabled: preset.disabled,
        says: Says { system_prompt: preset.system_prompt, config: preset.config },
    }
}

fn to_proto(preset: Preset) -> PresetMessage {
    PresetMessage {
        id: preset.id.to_string(),
        tenant: preset.tenant.to_string(),
        description: preset.draft.description,
        disabled: preset.draft.disabled,
        system_prompt: preset.draft.says.system_prompt,
        config: preset.draft.says.config,
        version: preset.version,
        revision: preset.meta.revision,
        managed_by: preset.meta.managed_by,
        created_at: timestamp(preset.meta.created_at),
        updated_at: timestamp(preset.meta.updated_at),
    }
}

fn version(version: Version) -> PresetVersion {
    PresetVersion {
        version: version.version,
        system_prompt: version.says.system_prompt,
        config: version.says.config,
        created_by: version.created_by,
        created_at: timestamp(version.created_at),
    }
}
