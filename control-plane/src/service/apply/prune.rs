//! The second half of an apply: what its owner made earlier and the manifest lacks goes, children before parents.
//!
//! What the ledger names stays, disabled; so does what rows of other owners hang on.

use std::collections::HashSet;

use switchyard_proto::id::{
    CredentialId, EndpointId, KeyId, ModelId, PolicyId, ProviderId, TenantId, WebhookId,
};

use crate::{
    domain::{
        self, endpoint,
        permission::{Allowed, Apply, WriteCredentials, WriteKeys, WriteTenants},
        provider::Credential,
    },
    error::ServiceError,
    service::{
        self, allow,
        apply::{Action, Manifest, PolicyEntry, Run, WebhookEntry},
        key, policy, provider, webhook,
    },
    store::{
        self,
        apply::{Row, is_needed, owned},
    },
};

impl Run<'_> {
    /// Removes what `owner` made and the manifest does not name.
    pub(super) async fn prune(
        &mut self,
        manifest: &Manifest,
        allowed: &Allowed<Apply>,
        owner: &str,
    ) -> Result<(), ServiceError> {
        let owned = owned(self.change.connection(), allowed, owner).await?;
        let named = Named::of(manifest);
        for (tenant, id) in &owned.credentials {
            if !named.credentials.contains(&(tenant.as_str(), id.as_str())) {
                self.prune_credential((tenant, id)).await?;
            }
        }
        for (tenant, id) in &owned.keys {
            self.prune_key(allowed, &named, (tenant, id)).await?;
        }
        for (tenant, id) in &owned.policies {
            let shown = domain::policy::shown(tenant.as_ref(), id);
            if !named.policies.contains(&shown) {
                self.prune_policy((tenant.as_ref(), id), shown).await?;
            }
        }
        for (tenant, id) in &owned.webhooks {
            let shown = domain::webhook::shown(tenant.as_ref(), id);
            if !named.webhooks.contains(&shown) {
                self.prune_webhook((tenant.as_ref(), id), shown).await?;
            }
        }
        for id in owned.tenants.iter().filter(|id| !named.tenants.contains(id.as_str())) {
            self.prune_tenant(allowed, id).await?;
        }
        let endpoints = owned.endpoints.iter();
        for (model, id) in
            endpoints.filter(|(model, id)| !named.endpoints.contains(&endpoint::full_id(model, id)))
        {
            self.prune_endpoint(allowed, (model, id)).await?;
        }
        for id in owned.models.iter().filter(|id| !named.models.contains(id.as_str())) {
            self.prune_model(allowed, id).await?;
        }
        for id in owned.providers.iter().filter(|id| !named.providers.contains(id.as_str())) {
            self.prune_provider(allowed, id).await?;
        }
        Ok(())
    }

    /// The ledger names no credentials, so that one can always go.
    async fn prune_credential(
        &mut self,
        (tenant, id): (&TenantId, &CredentialId),
    ) -> Result<(), ServiceError> {
        let write = allow::<WriteCredentials>(self.actor, Some(tenant))?;
        let row = store::credential::lock(&mut self.change, &write, id).await?.credential;
        let (before, drifted) = (self.mark(), row.meta.has_drifted());
        service::credential::delete_in(&mut self.change, &write, &row).await?;
        self.tell_gone(before, format!("{tenant}/{id}"), drifted);
        Ok(())
    }

    async fn prune_key(
        &mut self,
        allowed: &Allowed<Apply>,
        named: &Named<'_>,
        (tenant, id): (&TenantId, &KeyId),
    ) -> Result<(), ServiceError> {
        let write = allow::<WriteKeys>(self.actor, Some(tenant))?;
        let row = store::key::lock(&mut self.change, &write, id).await?;
        if named.keys.contains(&(tenant.as_str(), row.draft.name.as_str())) {
            return Ok(());
        }
        let (before, shown) = (self.mark(), format!("{tenant}/{}", row.draft.name));
        let drifted = row.meta.has_drifted();
        if is_needed(self.change.connection(), allowed, Row::Key(id)).await? {
            let mut draft = row.draft.clone();
            draft.disabled = true;
            let edit = key::Edit { draft, secret: None, secret_ref: None };
            key::update_in(&mut self.change, &write, row, edit).await?;
        } else {
            key::delete_in(&mut self.change, &write, &row).await?;
        }
        self.tell_gone(before, shown, drifted);
        Ok(())
    }

    /// No ledger line names a policy: it goes.
    async fn prune_policy(
        &mut self,
        (tenant, id): (Option<&TenantId>, &PolicyId),
        shown: String,
    ) -> Result<(), ServiceError> {
        let write = policy::may_write(self.actor, tenant)?;
        let row = store::policy::lock(&mut self.change, &write, id).await?;
        let (before, drifted) = (self.mark(), row.meta.has_drifted());
        policy::delete_in(&mut self.change, &write, &row).await?;
        self.tell_gone(before, shown, drifted);
        Ok(())
    }

    /// Nor does one name a webhook.
    async fn prune_webhook(
        &mut self,
        (tenant, id): (Option<&TenantId>, &WebhookId),
        shown: String,
    ) -> Result<(), ServiceError> {
        let write = webhook::may_write(self.actor, tenant)?;
        let row = store::webhook::lock(&mut self.change, &write, id).await?.webhook;
        let (before, drifted) = (self.mark(), row.meta.has_drifted());
        webhook::delete_in(&mut self.change, &write, &row).await?;
        self.tell_gone(before, shown, drifted);
        Ok(())
    }

    async fn prune_tenant(&mut self, allowed: &Allowed<Apply>, id: &TenantId) -> Result<(), ServiceError> {
        let write = allow::<WriteTenants>(self.actor, Some(id))?;
        let row = store::tenant::lock(&mut self.change, &write, id).await?;
        let (before, drifted) = (self.mark(), row.meta.has_drifted());
        if is_needed(self.change.connection(), allowed, Row::Tenant(id)).await? {
            let mut draft = row.draft.clone();
            draft.disabled = true;
            service::tenant::update_in(&mut self.change, &write, row, draft).await?;
        } else {
            service::tenant::delete_in(&mut self.change, &write, &row).await?;
        }
        self.tell_gone(before, id.to_string(), drifted);
        Ok(())
    }

    async fn prune_endpoint(
        &mut self,
        allowed: &Allowed<Apply>,
        (model, id): (&ModelId, &EndpointId),
    ) -> Result<(), ServiceError> {
        let row = store::endpoint::lock(&mut self.change, &self.catalogue, model, id).await?;
        let (before, drifted) = (self.mark(), row.meta.has_drifted());
        let shown = row.full_id();
        if is_needed(self.change.connection(), allowed, Row::Endpoint(model, id)).await? {
            let mut draft = row.draft.clone();
            draft.disabled = true;
            service::endpoint::update_in(&mut self.change, &self.catalogue, row, draft).await?;
        } else {
            service::endpoint::delete_in(&mut self.change, &self.catalogue, &row).await?;
        }
        self.tell_gone(before, shown, drifted);
        Ok(())
    }

    async fn prune_model(&mut self, allowed: &Allowed<Apply>, id: &ModelId) -> Result<(), ServiceError> {
        let row = store::model::lock(&mut self.change, &self.catalogue, id).await?;
        let (before, drifted) = (self.mark(), row.meta.has_drifted());
        if is_needed(self.change.connection(), allowed, Row::Model(id)).await? {
            let mut draft = row.draft.clone();
            draft.disabled = true;
            service::model::update_in(&mut self.change, &self.catalogue, row, draft).await?;
        } else {
            service::model::delete_in(&mut self.change, &self.catalogue, &row).await?;
        }
        self.tell_gone(before, id.to_string(), drifted);
        Ok(())
    }

    async fn prune_provider(
        &mut self,
        allowed: &Allowed<Apply>,
        id: &ProviderId,
    ) -> Result<(), ServiceError> {
        let row = store::provider::lock(&mut self.change, &self.catalogue, id).await?;
        let (before, drifted) = (self.mark(), row.meta.has_drifted());
        if is_needed(self.change.connection(), allowed, Row::Provider(id)).await? {
            let mut draft = row.draft.clone();
            draft.disabled = true;
            let edit = provider::Edit { draft, credential: Credential::Keep, credential_ref: None };
            let tools = self.state.provider_tools();
            provider::update_in(&mut self.change, &self.catalogue, &tools, (row, edit)).await?;
        } else {
            provider::delete_in(&mut self.change, &self.catalogue, &row).await?;
        }
        self.tell_gone(before, id.to_string(), drifted);
        Ok(())
    }

    /// Tells of a row that went; one that was only disabled was updated.
    fn tell_gone(&mut self, before: usize, id: String, drifted: bool) {
        let told = self.changes.len();
        self.tell(before, id, drifted);
        for change in &mut self.changes[told..] {
            if change.action == Action::Update {
                change.action = Action::Disable;
            }
        }
    }
}

/// What the manifest names.
struct Named<'a> {
    providers: HashSet<&'a str>,
    models: HashSet<&'a str>,
    endpoints: HashSet<String>,
    tenants: HashSet<&'a str>,
    keys: HashSet<(&'a str, &'a str)>,
    credentials: HashSet<(&'a str, &'a str)>,
    policies: HashSet<String>,
    webhooks: HashSet<String>,
}

impl<'a> Named<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let endpoints = manifest
            .models
            .iter()
            .flat_map(|model| model.endpoints.iter().map(|entry| endpoint::full_id(&model.id, &entry.id)));
        let keys = manifest
            .tenants
            .iter()
            .flat_map(|tenant| tenant.keys.iter().map(|key| (tenant.id.as_str(), key.draft.name.as_str())));
        let credentials = manifest.tenants.iter().flat_map(|tenant| {
            tenant.credentials.iter().map(|entry| (tenant.id.as_str(), entry.id.as_str()))
        });
        Self {
            providers: manifest.providers.iter().map(|entry| entry.id.as_str()).collect(),
            models: manifest.models.iter().map(|entry| entry.id.as_str()).collect(),
            endpoints: endpoints.collect(),
            tenants: manifest.tenants.iter().map(|entry| entry.id.as_str()).collect(),
            keys: keys.collect(),
            credentials: credentials.collect(),
            policies: manifest.policies.iter().map(PolicyEntry::shown).collect(),
            webhooks: manifest.webhooks.iter().map(WebhookEntry::shown).collect(),
        }
    }
}
