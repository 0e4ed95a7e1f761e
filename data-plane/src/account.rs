//! A tenant's own API (`/key`, `/keys`, `/credits`, …): passed to the control plane with the key that was presented.
//!
//! The control plane authenticates that key itself; nothing is decided or cached here.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use switchyard_proto::{code::ErrorCode, key::KeyHash, v1};

use crate::link::{CallError, Link};

const DEADLINE: Duration = Duration::from_secs(10);

/// The tenants' API behind the link.
#[derive(Clone, Debug)]
pub struct AccountApi {
    link: Arc<Link>,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Forward<'a> {
    pub method: &'a str,
    /// Below `/api/v1`, e.g. `/key`.
    pub path: &'a str,
    /// Without the question mark.
    pub query: &'a str,
    pub key: &'a KeyHash,
    pub body: Bytes,
}

/// Why there is no answer: never the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    #[error("the control plane is out of reach")]
    Away(#[source] CallError),
    #[error("the control plane cannot answer")]
    Failed(#[source] CallError),
}

impl ForwardError {
    /// The code that callers see.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Away(_) => ErrorCode::StoreUnavailable,
            Self::Failed(_) => ErrorCode::Server,
        }
    }
}

impl AccountApi {
    /// Calls go over this link.
    pub fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// Status and JSON of the control plane's answer.
    ///
    /// # Errors
    /// When it cannot be reached in time, or fails.
    pub async fn forward(&self, call: Forward<'_>) -> Result<(u16, Bytes), ForwardError> {
        let request = v1::ForwardRequest {
            method: call.method.to_owned(),
            path: call.path.to_owned(),
            query: call.query.to_owned(),
            key_sha256: call.key.0.to_vec(),
            body: call.body.into(),
        };
        let answer = self.link.forward(request, DEADLINE).await.map_err(|error| match error {
            CallError::Away | CallError::Lost(_) => ForwardError::Away(error),
            CallError::Refused(_) => ForwardError::Failed(error),
        })?;
        // An answer without a valid status is a fault of the other side.
        let status = u16::try_from(answer.status).ok().filter(|status| (100..=599).contains(status));
        Ok((status.unwrap_or(500), answer.body.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{background::Background, settings::FleetTls};

    #[tokio::test]
    async fn without_a_control_plane_the_answer_is_503() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let background = Background::new(tokio::runtime::Handle::current());
        let api = AccountApi::new(Link::new(&address, &FleetTls::default(), &background).unwrap());
        let key = KeyHash::of("k");
        let call = Forward { method: "GET", path: "/key", query: "", key: &key, body: Bytes::new() };
        let error = api.forward(call).await.unwrap_err();
        assert_eq!(error.code().status().as_u16(), 503);
    }
}
