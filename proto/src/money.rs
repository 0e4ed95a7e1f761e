//! Amounts of money: whole nano-dollars, and the one function that rounds.

use std::fmt;

/// An amount in billionths of a US dollar, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(pub u64);

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("is not a decimal number of dollars")]
    NotDecimal,
    #[error("is negative")]
    Negative,
    #[error("has more decimal places than {0}")]
    TooFine(u32),
    #[error("is too large")]
    TooLarge,
}

impl NanoUsd {
    pub const ZERO: Self = Self(0);

    /// Reads dollars, e.g. `5.00`; at most nine decimal places.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        scaled(text, 9).map(Self)
    }

    /// The sum, stuck at the largest amount.
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, never below zero.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// As the database stores it; amounts beyond 9.2 billion dollars are stuck there.
    pub fn to_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

/// Dollars with as many decimal places as needed, e.g. `0.0000375`, `5`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(self.0, 9))
    }
}

/// A signed amount as dollars, e.g. `-0.5`.
pub fn signed(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    format!("{sign}{}", decimal(nano.unsigned_abs(), 9))
}

/// Reads dollars that may be negative.
pub fn parse_signed(text: &str) -> Result<i64, ParseError> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let nano = i64::try_from(scaled(digits, 9)?).map_err(|_| ParseError::TooLarge)?;
    Ok(sign * nano)
}

/// Femto-dollars (10⁻¹⁵) to nano-dollars, rounded up: the only place where money is rounded.
pub fn round_up(femto: u128) -> NanoUsd {
    NanoUsd(u64::try_from(femto.div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

/// A decimal text as an integer of `10^-places`.
pub(crate) fn scaled(text: &str, places: u32) -> Result<u64, ParseError> {
    if text.starts_with('-') {
        return Err(ParseError::Negative);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(ParseError::NotDecimal);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places as usize {
        return Err(ParseError::TooFine(places));
    }
    let padded = format!("{whole}{fraction:0<width$}", width = places as usize);
    padded.parse().map_err(|_| ParseError::TooLarge)
}

/// An integer of `10^-places` as the shortest exact decimal.
pub(crate) fn decimal(value: u64, places: u32) -> String {
    let unit = 10u64.pow(places);
    let (whole, fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let fraction = format!("{fraction:0width$}", width = places as usize);
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_exactly() {
        for (text, nano) in [
            ("5", Ok(5_000_000_000)),
            ("5.00", Ok(5_000_000_000)),
            (".5", Ok(500_000_000)),
            ("0.000000001", Ok(1)),
            ("0.0000000010", Ok(1)),
            ("0.0000000001", Err(ParseError::TooFine(9))),
            ("-1", Err(ParseError::Negative)),
            ("1e3", Err(ParseError::NotDecimal)),
            ("", Err(ParseError::NotDecimal)),
            (".", Err(ParseError::NotDecimal)),
            ("1.2.3", Err(ParseError::NotDecimal)),
            ("99999999999999", Err(ParseError::TooLarge)),
        ] {
            assert_eq!(NanoUsd::parse(text).map(|amount| amount.0), nano, "{text}");
        }
    }

    #[test]
    fn dollars_are_written_as_read() {
        for text in ["0", "5", "0.5", "0.000000001", "12.34"] {
            assert_eq!(NanoUsd::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(signed(-1_500_000_000), "-1.5");
        assert_eq!(parse_signed("-1.5"), Ok(-1_500_000_000));
    }

    #[test]
    fn a_part_of_a_nano_dollar_is_rounded_up() {
        assert_eq!([0, 1, 1_000_000, 1_000_001].map(round_up), [0, 1, 1, 2].map(NanoUsd));
    }
}
