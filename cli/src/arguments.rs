//! Values on the command line that several nouns share: limits that can be cleared, times, secrets, updates.

use std::{fs, io::Read, path::PathBuf, str::FromStr};

use anyhow::{Context, bail};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};
use clap::{Args, ValueEnum};
use prost_types::{FieldMask, Timestamp};
use switchyard_proto::{clock, v1};

/// A number, or `none` to clear what is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clearable(pub Option<u64>);

impl FromStr for Clearable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|number| Self(Some(number)))
            .map_err(|_| "neither a whole number nor `none`".to_owned())
    }
}

/// A moment: RFC 3339, or how long ago (`90s`, `30m`, `2h`, `7d`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub DateTime<Utc>);

impl Moment {
    /// As the API takes it.
    pub fn to_timestamp(self) -> Timestamp {
        clock::to_timestamp(self.0)
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self(time.to_utc()));
        }
        let ago = duration(text)
            .ok_or("neither a time such as 2026-01-31T12:00:00Z nor one ago such as 2h or 7d")?;
        clock::now().checked_sub_signed(ago).map(Self).ok_or_else(|| "too long ago".to_owned())
    }
}

/// A calendar month in UTC: `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month(NaiveDate);

impl Month {
    /// When it begins.
    pub fn first(self) -> Timestamp {
        clock::to_timestamp(self.0.and_time(NaiveTime::MIN).and_utc())
    }

    /// When the next one begins.
    pub fn after(self) -> Timestamp {
        clock::to_timestamp((self.0 + Months::new(1)).and_time(NaiveTime::MIN).and_utc())
    }
}

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok();
        let day = day.filter(|day| (1970..9999).contains(&day.year()));
        day.map(Self).ok_or_else(|| "no month such as 2026-11".to_owned())
    }
}

/// A moment to come: RFC 3339, a time from now (`30m`, `2h`, `7d`), or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry(pub Option<DateTime<Utc>>);

impl Expiry {
    /// As the API takes it.
    pub fn to_timestamp(self) -> Option<Timestamp> {
        self.0.map(clock::to_timestamp)
    }
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self(Some(time.to_utc())));
        }
        let after = duration(text)
            .ok_or("neither a time such as 2026-01-31T12:00:00Z, nor one from now such as 7d, nor `none`")?;
        clock::now()
            .checked_add_signed(after)
            .map(|time| Self(Some(time)))
            .ok_or_else(|| "too far".to_owned())
    }
}

fn duration(text: &str) -> Option<chrono::Duration> {
    let unit = text.chars().last()?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    match unit {
        's' => chrono::Duration::try_seconds(number),
        'm' => chrono::Duration::try_minutes(number),
        'h' => chrono::Duration::try_hours(number),
        'd' => chrono::Duration::try_days(number),
        _ => None,
    }
}

/// Rate limits of a tenant, a key, a model or what providers are shown.
#[derive(Debug, Clone, Args)]
pub struct RateFlags {
    /// Requests per minute, or `none`
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<Clearable>,
    /// Tokens per minute, or `none`
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<Clearable>,
    /// Requests under way at once, or `none`
    #[arg(long, value_name = "N")]
    concurrency: Option<Clearable>,
}

impl RateFlags {
    /// What was there, changed by what was given; `None` if nothing was given.
    pub fn over(&self, before: Option<v1::Rates>) -> Option<v1::Rates> {
        let given = [self.requests_per_minute, self.tokens_per_minute, self.concurrency];
        given.iter().any(Option::is_some).then(|| {
            let mut rates = before.unwrap_or_default();
            set(&mut rates.requests_per_minute, self.requests_per_minute);
            set(&mut rates.tokens_per_minute, self.tokens_per_minute);
            set(&mut rates.concurrency, self.concurrency);
            rates
        })
    }
}

fn set(limit: &mut Option<u64>, given: Option<Clearable>) {
    if let Some(Clearable(given)) = given {
        *limit = given;
    }
}

/// A secret that comes by one of three ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// On the command line, where other users of the machine can see it.
    Text(String),
    /// A file; `-` is stdin.
    File(PathBuf),
}

impl Given {
    /// The one of two flags that was used.
    pub fn of(text: Option<String>, file: Option<PathBuf>) -> Option<Self> {
        text.map(Self::Text).or_else(|| file.map(Self::File))
    }

    /// The secret, without white space around it.
    ///
    /// # Errors
    /// When its file cannot be read, or there is nothing in it.
    pub fn read(self) -> anyhow::Result<String> {
        let text = match self {
            Self::Text(text) => text,
            Self::File(path) if path.as_os_str() == "-" => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).context("cannot read stdin")?;
                text
            }
            Self::File(path) => {
                fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?
            }
        };
        if text.trim().is_empty() {
            bail!("the secret is empty");
        }
        Ok(text.trim().to_owned())
    }
}

/// When a limit starts afresh.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Reset {
    Never,
    Daily,
    Weekly,
    Monthly,
}

impl Reset {
    fn to_proto(self) -> v1::Reset {
        match self {
            Self::Never => v1::Reset::Never,
            Self::Daily => v1::Reset::Daily,
            Self::Weekly => v1::Reset::Weekly,
            Self::Monthly => v1::Reset::Monthly,
        }
    }
}

/// A spending limit as it was, changed by the parts that were given; `None` if none was. An amount of `none` takes it away.
pub fn limit(
    before: Option<v1::SpendLimit>,
    usd: Option<&str>,
    reset: Option<Reset>,
) -> Option<Option<v1::SpendLimit>> {
    if usd == Some("none") {
        return Some(None);
    }
    if usd.is_none() && reset.is_none() {
        return None;
    }
    let mut limit =
        before.unwrap_or_else(|| v1::SpendLimit { usd: String::new(), reset: v1::Reset::Never.into() });
    if let Some(usd) = usd {
        usd.clone_into(&mut limit.usd);
    }
    if let Some(reset) = reset {
        limit.reset = reset.to_proto().into();
    }
    Some(Some(limit))
}

/// Budgets as they were, changed by `WINDOW=USD`; `WINDOW=none` takes one away, `none` all of them.
///
/// # Errors
/// For a text without `=`.
pub fn budgets(before: Vec<v1::Budget>, given: &[String]) -> anyhow::Result<Vec<v1::Budget>> {
    let mut budgets = before;
    for text in given {
        if text == "none" {
            budgets.clear();
            continue;
        }
        let Some((window, usd)) = text.split_once('=') else {
            bail!("--budget `{text}` is neither WINDOW=USD nor `none`")
        };
        let at = budgets.iter().position(|budget| budget.window == window);
        match (at, usd) {
            (Some(at), "none") => drop(budgets.remove(at)),
            (None, "none") => {}
            (Some(at), usd) => usd.clone_into(&mut budgets[at].usd),
            (None, usd) => budgets.push(v1::Budget { window: window.to_owned(), usd: usd.to_owned() }),
        }
    }
    Ok(budgets)
}

/// The fields of an update as they are set, one after the other.
#[derive(Debug, Default)]
pub struct Mask(Vec<String>);

impl Mask {
    /// Puts a value that was given into its field, and names the field.
    pub fn put<T>(&mut self, name: &str, field: &mut T, given: Option<T>) {
        if let Some(value) = given {
            *field = value;
            self.0.push(name.to_owned());
        }
    }

    /// The same for a list, where none given means no change.
    pub fn put_list(&mut self, name: &str, field: &mut Vec<String>, given: Vec<String>) {
        // `--allow-model ""` clears the list.
        let is_clear = given.iter().all(String::is_empty);
        let list = if is_clear { Vec::new() } else { given.clone() };
        self.put(name, field, (!given.is_empty()).then_some(list));
    }

    /// The mask of the call.
    ///
    /// # Errors
    /// When no field was given.
    pub fn finish(self) -> anyhow::Result<Option<FieldMask>> {
        if self.0.is_empty() {
            bail!(NothingToChange);
        }
        Ok(Some(FieldMask { paths: self.0 }))
    }
}

/// An update without a field: wrong usage.
#[derive(Debug, thiserror::Error)]
#[error("nothing to change: name at least one field, see --help")]
pub struct NothingToChange;

/// A command line that says something nobody would heed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUsage(pub &'static str);

/// How many rows to list.
#[derive(Debug, Clone, Args)]
pub struct Limit {
    /// Rows to show, at most
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_from_now() {
        let now = clock::now();
        let ago = "2h".parse::<Moment>().unwrap().0;
        assert!((now - ago).num_minutes().abs_diff(120) <= 1);
        let later = "7d".parse::<Expiry>().unwrap().0.unwrap();
        assert!((later - now).num_hours().abs_diff(168) <= 1);
        assert_eq!("2026-01-31T12:00:00Z".parse::<Moment>().unwrap().0.timestamp(), 1_769_860_800);
        assert_eq!("none".parse::<Expiry>().unwrap(), Expiry(None));
        for text in ["", "h", "2 h", "yesterday", "9999999999999999d", "2é"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates_keep_what_was_not_named() {
        let flags = RateFlags {
            requests_per_minute: Some(Clearable(None)),
            tokens_per_minute: None,
            concurrency: "5".parse().ok(),
        };
        let before =
            v1::Rates { requests_per_minute: Some(1), tokens_per_minute: Some(2), concurrency: None };
        let after = v1::Rates { requests_per_minute: None, tokens_per_minute: Some(2), concurrency: Some(5) };
        assert_eq!(flags.over(Some(before)), Some(after));
    }

    #[test]
    fn a_limit_keeps_the_part_that_was_not_given() {
        use v1::Reset::{Daily, Monthly, Never};
        let check = |usd, reset, before: Option<(&str, v1::Reset)>| {
            let before = before.map(|(usd, reset)| v1::SpendLimit { usd: usd.into(), reset: reset.into() });
            limit(before, usd, reset).map(|limit| limit.map(|limit| (limit.usd.clone(), limit.reset())))
        };
        assert_eq!(check(None, None, Some(("5", Daily))), None);
        assert_eq!(check(Some("none"), None, Some(("5", Daily))), Some(None));
        assert_eq!(check(Some("7"), None, Some(("5", Daily))), Some(Some(("7".into(), Daily))));
        assert_eq!(check(None, Some(Reset::Monthly), Some(("5", Daily))), Some(Some(("5".into(), Monthly))));
        assert_eq!(check(Some("7"), None, None), Some(Some(("7".into(), Never))));
    }

    #[test]
    fn budgets_are_added_changed_and_taken_away() {
        let budget = |window: &str, usd: &str| v1::Budget { window: window.into(), usd: usd.into() };
        let before = vec![budget("daily", "5"), budget("monthly", "50")];
        for (given, after) in [
            (&["24h=3"][..], vec![budget("daily", "5"), budget("monthly", "50"), budget("24h", "3")]),
            (&["daily=7"], vec![budget("daily", "7"), budget("monthly", "50")]),
            (&["daily=none", "weekly=none"], vec![budget("monthly", "50")]),
            (&["none", "7d=1"], vec![budget("7d", "1")]),
        ] {
            let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(budgets(before.clone(), &given).unwrap(), after);
        }
        assert!(budgets(before, &["daily".to_owned()]).is_err());
    }

    #[test]
    fn a_mask_names_what_was_given() {
        let mut mask = Mask::default();
        let (mut name, mut is_on, mut list) = (String::new(), false, vec!["a".to_owned()]);
        mask.put("name", &mut name, Some("x".to_owned()));
        mask.put("disabled", &mut is_on, None);
        mask.put_list("allowed_models", &mut list, vec![String::new()]);
        assert_eq!((name.as_str(), is_on, list.len()), ("x", false, 0));
        assert_eq!(mask.finish().unwrap().unwrap().paths, ["name", "allowed_models"]);
        assert!(Mask::default().finish().unwrap_err().is::<NothingToChange>());
    }
}
