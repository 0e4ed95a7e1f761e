//! Shapes that several nouns share, between proto and `domain`.

use chrono::{DateTime, SubsecRound, Utc};
use prost_types::Timestamp;
use switchyard_proto::{clock, id::TenantId, money::NanoUsd, v1};

use crate::domain::{
    account::{Reset, SpendLimit},
    invalid::Invalid,
    meta::Revision,
    rates::Rates,
    usage::Tokens,
};

/// Reads a time that may be absent.
pub fn time(field: &str, at: Option<&Timestamp>) -> Result<Option<DateTime<Utc>>, Invalid> {
    let out_of_range = || Invalid::new(field, "is not a time between the years 1 and 9999");
    at.map(|at| {
        // What Postgres and the JSON form can hold.
        let fits = (-62_135_596_800..=253_402_300_799).contains(&at.seconds);
        let at = clock::from_timestamp(at).filter(|_| fits).ok_or_else(out_of_range)?;
        // Postgres keeps microseconds; a finer time would differ from itself once stored.
        Ok(at.trunc_subsecs(6))
    })
    .transpose()
}

/// Writes a time.
pub fn timestamp(at: DateTime<Utc>) -> Option<Timestamp> {
    Some(clock::to_timestamp(at))
}

/// Reads rates; absent: no limits.
pub fn rates(rates: Option<&v1::Rates>) -> Rates {
    let rates = rates.copied().unwrap_or_default();
    Rates {
        requests_per_minute: rates.requests_per_minute,
        tokens_per_minute: rates.tokens_per_minute,
        concurrency: rates.concurrency,
    }
}

/// Writes rates; absent where there is no limit at all.
pub fn from_rates(rates: Rates) -> Option<v1::Rates> {
    (rates != Rates::default()).then_some(v1::Rates {
        requests_per_minute: rates.requests_per_minute,
        tokens_per_minute: rates.tokens_per_minute,
        concurrency: rates.concurrency,
    })
}

/// Reads a spending limit.
pub fn limit(limit: &v1::SpendLimit) -> Result<SpendLimit, Invalid> {
    if limit.usd.is_empty() {
        return Err(Invalid::new("limit.usd", "is required"));
    }
    let usd = NanoUsd::parse(&limit.usd).map_err(|reason| Invalid::new("limit.usd", reason))?;
    if usd.0 > i64::MAX as u64 {
        return Err(Invalid::new("limit.usd", "is too large"));
    }
    let reset = match v1::Reset::try_from(limit.reset) {
        Ok(v1::Reset::Unspecified | v1::Reset::Never) => Reset::Never,
        Ok(v1::Reset::Daily) => Reset::Daily,
        Ok(v1::Reset::Weekly) => Reset::Weekly,
        Ok(v1::Reset::Monthly) => Reset::Monthly,
        Err(_) => return Err(Invalid::new("limit.reset", "is none of NEVER, DAILY, WEEKLY, MONTHLY")),
    };
    Ok(SpendLimit { usd, reset })
}

/// Writes a spending limit.
pub fn from_limit(limit: SpendLimit) -> v1::SpendLimit {
    let reset = match limit.reset {
        Reset::Never => v1::Reset::Never,
        Reset::Daily => v1::Reset::Daily,
        Reset::Weekly => v1::Reset::Weekly,
        Reset::Monthly => v1::Reset::Monthly,
    };
    v1::SpendLimit { usd: limit.usd.to_string(), reset: reset.into() }
}

/// Reads a tenant that may be left out.
pub fn tenant(id: String) -> Option<TenantId> {
    (!id.is_empty()).then(|| TenantId::new(id))
}

/// Writes a revision.
pub fn revision(revision: Revision) -> v1::Revision {
    v1::Revision { incarnation: revision.incarnation, number: revision.number }
}

/// Writes tokens.
pub fn tokens(tokens: Tokens) -> v1::TokenUsage {
    v1::TokenUsage {
        prompt: tokens.prompt,
        cached: tokens.cached,
        cache_write: tokens.cache_write,
        cache_write_1h: tokens.cache_write_1h,
        completion: tokens.completion,
        reasoning: tokens.reasoning,
        audio_prompt: tokens.audio_prompt,
        images: tokens.images,
        audio_completion: tokens.audio_completion,
        image_completion: tokens.image_completion,
        searches: tokens.searches,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_field() {
        let read = |usd: &str, reset| limit(&v1::SpendLimit { usd: usd.into(), reset });
        for (usd, reset, error) in [
            ("5.00", 0, None),
            ("", 1, Some("limit.usd is required")),
            ("five", 1, Some("limit.usd is not a decimal number of dollars")),
            ("-5", 1, Some("limit.usd is negative")),
            ("10000000000", 1, Some("limit.usd is too large")),
            ("5", 9, Some("limit.reset is none of NEVER, DAILY, WEEKLY, MONTHLY")),
        ] {
            assert_eq!(
                read(usd, reset).err().map(|error| error.to_string()).as_deref(),
                error,
                "{usd} {reset}"
            );
        }
    }

    #[test]
    fn times_beyond_the_calendar_are_refused() {
        for (seconds, fine) in
            [(0, true), (253_402_300_799, true), (253_402_300_800, false), (i64::MIN, false)]
        {
            let at = Timestamp { seconds, nanos: 0 };
            assert_eq!(time("expires_at", Some(&at)).is_ok(), fine, "{seconds}");
        }
    }
}
