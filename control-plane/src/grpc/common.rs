//! Shapes that several nouns share, between proto and `domain`.

use chrono::{DateTime, SubsecRound, Utc};
use prost_types::Timestamp;
use switchyard_proto::{clock, id::TenantId, money::NanoUsd, v1, window::Window};

use crate::domain::{
    account::{Reset, SpendLimit},
    budget::Budget,
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

/// Reads a spending limit; `field` is what it is called in its message.
pub fn limit(field: &str, limit: &v1::SpendLimit) -> Result<SpendLimit, Invalid> {
    let usd = usd(&limit.usd).map_err(|invalid| invalid.within(field))?;
    let reset = match v1::Reset::try_from(limit.reset) {
        Ok(v1::Reset::Unspecified | v1::Reset::Never) => Reset::Never,
        Ok(v1::Reset::Daily) => Reset::Daily,
        Ok(v1::Reset::Weekly) => Reset::Weekly,
        Ok(v1::Reset::Monthly) => Reset::Monthly,
        Err(_) => {
            let reason = "is none of NEVER, DAILY, WEEKLY, MONTHLY";
            return Err(Invalid::new(format!("{field}.reset"), reason));
        }
    };
    Ok(SpendLimit { usd, reset })
}

/// Reads the amount of a limit, as the field `usd`.
fn usd(text: &str) -> Result<NanoUsd, Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("usd", "is required"));
    }
    let usd = NanoUsd::parse(text).map_err(|reason| Invalid::new("usd", reason))?;
    if usd.0 > i64::MAX as u64 {
        return Err(Invalid::new("usd", "is too large"));
    }
    Ok(usd)
}

/// Reads a tenant's budgets.
pub fn budgets(budgets: &[v1::Budget]) -> Result<Vec<Budget>, Invalid> {
    let budget = |(index, budget): (usize, &v1::Budget)| {
        let read = || {
            let window = Window::parse(&budget.window).map_err(|reason| Invalid::new("window", reason))?;
            Ok(Budget { window, usd: usd(&budget.usd)? })
        };
        read().map_err(|invalid: Invalid| invalid.within(&format!("budgets[{index}]")))
    };
    budgets.iter().enumerate().map(budget).collect()
}

/// Writes a tenant's budgets.
pub fn from_budgets(budgets: &[Budget]) -> Vec<v1::Budget> {
    let budget =
        |budget: &Budget| v1::Budget { window: budget.window.to_string(), usd: budget.usd.to_string() };
    budgets.iter().map(budget).collect()
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
        let read = |usd: &str, reset| limit("limit", &v1::SpendLimit { usd: usd.into(), reset });
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
    fn budgets_are_read_by_place_and_field() {
        let read = |window: &str, usd: &str| {
            let budget = |window: &str, usd: &str| v1::Budget { window: window.into(), usd: usd.into() };
            budgets(&[budget("monthly", "500"), budget(window, usd)]).map(|budgets| from_budgets(&budgets))
        };
        assert_eq!(read("24h", "5.50").unwrap()[1], v1::Budget { window: "24h".into(), usd: "5.5".into() });
        for (window, usd, error) in [
            ("daily", "", "budgets[1].usd is required"),
            ("daily", "ten", "budgets[1].usd is not a decimal number of dollars"),
            ("hourly", "1", "budgets[1].window is none of daily, weekly, monthly, 1h to 168h, 1d to 92d"),
        ] {
            assert_eq!(read(window, usd).unwrap_err().to_string(), error);
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
