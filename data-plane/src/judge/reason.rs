//! The reasons for which a policy may move on to its next stage, and sets of them.

/// Why an attempt or its answer is not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The attempt failed.
    Error,
    /// The attempt took too long.
    Timeout,
    /// The model or a filter refused.
    Refusal,
    /// The answer was cut off by its cap on tokens.
    Length,
    /// There is neither text, tool call, refusal nor media.
    Empty,
    /// JSON was asked for and the text is none.
    InvalidJson,
    /// A tool call that cannot be carried out, or none where one was demanded.
    InvalidToolCall,
    /// The text does not fit the request's schema or the policy's.
    Schema,
    /// Somebody who was asked about the answer said no.
    Check,
}

impl Reason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::Error,
        Self::Timeout,
        Self::Refusal,
        Self::Length,
        Self::Empty,
        Self::InvalidJson,
        Self::InvalidToolCall,
        Self::Schema,
        Self::Check,
    ];

    /// The name in policies and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Refusal => "refusal",
            Self::Length => "length",
            Self::Empty => "empty",
            Self::InvalidJson => "invalid_json",
            Self::InvalidToolCall => "invalid_tool_call",
            Self::Schema => "schema",
            Self::Check => "check",
        }
    }

    /// The reason of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// A set of [`Reason`]s.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Reasons(u16);

impl Reasons {
    /// No reason.
    pub const NONE: Self = Self(0);
    /// What a stage that names nothing escalates on: the attempt failed or took too long.
    pub const USUAL: Self = Self(bit(Reason::Error) | bit(Reason::Timeout));

    /// The set that these names tell.
    ///
    /// # Errors
    /// The first name that is no reason.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        names.into_iter().map(|name| Reason::from_name(name).ok_or(name)).collect()
    }

    /// Adds one.
    pub fn insert(&mut self, reason: Reason) {
        self.0 |= bit(reason);
    }

    /// Whether it is in the set.
    pub const fn contains(self, reason: Reason) -> bool {
        self.0 & bit(reason) != 0
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members' names, in the order of declaration.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.iter().map(Reason::as_str)
    }

    /// The members in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }
}

impl FromIterator<Reason> for Reasons {
    fn from_iter<I: IntoIterator<Item = Reason>>(reasons: I) -> Self {
        let mut set = Self::NONE;
        reasons.into_iter().for_each(|reason| set.insert(reason));
        set
    }
}

impl std::fmt::Debug for Reasons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

const fn bit(reason: Reason) -> u16 {
    1 << reason as u16
}

#[cfg(test)]
mod tests {
    use switchyard_proto::policy::ESCALATE_ON;

    use super::*;

    #[test]
    fn the_reasons_are_those_that_policies_may_name() {
        assert_eq!(Reason::ALL.map(Reason::as_str), ESCALATE_ON);
        assert_eq!(Reasons::USUAL.names().collect::<Vec<_>>(), ["error", "timeout"]);
    }

    #[test]
    fn every_reason_finds_itself_by_name_and_has_its_own_bit() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.as_str()), Some(reason));
            assert_eq!(Reasons::from_iter([reason]).iter().collect::<Vec<_>>(), [reason]);
        }
        assert_eq!(Reasons::from_iter(Reason::ALL).iter().count(), Reason::ALL.len());
    }

    #[test]
    fn a_set_is_read_from_names_and_an_unknown_one_is_told() {
        let set = Reasons::from_names(["schema", "refusal", "schema"]);
        assert_eq!(format!("{set:?}"), r#"Ok({"refusal", "schema"})"#);
        assert_eq!(Reasons::from_names(["empty", "Empty"]), Err("Empty"));
        assert!(Reasons::from_names([]).is_ok_and(Reasons::is_empty));
    }
}
