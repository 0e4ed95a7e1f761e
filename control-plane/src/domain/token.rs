//! Admin tokens: who may use the admin API.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use switchyard_proto::id::TenantId;

use crate::domain::{
    invalid::{self, Invalid},
    meta::Stale,
    permission::{Actor, Role},
};

/// What an operator chooses of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Draft {
    pub name: String,
    #[serde(serialize_with = "role_name")]
    pub role: Role,
    /// Required for a tenant admin, optional for a viewer, none for an operator.
    #[serde(serialize_with = "tenant_id")]
    pub tenant: Option<TenantId>,
    pub disabled: bool,
    pub expires_at: Option<DateTime<Utc>>,
}

fn role_name<S: Serializer>(role: &Role, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(role.as_str())
}

fn tenant_id<S: Serializer>(tenant: &Option<TenantId>, to: S) -> Result<S::Ok, S::Error> {
    tenant.as_ref().map(TenantId::as_str).serialize(to)
}

/// A token as it is stored: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// `tok_…`.
    pub id: String,
    pub draft: Draft,
    /// First and last characters of the secret.
    pub label: String,
    pub last_used_at: Option<DateTime<Utc>>,
    pub revision: u64,
    pub created_at: DateTime<Utc>,
}

impl Draft {
    /// Checks everything that needs no other row.
    ///
    /// # Errors
    /// Names the field as it is called in `Token`.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::required("name", &self.name, 200)?;
        match (self.role, &self.tenant) {
            (Role::Operator, Some(_)) => Err(Invalid::new("tenant", "must be empty for an operator")),
            (Role::TenantAdmin, None) => Err(Invalid::new("tenant", "is required for a tenant admin")),
            _ => Ok(()),
        }
    }
}

impl Token {
    /// Whether it opens anything at this time.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        !self.draft.disabled && self.draft.expires_at.is_none_or(|end| now < end)
    }

    /// Who comes with it.
    pub fn actor(&self) -> Actor {
        Actor { id: self.id.clone(), role: self.draft.role, tenant: self.draft.tenant.clone() }
    }

    /// Checks that a change was based on this row as it is.
    ///
    /// # Errors
    /// [`Stale`] with the current revision.
    pub fn expect(&self, read: u64) -> Result<(), Stale> {
        if read != 0 && read != self.revision {
            return Err(Stale { read, current: self.revision });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn draft(role: Role, tenant: Option<&str>) -> Draft {
        let tenant = tenant.map(TenantId::new);
        Draft { name: "ops".into(), role, tenant, disabled: false, expires_at: None }
    }

    #[test]
    fn roles_need_their_tenant() {
        for (role, tenant, field) in [
            (Role::Operator, None, None),
            (Role::Operator, Some("acme"), Some("tenant")),
            (Role::TenantAdmin, None, Some("tenant")),
            (Role::TenantAdmin, Some("acme"), None),
            (Role::Viewer, None, None),
            (Role::Viewer, Some("acme"), None),
        ] {
            let found = draft(role, tenant).check().err().map(|invalid| invalid.field);
            assert_eq!(found.as_deref(), field, "{role:?} {tenant:?}");
        }
    }

    #[test]
    fn disabled_and_expired_tokens_open_nothing() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let token = |disabled, expires_at| Token {
            id: "tok_1".into(),
            draft: Draft { disabled, expires_at, ..draft(Role::Operator, None) },
            label: String::new(),
            last_used_at: None,
            revision: 1,
            created_at: now,
        };
        assert!(token(false, None).is_live(now));
        assert!(token(false, Some(now + TimeDelta::seconds(1))).is_live(now));
        assert!(!token(false, Some(now)).is_live(now));
        assert!(!token(true, None).is_live(now));
    }
}
