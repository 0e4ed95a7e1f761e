//! Keeps one credential's token: fetched once for everybody, renewed shortly before it expires or when it is refused.
//!
//! Whoever needs a token while none is held waits for the one fetch under way; while one is held nobody waits.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use switchyard_proto::auth::Scheme;
use switchyard_proto::id::ProviderId;
use switchyard_proto::secret::Secret;
use tokio::time::Instant;

use crate::background::Background;
use crate::config::snapshot::Provider;
use crate::upstream::sign::SignError;
use crate::upstream::sign::ask::Asker;
use crate::upstream::sign::source::{Fresh, Grant, Source, Trust};

/// How long before its end a token is replaced.
const EARLY: Duration = Duration::from_secs(300);
/// When to look again at what has no end of its own, such as a file.
const LOOK_AGAIN: Duration = Duration::from_secs(900);
/// After a failed fetch the next is tried only after this long, doubled with every further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A refused token is replaced ahead of time at most this often.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(30);
/// Cells that nobody asked for this long are dropped.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2 * 3600);

type Answer = Result<Arc<Grant>, SignError>;
type Flight = Shared<BoxFuture<'static, Answer>>;

/// One credential's token.
pub struct Cell {
    provider: ProviderId,
    scheme: Scheme,
    secret: Secret,
    trust: Trust,
    source: Source,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// The one fetch under way.
    flight: Option<Flight>,
    failed: Option<Failed>,
    renewed_at: Option<Instant>,
    asked_at: Option<Instant>,
}

struct Held {
    grant: Arc<Grant>,
    replace_at: Instant,
    ends_at: Option<Instant>,
}

struct Failed {
    error: SignError,
    pause: Duration,
    until: Instant,
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Held {
    fn new(Fresh { grant, good_for }: Fresh, now: Instant) -> Self {
        let keep = good_for.map_or(LOOK_AGAIN, |whole| whole - EARLY.min(whole / 2));
        let ends_at = good_for.map(|whole| now + whole);
        Self { grant: Arc::new(grant), replace_at: now + keep, ends_at }
    }
}

impl State {
    fn pauses(&self, now: Instant) -> Option<&SignError> {
        self.failed.as_ref().filter(|failed| now < failed.until).map(|failed| &failed.error)
    }

    /// The fetch under way; one that has landed (or whose task is gone) is none.
    fn flying(&self) -> Option<&Flight> {
        self.flight.as_ref().filter(|flight| flight.peek().is_none())
    }

    fn land(&mut self, fetched: Result<Fresh, SignError>, now: Instant) -> Answer {
        self.flight = None;
        match fetched {
            Ok(fresh) => {
                let held = Held::new(fresh, now);
                let grant = held.grant.clone();
                (self.held, self.failed) = (Some(held), None);
                Ok(grant)
            }
            Err(error) => {
                let pause = match &self.failed {
                    Some(before) => (before.pause * 2).min(LONGEST_PAUSE),
                    None => FIRST_PAUSE,
                };
                self.failed = Some(Failed { error: error.clone(), pause, until: now + pause });
                Err(error)
            }
        }
    }
}

impl Cell {
    pub fn new(provider: &Provider, secret: &Secret, trust: Trust, source: Source) -> Self {
        Self {
            provider: provider.id.clone(),
            scheme: provider.auth.clone(),
            secret: secret.clone(),
            trust,
            source,
            state: Mutex::default(),
        }
    }

    /// Whether this is the cell of exactly this credential.
    pub fn is_for(&self, scheme: &Scheme, secret: &Secret, trust: Trust) -> bool {
        self.scheme == *scheme && self.secret == *secret && self.trust == trust
    }

    pub fn is_forgotten(&self, now: Instant) -> bool {
        let asked_at = self.state().asked_at;
        asked_at.is_none_or(|asked_at| now.saturating_duration_since(asked_at) > FORGOTTEN_AFTER)
    }

    /// The token to sign with now.
    pub fn get(
        self: &Arc<Self>,
        now: Instant,
        asker: &Arc<Asker>,
        background: &Background,
    ) -> impl Future<Output = Answer> + use<> {
        let mut state = self.state();
        state.asked_at = Some(now);
        let held = state.held.as_ref().filter(|held| held.ends_at.is_none_or(|ends_at| now < ends_at));
        let next = match held.map(|held| (held.grant.clone(), now >= held.replace_at)) {
            Some((grant, is_due)) => {
                if is_due && state.flying().is_none() && state.pauses(now).is_none() {
                    state.flight = Some(self.fetch(asker, background));
                }
                Ok(Ok(grant))
            }
            None => match (state.flying().cloned(), state.pauses(now)) {
                (Some(flight), _) => Err(flight),
                (None, Some(error)) => Ok(Err(error.clone())),
                (None, None) => Err(state.flight.insert(self.fetch(asker, background)).clone()),
            },
        };
        drop(state);
        async move {
            match next {
                Ok(answer) => answer,
                Err(flight) => flight.await,
            }
        }
    }

    /// Another token than the one that was refused; None where one was asked for a moment ago already.
    pub fn renew(
        self: &Arc<Self>,
        used: &Arc<Grant>,
        now: Instant,
        asker: &Arc<Asker>,
        background: &Background,
    ) -> Option<Flight> {
        let mut state = self.state();
        let newer =
            state.held.as_ref().map(|held| held.grant.clone()).filter(|held| !Arc::ptr_eq(held, used));
        if let Some(newer) = newer {
            return Some(std::future::ready(Ok(newer)).boxed().shared());
        }
        if let Some(flight) = state.flying() {
            return Some(flight.clone());
        }
        let is_early = state
            .renewed_at
            .is_some_and(|renewed_at| now.saturating_duration_since(renewed_at) < BETWEEN_RENEWALS);
        if is_early || state.pauses(now).is_some() {
            return None;
        }
        state.renewed_at = Some(now);
        Some(state.flight.insert(self.fetch(asker, background)).clone())
    }

    /// Starts a fetch, which goes on without those who wait for it.
    fn fetch(self: &Arc<Self>, asker: &Arc<Asker>, background: &Background) -> Flight {
        let (cell, asker) = (self.clone(), asker.clone());
        let task = background.spawn(async move {
            let fetched = cell.source.fetch(&asker).await;
            if let Err(error) = &fetched {
                tracing::warn!(provider = %cell.provider, %error, "a credential could not be renewed");
            }
            cell.state().land(fetched, Instant::now())
        });
        let lost = || SignError::auth("the fetch of an access token was given up");
        task.map(move |landed| landed.unwrap_or_else(|_| Err(lost()))).boxed().shared()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(good_for: Option<u64>) -> Fresh {
        let grant = Grant::Token { token: Secret::new("t"), quota_project: None };
        Fresh { grant, good_for: good_for.map(Duration::from_secs) }
    }

    #[test]
    fn a_token_is_replaced_five_minutes_before_its_end_or_halfway() {
        let now = Instant::now();
        for (good_for, replace_after, ends_after) in [
            (Some(3600), 3300, Some(3600)),
            (Some(600), 300, Some(600)),
            (Some(400), 200, Some(400)),
            (Some(1), 0, Some(1)),
            (None, 900, None),
        ] {
            let held = Held::new(fresh(good_for), now);
            assert_eq!((held.replace_at - now).as_secs(), replace_after, "{good_for:?}");
            assert_eq!(held.ends_at.map(|at| (at - now).as_secs()), ends_after, "{good_for:?}");
        }
    }

    #[test]
    fn failures_pause_longer_and_longer_until_a_fetch_goes_well() {
        let (mut state, mut now) = (State::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let error = SignError::auth("no");
            assert_eq!(state.land(Err(error.clone()), now), Err(error.clone()));
            assert_eq!(state.pauses(now), Some(&error));
            now += Duration::from_secs(seconds);
            assert_eq!(state.pauses(now), None, "{seconds}");
        }
        state.land(Ok(fresh(Some(3600))), now).unwrap();
        state.land(Err(SignError::timeout("no")), now).unwrap_err();
        assert_eq!(state.pauses(now + FIRST_PAUSE), None);
        assert!(state.held.is_some(), "a failed renewal leaves what is held");
    }
}
