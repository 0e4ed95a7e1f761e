//! Small config states for tests of what reads them.

use switchyard_proto::key::KeyHash;
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{
    DataPolicy, EndpointConfig, KeyConfig, ModelConfig, Price, ProviderConfig, Resource, TenantConfig,
    TenantCredentialConfig,
};

use crate::config::compile::{Compiled, compile};
use crate::config::snapshot::{Revision, Snapshot};
use crate::identity::Caller;

/// The key of [`tenant`]'s tenant.
pub const SECRET: &str = "a-secret-brought-from-elsewhere-0123";

/// A resource of revision 1.
pub fn resource(body: Body) -> Resource {
    Resource { revision: 1, body: Some(body) }
}

/// An OpenAI-dialect provider that neither stores nor trains.
pub fn provider(id: &str) -> ProviderConfig {
    ProviderConfig {
        id: id.into(),
        adapter: "openai".into(),
        base_url: format!("http://{id}.test/v1"),
        data_policy: Some(DataPolicy { retains_prompts: Some(false), trains: Some(false), zdr: None }),
        ..Default::default()
    }
}

/// A text model.
pub fn model(id: &str) -> ModelConfig {
    ModelConfig { id: id.into(), input_modalities: vec!["text".into()], ..Default::default() }
}

/// A model at a provider, at so many dollars per million tokens either way.
pub fn endpoint(model: &str, provider: &str, dollars: &str) -> EndpointConfig {
    EndpointConfig {
        model: model.into(),
        id: provider.into(),
        provider: provider.into(),
        upstream_id: "upstream".into(),
        context_length: 10_000,
        max_output_tokens: 1_000,
        price: Some(Price { input: dollars.into(), output: dollars.into(), ..Default::default() }),
        ..Default::default()
    }
}

/// The tenant `acme` with the key `key_1`, whose secret is [`SECRET`].
pub fn tenant() -> [Resource; 2] {
    let tenant = TenantConfig { id: "acme".into(), ..Default::default() };
    let key = KeyConfig {
        id: "key_1".into(),
        tenant: "acme".into(),
        sha256: KeyHash::of(SECRET).0.to_vec(),
        ..Default::default()
    };
    [resource(Body::Tenant(tenant)), resource(Body::Key(key))]
}

/// The tenant `acme`'s own credential for [`provider`]'s provider.
pub fn credential(id: &str, provider: &str) -> TenantCredentialConfig {
    TenantCredentialConfig {
        tenant: "acme".into(),
        id: id.into(),
        provider: provider.into(),
        secret: format!("sk-{id}"),
        origin: format!("http://{provider}.test"),
        ..Default::default()
    }
}

/// A full push on top of nothing.
pub fn full(resources: impl IntoIterator<Item = Resource>) -> Compiled {
    push(&Snapshot::default(), true, resources, 1)
}

/// A push on top of a snapshot.
pub fn push(
    before: &Snapshot,
    full: bool,
    resources: impl IntoIterator<Item = Resource>,
    number: u64,
) -> Compiled {
    compile(before, full, resources.into_iter().collect(), Revision { incarnation: "i".into(), number })
}

/// The caller that [`tenant`] describes.
pub fn caller(config: &Snapshot) -> Caller {
    let key = config.keys.get(&KeyHash::of(SECRET)).expect("the fixture has a key");
    Caller { tenant: config.tenants.get("acme").expect("the fixture has a tenant").clone(), key: key.clone() }
}
