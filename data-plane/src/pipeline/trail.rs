//! What happened to one request, for its record, its metrics and its span. Written by the pipeline alone; nothing
//! branches on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use switchyard_proto::code::ErrorCode;
use switchyard_proto::id::GenerationId;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::v1;

use crate::config::snapshot::{Endpoint, Revision};
use crate::identity::Caller;
use crate::model::response::Finish;
use crate::pipeline::client::Client;
use crate::routing::filter::Excluded;
use crate::telemetry::spans::RequestSpan;

/// The trail of one request.
#[derive(Debug)]
pub struct Trail {
    pub id: GenerationId,
    pub started: Instant,
    pub admitted_at: DateTime<Utc>,
    pub revision: Revision,
    pub caller: Option<Caller>,
    pub client: Client,
    pub requested_model: String,
    pub streamed: bool,
    pub attempts: Vec<AttemptNote>,
    pub excluded: Vec<Excluded>,
    pub first_content: Option<Duration>,
    /// What the answer was, if there was one.
    pub answer: Option<AnswerNote>,
    pub error: Option<ErrorCode>,
    /// The generation went into the journal with its last attempt.
    pub is_recorded: bool,
    pub cancelled: bool,
    /// Prompt and completion tokens of the answer, whole or not.
    pub spent_tokens: u64,
    /// Absent unless the request is sampled.
    pub span: Option<RequestSpan>,
}

/// One attempt, as it went.
#[derive(Debug, Clone)]
pub struct AttemptNote {
    pub endpoint: Arc<Endpoint>,
    pub started: Instant,
    pub duration: Duration,
    /// `ok`, or the failure's class.
    pub outcome: &'static str,
    pub status: u16,
    pub code: Option<ErrorCode>,
    pub charged: NanoUsd,
}

/// The answer that was given.
#[derive(Debug, Clone)]
pub struct AnswerNote {
    pub finish: Finish,
    pub tokens: v1::TokenUsage,
    pub cost: NanoUsd,
    pub charged: NanoUsd,
}

impl Trail {
    /// A request's trail begins when its head was read.
    pub fn begin(client: Client, revision: Revision) -> Self {
        let id = GenerationId::generate();
        Self {
            id,
            started: Instant::now(),
            admitted_at: id.admitted_at(),
            revision,
            caller: None,
            span: RequestSpan::begin(&client),
            client,
            requested_model: String::new(),
            streamed: false,
            attempts: Vec::new(),
            excluded: Vec::new(),
            first_content: None,
            answer: None,
            error: None,
            is_recorded: false,
            cancelled: false,
            spent_tokens: 0,
        }
    }

    /// The attempt that served, or the last that failed.
    pub fn last(&self) -> Option<&AttemptNote> {
        self.attempts.last()
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
