//! What a data plane has refused and not taken since: its answers only speak of the push that they answer. Pure.

use std::collections::BTreeMap;

use switchyard_proto::v1::{self, resource::Body};

use crate::store::instance::RefusalRow;

/// Kind and id, as a refusal names them.
type Name = (i32, String);

/// Everything that is refused right now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused(BTreeMap<Name, RefusalRow>);

/// What a push brought of what was refused before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    /// All there is.
    Everything,
    /// These again.
    Again(Vec<Name>),
}

/// What to do after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    GoOn,
    /// Something was mended, and what is still refused may only have lacked that: send everything again.
    SendEverything,
}

impl Refused {
    /// As it was written down.
    pub fn from_rows(rows: Vec<RefusalRow>) -> Self {
        Self(rows.into_iter().map(|row| ((row.kind, row.id.clone()), row)).collect())
    }

    /// To be written down.
    pub fn rows(&self) -> Vec<RefusalRow> {
        self.0.values().cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What of it these resources bring again.
    pub fn among<'a>(&self, resources: impl IntoIterator<Item = &'a v1::Resource>) -> Brought {
        if self.is_empty() {
            return Brought::Again(Vec::new());
        }
        let names = resources.into_iter().filter_map(name);
        Brought::Again(names.filter(|name| self.0.contains_key(name)).collect())
    }

    /// Takes the answer to a push.
    pub fn answered(&mut self, brought: &Brought, refusals: Vec<v1::Refusal>) -> Next {
        let refusals: BTreeMap<Name, RefusalRow> = refusals.into_iter().map(row).collect();
        let Brought::Again(names) = brought else {
            self.0 = refusals;
            return Next::GoOn;
        };
        let is_mended = names.iter().any(|name| !refusals.contains_key(name));
        self.0.retain(|name, _| !names.contains(name));
        let are_others_left = !self.0.is_empty();
        self.0.extend(refusals);
        if is_mended && are_others_left { Next::SendEverything } else { Next::GoOn }
    }
}

fn row(refusal: v1::Refusal) -> (Name, RefusalRow) {
    let name = (refusal.kind, refusal.id.clone());
    let v1::Refusal { kind, id, field, reason } = refusal;
    (name, RefusalRow { kind, id, field, reason })
}

fn name(resource: &v1::Resource) -> Option<Name> {
    let (kind, id) = match resource.body.as_ref()? {
        Body::Provider(provider) => (v1::ResourceKind::ResourceProvider, provider.id.clone()),
        Body::Model(model) => (v1::ResourceKind::ResourceModel, model.id.clone()),
        Body::Endpoint(endpoint) => {
            (v1::ResourceKind::ResourceEndpoint, format!("{}#{}", endpoint.model, endpoint.id))
        }
        Body::Tenant(tenant) => (v1::ResourceKind::ResourceTenant, tenant.id.clone()),
        Body::Credential(credential) => {
            (v1::ResourceKind::ResourceCredential, format!("{}#{}", credential.tenant, credential.id))
        }
        Body::Policy(policy) => {
            (v1::ResourceKind::ResourcePolicy, format!("{}#{}", policy.tenant, policy.id))
        }
        Body::Preset(preset) => {
            (v1::ResourceKind::ResourcePreset, format!("{}#{}", preset.tenant, preset.id))
        }
        Body::Key(key) => (v1::ResourceKind::ResourceKey, key.id.clone()),
        Body::Tombstone(gone) => (gone.kind(), gone.id.clone()),
    };
    Some((kind.into(), id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDER: i32 = v1::ResourceKind::ResourceProvider as i32;
    const ENDPOINT: i32 = v1::ResourceKind::ResourceEndpoint as i32;

    fn refusal(kind: i32, id: &str) -> v1::Refusal {
        v1::Refusal { kind, id: id.into(), field: "adapter".into(), reason: "is odd".into() }
    }

    fn provider(id: &str) -> v1::Resource {
        let config = v1::ProviderConfig { id: id.into(), ..Default::default() };
        v1::Resource { revision: 1, body: Some(Body::Provider(config)) }
    }

    fn ids(refused: &Refused) -> Vec<&str> {
        refused.0.keys().map(|(_, id)| id.as_str()).collect()
    }

    /// A provider, and the endpoint that lacks it.
    fn two() -> Refused {
        let mut refused = Refused::default();
        let refusals = vec![refusal(PROVIDER, "p"), refusal(ENDPOINT, "a/b#p")];
        assert_eq!(refused.answered(&Brought::Everything, refusals), Next::GoOn);
        refused
    }

    #[test]
    fn a_refusal_stays_until_its_resource_comes_again() {
        let mut refused = two();
        let brought = refused.among([&provider("q")]);
        assert_eq!(refused.answered(&brought, Vec::new()), Next::GoOn);
        assert_eq!(ids(&refused), ["p", "a/b#p"]);
        let brought = refused.among([&provider("p")]);
        assert_eq!(refused.answered(&brought, vec![refusal(PROVIDER, "p")]), Next::GoOn);
        assert_eq!(ids(&refused), ["p", "a/b#p"], "refused again");
    }

    #[test]
    fn what_is_mended_may_mend_what_depends_on_it() {
        let mut refused = two();
        let brought = refused.among([&provider("p")]);
        assert_eq!(refused.answered(&brought, Vec::new()), Next::SendEverything);
        assert_eq!(ids(&refused), ["a/b#p"]);
        assert_eq!(refused.answered(&Brought::Everything, vec![refusal(ENDPOINT, "a/b#p")]), Next::GoOn);
        assert_eq!(refused.answered(&Brought::Everything, Vec::new()), Next::GoOn);
        assert!(refused.is_empty());
    }

    #[test]
    fn the_last_one_that_is_mended_needs_nothing_more() {
        let mut refused = Refused::default();
        refused.answered(&Brought::Everything, vec![refusal(PROVIDER, "p")]);
        let brought = refused.among([&provider("p")]);
        assert_eq!(refused.answered(&brought, Vec::new()), Next::GoOn);
        assert_eq!(Refused::from_rows(refused.rows()), Refused::default());
    }
}
