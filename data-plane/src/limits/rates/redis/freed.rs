//! Concurrency slots that a request here just left and Redis still counts: the next request here may enter with one.
//!
//! So a caller that sends one request after another is never refused because news of the last one is under way.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

#[derive(Debug, Default)]
pub(super) struct Freed(Mutex<HashMap<String, Vec<String>>>);

impl Freed {
    pub fn add(&self, set: &str, slot: &str) {
        let mut sets = self.sets();
        match sets.get_mut(set) {
            Some(slots) => slots.push(slot.to_owned()),
            None => {
                sets.insert(set.to_owned(), vec![slot.to_owned()]);
            }
        }
    }

    /// A slot to enter with.
    pub fn take(&self, set: &str) -> Option<String> {
        let mut sets = self.sets();
        let slots = sets.get_mut(set)?;
        let slot = slots.pop();
        if slots.is_empty() {
            sets.remove(set);
        }
        slot
    }

    /// Whether the slot was still free: Redis may be told now.
    pub fn forget(&self, set: &str, slot: &str) -> bool {
        let mut sets = self.sets();
        let Some(slots) = sets.get_mut(set) else { return false };
        let Some(at) = slots.iter().position(|other| other == slot) else { return false };
        slots.swap_remove(at);
        if slots.is_empty() {
            sets.remove(set);
        }
        true
    }

    fn sets(&self) -> MutexGuard<'_, HashMap<String, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_slot_is_used_here_or_told_to_redis_never_both() {
        let freed = Freed::default();
        freed.add("s", "1");
        assert_eq!(freed.take("s"), Some("1".to_owned()));
        assert!(!freed.forget("s", "1"));
        freed.add("s", "2");
        assert!(freed.forget("s", "2"));
        assert_eq!(freed.take("s"), None);
    }
}
