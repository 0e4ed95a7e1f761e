//! A tenant's own credential as the control plane's entry, and back.

use switchyard_proto::{secret::Secret, v1};

use crate::apply::{
    file::{Credential, Rates},
    manifest::{BadField, secret},
    variables::Variables,
};

impl Credential {
    pub(super) fn to_proto(
        &self,
        tenant: &str,
        variables: &Variables,
    ) -> Result<v1::CredentialEntry, BadField> {
        let (secret, secret_ref) = secret("secret", self.secret.as_ref(), variables)?;
        let credential = v1::Credential {
            id: self.id.clone(),
            tenant: tenant.to_owned(),
            provider: self.provider.clone(),
            name: self.name.clone(),
            secret,
            disabled: self.disabled,
            fallback: self.fallback,
            order: self.order,
            required: self.required,
            allowed_models: self.allowed_models.clone(),
            allowed_keys: self.allowed_keys.clone(),
            allowed_users: self.allowed_users.clone(),
            declared_zdr: self.declared_zdr,
            rates: self.rates.to_proto(),
            ..v1::Credential::default()
        };
        Ok(v1::CredentialEntry { credential: Some(credential), secret_ref })
    }

    /// From the control plane's answer; `secret` is what the file shall say in its place.
    pub fn of_proto(credential: v1::Credential, secret: Option<Secret>) -> Self {
        Self {
            id: credential.id,
            provider: credential.provider,
            name: credential.name,
            secret,
            disabled: credential.disabled,
            fallback: credential.fallback,
            order: credential.order,
            required: credential.required,
            allowed_models: credential.allowed_models,
            allowed_keys: credential.allowed_keys,
            allowed_users: credential.allowed_users,
            declared_zdr: credential.declared_zdr,
            rates: Rates::of_proto(credential.rates.as_ref()),
        }
    }
}
