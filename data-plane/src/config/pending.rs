//! Resources that were refused wait here, raw, and are tried again with every push: what they lack may arrive, and until
//! then each answer to the control plane still names them.

use std::collections::BTreeMap;

use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{Resource, ResourceKind};

/// What tells one resource from all others: its kind and id, an endpoint's being `model#endpoint`, a credential's
/// `tenant#credential`, a preset's `tenant#preset`.
pub type Identity = (i32, String);

/// Refused resources by what they are.
pub type Pending = BTreeMap<Identity, Resource>;

/// What a resource is about; none for a kind that this version does not know.
pub fn identity(resource: &Resource) -> Option<Identity> {
    let (kind, id) = match resource.body.as_ref()? {
        Body::Provider(provider) => (ResourceKind::ResourceProvider, provider.id.clone()),
        Body::Model(model) => (ResourceKind::ResourceModel, model.id.clone()),
        Body::Endpoint(endpoint) => {
            (ResourceKind::ResourceEndpoint, format!("{}#{}", endpoint.model, endpoint.id))
        }
        Body::Tenant(tenant) => (ResourceKind::ResourceTenant, tenant.id.clone()),
        Body::Credential(credential) => {
            (ResourceKind::ResourceCredential, format!("{}#{}", credential.tenant, credential.id))
        }
        Body::Policy(policy) => (ResourceKind::ResourcePolicy, format!("{}#{}", policy.tenant, policy.id)),
        Body::Preset(preset) => (ResourceKind::ResourcePreset, format!("{}#{}", preset.tenant, preset.id)),
        Body::Key(key) => (ResourceKind::ResourceKey, key.id.clone()),
        Body::Tombstone(tombstone) => (tombstone.kind(), tombstone.id.clone()),
    };
    Some((kind.into(), id))
}

/// A push together with what waited for it, parents before children and tombstones last.
pub fn join(mut waiting: Pending, push: Vec<Resource>) -> Vec<Resource> {
    if waiting.is_empty() {
        return push;
    }
    for identity in push.iter().filter_map(identity) {
        waiting.remove(&identity);
    }
    let mut all: Vec<Resource> = push.into_iter().chain(waiting.into_values()).collect();
    all.sort_by_key(rank);
    all
}

fn rank(resource: &Resource) -> u8 {
    match resource.body {
        Some(Body::Provider(_)) => 0,
        Some(Body::Model(_)) => 1,
        Some(Body::Endpoint(_)) => 2,
        Some(Body::Tenant(_)) => 3,
        Some(Body::Credential(_)) => 4,
        Some(Body::Policy(_) | Body::Preset(_)) => 4,
        Some(Body::Key(_)) => 5,
        Some(Body::Tombstone(_)) | None => 6,
    }
}
