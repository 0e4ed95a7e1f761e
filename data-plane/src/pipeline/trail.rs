//! What happened to one request, for its record, its metrics and its span. Written by the pipeline alone; nothing
//! branches on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use switchyard_proto::code::ErrorCode;
use switchyard_proto::id::GenerationId;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::price::Cost;
use switchyard_proto::v1;

use crate::api::surface::Surface;
use crate::config::snapshot::{Endpoint, Revision};
use crate::identity::Caller;
use crate::model::request::ChatRequest;
use crate::model::response::Finish;
use crate::pipeline::cached::CacheHit;
use crate::pipeline::client::Client;
use crate::pipeline::skips::Why;
use crate::routing::plan::{Candidate, Plan, PlanError};
use crate::routing::record::Recorded;
use crate::telemetry::spans::RequestSpan;

/// Most candidates whose skipping is noted.
const MOST_SKIPS: usize = 100;

/// The trail of one request.
#[derive(Debug)]
pub struct Trail {
    pub id: GenerationId,
    pub surface: Surface,
    pub started: Instant,
    pub admitted_at: DateTime<Utc>,
    pub revision: Revision,
    pub caller: Option<Caller>,
    pub client: Arc<Client>,
    pub requested_model: String,
    /// The preset that was laid under the request; empty without one.
    pub preset: String,
    /// What was done to the request and its answer besides carrying them: `openrouter_metadata.pipeline`.
    pub steps: Vec<Value>,
    /// The answer came from the cache.
    pub cache_hit: Option<CacheHit>,
    pub streamed: bool,
    /// What the answer repeats of the request.
    pub echo: Arc<Map<String, Value>>,
    /// The answer is to say how it was routed.
    pub wants_metadata: bool,
    /// In the order in which they ended.
    pub attempts: Vec<AttemptNote>,
    /// Planned candidates that were not tried; of many the first.
    pub skips: Vec<SkipNote>,
    /// Attempts that were reserved for: the next one's number, less one.
    pub reserved: u32,
    pub stages: Vec<StageNote>,
    pub plan: Option<Arc<Plan>>,
    /// Why there is no plan.
    pub refusal: Option<PlanError>,
    /// What the plan was made from, where the decision is kept with the generation.
    pub inputs: Option<Box<Recorded>>,
    pub first_content: Option<Duration>,
    /// What the answer was, if there was one.
    pub answer: Option<AnswerNote>,
    pub error: Option<ErrorCode>,
    /// The generation went into the journal with its last attempt.
    pub is_recorded: bool,
    pub cancelled: bool,
    /// Prompt and completion tokens of all answers that were produced, whole or not.
    pub spent_tokens: u64,
    /// What the caller says of itself: names and values for the span, where there is one.
    pub labels: Vec<(String, String)>,
    /// Absent unless the request is sampled.
    pub span: Option<RequestSpan>,
}

/// One attempt, as it went.
#[derive(Debug, Clone)]
pub struct AttemptNote {
    /// From 1, in the order of reservations: the number of its ledger line.
    pub number: u32,
    pub endpoint: Arc<Endpoint>,
    pub started: Instant,
    pub duration: Duration,
    /// `ok`, or the failure's class.
    pub outcome: &'static str,
    pub status: u16,
    pub code: Option<ErrorCode>,
    /// What the provider bills for an answer that was wanted; nothing for one that failed.
    pub cost: Cost,
    /// What the tenant pays of that.
    pub charged: NanoUsd,
    /// What went wrong, in words that callers may read.
    pub reason: Option<String>,
    /// The stage of the policy; empty without one.
    pub stage: String,
    /// Made with the tenant's own credential.
    pub is_byok: bool,
}

/// A candidate that was planned and not tried.
#[derive(Debug, Clone)]
pub struct SkipNote {
    pub endpoint: Arc<Endpoint>,
    pub is_byok: bool,
    /// The stage of the policy; empty without one.
    pub stage: String,
    /// From the request's head.
    pub at: Duration,
    pub why: Why,
}

/// A stage that was entered.
#[derive(Debug, Clone)]
pub struct StageNote {
    /// Empty without a policy.
    pub name: String,
    /// From the request's head.
    pub entered: Duration,
    /// Why nothing was given there; none where the answer was given, or the request ended.
    pub left: Option<&'static str>,
}

/// The answer that was given.
#[derive(Debug, Clone)]
pub struct AnswerNote {
    /// Absent of vectors and rankings, which do not end.
    pub finish: Option<Finish>,
    pub tokens: v1::TokenUsage,
}

/// Most labels of a span, and the length of one in characters.
const LABELS: (usize, usize) = (32, 256);

/// User, session, and the members of `trace`, under the names that `OpenTelemetry` and tracing tools know.
fn labels(request: &ChatRequest, client: &Client) -> Vec<(String, String)> {
    let session = request.session_id.as_ref().or(Some(&client.session)).filter(|session| !session.is_empty());
    let own = [("user.id", request.user.as_ref()), ("session.id", session)];
    let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone())));
    let trace = request.trace.as_ref().and_then(Value::as_object).into_iter().flatten();
    let trace = trace.filter_map(|(name, value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((format!("trace.metadata.{name}"), value))
    });
    let cut = |text: String| text.chars().take(LABELS.1).collect();
    own.chain(trace).map(|(name, value)| (cut(name), cut(value))).take(LABELS.0).collect()
}

impl Trail {
    /// A request's trail begins when its head was read.
    pub fn begin(surface: Surface, client: Client, revision: Revision) -> Self {
        let id = GenerationId::generate();
        Self {
            id,
            surface,
            started: Instant::now(),
            admitted_at: id.admitted_at(),
            revision,
            caller: None,
            span: RequestSpan::begin(&client, surface.call()),
            client: Arc::new(client),
            requested_model: String::new(),
            preset: String::new(),
            steps: Vec::new(),
            cache_hit: None,
            streamed: false,
            echo: Arc::default(),
            wants_metadata: false,
            attempts: Vec::new(),
            skips: Vec::new(),
            reserved: 0,
            stages: Vec::new(),
            plan: None,
            refusal: None,
            inputs: None,
            first_content: None,
            answer: None,
            error: None,
            is_recorded: false,
            cancelled: false,
            spent_tokens: 0,
            labels: Vec::new(),
        }
    }

    /// The attempt that served, or the last that failed.
    pub fn last(&self) -> Option<&AttemptNote> {
        self.attempts.last()
    }

    /// Notes what is asked for.
    pub fn asks(&mut self, request: &ChatRequest) {
        let named = request.model.as_ref().or_else(|| request.fallback_models.first());
        self.requested_model = named.cloned().unwrap_or_default();
        self.streamed = request.stream;
        self.echo = request.echo.clone();
        self.wants_metadata = self.client.wants_metadata || request.wants_metadata;
        if self.span.is_some() {
            self.labels = labels(request, &self.client);
        }
    }

    /// Notes what was done besides carrying.
    pub fn step(&mut self, step: Value) {
        self.steps.push(step);
    }

    /// Notes that a stage was entered.
    pub fn enter_stage(&mut self, name: &str) {
        self.stages.push(StageNote { name: name.to_owned(), entered: self.started.elapsed(), left: None });
    }

    /// The stage that was entered last; empty without a policy.
    pub fn stage(&self) -> String {
        self.stages.last().map(|stage| stage.name.clone()).unwrap_or_default()
    }

    /// Adds an attempt that has ended, or whose answer is about to be given.
    pub fn note(&mut self, attempt: AttemptNote) {
        let stage = self.stage();
        self.attempts.push(AttemptNote { stage, ..attempt });
    }

    /// The attempts in the order of their numbers. Of two side by side the later one may end first.
    pub fn in_order(&self) -> Vec<&AttemptNote> {
        let mut attempts: Vec<&AttemptNote> = self.attempts.iter().collect();
        attempts.sort_by_key(|attempt| attempt.number);
        attempts
    }

    /// Notes that a candidate is not tried.
    pub fn skip(&mut self, candidate: &Candidate, why: Why) {
        if self.skips.len() < MOST_SKIPS {
            let (endpoint, is_byok) = (candidate.endpoint.clone(), candidate.is_byok());
            let (stage, at) = (self.stage(), self.started.elapsed());
            self.skips.push(SkipNote { endpoint, is_byok, stage, at, why });
        }
    }

    /// Notes why nothing was given in the stage that was entered last.
    pub fn leave_stage(&mut self, why: &'static str) {
        if let Some(stage) = self.stages.last_mut() {
            stage.left = Some(why);
        }
    }

    /// Notes what the last attempt costs, and what it is charged.
    pub fn bill_last(&mut self, cost: Cost, charged: NanoUsd) {
        if let Some(attempt) = self.attempts.last_mut() {
            (attempt.cost, attempt.charged) = (cost, charged);
        }
    }

    /// What providers bill for all answers so far that were wanted.
    pub fn cost(&self) -> Cost {
        self.attempts.iter().map(|attempt| attempt.cost).sum()
    }

    /// What all attempts so far were charged.
    pub fn charged(&self) -> NanoUsd {
        NanoUsd(self.attempts.iter().map(|attempt| attempt.charged.0).sum())
    }

    /// Trace context for records, empty unless sampled.
    pub fn traceparent(&self) -> String {
        self.span.as_ref().map(RequestSpan::traceparent).unwrap_or_default()
    }

    /// The trace's id, empty unless sampled.
    pub fn trace_id(&self) -> String {
        self.span.as_ref().map(RequestSpan::trace_id).unwrap_or_default()
    }

    /// Unix seconds of the admission, as answers say it.
    pub fn created(&self) -> u64 {
        self.id.admitted_ms() / 1000
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_span_is_labelled_with_what_the_caller_says_of_itself() {
        let body = json!({
            "model": "a/b", "messages": [{"role": "user", "content": "hi"}], "user": "u", "session_id": "s",
            "trace": {"trace_name": "nightly", "step": 3, "deep": {"x": 1}, "long": "y".repeat(300)},
        });
        let request = Surface::ChatCompletions.decode(body.to_string().into()).unwrap();
        let found = labels(&request, &Client::default());
        let label =
            |name: &str| found.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!((label("user.id"), label("session.id")), (Some("u"), Some("s")));
        assert_eq!(
            (label("trace.metadata.trace_name"), label("trace.metadata.step")),
            (Some("nightly"), Some("3"))
        );
        assert_eq!(label("trace.metadata.deep"), None);
        assert_eq!(label("trace.metadata.long").map(str::len), Some(LABELS.1));
    }
}
