//! How a caller's rates stand, as headers of its answer; and what an attempt needs of the rates of its model and of what
//! its provider is shown.

use std::sync::Arc;
use std::time::Duration;

use switchyard_proto::id::ModelId;

use crate::config::snapshot::{Credential, Endpoint, Model};
use crate::limits::{AdmitError, Level, Limits, Measure, Owner, Passage, Rates, tightest};
use crate::model::request::ChatRequest;
use crate::model::task::Operation;
use crate::pipeline::reply::Reply;
use crate::price;

/// Output tokens that a request counts for in token rates before it is known what it produced.
const EXPECTED_OUTPUT: u64 = 256;

/// `OpenAI`'s names: the ceiling, what is left of it, and when it is whole again.
const HEADERS: [(Measure, [&str; 3]); 2] = [
    (
        Measure::Requests,
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
    ),
    (
        Measure::Tokens,
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
    ),
];

/// Tokens that a request counts for in rates until it is known what it used.
pub fn expected_tokens(request: &ChatRequest) -> u64 {
    if request.task.operation() != Operation::Chat {
        return price::prompt_estimate(&request.facts);
    }
    let output = request.max_output_tokens.unwrap_or(EXPECTED_OUTPUT).min(EXPECTED_OUTPUT);
    price::prompt_estimate(&request.facts) + output
}

/// Adds how the caller's limits stand to the head of its answer: of several the one that ends first.
pub fn tell(reply: &mut Reply, levels: &[Level]) {
    for (measure, [limit, remaining, reset]) in HEADERS {
        if let Some(level) = tightest(levels, measure) {
            reply.header(limit, &level.ceiling.to_string());
            reply.header(remaining, &level.remaining.to_string());
            reply.header(reset, &text(level.reset));
        }
    }
}

/// A time as `OpenAI` writes it: `1s`, `6m0s`, `8.64s`, `120ms`.
fn text(time: Duration) -> String {
    let ms = time.as_nanos().div_ceil(1_000_000);
    let (minutes, ms) = (ms / 60_000, ms % 60_000);
    let seconds = match (ms / 1_000, ms % 1_000) {
        (seconds, 0) => format!("{seconds}s"),
        (0, ms) if minutes == 0 => return format!("{ms}ms"),
        (seconds, ms) => format!("{seconds}.{}s", format!("{ms:03}").trim_end_matches('0')),
    };
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// Models that a request has entered: it counts once for each, however often it is tried there.
#[derive(Debug, Default)]
pub struct Entered<'a>(Vec<(&'a ModelId, Option<Arc<Passage>>)>);

impl<'a> Entered<'a> {
    /// What an attempt at this model is sent under; nothing where the model has no rates.
    ///
    /// # Errors
    /// The model's limit that is reached.
    pub async fn enter(
        &mut self,
        limits: &Limits,
        model: &'a Model,
        tokens: u64,
    ) -> Result<Option<Arc<Passage>>, AdmitError> {
        if let Some((_, passage)) = self.0.iter().find(|(entered, _)| **entered == model.id) {
            return Ok(passage.clone());
        }
        let rates = Rates::from(model.config.rates.as_ref());
        if rates.is_open() {
            return Ok(None);
        }
        let passage = limits.pass((Owner::Model(&model.id), rates), tokens).await?;
        self.0.push((&model.id, passage.clone()));
        Ok(passage)
    }

    /// No other model is tried any more: what was entered there ends.
    pub fn keep(&mut self, model: &ModelId) {
        self.0.retain(|(entered, _)| *entered == model);
    }
}

/// What an attempt with this credential is sent under; nothing where it has no rates.
///
/// # Errors
/// The limit that is reached.
pub async fn show(
    limits: &Limits,
    endpoint: &Endpoint,
    credential: Option<&Credential>,
    tokens: u64,
) -> Result<Option<Arc<Passage>>, AdmitError> {
    let provider = &endpoint.provider;
    let owner = match credential {
        Some(credential) => (Owner::Credential(&credential.id), Rates::from(credential.rates.as_ref())),
        None => (Owner::Provider(&provider.id), Rates::from(provider.config.rates.as_ref())),
    };
    limits.pass(owner, tokens).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_openai_writes_them() {
        for (ms, expected) in [
            (0, "0s"),
            (1, "1ms"),
            (120, "120ms"),
            (1_000, "1s"),
            (8_640, "8.64s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
            (60_020, "1m0.02s"),
            (3_600_000, "1h0m0s"),
            (93_784_005, "26h3m4.005s"),
        ] {
            assert_eq!(text(Duration::from_millis(ms)), expected);
        }
        // What is not over yet is not told as over.
        assert_eq!(text(Duration::from_nanos(1)), "1ms");
    }
}
