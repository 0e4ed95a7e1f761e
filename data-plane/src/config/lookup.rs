//! Looks up a key that the snapshot does not know, once, at the control plane.
//!
//! A key made a moment ago may not have arrived yet; only the control plane can say that a key does not exist. Calls
//! for the same key are one call, "no" is remembered for five seconds, and one address cannot ask without end.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use switchyard_proto::code::ErrorCode;
use switchyard_proto::key::KeyHash;
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{LookupKeyRequest, Resource};
use tokio::sync::OnceCell;

use crate::config::compile::compile;
use crate::config::snapshot::{Revision, Snapshot};
use crate::error::RequestError;
use crate::identity::{Caller, IdentifyError};
use crate::link::Link;

/// How long "there is no such key" is believed.
const NEGATIVE: Duration = Duration::from_secs(5);
/// Longest wait for the control plane.
const WAIT: Duration = Duration::from_secs(1);
/// Lookups that one address may cause in [`NEGATIVE`].
const PER_ADDRESS: u32 = 50;
/// Entries after which old ones are swept out.
const SWEEP: usize = 10_000;

/// Asks the control plane for keys.
#[derive(Debug)]
pub struct Lookup {
    link: Arc<Link>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: HashMap<KeyHash, Asked>,
    addresses: HashMap<IpAddr, (Instant, u32)>,
}

#[derive(Debug, Clone)]
struct Asked {
    at: Instant,
    answer: Arc<OnceCell<Answer>>,
}

impl Asked {
    /// How long the answer counts; while it is under way, as long as a "no".
    fn lifetime(&self) -> Duration {
        match self.answer.get() {
            Some(Answer::Unreachable) => WAIT,
            _ => NEGATIVE,
        }
    }
}

#[derive(Debug, Clone)]
enum Answer {
    Known(Caller),
    Nobody,
    Unreachable,
}

impl Lookup {
    /// Asks over this link.
    pub fn new(link: Arc<Link>) -> Self {
        Self { link, state: Mutex::default() }
    }

    /// The caller that presents this key.
    ///
    /// # Errors
    /// 401 only where the control plane confirms that there is no such key; 503 where it cannot be asked.
    pub async fn find(&self, hash: KeyHash, address: Option<IpAddr>) -> Result<Caller, RequestError> {
        let asked = self.enter(hash, address)?;
        let answer = asked.get_or_init(|| self.ask(hash)).await.clone();
        match answer {
            Answer::Known(caller) => {
                self.forget(hash);
                Ok(caller)
            }
            Answer::Nobody => Err(IdentifyError::Unknown(hash).into()),
            // Kept for a moment, so that a caller's retries are not questions of their own.
            Answer::Unreachable => Err(unknown_here()),
        }
    }

    /// The one question about this key, new or under way.
    fn enter(&self, hash: KeyHash, address: Option<IpAddr>) -> Result<Arc<OnceCell<Answer>>, RequestError> {
        let now = Instant::now();
        let mut state = self.state.lock().expect("nobody panics while holding it");
        state.sweep(now);
        if let Some(asked) = state.asked.get(&hash).filter(|asked| now - asked.at < asked.lifetime()) {
            return Ok(asked.answer.clone());
        }
        if let Some(address) = address {
            let (since, count) = state.addresses.entry(address).or_insert((now, 0));
            if now - *since >= NEGATIVE {
                (*since, *count) = (now, 0);
            }
            *count += 1;
            if *count > PER_ADDRESS {
                let text = "Too many unknown API keys from this address.";
                return Err(RequestError::new(ErrorCode::RateLimitExceeded, text).retry_after(NEGATIVE));
            }
        }
        let answer = Arc::new(OnceCell::new());
        state.asked.insert(hash, Asked { at: now, answer: answer.clone() });
        Ok(answer)
    }

    fn forget(&self, hash: KeyHash) {
        self.state.lock().expect("nobody panics while holding it").asked.remove(&hash);
    }

    async fn ask(&self, hash: KeyHash) -> Answer {
        let request = LookupKeyRequest { sha256: hash.0.to_vec() };
        let mut client = self.link.config_client();
        match tokio::time::timeout(WAIT, client.lookup_key(request)).await {
            Ok(Ok(response)) => {
                let found = response.into_inner();
                match (found.key, found.tenant) {
                    (Some(key), Some(tenant)) => {
                        caller(key, tenant).map_or(Answer::Unreachable, Answer::Known)
                    }
                    _ => Answer::Nobody,
                }
            }
            Ok(Err(_)) | Err(_) => Answer::Unreachable,
        }
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        if self.asked.len() + self.addresses.len() < SWEEP {
            return;
        }
        self.asked.retain(|_, asked| now - asked.at < NEGATIVE);
        self.addresses.retain(|_, (since, _)| now - *since < NEGATIVE);
    }
}

/// Compiles a looked-up key the way the stream's are compiled.
fn caller(
    key: switchyard_proto::v1::KeyConfig,
    tenant: switchyard_proto::v1::TenantConfig,
) -> Option<Caller> {
    let resource = |body| Resource { revision: 0, body: Some(body) };
    let resources = vec![resource(Body::Tenant(tenant)), resource(Body::Key(key))];
    let snapshot = compile(&Snapshot::default(), true, resources, Revision::default()).snapshot;
    let key = snapshot.keys.values().next()?.clone();
    let tenant = snapshot.tenants.values().next()?.clone();
    Some(Caller { tenant, key })
}

fn unknown_here() -> RequestError {
    let text =
        "This instance does not know the API key yet and cannot ask for it at the moment. Try again shortly.";
    RequestError::new(ErrorCode::KeyUnknownHere, text).retry_after(Duration::from_secs(1))
}
