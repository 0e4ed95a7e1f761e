//! What providers billed, recorded, against what our price function makes of the same usage and the published prices.
//!
//! They agree to the nano-dollar, or the difference is explained. `data-plane/fixtures/bills.md` is the table;
//! `SWITCHYARD_BLESS=1` writes it.

mod book;
mod page;
mod reasons;

use std::collections::BTreeSet;

use switchyard_data_plane::adapters;
use switchyard_data_plane::model::usage::Usage;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::price::{Prices, Tariff, Written};
use switchyard_proto::v1;

use crate::bills::book::{Book, Source};
use crate::conformance::exchange::{self, Exchange};
use crate::conformance::probe;
use crate::conformance::settings::Settings;

/// One recorded bill.
pub struct Row {
    /// The recording.
    pub place: String,
    pub tokens: v1::TokenUsage,
    /// As the provider says.
    pub theirs: NanoUsd,
    /// By the published price, and where it is published.
    pub ours: Option<(NanoUsd, Source)>,
    pub reason: Option<&'static str>,
}

impl Row {
    /// Ours less theirs.
    pub fn difference(&self) -> Option<i128> {
        self.ours.map(|(ours, _)| i128::from(ours.0) - i128::from(self.theirs.0))
    }
}

#[test]
fn recorded_bills_are_what_our_prices_come_to_or_the_difference_is_explained() {
    let settings = Settings::read();
    let catalogue = settings.recordings.join("../catalog/models.json");
    if !settings.ratchets || !settings.recordings.is_dir() || !catalogue.is_file() {
        return eprintln!("SKIPPED: no recorded bills: `{}` is not there", catalogue.display());
    }
    let exchanges = exchange::recordings(&settings.recordings).unwrap();
    let book = Book::read(&catalogue, &exchanges);
    let rows: Vec<Row> = exchanges.iter().filter_map(|exchange| row(exchange, &book)).collect();
    assert!(rows.len() >= 20, "{} bills were found", rows.len());
    assert_eq!(unexplained(&rows), Vec::<String>::new());
    page::hold(&rows, &settings);
}

/// What has to be looked at: differences without a reason, and reasons without a difference.
fn unexplained(rows: &[Row]) -> Vec<String> {
    let places: BTreeSet<&str> = rows.iter().map(|row| row.place.as_str()).collect();
    let strangers = reasons::places().filter(|place| !places.contains(place));
    let strangers = strangers.map(|place| format!("{place} is explained, and is no bill"));
    let wrong = rows.iter().filter_map(|row| match (row.difference(), row.reason) {
        (Some(0), Some(_)) => Some(format!("{} agrees, and is explained", row.place)),
        (Some(0), None) | (_, Some(_)) => None,
        (difference, None) => Some(format!("{} differs by {difference:?} and is not explained", row.place)),
    });
    wrong.chain(strangers).collect()
}

fn row(exchange: &Exchange, book: &Book) -> Option<Row> {
    let usage = usage(exchange)?;
    let theirs = usage.reported_cost?;
    let tokens = tokens(&usage);
    let ours = book.price(exchange).map(|(price, source)| (cost(price, &tokens), source));
    let reason = reasons::of(&exchange.place);
    Some(Row { place: exchange.place.clone(), tokens, theirs, ours, reason })
}

fn cost(price: &Written, tokens: &v1::TokenUsage) -> NanoUsd {
    let tariff = Tariff::parse(price).unwrap();
    let prices: Prices = tariff.at_ms(0).prices(tokens.prompt);
    prices.cost(tokens)
}

/// The usage as the router reads it.
fn usage(exchange: &Exchange) -> Option<Usage> {
    if !exchange.status.is_success() {
        return None;
    }
    let (_, adapter) = exchange.speaker?;
    let adapter = adapters::by_name(adapter).unwrap();
    let streamed = exchange.body.starts_with(b"data:")
        || exchange.body.starts_with(b"event:")
        || exchange.body.starts_with(b":");
    if streamed {
        return probe::stream(adapter, [exchange.body.clone()]).unwrap().usage();
    }
    probe::whole(adapter, exchange, &exchange.body).unwrap().ok()?.usage
}

/// As a ledger line has them; what was in the prompt is not billed apart by any of the recorded prices.
fn tokens(usage: &Usage) -> v1::TokenUsage {
    switchyard_data_plane::price::tokens(usage, &Default::default())
}
