//! Puts a credential on an encoded request, by the scheme of the provider's row.
//!
//! Most schemes are one header. Access tokens and instance roles are fetched off the request's way: `google`,
//! `azure` and `aws` know where, `ask` asks, `cell` keeps what came until shortly before it expires, shared
//! between threads. `sigv4` signs; it runs per attempt, when the body is final.

mod ask;
mod aws;
mod azure;
mod cell;
mod google;
mod sigv4;
mod source;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use switchyard_proto::auth::Scheme;
use switchyard_proto::clock;
use switchyard_proto::id::ProviderId;
use switchyard_proto::secret::Secret;
use tokio::time::Instant;

use crate::adapters::failure::FailureClass;
use crate::background::Background;
use crate::config::snapshot::{Credential, Provider};
use crate::settings::Cloud;
use crate::upstream::sign::ask::Asker;
use crate::upstream::sign::aws::AwsKeys;
use crate::upstream::sign::cell::Cell;
use crate::upstream::sign::source::{Grant, Source, Trust};

/// Why a request goes out without a credential, which is to say not at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SignError {
    /// [`FailureClass::Auth`] or [`FailureClass::Timeout`]: never the caller's fault.
    pub class: FailureClass,
    /// What is wrong, without anything secret.
    pub message: String,
}

impl SignError {
    fn auth(message: impl Into<String>) -> Self {
        Self { class: FailureClass::Auth, message: message.into() }
    }

    fn timeout(message: impl Into<String>) -> Self {
        Self { class: FailureClass::Timeout, message: message.into() }
    }
}

/// A request that is final but for its credential.
#[derive(Debug)]
pub struct Unsigned<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a mut HeaderMap,
    pub body: &'a Bytes,
}

/// What a request was signed with.
#[derive(Debug)]
pub struct Signed {
    /// Absent for credentials that are as good as they will ever be.
    token: Option<(Arc<Cell>, Arc<Grant>)>,
}

/// Signs for all request threads of the process.
#[derive(Debug)]
pub struct Signer {
    asker: Arc<Asker>,
    background: Background,
    cells: Mutex<HashMap<CredentialKey, Arc<Cell>>>,
}

type CredentialKey = (ProviderId, Arc<str>);

impl Signer {
    /// Tokens are fetched on `background`'s runtime; `cloud` is what the process's environment says of the machine.
    ///
    /// # Errors
    /// Where no TLS client can be made.
    pub fn new(cloud: Cloud, background: &Background) -> Result<Self, reqwest::Error> {
        Ok(Self {
            asker: Arc::new(Asker::new(cloud)?),
            background: background.clone(),
            cells: Mutex::default(),
        })
    }

    /// Signs a request. Providers without a credential (local servers) get none, where the scheme allows that.
    ///
    /// # Errors
    /// A credential that is not of the scheme's form, or a token that cannot be had.
    pub async fn sign(
        &self,
        provider: &Provider,
        credential: Option<&Credential>,
        request: Unsigned<'_>,
    ) -> Result<Signed, SignError> {
        let Some(credential) = credential.filter(|credential| !credential.secret.is_empty()) else {
            return without(&provider.auth);
        };
        let token = match by_header(&provider.auth, &credential.secret) {
            Some((name, text)) => {
                put(request.headers, name, &text)?;
                None
            }
            None => match provider.auth {
                Scheme::SigV4 => self.sign_aws(provider, credential, request).await?,
                Scheme::GoogleOauth | Scheme::Entra => {
                    let (cell, grant) = self.grant(provider, credential).await?;
                    put_token(&grant, request.headers)?;
                    Some((cell, grant))
                }
                _ => None,
            },
        };
        Ok(Signed { token })
    }

    async fn sign_aws(
        &self,
        provider: &Provider,
        credential: &Credential,
        request: Unsigned<'_>,
    ) -> Result<Option<(Arc<Cell>, Arc<Grant>)>, SignError> {
        let region = sigv4::region(&provider.config.region, provider.authority.host())?;
        if !is_renewable(provider, credential) {
            let keys = AwsKeys::parse(&credential.secret).inspect_err(|error| warn(provider, error))?;
            sigv4::sign(&keys, region, clock::now(), request)?;
            return Ok(None);
        }
        let (cell, grant) = self.grant(provider, credential).await?;
        if let Grant::Aws(keys) = &*grant {
            sigv4::sign(keys, region, clock::now(), request)?;
        }
        Ok(Some((cell, grant)))
    }

    /// After a provider refused a credential: whether there is another one now, so that one more try is worth it.
    pub async fn renew(&self, signed: &Signed, status: StatusCode) -> bool {
        let Some((cell, used)) = &signed.token else { return false };
        let is_refused = match **used {
            // Amazon says 403 of keys that have expired, too.
            Grant::Aws(_) => matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
            Grant::Token { .. } => status == StatusCode::UNAUTHORIZED,
        };
        if !is_refused {
            return false;
        }
        match cell.renew(used, Instant::now(), &self.asker, &self.background) {
            Some(newer) => newer.await.is_ok_and(|newer| newer != *used),
            None => false,
        }
    }

    async fn grant(
        &self,
        provider: &Provider,
        credential: &Credential,
    ) -> Result<(Arc<Cell>, Arc<Grant>), SignError> {
        let cell = self.cell(provider, credential)?;
        let grant = cell.get(Instant::now(), &self.asker, &self.background).await?;
        Ok((cell, grant))
    }

    /// Where this credential's token is kept; a new one where the credential is another than it was.
    fn cell(&self, provider: &Provider, credential: &Credential) -> Result<Arc<Cell>, SignError> {
        let key = (provider.id.clone(), credential.id.clone());
        let is_tenants = provider.tenant.is_some() || credential.tenant.is_some();
        let trust = if is_tenants { Trust::Tenant } else { Trust::Operator };
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) =
            cells.get(&key).filter(|cell| cell.is_for(&provider.auth, &credential.secret, trust))
        {
            return Ok(cell.clone());
        }
        let source = Source::of(&provider.auth, &credential.secret, trust)
            .inspect_err(|error| warn(provider, error))?;
        let cell = Arc::new(Cell::new(provider, &credential.secret, trust, source));
        let now = Instant::now();
        cells.retain(|_, cell| !cell.is_forgotten(now));
        cells.insert(key, cell.clone());
        Ok(cell)
    }
}

/// Whether a refused credential may be replaced by a newer one of the same source.
pub fn is_renewable(provider: &Provider, credential: &Credential) -> bool {
    match provider.auth {
        Scheme::GoogleOauth | Scheme::Entra => true,
        Scheme::SigV4 => provider.auth.is_ambient(credential.secret.expose()),
        _ => false,
    }
}

/// For credentials that will not get better by themselves; the fetches of others are told of where they fail.
fn warn(provider: &Provider, error: &SignError) {
    tracing::warn!(provider = %provider.id, %error, "a credential cannot be used");
}

fn without(scheme: &Scheme) -> Result<Signed, SignError> {
    match scheme {
        Scheme::GoogleOauth | Scheme::SigV4 | Scheme::Entra => {
            Err(SignError::auth("the provider has no credential"))
        }
        _ => Ok(Signed { token: None }),
    }
}

/// The header of a scheme that shows the credential itself.
fn by_header(scheme: &Scheme, secret: &Secret) -> Option<(HeaderName, String)> {
    let alone = || secret.expose().to_owned();
    Some(match scheme {
        Scheme::Bearer => (AUTHORIZATION, format!("Bearer {}", secret.expose())),
        Scheme::ApiKey => (HeaderName::from_static("x-api-key"), alone()),
        Scheme::Header(name) => (name.clone(), alone()),
        Scheme::GoogleApiKey => (HeaderName::from_static("x-goog-api-key"), alone()),
        Scheme::AzureKey => (HeaderName::from_static("api-key"), alone()),
        Scheme::GoogleOauth | Scheme::SigV4 | Scheme::Entra | Scheme::None => return None,
    })
}

fn put_token(grant: &Grant, headers: &mut HeaderMap) -> Result<(), SignError> {
    let Grant::Token { token, quota_project } = grant else { return Ok(()) };
    put(headers, AUTHORIZATION, &format!("Bearer {}", token.expose()))?;
    if let Some(project) = quota_project {
        put(headers, HeaderName::from_static("x-goog-user-project"), project)?;
    }
    Ok(())
}

fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) -> Result<(), SignError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| SignError::auth("the credential has characters that no header can carry"))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}
