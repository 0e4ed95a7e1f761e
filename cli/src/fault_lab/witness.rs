//! What the lab has seen: counters, and the requests themselves where recording is on. Tests read it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::sync::Notify;

use crate::fault_lab::bill::{Ledger, Tab};

/// A request as it arrived.
#[derive(Clone)]
pub struct Received {
    pub method: Method,
    /// With the query, if there was one.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Prints no header values and no body: both may hold secrets.
impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.keys().map(http::HeaderName::as_str).collect();
        let mut printed = f.debug_struct("Received");
        printed.field("method", &self.method).field("path", &self.path).field("headers", &headers);
        printed.field("body_bytes", &self.body.len()).finish()
    }
}

/// How often things have happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub connections: u64,
    /// Requests read to their end, of any kind.
    pub requests: u64,
    /// Calls in which the lab did all that its script said, breaks included.
    pub finished: u64,
    /// Calls whose client went away before that.
    pub cancelled: u64,
}

/// Waiting for a count took too long.
#[derive(Debug, thiserror::Error)]
#[error("waited {timeout:?} for {wanted} {what}, saw {counts:?}")]
pub struct Waited {
    what: &'static str,
    wanted: u64,
    counts: Counts,
    timeout: Duration,
}

pub struct Witness {
    pub ledger: Ledger,
    connections: AtomicU64,
    requests: AtomicU64,
    finished: AtomicU64,
    cancelled: AtomicU64,
    changed: Notify,
    /// How many requests are kept, the newest; 0 switches recording off.
    keep: usize,
    received: Mutex<VecDeque<Received>>,
}

impl Witness {
    /// `keep` requests and `keep_calls` calls are kept one by one.
    pub fn new(keep: usize, keep_calls: usize) -> Self {
        Self {
            ledger: Ledger::new(keep_calls),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            changed: Notify::new(),
            keep,
            received: Mutex::new(VecDeque::new()),
        }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            connections: self.connections.load(Ordering::Acquire),
            requests: self.requests.load(Ordering::Acquire),
            finished: self.finished.load(Ordering::Acquire),
            cancelled: self.cancelled.load(Ordering::Acquire),
        }
    }

    pub fn received(&self) -> Vec<Received> {
        self.lock().iter().cloned().collect()
    }

    pub fn forget_received(&self) {
        self.lock().clear();
    }

    /// Waits until `pick` of the counts is at least `wanted`.
    pub async fn wait_for(
        &self,
        what: &'static str,
        pick: fn(&Counts) -> u64,
        wanted: u64,
        timeout: Duration,
    ) -> Result<(), Waited> {
        let reached = async {
            loop {
                // Registered before looking, so that no change is missed.
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if pick(&self.counts()) >= wanted {
                    return;
                }
                changed.await;
            }
        };
        let waited = |_| Waited { what, wanted, counts: self.counts(), timeout };
        tokio::time::timeout(timeout, reached).await.map_err(waited)
    }

    pub fn saw_connection(&self) {
        self.saw(&self.connections);
    }

    /// Counts a request and keeps what `received` makes of it, if recording is on.
    pub fn saw_request(&self, received: impl FnOnce() -> Received) {
        if self.keep > 0 {
            let mut kept = self.lock();
            if kept.len() == self.keep {
                kept.pop_front();
            }
            kept.push_back(received());
        }
        self.saw(&self.requests);
    }

    /// Books what a call came to; before its end is counted, so that whoever waits for that finds it.
    pub fn saw_bill(&self, id: String, tab: Option<Tab>) {
        self.ledger.book(id, tab);
    }

    pub fn saw_finished(&self) {
        self.saw(&self.finished);
    }

    pub fn saw_cancelled(&self) {
        self.saw(&self.cancelled);
    }

    fn saw(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Received>> {
        self.received.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
