//! Accounts as the data plane holds them: small, hashable, told apart by period.
//!
//! The wire form is `v1::AccountPeriod`. Which accounts an attempt bills is the pipeline's business.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Datelike, Utc};
use switchyard_proto::v1::{self, AccountKind};
use switchyard_proto::window::{Slot, Window};

/// What money is counted against, in one of its periods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    pub kind: AccountKind,
    /// The tenant, key, user or credential, as `v1::AccountPeriod` names it.
    pub owner: Arc<str>,
    pub period: Period,
}

impl Account {
    /// As the control plane knows it.
    pub fn to_proto(&self) -> v1::AccountPeriod {
        v1::AccountPeriod {
            kind: self.kind.into(),
            owner: self.owner.as_ref().to_owned(),
            period: self.period.to_string(),
        }
    }

    /// Reads the wire form; `None` for a kind or period that this version does not know.
    pub fn from_proto(account: &v1::AccountPeriod) -> Option<Self> {
        let period = Period::parse(&account.period)?;
        let kind = AccountKind::try_from(account.kind).ok()?;
        Some(Self { kind, owner: account.owner.as_str().into(), period })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` {}", self.kind.as_str_name(), self.owner, self.period)
    }
}

/// A stretch of time with a limit of its own, UTC. Displays as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    All,
    Day {
        year: i32,
        month: u32,
        day: u32,
    },
    Week {
        year: i32,
        week: u32,
    },
    Month {
        year: i32,
        month: u32,
    },
    /// Of a rolling window.
    Slot(Slot),
}

impl Period {
    /// The period that a moment falls into.
    pub fn at(reset: v1::Reset, now: DateTime<Utc>) -> Self {
        let date = now.date_naive();
        let (year, month) = (date.year(), date.month());
        match reset {
            v1::Reset::Unspecified | v1::Reset::Never => Self::All,
            v1::Reset::Daily => Self::Day { year, month, day: date.day() },
            v1::Reset::Weekly => Self::Week { year: date.iso_week().year(), week: date.iso_week().week() },
            v1::Reset::Monthly => Self::Month { year, month },
        }
    }

    /// The period of a window that a moment falls into.
    pub fn of(window: Window, now: DateTime<Utc>) -> Self {
        match window {
            Window::Daily => Self::at(v1::Reset::Daily, now),
            Window::Weekly => Self::at(v1::Reset::Weekly, now),
            Window::Monthly => Self::at(v1::Reset::Monthly, now),
            Window::Rolling(rolling) => Self::Slot(rolling.slot(now)),
        }
    }

    /// Reads the wire form.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self::All);
        }
        if text.contains('/') {
            return Slot::parse(text).map(Self::Slot);
        }
        let (year, rest) = text.split_once('-')?;
        let year = year.parse().ok()?;
        if let Some(week) = rest.strip_prefix('W') {
            return Some(Self::Week { year, week: week.parse().ok()? });
        }
        match rest.split_once('-') {
            Some((month, day)) => {
                Some(Self::Day { year, month: month.parse().ok()?, day: day.parse().ok()? })
            }
            None => Some(Self::Month { year, month: rest.parse().ok()? }),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Day { year, month, day } => write!(f, "{year:04}-{month:02}-{day:02}"),
            Self::Week { year, week } => write!(f, "{year:04}-W{week:02}"),
            Self::Month { year, month } => write!(f, "{year:04}-{month:02}"),
            Self::Slot(slot) => slot.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_written_as_the_control_plane_reads_them() {
        let at: DateTime<Utc> = "2026-01-01T00:30:00Z".parse().unwrap();
        for (reset, text) in [
            (v1::Reset::Never, "all"),
            (v1::Reset::Daily, "2026-01-01"),
            (v1::Reset::Weekly, "2026-W01"),
            (v1::Reset::Monthly, "2026-01"),
        ] {
            let period = Period::at(reset, at);
            assert_eq!(period.to_string(), text);
            assert_eq!(Period::parse(text), Some(period));
        }
    }

    #[test]
    fn m7_limits_start_afresh_at_midnight_on_mondays_and_on_the_first_utc() {
        use v1::Reset::{Daily, Monthly, Never, Weekly};
        // A Sunday before a Monday that is no first, and the last of a month that is no Sunday.
        for (last, next, fresh) in [
            ("2026-11-27T23:59:59.999Z", "2026-11-28T00:00:00Z", &[Daily][..]),
            ("2026-11-29T23:59:59.999Z", "2026-11-30T00:00:00Z", &[Daily, Weekly]),
            ("2026-11-30T23:59:59.999Z", "2026-12-01T00:00:00Z", &[Daily, Monthly]),
        ] {
            let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
            for reset in [Never, Daily, Weekly, Monthly] {
                let is_fresh = Period::at(reset, at(last)) != Period::at(reset, at(next));
                assert_eq!(is_fresh, fresh.contains(&reset), "{reset:?} {next}");
            }
        }
    }

    #[test]
    fn periods_of_windows_are_those_that_the_control_plane_lends_for() {
        let at: DateTime<Utc> = "2026-01-01T00:30:00Z".parse().unwrap();
        for window in ["daily", "weekly", "monthly", "24h", "7d"] {
            let window = Window::parse(window).unwrap();
            let period = Period::of(window, at);
            assert_eq!(period.to_string(), window.period(at));
            assert_eq!(Period::parse(&window.period(at)), Some(period));
        }
    }

    #[test]
    fn a_week_belongs_to_the_year_of_its_thursday() {
        let at: DateTime<Utc> = "2027-01-01T12:00:00Z".parse().unwrap();
        assert_eq!(Period::at(v1::Reset::Weekly, at).to_string(), "2026-W53");
    }

    #[test]
    fn unknown_periods_are_not_guessed() {
        for text in ["24h/2026-01-01", "1y/2026", "", "2026", "2026-", "2026-Wx", "2026-01-xx", "quarter"] {
            assert_eq!(Period::parse(text), None, "{text}");
        }
    }
}
