//! How each endpoint has been doing lately: told by every attempt, read by every plan.
//!
//! Local first: [`Health::learn`] adds what the whole fleet knows where this instance has seen too little. Telling and
//! reading take no lock while all is well. Who sends deltas up and brings the fleet's view is `usage`'s and `config`'s
//! business.

pub mod breaker;
pub mod cell;
pub mod count;
pub mod delta;
pub mod directory;
pub mod fleet;
pub mod measured;
pub mod reading;
pub mod report;
pub mod ring;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use switchyard_proto::id::{CredentialId, EndpointId, ModelId};

pub use self::breaker::{Cause, Passage, Shut, State};
pub use self::fleet::FleetHealth;
pub use self::reading::{Band, Quantiles, Reading};
pub use self::report::{Outcome, Report};

use crate::routing::health::breaker::{Breaker, CREDENTIAL, Millis, Told};
use crate::routing::health::count::Count;
use crate::routing::health::delta::Delta;
use crate::routing::health::directory::{Directory, Map};
use crate::routing::health::fleet::View;

/// What is known of endpoints' health in this process.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    endpoints: Directory,
    credentials: Map<CredentialId, Credential>,
}

/// One credential of a provider.
#[derive(Debug)]
struct Credential(Breaker);

impl Default for Credential {
    fn default() -> Self {
        Self(Breaker::new(CREDENTIAL))
    }
}

impl Default for Health {
    fn default() -> Self {
        Self { started: Instant::now(), endpoints: Directory::default(), credentials: Map::default() }
    }
}

impl Health {
    /// Takes the outcome of one attempt that ended now.
    pub fn tell(&self, report: &Report<'_>) {
        self.tell_at(self.now(), report);
    }

    /// Takes whether every tool call of an answer is valid, where it has any and somebody looked. That is after its
    /// attempt was told of, since no caller waits for the look.
    pub fn tell_tools(&self, model: &ModelId, endpoint: &EndpointId, are_valid: bool) {
        self.endpoints.get(model, endpoint).tell_tools(self.now(), are_valid);
    }

    /// How an endpoint does now.
    pub fn reading(&self, model: &ModelId, endpoint: &EndpointId) -> Reading {
        self.reading_at(self.now(), model, endpoint)
    }

    /// Whether an endpoint belongs behind those that do well.
    #[cfg(test)]
    pub fn is_failing(&self, model: &ModelId, endpoint: &EndpointId) -> bool {
        self.reading(model, endpoint).is_failing()
    }

    /// Whether a request may be sent to an endpoint now; where that is to be found out and nobody does, this one is to. A
    /// limit of everybody's credential is not about a request with its own.
    pub fn pass(&self, model: &ModelId, endpoint: &EndpointId, has_own_credential: bool) -> Passage {
        let now = self.now();
        let pass = |cell: &cell::Cell| match has_own_credential {
            true => cell.breaker.pass_unlimited(now),
            false => cell.breaker.pass(now),
        };
        self.endpoints.read(model, endpoint, pass).unwrap_or(Passage::Free)
    }

    /// Whether nothing at all speaks against an endpoint: one that has to be found out is not.
    pub fn is_closed(&self, model: &ModelId, endpoint: &EndpointId) -> bool {
        let now = self.now();
        let is_closed = |cell: &cell::Cell| cell.breaker.state(now) == State::Closed;
        self.endpoints.read(model, endpoint, is_closed).unwrap_or(true)
    }

    /// Lets the next probe go, as this one was not sent or has its first answer.
    pub fn give_back(&self, model: &ModelId, endpoint: &EndpointId) {
        self.endpoints.read(model, endpoint, |cell| cell.breaker.give_back());
    }

    /// Whether the provider takes a credential, as far as is known: neither refused nor limited a moment ago.
    pub fn credential_usable(&self, credential: &CredentialId) -> bool {
        let now = self.now();
        let is_usable =
            |credential: &Credential| matches!(credential.0.state(now), State::Closed | State::HalfOpen);
        self.credentials.read(credential, is_usable).unwrap_or(true)
    }

    /// Takes the fleet's view in place of the one before.
    pub fn learn(&self, fleet: FleetHealth) {
        self.learn_at(self.now(), fleet);
    }

    /// What the fleet told last of an endpoint, while it is good.
    pub fn fleet(&self, model: &ModelId, endpoint: &EndpointId) -> Option<Arc<View>> {
        let now = self.now();
        let view = self.endpoints.read(model, endpoint, |cell| cell.fleet.load_full()).flatten();
        view.filter(|view| view.until > now)
    }

    /// Takes what was counted since the last call, for the control plane: endpoints of which there is news.
    pub fn deltas(&self) -> Vec<Delta> {
        let now = self.now();
        let cells = self.endpoints.all();
        cells.iter().filter_map(|(model, endpoint, cell)| Delta::take(now, model, endpoint, cell)).collect()
    }

    /// The breaker's state of every endpoint that was ever told of.
    pub fn states(&self) -> Vec<(ModelId, EndpointId, State)> {
        let now = self.now();
        let cells = self.endpoints.all().into_iter();
        cells.map(|(model, endpoint, cell)| (model, endpoint, cell.breaker.state(now))).collect()
    }

    /// Forgets endpoints that are no longer configured, and credentials that nothing speaks against any more.
    pub fn retain(&self, endpoints: impl Fn(&ModelId, &EndpointId) -> bool) {
        let now = self.now();
        self.endpoints.retain(endpoints);
        self.credentials.retain(|_, credential| credential.0.state(now) != State::Closed);
    }

    fn tell_at(&self, now: Millis, report: &Report<'_>) {
        self.tell_credential(now, report);
        if self.endpoints.read(report.model, report.endpoint, |cell| cell.tell(now, report)).is_none() {
            self.endpoints.get(report.model, report.endpoint).tell(now, report);
        }
    }

    /// A credential that was refused rests for minutes; one that was limited, where another can be used, until then.
    fn tell_credential(&self, now: Millis, report: &Report<'_>) {
        let Some(credential) = report.credential else { return };
        let told = match report.count() {
            Some(Count::Credential) => Told::Failed { ratio: false },
            Some(Count::RateLimited) if report.has_other_credentials => Told::Limited(report.retry_after),
            Some(Count::Ok) => Told::Well,
            _ => return,
        };
        let began = now.saturating_sub(millis(report.duration)).max(1);
        let tell = |credential: &Credential| credential.0.tell(began, now, report.seed, told);
        // Most credentials never fail, and need not be remembered.
        if self.credentials.read(credential, tell).is_none() && told != Told::Well {
            tell(&self.credentials.get(credential));
        }
    }

    fn reading_at(&self, now: Millis, model: &ModelId, endpoint: &EndpointId) -> Reading {
        self.endpoints.read(model, endpoint, |cell| cell.reading(now)).unwrap_or_default()
    }

    fn learn_at(&self, now: Millis, fleet: FleetHealth) {
        let until = now.saturating_add(millis(fleet.valid_for));
        let named: HashSet<_> =
            fleet.endpoints.iter().map(|health| (&health.model, &health.endpoint)).collect();
        for (model, endpoint, cell) in self.endpoints.all() {
            if !named.contains(&(&model, &endpoint)) {
                cell.fleet.store(None);
            }
        }
        for health in fleet.endpoints {
            let cell = self.endpoints.get(&health.model, &health.endpoint);
            cell.fleet.store(Some(Arc::new(View { until, health })));
        }
    }

    fn now(&self) -> Millis {
        millis(self.started.elapsed()).saturating_add(1)
    }
}

fn millis(time: Duration) -> Millis {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
