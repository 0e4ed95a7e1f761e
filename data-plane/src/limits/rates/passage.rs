//! What attempts take of the rates of a model or a credential, and how it is given back.
//!
//! Shared by the attempts that it is for: the last one that ends corrects the tokens and frees the slot, whatever ended it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Admitted;

/// Room that was taken. Dropped before anything was sent, it is given back whole.
pub struct Passage {
    /// Present until it is dropped.
    admitted: Option<Box<dyn Admitted>>,
    is_used: AtomicBool,
    tokens: AtomicU64,
}

impl std::fmt::Debug for Passage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passage").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

impl Passage {
    pub(super) fn new(admitted: Box<dyn Admitted>) -> Self {
        Self { admitted: Some(admitted), is_used: AtomicBool::new(false), tokens: AtomicU64::new(0) }
    }

    /// An attempt is sent under it: the request counts from now on.
    pub(in crate::limits) fn enter(&self) {
        self.is_used.store(true, Ordering::Relaxed);
    }

    /// Adds what an attempt used.
    pub(in crate::limits) fn spend(&self, tokens: u64) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let Some(admitted) = self.admitted.take() else { return };
        match self.is_used.load(Ordering::Relaxed) {
            true => admitted.end(Some(self.tokens.load(Ordering::Relaxed))),
            false => admitted.undo(),
        }
    }
}
