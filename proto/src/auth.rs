//! How a provider wants to be shown a credential: the schemes under the names that rows use, and each dialect's own.
//!
//! The control plane checks a row's `auth` here, the data plane signs by it.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;

/// A way to show a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer …`
    Bearer,
    /// `x-api-key: …`
    ApiKey,
    /// The credential alone, in this header.
    Header(HeaderName),
    /// `x-goog-api-key: …`; never in the query, which ends up in logs.
    GoogleApiKey,
    /// An access token of Google's, for a service account or by application default credentials.
    GoogleOauth,
    /// Amazon's signature of the request.
    SigV4,
    /// `api-key: …`
    AzureKey,
    /// An access token of Microsoft Entra's.
    Entra,
    /// No credential is sent.
    None,
}

/// A name that is none of the schemes'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is `{0}`, which is none of {known}", known = NAMES.join(", "))]
pub struct UnknownScheme(String);

/// Names of all schemes, as messages list them.
const NAMES: &[&str] = &[
    "bearer",
    "x-api-key",
    "header:NAME",
    "google-api-key",
    "google-oauth",
    "sigv4",
    "azure-key",
    "entra",
    "none",
];

/// Headers that HTTP or the adapters write, so that no credential can be in them.
const TAKEN: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl FromStr for Scheme {
    type Err = UnknownScheme;

    /// Reads a name; `header:` takes any header that neither HTTP nor an adapter writes.
    fn from_str(name: &str) -> Result<Self, UnknownScheme> {
        let unknown = || UnknownScheme(name.to_owned());
        if let Some(header) = name.strip_prefix("header:") {
            let header = HeaderName::from_str(header).map_err(|_| unknown())?;
            let is_taken = TAKEN.contains(&header.as_str());
            return if is_taken { Err(unknown()) } else { Ok(Self::Header(header)) };
        }
        Ok(match name {
            "bearer" => Self::Bearer,
            "x-api-key" => Self::ApiKey,
            "google-api-key" => Self::GoogleApiKey,
            "google-oauth" => Self::GoogleOauth,
            "sigv4" => Self::SigV4,
            "azure-key" => Self::AzureKey,
            "entra" => Self::Entra,
            "none" => Self::None,
            _ => return Err(unknown()),
        })
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Bearer => "bearer",
            Self::ApiKey => "x-api-key",
            Self::Header(name) => return write!(f, "header:{name}"),
            Self::GoogleApiKey => "google-api-key",
            Self::GoogleOauth => "google-oauth",
            Self::SigV4 => "sigv4",
            Self::AzureKey => "azure-key",
            Self::Entra => "entra",
            Self::None => "none",
        };
        f.write_str(name)
    }
}

impl Scheme {
    /// A dialect's own scheme, where the row names none.
    pub fn of_adapter(adapter: &str) -> Self {
        match adapter {
            "anthropic" => Self::ApiKey,
            "gemini" => Self::GoogleApiKey,
            "vertex" => Self::GoogleOauth,
            "bedrock" => Self::SigV4,
            "azure" => Self::AzureKey,
            // Local servers take this too: without a credential nothing is sent.
            _ => Self::Bearer,
        }
    }

    /// The word that stands for what the machine itself may do (instance roles, application default credentials).
    pub fn ambient_word(&self) -> Option<&'static str> {
        match self {
            Self::GoogleOauth => Some("adc"),
            Self::SigV4 | Self::Entra => Some("ambient"),
            _ => None,
        }
    }

    /// Whether a credential is such a word for any scheme. Tenants may not give one: the provider's scheme may change later.
    pub fn is_ambient_anywhere(credential: &str) -> bool {
        [Self::GoogleOauth, Self::SigV4, Self::Entra].iter().any(|scheme| scheme.is_ambient(credential))
    }

    /// Whether this credential is that word and not one of its own.
    pub fn is_ambient(&self, credential: &str) -> bool {
        self.ambient_word() == Some(credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_schemes_and_back() {
        for name in NAMES.iter().map(|name| name.replace("NAME", "x-key")) {
            assert_eq!(name.parse::<Scheme>().unwrap().to_string(), name);
        }
        for bad in ["", "Bearer", "header:", "header:a b", "header:Host", "header:content-type", "sigv4a"] {
            let message = bad.parse::<Scheme>().unwrap_err().to_string();
            assert!(message.starts_with(&format!("is `{bad}`, which is none of bearer, ")), "{message}");
        }
    }

    #[test]
    fn every_dialect_has_a_scheme_of_its_own() {
        for (adapter, scheme) in [
            ("openai", "bearer"),
            ("openai_responses", "bearer"),
            ("mistral", "bearer"),
            ("cohere", "bearer"),
            ("ollama", "bearer"),
            ("anthropic", "x-api-key"),
            ("gemini", "google-api-key"),
            ("vertex", "google-oauth"),
            ("bedrock", "sigv4"),
            ("azure", "azure-key"),
        ] {
            assert_eq!(Scheme::of_adapter(adapter).to_string(), scheme, "{adapter}");
        }
    }

    #[test]
    fn a_word_stands_for_ambient_credentials_where_there_are_such() {
        for (scheme, credential, expected) in [
            (Scheme::GoogleOauth, "adc", true),
            (Scheme::GoogleOauth, "ambient", false),
            (Scheme::SigV4, "ambient", true),
            (Scheme::Entra, "ambient", true),
            (Scheme::Bearer, "ambient", false),
            (Scheme::SigV4, "AKID:secret", false),
        ] {
            assert_eq!(scheme.is_ambient(credential), expected, "{scheme} {credential}");
        }
    }
}
