//! The one table of what kinds of accounts count, and what a caller hears when one is used up.

use crate::{code::ErrorCode, v1::AccountKind};

/// Which side of an attempt an account counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the tenant pays.
    Charge,
    /// What the provider bills.
    Cost,
}

/// What holds for all accounts of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub counts: Side,
    /// What a request is refused with that no other candidate can serve.
    pub refusal: ErrorCode,
    /// `limit_source` in the error's metadata.
    pub source: &'static str,
}

impl AccountKind {
    /// The rule of this kind.
    ///
    /// Callers can do something about their credits and their key's limit (402); a budget is set by somebody else, for
    /// them (403); a provider credential's budget is the operator's own business and no fault of theirs (503).
    pub fn rule(self) -> Rule {
        use ErrorCode::{BudgetExceeded, PaymentRequired, ProviderOverloaded, Server};
        use Side::{Charge, Cost};
        let (counts, refusal, source) = match self {
            Self::TenantCredits => (Charge, PaymentRequired, "credits"),
            Self::TenantBudget => (Charge, BudgetExceeded, "tenant_budget"),
            Self::KeyLimit => (Charge, PaymentRequired, "key_limit"),
            Self::UserBudget => (Charge, BudgetExceeded, "user_budget"),
            Self::CredentialBudget => (Cost, ProviderOverloaded, "credential_budget"),
            // These have no limit, so they never run out.
            Self::House => (Charge, Server, "house"),
            Self::ByokUsage => (Cost, Server, "byok_usage"),
            Self::Unspecified => (Charge, Server, "unknown"),
        };
        Rule { counts, refusal, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_account_has_its_status() {
        for (kind, status, error_type, counts) in [
            (AccountKind::TenantCredits, 402, "payment_required", Side::Charge),
            (AccountKind::KeyLimit, 402, "payment_required", Side::Charge),
            (AccountKind::TenantBudget, 403, "budget_exceeded", Side::Charge),
            (AccountKind::UserBudget, 403, "budget_exceeded", Side::Charge),
            (AccountKind::CredentialBudget, 503, "provider_overloaded", Side::Cost),
        ] {
            let rule = kind.rule();
            let found = (rule.refusal.status().as_u16(), rule.refusal.error_type(), rule.counts);
            assert_eq!(found, (status, error_type, counts), "{kind:?}");
        }
    }
}
