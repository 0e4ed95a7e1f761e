//! Sealed provider credentials: the only place where their plaintext exists in the control plane.
//!
//! A credential is sealed under its owner's data key and bound to tenant, provider and origin. Data keys are wrapped by a
//! master key. Where sealed bytes are kept is `store`'s business; who may ask is `service`'s.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use switchyard_proto::{
    id::{ProviderId, TenantId},
    seal::{SealError, SealKey},
    secret::Secret,
};
use uuid::Uuid;

pub mod master;

use crate::crypto::master::KeyWrap;

/// What a credential belongs to; sealed bytes open for this place alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `None`: the operator.
    pub tenant: Option<TenantId>,
    pub provider: ProviderId,
    pub origin: String,
}

impl Place {
    /// Who owns the data key.
    pub fn owner(&self) -> &str {
        self.tenant.as_ref().map_or("", TenantId::as_str)
    }

    /// Ids have no `|` in them and the origin comes last, so that two places never look alike.
    fn to_bytes(&self) -> Vec<u8> {
        format!("credential|{}|{}|{}", self.owner(), self.provider, self.origin).into_bytes()
    }
}

/// A data key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    pub id: Uuid,
    /// A tenant; empty: the operator.
    pub owner: String,
    /// The master key that wraps it.
    pub master_key: String,
    pub wrapped: Vec<u8>,
}

impl WrappedKey {
    fn place(id: Uuid, owner: &str) -> Vec<u8> {
        format!("data-key|{id}|{owner}").into_bytes()
    }
}

/// A credential as it is stored, with the key that opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub place: Place,
    pub key: WrappedKey,
    pub bytes: Vec<u8>,
}

/// Why a credential could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum CryptoError {
    #[error("data key `{key}` is wrapped by master key `{wanted}`, but the one given is `{given}`")]
    OtherMasterKey { key: Uuid, wanted: String, given: String },
    #[error("data key `{0}` cannot be unwrapped")]
    DataKey(Uuid, #[source] SealError),
    #[error("the credential of provider `{0}` cannot be opened")]
    Credential(ProviderId, #[source] SealError),
    #[error("the service that holds the master key cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Seals and opens credentials. Cheap to clone.
#[derive(Clone)]
pub struct Crypto {
    wrap: Arc<dyn KeyWrap>,
    /// Unwrapped data keys by id: as many as owners.
    keys: Arc<Mutex<HashMap<Uuid, SealKey>>>,
}

impl Crypto {
    /// With the given holder of the master key.
    pub fn new(wrap: Arc<dyn KeyWrap>) -> Self {
        Self { wrap, keys: Arc::default() }
    }

    /// Makes a new data key for an owner.
    ///
    /// # Errors
    /// [`CryptoError::Unavailable`] where the master key is elsewhere.
    pub async fn new_data_key(&self, owner: &str) -> Result<WrappedKey, CryptoError> {
        let id = Uuid::new_v4();
        let plain: [u8; 32] = rand::random();
        let wrapped = self.wrap.wrap(&plain, &WrappedKey::place(id, owner)).await?;
        Ok(WrappedKey { id, owner: owner.to_owned(), master_key: self.wrap.id().to_owned(), wrapped })
    }

    /// Seals a credential for one place.
    ///
    /// # Errors
    /// When the data key cannot be unwrapped.
    pub async fn seal(&self, key: WrappedKey, place: Place, plain: &Secret) -> Result<Sealed, CryptoError> {
        let bytes = self.unwrap(&key).await?.seal(plain.expose().as_bytes(), &place.to_bytes());
        Ok(Sealed { place, key, bytes })
    }

    /// Opens a credential.
    ///
    /// # Errors
    /// When the data key cannot be unwrapped, or the bytes were sealed for another place.
    pub async fn open(&self, sealed: &Sealed) -> Result<Secret, CryptoError> {
        let key = self.unwrap(&sealed.key).await?;
        let damaged = |cause| CryptoError::Credential(sealed.place.provider.clone(), cause);
        let plain = key.open(&sealed.bytes, &sealed.place.to_bytes()).map_err(damaged)?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| damaged(SealError::Unopenable))
    }

    async fn unwrap(&self, key: &WrappedKey) -> Result<SealKey, CryptoError> {
        let known = self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&key.id).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        if key.master_key != self.wrap.id() {
            let (wanted, given) = (key.master_key.clone(), self.wrap.id().to_owned());
            return Err(CryptoError::OtherMasterKey { key: key.id, wanted, given });
        }
        let plain = self.wrap.unwrap(&key.wrapped, &WrappedKey::place(key.id, &key.owner)).await?;
        let opened = SealKey::from_bytes(&plain).map_err(|cause| CryptoError::DataKey(key.id, cause))?;
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.id, opened.clone());
        Ok(opened)
    }
}

impl std::fmt::Debug for Crypto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crypto").field("master_key", &self.wrap.id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::seal;

    use super::*;
    use crate::crypto::master::MasterKey;

    fn crypto(master: &str) -> Crypto {
        Crypto::new(Arc::new(MasterKey::from_base64(&Secret::new(master)).unwrap()))
    }

    fn place(tenant: Option<&str>, provider: &str, origin: &str) -> Place {
        Place {
            tenant: tenant.map(TenantId::new),
            provider: ProviderId::new(provider),
            origin: origin.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_credential_opens_for_its_own_place_only() {
        let master = seal::generate_base64();
        let crypto = crypto(&master);
        let key = crypto.new_data_key("").await.unwrap();
        let home = place(None, "openai", "https://api.openai.com");
        let sealed = crypto.seal(key, home, &Secret::new("sk-1")).await.unwrap();
        assert_eq!(crypto.open(&sealed).await.unwrap().expose(), "sk-1");
        for elsewhere in [
            place(Some("acme"), "openai", "https://api.openai.com"),
            place(None, "openai-2", "https://api.openai.com"),
            place(None, "openai", "https://evil.example"),
        ] {
            let moved = Sealed { place: elsewhere, ..sealed.clone() };
            assert!(matches!(crypto.open(&moved).await, Err(CryptoError::Credential(..))), "{moved:?}");
        }
    }

    #[tokio::test]
    async fn another_process_with_the_same_master_key_opens_it() {
        let master = seal::generate_base64();
        let one = crypto(&master);
        let key = one.new_data_key("acme").await.unwrap();
        let sealed = one.seal(key, place(Some("acme"), "p", "https://h"), &Secret::new("x")).await.unwrap();
        assert_eq!(crypto(&master).open(&sealed).await.unwrap().expose(), "x");
    }

    #[tokio::test]
    async fn another_master_key_is_named() {
        let key = crypto(&seal::generate_base64()).new_data_key("").await.unwrap();
        let other = crypto(&seal::generate_base64());
        let error =
            other.seal(key.clone(), place(None, "p", "https://h"), &Secret::new("x")).await.unwrap_err();
        assert!(matches!(&error, CryptoError::OtherMasterKey { wanted, .. } if *wanted == key.master_key));
    }

    #[tokio::test]
    async fn a_data_key_given_to_another_owner_does_not_open() {
        let master = seal::generate_base64();
        let key = crypto(&master).new_data_key("acme").await.unwrap();
        let stolen = WrappedKey { owner: "rival".into(), ..key };
        let place = place(Some("rival"), "p", "https://h");
        assert!(crypto(&master).seal(stolen, place, &Secret::new("x")).await.is_err());
    }
}
