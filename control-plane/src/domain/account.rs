//! Accounts: what money is counted against, and in which period.
//!
//! Moving money is `money`'s and `store::account`'s business.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use switchyard_proto::money::NanoUsd;

/// What an account belongs to; the numbers are those of the wire and the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum AccountKind {
    TenantCredits = 1,
    TenantBudget = 2,
    KeyLimit = 3,
    UserBudget = 4,
    CredentialBudget = 5,
    House = 6,
    /// What a tenant's own credentials were billed for a key's calls, by day; without a limit.
    ByokUsage = 7,
}

/// The period of accounts that never start afresh.
pub const WHOLE_LIFE: &str = "all";

/// When a limit starts afresh, at 00:00 UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    #[default]
    Never,
    Daily,
    /// Weeks start on Monday.
    Weekly,
    Monthly,
}

impl Reset {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Never, Self::Daily, Self::Weekly, Self::Monthly];

    /// The name that the store keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    /// Reads the stored name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reset| reset.as_str() == name)
    }

    /// The period that a time falls into: `all`, `2026-11-23`, `2026-W48`, `2026-11`.
    pub fn period(self, at: DateTime<Utc>) -> String {
        match self {
            Self::Never => WHOLE_LIFE.to_owned(),
            Self::Daily => at.format("%Y-%m-%d").to_string(),
            Self::Weekly => at.format("%G-W%V").to_string(),
            Self::Monthly => at.format("%Y-%m").to_string(),
        }
    }
}

/// A spending limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SpendLimit {
    #[serde(serialize_with = "as_text")]
    pub usd: NanoUsd,
    pub reset: Reset,
}

fn as_text<S: Serializer>(amount: &NanoUsd, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(amount)
}

/// An account in one of its periods, with what is known of its money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub kind: i16,
    pub owner: String,
    pub period: String,
    pub tenant: String,
    /// `None`: no limit.
    pub limit_nano: Option<i64>,
    pub charged_nano: i64,
    pub presumed_nano: i64,
    pub lent_nano: i64,
}

impl Account {
    /// What is neither charged, presumed nor lent; negative where a limit was lowered below that.
    pub fn left_nano(&self) -> Option<i64> {
        let taken = self.charged_nano.saturating_add(self.presumed_nano).saturating_add(self.lent_nano);
        self.limit_nano.map(|limit| limit.saturating_sub(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_follow_the_calendar_in_utc() {
        for (at, periods) in [
            ("2026-11-23T00:00:00Z", ["all", "2026-11-23", "2026-W48", "2026-11"]),
            ("2026-11-22T23:59:59Z", ["all", "2026-11-22", "2026-W47", "2026-11"]),
            // The first days of 2027 are in the last week of 2026.
            ("2027-01-03T12:00:00Z", ["all", "2027-01-03", "2026-W53", "2027-01"]),
        ] {
            let at: DateTime<Utc> = at.parse().unwrap();
            assert_eq!(Reset::ALL.map(|reset| reset.period(at)), periods, "{at}");
        }
    }

    #[test]
    fn reset_names_lead_back() {
        for reset in Reset::ALL {
            assert_eq!(Reset::parse(reset.as_str()), Some(reset));
        }
    }

    #[test]
    fn lent_and_presumed_money_is_not_left() {
        let account = Account {
            kind: 1,
            owner: "acme".into(),
            period: WHOLE_LIFE.into(),
            tenant: "acme".into(),
            limit_nano: Some(100),
            charged_nano: 50,
            presumed_nano: 20,
            lent_nano: 40,
        };
        assert_eq!(account.left_nano(), Some(-10));
        assert_eq!(Account { limit_nano: None, ..account }.left_nano(), None);
    }
}
