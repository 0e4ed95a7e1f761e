//! Routing policies as requests read them: compiled, and found by name or by what they match.
//!
//! What a policy does to a request is `routing`'s business.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchyard_proto::id::{PolicyId, TenantId};
use switchyard_proto::money::NanoUsd;
use switchyard_proto::policy::Condition;
use switchyard_proto::v1;

use crate::config::shards::Shards;
use crate::judge::{Reasons, Schema};
use crate::model::deadlines::Deadlines;
use crate::model::preferences::Preferences;

/// A tenant's or the operator's routing rules.
#[derive(Debug, Clone)]
pub struct Policy {
    pub id: PolicyId,
    /// Absent: the operator's.
    pub tenant: Option<TenantId>,
    /// Absent: applied by name only.
    pub matches: Option<Condition>,
    pub sticky_by: StickyBy,
    /// At least one.
    pub stages: Vec<PolicyStage>,
    pub config: v1::PolicyConfig,
    pub revision: u64,
}

/// What a weighted choice stays the same for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StickyBy {
    #[default]
    Request,
    User,
    Session,
    Key,
}

/// One step of a policy.
#[derive(Debug, Clone)]
pub struct PolicyStage {
    /// Its own, else its number from 1.
    pub name: String,
    /// Absent: always.
    pub when: Option<Condition>,
    /// At least one, as listed.
    pub models: Vec<WeightedModel>,
    /// Whether one order is drawn by weight; else the models are tried as listed.
    pub is_weighted: bool,
    /// Under those of the request: they can only narrow.
    pub preferences: Preferences,
    pub escalate_on: Reasons,
    /// Over the answer: false escalates.
    pub check: Option<Condition>,
    /// What the answer's text must satisfy; absent: the request's own schema, if it has one.
    pub schema: Option<Arc<Schema>>,
    /// The stage's own over the policy's; absent ones are the provider's.
    pub deadlines: Deadlines,
    pub hedge: Option<Hedge>,
    /// Further tries per candidate; absent: the setting.
    pub retries: Option<u32>,
}

/// A model and its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightedModel {
    /// As the policy names it: an id, an alias or a bare name, looked up when a request is planned.
    pub model: String,
    /// At least 1.
    pub weight: u32,
}

/// When a second candidate is tried beside a slow first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedge {
    /// Of the candidate's usual times to first content, from 1 to 999.
    pub quantile_permille: u32,
    /// Of the stage's requests, from 1 to 1000.
    pub max_rate_permille: u32,
    /// What one may cost at most, by its worst case.
    pub max_usd: Option<NanoUsd>,
}

/// All policies, by owner.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    operator: Arc<Owned>,
    tenants: Shards<TenantId, Arc<Owned>>,
}

/// One owner's.
#[derive(Debug, Clone, Default)]
struct Owned {
    by_id: BTreeMap<PolicyId, Arc<Policy>>,
    /// Enabled ones with a condition, highest priority first, then by id.
    matching: Vec<Arc<Policy>>,
}

impl Policies {
    /// One owner's policy of this name, disabled or not.
    pub fn get(&self, owner: Option<&TenantId>, id: &PolicyId) -> Option<&Arc<Policy>> {
        self.owned(owner)?.by_id.get(id)
    }

    /// What a tenant means by a name, disabled or not.
    pub fn named(&self, tenant: &TenantId, name: &str) -> Option<&Arc<Policy>> {
        let own = self.owned(Some(tenant)).and_then(|owned| owned.by_id.get(name));
        own.or_else(|| self.operator.by_id.get(name))
    }

    /// Those that may apply unasked to a tenant's requests, in order.
    pub fn matching(&self, tenant: &TenantId) -> impl Iterator<Item = &Arc<Policy>> {
        let own = self.owned(Some(tenant)).map_or(&[][..], |owned| &owned.matching);
        Merged { own, operators: &self.operator.matching }
    }

    /// Every policy, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Policy>> {
        let tenants = self.tenants.values().flat_map(|owned| owned.by_id.values());
        self.operator.by_id.values().chain(tenants)
    }

    /// Puts a policy in the place of an older form.
    pub fn put(&mut self, policy: Policy) {
        let owner = policy.tenant.clone();
        self.change(owner.as_ref(), |owned| {
            owned.by_id.insert(policy.id.clone(), Arc::new(policy));
        });
    }

    /// Takes a policy out.
    pub fn remove(&mut self, owner: Option<&TenantId>, id: &str) {
        self.change(owner, |owned| {
            owned.by_id.remove(id);
        });
    }

    fn owned(&self, owner: Option<&TenantId>) -> Option<&Arc<Owned>> {
        match owner {
            None => Some(&self.operator),
            Some(tenant) => self.tenants.get(tenant),
        }
    }

    fn change(&mut self, owner: Option<&TenantId>, change: impl FnOnce(&mut Owned)) {
        let mut owned = self.owned(owner).map(|owned| Owned::clone(owned)).unwrap_or_default();
        change(&mut owned);
        owned.matching = owned.by_id.values().filter(|policy| policy.applies_unasked()).cloned().collect();
        // Stable: those of one priority stay in the order of their ids.
        owned.matching.sort_by_key(|policy| std::cmp::Reverse(policy.config.priority));
        match owner {
            None => self.operator = Arc::new(owned),
            Some(tenant) if owned.by_id.is_empty() => {
                self.tenants.remove(tenant);
            }
            Some(tenant) => {
                self.tenants.insert(tenant.clone(), Arc::new(owned));
            }
        }
    }
}

impl Policy {
    fn applies_unasked(&self) -> bool {
        self.matches.is_some() && !self.config.disabled
    }
}

/// Two lists in order of priority as one; at equal priority a tenant's own go first.
struct Merged<'a> {
    own: &'a [Arc<Policy>],
    operators: &'a [Arc<Policy>],
}

impl<'a> Iterator for Merged<'a> {
    type Item = &'a Arc<Policy>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_own_next = match (self.own.first(), self.operators.first()) {
            (Some(own), Some(operators)) => own.config.priority >= operators.config.priority,
            (own, _) => own.is_some(),
        };
        let list = if is_own_next { &mut self.own } else { &mut self.operators };
        let (first, rest) = list.split_first()?;
        *list = rest;
        Some(first)
    }
}
