//! Sealing at rest: AES-256-GCM, bound to what the secret belongs to.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// A 256-bit sealing key. Does not print.
#[derive(Clone)]
pub struct SealKey(LessSafeKey);

/// Why sealing or opening failed. Tells nothing about the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the key is not 32 bytes of base64")]
    BadKey,
    #[error("the sealed bytes are damaged, or were sealed with another key or for another place")]
    Unopenable,
}

impl SealKey {
    /// From 32 bytes.
    ///
    /// # Errors
    /// [`SealError::BadKey`] for another length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| SealError::BadKey)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// From base64 of 32 bytes: the form of settings.
    ///
    /// # Errors
    /// [`SealError::BadKey`] for anything else.
    pub fn from_base64(text: &str) -> Result<Self, SealError> {
        Self::from_bytes(&STANDARD.decode(text.trim()).map_err(|_| SealError::BadKey)?)
    }

    /// Seals `plain` for `place`: nonce, then ciphertext and tag. The nonce is random: fewer than 2³² seals a key.
    pub fn seal(&self, plain: &[u8], place: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = nonce.to_vec();
        let mut body = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut body)
            .expect("sealing fails only beyond 64 GiB");
        sealed.extend_from_slice(&body);
        sealed
    }

    /// Opens what [`SealKey::seal`] made for the same place.
    ///
    /// # Errors
    /// [`SealError::Unopenable`] for another key or place, or damage.
    pub fn open(&self, sealed: &[u8], place: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::Unopenable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Unopenable)?;
        let mut body = body.to_vec();
        let plain =
            self.0.open_in_place(nonce, Aad::from(place), &mut body).map_err(|_| SealError::Unopenable)?;
        Ok(plain.to_vec())
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey")
    }
}

/// Base64 of 32 fresh random bytes: a key for settings.
pub fn generate_base64() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_with_the_same_key_and_place() {
        let key = SealKey::from_base64(&generate_base64()).unwrap();
        let other = SealKey::from_base64(&generate_base64()).unwrap();
        let sealed = key.seal(b"secret", b"openai|https://api.openai.com");
        assert_eq!(key.open(&sealed, b"openai|https://api.openai.com").unwrap(), b"secret");
        assert_eq!(key.open(&sealed, b"openai|https://evil.example"), Err(SealError::Unopenable));
        assert_eq!(other.open(&sealed, b"openai|https://api.openai.com"), Err(SealError::Unopenable));
        assert_eq!(key.open(&sealed[..5], b""), Err(SealError::Unopenable));
    }

    #[test]
    fn equal_secrets_are_sealed_differently() {
        let key = SealKey::from_base64(&generate_base64()).unwrap();
        assert_ne!(key.seal(b"secret", b""), key.seal(b"secret", b""));
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert_eq!(SealKey::from_base64("AAAA").unwrap_err(), SealError::BadKey);
        assert_eq!(SealKey::from_base64("not base64!").unwrap_err(), SealError::BadKey);
    }
}
