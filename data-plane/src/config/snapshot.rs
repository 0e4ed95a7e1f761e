//! The read model of one config revision: what a request looks things up in.
//!
//! Immutable once made. `compile` makes the next one; nobody else does. Routing policies are in [`policy`], presets in
//! [`preset`], what tenants pay in [`book`].

pub mod book;
pub mod policy;
pub mod preset;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use switchyard_proto::auth::Scheme;
use switchyard_proto::id::{CredentialId, EndpointId, KeyId, ModelId, ProviderId, TenantId};
use switchyard_proto::key::KeyHash;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::price::Tariff;
use switchyard_proto::secret::Secret;
use switchyard_proto::v1;
use switchyard_proto::window::Window;

use crate::adapters::quirks::Quirks;
use crate::adapters::{Adapter, tasks};
use crate::config::pending::Pending;
use crate::config::shards::Shards;
use crate::config::snapshot::book::Book;
use crate::config::snapshot::policy::{Policies, Policy};
use crate::config::snapshot::preset::{Preset, Presets};
use crate::model::parameter::Parameters;
use crate::model::task::Operation;

/// One revision of the config.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Number 0 means that there is no config yet.
    pub revision: Revision,
    pub tenants: Shards<TenantId, Arc<Tenant>>,
    pub keys: Shards<KeyHash, Arc<Key>>,
    /// Where to find a key by its id.
    pub key_hashes: Shards<KeyId, KeyHash>,
    /// Tenants' own credentials in the order of use, by tenant; read with [`Snapshot::credentials`].
    pub credentials: Shards<TenantId, Arc<[Arc<TenantCredential>]>>,
    pub catalogue: Arc<Catalogue>,
    pub policies: Policies,
    /// By tenant; read with [`Snapshot::preset`].
    pub presets: Shards<TenantId, Arc<Presets>>,
    /// Refused so far: tried again with every push.
    pub pending: Pending,
}

/// Which config state this is; see the design's glossary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revision {
    pub incarnation: Arc<str>,
    pub number: u64,
}

impl Revision {
    /// As the wire has it.
    pub fn to_proto(&self) -> v1::Revision {
        v1::Revision { incarnation: self.incarnation.to_string(), number: self.number }
    }
}

/// A customer organisation.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub id: TenantId,
    /// Broadest window first.
    pub budgets: Vec<Budget>,
    /// For each user, over all keys that trust the request's `user`.
    pub user_limit: Option<Limit>,
    pub config: v1::TenantConfig,
    pub book: Book,
    pub revision: u64,
}

/// What a caller presents.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: KeyId,
    pub tenant: TenantId,
    pub hash: KeyHash,
    pub expires_at: Option<DateTime<Utc>>,
    pub limit: Option<Limit>,
    /// For each user of this key; it trusts the request's `user`.
    pub user_limit: Option<Limit>,
    pub config: v1::KeyConfig,
    pub revision: u64,
}

/// What a tenant may spend over a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub window: Window,
    pub amount: NanoUsd,
}

/// A spending limit of a key, a user or a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub amount: NanoUsd,
    pub reset: v1::Reset,
}

/// Providers, models and endpoints: small beside tenants and keys, and compiled as a whole.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    pub providers: HashMap<ProviderId, Arc<Provider>>,
    /// In order of id.
    pub models: BTreeMap<ModelId, Arc<Model>>,
    /// Other names: aliases, and bare names (`gpt-5` for `openai/gpt-5`) that are unique.
    pub names: HashMap<String, ModelId>,
    /// Endpoints by (model, id), those of missing parents excluded.
    pub endpoints: BTreeMap<(ModelId, EndpointId), Arc<Endpoint>>,
}

/// A configured upstream.
#[derive(Debug, Clone)]
pub struct Provider {
    pub id: ProviderId,
    /// Absent: owned by the operator.
    pub tenant: Option<TenantId>,
    /// Shown to callers.
    pub display_name: String,
    pub adapter: &'static dyn Adapter,
    pub scheme: http::uri::Scheme,
    pub authority: http::uri::Authority,
    /// Without a slash at its end.
    pub path_prefix: String,
    /// How credentials are shown.
    pub auth: Scheme,
    pub credentials: Vec<Credential>,
    /// What each of `credentials` may cost.
    pub credential_budget: Option<Limit>,
    pub config: v1::ProviderConfig,
    pub revision: u64,
}

/// What an upstream call is signed with: one of a provider's credentials, or a tenant's own.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Unique among all that a provider may be shown: a tenant's is `tenant#credential`.
    pub id: Arc<str>,
    /// The owner; absent: the operator. What a tenant wrote is trusted less when it is signed with.
    pub tenant: Option<TenantId>,
    pub secret: Secret,
    pub weight: u32,
    /// What may be sent with it; absent: no limit.
    pub rates: Option<v1::Rates>,
}

/// A tenant's own credential for one of the operator's providers.
#[derive(Debug, Clone)]
pub struct TenantCredential {
    pub id: CredentialId,
    pub tenant: TenantId,
    /// The provider may be gone meanwhile.
    pub provider: ProviderId,
    /// To sign with; absent: it is to be set again. `required` holds all the same.
    pub secret: Option<Credential>,
    /// As if it were not there.
    pub disabled: bool,
    /// Used after the shared endpoints, not before them.
    pub fallback: bool,
    /// Lower ones are used first.
    pub order: i32,
    /// No shared endpoints of the provider for the models that it covers.
    pub required: bool,
    /// Empty: all. `author/*` is a prefix.
    pub allowed_models: Vec<String>,
    /// Empty: all.
    pub allowed_keys: Vec<KeyId>,
    /// Values of the request's `user`; empty: all.
    pub allowed_users: Vec<String>,
    /// What the tenant says of its own contract; absent: the provider's data policy holds.
    pub declared_zdr: Option<bool>,
    pub config: v1::TenantCredentialConfig,
    pub revision: u64,
}

impl TenantCredential {
    /// Its place among its tenant's: those before the shared endpoints first, then by order and id.
    pub fn rank(&self) -> (bool, i32, &CredentialId) {
        (self.fallback, self.order, &self.id)
    }

    /// `tenant#credential`: its name in the config stream.
    pub fn full_id(&self) -> String {
        format!("{}#{}", self.tenant, self.id)
    }
}

/// What callers ask for.
#[derive(Debug, Clone)]
pub struct Model {
    pub id: ModelId,
    pub config: v1::ModelConfig,
    /// Those whose provider is known, in order of id.
    pub endpoints: Vec<Arc<Endpoint>>,
    pub revision: u64,
}

/// One model served by one provider.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub id: EndpointId,
    pub model: ModelId,
    pub provider: Arc<Provider>,
    pub tariff: Tariff,
    pub supported: Parameters,
    pub quirks: Quirks,
    pub config: v1::EndpointConfig,
    pub revision: u64,
}

impl Provider {
    /// Whether its dialect has this kind of work at all.
    pub fn has(&self, operation: Operation) -> bool {
        tasks::has(self.adapter, operation)
    }

    /// Whether it keeps nothing at all of a request; what is not known of it is taken as the worse.
    pub fn keeps_nothing(&self) -> bool {
        let policy = self.config.data_policy.unwrap_or_default();
        policy.zdr.unwrap_or(policy.retains_prompts == Some(false))
    }

    /// `https://host[:port]`, in lower case, without the scheme's own port: what tenants' credentials are bound to.
    pub fn origin(&self) -> String {
        let (scheme, host) = (self.scheme.as_str(), self.authority.host().to_ascii_lowercase());
        let own = if scheme == "https" { 443 } else { 80 };
        match self.authority.port_u16() {
            Some(port) if port != own => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        }
    }
}

impl Endpoint {
    /// Whether neither it nor its provider was switched off.
    pub fn is_enabled(&self) -> bool {
        !self.config.disabled && !self.provider.config.disabled
    }

    /// Context window in tokens; unknown ones are taken as 128k.
    pub fn context_length(&self) -> u64 {
        if self.config.context_length == 0 { 131_072 } else { self.config.context_length }
    }

    /// `model#endpoint`: its name in the config stream.
    pub fn full_id(&self) -> String {
        format!("{}#{}", self.model, self.id)
    }
}

impl Snapshot {
    /// A tenant's own credentials in the order of use, disabled ones included.
    pub fn credentials(&self, tenant: &TenantId) -> &[Arc<TenantCredential>] {
        self.credentials.get(tenant).map_or(&[], |rows| rows)
    }

    /// The model of this name: an id, an alias, or a bare name that is unique.
    pub fn model(&self, name: &str) -> Option<&Arc<Model>> {
        let catalogue = &self.catalogue;
        catalogue
            .models
            .get(name)
            .or_else(|| catalogue.models.get(catalogue.names.get(name)?))
            .filter(|model| !model.config.disabled)
    }

    /// The policy that a caller of this tenant means by a name: the tenant's own, else the operator's.
    ///
    /// A tenant's own that is disabled still hides the operator's of the same name.
    pub fn policy(&self, tenant: &TenantId, name: &str) -> Option<&Arc<Policy>> {
        self.policies.named(tenant, name).filter(|policy| !policy.config.disabled)
    }

    /// A tenant's preset of this name, disabled or not.
    pub fn preset(&self, tenant: &TenantId, name: &str) -> Option<&Arc<Preset>> {
        self.presets.get(tenant)?.get(name)
    }

    /// Enabled policies with a condition for whole requests, the tenant's own and the operator's, in the order in which
    /// they are asked: by priority, then the tenant's first, then by id.
    pub fn matching_policies(&self, tenant: &TenantId) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.matching(tenant)
    }
}
