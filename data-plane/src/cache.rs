//! The response cache of one data plane: whole answers in memory, by what was asked, for a while.
//!
//! Bounded in bytes. Of identical requests under way at once the first is asked, and the others wait for its answer. What
//! is the same and what may be kept is `extensions::caching`'s business; giving an answer is the pipeline's.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::{Cache as Store, DefaultLifecycle, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, Weighter};
use switchyard_proto::id::GenerationId;
use tokio::time::Instant;

use crate::model::response::ChatResponse;
use crate::settings;

/// What tells a request from others.
pub type Key = [u8; 32];

/// Bytes that an answer takes beside its text.
const OVERHEAD: u64 = 1_024;
/// Bytes of a usual answer: how many there may be is guessed from it.
const USUAL_BYTES: u64 = 4_096;

/// Answers that were given.
#[derive(Debug)]
pub struct Cache {
    store: Store<Key, Arc<Kept>, ByBytes>,
    /// Longest answer that is kept, in bytes.
    pub max_answer_bytes: usize,
}

/// A whole answer, and where it came from.
#[derive(Debug)]
pub struct Kept {
    pub answer: ChatResponse,
    /// The model that answered.
    pub model: String,
    /// The provider that served, by id and by display name.
    pub provider: (String, String),
    /// The generation that it was made for.
    pub source: GenerationId,
    /// Length of its text.
    pub bytes: usize,
    pub since: Instant,
    pub ttl: Duration,
}

impl Kept {
    /// How long ago it was made.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    fn is_over(&self) -> bool {
        self.age() >= self.ttl
    }
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Key, Arc<Kept>> for ByBytes {
    fn weight(&self, _: &Key, kept: &Arc<Kept>) -> u64 {
        kept.bytes as u64 + OVERHEAD
    }
}

/// What is there for a request.
pub enum Found<'a> {
    Hit(Arc<Kept>),
    /// Nothing: whoever holds the place is to ask, and others wait for it. Dropped empty, the next of them is.
    Miss(Place<'a>),
}

/// The place of an answer that is being made.
pub struct Place<'a>(Guard<'a>);

type Guard<'a> =
    PlaceholderGuard<'a, Key, Arc<Kept>, ByBytes, DefaultHashBuilder, DefaultLifecycle<Key, Arc<Kept>>>;

impl Place<'_> {
    /// Keeps an answer, and gives it to those who wait.
    pub fn keep(self, kept: Kept) {
        // A place that was cleared meanwhile takes nothing, and that is right.
        let _ = self.0.insert(Arc::new(kept));
    }
}

impl Cache {
    /// An empty one; without any bytes it keeps nothing, but identical requests still wait for each other.
    pub fn new(settings: &settings::Cache) -> Self {
        let max_bytes = settings.max_bytes as u64;
        let estimate = usize::try_from(max_bytes / USUAL_BYTES).unwrap_or(usize::MAX);
        Self {
            store: Store::with_weighter(estimate.max(16), max_bytes, ByBytes),
            max_answer_bytes: settings.max_answer_bytes,
        }
    }

    /// The answer to a request, or the place for it. Waits for one that is being made.
    pub async fn find(&self, key: Key, clears: bool) -> Found<'_> {
        if clears {
            self.store.remove(&key);
        }
        loop {
            match self.store.get_value_or_guard_async(&key).await {
                Err(guard) => return Found::Miss(Place(guard)),
                Ok(kept) if !kept.is_over() => return Found::Hit(kept),
                Ok(_) => drop(self.store.remove_if(&key, |kept| kept.is_over())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = [1; 32];

    fn cache(max_bytes: usize) -> Cache {
        Cache::new(&settings::Cache { max_bytes, max_answer_bytes: max_bytes })
    }

    fn kept(model: &str, bytes: usize, ttl: u64) -> Kept {
        Kept {
            answer: ChatResponse::default(),
            model: model.to_owned(),
            provider: (String::new(), String::new()),
            source: GenerationId::generate(),
            bytes,
            since: Instant::now(),
            ttl: Duration::from_secs(ttl),
        }
    }

    async fn place(cache: &Cache, key: Key) -> Place<'_> {
        match cache.find(key, false).await {
            Found::Miss(place) => place,
            Found::Hit(kept) => panic!("{kept:?} is there"),
        }
    }

    async fn hit(cache: &Cache, key: Key) -> Option<String> {
        match cache.find(key, false).await {
            Found::Hit(kept) => Some(kept.model.clone()),
            Found::Miss(_) => None,
        }
    }

    #[tokio::test]
    async fn an_answer_is_there_until_its_time_is_over() {
        let cache = cache(1 << 20);
        place(&cache, KEY).await.keep(kept("a", 10, 60));
        assert_eq!(hit(&cache, KEY).await.as_deref(), Some("a"));
        assert_eq!(hit(&cache, [2; 32]).await, None);
        let old = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        place(&cache, [3; 32]).await.keep(Kept { since: old, ..kept("a", 10, 61) });
        assert_eq!(hit(&cache, [3; 32]).await.as_deref(), Some("a"));
        place(&cache, [4; 32]).await.keep(Kept { since: old, ..kept("a", 10, 60) });
        assert_eq!(hit(&cache, [4; 32]).await, None);
    }

    #[tokio::test]
    async fn clearing_makes_the_next_one_ask() {
        let cache = cache(1 << 20);
        place(&cache, KEY).await.keep(kept("a", 10, 60));
        let Found::Miss(place) = cache.find(KEY, true).await else { panic!("it was cleared") };
        place.keep(kept("b", 10, 60));
        assert_eq!(hit(&cache, KEY).await.as_deref(), Some("b"));
    }

    #[tokio::test]
    async fn who_waits_gets_the_answer_or_the_place() {
        let cache = Arc::new(cache(1 << 20));
        let first = place(&cache, KEY).await;
        let mut tasks = tokio::task::JoinSet::new();
        let waiting = {
            let cache = cache.clone();
            tasks.spawn(async move { hit(&cache, KEY).await })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        first.keep(kept("a", 10, 60));
        assert_eq!(tasks.join_next().await.unwrap().unwrap().as_deref(), Some("a"));

        let other = [2; 32];
        let first = place(&cache, other).await;
        let same = cache.clone();
        tasks.spawn(async move { hit(&same, other).await });
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(
            tasks.join_next().await.unwrap().unwrap(),
            None,
            "the first had no answer, so the next is to ask"
        );
    }

    #[tokio::test]
    async fn what_is_kept_has_a_bound_in_bytes() {
        let cache = cache(1 << 20);
        for number in 0..=255 {
            place(&cache, [number; 32]).await.keep(kept("a", 64 << 10, 60));
        }
        assert!(cache.store.weight() <= 1 << 20, "{}", cache.store.weight());
        let none = self::cache(0);
        place(&none, KEY).await.keep(kept("a", 10, 60));
        assert_eq!(hit(&none, KEY).await, None);
    }
}
