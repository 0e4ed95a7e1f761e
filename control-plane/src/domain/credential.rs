//! Credentials: a tenant's own, for the operator's providers.

use serde::Serialize;
use switchyard_proto::{
    auth::Scheme,
    id::{CredentialId, ProviderId, TenantId},
    secret::Secret,
};

use crate::domain::{
    access,
    invalid::{self, Invalid},
    meta::Meta,
    provider,
    rates::Rates,
};

/// Longest list of keys or users.
const MOST: usize = 100;
const LONGEST_ID: usize = 63;

/// What a credential's owner chooses, its secret apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Draft {
    /// One of the operator's.
    pub provider: String,
    pub name: String,
    pub disabled: bool,
    /// Used after the shared endpoints, not before them.
    pub fallback: bool,
    /// Lower ones are used first.
    pub order: i32,
    /// The tenant's credits are never spent on the provider, for the models that this covers.
    pub required: bool,
    /// Empty: all.
    pub allowed_models: Vec<String>,
    /// Ids of the tenant's keys; empty: all.
    pub allowed_keys: Vec<String>,
    /// Values of the request's `user`; empty: all.
    pub allowed_users: Vec<String>,
    /// `None`: the provider's data policy holds.
    pub declared_zdr: Option<bool>,
    pub rates: Rates,
}

/// A credential as it is stored: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub id: CredentialId,
    pub tenant: TenantId,
    pub draft: Draft,
    /// What the secret was sealed for.
    pub origin: String,
    /// Where the provider is now.
    pub provider_at: Address,
    pub meta: Meta,
}

/// What a provider's row says of its address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    pub profile: String,
    /// Empty: the profile's.
    pub base_url: String,
}

impl Draft {
    /// The provider that it is for.
    pub fn provider_id(&self) -> ProviderId {
        ProviderId::new(self.provider.as_str())
    }

    /// Checks everything that needs no other row.
    ///
    /// # Errors
    /// Names the field as it is called in `Credential`.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::required("provider", &self.provider, LONGEST_ID)?;
        invalid::text("name", &self.name, 200)?;
        access::check_allowed_models(&self.allowed_models)?;
        self.rates.check()?;
        check_list("allowed_keys", &self.allowed_keys)?;
        check_list("allowed_users", &self.allowed_users)
    }
}

fn check_list(field: &str, list: &[String]) -> Result<(), Invalid> {
    if list.len() > MOST {
        return Err(Invalid::new(field, format!("has more than {MOST} entries")));
    }
    list.iter()
        .enumerate()
        .try_for_each(|(index, entry)| invalid::required(&format!("{field}[{index}]"), entry, 256))
}

/// Checks an id that its owner chose.
///
/// # Errors
/// Names `id`.
pub fn check_id(id: &str) -> Result<(), Invalid> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(is_fine) || id.starts_with('.') {
        let rule = format!("is not made of letters, digits and `-_.`, or has more than {LONGEST_ID} of them");
        return Err(Invalid::new("id", rule));
    }
    Ok(())
}

/// Checks a secret: something that a provider may be shown and that is the tenant's own.
///
/// # Errors
/// Says what is wrong, never what was sent.
pub fn check_secret(secret: &Secret) -> Result<(), Invalid> {
    if secret.is_empty() {
        return Err(Invalid::new("secret", "is required"));
    }
    // Whatever the provider's scheme: the operator may choose another one later.
    if Scheme::is_ambient_anywhere(secret.expose()) {
        let reason = "stands for the machine's own credentials, which are for the operator's providers";
        return Err(Invalid::new("secret", reason));
    }
    provider::check_credential(secret).map_err(|invalid| Invalid::new("secret", invalid.reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_checked_by_field() {
        let fine = Draft { provider: "openai".into(), ..Draft::default() };
        assert_eq!(fine.check(), Ok(()));
        for (draft, field) in [
            (Draft::default(), "provider"),
            (Draft { name: "x".repeat(201), ..fine.clone() }, "name"),
            (Draft { allowed_models: vec!["gpt".into()], ..fine.clone() }, "allowed_models[0]"),
            (Draft { allowed_keys: vec!["key_1".into(), " ".into()], ..fine.clone() }, "allowed_keys[1]"),
            (Draft { allowed_users: vec!["u".into(); 101], ..fine.clone() }, "allowed_users"),
        ] {
            assert_eq!(draft.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn ids_are_names_that_fit_into_a_path() {
        for (id, fine) in [
            ("mine", true),
            ("cred_4fXa", true),
            ("eu.prod-1", true),
            ("", false),
            ("a/b", false),
            ("a#b", false),
            ("..", false),
            ("ü", false),
        ] {
            assert_eq!(check_id(id).is_ok(), fine, "{id}");
        }
        assert!(check_id(&"x".repeat(64)).is_err());
    }

    #[test]
    fn a_secret_is_the_tenants_own_and_does_not_show() {
        for (secret, reason) in [
            ("sk-1", None),
            ("{\n\"type\": \"service_account\"\n}", None),
            ("", Some("is required")),
            ("ambient", Some("stands for the machine's own")),
            ("adc", Some("stands for the machine's own")),
            (" sk-canary ", Some("has a control character")),
        ] {
            let found = check_secret(&Secret::new(secret)).err();
            let is_as_expected = match (&found, reason) {
                (Some(found), Some(reason)) => found.reason.starts_with(reason),
                (None, None) => true,
                _ => false,
            };
            assert!(is_as_expected, "{secret}: {found:?}");
            assert!(!format!("{found:?}").contains("canary"));
        }
    }
}
