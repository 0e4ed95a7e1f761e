//! Secrets that do not print, and `Debug` for generated messages that hold one.

use std::fmt;

use crate::v1;

/// A string that neither `Debug` nor `Display` shows.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret in the clear: for the wire or a hash, never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

const REDACTED: &str = "[secret]";

/// Writes `Debug` with only the named fields, so that the others cannot print.
macro_rules! debug_without_secrets {
    ($($message:ident { $($field:ident),* })*) => {$(
        impl fmt::Debug for v1::$message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message))$(.field(stringify!($field), &self.$field))*.finish_non_exhaustive()
            }
        }
    )*};
}

debug_without_secrets! {
    CredentialConfig { id, weight }
    Provider { id, display_name, adapter, base_url, has_credential, disabled, revision }
    TenantCredentialConfig { tenant, id, provider, disabled, fallback, order, required }
    Credential { id, tenant, provider, has_secret, needs_secret, disabled, fallback, order, required, revision }
    CreateKeyRequest { tenant, key }
    CreateKeyResponse { key, served_everywhere }
    CreateTokenResponse { token }
    KeyEntry { key, secret_ref }
    MadeSecret { tenant, key, webhook }
    Webhook { id, tenant, url, disabled, events, thresholds, low_balance_usd, revision }
    CreateWebhookResponse { webhook }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_holds_a_secret_prints_it() {
        let canary = "canary-7f3a";
        let shown = [
            format!("{:?}", Secret::new(canary)),
            format!("{:?}", v1::CredentialConfig { secret: canary.into(), ..Default::default() }),
            format!("{:?}", v1::Provider { credential: canary.into(), ..Default::default() }),
            format!("{:?}", v1::TenantCredentialConfig { secret: canary.into(), ..Default::default() }),
            format!("{:?}", v1::Credential { secret: canary.into(), ..Default::default() }),
            format!("{:?}", v1::CreateKeyRequest { secret: canary.into(), ..Default::default() }),
            format!("{:?}", v1::CreateKeyResponse { secret: canary.into(), ..Default::default() }),
            format!("{:?}", v1::CreateTokenResponse { secret: canary.into(), ..Default::default() }),
            format!("{:?}", v1::KeyEntry { secret: canary.into(), ..Default::default() }),
            format!("{:?}", v1::MadeSecret { secret: canary.into(), ..Default::default() }),
            format!("{:?}", v1::Webhook { secret: canary.into(), ..Default::default() }),
            format!("{:?}", v1::CreateWebhookResponse { secret: canary.into(), ..Default::default() }),
        ];
        for text in shown {
            assert!(!text.contains(canary), "{text}");
        }
    }
}
