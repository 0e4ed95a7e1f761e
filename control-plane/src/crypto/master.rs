//! Master keys: what wraps the data keys. One from the environment now; a key service would be another [`KeyWrap`].

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};
use switchyard_proto::{
    seal::{SealError, SealKey},
    secret::Secret,
};
use uuid::Uuid;

use crate::crypto::CryptoError;

/// Something that holds a master key and wraps data keys with it.
pub trait KeyWrap: Send + Sync {
    /// Names the master key; stored beside everything that it wraps.
    fn id(&self) -> &str;
    /// Wraps a data key for `place`.
    fn wrap<'a>(&'a self, plain: &'a [u8], place: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, CryptoError>>;
    /// Unwraps what [`KeyWrap::wrap`] made for the same place.
    fn unwrap<'a>(
        &'a self,
        wrapped: &'a [u8],
        place: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, CryptoError>>;
}

/// A master key given in the settings.
pub struct MasterKey {
    id: String,
    key: SealKey,
}

impl MasterKey {
    /// From base64 of 32 bytes.
    ///
    /// # Errors
    /// [`SealError::BadKey`] for anything else.
    pub fn from_base64(text: &Secret) -> Result<Self, SealError> {
        let key = SealKey::from_base64(text.expose())?;
        // Four bytes of a hash tell two keys apart and say nothing about either.
        let hash = Sha256::digest(text.expose().trim().as_bytes());
        let id = format!("env-{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3]);
        Ok(Self { id, key })
    }
}

impl KeyWrap for MasterKey {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap<'a>(&'a self, plain: &'a [u8], place: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, CryptoError>> {
        Box::pin(std::future::ready(Ok(self.key.seal(plain, place))))
    }

    fn unwrap<'a>(
        &'a self,
        wrapped: &'a [u8],
        place: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, CryptoError>> {
        let opened = self.key.open(wrapped, place);
        Box::pin(std::future::ready(opened.map_err(|cause| CryptoError::DataKey(Uuid::nil(), cause))))
    }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::seal;

    use super::*;

    #[test]
    fn ids_tell_master_keys_apart_without_showing_them() {
        let [one, two] = [seal::generate_base64(), seal::generate_base64()];
        let id = |text: &str| MasterKey::from_base64(&Secret::new(text)).map(|key| key.id).unwrap();
        assert_ne!(id(&one), id(&two));
        assert_eq!(id(&one), id(&format!("{one}\n")));
        assert!(id(&one).starts_with("env-") && id(&one).len() == 12);
    }

    #[test]
    fn a_master_key_is_thirty_two_bytes() {
        assert!(MasterKey::from_base64(&Secret::new("short")).is_err());
    }
}
