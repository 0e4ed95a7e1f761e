//! Where a token or a pair of keys comes from, and what comes from there.

use std::time::Duration;

use switchyard_proto::auth::Scheme;
use switchyard_proto::secret::Secret;
use url::Url;

use crate::upstream::sign::ask::Asker;
use crate::upstream::sign::aws::{self, AwsKeys};
use crate::upstream::sign::{SignError, azure, google};

/// Whose provider a credential is for: tenants do not choose whom this machine talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    Operator,
    Tenant,
}

/// What requests are signed with for a while.
#[derive(Debug, PartialEq, Eq)]
pub enum Grant {
    /// An access token, and the project that its use is counted for where that is another than the token's own.
    Token {
        token: Secret,
        quota_project: Option<String>,
    },
    Aws(AwsKeys),
}

/// What was fetched.
#[derive(Debug, PartialEq, Eq)]
pub struct Fresh {
    pub grant: Grant,
    /// How long it will be accepted; absent: until it is replaced where it came from.
    pub good_for: Option<Duration>,
}

/// A place that gives out what requests are signed with.
#[derive(Debug)]
pub enum Source {
    Google(google::Source),
    Entra(azure::Source),
    /// The machine's own role.
    Aws,
}

impl Source {
    /// The source that a credential describes.
    ///
    /// # Errors
    /// A credential that is not of the scheme's form, or that sends a tenant's provider where it may not go.
    pub fn of(scheme: &Scheme, credential: &Secret, trust: Trust) -> Result<Self, SignError> {
        if scheme.is_ambient(credential.expose()) && trust == Trust::Tenant {
            return Err(SignError::auth("the machine's own credentials are for the operator's providers"));
        }
        match scheme {
            Scheme::GoogleOauth => google::Source::of(credential, trust).map(Self::Google),
            Scheme::Entra => azure::Source::of(credential, trust).map(Self::Entra),
            Scheme::SigV4 => Ok(Self::Aws),
            _ => Err(SignError::auth("the scheme has no tokens")),
        }
    }

    /// Asks for what comes next.
    ///
    /// # Errors
    /// [`SignError`] in words that are safe to show.
    pub async fn fetch(&self, asker: &Asker) -> Result<Fresh, SignError> {
        match self {
            Self::Google(source) => source.fetch(asker).await,
            Self::Entra(source) => source.fetch(asker).await,
            Self::Aws => aws::fetch(asker).await,
        }
    }
}

/// A URL that a credential names; a tenant's must be https at one of the vendor's hosts.
pub fn place(url: &str, trust: Trust, hosts: &[&str]) -> Result<Url, SignError> {
    let url: Url = url.parse().map_err(|_| SignError::auth("the credential names a place that is no URL"))?;
    let is_web = matches!(url.scheme(), "http" | "https");
    let is_vendors = url.scheme() == "https"
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && url.host_str().is_some_and(|host| hosts.contains(&host));
    match trust {
        Trust::Operator if is_web => Ok(url),
        Trust::Tenant if is_vendors => Ok(url),
        _ => Err(SignError::auth(format!(
            "the credential asks for tokens elsewhere than at https://{}",
            hosts.join(" or https://")
        ))),
    }
}
