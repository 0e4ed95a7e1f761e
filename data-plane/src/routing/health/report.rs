//! What an attempt tells of its endpoint, and what can be measured of it.

use std::time::Duration;

use switchyard_proto::id::{CredentialId, EndpointId, ModelId};

use crate::adapters::failure::FailureClass;
use crate::routing::health::count::Count;

/// Answers shorter than this arrive in a packet or two: their speed is the network's.
const MEASURABLE_TOKENS: u64 = 16;

/// One attempt, when it has ended.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    pub model: &'a ModelId,
    pub endpoint: &'a EndpointId,
    pub credential: Option<&'a CredentialId>,
    /// The provider has others that can be used now, so that a refused or limited credential says nothing of the
    /// endpoint.
    pub has_other_credentials: bool,
    pub outcome: Outcome,
    /// How long the provider asked to wait.
    pub retry_after: Option<Duration>,
    /// From sending to the first content; absent without any, and for answers that came whole.
    pub first_content: Option<Duration>,
    /// From sending to the end, without what the caller held up.
    pub duration: Duration,
    /// How long the caller held it up.
    pub held: Duration,
    pub completion_tokens: u64,
    /// Decides how long pauses are.
    pub seed: u64,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Failed(FailureClass),
    /// The request is at fault.
    CallersFault,
    /// The caller left before the end.
    Cancelled,
    /// Called off in favour of another attempt, after a silence longer than is usual for it.
    Outrun,
}

impl<'a> Report<'a> {
    /// A report that knows nothing but how it ended.
    pub fn new(model: &'a ModelId, endpoint: &'a EndpointId, outcome: Outcome, duration: Duration) -> Self {
        Self {
            model,
            endpoint,
            credential: None,
            has_other_credentials: false,
            outcome,
            retry_after: None,
            first_content: None,
            duration,
            held: Duration::ZERO,
            completion_tokens: 0,
            seed: 0,
        }
    }

    /// What the ending counts as; `None` where it says nothing of the endpoint.
    pub fn count(&self) -> Option<Count> {
        match self.outcome {
            Outcome::Ok => Some(Count::Ok),
            Outcome::Failed(class) => Count::of(class),
            Outcome::CallersFault | Outcome::Cancelled | Outcome::Outrun => None,
        }
    }

    /// Whether it was the credential that was refused or limited, and the endpoint may be fine with another.
    pub fn is_about_the_credential(&self) -> bool {
        let is_credentials = matches!(self.count(), Some(Count::Credential | Count::RateLimited));
        is_credentials && self.credential.is_some() && self.has_other_credentials
    }

    /// Milliseconds to the first content. Of an attempt that was outrun at least its silence is known: to leave it out
    /// would make an endpoint look the quicker the more often it is too slow.
    pub fn latency_ms(&self) -> Option<f64> {
        let waited = match self.outcome {
            Outcome::Ok => self.first_content,
            Outcome::Outrun => Some(self.duration),
            Outcome::Failed(_) | Outcome::CallersFault | Outcome::Cancelled => None,
        };
        waited.map(|waited| waited.as_secs_f64() * 1e3)
    }

    /// Completion tokens per second: from the first content on, if what came after it took a tenth of the time;
    /// otherwise all came at once and the whole time counts. Absent for answers too short to tell.
    pub fn tokens_per_second(&self) -> Option<f64> {
        if self.outcome != Outcome::Ok || self.completion_tokens < MEASURABLE_TOKENS {
            return None;
        }
        let streamed = self.first_content.map(|waited| self.duration.saturating_sub(waited));
        let took = streamed.filter(|took| *took * 10 >= self.duration).unwrap_or(self.duration);
        (took > Duration::ZERO).then(|| self.completion_tokens as f64 / took.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_that_of_the_time_after_the_first_content() {
        let check = |first: Option<u64>, duration, tokens, expected: Option<f64>| {
            let (model, endpoint) = (ModelId::new("a/m"), EndpointId::new("p"));
            let report = Report {
                first_content: first.map(Duration::from_millis),
                completion_tokens: tokens,
                ..Report::new(&model, &endpoint, Outcome::Ok, Duration::from_millis(duration))
            };
            assert_eq!(report.tokens_per_second(), expected, "{first:?} {duration} {tokens}");
        };
        check(Some(1000), 3000, 100, Some(50.0));
        check(None, 2000, 100, Some(50.0));
        check(Some(1999), 2000, 100, Some(50.0));
        check(Some(1000), 3000, 15, None);
        check(None, 0, 100, None);
    }
}
