//! Where each conversation's prompt is cached: a bounded memory of this process, told by answers, asked by plans.
//!
//! A conversation is told by its session, else by its cache key, else by how it begins. What is kept are hashes, never
//! texts. Time is an argument.

mod opening;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use switchyard_proto::id::TenantId;

use crate::config::snapshot::Endpoint;
use crate::model::request::ChatRequest;
use crate::routing::inputs::Sticky;

/// Parts that are locked on their own; a power of two.
const SHARDS: usize = 16;
/// Conversations that each part remembers at least, and half of what it remembers at most.
const MOST: usize = 8_192;
/// How long providers keep a prompt that nobody asks for again.
const USUAL: Duration = Duration::from_secs(600);
/// The same, where it is Anthropic's model.
const SHORT: Duration = Duration::from_secs(300);
/// The same, where the request paid for it.
const LONG: Duration = Duration::from_secs(3_600);

/// The memory.
#[derive(Debug)]
pub struct Stickiness {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

/// Two generations: when the young one is full it becomes the old one, and what was not used meanwhile is forgotten.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<u64, Entry>,
    old: HashMap<u64, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    at: Sticky,
    until_ms: u64,
}

/// A conversation, as this process tells it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversation {
    hash: u64,
    /// It has a session, so it sticks without a cache hit.
    has_session: bool,
    /// It asked for its prompt to be kept for an hour.
    is_long: bool,
}

impl Default for Stickiness {
    fn default() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Stickiness {
    /// The conversation that a request belongs to; none where nothing tells. `session` is the request's own, body
    /// before header.
    pub fn conversation(
        &self,
        tenant: &TenantId,
        request: &ChatRequest,
        session: Option<&str>,
    ) -> Option<Conversation> {
        let model = request.model.as_ref().or_else(|| request.fallback_models.first())?;
        let mut hash = self.hasher.build_hasher();
        (tenant.as_str(), model).hash(&mut hash);
        match (session, &request.prompt_cache_key) {
            (Some(session), _) => ("session", session).hash(&mut hash),
            (None, Some(key)) => ("key", key).hash(&mut hash),
            (None, None) => opening::hash(request.messages.raw(), &mut hash)?,
        }
        let is_long = opening::asks_for_an_hour(request);
        Some(Conversation { hash: hash.finish(), has_session: session.is_some(), is_long })
    }

    /// Where the conversation's prompt is cached, as far as is known.
    pub fn hint(&self, conversation: Conversation, now_ms: u64) -> Option<Sticky> {
        let shard = self.shard(conversation);
        let entry = shard.young.get(&conversation.hash).or_else(|| shard.old.get(&conversation.hash))?;
        (entry.until_ms > now_ms).then(|| entry.at.clone())
    }

    /// Takes that an endpoint answered well, and how many tokens of the prompt came from its cache. Failures are not
    /// told: they neither keep a conversation somewhere nor move it.
    pub fn tell(&self, conversation: Conversation, endpoint: &Endpoint, cached_tokens: u64, now_ms: u64) {
        let prices = endpoint.tariff.at_ms(now_ms).prices(0);
        let is_cheaper = prices.cached_input < prices.input;
        if !is_cheaper || (cached_tokens == 0 && !conversation.has_session) {
            return;
        }
        let lifetime = lifetime(endpoint, conversation.is_long).as_millis();
        let until_ms = now_ms.saturating_add(u64::try_from(lifetime).unwrap_or(u64::MAX));
        let at = Sticky { model: endpoint.model.clone(), endpoint: endpoint.id.clone() };
        self.shard(conversation).put(conversation.hash, Entry { at, until_ms });
    }

    fn shard(&self, conversation: Conversation) -> MutexGuard<'_, Shard> {
        let shard = conversation.hash as usize & (SHARDS - 1);
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn put(&mut self, hash: u64, entry: Entry) {
        if self.young.len() >= MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, entry);
    }
}

/// How long an endpoint keeps a prompt from its last use on.
fn lifetime(endpoint: &Endpoint, is_long: bool) -> Duration {
    match endpoint.provider.adapter.name() {
        _ if is_long => LONG,
        "anthropic" | "bedrock" => SHORT,
        _ => USUAL,
    }
}

#[cfg(test)]
mod tests;
