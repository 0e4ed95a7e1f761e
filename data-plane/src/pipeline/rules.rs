//! What governs the attempts of one stage: its policy's words where there is one, else the usual ones.

use std::sync::Arc;
use std::time::Duration;

use switchyard_proto::code::ErrorCode;
use switchyard_proto::policy::{AnswerFacts, ToolCallFacts};

use crate::config::snapshot::policy::{Hedge, PolicyStage};
use crate::error::RequestError;
use crate::judge::{self, Asked, Fault, Reason, Reasons};
use crate::model::deadlines::Deadlines;
use crate::model::response::ChatResponse;
use crate::model::task::Operation;
use crate::pipeline::Job;
use crate::routing::plan::{Candidate, Stage};
use crate::settings;

/// Fewer measured times to first content tell nothing of an endpoint's usual one.
const ENOUGH_SAMPLES: u32 = 20;

/// The rules of one stage.
pub struct Rules<'a> {
    job: &'a Job<'a>,
    policy: Option<&'a PolicyStage>,
    /// What moves the request on to the next stage.
    escalate_on: Reasons,
    /// What an answer must not be guilty of to be given.
    judged: Reasons,
    /// Known where answers are judged.
    asked: Option<Arc<Asked>>,
    pub deadlines: Deadlines,
    /// Further rounds over the candidates.
    pub retries: u32,
}

impl<'a> Rules<'a> {
    /// The rules of a stage; the last one of a plan has nobody to escalate to.
    ///
    /// # Errors
    /// The request's own schema or tools, where answers are to be held against them and that is impossible.
    pub fn of(
        job: &'a Job<'a>,
        stage: &Stage,
        is_last: bool,
        settings: &settings::Retries,
    ) -> Result<Self, RequestError> {
        let policy = job.plan.rules(stage);
        let escalate_on = policy.map(|stage| stage.escalate_on).unwrap_or_default();
        // There is no word in vectors and rankings to hold against anybody.
        let is_chat = job.request.task.operation() == Operation::Chat;
        let judged = if is_chat { judged(escalate_on, is_last) } else { Reasons::default() };
        let asked = match judged.is_empty() {
            true => None,
            false => Some(Arc::new(asked(job, policy, judged)?)),
        };
        let own = policy.map(|stage| stage.deadlines).unwrap_or_default();
        let usual = if is_last { settings.most } else { 0 };
        Ok(Self {
            job,
            policy,
            escalate_on,
            judged,
            asked,
            deadlines: own.tightened_by(job.request.provider.deadlines),
            retries: policy.and_then(|stage| stage.retries).unwrap_or(usual),
        })
    }

    /// What answers are held against, where they are judged.
    pub fn asked(&self) -> Option<&Asked> {
        self.asked.as_deref()
    }

    /// Whether the whole answer must be seen before any of it is given.
    pub fn judges(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether a failure of this kind moves the request on.
    pub fn escalates_on(&self, reason: Reason) -> bool {
        self.escalate_on.contains(reason)
    }

    /// The first thing that an answer is guilty of, the policy's own question aside.
    ///
    /// Schemas are callers' and texts are models': holding one against the other may take long, so that is done where no
    /// request waits for it.
    ///
    /// # Errors
    /// A panic of the judge, which is our fault.
    pub async fn judge(
        &self,
        answer: Box<ChatResponse>,
    ) -> Result<(Box<ChatResponse>, Option<Fault>), RequestError> {
        let Some(asked) = self.asked.clone() else { return Ok((answer, None)) };
        let judged = self.judged;
        let judge = move || {
            let fault = judge::judge(&answer, &asked, judged);
            (answer, fault)
        };
        match judged.contains(Reason::Schema) || judged.contains(Reason::InvalidToolCall) {
            true => tokio::task::spawn_blocking(judge).await.map_err(RequestError::internal),
            false => Ok(judge()),
        }
    }

    /// The policy's own question about the answer. One that cannot be answered is answered with no.
    pub fn check(&self, answer: &ChatResponse, candidate: &Candidate) -> Option<Fault> {
        let condition = self.policy?.check.as_ref().filter(|_| self.judged.contains(Reason::Check))?;
        let request = self.job.inputs.facts();
        let holds = condition.holds_for(&request, &facts(answer, candidate));
        let detail = match holds {
            Ok(true) => return None,
            Ok(false) => "the stage's check does not hold".to_owned(),
            Err(error) => format!("the stage's check cannot be answered: {error}"),
        };
        Some(Fault { reason: Reason::Check, detail })
    }

    /// How long the first candidate may be silent before a second is tried beside it; none without a hedge, and where the
    /// first one's usual time is not known.
    pub fn hedge_after(&self, candidate: &Candidate) -> Option<(Hedge, Duration)> {
        let hedge = self.policy?.hedge?;
        // The times that are known are those of streams; a whole answer's first content comes with its last.
        if !self.job.request.stream {
            return None;
        }
        let usual = candidate.reading.latency_ms;
        if usual.samples < ENOUGH_SAMPLES {
            return None;
        }
        let ms = match hedge.quantile_permille {
            ..=500 => usual.p50,
            501..=750 => usual.p75,
            751..=900 => usual.p90,
            _ => usual.p99,
        };
        Some((hedge, Duration::from_secs_f32(ms.max(1.0) / 1000.0)))
    }

    /// The stage's name; empty without a policy.
    pub fn name(&self) -> &'a str {
        self.policy.map_or("", |stage| stage.name.as_str())
    }
}

/// What an answer is held against. In the last stage an answer that says itself what is wrong with it is given; one that
/// cannot be used is not.
fn judged(escalate_on: Reasons, is_last: bool) -> Reasons {
    let is_judged = |reason: &Reason| match reason {
        Reason::Error | Reason::Timeout => false,
        Reason::Refusal | Reason::Length => !is_last,
        Reason::Empty | Reason::InvalidJson | Reason::InvalidToolCall | Reason::Schema | Reason::Check => {
            true
        }
    };
    Reason::ALL.into_iter().filter(|reason| escalate_on.contains(*reason)).filter(is_judged).collect()
}

fn asked(job: &Job<'_>, policy: Option<&PolicyStage>, judged: Reasons) -> Result<Asked, RequestError> {
    let schema = policy.and_then(|stage| stage.schema.as_ref());
    let invalid = |invalid: crate::model::request::Invalid| {
        RequestError::new(ErrorCode::InvalidRequest, invalid.message).field(&invalid.field)
    };
    let asked = Asked::of(job.request, schema).map_err(invalid)?;
    asked.prove(judged).map_err(invalid)?;
    Ok(asked)
}

fn facts<'a>(answer: &'a ChatResponse, candidate: &'a Candidate) -> AnswerFacts<'a> {
    let choice = answer.choices.first();
    let message = choice.map(|choice| &choice.message);
    let calls = message.into_iter().flat_map(|message| &message.tool_calls);
    AnswerFacts {
        text: message.and_then(|message| message.content.as_deref()).unwrap_or_default(),
        finish_reason: choice.map_or("", |choice| choice.finish.reason.as_str()),
        tool_calls: calls
            .map(|call| ToolCallFacts { name: &call.name, arguments: &call.arguments })
            .collect(),
        completion_tokens: answer.usage.map_or(0, |usage| usage.completion_tokens),
        model: candidate.model.id.as_str(),
        provider: candidate.endpoint.provider.id.as_str(),
    }
}
