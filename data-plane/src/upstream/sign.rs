//! Puts a credential on an encoded request, by the scheme of the provider's dialect.

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use switchyard_proto::secret::Secret;

/// How a provider wants to be shown the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer …`
    Bearer,
    /// `x-api-key: …`
    ApiKey,
}

impl Scheme {
    /// The scheme of an adapter's dialect.
    pub fn of(adapter: &str) -> Self {
        match adapter {
            "anthropic" => Self::ApiKey,
            _ => Self::Bearer,
        }
    }
}

/// A credential that cannot be sent as a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the credential has characters that no header can carry")]
pub struct BadCredential;

/// Signs a request. Providers without a credential (local servers) get none.
///
/// # Errors
/// [`BadCredential`], without showing it.
pub fn sign(
    scheme: Scheme,
    credential: Option<&Secret>,
    headers: &mut HeaderMap,
) -> Result<(), BadCredential> {
    let Some(secret) = credential.filter(|secret| !secret.is_empty()) else { return Ok(()) };
    let (name, text) = match scheme {
        Scheme::Bearer => (AUTHORIZATION, format!("Bearer {}", secret.expose())),
        Scheme::ApiKey => (HeaderName::from_static("x-api-key"), secret.expose().to_owned()),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| BadCredential)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_gets_its_header_and_local_servers_none() {
        let secret = Secret::new("s3cret");
        for (adapter, header, value) in
            [("openai", "authorization", "Bearer s3cret"), ("anthropic", "x-api-key", "s3cret")]
        {
            let mut headers = HeaderMap::new();
            sign(Scheme::of(adapter), Some(&secret), &mut headers).unwrap();
            assert_eq!(headers[header], value);
            assert!(!format!("{headers:?}").contains("s3cret"));
        }
        let mut headers = HeaderMap::new();
        sign(Scheme::Bearer, None, &mut headers).unwrap();
        assert!(headers.is_empty());
        assert_eq!(sign(Scheme::Bearer, Some(&Secret::new("a\nb")), &mut headers), Err(BadCredential));
    }
}
