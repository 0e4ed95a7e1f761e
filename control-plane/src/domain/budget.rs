//! Budgets: limits over windows, several at once; and the names of users' accounts.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use switchyard_proto::{money::NanoUsd, window::Window};

use crate::domain::{
    account::{AccountKind, SpendLimit},
    invalid::Invalid,
};

/// What a tenant may spend over one window. The store keeps it as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    #[serde(serialize_with = "as_text", deserialize_with = "window")]
    pub window: Window,
    #[serde(serialize_with = "as_text", deserialize_with = "usd")]
    pub usd: NanoUsd,
}

fn window<'de, D: Deserializer<'de>>(from: D) -> Result<Window, D::Error> {
    Window::parse(&String::deserialize(from)?).map_err(de::Error::custom)
}

fn usd<'de, D: Deserializer<'de>>(from: D) -> Result<NanoUsd, D::Error> {
    NanoUsd::parse(&String::deserialize(from)?).map_err(de::Error::custom)
}

fn as_text<T: std::fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// Checks a tenant's budgets against each other.
///
/// A narrower window needs a smaller limit than a broader one of the same sort, calendar or rolling: else it would never be
/// what stops anybody.
///
/// # Errors
/// Names the budget by its place in `budgets`.
pub fn check(budgets: &[Budget]) -> Result<(), Invalid> {
    let mut windows = BTreeSet::new();
    for (index, budget) in budgets.iter().enumerate() {
        if !windows.insert(budget.window) {
            let reason = format!("is `{}` a second time", budget.window);
            return Err(Invalid::new(format!("budgets[{index}].window"), reason));
        }
        let is_broader = |other: &&Budget| {
            other.window.is_rolling() == budget.window.is_rolling()
                && other.window.hours() > budget.window.hours()
        };
        if let Some(broader) = budgets.iter().filter(is_broader).find(|other| other.usd <= budget.usd) {
            let reason = format!(
                "is {}, but must be less than the {} limit of {}",
                budget.usd, broader.window, broader.usd
            );
            return Err(Invalid::new(format!("budgets[{index}].usd"), reason));
        }
    }
    Ok(())
}

/// Checks a key's limit for its users.
///
/// # Errors
/// A limit that nothing could ever count on is refused, not ignored.
pub fn check_user_limit(trust_user: bool, limit: Option<SpendLimit>) -> Result<(), Invalid> {
    match limit {
        Some(_) if !trust_user => Err(Invalid::new("user_limit", "needs `trust_user`")),
        _ => Ok(()),
    }
}

/// The tenant and the key of a user's account; no key: the user over all keys of the tenant.
pub fn user_scope(owner: &str) -> Option<(&str, Option<&str>)> {
    let mut parts = owner.splitn(3, '/');
    let (tenant, key) = (parts.next()?, parts.next()?);
    parts.next()?;
    (!tenant.is_empty()).then_some((tenant, Some(key).filter(|key| !key.is_empty())))
}

/// Whether an account's owner can be of an attempt by this tenant, key and credential.
pub fn is_of_attempt(kind: AccountKind, owner: &str, tenant: &str, key: &str, credential: &str) -> bool {
    match kind {
        AccountKind::TenantCredits | AccountKind::TenantBudget => owner == tenant,
        AccountKind::KeyLimit | AccountKind::ByokUsage => owner == key,
        AccountKind::House => owner.is_empty(),
        AccountKind::CredentialBudget => !owner.is_empty() && owner == credential,
        AccountKind::UserBudget => {
            user_scope(owner).is_some_and(|(of, by)| of == tenant && by.is_none_or(|by| by == key))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budgets(rows: &[(&str, u64)]) -> Vec<Budget> {
        let budget = |(window, usd): &(&str, u64)| Budget {
            window: Window::parse(window).unwrap(),
            usd: NanoUsd(usd * 1_000_000_000),
        };
        rows.iter().map(budget).collect()
    }

    #[test]
    fn m9_limits_strictly_decrease_as_windows_narrow() {
        for (rows, error) in [
            (&[][..], None),
            (&[("daily", 50), ("weekly", 200), ("monthly", 500)][..], None),
            (&[("monthly", 500), ("daily", 50)], None),
            (
                &[("weekly", 600), ("monthly", 500)],
                Some("budgets[0].usd is 600, but must be less than the monthly limit of 500"),
            ),
            (
                &[("monthly", 500), ("daily", 500)],
                Some("budgets[1].usd is 500, but must be less than the monthly limit of 500"),
            ),
            (
                &[("24h", 10), ("7d", 10)],
                Some("budgets[0].usd is 10, but must be less than the 7d limit of 10"),
            ),
            // The same length, and different sorts: either may be what stops somebody.
            (&[("24h", 10), ("1d", 20)], None),
            (&[("daily", 50), ("24h", 80), ("weekly", 60)], None),
            (&[("daily", 1), ("daily", 2)], Some("budgets[1].window is `daily` a second time")),
        ] {
            let found = check(&budgets(rows)).err().map(|invalid| invalid.to_string());
            assert_eq!(found.as_deref(), error, "{rows:?}");
        }
    }

    #[test]
    fn a_limit_for_users_needs_a_key_that_trusts_them() {
        let limit = SpendLimit { usd: NanoUsd(1), reset: crate::domain::account::Reset::Daily };
        assert!(check_user_limit(true, Some(limit)).is_ok() && check_user_limit(false, None).is_ok());
        assert_eq!(check_user_limit(false, Some(limit)).unwrap_err().field, "user_limit");
    }

    #[test]
    fn nobody_pays_for_somebody_elses_attempt() {
        use AccountKind::{
            ByokUsage, CredentialBudget, House, KeyLimit, TenantBudget, TenantCredits, UserBudget,
        };
        for (kind, owner, fits) in [
            (TenantCredits, "acme", true),
            (TenantBudget, "rival", false),
            (KeyLimit, "key_1", true),
            (KeyLimit, "key_2", false),
            (ByokUsage, "key_1", true),
            (House, "", true),
            (House, "acme", false),
            (CredentialBudget, "cred_1", true),
            (CredentialBudget, "cred_2", false),
            (CredentialBudget, "", false),
            (UserBudget, "acme/key_1/ann", true),
            (UserBudget, "acme//ann", true),
            (UserBudget, "acme//", true),
            (UserBudget, "acme/key_2/ann", false),
            (UserBudget, "rival//ann", false),
            (UserBudget, "acme", false),
            (UserBudget, "acme/key_1", false),
        ] {
            assert_eq!(is_of_attempt(kind, owner, "acme", "key_1", "cred_1"), fits, "{kind:?} {owner}");
        }
    }
}
