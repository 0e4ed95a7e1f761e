//! Routing policies: the operator's, and tenants' own. Conditions are compiled before a policy is stored.

mod check;
mod stage;

use serde::Serialize;
use switchyard_proto::id::{PolicyId, TenantId};

use crate::domain::meta::Meta;

pub use self::check::check_id;
pub use self::stage::{Deadlines, Hedge, MaxPrice, Percentiles, Preferences, Stage, Weighted};

/// What the owner chooses of a policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Draft {
    pub description: String,
    pub disabled: bool,
    /// A condition over the request; empty: applied by name only.
    #[serde(rename = "match")]
    pub matches: String,
    /// The highest of those that match applies.
    pub priority: i32,
    /// At least one.
    pub stages: Vec<Stage>,
    /// What weighted choices stay the same for; empty: the request.
    pub sticky_by: String,
    /// For all stages.
    pub deadlines: Deadlines,
}

/// A policy as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub id: PolicyId,
    /// `None`: the operator's.
    pub tenant: Option<TenantId>,
    pub draft: Draft,
    pub meta: Meta,
}

impl Policy {
    /// `tenant/policy`, or the id alone: how people see it among all.
    pub fn shown(&self) -> String {
        shown(self.tenant.as_ref(), &self.id)
    }
}

/// `tenant/policy`, or the id alone.
pub fn shown(tenant: Option<&TenantId>, id: &PolicyId) -> String {
    match tenant {
        Some(tenant) => format!("{tenant}/{id}"),
        None => id.to_string(),
    }
}
