//! What the proof of the ledger answers: numbers that must be the same and are not.

use switchyard_proto::id::GenerationId;

use crate::domain::ledger::AccountPeriod;

/// The outcome of a proof.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// How many were looked at.
    pub accounts: u64,
    pub tenants: u64,
    pub lines: u64,
    /// Empty when all is well.
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
    Account(AccountPeriod, Balance),
    /// A tenant's credits against its credit lines.
    Credits,
    /// A line against its own charges.
    Line(GenerationId, i32),
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
