//! What the proof of the ledger answers: numbers that must be the same and are not.

use switchyard_proto::id::GenerationId;
use uuid::Uuid;

/// The outcome of a proof.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// How many were looked at.
    pub accounts: u64,
    pub tenants: u64,
    pub lines: u64,
    /// Empty when all is well. At most a thousand of each sort.
    pub differences: Vec<Difference>,
}

impl Proof {
    /// Whether everything adds up.
    pub fn holds(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Two numbers that must be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub of: Of,
    pub tenant: String,
    pub recorded_nano: i64,
    pub proven_nano: i64,
}

/// Which number it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// A balance of an account against lines and leases.
    Account(Account, Balance),
    /// A tenant's credits against its credit lines.
    Credits,
    /// A line against its own charges.
    Line(Uuid, i32),
}

/// An account as rows name it. Not an [`AccountPeriod`](crate::domain::ledger::AccountPeriod): a charge of a kind that does
/// not exist is a difference too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub kind: i16,
    pub owner: String,
    pub period: String,
}

/// A line as people look for it: `gen-…` and the attempt; an id that is no UUIDv7 as the bare UUID.
pub fn shown_line(id: Uuid, attempt: i32) -> String {
    match GenerationId::from_bytes(id.as_bytes()) {
        Some(id) => format!("{id} {attempt}"),
        None => format!("{id} {attempt}"),
    }
}

/// A balance of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    Charged,
    Presumed,
    Lent,
}

impl Of {
    /// Its name in answers.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Account(_, Balance::Charged) => "charged",
            Self::Account(_, Balance::Presumed) => "presumed",
            Self::Account(_, Balance::Lent) => "lent",
            Self::Credits => "credits",
            Self::Line(..) => "line",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_whose_id_is_none_of_ours_is_shown_by_its_uuid() {
        let ours = GenerationId::generate();
        assert_eq!(shown_line(ours.as_uuid(), 2), format!("{ours} 2"));
        assert_eq!(shown_line(Uuid::nil(), 0), "00000000-0000-0000-0000-000000000000 0");
    }
}
