//! Whose providers may be at which addresses. The guard itself is shared by both planes (`switchyard_guard`).

pub use switchyard_guard::{Guarded, Private, Resolve, Resolving, System, is_refusal};

use crate::settings::Requests;

/// Who wrote the URL of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Who runs the machines: what is near them is his own.
    Operator,
    /// A customer, who must not reach what is near the machines unless the operator says so.
    Tenant,
}

/// Whose providers may be at private addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateUpstreams {
    pub operators: bool,
    pub tenants: bool,
}

impl PrivateUpstreams {
    /// As the operator set it.
    pub const fn of(requests: &Requests) -> Self {
        Self { operators: requests.allow_private_upstreams, tenants: requests.allow_private_tenant_upstreams }
    }

    /// Whether this owner's providers may.
    pub const fn allows(self, owner: Owner) -> bool {
        match owner {
            Owner::Operator => self.operators,
            Owner::Tenant => self.tenants,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_do_not_share_what_operators_may() {
        let check = |operators, tenants, owner, address: &str, expected| {
            let guard = Guarded::new(PrivateUpstreams { operators, tenants }.allows(owner));
            let found = guard.check(address.parse().unwrap());
            assert_eq!(found, expected, "{operators} {tenants} {owner:?} {address}");
        };
        for private in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:192.168.0.1"] {
            for (operators, tenants, operator, tenant) in [
                (false, false, Err(Private), Err(Private)),
                (true, false, Ok(()), Err(Private)),
                (false, true, Err(Private), Ok(())),
                (true, true, Ok(()), Ok(())),
            ] {
                check(operators, tenants, Owner::Operator, private, operator);
                check(operators, tenants, Owner::Tenant, private, tenant);
                check(operators, tenants, Owner::Operator, "8.8.8.8", Ok(()));
                check(operators, tenants, Owner::Tenant, "8.8.8.8", Ok(()));
            }
        }
    }
}
