//! Tells health how an attempt ended.

use std::time::{Duration, Instant as Moment};

use switchyard_proto::id::CredentialId;

use crate::adapters::failure::{Failure, FailureClass};
use crate::config::snapshot::Credential;
use crate::judge::Asked;
use crate::model::deadlines::Deadlines;
use crate::model::usage::Usage;
use crate::pipeline::look::Look;
use crate::pipeline::{Job, Pipeline, explain, situation};
use crate::routing::health::{Outcome, Report};
use crate::routing::plan::Candidate;

/// One attempt, as far as health is told of it.
pub struct Told<'a> {
    pipeline: &'a Pipeline,
    candidate: &'a Candidate,
    credential: Option<CredentialId>,
    begun: Moment,
    seed: u64,
    /// The caller wants it quicker than the endpoint need be.
    is_hurried: bool,
    /// Of streams alone: a whole answer's first content comes with its last.
    pub first_content: Option<Duration>,
    /// How long nobody read because the caller did not.
    pub held: Duration,
}

impl<'a> Told<'a> {
    pub fn new(
        pipeline: &'a Pipeline,
        job: &Job<'_>,
        candidate: &'a Candidate,
        credential: Option<&Credential>,
        begun: Moment,
    ) -> Self {
        let credential = credential.map(|credential| CredentialId::new(credential.id.clone()));
        Self {
            pipeline,
            candidate,
            credential,
            begun,
            seed: job.plan.seed,
            is_hurried: job.request.provider.deadlines != Deadlines::default(),
            first_content: None,
            held: Duration::ZERO,
        }
    }

    /// It was answered to the end; the conversation's prompt may be cached there now.
    pub fn ok(&self, job: &Job<'_>, usage: &Usage) {
        let report = self.report(Outcome::Ok);
        self.pipeline.health.tell(&Report { completion_tokens: usage.completion_tokens, ..report });
        if let Some(conversation) = job.conversation {
            let (endpoint, cached) = (&self.candidate.endpoint, usage.cached_tokens);
            self.pipeline.sticky.tell(conversation, endpoint, cached, situation::now_ms());
        }
    }

    /// A look at its tool calls, where one is due.
    pub fn look<'b>(&self, job: &'b Job<'_>, asked: Option<&'b Asked>) -> Option<Look<'b>>
    where
        'a: 'b,
    {
        Look::of(&self.pipeline.health, &self.candidate.endpoint, (job.request, self.seed), asked)
    }

    /// The caller left before the end.
    pub fn cancelled(&self) {
        self.pipeline.health.tell(&self.report(Outcome::Cancelled));
    }

    /// Another had content first, after a silence that is unusual for it.
    pub fn outrun(&self) {
        self.pipeline.health.tell(&self.report(Outcome::Outrun));
    }

    /// It failed, by the endpoint's fault or the request's.
    pub fn failed(&self, failure: &Failure) {
        let is_haste = self.is_hurried && failure.class == FailureClass::Timeout;
        let outcome = if explain::blames_endpoint(failure.class) && !is_haste {
            Outcome::Failed(failure.class)
        } else {
            Outcome::CallersFault
        };
        let report = Report { retry_after: failure.retry_after, ..self.report(outcome) };
        // What a tenant's own credential is refused or limited for says nothing of the endpoint to others.
        let has_other_credentials = self.candidate.is_byok() || self.has_other_credentials();
        self.pipeline.health.tell(&Report { has_other_credentials, ..report });
    }

    fn has_other_credentials(&self) -> bool {
        let is_other = |id: &CredentialId| {
            Some(id) != self.credential.as_ref() && self.pipeline.health.credential_usable(id)
        };
        self.candidate
            .endpoint
            .provider
            .credentials
            .iter()
            .any(|other| is_other(&CredentialId::new(other.id.clone())))
    }

    fn report(&self, outcome: Outcome) -> Report<'_> {
        let endpoint = &self.candidate.endpoint;
        Report {
            credential: self.credential.as_ref(),
            first_content: self.first_content,
            seed: self.seed,
            held: self.held,
            ..Report::new(
                &endpoint.model,
                &endpoint.id,
                outcome,
                self.begun.elapsed().saturating_sub(self.held),
            )
        }
    }
}
