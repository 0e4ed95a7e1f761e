//! Who is attached to this control plane, and how far each of them is.
//!
//! Kept in memory and written to the store now and then, for other control planes and for people.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use switchyard_proto::v1;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::meta::Revision,
    store::instance::{Progress, Recalled, RefusalRow},
};

/// One session of a data plane.
#[derive(Debug)]
pub struct Attached {
    pub instance: String,
    pub epoch: i64,
    /// Cancelled when a newer session of the same instance begins.
    pub fenced: CancellationToken,
    recalls: Mutex<BTreeSet<(i16, String, String)>>,
    pub recalled: Notify,
    reached: Mutex<Reached>,
}

#[derive(Debug, Clone)]
struct Reached {
    last_seen: DateTime<Utc>,
    sent: u64,
    applied: u64,
    refused: Vec<RefusalRow>,
    apply_ms: u64,
    /// Differs from what the store has.
    is_dirty: bool,
}

impl Attached {
    /// A session that begins now.
    pub fn new(instance: String, epoch: i64, refused: Vec<RefusalRow>, now: DateTime<Utc>) -> Self {
        let reached = Reached { last_seen: now, sent: 0, applied: 0, refused, apply_ms: 0, is_dirty: false };
        Self {
            instance,
            epoch,
            fenced: CancellationToken::new(),
            recalls: Mutex::default(),
            recalled: Notify::new(),
            reached: Mutex::new(reached),
        }
    }

    fn reached(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A push was sent.
    pub fn sent(&self, revision: &Revision) {
        let mut reached = self.reached();
        reached.sent = revision.number;
        reached.is_dirty = true;
    }

    /// Whether this is what it answered to the last push.
    pub fn has_applied(&self, number: u64) -> bool {
        self.reached().applied == number
    }

    /// Accounts to ask back, each once.
    pub fn take_recalls(&self) -> Vec<v1::AccountPeriod> {
        let mut recalls = self.recalls.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *recalls)
            .into_iter()
            .map(|(kind, owner, period)| v1::AccountPeriod { kind: kind.into(), owner, period })
            .collect()
    }

    fn progress(&self, attached: bool) -> Progress {
        let reached = self.reached();
        Progress {
            id: self.instance.clone(),
            epoch: self.epoch,
            attached,
            last_seen: reached.last_seen,
            sent: reached.sent,
            applied: reached.applied,
            refused: reached.refused.clone(),
            apply_ms: reached.apply_ms,
        }
    }
}

/// What a data plane answered to a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub revision: u64,
    /// All that it refuses now.
    pub refused: Vec<RefusalRow>,
    pub apply_ms: u64,
    pub now: DateTime<Utc>,
}

/// All sessions of this control plane.
#[derive(Debug)]
pub struct Sessions {
    by_instance: Mutex<HashMap<String, Arc<Attached>>>,
    /// Grows whenever somebody applied something, or left.
    moved: watch::Sender<u64>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { by_instance: Mutex::default(), moved: watch::Sender::new(0) }
    }
}

impl Sessions {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Attached>>> {
        self.by_instance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session; of two of the same instance the one with the smaller epoch is fenced.
    pub fn attach(&self, session: Arc<Attached>) {
        let mut all = self.all();
        match all.get(&session.instance) {
            Some(other) if other.epoch > session.epoch => session.fenced.cancel(),
            other => {
                if let Some(older) = other {
                    older.fenced.cancel();
                }
                all.insert(session.instance.clone(), session);
            }
        }
    }

    /// Removes a session, unless a newer one has taken its place; answers what to write down of it.
    pub fn detach(&self, session: &Attached) -> Progress {
        let mut all = self.all();
        if all.get(&session.instance).is_some_and(|other| other.epoch == session.epoch) {
            all.remove(&session.instance);
        }
        drop(all);
        self.moved.send_modify(|count| *count += 1);
        session.progress(false)
    }

    /// Ends the sessions of an instance before this epoch.
    pub fn fence(&self, instance: &str, epoch: i64) {
        if let Some(session) = self.all().get(instance).filter(|session| session.epoch < epoch) {
            session.fenced.cancel();
        }
    }

    /// Asks everybody but one for idle money.
    pub fn recall(&self, recalled: &Recalled) {
        for session in self.all().values().filter(|session| session.instance != recalled.except) {
            let account = (recalled.kind, recalled.owner.clone(), recalled.period.clone());
            session.recalls.lock().unwrap_or_else(PoisonError::into_inner).insert(account);
            session.recalled.notify_one();
        }
    }

    /// A data plane answered to a push.
    pub fn applied(&self, session: &Attached, applied: Applied) {
        let mut reached = session.reached();
        reached.applied = applied.revision;
        reached.refused = applied.refused;
        reached.apply_ms = applied.apply_ms;
        reached.last_seen = applied.now;
        reached.is_dirty = true;
        drop(reached);
        self.moved.send_modify(|count| *count += 1);
    }

    /// Waits until every session has applied this revision.
    pub async fn all_applied(&self, revision: u64) {
        let mut moved = self.moved.subscribe();
        while self.all().values().any(|session| session.reached().applied < revision) {
            if moved.changed().await.is_err() {
                return;
            }
        }
    }

    /// What the store does not know yet.
    pub fn take_dirty(&self) -> Vec<Progress> {
        let take = |session: &Arc<Attached>| {
            let was_dirty = std::mem::take(&mut session.reached().is_dirty);
            was_dirty.then(|| session.progress(true))
        };
        self.all().values().filter_map(take).collect()
    }

    /// Everything, seen just now.
    pub fn touch_all(&self, now: DateTime<Utc>) -> Vec<Progress> {
        let touch = |session: &Arc<Attached>| {
            session.reached().last_seen = now;
            session.progress(true)
        };
        self.all().values().map(touch).collect()
    }

    /// How many sessions there are, and how far the one that is furthest behind is.
    pub fn reading(&self) -> (usize, Option<u64>) {
        let all = self.all();
        (all.len(), all.values().map(|session| session.reached().applied).min())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn session(instance: &str, epoch: i64) -> Arc<Attached> {
        Arc::new(Attached::new(instance.into(), epoch, Vec::new(), DateTime::UNIX_EPOCH))
    }

    fn applied(revision: u64) -> Applied {
        Applied { revision, refused: Vec::new(), apply_ms: 1, now: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn the_newer_session_fences_the_older_in_whatever_order_they_come() {
        let (older, newer) = (session("dp", 1), session("dp", 2));
        for pair in [[&older, &newer], [&newer, &older]] {
            let sessions = Sessions::default();
            for session in pair {
                sessions.attach(Arc::clone(session));
            }
            assert!(older.fenced.is_cancelled() && !newer.fenced.is_cancelled());
            assert_eq!(sessions.reading().0, 1);
        }
    }

    #[test]
    fn a_session_on_another_control_plane_fences_this_one() {
        let sessions = Sessions::default();
        let session = session("dp", 3);
        sessions.attach(Arc::clone(&session));
        sessions.fence("dp", 3);
        sessions.fence("other", 9);
        assert!(!session.fenced.is_cancelled());
        sessions.fence("dp", 4);
        assert!(session.fenced.is_cancelled());
    }

    #[test]
    fn recalls_go_to_everybody_else_once() {
        let sessions = Sessions::default();
        let (asker, holder) = (session("asker", 1), session("holder", 1));
        sessions.attach(Arc::clone(&asker));
        sessions.attach(Arc::clone(&holder));
        let recalled =
            Recalled { kind: 3, owner: "key_1".into(), period: "all".into(), except: "asker".into() };
        sessions.recall(&recalled);
        sessions.recall(&recalled);
        assert_eq!((asker.take_recalls().len(), holder.take_recalls().len()), (0, 1));
        assert_eq!(holder.take_recalls().len(), 0);
    }

    #[tokio::test]
    async fn a_revision_is_served_when_the_last_session_has_it_or_has_left() {
        let sessions = Sessions::default();
        let (one, two) = (session("one", 1), session("two", 1));
        sessions.attach(Arc::clone(&one));
        sessions.attach(Arc::clone(&two));
        let waiting = sessions.all_applied(7);
        tokio::pin!(waiting);
        sessions.applied(&one, applied(8));
        assert_eq!((&mut waiting).now_or_never(), None, "one lacks it");
        sessions.detach(&two);
        waiting.await;
    }
}
