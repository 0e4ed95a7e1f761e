//! How many tokens an answer may have, and what that may cost: as the caller asks, or as money allows.

use chrono::{DateTime, TimeDelta, Utc};
use switchyard_proto::clock;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::price::Span;
use tokio::time::Instant;

use crate::config::snapshot::Endpoint;
use crate::limits::Account;
use crate::model::request::ChatRequest;
use crate::model::task::Operation;
use crate::pipeline::reserve::Skip;
use crate::pipeline::steps::{self, Steps};
use crate::pipeline::{Job, charges};
use crate::price::{self, Bounds, WorstCase};

/// The cap on output tokens that an attempt's reservation rests on.
#[derive(Debug, Clone, Copy)]
pub struct Cap {
    tokens: u64,
    /// How many of them are reserved before anything is sent, where the rest follows in steps.
    first_step: Option<u64>,
    /// Money that was lent is at stake, so the provider is held to the cap.
    is_bound: bool,
    is_lowered: bool,
    /// The tenant pays the provider itself: what counts is the cost.
    is_byok: bool,
}

impl Cap {
    pub fn of(endpoint: &Endpoint, is_byok: bool, job: &Job<'_>, default: u64) -> Self {
        let is_bound = charges::is_bound(job.caller, endpoint, is_byok);
        if job.request.task.operation() != Operation::Chat {
            return Self { tokens: 0, first_step: None, is_bound, is_lowered: false, is_byok };
        }
        let asked = job.request.max_output_tokens;
        let own = if is_bound {
            price::output_cap(endpoint, asked, default)
        } else {
            // Nothing is lent, so nothing needs a cap; the bound is what the endpoint could produce at most.
            price::output_cap(endpoint, asked, endpoint.context_length())
        };
        let tokens = if asked.is_none() { own.min(room(endpoint, job.request)) } else { own };
        Self { tokens, first_step: None, is_bound, is_lowered: false, is_byok }
    }

    /// What the adapter is to write into the request; nothing where the caller's own words say it already.
    pub fn injected(&self, request: &ChatRequest) -> Option<u64> {
        let is_said = request.max_output_tokens == Some(self.tokens);
        (self.is_bound && self.puts_out() && !is_said).then_some(self.tokens)
    }

    /// Vectors and rankings are no output that is billed.
    fn puts_out(&self) -> bool {
        self.tokens > 0
    }

    pub fn worst(&self, endpoint: &Endpoint, job: &Job<'_>) -> WorstCase {
        bounds(endpoint, job).worst(self.first_step.unwrap_or(self.tokens))
    }

    fn affordable(&self, affordable: NanoUsd, endpoint: &Endpoint, job: &Job<'_>) -> Option<u64> {
        bounds(endpoint, job).largest_cap(self.tokens, self.within(affordable))
    }

    /// Whether a worst case is within what can be afforded.
    fn within(&self, affordable: NanoUsd) -> impl Fn(&WorstCase) -> bool + use<> {
        let is_byok = self.is_byok;
        move |worst| if is_byok { worst.cost <= affordable } else { worst.charge <= affordable }
    }

    /// What the provider may produce.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The cap, where money made it lower than the endpoint's own.
    pub fn lowered(&self) -> Option<u64> {
        self.is_lowered.then_some(self.tokens)
    }

    /// The same cap, of which a first step is affordable: for streams that the caller capped itself, of endpoints that stream
    /// all they bill and stop billing when they are left. Half of it with every call;
    /// none where there is no less.
    pub fn stepped(&self, affordable: NanoUsd, endpoint: &Endpoint, job: &Job<'_>) -> Option<Self> {
        let step = steps::size(endpoint).filter(|_| job.request.stream)?;
        job.request.max_output_tokens?;
        let most = self.first_step.map_or(step, |before| before / 2).min(self.tokens);
        let first = self.affordable(affordable, endpoint, job)?.min(most);
        (first > 0 && first < self.tokens).then_some(Self { first_step: Some(first), ..*self })
    }

    /// How the rest is reserved while the answer comes.
    pub fn steps(&self, endpoint: &Endpoint) -> Option<Steps> {
        let step = steps::size(endpoint)?;
        Some(Steps::new(self.first_step?, step, self.tokens, self.is_byok))
    }

    /// A lower cap that is affordable, where the caller set none itself.
    pub fn lowered_to(&self, affordable: NanoUsd, endpoint: &Endpoint, job: &Job<'_>) -> Option<Self> {
        if job.request.max_output_tokens.is_some() || !self.puts_out() {
            return None;
        }
        let tokens = self.affordable(affordable, endpoint, job).filter(|tokens| *tokens < self.tokens)?;
        Some(Self { tokens, is_lowered: true, ..*self })
    }

    pub fn short(
        &self,
        account: Account,
        limit: NanoUsd,
        affordable: NanoUsd,
        endpoint: &Endpoint,
        job: &Job<'_>,
    ) -> Skip {
        if !self.puts_out() {
            let bounds = bounds(endpoint, job);
            let (asked_tokens, within) = (bounds.prompt(), self.within(affordable));
            let affordable_tokens = bounds.largest_prompt(within);
            return Skip::Budget { account, limit, affordable_tokens, asked_tokens, of: "prompt" };
        }
        let affordable_tokens = self.affordable(affordable, endpoint, job).unwrap_or(0);
        Skip::Budget { account, limit, affordable_tokens, asked_tokens: self.tokens, of: "output" }
    }
}

/// What bounds an attempt that is sent now: it ends with the request.
pub fn bounds<'a>(endpoint: &'a Endpoint, job: &Job<'a>) -> Bounds<'a> {
    let (from, left) = (clock::now(), job.until.saturating_duration_since(Instant::now()));
    let left = TimeDelta::from_std(left).unwrap_or(TimeDelta::MAX);
    let span = Span { from, until: from.checked_add_signed(left).unwrap_or(DateTime::<Utc>::MAX_UTC) };
    Bounds::of(endpoint, &job.caller.tenant, &job.request.facts, job.request.n, span)
}

/// Output tokens that the window has room for beside the prompt, so that an injected cap is never what fails a call.
fn room(endpoint: &Endpoint, request: &ChatRequest) -> u64 {
    let likely = price::prompt_estimate(&request.facts);
    let prompt = price::prompt_bound(endpoint, &request.facts).min(likely + likely / 2 + 64);
    endpoint.context_length().saturating_sub(prompt).max(1)
}
