//! What a plan is made from besides the request itself: time, budget, chosen headers, where the prompt is cached.

use serde_json::Value;
use switchyard_proto::clock;
use switchyard_proto::policy::PREFIX;

use crate::config::snapshot::{Endpoint, Snapshot, TenantCredential};
use crate::identity::Caller;
use crate::model::request::ChatRequest;
use crate::pipeline::Pipeline;
use crate::pipeline::charges::Payers;
use crate::pipeline::client::Client;
use crate::routing::health::{Health, Reading};
use crate::routing::inputs::{Inputs, Sticky};
use crate::routing::sticky::Conversation;

/// One request's situation, read once.
pub struct Situation<'a> {
    pub caller: &'a Caller,
    pub request: &'a ChatRequest,
    client: &'a Client,
    seed: u64,
    now_ms: u64,
    budget_left: Option<f64>,
    /// None where nothing tells the conversation from others.
    pub conversation: Option<Conversation>,
    sticky: Option<Sticky>,
}

impl<'a> Situation<'a> {
    /// Reads it.
    pub fn of(
        pipeline: &Pipeline,
        config: &Snapshot,
        caller: &'a Caller,
        request: &'a ChatRequest,
        client: &'a Client,
        seed: u64,
    ) -> Self {
        let now_ms = now_ms();
        let session = session(request, client);
        let conversation = pipeline.sticky.conversation(&caller.tenant.id, request, session);
        Self {
            caller,
            request,
            client,
            seed,
            now_ms,
            budget_left: budget_left(pipeline, config, caller, request),
            sticky: conversation.and_then(|conversation| pipeline.sticky.hint(conversation, now_ms)),
            conversation,
        }
    }

    /// As the plan takes it.
    pub fn inputs<'b>(&'b self, senses: &'b Senses<'b>) -> Inputs<'b> {
        Inputs {
            session: session(self.request, self.client),
            priority: priority(self.request, self.client),
            headers: &self.client.policy_headers,
            now_ms: self.now_ms,
            budget_left: self.budget_left,
            sticky: self.sticky.as_ref(),
            usable: senses.usable,
            ..Inputs::of(self.caller, self.request, self.seed, senses.reading)
        }
    }
}

/// How health is asked while a plan is made.
pub struct Senses<'a> {
    pub reading: &'a (dyn Fn(&Endpoint) -> Reading + Sync),
    pub usable: &'a (dyn Fn(&TenantCredential) -> bool + Sync),
}

/// Whether a tenant's own credential is taken, as far as is known.
pub fn usable(health: &Health, own: &TenantCredential) -> bool {
    own.secret.as_ref().is_none_or(|secret| {
        health.credential_usable(&switchyard_proto::id::CredentialId::new(secret.id.clone()))
    })
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    u64::try_from(clock::now().timestamp_millis()).unwrap_or_default()
}

/// The body's word before the header's.
fn session<'a>(request: &'a ChatRequest, client: &'a Client) -> Option<&'a str> {
    let named = |text: &&str| !text.is_empty();
    request.session_id.as_deref().or(Some(client.session.as_str())).filter(named)
}

/// `x-switchyard-priority`, else `metadata.priority`.
fn priority<'a>(request: &'a ChatRequest, client: &'a Client) -> Option<&'a str> {
    let header = Some(client.priority.as_str()).filter(|text| !text.is_empty());
    header.or_else(|| request.metadata.as_ref()?.get("priority").and_then(Value::as_str))
}

/// Read only where a policy may ask for it.
fn budget_left(
    pipeline: &Pipeline,
    config: &Snapshot,
    caller: &Caller,
    request: &ChatRequest,
) -> Option<f64> {
    let first = request.model.as_ref().or_else(|| request.fallback_models.first());
    let is_named = first.is_some_and(|model| model.starts_with(PREFIX));
    if !is_named && config.policies.matching(&caller.tenant.id).next().is_none() {
        return None;
    }
    let payers = Payers { caller, user: request.user.as_deref(), at: clock::now() };
    payers.limited().iter().filter_map(|account| pipeline.limits.left(account)).min_by(f64::total_cmp)
}
