//! Tenants' own credentials: which are refused, what of a refused one holds all the same, and their order.

use std::sync::Arc;

use switchyard_proto::auth::Scheme;
use switchyard_proto::id::{CredentialId, KeyId, ProviderId, TenantId};
use switchyard_proto::secret::Secret;
use switchyard_proto::v1::{self, ResourceKind};

use crate::config::compile::{Fault, Next, fault};
use crate::config::snapshot::{Credential, TenantCredential};

impl Next<'_> {
    pub(super) fn credential(&mut self, config: v1::TenantCredentialConfig, revision: u64) {
        match self.check_credential(&config) {
            Ok(()) => self.put_credential(credential(config, revision)),
            Err(fault) => {
                let id = format!("{}#{}", config.tenant, config.id);
                if let Some(old) = self.narrowed(&config) {
                    self.put_credential(old);
                }
                self.refuse(ResourceKind::ResourceCredential, &id, fault);
            }
        }
    }

    fn check_credential(&self, config: &v1::TenantCredentialConfig) -> Result<(), Fault> {
        if self.snapshot.tenants.get(config.tenant.as_str()).is_none() {
            return Err(fault("tenant", format!("`{}` is not there", config.tenant)));
        }
        let provider = self.rows.providers.get(config.provider.as_str());
        // Another tenant's provider is nobody's business.
        let provider =
            provider.filter(|row| row.tenant.as_ref().is_none_or(|owner| owner.as_str() == config.tenant));
        let provider =
            provider.ok_or_else(|| fault("provider", format!("`{}` is not there", config.provider)))?;
        if Scheme::is_ambient_anywhere(&config.secret) {
            return Err(fault(
                "secret",
                "stands for the machine's own credentials, which are for the operator's providers",
            ));
        }
        // Where the provider's new form was refused, the secret for its new address must not reach the old one.
        if !config.secret.is_empty() && config.origin != provider.origin() {
            return Err(fault("origin", "is not where the provider is"));
        }
        Ok(())
    }

    /// The old form of a refused credential with what can only narrow: switched off, required, without its secret
    /// where that was given for another address.
    fn narrowed(&self, config: &v1::TenantCredentialConfig) -> Option<TenantCredential> {
        let tenant = TenantId::new(config.tenant.as_str());
        let rows = self.before.credentials(&tenant);
        let old = rows.iter().find(|row| row.id.as_str() == config.id)?;
        let mut kept = old.config.clone();
        kept.disabled |= config.disabled;
        kept.required |= config.required;
        let provider = self.rows.providers.get(kept.provider.as_str());
        if provider.is_none_or(|provider| provider.origin() != kept.origin) {
            kept.secret.clear();
        }
        Some(credential(kept, old.revision))
    }

    fn put_credential(&mut self, row: TenantCredential) {
        let others = self.snapshot.credentials(&row.tenant).iter().filter(|other| other.id != row.id);
        let mut rows: Vec<_> = others.cloned().collect();
        let tenant = row.tenant.clone();
        rows.push(Arc::new(row));
        rows.sort_by(|one, other| one.rank().cmp(&other.rank()));
        self.snapshot.credentials.insert(tenant, rows.into());
    }

    pub(super) fn take_credential(&mut self, tenant: &TenantId, id: &str) {
        let rows = self.snapshot.credentials(tenant);
        let left: Vec<_> = rows.iter().filter(|row| row.id.as_str() != id).cloned().collect();
        if left.is_empty() {
            self.snapshot.credentials.remove(tenant);
        } else if left.len() < rows.len() {
            self.snapshot.credentials.insert(tenant.clone(), left.into());
        }
    }
}

fn credential(config: v1::TenantCredentialConfig, revision: u64) -> TenantCredential {
    let tenant = TenantId::new(config.tenant.as_str());
    let secret = (!config.secret.is_empty()).then(|| Credential {
        id: format!("{}#{}", config.tenant, config.id).into(),
        tenant: Some(tenant.clone()),
        secret: Secret::new(config.secret.as_str()),
        weight: 1,
        rates: config.rates,
    });
    TenantCredential {
        id: CredentialId::new(config.id.as_str()),
        tenant,
        provider: ProviderId::new(config.provider.as_str()),
        secret,
        disabled: config.disabled,
        fallback: config.fallback,
        order: config.order,
        required: config.required,
        allowed_models: config.allowed_models.clone(),
        allowed_keys: config.allowed_keys.iter().map(|id| KeyId::new(id.as_str())).collect(),
        allowed_users: config.allowed_users.clone(),
        declared_zdr: config.declared_zdr,
        config,
        revision,
    }
}

#[cfg(test)]
mod tests;
