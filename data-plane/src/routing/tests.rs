//! Small catalogues and requests for tests of plans: who may serve, and in which order they are tried.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{
    EndpointConfig, ModelConfig, PolicyConfig, ProviderConfig, TenantConfig, TenantCredentialConfig,
};

use crate::api::openai_chat;
use crate::config::fixtures::{caller, credential, endpoint, full, model, provider, resource, tenant};
use crate::config::snapshot::{Endpoint, Snapshot};
use crate::error::RequestError;
use crate::identity::Caller;
use crate::model::request::ChatRequest;
use crate::routing::health::{Quantiles, Reading};
use crate::routing::inputs::{Inputs, Sticky};
use crate::routing::plan::{Candidate, Plan, PlanError, plan};

/// Changes a row before it is compiled.
type Change<T> = Box<dyn Fn(&mut T)>;

/// A catalogue in the making.
#[derive(Default)]
pub struct World {
    providers: Vec<ProviderConfig>,
    models: Vec<ModelConfig>,
    endpoints: Vec<EndpointConfig>,
    credentials: Vec<TenantCredentialConfig>,
    policies: Vec<PolicyConfig>,
    tenant: Option<Change<TenantConfig>>,
}

/// Rows of model, provider and dollars per million tokens. A provider of the form `openai/priority` is that endpoint
/// of `openai`, in a tier of that name.
pub fn world(rows: &[(&str, &str, &str)]) -> World {
    let mut world = World::default();
    for (name, at, dollars) in rows {
        let (host, variant) = at.split_once('/').unwrap_or((at, ""));
        if !world.providers.iter().any(|row| row.id == host) {
            world.providers.push(provider(host));
        }
        if !world.models.iter().any(|row| row.id == *name) {
            world.models.push(model(name));
        }
        let mut row = endpoint(name, host, dollars);
        if !variant.is_empty() {
            row.id = variant.to_owned();
            row.service_tier = variant.to_owned();
        }
        world.endpoints.push(row);
    }
    world
}

impl World {
    pub fn provider(mut self, id: &str, change: impl Fn(&mut ProviderConfig)) -> Self {
        self.providers.iter_mut().filter(|row| row.id == id).for_each(change);
        self
    }

    pub fn model(mut self, id: &str, change: impl Fn(&mut ModelConfig)) -> Self {
        self.models.iter_mut().filter(|row| row.id == id).for_each(change);
        self
    }

    /// Changes the endpoints of a provider.
    pub fn at(mut self, provider: &str, change: impl Fn(&mut EndpointConfig)) -> Self {
        self.endpoints.iter_mut().filter(|row| row.provider == provider).for_each(change);
        self
    }

    /// Adds a credential of the tenant's own.
    pub fn own(mut self, id: &str, at: &str, change: impl Fn(&mut TenantCredentialConfig)) -> Self {
        let mut row = credential(id, at);
        change(&mut row);
        self.credentials.push(row);
        self
    }

    pub fn policy(mut self, config: PolicyConfig) -> Self {
        self.policies.push(config);
        self
    }

    pub fn tenant(mut self, change: impl Fn(&mut TenantConfig) + 'static) -> Self {
        self.tenant = Some(Box::new(change));
        self
    }

    pub fn snapshot(&self) -> Snapshot {
        let mut rows: Vec<Body> = Vec::new();
        rows.extend(self.providers.iter().cloned().map(Body::Provider));
        rows.extend(self.models.iter().cloned().map(Body::Model));
        rows.extend(self.endpoints.iter().cloned().map(Body::Endpoint));
        let mut rows: Vec<_> = rows.into_iter().map(resource).collect();
        rows.extend(tenant().map(|mut row| {
            if let (Some(Body::Tenant(config)), Some(change)) = (&mut row.body, &self.tenant) {
                change(config);
            }
            row
        }));
        rows.extend(self.credentials.iter().cloned().map(Body::Credential).map(resource));
        rows.extend(self.policies.iter().cloned().map(Body::Policy).map(resource));
        let compiled = full(rows);
        assert_eq!(compiled.refused, []);
        compiled.snapshot
    }

    /// What a request, by its fields over `{model: "m"}`, is asked with.
    pub fn ask(&self, fields: Value) -> Ask {
        let config = self.snapshot();
        let caller = caller(&config);
        Ask { config, caller, request: request(fields), readings: HashMap::new(), sticky: None, seed: 7 }
    }
}

/// One question.
pub struct Ask {
    pub config: Snapshot,
    pub caller: Caller,
    pub request: ChatRequest,
    readings: HashMap<String, Reading>,
    sticky: Option<Sticky>,
    pub seed: u64,
}

impl Ask {
    /// The health of an endpoint, by its id.
    pub fn read(mut self, endpoint: &str, reading: Reading) -> Self {
        self.readings.insert(endpoint.to_owned(), reading);
        self
    }

    pub fn cached_at(mut self, model: &str, endpoint: &str) -> Self {
        use switchyard_proto::id::{EndpointId, ModelId};
        self.sticky = Some(Sticky { model: ModelId::new(model), endpoint: EndpointId::new(endpoint) });
        self
    }

    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Runs with these inputs, changed.
    pub fn with<T>(&self, run: impl FnOnce(Inputs<'_>) -> T) -> T {
        let reading =
            |endpoint: &Endpoint| self.readings.get(endpoint.id.as_str()).copied().unwrap_or_default();
        let inputs = Inputs::of(&self.caller, &self.request, self.seed, &reading);
        run(Inputs { sticky: self.sticky.as_ref(), ..inputs })
    }

    pub fn plan(&self) -> Result<Plan, PlanError> {
        self.with(|inputs| plan(&self.config, &inputs))
    }

    pub fn order(&self) -> Vec<String> {
        order(&self.plan().expect("somebody is left"))
    }

    pub fn refusal(&self) -> RequestError {
        RequestError::from(self.plan().expect_err("nobody is left"))
    }
}

/// Candidates as `model@endpoint`, with the own credential behind a plus.
pub fn order(plan: &Plan) -> Vec<String> {
    plan.candidates().map(name).collect()
}

fn name(candidate: &Candidate) -> String {
    let (provider, id) = (candidate.endpoint.provider.id.as_str(), candidate.endpoint.id.as_str());
    let variant = if provider == id { String::new() } else { format!("/{id}") };
    let own = candidate.credential.as_ref().map(|own| format!("+{}", own.id)).unwrap_or_default();
    format!("{}@{provider}{variant}{own}", candidate.model.id)
}

/// The excluded as endpoint and rule, in order.
pub fn excluded(plan: &Plan) -> Vec<(String, &'static str)> {
    let mut rows: Vec<_> =
        plan.excluded.iter().map(|row| (row.endpoint.id.to_string(), row.rule.as_str())).collect();
    rows.sort();
    rows
}

/// A request for model `m` that says `hi`, with these fields over it.
pub fn request(fields: Value) -> ChatRequest {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in fields.as_object().expect("fields are an object") {
        body[key] = value.clone();
    }
    openai_chat::decode(Bytes::from(body.to_string())).expect("the request is well-formed")
}

/// So many tokens per second at p50, a tenth less with every further percentile.
pub fn speed(tokens_per_second: f32) -> Quantiles {
    let at = |tenths: f32| tokens_per_second * tenths / 10.0;
    Quantiles { samples: 100, p50: at(10.0), p75: at(9.0), p90: at(8.0), p99: at(7.0) }
}

/// A reading with this speed alone.
pub fn fast(tokens_per_second: f32) -> Reading {
    Reading { throughput: speed(tokens_per_second), ..Reading::default() }
}

/// A reading with a failure a moment ago.
pub fn out() -> Reading {
    Reading { recent_outage: true, ..Reading::default() }
}

/// A function to call.
pub fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])
}
