//! Tenants: customer organisations.

use serde::Serialize;
use switchyard_proto::id::{self, TenantId};

use crate::domain::{
    access,
    account::SpendLimit,
    budget::{self, Budget},
    invalid::{self, Invalid},
    meta::Meta,
    price::{self, LARGEST_MARKUP_PPM},
    rates::Rates,
};

const MOST_NAMES: usize = 100;

/// What the operator chooses of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Draft {
    pub name: String,
    pub disabled: bool,
    pub rates: Rates,
    /// False: spends without prepaid credits; what it spends is still counted.
    pub prepaid: bool,
    /// Mark-up on provider prices in parts per million.
    pub markup_ppm: u64,
    /// Empty: all.
    pub allowed_models: Vec<String>,
    /// Over `markup_ppm`; the first that covers model and provider holds.
    pub price_book: Vec<price::Rule>,
    /// What it may spend over windows.
    pub budgets: Vec<Budget>,
    /// What its own credentials pay for counts on `budgets` and `user_limit` too.
    pub include_byok_in_budgets: bool,
    /// For each of its users, over all keys that trust the request's `user`.
    pub user_limit: Option<SpendLimit>,
    #[serde(flatten)]
    pub rules: Rules,
}

/// Where a tenant's requests may go, whatever they say themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// Provider slugs; empty: all.
    pub allowed_providers: Vec<String>,
    /// Provider slugs.
    pub ignored_providers: Vec<String>,
    /// Only providers that keep nothing.
    pub zdr: bool,
    /// `deny`: only providers that neither store nor train; empty or `allow`: all.
    pub data_collection: String,
    /// Regions of providers, whole or their beginnings; empty: all.
    pub allowed_regions: Vec<String>,
}

/// A tenant as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    pub draft: Draft,
    /// Sum of all credits granted.
    pub credits_nano: i64,
    pub meta: Meta,
}

impl Draft {
    /// Checks everything that needs no other row.
    ///
    /// # Errors
    /// Names the field as it is called in `Tenant`.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::text("name", &self.name, 200)?;
        self.rates.check()?;
        invalid::at_most("markup_ppm", self.markup_ppm, LARGEST_MARKUP_PPM)?;
        price::check_book(&self.price_book)?;
        budget::check(&self.budgets)?;
        access::check_allowed_models(&self.allowed_models)?;
        self.rules.check()
    }
}

impl Rules {
    fn check(&self) -> Result<(), Invalid> {
        let lists = [
            ("allowed_providers", &self.allowed_providers),
            ("ignored_providers", &self.ignored_providers),
            ("allowed_regions", &self.allowed_regions),
        ];
        for (field, list) in lists {
            if list.len() > MOST_NAMES {
                return Err(Invalid::new(field, format!("has more than {MOST_NAMES} entries")));
            }
            for (index, name) in list.iter().enumerate() {
                invalid::required(&format!("{field}[{index}]"), name, 100)?;
            }
        }
        match self.data_collection.as_str() {
            "" | "allow" | "deny" => Ok(()),
            other => {
                Err(Invalid::new("data_collection", format!("is `{other}`, which is none of allow, deny")))
            }
        }
    }
}

/// Checks a tenant's or provider's id.
///
/// # Errors
/// Names the field `id`.
pub fn check_slug(id: &str) -> Result<(), Invalid> {
    if id.is_empty() {
        return Err(Invalid::new("id", "is required"));
    }
    if !id::is_slug(id) {
        let rule = "is not a slug: lower-case letters, digits and inner hyphens, at most 63";
        return Err(Invalid::new("id", rule));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruled(change: impl FnOnce(&mut Rules)) -> Draft {
        let mut draft = Draft::default();
        change(&mut draft.rules);
        draft
    }

    #[test]
    fn a_draft_is_checked_by_field() {
        assert_eq!(Draft::default().check(), Ok(()));
        for (draft, field) in [
            (Draft { name: "\u{7}".into(), ..Draft::default() }, "name"),
            (Draft { markup_ppm: u64::MAX, ..Draft::default() }, "markup_ppm"),
            (Draft { price_book: vec![price::Rule::default()], ..Draft::default() }, "price_book[0].price"),
            (Draft { allowed_models: vec!["*".into()], ..Draft::default() }, "allowed_models[0]"),
            (ruled(|rules| rules.allowed_providers = vec!["p".into(), " ".into()]), "allowed_providers[1]"),
            (ruled(|rules| rules.ignored_providers = vec!["p".into(); 101]), "ignored_providers"),
            (ruled(|rules| rules.allowed_regions = vec![String::new()]), "allowed_regions[0]"),
            (ruled(|rules| rules.data_collection = "maybe".into()), "data_collection"),
        ] {
            assert_eq!(draft.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn ids_are_slugs() {
        for (id, fine) in [("acme", true), ("", false), ("Acme", false), ("a_b", false), ("-a", false)] {
            assert_eq!(check_slug(id).is_ok(), fine, "{id}");
        }
    }
}
