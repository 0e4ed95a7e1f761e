//! Keys: what callers present.

use chrono::{DateTime, Utc};
use serde::Serialize;
use switchyard_proto::{
    id::{KeyId, TenantId},
    key::{self, KeyHash},
    secret::Secret,
};

use crate::domain::{
    access,
    account::SpendLimit,
    budget,
    invalid::{self, Invalid},
    meta::Meta,
    rates::Rates,
};

/// What a key's owner chooses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Draft {
    /// Unique in its tenant.
    pub name: String,
    pub disabled: bool,
    pub expires_at: Option<DateTime<Utc>>,
    /// `None`: no limit of its own.
    pub limit: Option<SpendLimit>,
    pub rates: Rates,
    /// Empty: all that the tenant may use.
    pub allowed_models: Vec<String>,
    /// What the tenant's own credentials pay for counts on `limit` and `user_limit` too.
    pub include_byok_in_limit: bool,
    /// The request's `user` says who spends.
    pub trust_user: bool,
    /// For each user of this key.
    pub user_limit: Option<SpendLimit>,
}

/// A key as it is stored: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: KeyId,
    pub tenant: TenantId,
    pub draft: Draft,
    /// First and last characters of the secret.
    pub label: String,
    pub hash: KeyHash,
    /// Environment variable that the file names the secret by.
    pub secret_ref: String,
    pub meta: Meta,
}

impl Draft {
    /// Checks everything that needs no other row.
    ///
    /// # Errors
    /// Names the field as it is called in `Key`.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::required("name", &self.name, 200)?;
        self.rates.check()?;
        budget::check_user_limit(self.trust_user, self.user_limit)?;
        access::check_allowed_models(&self.allowed_models)
    }
}

/// Checks a secret that was brought from elsewhere.
///
/// # Errors
/// Says what is missing, never what was sent.
pub fn check_secret(secret: &Secret) -> Result<(), Invalid> {
    let text = secret.expose();
    if !text.starts_with(key::KEY_PREFIX) && text.len() < key::FOREIGN_LEAST {
        return Err(Invalid::new("secret", format!("has fewer than {} characters", key::FOREIGN_LEAST)));
    }
    if text.starts_with(key::TOKEN_PREFIX) {
        return Err(Invalid::new("secret", "is an admin token; a key must be something else"));
    }
    if !key::is_well_formed(text) {
        let reason = format!(
            "is not a key: printable ASCII without spaces, at most {} characters, and a right checksum after `{}`",
            key::LONGEST,
            key::KEY_PREFIX
        );
        return Err(Invalid::new("secret", reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_checked_by_field() {
        let fine = Draft { name: "ci".into(), ..Draft::default() };
        assert_eq!(fine.check(), Ok(()));
        for (draft, field) in [
            (Draft::default(), "name"),
            (Draft { name: "x".repeat(201), ..fine.clone() }, "name"),
            (Draft { allowed_models: vec!["gpt".into()], ..fine.clone() }, "allowed_models[0]"),
            (
                Draft { rates: Rates { requests_per_minute: Some(0), ..Rates::default() }, ..fine.clone() },
                "rates.requests_per_minute",
            ),
        ] {
            assert_eq!(draft.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn a_secret_from_elsewhere_is_long_and_printable() {
        let own = key::generate(key::KEY_PREFIX);
        for (secret, reason) in [
            ("k".repeat(32), None),
            (own.expose().to_owned(), None),
            ("k".repeat(31), Some("has fewer than 32 characters")),
            (format!("{}x", own.expose()), Some("is not a key")),
            (format!("{} {}", "k".repeat(20), "k".repeat(20)), Some("is not a key")),
            ("k".repeat(513), Some("is not a key")),
            (key::generate(key::TOKEN_PREFIX).expose().to_owned(), Some("is an admin token")),
        ] {
            let found = check_secret(&Secret::new(secret.clone())).err().map(|invalid| invalid.reason);
            let matches = match (&found, reason) {
                (Some(found), Some(reason)) => found.starts_with(reason) && !found.contains(&secret),
                (None, None) => true,
                _ => false,
            };
            assert!(matches, "{secret}: {found:?}");
        }
    }
}
