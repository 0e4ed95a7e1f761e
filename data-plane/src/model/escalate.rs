//! What sends a request from one stage of a policy to the next, as a set.
//!
//! Only names and membership; what an answer is guilty of is another module's business.

use switchyard_proto::policy::ESCALATE_ON;

/// A set of reasons, by the names of [`ESCALATE_ON`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Escalation(u16);

impl Escalation {
    /// The set of one reason; none for a name that is no reason.
    pub fn from_name(name: &str) -> Option<Self> {
        let index = ESCALATE_ON.iter().position(|known| *known == name)?;
        Some(Self(1 << index))
    }

    /// What a stage that names nothing escalates on: the attempt failed or took too long.
    pub fn usual() -> Self {
        Self(0b11)
    }

    /// Both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether this reason is in the set; an unknown name never is.
    pub fn contains(self, name: &str) -> bool {
        Self::from_name(name).is_some_and(|reason| self.0 & reason.0 != 0)
    }

    /// Whether anything in it is about what the answer says, so that the whole answer must be seen first.
    pub fn judges_answers(self) -> bool {
        self.0 & !Self::usual().0 != 0
    }

    /// The reasons in it, in the order of [`ESCALATE_ON`].
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        ESCALATE_ON.iter().copied().filter(move |name| self.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set = Escalation::from_name("refusal").unwrap().and(Escalation::from_name("check").unwrap());
        assert!(set.contains("refusal") && set.contains("check") && !set.contains("error"));
        assert_eq!(set.names().collect::<Vec<_>>(), ["refusal", "check"]);
        assert_eq!(Escalation::from_name("boredom"), None);
    }

    #[test]
    fn usually_a_stage_escalates_on_failures_alone() {
        assert_eq!(Escalation::usual().names().collect::<Vec<_>>(), ["error", "timeout"]);
        assert!(!Escalation::usual().judges_answers());
        assert!(Escalation::usual().and(Escalation::from_name("schema").unwrap()).judges_answers());
    }
}
