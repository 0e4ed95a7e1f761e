//! Usage as it is asked for: by what, of which days, and the sums that answer.

use chrono::{DateTime, Months, NaiveDate, Utc};
use switchyard_proto::id::TenantId;

use crate::domain::invalid::Invalid;

/// What sums are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    Day,
    Tenant,
    Key,
    Model,
    Provider,
    User,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 6] = [Self::Day, Self::Tenant, Self::Key, Self::Model, Self::Provider, Self::User];

    /// The name that people write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::User => "user",
        }
    }

    /// Reads names, each once.
    ///
    /// # Errors
    /// Names `by` and the place.
    pub fn read_all(names: &[String]) -> Result<Vec<Self>, Invalid> {
        let mut all = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let field = format!("by[{index}]");
            let known = Self::ALL.into_iter().find(|dimension| dimension.as_str() == name);
            let known = known.ok_or_else(|| {
                Invalid::new(
                    &*field,
                    format!("is `{name}`, and none of day, tenant, key, model, provider, user"),
                )
            })?;
            if all.contains(&known) {
                return Err(Invalid::new(field, format!("names `{name}` a second time")));
            }
            all.push(known);
        }
        Ok(all)
    }
}

/// Usage of whole days, in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub by: Vec<Dimension>,
    pub from: NaiveDate,
    /// Not itself.
    pub until: NaiveDate,
    /// Of these alone, where they are given.
    pub tenant: Option<TenantId>,
    pub key: Option<String>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub user: Option<String>,
}

impl Question {
    /// The coarsest grain of the roll-up that tells what is asked; `is_of_one` where a tenant is named.
    pub fn grain(&self, is_of_one: bool) -> i16 {
        let asks = |dimension, filter: bool| self.by.contains(&dimension) || filter;
        if asks(Dimension::User, self.user.is_some()) {
            3
        } else if asks(Dimension::Key, self.key.is_some()) {
            2
        } else {
            i16::from(asks(Dimension::Tenant, is_of_one))
        }
    }
}

/// One answer's row; what was not asked for is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub day: Option<NaiveDate>,
    pub tenant: String,
    pub key: String,
    pub model: String,
    pub provider: String,
    pub user: String,
    pub sums: Sums,
}

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Finished requests, and those of them that failed.
    pub requests: u64,
    pub errors: u64,
    pub attempts: u64,
    /// Tokens in the normal form: totals include their parts.
    pub prompt: u64,
    pub cached: u64,
    pub cache_write: u64,
    pub completion: u64,
    pub reasoning: u64,
    pub images: u64,
    /// What providers bill the operator.
    pub cost_nano: i64,
    /// What tenants pay.
    pub charge_nano: i64,
    /// What providers bill tenants, for their own credentials.
    pub byok_cost_nano: i64,
}

impl Sums {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            errors: self.errors + other.errors,
            attempts: self.attempts + other.attempts,
            prompt: self.prompt + other.prompt,
            cached: self.cached + other.cached,
            cache_write: self.cache_write + other.cache_write,
            completion: self.completion + other.completion,
            reasoning: self.reasoning + other.reasoning,
            images: self.images + other.images,
            cost_nano: self.cost_nano.saturating_add(other.cost_nano),
            charge_nano: self.charge_nano.saturating_add(other.charge_nano),
            byok_cost_nano: self.byok_cost_nano.saturating_add(other.byok_cost_nano),
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub rows: Vec<Row>,
    pub total: Sums,
    pub from: NaiveDate,
    pub until: NaiveDate,
    /// Everything booked by then is in it.
    pub complete_until: DateTime<Utc>,
}

/// What moved on a tenant's credits, in nano-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    pub topped_up: i64,
    /// Negative where credits were taken away.
    pub adjusted: i64,
    /// Never positive.
    pub refunded: i64,
    pub charged: i64,
    /// Lent to instances that never came back; counts as spent until they do.
    pub presumed: i64,
}

impl Moved {
    /// What it makes of a balance.
    pub fn net(self) -> i64 {
        self.topped_up + self.adjusted + self.refunded - self.charged - self.presumed
    }
}

/// A tenant's credits over a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub tenant: TenantId,
    pub month: Month,
    pub opening_nano: i64,
    pub moved: Moved,
    /// Credit lines of the month, oldest first.
    pub movements: Vec<Movement>,
    /// Whether the month is over. Lines that arrive late still move it, by the time of their requests.
    pub is_over: bool,
}

impl Statement {
    /// What the next month opens with.
    pub fn closing_nano(&self) -> i64 {
        self.opening_nano + self.moved.net()
    }
}

/// One credit line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    pub at: DateTime<Utc>,
    pub kind: CreditKind,
    /// Positive where credits were granted.
    pub amount_nano: i64,
    pub reason: String,
    pub actor: String,
}

/// Why credits move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CreditKind {
    /// Money that came in; only ever grants.
    #[default]
    TopUp,
    /// A correction, either way.
    Adjustment,
    /// Money paid back; only ever takes.
    Refund,
}

impl CreditKind {
    const ALL: [Self; 3] = [Self::TopUp, Self::Adjustment, Self::Refund];

    /// The name that the store keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TopUp => "top_up",
            Self::Adjustment => "adjustment",
            Self::Refund => "refund",
        }
    }

    /// Reads the stored name; lines from before there were kinds are told apart by their sign.
    pub fn parse(name: &str, amount_nano: i64) -> Self {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .unwrap_or_else(|| Self::of_amount(amount_nano))
    }

    /// What an amount is that nobody gave a kind.
    pub fn of_amount(amount_nano: i64) -> Self {
        if amount_nano < 0 { Self::Adjustment } else { Self::TopUp }
    }
}

/// A calendar month, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month(NaiveDate);

impl Month {
    /// Reads `2026-11`.
    ///
    /// # Errors
    /// Names `month`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let day = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok();
        let day = day.filter(|day| day.format("%Y-%m").to_string() == text);
        // What ids can tell: they count milliseconds since 1970, and some centuries are enough.
        let day = day.filter(|day| ("1970-01".."2970-01").contains(&&*day.format("%Y-%m").to_string()));
        day.map(Self).ok_or_else(|| Invalid::new("month", "is not a month such as 2026-11"))
    }

    /// Its first day.
    pub fn first(self) -> NaiveDate {
        self.0
    }

    /// The first day after it.
    pub fn after(self) -> NaiveDate {
        self.0 + Months::new(1)
    }
}

/// `2026-11`.
impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_read_by_name_each_once() {
        let read =
            |names: &[&str]| Dimension::read_all(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(read(&["model", "day"]), Ok(vec![Dimension::Model, Dimension::Day]));
        assert_eq!(read(&["day", "hour"]).unwrap_err().field, "by[1]");
        assert_eq!(read(&["day", "day"]).unwrap_err().field, "by[1]");
    }

    #[test]
    fn the_coarsest_grain_that_tells_is_asked() {
        let question = |by: &[Dimension], key: Option<&str>, user: Option<&str>| Question {
            by: by.to_vec(),
            from: NaiveDate::default(),
            until: NaiveDate::default(),
            tenant: None,
            key: key.map(str::to_owned),
            model: Some("a/m".to_owned()),
            provider: None,
            user: user.map(str::to_owned),
        };
        for (asked, is_of_one, grain) in [
            (question(&[Dimension::Model, Dimension::Day], None, None), false, 0),
            (question(&[Dimension::Model], None, None), true, 1),
            (question(&[Dimension::Tenant], None, None), false, 1),
            (question(&[Dimension::Key], None, None), false, 2),
            (question(&[], Some("key_1"), None), true, 2),
            (question(&[Dimension::Key], None, Some("u")), true, 3),
            (question(&[Dimension::User], None, None), false, 3),
        ] {
            assert_eq!(asked.grain(is_of_one), grain, "{asked:?}");
        }
    }

    #[test]
    fn months_are_whole_and_in_the_calendar() {
        let month = Month::parse("2026-12").unwrap();
        assert_eq!(
            (month.first().to_string(), month.after().to_string()),
            ("2026-12-01".into(), "2027-01-01".into())
        );
        assert_eq!(month.to_string(), "2026-12");
        for text in ["", "2026", "2026-13", "2026-1", "2026-11-01", "1969-12", "9999-01", "2026-٠1"] {
            assert_eq!(Month::parse(text).unwrap_err().field, "month", "{text}");
        }
    }

    #[test]
    fn a_statement_closes_with_what_moved() {
        let moved = Moved { topped_up: 100, adjusted: -5, refunded: -10, charged: 60, presumed: 3 };
        assert_eq!(moved.net(), 22);
    }

    #[test]
    fn credits_without_a_kind_are_told_apart_by_their_sign() {
        for (name, amount, kind) in [
            ("", 5, CreditKind::TopUp),
            ("", -5, CreditKind::Adjustment),
            ("adjustment", 5, CreditKind::Adjustment),
            ("refund", -5, CreditKind::Refund),
        ] {
            assert_eq!(CreditKind::parse(name, amount), kind, "{name} {amount}");
        }
    }
}
