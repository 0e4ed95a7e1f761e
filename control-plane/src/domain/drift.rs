//! Drift: shapes of providers' answers that their adapters have never seen, as data planes report and people read them.
//!
//! What counts as one is the data planes' business; here is what is taken from them, and how much.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

/// Shapes of one provider that are kept; all beyond count as one of kind [`OVERFLOW`].
pub const MOST_OF_PROVIDER: usize = 1_000;

/// Stands for shapes beyond a bound.
pub const OVERFLOW: &str = "overflow";

/// The kinds of shapes, of which only some are known to older planes.
pub const KINDS: &[&str] = &["field", "event", "word", "type", "media", OVERFLOW];

/// Longest name of a provider, adapter or model, in bytes.
const LONGEST_NAME: usize = 256;
const LONGEST_PATH: usize = 512;
const LONGEST_DETAIL: usize = 64;
/// More than a report can truly have counted; sums of these fit the column.
const MOST_ANSWERS: u64 = 1 << 40;

/// One shape of one provider and model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    pub provider: String,
    pub adapter: String,
    pub model: String,
    pub kind: String,
    pub path: String,
    pub detail: String,
}

/// How often a shape was seen, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub answers: u64,
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
}

/// A shape as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    pub id: u64,
    pub shape: Shape,
    pub seen: Seen,
    pub cleared_at: Option<DateTime<Utc>>,
}

/// Which shapes are meant. `None`: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub provider: Option<String>,
    pub model: Option<String>,
    pub kind: Option<String>,
    /// Last seen at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Also what was marked as known.
    pub cleared: bool,
}

impl Shape {
    /// Whether it is formed like one: nothing long, and of path and detail nothing that a shape cannot have.
    pub fn is_sound(&self) -> bool {
        let is_name = |name: &str| name.len() <= LONGEST_NAME && !name.contains(char::is_control);
        let is_shape =
            |text: &str, longest| text.len() <= longest && text.bytes().all(|byte| byte.is_ascii_graphic());
        KINDS.contains(&self.kind.as_str())
            && !self.provider.is_empty()
            && [&self.provider, &self.adapter, &self.model].into_iter().all(|name| is_name(name))
            && is_shape(&self.path, LONGEST_PATH)
            && is_shape(&self.detail, LONGEST_DETAIL)
    }

    fn overflow(&self) -> Self {
        Self {
            provider: self.provider.clone(),
            adapter: self.adapter.clone(),
            model: String::new(),
            kind: OVERFLOW.to_owned(),
            path: String::new(),
            detail: String::new(),
        }
    }
}

impl Seen {
    /// Clocks of data planes may be ahead of ours; nothing was seen in the future.
    pub fn until(self, now: DateTime<Utc>) -> Self {
        let last = self.last.min(now);
        Self { answers: self.answers.min(MOST_ANSWERS), first: self.first.min(last), last }
    }

    fn and(self, other: Self) -> Self {
        Self {
            answers: self.answers.saturating_add(other.answers),
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

/// Sums reported shapes up, each once.
pub fn sum(reported: impl IntoIterator<Item = (Shape, Seen)>) -> BTreeMap<Shape, Seen> {
    let mut sums = BTreeMap::new();
    for (shape, seen) in reported {
        add(&mut sums, shape, seen);
    }
    sums
}

/// What of a report goes into the list: what is there already, what there is room for, and the rest as overflow.
///
/// `held` is how many shapes each provider has in the list.
pub fn admit(
    report: BTreeMap<Shape, Seen>,
    known: &BTreeSet<Shape>,
    held: &BTreeMap<String, usize>,
) -> BTreeMap<Shape, Seen> {
    let mut held = held.clone();
    let mut admitted = BTreeMap::new();
    for (shape, seen) in report {
        let held = held.entry(shape.provider.clone()).or_default();
        if known.contains(&shape) || shape.kind == OVERFLOW {
            add(&mut admitted, shape, seen);
        } else if *held < MOST_OF_PROVIDER {
            *held += 1;
            add(&mut admitted, shape, seen);
        } else {
            add(&mut admitted, shape.overflow(), seen);
        }
    }
    admitted
}

fn add(sums: &mut BTreeMap<Shape, Seen>, shape: Shape, seen: Seen) {
    sums.entry(shape).and_modify(|before| *before = before.and(seen)).or_insert(seen);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(provider: &str, path: &str) -> Shape {
        let [provider, adapter, model, kind, path, detail] =
            [provider, "openai", "a/m", "field", path, "string"].map(str::to_owned);
        Shape { provider, adapter, model, kind, path, detail }
    }

    fn seen(answers: u64, first: i64, last: i64) -> Seen {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        Seen { answers, first: at(first), last: at(last) }
    }

    #[test]
    fn reports_of_the_same_shape_add_up() {
        let sums = sum([(shape("p", "a"), seen(1, 50, 60)), (shape("p", "a"), seen(2, 40, 55))]);
        assert_eq!(sums, BTreeMap::from([(shape("p", "a"), seen(3, 40, 60))]));
    }

    #[test]
    fn a_providers_list_is_bounded_and_the_rest_counts_as_one() {
        let known = BTreeSet::from([shape("p", "known")]);
        let held = BTreeMap::from([("p".to_owned(), MOST_OF_PROVIDER - 1)]);
        let report = sum([
            (shape("p", "known"), seen(1, 1, 1)),
            (shape("p", "new_a"), seen(2, 1, 1)),
            (shape("p", "new_b"), seen(3, 1, 1)),
            (shape("p", "new_c"), seen(4, 1, 1)),
            (shape("q", "other"), seen(5, 1, 1)),
        ]);
        let admitted = admit(report, &known, &held);
        let told: Vec<_> = admitted
            .iter()
            .map(|(shape, seen)| {
                (shape.provider.as_str(), shape.kind.as_str(), shape.path.as_str(), seen.answers)
            })
            .collect();
        let expected = [
            ("p", "overflow", "", 7),
            ("p", "field", "known", 1),
            ("p", "field", "new_a", 2),
            ("q", "field", "other", 5),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_not_formed_like_a_shape_is_not_taken() {
        let good = shape("p", "choices[].delta.{}");
        assert!(good.is_sound());
        assert!(good.overflow().is_sound());
        for bad in [
            Shape { kind: "novelty".to_owned(), ..good.clone() },
            Shape { provider: String::new(), ..good.clone() },
            Shape { provider: "a\0b".to_owned(), ..good.clone() },
            Shape { model: "x".repeat(LONGEST_NAME + 1), ..good.clone() },
            Shape { path: "two words".to_owned(), ..good.clone() },
            Shape { path: "x".repeat(LONGEST_PATH + 1), ..good.clone() },
            Shape { detail: "x".repeat(LONGEST_DETAIL + 1), ..good.clone() },
            Shape { detail: "ü".to_owned(), ..good.clone() },
        ] {
            assert!(!bad.is_sound(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_was_seen_in_the_future() {
        let now = DateTime::from_timestamp(100, 0).unwrap();
        assert_eq!(seen(1, 50, 150).until(now), seen(1, 50, 100));
        assert_eq!(seen(1, 120, 150).until(now), seen(1, 100, 100));
        assert_eq!(seen(u64::MAX, 1, 2).until(now).answers, MOST_ANSWERS);
    }
}
