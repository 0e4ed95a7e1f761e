//! Signs what an adapter encoded and sends it: once more where an access token was refused and there is a newer one.

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::time::{Instant, timeout_at};

use crate::adapters::Encoded;
use crate::adapters::failure::FailureClass;
use crate::config::snapshot::{Credential, Endpoint, Provider};
use crate::upstream::attempt::{Failed, timeout};
use crate::upstream::guard::Owner;
use crate::upstream::http::{HttpClient, Reach};
use crate::upstream::sign::{self, Signed, Signer, Unsigned};

/// A request that is final but for its credential.
#[derive(Clone)]
pub struct Draft {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Draft {
    /// # Errors
    /// What of the row and the encoded path makes no URL.
    pub fn new(endpoint: &Endpoint, encoded: Encoded) -> Result<Self, String> {
        let provider = &endpoint.provider;
        let uri = Uri::builder()
            .scheme(provider.scheme.clone())
            .authority(provider.authority.clone())
            .path_and_query(format!("{}{}", provider.path_prefix, encoded.path))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { method: encoded.method, uri, headers: encoded.headers, body: encoded.body })
    }

    fn finish(self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

/// Signs and sends.
pub struct Sender<'a> {
    pub client: &'a HttpClient,
    pub signer: &'a Signer,
    pub provider: &'a Provider,
    pub credential: Option<&'a Credential>,
    /// A connection must be there by then.
    pub connect: Instant,
    /// The answer's head must be there by then.
    pub head: Instant,
    pub reach: &'a Reach,
}

impl Sender<'_> {
    /// # Errors
    /// A failed try that says whether the provider can have seen the request.
    pub async fn send(&self, draft: Draft) -> Result<Response<Incoming>, Failed> {
        let may_renew =
            self.credential.is_some_and(|credential| sign::is_renewable(self.provider, credential));
        let spare = may_renew.then(|| draft.clone());
        let (response, signed) = self.once(draft).await?;
        let Some(spare) = spare else { return Ok(response) };
        let renewed = timeout_at(self.head, self.signer.renew(&signed, response.status())).await;
        if renewed != Ok(true) {
            return Ok(response);
        }
        drop(response);
        self.once(spare).await.map(|(response, _)| response)
    }

    async fn once(&self, mut draft: Draft) -> Result<(Response<Incoming>, Signed), Failed> {
        let Draft { method, uri, headers, body } = &mut draft;
        let unsigned = Unsigned { method, uri, headers, body };
        let signing = self.signer.sign(self.provider, self.credential, unsigned);
        let signed = match timeout_at(self.head, signing).await {
            Err(_) => return Err(Failed::unsigned(FailureClass::Timeout)),
            Ok(Err(error)) => {
                tracing::debug!(provider = %self.provider.id, %error, "a request could not be signed");
                return Err(Failed::unsigned(error.class));
            }
            Ok(Ok(signed)) => signed,
        };
        let sending = self.client.send(owner(self.provider), draft.finish(), self.connect, self.reach);
        match timeout_at(self.head, sending).await {
            Err(_) => Err(Failed::broken(timeout("no answer within the deadline"))),
            Ok(Err(error)) => Err(Failed::unanswered(&error)),
            Ok(Ok(response)) => Ok((response, signed)),
        }
    }
}

/// Whose word the provider's address is.
fn owner(provider: &Provider) -> Owner {
    if provider.tenant.is_some() { Owner::Tenant } else { Owner::Operator }
}
