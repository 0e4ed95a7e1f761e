//! THE request path, top to bottom: who, what, where, may they, do it, and one ending. Read this first.
//!
//! The pipeline owns the loop over candidates: reserve for this attempt, send, judge, take the next or commit. Each
//! request runs in a task of its own, so a caller who leaves never tears an attempt apart.

pub mod client;
pub mod deliver;
pub mod ending;
pub mod explain;
pub mod media;
pub mod meter;
pub mod reply;
pub mod reserve;
pub mod told;
pub mod trail;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant as Moment;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use switchyard_proto::clock;
use switchyard_proto::code::ErrorCode;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::api::openai_chat;
use crate::config::Current;
use crate::config::lookup::Lookup;
use crate::config::snapshot::{Endpoint, Snapshot};
use crate::drift::Drift;
use crate::error::RequestError;
use crate::identity::{self, Caller, IdentifyError};
use crate::journal::Journal;
use crate::limits::{Hold, Limits, Permit};
use crate::model::request::ChatRequest;
use crate::pipeline::client::Client;
use crate::pipeline::media::Gathered;
use crate::pipeline::reply::{Gone, Reply, ReplyBody, Wait};
use crate::pipeline::reserve::Skip;
use crate::pipeline::told::Told;
use crate::pipeline::trail::{AttemptNote, Trail};
use crate::routing::health::Health;
use crate::routing::inputs::Inputs;
use crate::routing::plan::{self, Candidate, Plan};
use crate::settings::Settings;
use crate::upstream::attempt::{self, Failed, Outcome, Try};
use crate::upstream::fetch::Fetcher;
use crate::upstream::http::HttpClient;
use crate::upstream::sign::Signer;
use crate::upstream::waits::Waits;

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
    pub settings: Arc<Settings>,
    /// Shutdown waits for these.
    pub tasks: TaskTracker,
}

/// A request as the server received it: the head is read, the body is not.
#[derive(Debug)]
pub struct Inbound {
    pub head: HeaderMap,
    pub body: axum::body::Body,
    pub address: Option<IpAddr>,
}

/// What every candidate of one request is tried with.
pub struct Job<'a> {
    pub caller: &'a Caller,
    pub request: &'a ChatRequest,
    pub plan: &'a Plan,
    pub until: Instant,
}

impl Pipeline {
    /// Carries one chat-completions call, in a task of its own.
    pub async fn chat(self: Arc<Self>, inbound: Inbound) -> Response<ReplyBody> {
        let client = Client::of(&inbound.head, inbound.address);
        let trail = Trail::begin(client, self.config.load().revision.clone());
        let (reply, pending) = reply::pair(head(&trail), self.settings.requests.keep_alive_after);
        let pipeline = self.clone();
        self.tasks.spawn(async move { pipeline.carry(inbound, reply, trail).await });
        pending.await.unwrap_or_else(|_| ending::lost())
    }

    /// Serves, whatever happens, and ends exactly once.
    async fn carry(&self, inbound: Inbound, mut reply: Reply, mut trail: Trail) {
        let served = AssertUnwindSafe(self.serve(inbound, &mut reply, &mut trail)).catch_unwind().await;
        let result = served.unwrap_or_else(|_| Err(RequestError::internal("a panic while serving")));
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
        let request = openai_chat::decode(body)?; // what
        trail.requested_model = request.model.clone().unwrap_or_default();
        trail.streamed = request.stream;
        let plan = self.plan(&config, &caller, &request, trail)?; // where, and why
        trail.excluded.clone_from(&plan.excluded);
        let permit = reserve::admit(self, &caller, &request).await?; // may they, right now
        let job = Job { caller: &caller, request: &request, plan: &plan, until: self.until(&request) };
        reply.rest();
        let done = self.attempts(&job, permit.as_ref(), reply, trail).await; // do it
        // What was produced counts against token rates, also where it broke off; without any the guess is given back.
        if let Some(permit) = permit.filter(|_| done.is_ok() || trail.spent_tokens > 0) {
            permit.settle(trail.spent_tokens);
        }
        done
    }

    fn current(&self) -> Result<Arc<Snapshot>, RequestError> {
        if !self.config.is_servable() {
            let text = "This instance has no config that is new enough to serve from.";
            return Err(RequestError::new(ErrorCode::ConfigUnavailable, text));
        }
        Ok(self.config.load())
    }

    /// The snapshot first; a well-formed key that it does not know is looked up once at the control plane.
    async fn identify(
        &self,
        config: &Snapshot,
        head: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<Caller, RequestError> {
        let now = clock::now();
        match identity::identify(config, head, now) {
            Err(IdentifyError::Unknown(hash)) => {
                let caller = self.lookup.find(hash, address).await?;
                Ok(identity::check(caller, now)?)
            }
            known => Ok(known?),
        }
    }

    /// Reads the body, whose size and time are bounded.
    async fn collect(&self, inbound: Inbound) -> Result<Bytes, RequestError> {
        let limits = &self.settings.requests;
        let most = limits.max_body_bytes;
        let too_large = || {
            let text = format!("The request body is larger than {most} bytes.");
            RequestError::new(ErrorCode::PayloadTooLarge, text)
        };
        let announced = inbound.head.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if announced.and_then(|value| value.parse::<usize>().ok()).is_some_and(|length| length > most) {
            return Err(too_large());
        }
        match timeout(limits.read_timeout, Limited::new(inbound.body, most).collect()).await {
            Err(_) => {
                let text = "The request body did not arrive in time.";
                Err(RequestError::new(ErrorCode::RequestTimeout, text))
            }
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(RequestError::new(ErrorCode::InvalidRequest, "The request body broke off.")),
            Ok(Ok(body)) => Ok(body.to_bytes()),
        }
    }

    fn plan(
        &self,
        config: &Snapshot,
        caller: &Caller,
        request: &ChatRequest,
        trail: &Trail,
    ) -> Result<Plan, RequestError> {
        let reading = |endpoint: &Endpoint| self.health.reading(&endpoint.model, &endpoint.id);
        Ok(plan::plan(config, &Inputs::of(caller, request, trail.id.seed(), &reading))?)
    }

    /// Tries candidates in order until one commits.
    async fn attempts(
        &self,
        job: &Job<'_>,
        permit: Option<&Permit>,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<(), RequestError> {
        let (mut skips, mut gathered) = (Vec::new(), Gathered::new(&self.fetcher));
        for candidate in job.plan.candidates() {
            let ready = match gathered.add(&self.fetcher, job, candidate, reply, trail).await {
                Ok(()) => reserve::reserve(self, job, candidate, permit, trail, &gathered.files).await,
                Err(skip) => Err(skip),
            };
            let ready = match ready {
                Ok(ready) => ready,
                Err(skip) if skip.ends_the_request() => return Err(skip.into()),
                Err(skip) => {
                    skips.push(skip);
                    continue;
                }
            };
            match ready.lowered_cap {
                Some(cap) => reply.header("x-switchyard-output-cap", &cap.to_string()),
                None => reply.without_header("x-switchyard-output-cap"),
            }
            let reserve::Ready { encoded, hold, credential, .. } = ready;
            let endpoint = &candidate.endpoint;
            let begun = Moment::now();
            let told = Told::new(self, job, candidate, credential.as_ref(), begun);
            let attempt = Try {
                endpoint,
                drift: &self.drift,
                encoded,
                credential: credential.as_ref(),
                stream: job.request.stream,
                waits: Waits::of(
                    endpoint,
                    &self.settings.deadlines,
                    &job.request.provider.deadlines,
                    job.request.stream,
                    job.until,
                ),
            };
            let trying = attempt::attempt(&self.client, &self.signer, attempt);
            match reply.wait(wait(job, candidate), trying).await {
                Ok(Outcome::Committed(answer)) => {
                    trail.first_content = Some(trail.started.elapsed());
                    let delivery = deliver::Delivery { job, candidate, hold, begun, told };
                    return delivery.run(*answer, reply, trail).await;
                }
                Ok(Outcome::Failed(failed)) => {
                    told.failed(&failed.failure);
                    self.note_failure(job, candidate, hold, begun, &failed, trail);
                    if !failed.failure.class.may_fall_back() || reply.is_gone() || Instant::now() >= job.until
                    {
                        return Err(explain::failed(trail, &failed, &candidate.endpoint));
                    }
                    skips.push(Skip::Failed(failed, candidate.endpoint.clone()));
                }
                Err(Gone) => {
                    trail.cancelled = true;
                    told.cancelled();
                    meter::settle_unseen(hold, job, candidate, "cancelled");
                    trail.attempts.push(note(candidate, begun, "cancelled", 0, None));
                    return Err(RequestError::new(ErrorCode::RequestTimeout, "The caller left."));
                }
            }
        }
        Err(explain::exhausted(trail, skips))
    }

    fn note_failure(
        &self,
        job: &Job<'_>,
        candidate: &Candidate,
        hold: Option<Hold>,
        begun: Moment,
        failed: &Failed,
        trail: &mut Trail,
    ) {
        let class = failed.failure.class;
        meter::settle_failed(hold, job, candidate, failed);
        let status = failed.failure.status.map_or(0, |status| status.as_u16());
        trail.attempts.push(note(candidate, begun, class.as_str(), status, Some(failed.failure.code)));
    }

    fn until(&self, request: &ChatRequest) -> Instant {
        let most = self.settings.deadlines.total;
        Instant::now() + request.provider.deadlines.total.map_or(most, |asked| asked.min(most))
    }
}

/// How a caller is kept company while this candidate is tried or read.
fn wait(job: &Job<'_>, candidate: &Candidate) -> Wait {
    let streaming = job.request.stream;
    Wait { streaming, leaves_with_caller: streaming && candidate.endpoint.config.cancel_stops_billing }
}

fn note(
    candidate: &Candidate,
    begun: Moment,
    outcome: &'static str,
    status: u16,
    code: Option<ErrorCode>,
) -> AttemptNote {
    AttemptNote {
        endpoint: candidate.endpoint.clone(),
        started: begun,
        duration: begun.elapsed(),
        outcome,
        status,
        code,
        charged: switchyard_proto::money::NanoUsd::ZERO,
    }
}

/// Headers of every answer, error or not.
fn head(trail: &Trail) -> HeaderMap {
    let id = HeaderValue::from_str(&trail.id.to_string()).expect("ids are ASCII");
    let mut head = HeaderMap::with_capacity(8);
    head.insert("x-generation-id", id.clone());
    head.insert("x-request-id", id);
    head
}
