//! Prices of endpoints, and what tenants pay in their place.

use serde::{Deserialize, Serialize};
use switchyard_proto::{
    id,
    price::{Parts, Prices, Tariff, Written, given::BadPrice},
};

use crate::domain::{
    access,
    invalid::{self, Invalid},
};

/// Most rules of one tenant.
const MOST_RULES: usize = 200;
/// A thousand times the cost.
pub const LARGEST_MARKUP_PPM: u64 = 1_000_000_000;

/// What a tenant pays for some models: a mark-up on the cost, or its own price.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// A model, or `author/*`; empty: every model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Empty: every provider.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub markup_ppm: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Parts>,
}

/// Checks an endpoint's price.
///
/// # Errors
/// Names the first part that cannot be taken, e.g. `price.overrides[0].utc_end`.
pub fn check(field: &str, price: &Written) -> Result<(), Invalid> {
    Tariff::parse(price).map(|_| ()).map_err(|bad| invalid(field, &bad))
}

/// Checks a tenant's price book.
///
/// # Errors
/// Names the first rule that cannot be taken, e.g. `price_book[3].price.input`.
pub fn check_book(book: &[Rule]) -> Result<(), Invalid> {
    if book.len() > MOST_RULES {
        return Err(Invalid::new("price_book", format!("has more than {MOST_RULES} rules")));
    }
    let shadow = |place: usize, rule: &Rule| book[..place].iter().position(|earlier| earlier.covers(rule));
    for (place, rule) in book.iter().enumerate() {
        let within = format!("price_book[{place}]");
        rule.check().map_err(|invalid| invalid.within(&within))?;
        if let Some(earlier) = shadow(place, rule) {
            let reason = format!("never holds: rule {earlier} comes first and covers all that it does");
            return Err(Invalid::new(within, reason));
        }
    }
    Ok(())
}

fn invalid(field: &str, bad: &BadPrice) -> Invalid {
    Invalid::new(format!("{field}.{}", bad.field), bad.reason)
}

impl Rule {
    fn check(&self) -> Result<(), Invalid> {
        if !self.model.is_empty() && !access::is_model_or_prefix(&self.model) {
            return Err(Invalid::new("model", "is neither a model id (`author/name`) nor `author/*`"));
        }
        if !self.provider.is_empty() && !id::is_slug(&self.provider) {
            return Err(Invalid::new("provider", "is no provider's id"));
        }
        match (self.markup_ppm, &self.price) {
            (Some(markup), None) => invalid::at_most("markup_ppm", markup, LARGEST_MARKUP_PPM),
            (None, Some(price)) => {
                Prices::parse(price).map(|_| ()).map_err(|bad| self::invalid("price", &bad))
            }
            (Some(_), Some(_)) => Err(Invalid::new("price", "is given beside `markup_ppm`: one of them")),
            (None, None) => Err(Invalid::new("price", "is missing, and so is `markup_ppm`: one of them")),
        }
    }

    /// Whether it holds for all that another rule does.
    fn covers(&self, other: &Self) -> bool {
        let has_model = match self.model.strip_suffix('*') {
            _ if self.model.is_empty() => true,
            Some(prefix) => other.model.starts_with(prefix),
            None => self.model == other.model,
        };
        has_model && (self.provider.is_empty() || self.provider == other.provider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(model: &str, provider: &str) -> Rule {
        Rule { model: model.into(), provider: provider.into(), markup_ppm: Some(5), price: None }
    }

    fn own(named: &[(&str, &str)]) -> Rule {
        let parts = named.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Rule { price: Some(Parts(parts.collect())), ..Rule::default() }
    }

    #[test]
    fn rules_are_checked_by_field() {
        let both = Rule { markup_ppm: Some(1), ..own(&[("input", "1")]) };
        for (rule, field) in [
            (marked("openai/gpt-5", "azure"), None),
            (marked("openai/*", ""), None),
            (marked("", ""), None),
            (own(&[("input", "0")]), None),
            (own(&[]), None),
            (marked("gpt-5", ""), Some("price_book[0].model")),
            (marked("", "Azure!"), Some("price_book[0].provider")),
            (Rule { markup_ppm: Some(u64::MAX), ..Rule::default() }, Some("price_book[0].markup_ppm")),
            (own(&[("input", "cheap")]), Some("price_book[0].price.input")),
            (own(&[("tea", "1")]), Some("price_book[0].price.tea")),
            (both, Some("price_book[0].price")),
            (Rule::default(), Some("price_book[0].price")),
        ] {
            let found = check_book(std::slice::from_ref(&rule)).err();
            assert_eq!(found.as_ref().map(|invalid| invalid.field.as_str()), field, "{rule:?}");
        }
    }

    #[test]
    fn a_rule_that_never_holds_is_refused() {
        for (first, second, is_fine) in [
            (marked("a/b", ""), marked("a/*", ""), true),
            (marked("a/*", ""), marked("a/b", ""), false),
            (marked("a/*", "p"), marked("a/b", ""), true),
            (marked("a/*", "p"), marked("a/b", "p"), false),
            (marked("", "p"), marked("a/b", "p"), false),
            (marked("", "p"), marked("a/b", "q"), true),
            (marked("", ""), marked("", "q"), false),
            (marked("a/b", ""), marked("a/b", ""), false),
        ] {
            let found = check_book(&[first.clone(), second.clone()]).err();
            let expected = (!is_fine).then(|| "price_book[1]".to_owned());
            assert_eq!(found.map(|invalid| invalid.field), expected, "{first:?} {second:?}");
        }
    }

    #[test]
    fn a_price_book_has_an_end() {
        let rules: Vec<Rule> = (0..=MOST_RULES).map(|place| marked(&format!("a/m{place}"), "")).collect();
        assert_eq!(check_book(&rules[1..]), Ok(()));
        assert_eq!(check_book(&rules).unwrap_err().field, "price_book");
    }
}
