//! Prices: what tokens cost, which prices hold when, and the worst case, against tables and by chance.

use chrono::{DateTime, TimeDelta, Utc};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::{clock, v1};

fn parts(named: &[(&str, &str)]) -> v1::PriceParts {
    v1::PriceParts::of_named(|name| {
        named.iter().find(|(own, _)| *own == name).map_or_else(String::new, |(_, text)| (*text).to_owned())
    })
}

fn parse(price: &v1::Price) -> Result<Tariff, BadPrice> {
    Tariff::parse(&Written::from(price))
}

fn priced(named: &[(&str, &str)]) -> Prices {
    Prices::parse(&parts(named).into()).unwrap()
}

fn prices() -> Prices {
    let named = [("input", "3"), ("cached_input", "0.3"), ("cache_write", "3.75"), ("output", "15")];
    priced(&named)
}

fn long(above: u64, input: &str, output: &str) -> v1::PriceOverride {
    let price = Some(parts(&[("input", input), ("output", output)]));
    v1::PriceOverride { min_prompt_tokens: Some(above), price, ..Default::default() }
}

fn hours(start: &str, end: &str, input: &str) -> v1::PriceOverride {
    v1::PriceOverride {
        utc_start: start.into(),
        utc_end: end.into(),
        price: Some(parts(&[("input", input)])),
        ..Default::default()
    }
}

fn from(at: &str, input: &str) -> v1::PriceVersion {
    let at = Some(clock::to_timestamp(time(at)));
    v1::PriceVersion { from: at, price: Some(parts(&[("input", input)])), overrides: Vec::new() }
}

fn base(overrides: Vec<v1::PriceOverride>, versions: Vec<v1::PriceVersion>) -> v1::Price {
    v1::Price { overrides, versions, ..parts(&[("input", "1"), ("output", "2")]).into() }
}

fn tariff(overrides: Vec<v1::PriceOverride>, versions: Vec<v1::PriceVersion>) -> Tariff {
    parse(&base(overrides, versions)).unwrap()
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The input price in dollars per million at a moment, for so long a prompt.
fn input(tariff: &Tariff, at: &str, prompt: u64) -> String {
    tariff.at(time(at)).prices(prompt).input.per_million()
}

#[test]
fn tokens_cost_by_their_kind() {
    let tokens =
        v1::TokenUsage { prompt: 1000, cached: 400, cache_write: 100, completion: 10, ..Default::default() };
    // 500 × 3 + 400 × 0.3 + 100 × 3.75 + 10 × 15 dollars per million.
    assert_eq!(prices().cost(&tokens).to_string(), "0.002145");
}

#[test]
fn each_price_is_of_its_own_kind_of_unit() {
    let dearer = |name: &str| priced(&[(name, "1")]);
    let none = v1::TokenUsage { prompt: 10, completion: 10, ..Default::default() };
    for (name, tokens, nano) in [
        ("input", v1::TokenUsage { completion: 0, ..none }, 10_000),
        ("output", v1::TokenUsage { prompt: 0, ..none }, 10_000),
        ("cached_input", v1::TokenUsage { cached: 2, ..none }, 2_000),
        ("cache_write", v1::TokenUsage { cache_write: 3, ..none }, 3_000),
        ("cache_write_1h", v1::TokenUsage { cache_write: 3, cache_write_1h: 2, ..none }, 2_000),
        ("audio_input", v1::TokenUsage { audio_prompt: 4, ..none }, 4_000),
        ("reasoning", v1::TokenUsage { reasoning: 5, ..none }, 5_000),
        ("audio_output", v1::TokenUsage { audio_completion: 6, ..none }, 6_000),
        ("image_output", v1::TokenUsage { image_completion: 7, ..none }, 7_000),
        ("image", v1::TokenUsage { images: 2, ..none }, 2_000_000_000),
        ("search", v1::TokenUsage { searches: 3, ..none }, 3_000_000_000),
        ("request", none, 1_000_000_000),
    ] {
        assert_eq!(dearer(name).cost(&tokens).0, nano, "{name}");
    }
}

#[test]
fn a_cost_is_told_by_what_it_was_for() {
    let priced = |prices: &[(&str, &str)]| {
        let tokens = v1::TokenUsage {
            prompt: 1,
            cached: 1,
            completion: 1,
            reasoning: 1,
            images: 1,
            searches: 1,
            ..Default::default()
        };
        let Cost { total, prompt, completion } = self::priced(prices).parts(&tokens);
        (total.0, prompt.0, completion.0)
    };
    for (prices, expected) in [
        (&[][..], (0, 0, 0)),
        (&[("cached_input", "1"), ("reasoning", "2")], (3_000, 1_000, 2_000)),
        (&[("image", "0.000001"), ("cached_input", "1")], (2_000, 2_000, 0)),
        (&[("request", "0.000001"), ("search", "0.000001"), ("reasoning", "1")], (3_000, 0, 1_000)),
        // Half a nano-dollar each: their sum is not rounded twice.
        (&[("cached_input", "0.0005"), ("reasoning", "0.0005")], (1, 1, 0)),
    ] {
        assert_eq!(priced(prices), expected, "{prices:?}");
    }
}

#[test]
fn parts_larger_than_their_total_are_not_counted_twice() {
    let tokens = v1::TokenUsage {
        prompt: 10,
        cached: 50,
        completion: 1,
        reasoning: 9,
        audio_completion: 9,
        ..Default::default()
    };
    assert_eq!(prices().cost(&tokens), NanoUsd(10 * 300 + 15_000));
}

#[test]
fn only_searches_are_fees() {
    let prices = priced(&[("input", "1"), ("request", "1"), ("search", "0.01")]);
    let tokens = v1::TokenUsage { prompt: 500, searches: 2, ..Default::default() };
    assert_eq!(prices.fees(&tokens).to_string(), "0.02");
}

#[test]
fn counts_that_nobody_can_have_are_stuck_at_the_largest_amount() {
    let tokens = v1::TokenUsage { prompt: u64::MAX, completion: u64::MAX, ..Default::default() };
    let dear = priced(&[("input", "18000000000"), ("output", "18000000000")]);
    assert_eq!(dear.cost(&tokens), NanoUsd(u64::MAX));
}

#[test]
fn a_price_that_cannot_be_taken_is_named() {
    let no_price = v1::PriceOverride { min_prompt_tokens: Some(1), ..Default::default() };
    let no_condition = v1::PriceOverride { min_prompt_tokens: None, ..long(1, "1", "2") };
    let many = |row: v1::PriceOverride| vec![row; 17];
    let flat = |named: &[(&str, &str)]| v1::Price::from(parts(named));
    for (price, message) in [
        (flat(&[("output", "cheap")]), "`price.output` is not a decimal number of dollars"),
        (base(vec![long(1, "1", "-2")], vec![]), "`price.overrides[0].price.output` is negative"),
        (base(vec![no_price], vec![]), "`price.overrides[0].price` is missing"),
        (
            base(vec![no_condition], vec![]),
            "`price.overrides[0].min_prompt_tokens` or hours of the day are needed: it would always hold",
        ),
        (
            base(vec![hours("16:30", "", "1")], vec![]),
            "`price.overrides[0].utc_end` is needed with `utc_start`",
        ),
        (
            base(vec![hours("", "16:30", "1")], vec![]),
            "`price.overrides[0].utc_start` is needed with `utc_end`",
        ),
        (
            base(vec![hours("1630", "24:00", "1")], vec![]),
            "`price.overrides[0].utc_start` is not a time of the day: `HH:MM`",
        ),
        (
            base(vec![hours("16:30", "24:00", "1")], vec![]),
            "`price.overrides[0].utc_end` is not a time of the day: `HH:MM`",
        ),
        (
            base(vec![hours("16:30", "16:30", "1")], vec![]),
            "`price.overrides[0].utc_end` is the start: no hours, or all of them?",
        ),
        (base(many(long(1, "1", "2")), vec![]), "`price.overrides` are more than 16"),
        (
            base(vec![], vec![v1::PriceVersion { from: None, ..from("2027-01-01T00:00:00Z", "2") }]),
            "`price.versions[0].from` is no time",
        ),
        (
            base(vec![], vec![v1::PriceVersion { price: None, ..from("2027-01-01T00:00:00Z", "2") }]),
            "`price.versions[0].price` is missing",
        ),
        (
            base(vec![], vec![from("2027-01-01T00:00:00Z", "2"), from("2026-12-01T00:00:00Z", "3")]),
            "`price.versions[1].from` is not after the version before it",
        ),
    ] {
        assert_eq!(parse(&price).unwrap_err().to_string(), message);
    }
}

#[test]
fn every_price_of_the_wire_has_a_name_here() {
    let all = v1::PriceParts::of_named(|_| "0.5".to_owned());
    let names: Vec<&str> = all.named().map(|(name, _)| name).collect();
    assert_eq!(names, given::NAMES);
    let price = v1::Price::from(all.clone());
    assert_eq!(
        (price.parts(), v1::PriceParts::from(&Given::read(&all.clone().into()).unwrap())),
        (all.clone(), all)
    );
}

#[test]
fn prices_per_unit_are_exact() {
    assert_eq!(UnitPrice::parse_per_million("0.25").unwrap().per_unit(), "0.00000025");
}

#[test]
fn markup_is_rounded_up() {
    assert_eq!(marked_up(NanoUsd(10), 50_000), NanoUsd(11));
    assert_eq!(marked_up(NanoUsd(10), 0), NanoUsd(10));
}

#[test]
fn m13_a_prompt_must_be_longer_than_the_threshold_and_then_every_token_costs_more() {
    let tariff = tariff(vec![long(200_000, "2", "3"), long(400_000, "4", "5")], vec![]);
    let now = time("2026-11-30T12:00:00Z");
    for (prompt, dollars) in [(200_000, "0.2"), (200_001, "0.400002"), (400_001, "1.600004")] {
        let tokens = v1::TokenUsage { prompt, ..Default::default() };
        assert_eq!(tariff.at(now).cost(&tokens).to_string(), dollars, "{prompt}");
    }
}

#[test]
fn m14_hours_end_before_their_end_and_may_pass_midnight() {
    let tariff = tariff(vec![hours("16:30", "00:30", "2"), hours("06:00", "07:00", "3")], vec![]);
    for (at, price) in [
        ("16:29:59.999", "1"),
        ("16:30:00", "2"),
        ("23:59:00", "2"),
        ("00:00:00", "2"),
        ("00:29:59.999", "2"),
        ("00:30:00", "1"),
        ("05:59:59", "1"),
        ("06:00:00", "3"),
        ("07:00:00", "1"),
    ] {
        assert_eq!(input(&tariff, &format!("2026-11-30T{at}Z"), 1), price, "{at}");
    }
}

#[test]
fn the_version_of_the_moment_holds() {
    let tariff = tariff(
        vec![hours("00:00", "12:00", "9")],
        vec![from("2026-12-01T00:00:00Z", "2"), from("2027-01-01T00:00:00Z", "3")],
    );
    for (at, price) in [
        ("2026-11-30T23:59:59.999Z", "1"),
        ("2026-12-01T00:00:00Z", "2"),
        ("2026-12-31T23:59:59Z", "2"),
        ("2027-01-01T00:00:00Z", "3"),
        ("2040-01-01T00:00:00Z", "3"),
    ] {
        assert_eq!(input(&tariff, at, 1), price, "{at}");
    }
}

#[test]
fn the_last_override_that_holds_wins_price_by_price() {
    let tariff = tariff(vec![long(100, "5", "6"), hours("00:00", "12:00", "7")], vec![]);
    let prices = tariff.at(time("2026-11-30T06:00:00Z")).prices(101);
    assert_eq!((prices.input.per_million(), prices.output.per_million()), ("7".into(), "6".into()));
}

#[test]
fn defaults_follow_what_an_override_changes() {
    let price = v1::Price { cached_input: "0.5".into(), ..base(vec![long(100, "5", "6")], vec![]) };
    let prices = parse(&price).unwrap().at(DateTime::UNIX_EPOCH).prices(101);
    assert_eq!(prices.cached_input.per_million(), "0.5", "what was said stays");
    assert_eq!((prices.cache_write, prices.reasoning), (prices.input, prices.output));
}

#[test]
fn texts_show_the_price_that_was_used() {
    let tariff = tariff(vec![long(100, "5", "6")], vec![from("2027-01-01T00:00:00Z", "3")]);
    let early = tariff.at(time("2026-11-30T06:00:00Z"));
    assert_eq!(**early.text(), v1::Price::from(parts(&[("input", "1"), ("output", "2")])));
    assert_eq!(early.text_of(100), None);
    assert_eq!(early.text_of(101), Some(parts(&[("input", "5"), ("output", "6")])));
    assert_eq!(tariff.at(time("2027-01-01T00:00:00Z")).text().input, "3");
}

#[test]
fn free_is_what_never_costs_anything() {
    assert!(Tariff::default().is_free());
    let dear_at_night = v1::Price { overrides: vec![hours("22:00", "06:00", "1")], ..Default::default() };
    assert!(!parse(&dear_at_night).unwrap().is_free());
    let soon = v1::Price { versions: vec![from("2027-01-01T00:00:00Z", "1")], ..Default::default() };
    assert!(!parse(&soon).unwrap().is_free());
}

#[test]
fn the_worst_case_is_of_the_prices_that_can_be_reached() {
    let tariff = tariff(
        vec![long(1_000, "10", "2"), hours("16:30", "00:30", "20")],
        vec![from("2026-12-02T10:00:00Z", "30")],
    );
    for (from, until, prompt, dollars) in [
        ("2026-12-01T10:00:00Z", "2026-12-01T10:10:00Z", 1_000, "0.001"),
        ("2026-12-01T10:00:00Z", "2026-12-01T10:10:00Z", 1_001, "0.01001"),
        // The hours begin at the deadline.
        ("2026-12-01T16:20:00Z", "2026-12-01T16:30:00Z", 1_000, "0.02"),
        ("2026-12-01T16:20:00Z", "2026-12-01T16:29:59Z", 1_000, "0.001"),
        ("2026-12-01T00:30:00Z", "2026-12-01T00:40:00Z", 1_000, "0.001"),
        // So does another version, in which neither override holds.
        ("2026-12-02T09:50:00Z", "2026-12-02T10:00:00Z", 1_000, "0.03"),
        ("2026-12-03T16:50:00Z", "2026-12-03T17:00:00Z", 1_000, "0.03"),
        // More than a day reaches all hours.
        ("2026-11-29T01:00:00Z", "2026-11-30T02:00:00Z", 1_000, "0.02"),
        // A deadline in the past is none.
        ("2026-12-01T16:20:00Z", "2026-12-01T16:00:00Z", 1_000, "0.001"),
    ] {
        let span = Span { from: time(from), until: time(until) };
        let most = Most { prompt, ..Default::default() };
        assert_eq!(tariff.worst(span, &most).to_string(), dollars, "{from} to {until}, {prompt}");
    }
}

/// A tariff of every form, some moments close to its changes, and what can be billed: all of it by chance.
struct Chance(StdRng);

impl Chance {
    fn amount(&mut self) -> String {
        // Some of them 0.
        format!("{}.{:03}", self.0.random_range(0..4u32), self.0.random_range(0..1_000u32))
    }

    fn parts(&mut self) -> v1::PriceParts {
        let given: Vec<(&str, String)> = given::NAMES
            .iter()
            .map(|name| (*name, self.0.random_bool(0.5), self.amount()))
            .filter(|(_, is_given, _)| *is_given)
            .map(|(name, _, amount)| (name, amount))
            .collect();
        let mut price = v1::PriceParts::of_named(|name| {
            given.iter().find(|(own, _)| *own == name).map_or_else(String::new, |(_, text)| text.clone())
        });
        price.input = self.amount();
        price
    }

    fn time_of_day(&mut self) -> String {
        format!("{:02}:{:02}", self.0.random_range(0..24), self.0.random_range(0..60))
    }

    fn overrides(&mut self) -> Vec<v1::PriceOverride> {
        let rows = self.0.random_range(0..4);
        let mut all: Vec<v1::PriceOverride> = (0..rows).map(|_| self.one_override()).collect();
        all.retain(|row| row.utc_start.is_empty() || row.utc_start != row.utc_end);
        all
    }

    fn one_override(&mut self) -> v1::PriceOverride {
        let (by_length, by_hours) = [(true, false), (false, true), (true, true)][self.0.random_range(0..3)];
        v1::PriceOverride {
            min_prompt_tokens: by_length.then(|| self.0.random_range(0..1_000)),
            utc_start: if by_hours { self.time_of_day() } else { String::new() },
            utc_end: if by_hours { self.time_of_day() } else { String::new() },
            price: Some(self.parts()),
        }
    }

    fn price(&mut self) -> v1::Price {
        let mut at = time("2026-11-30T00:00:00Z");
        let versions = (0..self.0.random_range(0..3)).map(|_| {
            at += TimeDelta::minutes(self.0.random_range(1..3_000));
            v1::PriceVersion {
                from: Some(clock::to_timestamp(at)),
                price: Some(self.parts()),
                overrides: self.overrides(),
            }
        });
        let versions = versions.collect();
        v1::Price { overrides: self.overrides(), versions, ..self.parts().into() }
    }

    fn span(&mut self) -> Span {
        let from =
            time("2026-11-29T12:00:00Z") + TimeDelta::milliseconds(self.0.random_range(0..500_000_000));
        let longest = [1_000, 600_000, 100_000_000][self.0.random_range(0..3)];
        Span { from, until: from + TimeDelta::milliseconds(self.0.random_range(0..=longest)) }
    }

    fn within(&mut self, span: Span) -> DateTime<Utc> {
        let long = (span.until - span.from).num_milliseconds();
        span.from + TimeDelta::milliseconds(self.0.random_range(0..=long))
    }

    fn most(&mut self) -> Most {
        Most {
            prompt: self.0.random_range(0..1_500),
            completion: self.0.random_range(0..1_500),
            images: self.0.random_range(0..3),
            searches: self.0.random_range(0..3),
        }
    }

    /// Parts may be larger than their totals: providers say so.
    fn usage(&mut self, most: &Most) -> v1::TokenUsage {
        let mut up_to = |most: u64| self.0.random_range(0..=most);
        v1::TokenUsage {
            prompt: up_to(most.prompt),
            cached: up_to(most.prompt),
            cache_write: up_to(most.prompt),
            cache_write_1h: up_to(most.prompt),
            completion: up_to(most.completion),
            reasoning: up_to(most.completion),
            audio_prompt: up_to(most.prompt),
            images: up_to(most.images),
            audio_completion: up_to(most.completion),
            image_completion: up_to(most.completion),
            searches: up_to(most.searches),
        }
    }
}

#[test]
fn no_usage_within_the_bounds_costs_more_than_the_worst_case_whenever_it_is_sent() {
    let mut chance = Chance(StdRng::seed_from_u64(17));
    for round in 0..3_000 {
        let price = chance.price();
        let tariff = parse(&price).unwrap();
        let (span, most) = (chance.span(), chance.most());
        let worst = tariff.worst(span, &most);
        for _ in 0..8 {
            let (at, tokens) = (chance.within(span), chance.usage(&most));
            let cost = tariff.at(at).cost(&tokens);
            assert!(cost <= worst, "round {round}: {cost} > {worst} at {at} of {tokens:?} in {price:?}");
        }
    }
}

#[test]
fn the_worst_case_grows_with_every_bound() {
    let mut chance = Chance(StdRng::seed_from_u64(19));
    for _ in 0..2_000 {
        let tariff = parse(&chance.price()).unwrap();
        let (span, most) = (chance.span(), chance.most());
        let worst = tariff.worst(span, &most);
        for more in [
            Most { prompt: most.prompt + 1, ..most },
            Most { completion: most.completion + 1, ..most },
            Most { images: most.images + 1, ..most },
            Most { searches: most.searches + 1, ..most },
        ] {
            assert!(tariff.worst(span, &more) >= worst);
        }
        let longer = Span { until: span.until + TimeDelta::minutes(1), ..span };
        assert!(tariff.worst(longer, &most) >= worst);
    }
}

#[test]
fn what_is_written_is_the_same_on_the_wire_and_in_the_store() {
    let mut chance = Chance(StdRng::seed_from_u64(20));
    for _ in 0..200 {
        let price = chance.price();
        let written = Written::from(&price);
        assert_eq!(v1::Price::from(&written), price);
    }
}

#[test]
fn a_name_that_is_no_price_is_refused() {
    let parts = Parts([("tea".to_owned(), "1".to_owned())].into());
    assert_eq!(Given::read(&parts).unwrap_err().to_string(), "`price.tea` is not the name of a price");
}
