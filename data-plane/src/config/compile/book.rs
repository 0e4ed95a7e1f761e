//! A tenant's price book.

use std::sync::Arc;

use switchyard_proto::price::{Parts, Prices};
use switchyard_proto::v1;

use super::{Fault, fault};
use crate::config::snapshot::book::{Book, Own, Rule, Terms};

/// Compiles a tenant's rules.
///
/// # Errors
/// Names the first that cannot be read.
pub fn book(config: &v1::TenantConfig) -> Result<Book, Fault> {
    let rules = config.price_book.iter().enumerate();
    let rules = rules.map(|(place, row)| {
        let terms = terms(row, &format!("price_book[{place}]"))?;
        Ok(Rule { model: row.model.clone(), provider: row.provider.clone(), terms })
    });
    Ok(Book { rules: rules.collect::<Result<_, _>>()?, ..Book::marked_up(config.markup_ppm) })
}

fn terms(row: &v1::PriceRule, field: &str) -> Result<Terms, Fault> {
    match (row.markup_ppm, &row.price) {
        (Some(ppm), None) => Ok(Terms::MarkedUp(ppm)),
        (None, Some(price)) => {
            let prices = Prices::parse(&Parts::from(price.clone()));
            let prices = prices
                .map_err(|bad| fault(format!("{field}.price.{}", bad.field), bad.reason.to_string()))?;
            Ok(Terms::Own(Box::new(Own { prices, text: Arc::new(price.clone()) })))
        }
        _ => Err(fault(field.to_owned(), "has neither a mark-up nor a price, or both")),
    }
}
