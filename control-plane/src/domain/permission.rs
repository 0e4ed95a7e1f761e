//! Who may do what: one pure check, whose proof every `store` call on guarded rows asks for.
//!
//! An actor bound to a tenant never learns that anything exists in another one. Finding out who is asking is `auth`'s business.

use std::marker::PhantomData;

use switchyard_proto::id::TenantId;

/// What an actor may do at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything, for all tenants.
    Operator,
    /// One tenant: its keys and usage.
    TenantAdmin,
    /// Reads: one tenant, or all where it is bound to none.
    Viewer,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Operator, Self::TenantAdmin, Self::Viewer];

    /// The name that the store keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::TenantAdmin => "tenant_admin",
            Self::Viewer => "viewer",
        }
    }

    /// Reads the stored name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// A token's id, a key's id, or `system:<job>`; the audit names it.
    pub id: String,
    pub role: Role,
    /// Set: sees this tenant alone.
    pub tenant: Option<TenantId>,
}

impl Actor {
    /// The control plane itself, at a job.
    pub fn system(job: &str) -> Self {
        Self { id: format!("system:{job}"), role: Role::Operator, tenant: None }
    }
}

/// How far an action reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Rows of one tenant: bound actors act inside their own.
    PerTenant,
    /// Rows that all tenants share: bound actors may act on them too.
    Shared,
    /// The whole installation: bound actors may not.
    Everything,
}

/// A kind of access. The types are names only; [`check`] is what makes an [`Allowed`] of one.
pub trait Action {
    const ROLES: &'static [Role];
    const REACH: Reach;
}

/// The table of rights.
macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident: $reach:ident, [$($role:ident),+];)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl Action for $name {
            const ROLES: &'static [Role] = &[$(Role::$role),+];
            const REACH: Reach = Reach::$reach;
        }
    )*};
}

actions! {
    ReadTenants: PerTenant, [Operator, TenantAdmin, Viewer];
    WriteTenants: Everything, [Operator];
    /// Grant credits or take them back.
    MoveCredits: Everything, [Operator];
    ReadKeys: PerTenant, [Operator, TenantAdmin, Viewer];
    WriteKeys: PerTenant, [Operator, TenantAdmin];
    /// Tenants' own, never their secrets.
    ReadCredentials: PerTenant, [Operator, TenantAdmin, Viewer];
    WriteCredentials: PerTenant, [Operator, TenantAdmin];
    /// Providers, models and endpoints.
    ReadCatalogue: Shared, [Operator, TenantAdmin, Viewer];
    WriteCatalogue: Everything, [Operator];
    /// A tenant's own routing policies.
    ReadPolicies: PerTenant, [Operator, TenantAdmin, Viewer];
    WritePolicies: PerTenant, [Operator, TenantAdmin];
    ReadPresets: PerTenant, [Operator, TenantAdmin, Viewer];
    WritePresets: PerTenant, [Operator, TenantAdmin];
    /// The operator's policies, which may name tenants in their conditions.
    ReadOperatorsPolicies: Everything, [Operator, Viewer];
    WriteOperatorsPolicies: Everything, [Operator];
    /// Generations, ledger lines, accounts.
    ReadUsage: PerTenant, [Operator, TenantAdmin, Viewer];
    /// A tenant's own webhooks, never their secrets.
    ReadWebhooks: PerTenant, [Operator, TenantAdmin, Viewer];
    WriteWebhooks: PerTenant, [Operator, TenantAdmin];
    /// The operator's, which hear of all tenants.
    ReadOperatorsWebhooks: Everything, [Operator, Viewer];
    WriteOperatorsWebhooks: Everything, [Operator];
    ReadAudit: PerTenant, [Operator, TenantAdmin];
    ReadFleet: Everything, [Operator, Viewer];
    /// Give back what a lost data plane was lent.
    ReleaseInstances: Everything, [Operator];
    /// Add up the whole ledger.
    ProveLedger: Everything, [Operator, Viewer];
    /// What is new in providers' answers.
    ReadDrift: Everything, [Operator, Viewer];
    ClearDrift: Everything, [Operator];
    ManageTokens: Everything, [Operator];
    /// Make everything match a file, or write it back.
    Apply: Everything, [Operator];
}

/// Proof that an actor may do `A`, and inside which tenant. Only [`check`] makes one.
#[derive(Debug, Clone)]
pub struct Allowed<A> {
    actor: String,
    tenant: Option<TenantId>,
    action: PhantomData<A>,
}

impl<A> Allowed<A> {
    /// Who asked, for the audit.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// The tenant that the access is limited to; `None`: all.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// The same as text, for SQL.
    pub fn scope(&self) -> Option<&str> {
        self.tenant.as_ref().map(TenantId::as_str)
    }
}

/// Why an actor may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Another tenant's: answered as if it did not exist.
    #[error("belongs to another tenant")]
    Hidden,
    #[error("not allowed for this role")]
    Role,
}

/// Checks whether `actor` may do `A`; `tenant` is whose rows it is about, `None` where no single tenant is named.
///
/// Without a named tenant the access narrows to the actor's own.
///
/// # Errors
/// [`Denied::Hidden`] for another tenant's rows, whatever the role; else [`Denied::Role`].
pub fn check<A: Action>(actor: &Actor, tenant: Option<&TenantId>) -> Result<Allowed<A>, Denied> {
    if let (Some(own), Some(named)) = (&actor.tenant, tenant)
        && own != named
    {
        return Err(Denied::Hidden);
    }
    let is_bound = actor.tenant.is_some() || actor.role == Role::TenantAdmin;
    if !A::ROLES.contains(&actor.role) || (is_bound && A::REACH == Reach::Everything) {
        return Err(Denied::Role);
    }
    let tenant = tenant.cloned().or_else(|| actor.tenant.clone());
    if actor.role == Role::TenantAdmin && tenant.is_none() {
        return Err(Denied::Role);
    }
    Ok(Allowed { actor: actor.id.clone(), tenant, action: PhantomData })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of operator, viewer of all, tenant admin of `acme` and viewer of `acme` gets.
    fn outcomes<A: Action>(tenant: Option<&str>) -> String {
        let tenant = tenant.map(TenantId::new);
        let acme = || Some(TenantId::new("acme"));
        [(Role::Operator, None), (Role::Viewer, None), (Role::TenantAdmin, acme()), (Role::Viewer, acme())]
            .into_iter()
            .map(|(role, bound)| {
                let actor = Actor { id: "tok_1".into(), role, tenant: bound };
                match check::<A>(&actor, tenant.as_ref()) {
                    Ok(allowed) => format!("{:<7}", allowed.scope().unwrap_or("all")),
                    Err(Denied::Hidden) => "hidden ".to_owned(),
                    Err(Denied::Role) => "-      ".to_owned(),
                }
            })
            .collect::<String>()
            .trim_end()
            .to_owned()
    }

    #[test]
    fn rights_are_those_of_the_table() {
        let every = [
            ("ReadTenants", outcomes::<ReadTenants>(None), "all    all    acme   acme"),
            ("WriteTenants", outcomes::<WriteTenants>(None), "all    -      -      -"),
            ("MoveCredits", outcomes::<MoveCredits>(None), "all    -      -      -"),
            ("ReadKeys", outcomes::<ReadKeys>(None), "all    all    acme   acme"),
            ("WriteKeys", outcomes::<WriteKeys>(None), "all    -      acme   -"),
            ("ReadCredentials", outcomes::<ReadCredentials>(None), "all    all    acme   acme"),
            ("WriteCredentials", outcomes::<WriteCredentials>(None), "all    -      acme   -"),
            ("ReadCatalogue", outcomes::<ReadCatalogue>(None), "all    all    acme   acme"),
            ("WriteCatalogue", outcomes::<WriteCatalogue>(None), "all    -      -      -"),
            ("ReadPolicies", outcomes::<ReadPolicies>(None), "all    all    acme   acme"),
            ("WritePolicies", outcomes::<WritePolicies>(None), "all    -      acme   -"),
            ("ReadPresets", outcomes::<ReadPresets>(None), "all    all    acme   acme"),
            ("WritePresets", outcomes::<WritePresets>(None), "all    -      acme   -"),
            ("ReadOperatorsPolicies", outcomes::<ReadOperatorsPolicies>(None), "all    all    -      -"),
            ("WriteOperatorsPolicies", outcomes::<WriteOperatorsPolicies>(None), "all    -      -      -"),
            ("ReadUsage", outcomes::<ReadUsage>(None), "all    all    acme   acme"),
            ("ReadWebhooks", outcomes::<ReadWebhooks>(None), "all    all    acme   acme"),
            ("WriteWebhooks", outcomes::<WriteWebhooks>(None), "all    -      acme   -"),
            ("ReadOperatorsWebhooks", outcomes::<ReadOperatorsWebhooks>(None), "all    all    -      -"),
            ("WriteOperatorsWebhooks", outcomes::<WriteOperatorsWebhooks>(None), "all    -      -      -"),
            ("ReadAudit", outcomes::<ReadAudit>(None), "all    -      acme   -"),
            ("ReadFleet", outcomes::<ReadFleet>(None), "all    all    -      -"),
            ("ReleaseInstances", outcomes::<ReleaseInstances>(None), "all    -      -      -"),
            ("ProveLedger", outcomes::<ProveLedger>(None), "all    all    -      -"),
            ("ReadDrift", outcomes::<ReadDrift>(None), "all    all    -      -"),
            ("ClearDrift", outcomes::<ClearDrift>(None), "all    -      -      -"),
            ("ManageTokens", outcomes::<ManageTokens>(None), "all    -      -      -"),
            ("Apply", outcomes::<Apply>(None), "all    -      -      -"),
        ];
        for (name, found, expected) in every {
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn another_tenants_rows_do_not_exist() {
        let others = [
            outcomes::<ReadTenants>(Some("rival")),
            outcomes::<ReadKeys>(Some("rival")),
            outcomes::<ReadCredentials>(Some("rival")),
            outcomes::<ReadPresets>(Some("rival")),
            outcomes::<ReadUsage>(Some("rival")),
        ];
        for found in others {
            assert_eq!(found, "rival  rival  hidden hidden");
        }
        assert_eq!(outcomes::<WriteKeys>(Some("rival")), "rival  -      hidden hidden");
        assert_eq!(outcomes::<WriteCredentials>(Some("rival")), "rival  -      hidden hidden");
        assert_eq!(outcomes::<MoveCredits>(Some("rival")), "rival  -      hidden hidden");
        assert_eq!(outcomes::<WriteKeys>(Some("acme")), "acme   -      acme   -");
        assert_eq!(outcomes::<MoveCredits>(Some("acme")), "acme   -      -      -");
    }

    #[test]
    fn a_tenant_admin_without_a_tenant_may_do_nothing_in_any() {
        let actor = Actor { id: "tok_1".into(), role: Role::TenantAdmin, tenant: None };
        assert!(check::<ReadKeys>(&actor, None).is_err());
    }

    #[test]
    fn role_names_lead_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
    }
}
