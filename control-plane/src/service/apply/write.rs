//! The first half of an apply: what the manifest names is made or changed, parents before children.

use switchyard_proto::{id::TenantId, secret::Secret};

use crate::{
    domain::{
        credential,
        permission::{WriteCredentials, WriteKeys},
        provider::Credential,
    },
    error::ServiceError,
    service::{
        self, allow,
        apply::{
            CredentialEntry, EndpointEntry, KeyEntry, Made, Manifest, ModelEntry, PolicyEntry, ProviderEntry,
            Run, SecretOf, TenantEntry, WebhookEntry, found,
        },
        key, policy, provider,
        tenant::Rights,
        webhook,
    },
    store,
};

impl Run<'_> {
    /// Writes everything that the manifest names.
    pub(super) async fn write(&mut self, manifest: &Manifest) -> Result<(), ServiceError> {
        for (index, entry) in manifest.providers.iter().enumerate() {
            let place = format!("providers[{index}]");
            self.provider(entry).await.map_err(|error| within(error, "provider.", &place))?;
        }
        for (index, entry) in manifest.models.iter().enumerate() {
            let place = format!("models[{index}]");
            self.model(entry).await.map_err(|error| within(error, "", &place))?;
        }
        for (index, model) in manifest.models.iter().enumerate() {
            for (number, entry) in model.endpoints.iter().enumerate() {
                let place = format!("models[{index}].endpoints[{number}]");
                self.endpoint(model, entry).await.map_err(|error| within(error, "endpoint.", &place))?;
            }
        }
        for (index, entry) in manifest.tenants.iter().enumerate() {
            let place = format!("tenants[{index}]");
            self.tenant(entry).await.map_err(|error| within(error, "", &place))?;
        }
        for (index, entry) in manifest.policies.iter().enumerate() {
            let place = format!("policies[{index}]");
            self.policy(entry).await.map_err(|error| within(error, "policy.", &place))?;
        }
        for (index, entry) in manifest.webhooks.iter().enumerate() {
            let place = format!("webhooks[{index}]");
            self.webhook(entry).await.map_err(|error| within(error, "", &place))?;
        }
        for (index, tenant) in manifest.tenants.iter().enumerate() {
            for (number, entry) in tenant.keys.iter().enumerate() {
                let place = format!("tenants[{index}].keys[{number}]");
                self.key(&tenant.id, entry).await.map_err(|error| within(error, "", &place))?;
            }
            for (number, entry) in tenant.credentials.iter().enumerate() {
                let place = format!("tenants[{index}].credentials[{number}]");
                self.credential(&tenant.id, entry).await.map_err(|error| within(error, "", &place))?;
            }
        }
        Ok(())
    }

    async fn provider(&mut self, entry: &ProviderEntry) -> Result<(), ServiceError> {
        let stored = found(store::provider::lock(&mut self.change, &self.catalogue, &entry.id).await)?;
        let drifted = stored.as_ref().is_some_and(|row| row.meta.has_drifted());
        let has_credential = stored.as_ref().is_some_and(|row| row.has_credential);
        check_variable("credential", &entry.credential, &entry.credential_ref, has_credential)?;
        let credential = entry.credential.clone().map_or(Credential::Keep, Credential::Set);
        let edit = provider::Edit { draft: entry.draft.clone(), credential, credential_ref: None };
        let (before, tools) = (self.mark(), self.state.provider_tools());
        match stored {
            None => {
                provider::create_in(&mut self.change, &self.catalogue, &tools, (&entry.id, edit)).await?;
            }
            Some(row) => {
                provider::update_in(&mut self.change, &self.catalogue, &tools, (row, edit)).await?;
            }
        }
        self.tell(before, entry.id.to_string(), drifted);
        Ok(())
    }

    async fn model(&mut self, entry: &ModelEntry) -> Result<(), ServiceError> {
        let stored = found(store::model::lock(&mut self.change, &self.catalogue, &entry.id).await)?;
        let drifted = stored.as_ref().is_some_and(|row| row.meta.has_drifted());
        let (before, draft) = (self.mark(), entry.draft.clone());
        match stored {
            None => service::model::create_in(&mut self.change, &self.catalogue, &entry.id, draft).await?,
            Some(row) => service::model::update_in(&mut self.change, &self.catalogue, row, draft).await?,
        };
        self.tell(before, entry.id.to_string(), drifted);
        Ok(())
    }

    async fn endpoint(&mut self, model: &ModelEntry, entry: &EndpointEntry) -> Result<(), ServiceError> {
        let stored =
            found(store::endpoint::lock(&mut self.change, &self.catalogue, &model.id, &entry.id).await)?;
        let drifted = stored.as_ref().is_some_and(|row| row.meta.has_drifted());
        let (before, draft) = (self.mark(), entry.draft.clone());
        let stored = match stored {
            None => {
                let chosen = (Some(entry.id.clone()), draft);
                service::endpoint::create_in(&mut self.change, &self.catalogue, &model.id, chosen).await?
            }
            Some(row) => service::endpoint::update_in(&mut self.change, &self.catalogue, row, draft).await?,
        };
        self.tell(before, stored.full_id(), drifted);
        Ok(())
    }

    async fn tenant(&mut self, entry: &TenantEntry) -> Result<(), ServiceError> {
        let rights = Rights::of(self.actor, &entry.id)?;
        let stored = found(store::tenant::lock(&mut self.change, &rights.write, &entry.id).await)?;
        let drifted = stored.as_ref().is_some_and(|row| row.meta.has_drifted());
        let (before, mut draft) = (self.mark(), entry.draft.clone());
        draft.prepaid |= entry.credits.is_some();
        match stored {
            None => {
                let chosen = (draft, entry.credits);
                service::tenant::create_in(&mut self.change, &rights, &entry.id, chosen).await?
            }
            Some(row) => service::tenant::update_in(&mut self.change, &rights.write, row, draft).await?,
        };
        self.tell(before, entry.id.to_string(), drifted);
        Ok(())
    }

    async fn policy(&mut self, entry: &PolicyEntry) -> Result<(), ServiceError> {
        let tenant = entry.tenant.as_ref();
        let allowed = policy::may_write(self.actor, tenant)?;
        let stored = found(store::policy::lock(&mut self.change, &allowed, &entry.id).await)?;
        let drifted = stored.as_ref().is_some_and(|row| row.meta.has_drifted());
        let (before, draft) = (self.mark(), entry.draft.clone());
        match stored {
            None => policy::create_in(&mut self.change, &allowed, (tenant, &entry.id), draft).await?,
            Some(row) => policy::update_in(&mut self.change, &allowed, row, draft).await?,
        };
        self.tell(before, entry.shown(), drifted);
        Ok(())
    }

    async fn webhook(&mut self, entry: &WebhookEntry) -> Result<(), ServiceError> {
        let tenant = entry.tenant.as_ref();
        let allowed = webhook::may_write(self.actor, tenant)?;
        let stored = found(store::webhook::lock(&mut self.change, &allowed, &entry.id).await)?;
        let drifted = stored.as_ref().is_some_and(|row| row.webhook.meta.has_drifted());
        check_variable("webhook.secret", &entry.secret, &entry.secret_ref, stored.is_some())?;
        let edit = webhook::Edit { draft: entry.draft.clone(), secret: entry.secret.clone() };
        let (before, crypto) = (self.mark(), &self.state.crypto);
        match stored {
            None => {
                let new = (tenant, &entry.id, edit);
                let made = webhook::create_in(&mut self.change, &allowed, crypto, new).await?;
                let owner = SecretOf::Webhook(entry.id.to_string());
                let made = made.secret.map(|secret| Made { tenant: tenant.cloned(), owner, secret });
                self.secrets.extend(made);
            }
            Some(row) => {
                webhook::update_in(&mut self.change, &allowed, crypto, (row, edit)).await?;
            }
        }
        self.tell(before, entry.shown(), drifted);
        Ok(())
    }

    async fn key(&mut self, tenant: &TenantId, entry: &KeyEntry) -> Result<(), ServiceError> {
        let allowed = allow::<WriteKeys>(self.actor, Some(tenant))?;
        let stored = store::key::lock_by_name(&mut self.change, &allowed, &entry.draft.name).await?;
        let drifted = stored.as_ref().is_some_and(|row| row.meta.has_drifted());
        check_variable("secret", &entry.secret, &entry.secret_ref, stored.is_some())?;
        let (before, draft, secret) = (self.mark(), entry.draft.clone(), entry.secret.clone());
        match stored {
            None => {
                let new = key::NewKey { draft, secret, secret_ref: String::new() };
                let made = key::create_in(&mut self.change, &allowed, tenant, new).await?;
                let owner = SecretOf::Key(entry.draft.name.clone());
                let made = made.secret.map(|secret| Made { tenant: Some(tenant.clone()), owner, secret });
                self.secrets.extend(made);
            }
            Some(row) => {
                let edit = key::Edit { draft, secret, secret_ref: None };
                key::update_in(&mut self.change, &allowed, row, edit).await?;
            }
        }
        self.tell(before, format!("{tenant}/{}", entry.draft.name), drifted);
        Ok(())
    }
}

impl Run<'_> {
    async fn credential(&mut self, tenant: &TenantId, entry: &CredentialEntry) -> Result<(), ServiceError> {
        let allowed = allow::<WriteCredentials>(self.actor, Some(tenant))?;
        let stored = found(store::credential::lock(&mut self.change, &allowed, &entry.id).await)?;
        let drifted = stored.as_ref().is_some_and(|row| row.credential.meta.has_drifted());
        check_variable("credential.secret", &entry.secret, &entry.secret_ref, stored.is_some())?;
        let draft = self.with_key_ids(tenant, &entry.draft).await?;
        let edit = service::credential::Edit { draft, secret: entry.secret.clone() };
        let (before, crypto) = (self.mark(), &self.state.crypto);
        match stored {
            None => {
                let new = (tenant, &entry.id, edit);
                service::credential::create_in(&mut self.change, &allowed, crypto, new).await?
            }
            Some(row) => {
                service::credential::update_in(&mut self.change, &allowed, crypto, (row, edit)).await?
            }
        };
        self.tell(before, format!("{tenant}/{}", entry.id), drifted);
        Ok(())
    }

    /// The same with the ids of keys in place of their names.
    async fn with_key_ids(
        &mut self,
        tenant: &TenantId,
        draft: &credential::Draft,
    ) -> Result<credential::Draft, ServiceError> {
        let allowed = allow::<WriteKeys>(self.actor, Some(tenant))?;
        let mut draft = draft.clone();
        for named in &mut draft.allowed_keys {
            if let Some(key) = store::key::lock_by_name(&mut self.change, &allowed, named).await? {
                *named = key.id.to_string();
            }
        }
        Ok(draft)
    }
}

/// A secret that the file names by a variable must be given or stored: none is made in its place.
fn check_variable(
    field: &str,
    given: &Option<Secret>,
    name: &str,
    is_stored: bool,
) -> Result<(), ServiceError> {
    if given.is_some() || name.is_empty() || is_stored {
        return Ok(());
    }
    let reason = format!("is not stored yet, and environment variable `{name}` is not set");
    Err(ServiceError::invalid(field, reason))
}

/// The same error with its field seen from the manifest; `inner` is what the field begins with here but not there.
fn within(error: ServiceError, inner: &str, place: &str) -> ServiceError {
    let Some(field) = &error.field else { return error };
    let path = format!("{place}.{}", field.strip_prefix(inner).unwrap_or(field));
    let public = match error.public.strip_prefix(field.as_str()) {
        Some(reason) => format!("{path}{reason}"),
        None => error.public.clone(),
    };
    ServiceError { field: Some(path), public, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_the_manifest_has_them() {
        for (field, inner, place, expected) in [
            ("provider.base_url", "provider.", "providers[2]", "providers[2].base_url"),
            ("model.aliases[0]", "", "models[0]", "models[0].model.aliases[0]"),
            (
                "endpoint.price.input",
                "endpoint.",
                "models[0].endpoints[1]",
                "models[0].endpoints[1].price.input",
            ),
            ("key.limit.usd", "", "tenants[0].keys[1]", "tenants[0].keys[1].key.limit.usd"),
        ] {
            let error = within(ServiceError::invalid(field, "is wrong"), inner, place);
            assert_eq!(error.field.as_deref(), Some(expected));
            assert_eq!(error.public, format!("{expected} is wrong"));
        }
    }

    #[test]
    fn a_named_secret_is_given_or_stored() {
        let secret = Some(Secret::new("s"));
        for (given, name, is_stored, fine) in [
            (&secret, "X", false, true),
            (&None, "X", true, true),
            (&None, "", false, true),
            (&None, "X", false, false),
        ] {
            assert_eq!(check_variable("secret", given, name, is_stored).is_ok(), fine, "{name} {is_stored}");
        }
    }
}
