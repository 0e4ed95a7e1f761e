//! A copy-on-write map in shards: cloning it copies pointers, changing it copies the shards it touches.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

const SHARDS: usize = 1024;

/// A map that is cheap to clone and cheap to change a little.
#[derive(Debug, Clone)]
pub struct Shards<K, V> {
    hasher: RandomState,
    shards: Vec<Arc<HashMap<K, V, RandomState>>>,
    len: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Default for Shards<K, V> {
    fn default() -> Self {
        let hasher = RandomState::new();
        let empty = Arc::new(HashMap::with_hasher(hasher.clone()));
        Self { shards: vec![empty; SHARDS], hasher, len: 0 }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    /// The value under this key.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.shards[self.shard(key)].get(key)
    }

    /// Puts a value in and returns the one that it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let shard = self.shard(&key);
        let before = Arc::make_mut(&mut self.shards[shard]).insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes a value out.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let shard = self.shard(key);
        if !self.shards[shard].contains_key(key) {
            return None;
        }
        let before = Arc::make_mut(&mut self.shards[shard]).remove(key);
        self.len -= usize::from(before.is_some());
        before
    }

    /// All values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.shards.iter().flat_map(|shard| shard.values())
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // The high bits: the maps themselves use the low ones.
        (self.hasher.hash_one(key) >> 54) as usize % SHARDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_does_not_see_later_changes() {
        let mut one = Shards::<String, u32>::default();
        one.insert("a".into(), 1);
        let mut two = one.clone();
        two.insert("a".into(), 2);
        two.insert("b".into(), 3);
        assert_eq!((one.get("a"), one.get("b"), one.len()), (Some(&1), None, 1));
        assert_eq!((two.get("a"), two.get("b"), two.len()), (Some(&2), Some(&3), 2));
        assert_eq!((two.remove("a"), two.remove("x"), two.len()), (Some(2), None, 1));
    }

    #[test]
    fn a_change_copies_only_the_shard_it_touches() {
        let mut one = Shards::<u32, u32>::default();
        (0..10_000).for_each(|key| {
            one.insert(key, key);
        });
        let mut two = one.clone();
        two.insert(5, 0);
        let copied = one.shards.iter().zip(&two.shards).filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
        assert_eq!(copied, 1);
        assert_eq!(two.values().count(), 10_000);
    }
}
