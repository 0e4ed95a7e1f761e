//! Why a planned candidate was not tried: the rule, and the value that it met in words that callers may read.

use std::time::Duration;

use switchyard_proto::id::ModelId;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::v1::AccountKind;

use crate::limits::ReserveError;
use crate::pipeline::reserve::Skip;
use crate::routing::filter::Rule;
use crate::routing::health::{Cause, Shut};
use crate::routing::refusal;

/// A rule and the value that it met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    pub rule: &'static str,
    pub detail: String,
}

impl Why {
    fn new(rule: &'static str, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into() }
    }

    /// What stood against a candidate while it was made ready; none for what became of a try.
    pub fn of(skip: &Skip) -> Option<Self> {
        Some(match skip {
            Skip::Unsupported(unsupported, _) => Self::new(Rule::Unsupported.as_str(), &*unsupported.message),
            Skip::Budget { account, affordable_tokens, asked_tokens, of, .. } => {
                let account = self::account(account.kind);
                let detail = format!("{account} covers {affordable_tokens} of {asked_tokens} {of} tokens");
                Self::new(Rule::Budget.as_str(), detail)
            }
            Skip::CredentialBudget => {
                Self::new(Rule::Budget.as_str(), "the budgets of the provider's credentials are used up")
            }
            Skip::Media(error) => Self::new("media", &*error.public),
            Skip::Refused(error) => Self::new(error.code().error_type(), refused(error)),
            Skip::Gone(why) => Self::new(why.code().error_type(), why.to_string()),
            Skip::Shut(shut, _) => Self::shut(*shut),
            Skip::Limited(error, _) => Self::new("rate", error.to_string()),
            Skip::Failed(..) | Skip::Faulty(..) => return None,
        })
    }

    /// The model took the request for wrong at another provider.
    pub fn barred(model: &ModelId) -> Self {
        Self::new("barred_model", format!("the request was refused as such by `{model}` elsewhere"))
    }

    /// Nothing is sent to the endpoint at the moment.
    pub fn shut(shut: Shut) -> Self {
        let seconds = shut.for_ms.div_ceil(1000);
        let detail = match shut.cause {
            Cause::Open => format!("its breaker is open for another {seconds} s"),
            Cause::Probed => "its breaker is half open, and another request is the probe".to_owned(),
            Cause::Limited => format!("its provider asked to wait for another {seconds} s"),
        };
        Self::new(refusal::shut_by(shut), detail)
    }

    /// As a hedge it would be a probe.
    pub fn unwell() -> Self {
        Self::new("circuit_open", "its breaker is not closed, and a hedge is no probe")
    }

    /// No retry of the provider is left.
    pub fn share_of_retries(provider: &str, share: f64) -> Self {
        Self::new("retry_share", format!("the retries of `{provider}` are spent, {share} of its traffic"))
    }

    /// It may be tried again only when the request's time is up.
    pub fn too_late(pause: Duration) -> Self {
        Self::new(
            "total",
            format!("a pause of {} ms ends after the request's last moment", pause.as_millis()),
        )
    }

    /// As a hedge it could cost more than its policy allows.
    pub fn dear_hedge(worst: NanoUsd, most: NanoUsd) -> Self {
        Self::new("hedge.max_usd", format!("its worst case is {worst} USD, the most for a hedge {most}"))
    }

    /// So many of the stage's requests were hedged already.
    pub fn share_of_hedges(permille: u32) -> Self {
        Self::new("hedge.max_rate_permille", format!("the hedges of the stage are spent, {permille} of 1000"))
    }
}

fn account(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::TenantCredits => "the tenant's credits",
        AccountKind::KeyLimit => "the key's limit",
        AccountKind::TenantBudget => "the tenant's budget",
        AccountKind::UserBudget => "the user's budget",
        _ => "a budget",
    }
}

fn refused(error: &ReserveError) -> &'static str {
    match error {
        ReserveError::Exhausted { .. } => "an account is spent",
        ReserveError::Busy { .. } => "the money is lent to other instances",
        ReserveError::Unavailable => "the money cannot be borrowed",
        ReserveError::UnknownAccount { .. } => "an account is not known",
        ReserveError::Journal(_) => "the journal took no intent",
    }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::code::ErrorCode;

    use super::*;
    use crate::error::RequestError;
    use crate::limits::{Account, Period};

    #[test]
    fn what_stood_against_a_candidate_is_a_rule_with_its_value() {
        let (kind, owner, period) = (AccountKind::KeyLimit, "key".into(), Period::All);
        let account = Account { kind, owner, period };
        let limit = NanoUsd::ZERO;
        let budget = Skip::Budget { account, limit, affordable_tokens: 3, asked_tokens: 40, of: "output" };
        let media = RequestError::new(ErrorCode::InvalidImage, "messages[0].content[1] has no image.");
        let rows = [
            (budget, "budget", "the key's limit covers 3 of 40 output tokens"),
            (Skip::Media(Box::new(media)), "media", "messages[0].content[1] has no image."),
            (
                Skip::Refused(ReserveError::Busy { retry_after: Duration::from_secs(1) }),
                "budget_busy",
                "the money is lent to other instances",
            ),
        ];
        for (skip, rule, detail) in rows {
            assert_eq!(Why::of(&skip), Some(Why::new(rule, detail)));
        }
    }
}
