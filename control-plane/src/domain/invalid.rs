//! Input that cannot be taken, by field; and the checks on texts that every noun shares.

/// A field that cannot be taken, and why. Shown to whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub struct Invalid {
    /// Dotted path, e.g. `key.limit.usd`.
    pub field: String,
    /// Follows the field in a sentence: `is not …`.
    pub reason: String,
}

impl Invalid {
    /// Names a field and what is wrong with it.
    pub fn new(field: impl Into<String>, reason: impl ToString) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }

    /// The same, seen from the message that holds this one: `limit.usd` within `key` is `key.limit.usd`.
    pub fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), reason: self.reason }
    }
}

/// Checks a text that may be empty: at most `most` characters, none of them a control character.
///
/// # Errors
/// Names the field.
pub fn text(field: &str, value: &str, most: usize) -> Result<(), Invalid> {
    if value.chars().count() > most {
        return Err(Invalid::new(field, format!("has more than {most} characters")));
    }
    if value.chars().any(|character| character.is_control() && character != '\n' && character != '\t') {
        return Err(Invalid::new(field, "has a control character"));
    }
    Ok(())
}

/// Checks a text that must not be empty.
///
/// # Errors
/// Names the field.
pub fn required(field: &str, value: &str, most: usize) -> Result<(), Invalid> {
    if value.trim().is_empty() {
        return Err(Invalid::new(field, "is required"));
    }
    text(field, value, most)
}

/// Checks a number against the most that makes sense (and fits the store).
///
/// # Errors
/// Names the field.
pub fn at_most(field: &str, value: u64, most: u64) -> Result<(), Invalid> {
    if value > most {
        return Err(Invalid::new(field, format!("is more than {most}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_printable() {
        for (value, reason) in [
            ("fine, also ü and 漢", None),
            ("two\nlines", None),
            ("", None),
            ("nul\0", Some("has a control character")),
            ("12345678901234567890123", Some("has more than 22 characters")),
        ] {
            let found = text("name", value, 22).err().map(|invalid| invalid.reason);
            assert_eq!(found.as_deref(), reason, "{value:?}");
        }
        assert_eq!(required("name", "  ", 5).unwrap_err().to_string(), "name is required");
    }

    #[test]
    fn fields_are_named_from_the_outside() {
        let inner = Invalid::new("limit.usd", "is negative");
        assert_eq!(inner.within("key").to_string(), "key.limit.usd is negative");
    }
}
