//! What comes in: the config to serve from, who calls, and the body, read only once it is known who.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use switchyard_proto::clock;
use switchyard_proto::code::ErrorCode;
use tokio::time::timeout;

use crate::config::snapshot::Snapshot;
use crate::error::RequestError;
use crate::identity::{self, Caller, IdentifyError};
use crate::pipeline::{Inbound, Pipeline};

impl Pipeline {
    /// The config that the request is served from, to its end.
    ///
    /// # Errors
    /// 503 where it is too old, or there is none yet.
    pub fn current(&self) -> Result<Arc<Snapshot>, RequestError> {
        if !self.config.is_servable() {
            let text = "This instance has no config that is new enough to serve from.";
            return Err(RequestError::new(ErrorCode::ConfigUnavailable, text));
        }
        Ok(self.config.load())
    }

    /// The snapshot first; a well-formed key that it does not know is looked up once at the control plane.
    ///
    /// # Errors
    /// 401 and 403 by the key; 503 where nobody can be asked.
    pub async fn identify(
        &self,
        config: &Snapshot,
        head: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<Caller, RequestError> {
        let now = clock::now();
        match identity::identify(config, head, now) {
            Err(IdentifyError::Unknown(hash)) => {
                let caller = self.lookup.find(hash, address).await?;
                Ok(identity::check(caller, now)?)
            }
            known => Ok(known?),
        }
    }

    /// Reads the body, whose size and time are bounded.
    pub(super) async fn collect(&self, inbound: Inbound) -> Result<Bytes, RequestError> {
        let limits = &self.settings.requests;
        let most = limits.max_body_bytes;
        let too_large = || {
            let text = format!("The request body is larger than {most} bytes.");
            RequestError::new(ErrorCode::PayloadTooLarge, text)
        };
        let announced = inbound.head.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if announced.and_then(|value| value.parse::<usize>().ok()).is_some_and(|length| length > most) {
            return Err(too_large());
        }
        match timeout(limits.read_timeout, Limited::new(inbound.body, most).collect()).await {
            Err(_) => {
                let text = "The request body did not arrive in time.";
                Err(RequestError::new(ErrorCode::RequestTimeout, text))
            }
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(RequestError::new(ErrorCode::InvalidRequest, "The request body broke off.")),
            Ok(Ok(body)) => Ok(body.to_bytes()),
        }
    }
}
