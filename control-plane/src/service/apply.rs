//! Apply: makes everything match a manifest in one change, and tells what differed; export is the way back.
//!
//! A dry run does the same work in a transaction that is then dropped, so what it tells is what would happen. Rows
//! are owned by who made them (`managed_by`); changing somebody else's row does not make it one's own.

use std::{collections::HashSet, time::Duration};

use serde_json::Value;
use switchyard_proto::{
    id::{CredentialId, EndpointId, ModelId, PolicyId, ProviderId, TenantId, WebhookId},
    money::NanoUsd,
    secret::Secret,
};

use crate::{
    domain::{
        audit::{NewEntry, Verb},
        credential, diff, endpoint,
        invalid::Invalid,
        key,
        meta::Revision,
        model,
        permission::{Actor, Allowed, WriteCatalogue},
        policy, provider, tenant, webhook,
    },
    error::ServiceError,
    service::{State, allow},
    store::{self, StoreError, revision::Change},
};

mod export;
mod prune;
mod write;

pub use crate::service::apply::export::{Exported, ExportedTenant, export};

/// How long an apply that made keys waits for the fleet.
const SERVED_WITHIN: Duration = Duration::from_secs(1);

/// What there shall be.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    pub providers: Vec<ProviderEntry>,
    pub models: Vec<ModelEntry>,
    pub tenants: Vec<TenantEntry>,
    pub policies: Vec<PolicyEntry>,
    pub webhooks: Vec<WebhookEntry>,
}

#[derive(Debug, Clone)]
pub struct ProviderEntry {
    pub id: ProviderId,
    pub draft: provider::Draft,
    /// `None`: the stored one is kept.
    pub credential: Option<Secret>,
    /// Environment variable that the file names the credential by.
    pub credential_ref: String,
}

#[derive(Debug, Clone)]
pub struct ModelEntry {
    pub id: ModelId,
    pub draft: model::Draft,
    pub endpoints: Vec<EndpointEntry>,
}

#[derive(Debug, Clone)]
pub struct EndpointEntry {
    pub id: EndpointId,
    pub draft: endpoint::Draft,
}

#[derive(Debug, Clone)]
pub struct TenantEntry {
    pub id: TenantId,
    pub draft: tenant::Draft,
    /// Granted when the tenant is first made.
    pub credits: Option<NanoUsd>,
    pub keys: Vec<KeyEntry>,
    pub credentials: Vec<CredentialEntry>,
}

#[derive(Debug, Clone)]
pub struct KeyEntry {
    /// Its name is what a stored key is found by.
    pub draft: key::Draft,
    /// `None`: the stored one is kept, or one is made.
    pub secret: Option<Secret>,
    /// Environment variable that the file names the secret by; one that is named is never made.
    pub secret_ref: String,
}

#[derive(Debug, Clone)]
pub struct CredentialEntry {
    pub id: CredentialId,
    /// Its keys may be named by their names.
    pub draft: credential::Draft,
    /// `None`: the stored one is kept.
    pub secret: Option<Secret>,
    /// Environment variable that the file names the secret by.
    pub secret_ref: String,
}

#[derive(Debug, Clone)]
pub struct PolicyEntry {
    pub id: PolicyId,
    /// `None`: the operator's.
    pub tenant: Option<TenantId>,
    pub draft: policy::Draft,
}

#[derive(Debug, Clone)]
pub struct WebhookEntry {
    pub id: WebhookId,
    /// `None`: the operator's.
    pub tenant: Option<TenantId>,
    pub draft: webhook::Draft,
    /// `None`: the stored one is kept, or one is made.
    pub secret: Option<Secret>,
    /// Environment variable that the file names the secret by; one that is named is never made.
    pub secret_ref: String,
}

impl WebhookEntry {
    /// `tenant/webhook`, or the id alone.
    fn shown(&self) -> String {
        webhook::shown(self.tenant.as_ref(), &self.id)
    }
}

impl PolicyEntry {
    /// `tenant/policy`, or the id alone.
    fn shown(&self) -> String {
        policy::shown(self.tenant.as_ref(), &self.id)
    }
}

/// How to apply.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub dry_run: bool,
    /// Removes what the owner made and the manifest lacks.
    pub prune: bool,
    /// Whose is what is made.
    pub owner: String,
}

/// What an apply did, or would do.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub changes: Vec<Changed>,
    /// Secrets of keys and webhooks that came without one; shown this once.
    pub secrets: Vec<Made>,
    pub revision: Revision,
}

/// One row that differed.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    pub action: Action,
    pub noun: &'static str,
    pub id: String,
    pub fields: Vec<diff::Changed>,
    /// Somebody else edited it since its owner last wrote it.
    pub drifted: bool,
}

/// What was done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Create,
    Update,
    Delete,
    /// In place of deleting what the ledger names.
    Disable,
}

/// What a secret was made for, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretOf {
    Key(String),
    Webhook(String),
}

/// A secret that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// `None`: the operator's.
    pub tenant: Option<TenantId>,
    pub owner: SecretOf,
    pub secret: Secret,
}

/// Makes everything match the manifest, or nothing if any part of it is invalid.
///
/// # Errors
/// Names the field as it is called in the manifest.
pub async fn apply(
    state: &State,
    actor: &Actor,
    manifest: &Manifest,
    options: &Options,
) -> Result<Outcome, ServiceError> {
    let allowed = allow(actor, None)?;
    check_owner(&options.owner)?;
    manifest.check()?;
    let change = Change::begin(&state.pool, &actor.id).await?.owned_by(&options.owner);
    let mut run = Run {
        state,
        actor,
        catalogue: allow(actor, None)?,
        change,
        changes: Vec::new(),
        secrets: Vec::new(),
    };
    run.write(manifest).await?;
    if options.prune {
        run.prune(manifest, &allowed, &options.owner).await?;
    }
    run.finish(options.dry_run).await
}

fn check_owner(owner: &str) -> Result<(), Invalid> {
    tenant::check_slug(owner).map_err(|invalid| Invalid::new("managed_by", invalid.reason))
}

impl Manifest {
    /// Checks that nothing is named twice.
    fn check(&self) -> Result<(), Invalid> {
        once("providers", "id", self.providers.iter().map(|provider| provider.id.as_str()))?;
        once("models", "model.id", self.models.iter().map(|model| model.id.as_str()))?;
        once("tenants", "tenant.id", self.tenants.iter().map(|tenant| tenant.id.as_str()))?;
        let policies: Vec<String> = self.policies.iter().map(PolicyEntry::shown).collect();
        once("policies", "id", policies.iter().map(String::as_str))?;
        let webhooks: Vec<String> = self.webhooks.iter().map(WebhookEntry::shown).collect();
        once("webhooks", "webhook.id", webhooks.iter().map(String::as_str))?;
        for (index, model) in self.models.iter().enumerate() {
            let list = format!("models[{index}].endpoints");
            once(&list, "id", model.endpoints.iter().map(|endpoint| endpoint.id.as_str()))?;
        }
        for (index, tenant) in self.tenants.iter().enumerate() {
            let list = format!("tenants[{index}].keys");
            once(&list, "key.name", tenant.keys.iter().map(|key| key.draft.name.as_str()))?;
            let list = format!("tenants[{index}].credentials");
            once(&list, "credential.id", tenant.credentials.iter().map(|entry| entry.id.as_str()))?;
        }
        Ok(())
    }
}

fn once<'a>(list: &str, field: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Invalid> {
    let mut seen = HashSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            return Err(Invalid::new(
                format!("{list}[{index}].{field}"),
                format!("names `{name}` a second time"),
            ));
        }
    }
    Ok(())
}

/// An apply under way.
struct Run<'a> {
    state: &'a State,
    actor: &'a Actor,
    catalogue: Allowed<WriteCatalogue>,
    change: Change,
    changes: Vec<Changed>,
    secrets: Vec<Made>,
}

impl Run<'_> {
    /// Takes what the audit was told since `before` as one difference.
    fn tell(&mut self, before: usize, id: String, drifted: bool) {
        let entries = &self.change.entries()[before..];
        let Some(first) = entries.first() else { return };
        let action = match first.verb {
            Verb::Create => Action::Create,
            Verb::Update | Verb::Credits | Verb::Clear | Verb::Release => Action::Update,
            Verb::Delete => Action::Delete,
        };
        let noun = first.noun;
        let fields = entries.iter().flat_map(fields).collect();
        self.changes.push(Changed { action, noun, id, fields, drifted });
    }

    /// How many audit entries there are, for [`Run::tell`].
    fn mark(&self) -> usize {
        self.change.entries().len()
    }

    async fn finish(mut self, dry_run: bool) -> Result<Outcome, ServiceError> {
        if dry_run || self.change.is_empty() {
            let revision = store::revision::current(self.change.connection()).await?;
            return Ok(Outcome { changes: self.changes, secrets: Vec::new(), revision });
        }
        let revision = self.change.commit().await?;
        if !self.secrets.is_empty() {
            // Keys are about to be used; one that a slow data plane lacks is looked up there.
            self.state.fleet.served(revision.number, SERVED_WITHIN).await;
        }
        Ok(Outcome { changes: self.changes, secrets: self.secrets, revision })
    }
}

/// The fields that an audit entry tells of.
fn fields(entry: &NewEntry) -> Vec<diff::Changed> {
    let fields = entry.change.as_object().into_iter().flatten();
    let side = |change: &Value, side: &str| change.get(side).cloned().unwrap_or(Value::Null);
    fields
        .map(|(field, change)| diff::Changed {
            field: field.clone(),
            before: side(change, "before"),
            after: side(change, "after"),
        })
        .collect()
}

/// A row that may not be there.
fn found<T>(row: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match row {
        Ok(row) => Ok(Some(row)),
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
