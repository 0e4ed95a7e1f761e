//! Tenants: customer organisations.

use serde::Serialize;
use switchyard_proto::id::{self, TenantId};

use crate::domain::{
    access,
    invalid::{self, Invalid},
    meta::Meta,
    rates::Rates,
};

const LARGEST_MARKUP_PPM: u64 = 1_000_000_000;

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
        access::check_allowed_models(&self.allowed_models)
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

    #[test]
    fn a_draft_is_checked_by_field() {
        assert_eq!(Draft::default().check(), Ok(()));
        for (draft, field) in [
            (Draft { name: "\u{7}".into(), ..Draft::default() }, "name"),
            (Draft { markup_ppm: u64::MAX, ..Draft::default() }, "markup_ppm"),
            (Draft { allowed_models: vec!["*".into()], ..Draft::default() }, "allowed_models[0]"),
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
