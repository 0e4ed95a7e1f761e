//! Tenants' own credentials in a push: opened one by one, and sent without a secret where that belongs elsewhere.

use futures_util::StreamExt;
use switchyard_proto::secret::Secret;

use crate::{
    crypto::CryptoError,
    distribution::{
        push::{Packer, PushError, Source},
        snapshot,
    },
    service::credential::needs_secret,
    store::{self, credential::Stored, feed::Reader},
};

impl Source {
    /// Those that changed after `since`, and those whose provider did.
    pub(super) async fn credentials(
        &self,
        reader: &mut Reader,
        since: Option<u64>,
        to: &mut Packer,
    ) -> Result<(), PushError> {
        let mut rows = store::credential::changed(reader.connection(), since);
        while let Some(row) = rows.next().await {
            let row = row?;
            let secret = self.secret(&row).await?;
            to.put(snapshot::credential(row.credential, secret.as_ref())).await?;
        }
        Ok(())
    }

    /// The secret, if it is for where the provider is now and still opens: without it what the credential forbids holds
    /// all the same.
    async fn secret(&self, row: &Stored) -> Result<Option<Secret>, PushError> {
        let (tenant, id) = (&row.credential.tenant, &row.credential.id);
        if needs_secret(&row.credential) {
            tracing::warn!(tenant.id = %tenant, credential.id = %id, "a credential is sealed to another origin");
            return Ok(None);
        }
        match self.crypto.open(&row.sealed).await {
            Ok(secret) => Ok(Some(secret)),
            Err(error @ CryptoError::Unavailable(_)) => Err(error.into()),
            Err(error) => {
                tracing::error!(tenant.id = %tenant, credential.id = %id, %error, "a credential cannot be opened");
                Ok(None)
            }
        }
    }
}
