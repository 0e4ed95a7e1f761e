//! The six deadlines of an attempt, as a request, a policy or a provider's row may set them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Deadlines, each of which may be left to somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Deadlines {
    /// To a connection with the provider, TLS included.
    pub connect: Option<Duration>,
    /// From sending the request to the head of a streamed answer.
    pub headers: Option<Duration>,
    /// From sending the request to the first content, or to the head of a whole answer.
    pub first_content: Option<Duration>,
    /// The longest silence between two pieces of an answer.
    pub idle: Option<Duration>,
    /// One attempt where a provider says it, the request with all its attempts elsewhere.
    pub total: Option<Duration>,
    /// A streamed answer that is slower than this for a while has failed; counted from its first content.
    pub min_tokens_per_second: Option<f64>,
}

impl Deadlines {
    /// These, and the other's where these say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            connect: self.connect.or(other.connect),
            headers: self.headers.or(other.headers),
            first_content: self.first_content.or(other.first_content),
            idle: self.idle.or(other.idle),
            total: self.total.or(other.total),
            min_tokens_per_second: self.min_tokens_per_second.or(other.min_tokens_per_second),
        }
    }

    /// Whichever is stricter, deadline by deadline.
    #[must_use]
    pub fn tightened_by(self, other: Self) -> Self {
        fn stricter<T: PartialOrd>(
            one: Option<T>,
            other: Option<T>,
            is_stricter: fn(&T, &T) -> bool,
        ) -> Option<T> {
            match (one, other) {
                (Some(one), Some(other)) => Some(if is_stricter(&other, &one) { other } else { one }),
                (one, other) => one.or(other),
            }
        }
        let shorter = |one, other| stricter(one, other, |one: &Duration, other| one < other);
        Self {
            connect: shorter(self.connect, other.connect),
            headers: shorter(self.headers, other.headers),
            first_content: shorter(self.first_content, other.first_content),
            idle: shorter(self.idle, other.idle),
            total: shorter(self.total, other.total),
            min_tokens_per_second: stricter(
                self.min_tokens_per_second,
                other.min_tokens_per_second,
                |one, other| one > other,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_of_two_deadlines_holds() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let one = Deadlines {
            headers: ms(5),
            idle: ms(9),
            min_tokens_per_second: Some(3.0),
            ..Deadlines::default()
        };
        let other = Deadlines {
            headers: ms(7),
            idle: ms(2),
            total: ms(1),
            min_tokens_per_second: Some(4.0),
            ..Deadlines::default()
        };
        let both = Deadlines {
            headers: ms(5),
            idle: ms(2),
            total: ms(1),
            min_tokens_per_second: Some(4.0),
            ..Deadlines::default()
        };
        assert_eq!(one.tightened_by(other), both);
        assert_eq!(other.tightened_by(one), both);
    }
}
