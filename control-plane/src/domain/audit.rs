//! Audit entries: who changed what.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::domain::diff::{self, Changed};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Create,
    Update,
    Delete,
    Credits,
    /// Drift was marked as known.
    Clear,
    /// What a lost data plane was lent was given back.
    Release,
}

impl Verb {
    /// The name that entries show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Credits => "credits",
            Self::Clear => "clear",
            Self::Release => "release",
        }
    }
}

/// An entry to be written with the change that it tells of.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEntry {
    pub verb: Verb,
    pub noun: &'static str,
    pub resource: String,
    /// Empty: concerns no single tenant.
    pub tenant: String,
    pub change: Value,
}

impl NewEntry {
    /// An entry about a resource that no tenant owns.
    pub fn new(verb: Verb, noun: &'static str, resource: &str, changes: &[Changed]) -> Self {
        let change = diff::to_json(changes);
        Self { verb, noun, resource: resource.to_owned(), tenant: String::new(), change }
    }

    /// The same about a tenant's resource.
    pub fn of_tenant(self, tenant: &str) -> Self {
        Self { tenant: tenant.to_owned(), ..self }
    }
}

/// An entry as it is remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub id: u64,
    pub at: DateTime<Utc>,
    pub actor: String,
    pub action: String,
    pub noun: String,
    pub resource: String,
    pub tenant: String,
    pub revision: u64,
    pub change: Value,
}
