//! Answers from the response cache, and answers that are kept for it.
//!
//! A hit is a generation like any other, without an attempt: it costs nothing, and names the one that it repeats.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use http::StatusCode;
use switchyard_proto::code::ErrorCode;
use switchyard_proto::id::GenerationId;
use switchyard_proto::v1::TokenUsage;
use tokio::time::{Instant, timeout_at};

use crate::api::{AnswerFacts, Bill};
use crate::cache::{Found, Kept, Place};
use crate::error::RequestError;
use crate::extensions::caching::{self, Wish};
use crate::limits::Permit;
use crate::model::response::{ChatResponse, FinishReason};
use crate::model::usage::{Provenance, Usage};
use crate::pipeline::attempts::{Attempts, gone};
use crate::pipeline::meter::Meter;
use crate::pipeline::reply::{Reply, Wait};
use crate::pipeline::trail::{AnswerNote, Trail};
use crate::pipeline::{Job, Pipeline};
use crate::routing::plan::Candidate;
use crate::telemetry::record as telemetry;

/// The generation that a request's answer was taken from, for its record.
#[derive(Debug, Clone)]
pub struct CacheHit {
    pub source: GenerationId,
    pub model: String,
    /// Id and display name.
    pub provider: (String, String),
    pub user: Option<String>,
    pub session: Option<String>,
}

/// Takes the answer that is given, where it is to be kept.
#[derive(Debug)]
pub struct Capture {
    /// Longest answer that is taken, in bytes.
    pub most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_spoilt: bool,
    taken: Option<(ChatResponse, String, (String, String))>,
}

impl Capture {
    fn new(most: usize) -> Self {
        Self { most, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what comes now is what any other caller would have got, too.
    pub fn spoil(&self, is_spoilt: bool) {
        self.state().is_spoilt = is_spoilt;
    }

    /// Takes a whole answer.
    pub fn take(&self, answer: ChatResponse, candidate: &Candidate) {
        let is_error = answer.choices.iter().any(|choice| choice.finish.reason == FinishReason::Error);
        let mut state = self.state();
        if is_error || answer.choices.is_empty() || state.is_spoilt {
            return;
        }
        let provider = &candidate.endpoint.provider;
        let served = (provider.id.to_string(), provider.display_name.clone());
        state.taken = Some((answer, candidate.model.id.to_string(), served));
    }

    fn taken(self) -> Option<(ChatResponse, String, (String, String))> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).taken
    }
}

impl Pipeline {
    /// Does a request: by its attempts, or from the cache where that is wished for.
    ///
    /// # Errors
    /// What the caller is to hear.
    pub(super) async fn answer(
        &self,
        job: &Job<'_>,
        wish: Option<Wish>,
        permit: Option<&Permit>,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<(), RequestError> {
        let Some(wish) = wish else { return Attempts::new(self, job, permit).run(reply, trail).await };
        let client = trail.client.clone();
        let headers = client.policy_headers.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        let others = [client.session.as_str(), client.priority.as_str()].into_iter().chain(headers);
        let key = caching::key(job.caller, trail.surface.name(), job.request, others);
        reply.header("x-openrouter-cache-ttl", &wish.ttl.as_secs().to_string());
        let company = Wait { streaming: job.request.stream, leaves_with_caller: true };
        let found = timeout_at(job.until, reply.wait(company, self.cache.find(key, wish.clears))).await;
        match found {
            Err(_) => {
                let text = "The same request is under way, and was not answered in time.";
                Err(RequestError::new(ErrorCode::Timeout, text))
            }
            Ok(Err(why)) => Err(gone(why, trail)),
            Ok(Ok(Found::Hit(kept))) => {
                telemetry::cache("hit");
                give(&kept, job, reply, trail).await
            }
            Ok(Ok(Found::Miss(place))) => {
                telemetry::cache("miss");
                reply.header("x-openrouter-cache-status", "MISS");
                self.fill(place, wish, job, permit, reply, trail).await
            }
        }
    }

    async fn fill(
        &self,
        place: Place<'_>,
        wish: Wish,
        job: &Job<'_>,
        permit: Option<&Permit>,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<(), RequestError> {
        let capture = Capture::new(self.cache.max_answer_bytes);
        let job = Job { capture: Some(&capture), ..*job };
        let done = Attempts::new(self, &job, permit).run(reply, trail).await;
        if let Some((answer, model, provider)) = capture.taken().filter(|_| done.is_ok()) {
            let bytes = size(&answer);
            if bytes <= self.cache.max_answer_bytes {
                let (source, since, ttl) = (trail.id, Instant::now(), wish.ttl);
                place.keep(Kept { answer, model, provider, source, bytes, since, ttl });
            }
        }
        done
    }
}

/// About what an answer takes.
fn size(answer: &ChatResponse) -> usize {
    let raw = answer.raw.as_ref().map_or(0, bytes::Bytes::len);
    let text = usize::try_from(Meter::of(answer).text_bytes).unwrap_or(usize::MAX);
    let rest = answer.choices.iter().map(|choice| {
        let message = &choice.message;
        let values = message.reasoning_details.iter().chain(&message.annotations).chain(&message.images);
        let logprobs = choice.logprobs.as_ref().map_or(0, |raw| raw.get().len());
        values.chain(&message.audio).map(|value| value.to_string().len()).sum::<usize>() + logprobs
    });
    // Choices' own bytes are slices of the whole.
    raw + text + rest.sum::<usize>()
}

/// Gives an answer again: under an id of its own, and for nothing.
async fn give(kept: &Kept, job: &Job<'_>, reply: &mut Reply, trail: &mut Trail) -> Result<(), RequestError> {
    reply.header("x-openrouter-cache-status", "HIT");
    reply.header("x-openrouter-cache-age", &kept.age().as_secs().to_string());
    reply.header("x-openrouter-cache-source-id", &kept.source.to_string());
    let nothing = Usage { provenance: Provenance::ProviderFinal, ..Usage::default() };
    let answer = ChatResponse { usage: Some(nothing), ..kept.answer.clone() };
    let facts = AnswerFacts {
        id: trail.id.to_string(),
        created: trail.created(),
        model: kept.model.clone(),
        provider: kept.provider.1.clone(),
    };
    note(kept, job, &answer, trail);
    let free = Bill::default();
    if !job.request.stream {
        reply.whole(StatusCode::OK, trail.surface.encode(&answer, &facts, job.request, &free));
        return Ok(());
    }
    let mut encoder = trail.surface.stream(&facts, &job.request.echo);
    let mut out = BytesMut::new();
    encoder.replay(&answer, &mut out);
    encoder.usage(&nothing, &free, &mut out);
    encoder.done(&mut out);
    trail.cancelled = reply.send(out.freeze(), job.until).await.is_err();
    if !trail.cancelled {
        reply.end();
    }
    Ok(())
}

fn note(kept: &Kept, job: &Job<'_>, answer: &ChatResponse, trail: &mut Trail) {
    trail.first_content = Some(trail.started.elapsed());
    let finish = answer.choices.first().map(|choice| choice.finish.clone());
    trail.answer = Some(AnswerNote { finish, tokens: TokenUsage::default() });
    trail.cache_hit = Some(CacheHit {
        source: kept.source,
        model: kept.model.clone(),
        provider: kept.provider.clone(),
        user: job.request.user.clone(),
        session: job.request.session_id.clone(),
    });
}
