//! `ApplyService`.

use serde_json::Value;
use switchyard_proto::{
    id::{CredentialId, EndpointId, ModelId, PolicyId, ProviderId, TenantId, WebhookId},
    secret::Secret,
    v1::{
        self, ApplyRequest, ApplyResponse, ExportRequest, FieldChange, MadeSecret,
        Manifest as ManifestMessage, apply_service_server::ApplyService, change,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::{diff, invalid::Invalid, permission::Apply},
    error::ServiceError,
    grpc::{
        Admin, common, credential, endpoint, enter, given, key, model, policy, provider, tenant, webhook,
    },
    service::{
        self, allow,
        apply::{
            Action, Changed, CredentialEntry, EndpointEntry, Exported, ExportedTenant, KeyEntry, Manifest,
            ModelEntry, Options, Outcome, PolicyEntry, ProviderEntry, SecretOf, TenantEntry, WebhookEntry,
        },
        key::WithUsage,
        tenant::WithCredits,
    },
};

/// Whose is what an apply makes that names nobody.
const FILE: &str = "file";

/// A manifest of many tenants is larger than tonic's default of 4 MiB.
pub const LARGEST_MANIFEST: usize = 64 << 20;

#[tonic::async_trait]
impl ApplyService for Admin {
    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        allow::<Apply>(&actor, None)?;
        let manifest = manifest(&given("manifest", ask.manifest)?)?;
        let owner = if ask.managed_by.is_empty() { FILE.to_owned() } else { ask.managed_by };
        let options = Options { dry_run: ask.dry_run, prune: ask.prune, owner };
        let outcome = service::apply::apply(&self.0, &actor, &manifest, &options).await?;
        Ok(Response::new(answer(outcome)))
    }

    async fn export(&self, request: Request<ExportRequest>) -> Result<Response<ManifestMessage>, Status> {
        let (actor, _) = enter(self, request).await?;
        let exported = service::apply::export(&self.0, &actor).await?;
        Ok(Response::new(from_exported(exported)))
    }
}

/// What a message says there shall be.
///
/// # Errors
/// Names the field from `manifest` on.
fn manifest(message: &ManifestMessage) -> Result<Manifest, ServiceError> {
    let models = each("models", &message.models, model_entry)?;
    let tenants = each("tenants", &message.tenants, tenant_entry)?;
    Ok(Manifest {
        providers: each("providers", &message.providers, provider_entry)?,
        models,
        tenants,
        policies: message.policies.iter().map(policy_entry).collect(),
        webhooks: each("webhooks", &message.webhooks, webhook_entry)?,
    })
}

/// Reads a list, with the place of an entry before the field at fault in it.
fn each<M, T>(
    list: &str,
    messages: &[M],
    read: impl Fn(&M) -> Result<T, Invalid>,
) -> Result<Vec<T>, Invalid> {
    let messages = messages.iter().enumerate();
    messages
        .map(|(index, message)| read(message).map_err(|invalid| invalid.within(&format!("{list}[{index}]"))))
        .collect()
}

fn provider_entry(message: &v1::Provider) -> Result<ProviderEntry, Invalid> {
    Ok(ProviderEntry {
        id: ProviderId::new(message.id.as_str()),
        draft: provider::draft(message)?,
        credential: secret(&message.credential),
        credential_ref: message.credential_ref.clone(),
    })
}

fn model_entry(entry: &v1::ModelEntry) -> Result<ModelEntry, Invalid> {
    let message = entry.model.as_ref().ok_or_else(|| Invalid::new("model", "is required"))?;
    let endpoints = each("endpoints", &entry.endpoints, |endpoint| endpoint_entry(endpoint, &message.id))?;
    Ok(ModelEntry { id: ModelId::new(message.id.as_str()), draft: model::draft(message)?, endpoints })
}

fn endpoint_entry(message: &v1::Endpoint, model: &str) -> Result<EndpointEntry, Invalid> {
    same_parent("model", &message.model, model)?;
    let id = if message.id.is_empty() { &message.provider } else { &message.id };
    Ok(EndpointEntry { id: EndpointId::new(id.as_str()), draft: endpoint::draft(message) })
}

fn policy_entry(message: &v1::Policy) -> PolicyEntry {
    PolicyEntry {
        id: PolicyId::new(message.id.as_str()),
        tenant: policy::owner(message.tenant.clone()),
        draft: policy::draft(message),
    }
}

fn webhook_entry(entry: &v1::WebhookEntry) -> Result<WebhookEntry, Invalid> {
    let message = entry.webhook.as_ref().ok_or_else(|| Invalid::new("webhook", "is required"))?;
    let edit = webhook::read(message).map_err(|invalid| invalid.within("webhook"))?;
    Ok(WebhookEntry {
        id: WebhookId::new(message.id.as_str()),
        tenant: common::tenant(message.tenant.clone()),
        draft: edit.draft,
        secret: edit.secret,
        secret_ref: entry.secret_ref.clone(),
    })
}

fn tenant_entry(entry: &v1::TenantEntry) -> Result<TenantEntry, Invalid> {
    let message = entry.tenant.as_ref().ok_or_else(|| Invalid::new("tenant", "is required"))?;
    let keys = each("keys", &entry.keys, |key| key_entry(key, &message.id))?;
    let credits = tenant::credits(&entry.credits_usd)?;
    let credentials = each("credentials", &entry.credentials, |entry| credential_entry(entry, &message.id))?;
    let (id, draft) = (TenantId::new(message.id.as_str()), tenant::draft(message)?);
    Ok(TenantEntry { id, draft, credits, keys, credentials })
}

fn key_entry(entry: &v1::KeyEntry, tenant: &str) -> Result<KeyEntry, Invalid> {
    let message = entry.key.as_ref().ok_or_else(|| Invalid::new("key", "is required"))?;
    same_parent("key.tenant", &message.tenant, tenant)?;
    let secret_ref = entry.secret_ref.clone();
    Ok(KeyEntry { draft: key::draft(message)?, secret: secret(&entry.secret), secret_ref })
}

fn credential_entry(entry: &v1::CredentialEntry, tenant: &str) -> Result<CredentialEntry, Invalid> {
    let message = entry.credential.as_ref().ok_or_else(|| Invalid::new("credential", "is required"))?;
    same_parent("credential.tenant", &message.tenant, tenant)?;
    Ok(CredentialEntry {
        id: CredentialId::new(message.id.as_str()),
        draft: credential::draft(message),
        secret: credential::secret(message),
        secret_ref: entry.secret_ref.clone(),
    })
}

/// A child may name its parent, but no other one.
fn same_parent(field: &str, named: &str, parent: &str) -> Result<(), Invalid> {
    if !named.is_empty() && named != parent {
        return Err(Invalid::new(field, format!("is not `{parent}`, under which it stands")));
    }
    Ok(())
}

fn secret(text: &str) -> Option<Secret> {
    (!text.is_empty()).then(|| Secret::new(text))
}

fn answer(outcome: Outcome) -> ApplyResponse {
    let secrets = outcome.secrets.iter().map(|made| {
        let (key, webhook) = match &made.owner {
            SecretOf::Key(name) => (name.clone(), String::new()),
            SecretOf::Webhook(id) => (String::new(), id.clone()),
        };
        let tenant = made.tenant.as_ref().map(ToString::to_string).unwrap_or_default();
        MadeSecret { tenant, key, webhook, secret: made.secret.expose().to_owned() }
    });
    ApplyResponse {
        secrets: secrets.collect(),
        changes: outcome.changes.into_iter().map(from_changed).collect(),
        revision: Some(common::revision(outcome.revision)),
    }
}

fn from_changed(changed: Changed) -> v1::Change {
    let action = match changed.action {
        Action::Create => change::Action::Create,
        Action::Update => change::Action::Update,
        Action::Delete => change::Action::Delete,
        Action::Disable => change::Action::Disable,
    };
    v1::Change {
        action: action.into(),
        noun: changed.noun.to_owned(),
        id: changed.id,
        fields: changed.fields.into_iter().map(from_field).collect(),
        drifted: changed.drifted,
    }
}

fn from_field(changed: diff::Changed) -> FieldChange {
    FieldChange { field: changed.field, before: text(&changed.before), after: text(&changed.after) }
}

/// Texts as they are, nothing as nothing, the rest as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn from_exported(exported: Exported) -> ManifestMessage {
    let models = exported.models.into_iter().map(|(model, endpoints)| v1::ModelEntry {
        model: Some(model::to_proto(model)),
        endpoints: endpoints.into_iter().map(endpoint::to_proto).collect(),
    });
    ManifestMessage {
        providers: exported.providers.into_iter().map(provider::to_proto).collect(),
        models: models.collect(),
        tenants: exported.tenants.into_iter().map(from_tenant).collect(),
        policies: exported.policies.into_iter().map(policy::to_proto).collect(),
        webhooks: exported.webhooks.into_iter().map(from_webhook).collect(),
    }
}

fn from_webhook(webhook: crate::domain::webhook::Webhook) -> v1::WebhookEntry {
    v1::WebhookEntry { webhook: Some(webhook::to_proto(webhook)), secret_ref: String::new() }
}

fn from_tenant(exported: ExportedTenant) -> v1::TenantEntry {
    let entry =
        |row| v1::CredentialEntry { credential: Some(credential::to_proto(row)), secret_ref: String::new() };
    v1::TenantEntry {
        tenant: Some(tenant::to_proto(WithCredits { tenant: exported.tenant, taken_nano: 0 })),
        credits_usd: String::new(),
        keys: exported.keys.into_iter().map(from_key).collect(),
        credentials: exported.credentials.into_iter().map(entry).collect(),
    }
}

fn from_key(key: crate::domain::key::Key) -> v1::KeyEntry {
    let secret_ref = key.secret_ref.clone();
    let key = key::to_proto(WithUsage { key, charged_nano: 0 });
    v1::KeyEntry { key: Some(key), secret: String::new(), secret_ref }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: ManifestMessage, field: &str) {
        let error = manifest(&message).unwrap_err();
        assert_eq!(error.field.as_deref(), Some(field), "{error}");
        assert!(error.public.starts_with(field), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_place() {
        let model = |model: Option<v1::Model>, endpoints| v1::ModelEntry { model, endpoints };
        let named = || Some(v1::Model { id: "a/b".into(), ..Default::default() });
        check(
            ManifestMessage {
                models: vec![model(named(), vec![]), model(None, vec![])],
                ..Default::default()
            },
            "models[1].model",
        );
        let stray = v1::Endpoint { model: "a/c".into(), ..Default::default() };
        check(
            ManifestMessage { models: vec![model(named(), vec![stray])], ..Default::default() },
            "models[0].endpoints[0].model",
        );
        let tenant = |credits: &str, keys| v1::TenantEntry {
            tenant: Some(v1::Tenant { id: "acme".into(), ..Default::default() }),
            credits_usd: credits.into(),
            keys,
            ..Default::default()
        };
        check(
            ManifestMessage { tenants: vec![tenant("lots", vec![])], ..Default::default() },
            "tenants[0].credits_usd",
        );
        let key =
            v1::Key { limit: Some(v1::SpendLimit { usd: "five".into(), reset: 0 }), ..Default::default() };
        let entry = v1::KeyEntry { key: Some(key), ..Default::default() };
        check(
            ManifestMessage { tenants: vec![tenant("", vec![entry])], ..Default::default() },
            "tenants[0].keys[0].key.limit.usd",
        );
    }

    #[test]
    fn values_of_fields_are_short_texts() {
        for (value, expected) in [
            (Value::Null, ""),
            ("5.00".into(), "5.00"),
            (true.into(), "true"),
            (serde_json::json!(["a", "b"]), r#"["a","b"]"#),
        ] {
            assert_eq!(text(&value), expected);
        }
    }
}
