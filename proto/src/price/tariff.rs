//! Which prices hold when, and for which prompts: versions by date, and in each of them overrides for long prompts and for
//! hours of the day.
//!
//! An attempt has the price of the moment it is sent. Its worst case covers every price that holds while it may run, so a
//! bound does not rest on which moment the provider takes.

use std::sync::Arc;

use chrono::{DateTime, Timelike, Utc};

use crate::{
    money::NanoUsd,
    price::{
        BadPrice, Given, Most, Parts, Prices,
        written::{self, Written},
    },
    v1,
};

/// Most overrides of a version, and most versions.
pub const MOST: usize = 16;
const DAY: u64 = 24 * 60 * 60;

/// An endpoint's prices at all times. Looking them up allocates nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Tariff {
    first: Version,
    /// In the order of their moments.
    later: Vec<(DateTime<Utc>, Version)>,
}

/// The prices between two moments.
#[derive(Debug, Clone, PartialEq)]
struct Version {
    given: Given,
    prices: Prices,
    /// As it was written, without overrides.
    text: Arc<v1::Price>,
    overrides: Vec<Override>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Override {
    above: Option<u64>,
    hours: Option<Hours>,
    given: Given,
}

/// A part of each day, in seconds after midnight UTC: from its start until before its end, which may be of the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hours {
    start: u64,
    end: u64,
}

/// When an attempt may run: both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// A condition and what it changes, to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    pub min_prompt_tokens: Option<u64>,
    /// Hour and minute of the start and of the end, which is not part of the hours.
    pub hours: Option<((u64, u64), (u64, u64))>,
    pub given: Given,
}

/// The prices of one moment.
#[derive(Debug, Clone, Copy)]
pub struct Rate<'a> {
    version: &'a Version,
    second: u64,
}

impl Default for Tariff {
    fn default() -> Self {
        Self { first: Version::of(Given::default(), Vec::new()), later: Vec::new() }
    }
}

impl Tariff {
    /// Reads a price with its overrides and versions.
    ///
    /// # Errors
    /// Names the first field that cannot be taken.
    pub fn parse(price: &Written) -> Result<Self, BadPrice> {
        let written::Schedule { overrides, versions } = &price.schedule;
        let first = Version::of(Given::read(&price.parts)?, self::overrides(overrides)?);
        let later = versions.iter().enumerate();
        let later = later
            .map(|(place, version)| dated(version).map_err(|bad| bad.within(&format!("versions[{place}]"))));
        let later = later.collect::<Result<Vec<_>, _>>()?;
        if later.len() > MOST {
            return Err(BadPrice::rule("versions", "are more than 16"));
        }
        match later.windows(2).position(|pair| pair[0].0 >= pair[1].0) {
            Some(place) => {
                let field = format!("versions[{}].from", place + 1);
                Err(BadPrice::rule(field, "is not after the version before it"))
            }
            None => Ok(Self { first, later }),
        }
    }

    /// The prices that hold at a moment.
    pub fn at(&self, time: DateTime<Utc>) -> Rate<'_> {
        let begun = self.later.partition_point(|(from, _)| *from <= time);
        let version = begun.checked_sub(1).map_or(&self.first, |last| &self.later[last].1);
        Rate { version, second: second_of_day(time) }
    }

    /// The prices that hold at a moment in milliseconds since 1970.
    pub fn at_ms(&self, ms: u64) -> Rate<'_> {
        let time = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
        self.at(time.unwrap_or(DateTime::UNIX_EPOCH))
    }

    /// Whether nothing ever costs anything.
    pub fn is_free(&self) -> bool {
        self.versions().all(Version::is_free)
    }

    /// Whether one price holds at all times and for all prompts.
    pub fn is_flat(&self) -> bool {
        self.later.is_empty() && self.first.overrides.is_empty()
    }

    /// The most that an attempt can cost that runs in this time, whichever of the prices in it holds.
    ///
    /// Grows with each of the bounds.
    pub fn worst(&self, span: Span, most: &Most) -> NanoUsd {
        if self.is_flat() {
            return self.first.prices.worst(most);
        }
        let moments = self.later.iter().map(|(from, _)| *from).filter(|from| span.from < *from);
        let begins = std::iter::once(span.from).chain(moments.clone());
        let ends = moments.map(|from| from.min(span.until)).chain([span.until]);
        let parts = begins.zip(ends).filter(|(begin, _)| *begin <= span.until.max(span.from));
        let dearest = parts.map(|(from, until)| {
            self.at(from).version.worst(second_of_day(from), seconds_between(from, until), most)
        });
        dearest.max().unwrap_or_default()
    }

    fn versions(&self) -> impl Iterator<Item = &Version> {
        std::iter::once(&self.first).chain(self.later.iter().map(|(_, version)| version))
    }
}

impl Rate<'_> {
    /// The prices without overrides.
    pub fn base(&self) -> Prices {
        self.version.prices
    }

    /// The overrides of the version that holds, whether they hold or not.
    pub fn conditions(&self) -> impl Iterator<Item = Condition> {
        let clock = |second: u64| (second / 3600, second / 60 % 60);
        self.version.overrides.iter().map(move |row| Condition {
            min_prompt_tokens: row.above,
            hours: row.hours.map(|hours| (clock(hours.start), clock(hours.end))),
            given: row.given,
        })
    }

    /// The prices of a request whose prompt has this many tokens.
    pub fn prices(&self, prompt_tokens: u64) -> Prices {
        match self.version.overrides.as_slice() {
            [] => self.version.prices,
            _ => self.version.given_at(self.second, prompt_tokens).filled(),
        }
    }

    /// What tokens cost.
    pub fn cost(&self, tokens: &v1::TokenUsage) -> NanoUsd {
        self.prices(tokens.prompt).cost(tokens)
    }

    /// The prices as they were written, without overrides: for records of attempts whose prompt is not counted yet.
    pub fn text(&self) -> &Arc<v1::Price> {
        &self.version.text
    }

    /// The prices of a request whose prompt has this many tokens, as texts, where they are not those of [`Rate::text`].
    pub fn text_of(&self, prompt_tokens: u64) -> Option<v1::PriceParts> {
        let given = self.version.given_at(self.second, prompt_tokens);
        (given != self.version.given).then(|| (&given).into())
    }
}

impl Version {
    fn of(given: Given, overrides: Vec<Override>) -> Self {
        let text = Arc::new(v1::PriceParts::from(&given).into());
        Self { given, prices: given.filled(), text, overrides }
    }

    fn is_free(&self) -> bool {
        let given = std::iter::once(&self.given).chain(self.overrides.iter().map(|one| &one.given));
        given.map(|given| given.filled()).all(|prices| prices == Prices::default())
    }

    /// Later overrides go over earlier ones.
    fn given_at(&self, second: u64, prompt_tokens: u64) -> Given {
        let holding = self.overrides.iter().filter(|one| one.holds(second, prompt_tokens));
        holding.fold(self.given, |given, one| one.given.over(given))
    }

    /// The dearest of all prices from a second of the day on, for so many seconds more.
    fn worst(&self, second: u64, seconds: u64, most: &Most) -> NanoUsd {
        let hours = self.overrides.iter().filter_map(|one| one.hours);
        let changes = hours.flat_map(|hours| [hours.start, hours.end]);
        let reached = changes.filter(|change| (change + DAY - second) % DAY <= seconds);
        let dearest = reached.map(|change| self.worst_at(change, most)).max();
        dearest.unwrap_or_default().max(self.worst_at(second, most))
    }

    /// The dearest of all prompts: each price that depends on their length at the longest prompt that has it.
    fn worst_at(&self, second: u64, most: &Most) -> NanoUsd {
        let steps = self.overrides.iter().filter_map(|one| one.above).filter(|above| *above < most.prompt);
        let dearest = steps.chain([most.prompt]).map(|prompt| {
            let prices = self.given_at(second, prompt).filled();
            prices.worst(&Most { prompt, ..*most })
        });
        dearest.max().unwrap_or_default()
    }
}

impl Override {
    fn holds(&self, second: u64, prompt_tokens: u64) -> bool {
        self.above.is_none_or(|above| prompt_tokens > above)
            && self.hours.is_none_or(|hours| hours.have(second))
    }
}

impl Hours {
    fn have(self, second: u64) -> bool {
        if self.start < self.end {
            (self.start..self.end).contains(&second)
        } else {
            second >= self.start || second < self.end
        }
    }
}

fn dated(version: &written::Version) -> Result<(DateTime<Utc>, Version), BadPrice> {
    let from = version.from.ok_or_else(|| BadPrice::rule("from", "is no time"))?;
    Ok((from, Version::of(given(&version.price)?, overrides(&version.overrides)?)))
}

/// The prices within something that is there for their sake.
fn given(parts: &Parts) -> Result<Given, BadPrice> {
    if parts.0.is_empty() {
        return Err(BadPrice::rule("price", "is missing"));
    }
    Given::read(parts).map_err(|bad| bad.within("price"))
}

fn overrides(rows: &[written::Override]) -> Result<Vec<Override>, BadPrice> {
    if rows.len() > MOST {
        return Err(BadPrice::rule("overrides", "are more than 16"));
    }
    let read = |(place, row)| changed(row).map_err(|bad| bad.within(&format!("overrides[{place}]")));
    rows.iter().enumerate().map(read).collect()
}

fn changed(row: &written::Override) -> Result<Override, BadPrice> {
    let hours = hours(row)?;
    if hours.is_none() && row.min_prompt_tokens.is_none() {
        return Err(BadPrice::rule(
            "min_prompt_tokens",
            "or hours of the day are needed: it would always hold",
        ));
    }
    Ok(Override { above: row.min_prompt_tokens, hours, given: given(&row.price)? })
}

fn hours(row: &written::Override) -> Result<Option<Hours>, BadPrice> {
    let read = |field: &str, text: &str| {
        second(text).ok_or_else(|| BadPrice::rule(field, "is not a time of the day: `HH:MM`"))
    };
    match (row.utc_start.as_str(), row.utc_end.as_str()) {
        ("", "") => Ok(None),
        ("", _) => Err(BadPrice::rule("utc_start", "is needed with `utc_end`")),
        (_, "") => Err(BadPrice::rule("utc_end", "is needed with `utc_start`")),
        (start, end) => {
            let hours = Hours { start: read("utc_start", start)?, end: read("utc_end", end)? };
            match hours.start == hours.end {
                true => Err(BadPrice::rule("utc_end", "is the start: no hours, or all of them?")),
                false => Ok(Some(hours)),
            }
        }
    }
}

/// The second of the day of `HH:MM`.
fn second(text: &str) -> Option<u64> {
    let (hour, minute) = text.split_once(':')?;
    let two = |digits: &str, below: u64| {
        let is_two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|number| is_two && *number < below)
    };
    Some(two(hour, 24)? * 3600 + two(minute, 60)? * 60)
}

fn second_of_day(time: DateTime<Utc>) -> u64 {
    time.num_seconds_from_midnight().into()
}

/// Whole seconds that a span touches, beyond its first.
fn seconds_between(from: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
    u64::try_from(until.timestamp().saturating_sub(from.timestamp())).unwrap_or(0)
}
