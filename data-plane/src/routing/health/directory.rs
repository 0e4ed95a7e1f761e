//! Cells by name, found without a lock and without making a name: the map is copied when one is added, which is rare.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use arc_swap::ArcSwap;
use switchyard_proto::id::{EndpointId, ModelId};

use crate::routing::health::cell::Cell;

/// Values by a key that are only ever added, but for a sweep.
#[derive(Debug)]
pub struct Map<K, V>(ArcSwap<HashMap<K, Arc<V>>>);

/// Endpoints' cells.
#[derive(Debug, Default)]
pub struct Directory(Map<ModelId, Map<EndpointId, Cell>>);

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self(ArcSwap::from_pointee(HashMap::new()))
    }
}

impl<K: Clone + Eq + Hash, V: Default> Map<K, V> {
    /// What is read of the value, if it is there.
    pub fn read<Q: Eq + Hash + ?Sized, T>(&self, key: &Q, read: impl FnOnce(&V) -> T) -> Option<T>
    where
        K: Borrow<Q>,
    {
        self.0.load().get(key).map(|value| read(value))
    }

    /// The value, made if it is not there.
    pub fn get(&self, key: &K) -> Arc<V> {
        if let Some(value) = self.0.load().get(key) {
            return value.clone();
        }
        let made = Arc::new(V::default());
        self.0.rcu(|held| {
            let mut map = HashMap::clone(held);
            map.entry(key.clone()).or_insert_with(|| made.clone());
            map
        });
        self.0.load().get(key).cloned().unwrap_or(made)
    }

    /// All that is there.
    pub fn all(&self) -> Vec<(K, Arc<V>)> {
        self.0.load().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Forgets what is not to be kept.
    pub fn retain(&self, keep: impl Fn(&K, &V) -> bool) {
        if self.0.load().iter().all(|(key, value)| keep(key, value)) {
            return;
        }
        self.0.rcu(|held| {
            let kept = held.iter().filter(|(key, value)| keep(key, value));
            kept.map(|(key, value)| (key.clone(), value.clone())).collect::<HashMap<_, _>>()
        });
    }
}

impl Directory {
    /// What is read of an endpoint's cell, if it has one.
    pub fn read<T>(
        &self,
        model: &ModelId,
        endpoint: &EndpointId,
        read: impl FnOnce(&Cell) -> T,
    ) -> Option<T> {
        self.0.read(model, |endpoints| endpoints.read(endpoint, read)).flatten()
    }

    /// An endpoint's cell.
    pub fn get(&self, model: &ModelId, endpoint: &EndpointId) -> Arc<Cell> {
        match self.0.read(model, |endpoints| endpoints.get(endpoint)) {
            Some(cell) => cell,
            None => self.0.get(model).get(endpoint),
        }
    }

    /// All cells with their names.
    pub fn all(&self) -> Vec<(ModelId, EndpointId, Arc<Cell>)> {
        let of = |(model, endpoints): (ModelId, Arc<Map<EndpointId, Cell>>)| {
            endpoints.all().into_iter().map(move |(endpoint, cell)| (model.clone(), endpoint, cell))
        };
        self.0.all().into_iter().flat_map(of).collect()
    }

    /// Forgets endpoints that are not to be kept.
    pub fn retain(&self, keep: impl Fn(&ModelId, &EndpointId) -> bool) {
        self.0.retain(|model, endpoints| {
            endpoints.retain(|endpoint, _| keep(model, endpoint));
            !endpoints.0.load().is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_ask_for_a_new_endpoint_share_one_cell() {
        let directory = Directory::default();
        let (model, endpoint) = (ModelId::new("a/m"), EndpointId::new("p"));
        let cells: Vec<_> = std::thread::scope(|scope| {
            let ask = || directory.get(&model, &endpoint);
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(cells.iter().all(|cell| Arc::ptr_eq(cell, &cells[0])));
        assert_eq!(directory.all().len(), 1);
    }

    #[test]
    fn what_is_not_kept_is_forgotten() {
        let directory = Directory::default();
        let (model, other) = (ModelId::new("a/m"), ModelId::new("a/n"));
        for endpoint in ["p", "q"] {
            directory.get(&model, &EndpointId::new(endpoint));
        }
        directory.get(&other, &EndpointId::new("p"));
        directory.retain(|model, endpoint| model.as_str() == "a/m" && endpoint.as_str() == "q");
        let left: Vec<_> =
            directory.all().into_iter().map(|(model, endpoint, _)| (model, endpoint)).collect();
        assert_eq!(left, [(model, EndpointId::new("q"))]);
    }
}
