//! THE request path, top to bottom: who, what, where, may they, do it, and one ending. Read this first.
//!
//! The pipeline owns the loop over candidates: reserve for this attempt, send, judge, take the next or commit. Each
//! request runs in a task of its own, so a caller who leaves never tears an attempt apart.

pub mod attempts;
pub mod cached;
pub mod cap;
pub mod charges;
pub mod client;
pub mod decision;
pub mod deliver;
pub mod ending;
pub mod explain;
pub mod extend;
pub mod flight;
pub mod heal;
pub mod hedge;
mod intake;
pub mod look;
pub mod media;
pub mod meter;
pub mod rates;
pub mod refusals;
pub mod reply;
pub mod reserve;
pub mod retries;
pub mod rules;
pub mod situation;
pub mod skips;
pub mod steps;
#[cfg(test)]
mod tests;
pub mod told;
pub mod trail;
pub mod verdict;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Response};
use serde_json::Value;
use switchyard_proto::code::ErrorCode;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::messages;
use crate::api::surface::Surface;
use crate::cache::Cache;
use crate::config::Current;
use crate::config::lookup::Lookup;
use crate::config::snapshot::{Endpoint, Snapshot};
use crate::drift::Drift;
use crate::error::RequestError;
use crate::identity::Caller;
use crate::journal::Journal;
use crate::limits::Limits;
use crate::model::request::ChatRequest;
use crate::pipeline::cached::Capture;
use crate::pipeline::client::Client;
use crate::pipeline::extend::Extended;
use crate::pipeline::refusals::Refusals;
use crate::pipeline::reply::{Reply, ReplyBody, Wait};
use crate::pipeline::retries::Budgets;
use crate::pipeline::situation::{Senses, Situation};
use crate::pipeline::trail::{AttemptNote, Trail};
use crate::price;
use crate::routing::health::{Health, Reading};
use crate::routing::inputs::Inputs;
use crate::routing::plan::{self, Candidate, Plan, PlanError};
use crate::routing::sticky::{Conversation, Stickiness};
use crate::settings::Settings;
use crate::upstream::fetch::Fetcher;
use crate::upstream::http::HttpClient;
use crate::upstream::sign::Signer;

/// What one request thread carries requests with. All but the client is shared between threads.
pub struct Pipeline {
    pub config: Arc<Current>,
    pub health: Arc<Health>,
    pub drift: Arc<Drift>,
    pub limits: Arc<Limits>,
    pub journal: Arc<Journal>,
    pub lookup: Arc<Lookup>,
    pub client: HttpClient,
    pub fetcher: Fetcher,
    pub signer: Arc<Signer>,
    pub sticky: Arc<Stickiness>,
    /// By provider.
    pub retries: Arc<Budgets>,
    /// By stage of a policy.
    pub hedges: Arc<Budgets>,
    pub refusals: Arc<Refusals>,
    pub cache: Arc<Cache>,
    pub settings: Arc<Settings>,
    /// Shutdown waits for these.
    pub tasks: TaskTracker,
    /// Cancelled when they have been waited for long enough: each ends at once, in good order.
    pub closing: CancellationToken,
}

/// A request as the server received it: the head is read, the body is not.
#[derive(Debug)]
pub struct Inbound {
    pub head: HeaderMap,
    pub body: axum::body::Body,
    pub address: Option<IpAddr>,
}

/// What every candidate of one request is tried with.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub caller: &'a Caller,
    pub request: &'a ChatRequest,
    pub plan: &'a Plan,
    /// What the plan was made from.
    pub inputs: &'a Inputs<'a>,
    /// None where nothing tells it from others.
    pub conversation: Option<Conversation>,
    pub until: Instant,
    /// The answer is to be repaired where it is no JSON.
    pub heals: bool,
    /// Takes the answer, where it is to be kept.
    pub capture: Option<&'a Capture>,
}

impl Pipeline {
    /// Carries one call of chat in any dialect, in a task of its own.
    pub async fn chat(self: Arc<Self>, surface: Surface, inbound: Inbound) -> Response<ReplyBody> {
        let client = Client::of(&inbound.head, inbound.address, &self.settings.routing.policy_headers);
        let trail = Trail::begin(surface, client, self.config.load().revision.clone());
        let beat = self.settings.requests.keep_alive_after;
        let (id, head) = (trail.id, head(&trail));
        let (reply, pending) = reply::pair(head, surface, beat, self.closing.clone());
        let pipeline = self.clone();
        self.tasks.spawn(async move { pipeline.carry(inbound, reply, trail).await });
        pending.await.unwrap_or_else(|_| ending::lost(surface, id))
    }

    /// Serves, whatever happens, and ends exactly once.
    async fn carry(&self, inbound: Inbound, mut reply: Reply, mut trail: Trail) {
        let result = guarded(self.serve(inbound, &mut reply, &mut trail)).await;
        ending::finish(self, reply, trail, result).await;
    }

    /// One client call, start to finish.
    async fn serve(
        &self,
        inbound: Inbound,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<(), RequestError> {
        let config = self.current()?;
        let caller = self.identify(&config, &inbound.head, inbound.address).await?; // who
        trail.caller = Some(caller.clone());
        let body = self.collect(inbound).await?;
        let request = trail.surface.decode(body)?; // what
        trail.asks(&request);
        let names = request.names.clone();
        let served = match extend::extend(&config, &caller, request, trail) {
            Ok(asked) => self.fulfil(&config, &caller, &asked, reply, trail).await,
            Err(error) => Err(error),
        };
        served.map_err(|error| error.named(&names))
    }

    /// Where, may they, do it.
    async fn fulfil(
        &self,
        config: &Snapshot,
        caller: &Caller,
        asked: &Extended,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<(), RequestError> {
        let (request, client) = (&asked.request, trail.client.clone());
        let situation = Situation::of(self, config, caller, request, &client, trail.id.seed());
        let (reading, usable) = (|at: &_| self.reading(at), |own: &_| situation::usable(&self.health, own));
        let senses = Senses { reading: &reading, usable: &usable };
        let inputs = situation.inputs(&senses);
        let planned = plan::plan(config, &inputs); // where, and why
        let plan = asked.told(planned.map_err(|refusal| decision::refused(trail, &inputs, refusal))?);
        trail.plan = Some(plan.clone());
        let admitted = reserve::admit(self, caller, request, reply).await; // may they, right now
        let permit = admitted.inspect_err(|_| decision::keep(trail, &inputs, &plan))?;
        let job = Job {
            caller,
            request,
            plan: &plan,
            inputs: &inputs,
            conversation: situation.conversation,
            until: self.until(request, &plan),
            heals: asked.heals,
            capture: None,
        };
        if self.keeps_decision(plan.seed) {
            decision::keep(trail, &inputs, &plan);
        }
        reply.rest();
        let done = self.answer(&job, asked.cache, permit.as_ref(), reply, trail).await; // do it
        if done.is_err() {
            decision::keep(trail, &inputs, &plan);
        }
        // What was produced counts against token rates, also where it broke off; without any the guess is given back.
        if let Some(permit) = permit.filter(|_| done.is_ok() || trail.spent_tokens > 0) {
            permit.settle(trail.spent_tokens);
        }
        done
    }

    /// The plan of a request that is not sent.
    ///
    /// # Errors
    /// What the request itself would be answered without being sent anywhere.
    pub async fn explain(&self, inbound: Inbound) -> Result<Value, RequestError> {
        let client = Client::of(&inbound.head, inbound.address, &self.settings.routing.policy_headers);
        let surface = Surface::ChatCompletions;
        let mut trail = Trail::begin(surface, client, self.config.load().revision.clone());
        let config = self.current()?;
        let caller = self.identify(&config, &inbound.head, inbound.address).await?;
        let body = self.collect(inbound).await?;
        let asked = extend::extend(&config, &caller, surface.decode(body)?, &mut trail)?;
        let (request, client) = (&asked.request, trail.client.clone());
        let situation = Situation::of(self, &config, &caller, request, &client, trail.id.seed());
        let (reading, usable) = (|at: &_| self.reading(at), |own: &_| situation::usable(&self.health, own));
        let senses = Senses { reading: &reading, usable: &usable };
        let inputs = situation.inputs(&senses);
        let plan = asked.told(plan::plan(&config, &inputs)?);
        Ok(decision::explained(&plan, &inputs, &trail))
    }

    /// How many tokens a prompt has in Anthropic's dialect: an estimate, without a call.
    ///
    /// # Errors
    /// What the request itself would be answered without being sent anywhere.
    pub async fn count(&self, inbound: Inbound) -> Result<Bytes, RequestError> {
        let client = Client::of(&inbound.head, inbound.address, &self.settings.routing.policy_headers);
        let config = self.current()?;
        let caller = self.identify(&config, &inbound.head, inbound.address).await?;
        let request = messages::decode(self.collect(inbound).await?)?;
        let mut trail = Trail::begin(Surface::Messages, client, config.revision.clone());
        let names = request.names.clone();
        let asked = extend::extend(&config, &caller, request, &mut trail);
        let asked = asked.map_err(|error| error.named(&names))?;
        let request = &asked.request;
        let situation = Situation::of(self, &config, &caller, request, &trail.client, 0);
        let (reading, usable) = (|at: &_| self.reading(at), |own: &_| situation::usable(&self.health, own));
        match plan::plan(&config, &situation.inputs(&Senses { reading: &reading, usable: &usable })) {
            // Who could serve a prompt does not matter for its length, and it may be too long for all.
            Ok(_) | Err(PlanError::Empty { .. } | PlanError::NoStage { .. }) => {}
            Err(refusal) => return Err(RequestError::from(refusal).named(&names)),
        }
        // It counts as a request, without a token.
        reserve::admit_for(self, &caller, 0).await?;
        Ok(messages::count(price::prompt_estimate(&request.facts)))
    }

    fn reading(&self, endpoint: &Endpoint) -> Reading {
        self.health.reading(&endpoint.model, &endpoint.id)
    }

    /// Whether the decision is kept of a request that goes well.
    fn keeps_decision(&self, seed: u64) -> bool {
        let share = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as f64 / f64::from(u32::MAX);
        self.settings.governance && share < self.settings.routing.keep_decisions
    }

    /// The request's last moment.
    fn until(&self, request: &ChatRequest, plan: &Plan) -> Instant {
        let of_policy = plan.policy.as_ref().and_then(|policy| policy.config.deadlines.as_ref()?.total_ms);
        let of_policy = of_policy.filter(|ms| *ms > 0).map(Duration::from_millis);
        let asked = request.provider.deadlines.total;
        let within =
            [asked, of_policy].into_iter().flatten().fold(self.settings.deadlines.total, Duration::min);
        Instant::now() + within
    }
}

/// What a request comes to; a panic is a fault of ours, and what was held when it came is settled as it unwinds.
async fn guarded(serving: impl Future<Output = Result<(), RequestError>>) -> Result<(), RequestError> {
    let served = AssertUnwindSafe(serving).catch_unwind().await;
    served.unwrap_or_else(|_| Err(RequestError::internal("a panic while serving")))
}

/// How a caller is kept company while this candidate is tried or read.
fn wait(job: &Job<'_>, candidate: &Candidate) -> Wait {
    let streaming = job.request.stream;
    Wait { streaming, leaves_with_caller: streaming && candidate.endpoint.config.cancel_stops_billing }
}

fn note(
    (number, candidate): (u32, &Candidate),
    begun: Moment,
    outcome: &'static str,
    status: u16,
    code: Option<ErrorCode>,
) -> AttemptNote {
    AttemptNote {
        number,
        endpoint: candidate.endpoint.clone(),
        started: begun,
        duration: begun.elapsed(),
        outcome,
        status,
        code,
        cost: switchyard_proto::price::Cost::default(),
        charged: switchyard_proto::money::NanoUsd::ZERO,
        reason: None,
        stage: String::new(),
        is_byok: candidate.is_byok(),
    }
}

/// Headers of every answer, error or not.
fn head(trail: &Trail) -> HeaderMap {
    let id = HeaderValue::from_str(&trail.id.to_string()).expect("ids are ASCII");
    let mut head = HeaderMap::with_capacity(8);
    head.insert("x-generation-id", id.clone());
    for name in trail.surface.id_headers() {
        head.insert(*name, id.clone());
    }
    head
}
