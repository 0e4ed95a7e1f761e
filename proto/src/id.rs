//! Identifiers: newtypes that cannot be swapped for one another.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A text id that is cheap to clone.
macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps an id that was checked elsewhere or is only compared.
            pub fn new(id: impl Into<Arc<str>>) -> Self {
                Self(id.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text_id! {
    /// A tenant's slug, chosen by the operator.
    TenantId;
    /// A key's id, `key_…`.
    KeyId;
    /// A provider's slug.
    ProviderId;
    /// A provider credential's id.
    CredentialId;
    /// A model's `author/name`.
    ModelId;
    /// An endpoint's id, unique in its model.
    EndpointId;
    /// A routing policy's slug, unique in its tenant.
    PolicyId;
    /// A preset's slug, unique in its tenant.
    PresetId;
    /// A webhook's id, unique with its owner.
    WebhookId;
    /// The id of a data plane's disk.
    InstanceId;
}

/// A finished request's id: a UUIDv7, so it carries the admission time that picks its partition.
///
/// Shown as `gen-<unix seconds>-<22 base62 digits>`, the shape that OpenRouter's clients know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GenerationId(Uuid);

impl GenerationId {
    /// A new id, admitted now.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// An id from its sixteen bytes; `None` unless it is a UUIDv7.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let id = Uuid::from_slice(bytes).ok()?;
        (id.get_version_num() == 7).then_some(Self(id))
    }

    /// The sixteen bytes, for the wire.
    pub fn to_bytes(self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }

    /// As the database stores it.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }

    /// Milliseconds since 1970 at admission.
    pub fn admitted_ms(self) -> u64 {
        let bytes = self.0.as_bytes();
        bytes[..6].iter().fold(0, |ms, byte| (ms << 8) | u64::from(*byte))
    }

    /// When the request was admitted.
    pub fn admitted_at(self) -> DateTime<Utc> {
        let ms = i64::try_from(self.admitted_ms()).expect("48 bits fit");
        DateTime::from_timestamp_millis(ms).expect("48 bits of milliseconds are in chrono's range")
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let (seconds, digits) = text.strip_prefix("gen-")?.split_once('-')?;
        let id = Self::from_bytes(&from_base62(digits)?.to_be_bytes())?;
        (seconds.parse() == Ok(id.admitted_ms() / 1000)).then_some(id)
    }

    /// A seed for this request's random choices.
    pub fn seed(self) -> u64 {
        let (_, low) = self.0.as_u64_pair();
        low
    }
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = to_base62(self.0.as_u128(), 22);
        write!(f, "gen-{}-{digits}", self.admitted_ms() / 1000)
    }
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A number in base 62, padded with zeros to `width` digits.
pub(crate) fn to_base62(mut number: u128, width: usize) -> String {
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(number % 62) as usize];
        number /= 62;
    }
    String::from_utf8(digits).expect("base 62 digits are ASCII")
}

/// Reads base 62; `None` on another character or more than 128 bits.
pub(crate) fn from_base62(digits: &str) -> Option<u128> {
    digits.bytes().try_fold(0u128, |number, digit| {
        let value = BASE62.iter().position(|candidate| *candidate == digit)?;
        number.checked_mul(62)?.checked_add(value as u128)
    })
}

/// A new random id with a prefix, e.g. `key_…`: 128 random bits.
pub fn random(prefix: &str) -> String {
    format!("{prefix}{}", to_base62(Uuid::new_v4().as_u128(), 22))
}

/// Whether a text may be the id of a tenant or provider: lower-case letters, digits, inner hyphens; 1 to 63.
pub fn is_slug(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether a text may be a model id: `author/name` of letters, digits and `._:-`, at most 200.
pub fn is_model(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-~@".contains(&byte))
    };
    text.len() <= 200 && text.split_once('/').is_some_and(|(author, name)| part(author) && part(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_id_survives_its_text_form() {
        let id = GenerationId::generate();
        assert_eq!(GenerationId::parse(&id.to_string()), Some(id));
        assert_eq!(id.to_string().len(), "gen-1700000000-".len() + 22);
    }

    #[test]
    fn generation_id_carries_its_time() {
        let uuid = Uuid::parse_str("019396a0-0000-7000-8000-000000000000").unwrap();
        let id = GenerationId::from_bytes(uuid.as_bytes()).unwrap();
        assert_eq!(id.admitted_ms(), 0x0193_96a0_0000);
    }

    #[test]
    fn text_that_is_no_generation_id_is_refused() {
        for text in [
            "",
            "gen-",
            "gen-1-2",
            "gen-1700000000-0000000000000000000000",
            "gen-x-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
        ] {
            assert_eq!(GenerationId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn slugs_and_models() {
        for (text, slug, model) in [
            ("acme", true, false),
            ("a-1", true, false),
            ("-a", false, false),
            ("A", false, false),
            ("", false, false),
            ("openai/gpt-5", false, true),
            ("a/b:free", false, true),
            ("a/b/c", false, false),
            ("a/", false, false),
        ] {
            assert_eq!((is_slug(text), is_model(text)), (slug, model), "{text}");
        }
    }
}
