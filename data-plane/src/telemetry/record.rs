//! Records what requests and pushes came to, under the names of [`metrics`].

use std::time::Duration;

use crate::config::snapshot::Revision;
use crate::pipeline::trail::Trail;
use crate::telemetry::metrics;

/// One request at its ending.
pub fn request(trail: &Trail) {
    let outcome = trail.error.map_or("ok", |code| code.error_type());
    let mode = if trail.streamed { "stream" } else { "whole" };
    ::metrics::counter!(metrics::REQUESTS, "outcome" => outcome, "mode" => mode).increment(1);
    ::metrics::histogram!(metrics::REQUEST_DURATION, "mode" => mode)
        .record(trail.started.elapsed().as_secs_f64());
    if let Some(first) = trail.first_content {
        ::metrics::histogram!(metrics::FIRST_CONTENT, "mode" => mode).record(first.as_secs_f64());
    }
    for attempt in &trail.attempts {
        let provider = attempt.endpoint.provider.id.to_string();
        ::metrics::counter!(metrics::ATTEMPTS, "provider" => provider, "outcome" => attempt.outcome)
            .increment(1);
    }
    if let Some(answer) = &trail.answer {
        ::metrics::counter!(metrics::TOKENS, "kind" => "prompt").increment(answer.tokens.prompt);
        ::metrics::counter!(metrics::TOKENS, "kind" => "completion").increment(answer.tokens.completion);
    }
}

/// A request that came to no attempt, and that nobody will remember.
pub fn unrecorded() {
    ::metrics::counter!(metrics::REFUSED_UNRECORDED).increment(1);
}

/// A request that may be answered from the response cache.
pub fn cache(outcome: &'static str) {
    ::metrics::counter!(metrics::RESPONSE_CACHE, "outcome" => outcome).increment(1);
}

/// A push that was taken.
pub fn config(revision: &Revision, refused: usize) {
    ::metrics::gauge!(metrics::CONFIG_REVISION).set(revision.number as f64);
    ::metrics::gauge!(metrics::CONFIG_REFUSED).set(refused as f64);
}

/// How long ago the config was last known to be the newest.
pub fn config_age(age: Duration) {
    ::metrics::gauge!(metrics::CONFIG_AGE).set(age.as_secs_f64());
}
