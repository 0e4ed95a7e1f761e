//! A push of resources and the snapshot before it -> the next snapshot, and what was refused.
//!
//! Pure and off the request path. One bad resource does not block the good ones: its old form stays, and what depends
//! on a missing one is refused with it, and tried again with the next push. Disabling, deleting and narrowing access are never refused.

mod caller;
mod policy;
mod preset;
mod quirks;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use switchyard_proto::auth::{Scheme, UnknownScheme};
use switchyard_proto::id::{EndpointId, KeyId, ModelId, PolicyId, ProviderId, TenantId};
use switchyard_proto::price::{Tariff, Written};
use switchyard_proto::secret::Secret;
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{self, Refusal, Resource, ResourceKind};

use crate::adapters;
use crate::config::pending;
use crate::config::snapshot::policy::Policy;
use crate::config::snapshot::preset::{Preset, Presets};
use crate::config::snapshot::{
    Catalogue, Credential, Endpoint, Key, Model, Provider, Revision, Snapshot, Tenant,
};
use crate::model::parameter::Parameters;

/// What a push became.
#[derive(Debug)]
pub struct Compiled {
    pub snapshot: Snapshot,
    /// By name, with the field at fault; empty means ACK.
    pub refused: Vec<Refusal>,
}

/// Compiles a push. `full`: it replaces everything; else it changes `before`.
pub fn compile(before: &Snapshot, full: bool, resources: Vec<Resource>, revision: Revision) -> Compiled {
    let mut base = if full { Snapshot::default() } else { before.clone() };
    let rows = Rows::of(&base.catalogue);
    let resources = pending::join(std::mem::take(&mut base.pending), resources);
    let mut next = Next { before, snapshot: base, rows, refused: Vec::new(), catalogue_touched: full };
    for resource in resources {
        let (known, kept) = (next.refused.len(), resource.clone());
        next.take(resource);
        if let (true, Some(identity)) = (next.refused.len() > known, pending::identity(&kept)) {
            next.snapshot.pending.insert(identity, kept);
        }
    }
    next.finish(revision)
}

/// The snapshot in the making.
struct Next<'a> {
    before: &'a Snapshot,
    snapshot: Snapshot,
    rows: Rows,
    refused: Vec<Refusal>,
    catalogue_touched: bool,
}

/// The catalogue before its parts are joined.
#[derive(Default)]
struct Rows {
    providers: HashMap<ProviderId, Arc<Provider>>,
    models: BTreeMap<ModelId, Arc<Model>>,
    endpoints: BTreeMap<(ModelId, EndpointId), Arc<Endpoint>>,
}

impl Rows {
    fn of(catalogue: &Catalogue) -> Self {
        Self {
            providers: catalogue.providers.clone(),
            models: catalogue.models.clone(),
            endpoints: catalogue.endpoints.clone(),
        }
    }
}

/// Why one resource does not compile.
struct Fault {
    field: String,
    reason: String,
}

/// Whose a resource is; the operator's names no tenant.
fn owner(tenant: &str) -> Option<TenantId> {
    (!tenant.is_empty()).then(|| TenantId::new(tenant))
}

fn fault(field: impl Into<String>, reason: impl Into<String>) -> Fault {
    Fault { field: field.into(), reason: reason.into() }
}

impl Next<'_> {
    fn take(&mut self, resource: Resource) {
        let revision = resource.revision;
        match resource.body {
            Some(Body::Provider(config)) => self.provider(config, revision),
            Some(Body::Model(config)) => self.model(config, revision),
            Some(Body::Endpoint(config)) => self.endpoint(config, revision),
            Some(Body::Tenant(config)) => self.tenant(config, revision),
            Some(Body::Credential(config)) => self.credential(config, revision),
            Some(Body::Policy(config)) => self.policy(config, revision),
            Some(Body::Preset(config)) => self.preset(config, revision),
            Some(Body::Key(config)) => self.key(config, revision),
            Some(Body::Tombstone(tombstone)) => self.tombstone(&tombstone),
            None => self.refuse(
                ResourceKind::Unspecified,
                "",
                fault("body", "is of a kind that this version does not know"),
            ),
        }
    }

    fn refuse(&mut self, kind: ResourceKind, id: &str, fault: Fault) {
        let Fault { field, reason } = fault;
        self.refused.push(Refusal { kind: kind.into(), id: id.to_owned(), field, reason });
    }

    fn provider(&mut self, config: v1::ProviderConfig, revision: u64) {
        self.catalogue_touched = true;
        let id = ProviderId::new(config.id.as_str());
        let disabled = config.disabled;
        match provider(config, revision) {
            Ok(row) => {
                self.rows.providers.insert(id, Arc::new(row));
            }
            Err(fault) => {
                let old = self.before.catalogue.providers.get(&id).cloned();
                if let Some(mut old) = old {
                    Arc::make_mut(&mut old).config.disabled |= disabled;
                    self.rows.providers.insert(id.clone(), old);
                }
                self.refuse(ResourceKind::ResourceProvider, id.as_str(), fault);
            }
        }
    }

    fn model(&mut self, config: v1::ModelConfig, revision: u64) {
        self.catalogue_touched = true;
        let id = ModelId::new(config.id.as_str());
        let row = Model { id: id.clone(), config, endpoints: Vec::new(), revision };
        self.rows.models.insert(id, Arc::new(row));
    }

    fn endpoint(&mut self, config: v1::EndpointConfig, revision: u64) {
        self.catalogue_touched = true;
        let id = (ModelId::new(config.model.as_str()), EndpointId::new(config.id.as_str()));
        let disabled = config.disabled;
        match self.compile_endpoint(config, revision) {
            Ok(row) => {
                self.rows.endpoints.insert(id, Arc::new(row));
            }
            Err(fault) => {
                if let Some(mut old) = self.before.catalogue.endpoints.get(&id).cloned() {
                    Arc::make_mut(&mut old).config.disabled |= disabled;
                    self.rows.endpoints.insert(id.clone(), old);
                }
                self.refuse(ResourceKind::ResourceEndpoint, &format!("{}#{}", id.0, id.1), fault);
            }
        }
    }

    fn compile_endpoint(&self, config: v1::EndpointConfig, revision: u64) -> Result<Endpoint, Fault> {
        let provider = self
            .rows
            .providers
            .get(config.provider.as_str())
            .ok_or_else(|| fault("provider", format!("`{}` is not there", config.provider)))?;
        if !self.rows.models.contains_key(config.model.as_str()) {
            return Err(fault("model", format!("`{}` is not there", config.model)));
        }
        endpoint(config, provider, revision)
    }

    fn tenant(&mut self, mut config: v1::TenantConfig, revision: u64) {
        let id = TenantId::new(config.id.as_str());
        let read = book::book(&config);
        let old = || self.before.tenants.get(&id).map(|old| old.book.clone());
        // What was narrowed holds in any case: an unreadable book leaves the old one.
        let book = read.as_ref().ok().cloned().or_else(old);
        if let Err(fault) = read {
            self.refuse(ResourceKind::ResourceTenant, id.as_str(), fault);
        }
        let Some(book) = book else { return };
        let row = match caller::limits(&config) {
            Ok((budgets, user_limit)) => {
                Some(Tenant { id: id.clone(), budgets, user_limit, config, book, revision })
            }
            // Unreadable limits leave the old ones, and undo nothing that was narrowed beside them.
            Err(fault) => {
                self.refuse(ResourceKind::ResourceTenant, id.as_str(), fault);
                self.before.tenants.get(&id).map(|old| {
                    config.disabled |= old.config.disabled;
                    Tenant { config, book, ..Tenant::clone(old) }
                })
            }
        };
        if let Some(row) = row {
            self.snapshot.tenants.insert(id, Arc::new(row));
        }
    }

    fn policy(&mut self, config: v1::PolicyConfig, revision: u64) {
        let id = format!("{}#{}", config.tenant, config.id);
        let (tenant, name) = (owner(&config.tenant), PolicyId::new(config.id.as_str()));
        let disabled = config.disabled;
        let known = tenant.as_ref().is_none_or(|tenant| self.snapshot.tenants.get(tenant).is_some());
        let row = if known {
            policy::compile(config, revision)
        } else {
            Err(fault("tenant", format!("`{}` is not there", config.tenant)))
        };
        match row {
            Ok(row) => self.snapshot.policies.put(row),
            Err(fault) => {
                if let Some(old) = self.before.policies.get(tenant.as_ref(), &name) {
                    let mut old = Policy::clone(old);
                    old.config.disabled |= disabled;
                    self.snapshot.policies.put(old);
                }
                self.refuse(ResourceKind::ResourcePolicy, &id, fault);
            }
        }
    }

    fn preset(&mut self, config: v1::PresetConfig, revision: u64) {
        let (tenant, name) = (TenantId::new(config.tenant.as_str()), config.id.clone());
        let disabled = config.disabled;
        let row = if self.snapshot.tenants.get(&tenant).is_some() {
            preset::compile(config, revision)
        } else {
            Err(fault("tenant", format!("`{tenant}` is not there")))
        };
        match row {
            Ok(row) => self.put_preset(row),
            Err(fault) => {
                if let Some(old) = self.before.preset(&tenant, &name) {
                    let mut old = Preset::clone(old);
                    old.config.disabled |= disabled;
                    self.put_preset(old);
                }
                self.refuse(ResourceKind::ResourcePreset, &format!("{tenant}#{name}"), fault);
            }
        }
    }

    fn put_preset(&mut self, row: Preset) {
        self.change_presets(&row.tenant.clone(), |presets| {
            presets.insert(row.id.clone(), Arc::new(row));
        });
    }

    fn change_presets(&mut self, tenant: &TenantId, change: impl FnOnce(&mut Presets)) {
        let mut presets =
            self.snapshot.presets.get(tenant).map(|held| Presets::clone(held)).unwrap_or_default();
        change(&mut presets);
        if presets.is_empty() {
            self.snapshot.presets.remove(tenant);
        } else {
            self.snapshot.presets.insert(tenant.clone(), Arc::new(presets));
        }
    }

    fn key(&mut self, config: v1::KeyConfig, revision: u64) {
        let (id, disabled) = (KeyId::new(config.id.as_str()), config.disabled);
        let known = self.snapshot.tenants.get(config.tenant.as_str()).is_some();
        let row = if known {
            caller::key(config, revision)
        } else {
            Err(fault("tenant", format!("`{}` is not there", config.tenant)))
        };
        match row {
            Ok(row) => self.put_key(row),
            Err(fault) => {
                let hash = self.before.key_hashes.get(&id);
                if let Some(old) = hash.and_then(|hash| self.before.keys.get(hash)) {
                    let mut old = Key::clone(old);
                    old.config.disabled |= disabled;
                    self.put_key(old);
                }
                self.refuse(ResourceKind::ResourceKey, id.as_str(), fault);
            }
        }
    }

    fn put_key(&mut self, row: Key) {
        let (id, hash) = (row.id.clone(), row.hash);
        if let Some(old) = self.snapshot.key_hashes.insert(id, hash).filter(|old| *old != hash) {
            self.snapshot.keys.remove(&old);
        }
        self.snapshot.keys.insert(hash, Arc::new(row));
    }

    fn tombstone(&mut self, tombstone: &v1::Tombstone) {
        let id = tombstone.id.as_str();
        match tombstone.kind() {
            ResourceKind::ResourceProvider => {
                self.catalogue_touched |= self.rows.providers.remove(id).is_some();
            }
            ResourceKind::ResourceModel => {
                self.catalogue_touched |= self.rows.models.remove(id).is_some();
            }
            ResourceKind::ResourceEndpoint => {
                if let Some((model, endpoint)) = id.split_once('#') {
                    let id = (ModelId::new(model), EndpointId::new(endpoint));
                    self.catalogue_touched |= self.rows.endpoints.remove(&id).is_some();
                }
            }
            ResourceKind::ResourceTenant => {
                self.snapshot.tenants.remove(id);
            }
            ResourceKind::ResourceKey => {
                if let Some(hash) = self.snapshot.key_hashes.remove(id) {
                    self.snapshot.keys.remove(&hash);
                }
            }
            ResourceKind::ResourceCredential => {
                if let Some((tenant, credential)) = id.split_once('#') {
                    self.take_credential(&TenantId::new(tenant), credential);
                }
            }
            ResourceKind::ResourcePolicy => {
                if let Some((tenant, policy)) = id.split_once('#') {
                    self.snapshot.policies.remove(owner(tenant).as_ref(), policy);
                }
            }
            ResourceKind::ResourcePreset => {
                if let Some((tenant, preset)) = id.split_once('#') {
                    self.change_presets(&TenantId::new(tenant), |presets| {
                        presets.remove(preset);
                    });
                }
            }
            ResourceKind::Unspecified => {}
        }
    }

    fn finish(mut self, revision: Revision) -> Compiled {
        if self.catalogue_touched {
            self.snapshot.catalogue = Arc::new(join(self.rows));
        }
        self.snapshot.revision = revision;
        Compiled { snapshot: self.snapshot, refused: self.refused }
    }
}

/// Hands every endpoint its provider's newest form, every model its endpoints, and finds the other names.
fn join(rows: Rows) -> Catalogue {
    let Rows { providers, mut models, mut endpoints } = rows;
    endpoints.retain(|(model, _), endpoint| {
        models.contains_key(model) && providers.contains_key(&endpoint.provider.id)
    });
    for endpoint in endpoints.values_mut() {
        let provider = &providers[&endpoint.provider.id];
        if !Arc::ptr_eq(&endpoint.provider, provider) {
            // Quirks of the endpoint stand on those of the provider.
            let (config, revision) = (endpoint.config.clone(), endpoint.revision);
            match self::endpoint(config, provider, revision) {
                Ok(row) => *endpoint = Arc::new(row),
                Err(_) => Arc::make_mut(endpoint).provider = provider.clone(),
            }
        }
    }
    for model in models.values_mut() {
        let first = (model.id.clone(), EndpointId::new(""));
        let own = endpoints.range(first..).take_while(|((id, _), _)| *id == model.id);
        let own: Vec<_> = own.map(|(_, endpoint)| endpoint.clone()).collect();
        Arc::make_mut(model).endpoints = own;
    }
    let names = names(&models);
    Catalogue { providers, models, names, endpoints }
}

/// Aliases first; then bare names, where exactly one enabled model has them.
fn names(models: &BTreeMap<ModelId, Arc<Model>>) -> HashMap<String, ModelId> {
    let mut bare: HashMap<&str, Vec<&ModelId>> = HashMap::new();
    let mut names = HashMap::new();
    for model in models.values().filter(|model| !model.config.disabled) {
        if let Some((_, name)) = model.id.as_str().split_once('/') {
            bare.entry(name).or_default().push(&model.id);
        }
        for alias in &model.config.aliases {
            names.insert(alias.clone(), model.id.clone());
        }
    }
    for (name, owners) in bare {
        if let [only] = owners[..] {
            names.entry(name.to_owned()).or_insert_with(|| only.clone());
        }
    }
    names
}

fn provider(config: v1::ProviderConfig, revision: u64) -> Result<Provider, Fault> {
    let adapter = adapters::by_name(&config.adapter)
        .ok_or_else(|| fault("adapter", format!("`{}` is not known to this version", config.adapter)))?;
    let uri: http::Uri = config.base_url.parse().map_err(|_| fault("base_url", "is not a URL"))?;
    let (scheme, authority) = match (uri.scheme(), uri.authority()) {
        (Some(scheme), Some(authority)) if matches!(scheme.as_str(), "http" | "https") => {
            (scheme.clone(), authority.clone())
        }
        _ => return Err(fault("base_url", "must be http or https with a host")),
    };
    quirks::over(adapter.quirks(), &config, &[])?;
    let path_prefix = uri.path().trim_end_matches('/').to_owned();
    let auth = auth(&config)?;
    let credentials = config.credentials.iter().map(|row| credential(row, &config.tenant)).collect();
    let budget = config.credential_budget.as_ref();
    let credential_budget = budget.map(|given| caller::limit("credential_budget", given)).transpose()?;
    Ok(Provider {
        id: ProviderId::new(config.id.as_str()),
        tenant: owner(&config.tenant),
        display_name: if config.display_name.is_empty() {
            config.id.clone()
        } else {
            config.display_name.clone()
        },
        adapter,
        scheme,
        authority,
        path_prefix,
        auth,
        credentials,
        credential_budget,
        config,
        revision,
    })
}

/// The row's scheme, else the adapter's. What the machine itself may do is for the operator's providers alone.
fn auth(config: &v1::ProviderConfig) -> Result<Scheme, Fault> {
    let scheme = match config.auth.as_str() {
        "" => Scheme::of_adapter(&config.adapter),
        name => name.parse().map_err(|unknown: UnknownScheme| fault("auth", unknown.to_string()))?,
    };
    let ambient = config.credentials.iter().find(|credential| scheme.is_ambient(&credential.secret));
    match ambient {
        Some(credential) if !config.tenant.is_empty() => Err(fault(
            format!("credentials.{}", credential.id),
            "stands for the machine's own credentials, which are for the operator's providers",
        )),
        _ => Ok(scheme),
    }
}

fn credential(config: &v1::CredentialConfig, tenant: &str) -> Credential {
    Credential {
        id: config.id.as_str().into(),
        tenant: (!tenant.is_empty()).then(|| TenantId::new(tenant)),
        secret: Secret::new(config.secret.as_str()),
        weight: config.weight.max(1),
        rates: config.rates,
    }
}

fn endpoint(config: v1::EndpointConfig, provider: &Arc<Provider>, revision: u64) -> Result<Endpoint, Fault> {
    let price = config.price.as_ref().map(Written::from).unwrap_or_default();
    let tariff =
        Tariff::parse(&price).map_err(|bad| fault(format!("price.{}", bad.field), bad.reason.to_string()))?;
    Ok(Endpoint {
        id: EndpointId::new(config.id.as_str()),
        model: ModelId::new(config.model.as_str()),
        provider: provider.clone(),
        tariff,
        supported: Parameters::from_names(config.supported_parameters.iter().map(String::as_str)),
        quirks: quirks::over(
            quirks::known(provider.adapter.quirks(), &config.model_quirks),
            &provider.config,
            &config.quirks,
        )?,
        config,
        revision,
    })
}

mod book;
mod credential;
#[cfg(test)]
mod tests;
