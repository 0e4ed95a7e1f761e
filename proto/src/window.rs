//! Windows of budgets: calendar periods in UTC, and rolling ones as a sum of fixed slots.
//!
//! A rolling window of `24h` is counted in slots of an hour. Whatever the time, the last 24 hours lie within 25 slots in a
//! row; no such run may hold more than the limit. So nobody's clock decides whether a budget is kept, only the slots' names.

use std::{fmt, ops::RangeInclusive};

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};

/// Over which time a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    Daily,
    /// Weeks start on Monday.
    Weekly,
    Monthly,
    /// The last hours or days.
    Rolling(Rolling),
}

/// A rolling window: so many hours, in slots of an hour; or so many days, in slots of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rolling {
    slots: u16,
    unit: Unit,
}

/// How long a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    Hour,
    Day,
}

/// One slot of a rolling window: an account's period. Displays as on the wire, e.g. `24h/2026-11-23T10`, `7d/2026-11-23`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    pub window: Rolling,
    /// Units since 1970.
    number: u32,
}

/// A text that names no window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is none of daily, weekly, monthly, 1h to {MOST_HOURS}h, 1d to {MOST_DAYS}d")]
pub struct UnknownWindow;

const MOST_HOURS: u16 = 168;
const MOST_DAYS: u16 = 92;

impl Window {
    /// Reads `daily`, `weekly`, `monthly`, `24h`, `7d`.
    ///
    /// # Errors
    /// [`UnknownWindow`], with all that there are.
    pub fn parse(text: &str) -> Result<Self, UnknownWindow> {
        match text {
            "daily" => Ok(Self::Daily),
            "weekly" => Ok(Self::Weekly),
            "monthly" => Ok(Self::Monthly),
            _ => Rolling::parse(text).map(Self::Rolling).ok_or(UnknownWindow),
        }
    }

    /// The period that a moment falls into, as accounts name it: `2026-11-23`, `2026-W48`, `2026-11`, `24h/2026-11-23T10`.
    pub fn period(self, at: DateTime<Utc>) -> String {
        match self {
            Self::Daily => at.format("%Y-%m-%d").to_string(),
            Self::Weekly => at.format("%G-W%V").to_string(),
            Self::Monthly => at.format("%Y-%m").to_string(),
            Self::Rolling(rolling) => rolling.slot(at).to_string(),
        }
    }

    /// The window that a period is of; `None` for periods that never start afresh, and for what is no period.
    pub fn of_period(period: &str) -> Option<Self> {
        match (Slot::parse(period), period.len()) {
            (Some(slot), _) => Some(Self::Rolling(slot.window)),
            (None, 10) => Some(Self::Daily),
            (None, 8) => Some(Self::Weekly),
            (None, 7) => Some(Self::Monthly),
            (None, _) => None,
        }
    }

    /// Its length in hours; a month counts 31 days.
    pub fn hours(self) -> u32 {
        match self {
            Self::Daily => 24,
            Self::Weekly => 7 * 24,
            Self::Monthly => 31 * 24,
            Self::Rolling(Rolling { slots, unit }) => u32::from(slots) * unit.hours(),
        }
    }

    /// Whether it counts the last hours or days.
    pub fn is_rolling(self) -> bool {
        matches!(self, Self::Rolling(_))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daily => f.write_str("daily"),
            Self::Weekly => f.write_str("weekly"),
            Self::Monthly => f.write_str("monthly"),
            Self::Rolling(rolling) => rolling.fmt(f),
        }
    }
}

impl Unit {
    fn hours(self) -> u32 {
        match self {
            Self::Hour => 1,
            Self::Day => 24,
        }
    }
}

impl Rolling {
    fn parse(text: &str) -> Option<Self> {
        let (digits, unit, most) = match (text.strip_suffix('h'), text.strip_suffix('d')) {
            (Some(digits), _) => (digits, Unit::Hour, MOST_HOURS),
            (_, Some(digits)) => (digits, Unit::Day, MOST_DAYS),
            _ => return None,
        };
        // One window has one name: no signs, no zeros in front.
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        let slots: u16 = digits.parse().ok().filter(|slots| is_plain && (1..=most).contains(slots))?;
        Some(Self { slots, unit })
    }

    /// The slot that a moment falls into; times before 1970 are in the first.
    pub fn slot(self, at: DateTime<Utc>) -> Slot {
        let hours = u32::try_from(at.timestamp().max(0) / 3600).unwrap_or(u32::MAX);
        Slot { window: self, number: hours / self.unit.hours() }
    }

    /// `24 hours`, `7 days`.
    pub fn in_words(self) -> String {
        let noun = match self.unit {
            Unit::Hour => "hour",
            Unit::Day => "day",
        };
        let plural = if self.slots == 1 { "" } else { "s" };
        format!("{} {noun}{plural}", self.slots)
    }
}

impl fmt::Display for Rolling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Hour => 'h',
            Unit::Day => 'd',
        };
        write!(f, "{}{unit}", self.slots)
    }
}

impl Slot {
    /// Reads what [`Slot`] displays.
    pub fn parse(text: &str) -> Option<Self> {
        let (window, start) = text.split_once('/')?;
        let window = Rolling::parse(window)?;
        let (date, hour) = match (window.unit, start.split_once('T')) {
            (Unit::Hour, Some((date, hour))) => (date, hour.parse().ok().filter(|_| hour.len() == 2)?),
            (Unit::Day, None) => (start, 0),
            _ => return None,
        };
        let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok().filter(|_| date.len() == 10)?;
        let slot = window.slot(date.and_time(NaiveTime::from_hms_opt(hour, 0, 0)?).and_utc());
        (slot.to_string() == text).then_some(slot)
    }

    /// Every slot that some run of the window's length shares with this one: what is lent here counts with all of these.
    pub fn neighbours(self) -> impl Iterator<Item = Self> {
        let Self { window, number } = self;
        let slots = u32::from(window.slots);
        let all: RangeInclusive<u32> = number.saturating_sub(slots)..=number.saturating_add(slots);
        all.filter(move |other| *other != number).map(move |number| Self { window, number })
    }

    /// The run of the window's length that ends with this slot, newest first.
    pub fn run(self) -> impl Iterator<Item = Self> {
        let Self { window, number } = self;
        let all = number.saturating_sub(u32::from(window.slots))..=number;
        all.rev().map(move |number| Self { window, number })
    }

    /// Whether some run of the window's length holds both.
    pub fn is_neighbour_of(self, other: Self) -> bool {
        let apart = self.number.abs_diff(other.number);
        self.window == other.window && (1..=u32::from(self.window.slots)).contains(&apart)
    }

    fn start(self) -> DateTime<Utc> {
        let seconds = i64::from(self.number) * i64::from(self.window.unit.hours()) * 3600;
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.start();
        write!(f, "{}/{:04}-{:02}-{:02}", self.window, at.year(), at.month(), at.day())?;
        match self.window.unit {
            Unit::Hour => write!(f, "T{:02}", at.hour()),
            Unit::Day => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn windows_have_one_name_each() {
        for (text, hours) in [
            ("daily", Some(24)),
            ("weekly", Some(168)),
            ("monthly", Some(744)),
            ("1h", Some(1)),
            ("168h", Some(168)),
            ("7d", Some(168)),
            ("92d", Some(2208)),
            ("169h", None),
            ("93d", None),
            ("0h", None),
            ("07d", None),
            ("+7d", None),
            ("7", None),
            ("d", None),
            ("Daily", None),
            ("", None),
        ] {
            let window = Window::parse(text);
            assert_eq!(window.ok().map(Window::hours), hours, "{text}");
            if let Ok(window) = window {
                assert_eq!(window.to_string(), text);
            }
        }
    }

    #[test]
    fn periods_lead_back_to_their_slots() {
        for (window, period) in [
            ("daily", "2026-11-23"),
            ("weekly", "2026-W48"),
            ("monthly", "2026-11"),
            ("24h", "24h/2026-11-23T10"),
            ("7d", "7d/2026-11-23"),
        ] {
            let window = Window::parse(window).unwrap();
            assert_eq!(window.period(at("2026-11-23T10:59:59Z")), period);
            assert_eq!(Window::of_period(period), Some(window));
            let slot = Slot::parse(period);
            assert_eq!(slot.is_some(), window.is_rolling(), "{period}");
            assert!(slot.is_none_or(|slot| slot.to_string() == period));
        }
        for text in [
            "24h/2026-11-23",
            "7d/2026-11-23T10",
            "24h/2026-11-23T24",
            "24h/2026-11-23T1",
            "24h/2026-02-30T01",
            "x/2026-11-23",
            "24h/",
            "24h",
        ] {
            assert_eq!(Slot::parse(text), None, "{text}");
        }
    }

    #[test]
    fn any_stretch_as_long_as_the_window_lies_within_a_run_of_neighbours() {
        let window = Rolling::parse("24h").unwrap();
        let slot = window.slot(at("2026-11-23T10:30:00Z"));
        let neighbours: Vec<String> = slot.neighbours().map(|slot| slot.to_string()).collect();
        assert_eq!(neighbours.len(), 48);
        assert_eq!(neighbours[0], "24h/2026-11-22T10");
        assert_eq!(neighbours[47], "24h/2026-11-24T10");
        // The first and the last moment that lie less than a window apart from some moment of the slot.
        for moment in ["2026-11-22T10:00:00Z", "2026-11-24T10:59:59Z"] {
            assert!(neighbours.contains(&window.slot(at(moment)).to_string()), "{moment}");
        }
        for other in slot.neighbours() {
            assert!(slot.is_neighbour_of(other) && other.is_neighbour_of(slot));
        }
        assert!(!slot.is_neighbour_of(slot));
        let run: Vec<String> = slot.run().map(|slot| slot.to_string()).collect();
        assert_eq!(
            (run.len(), run[0].as_str(), run[24].as_str()),
            (25, "24h/2026-11-23T10", "24h/2026-11-22T10")
        );
        let first = Rolling::parse("3d").unwrap().slot(at("1970-01-01T00:00:00Z"));
        assert_eq!((first.neighbours().count(), first.run().count()), (3, 1), "there is nothing before 1970");
    }
}
