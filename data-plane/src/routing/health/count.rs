//! What is counted of an endpoint's attempts: classes of endings, told apart, and which of them speak against it.

use crate::adapters::failure::FailureClass;

/// One count. The order is that of the counters in a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Ok,
    RateLimited,
    Overloaded,
    Timeout,
    Server,
    Malformed,
    /// The provider refused our credential or our account is spent: 401, 402.
    Credential,
    /// The credential may not do this: 403.
    Permission,
    NotFound,
    /// Answers with tool calls, all of them valid.
    ToolsValid,
    /// Answers with a tool call that is not.
    ToolsInvalid,
}

/// How many counts there are.
pub const COUNTS: usize = 11;

/// How many attempts of each kind.
pub type Counts = [u32; COUNTS];

impl Count {
    /// All, in their order.
    pub const ALL: [Self; COUNTS] = [
        Self::Ok,
        Self::RateLimited,
        Self::Overloaded,
        Self::Timeout,
        Self::Server,
        Self::Malformed,
        Self::Credential,
        Self::Permission,
        Self::NotFound,
        Self::ToolsValid,
        Self::ToolsInvalid,
    ];

    /// Its counter.
    pub const fn place(self) -> usize {
        self as usize
    }

    /// The count of a failure; `None` where the request is at fault and not the endpoint.
    pub const fn of(class: FailureClass) -> Option<Self> {
        match class {
            FailureClass::InvalidRequest
            | FailureClass::Unsupported
            | FailureClass::ContextLength
            | FailureClass::ContentFiltered => None,
            FailureClass::Auth | FailureClass::Payment => Some(Self::Credential),
            FailureClass::Permission => Some(Self::Permission),
            FailureClass::NotFound => Some(Self::NotFound),
            FailureClass::RateLimited => Some(Self::RateLimited),
            FailureClass::Overloaded => Some(Self::Overloaded),
            FailureClass::Timeout => Some(Self::Timeout),
            FailureClass::Server => Some(Self::Server),
            FailureClass::Malformed => Some(Self::Malformed),
        }
    }

    /// Whether it counts against the endpoint's uptime, as OpenRouter publishes it: 429 and 403 do not.
    pub const fn is_downtime(self) -> bool {
        match self {
            Self::Overloaded
            | Self::Timeout
            | Self::Server
            | Self::Malformed
            | Self::Credential
            | Self::NotFound => true,
            Self::Ok | Self::RateLimited | Self::Permission | Self::ToolsValid | Self::ToolsInvalid => false,
        }
    }

    /// Whether the provider's machines are at fault: what a breaker acts on.
    pub const fn is_infrastructure(self) -> bool {
        matches!(self, Self::Overloaded | Self::Timeout | Self::Server | Self::Malformed)
    }
}

/// The sum of some counts.
pub fn sum(counts: &Counts, which: impl Fn(Count) -> bool) -> u32 {
    Count::ALL
        .into_iter()
        .filter(|count| which(*count))
        .fold(0, |sum, count| sum.saturating_add(counts[count.place()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_the_counter_of_its_place_in_the_list() {
        for (place, count) in Count::ALL.into_iter().enumerate() {
            assert_eq!(count.place(), place, "{count:?}");
        }
    }

    #[test]
    fn a_callers_mistake_is_no_count_and_a_limit_is_no_downtime() {
        for class in [
            FailureClass::InvalidRequest,
            FailureClass::Unsupported,
            FailureClass::ContextLength,
            FailureClass::ContentFiltered,
        ] {
            assert_eq!(Count::of(class), None, "{class:?}");
        }
        for (class, is_downtime, is_infrastructure) in [
            (FailureClass::RateLimited, false, false),
            (FailureClass::Permission, false, false),
            (FailureClass::Auth, true, false),
            (FailureClass::Payment, true, false),
            (FailureClass::NotFound, true, false),
            (FailureClass::Overloaded, true, true),
            (FailureClass::Timeout, true, true),
            (FailureClass::Server, true, true),
            (FailureClass::Malformed, true, true),
        ] {
            let count = Count::of(class).unwrap();
            assert_eq!(
                (count.is_downtime(), count.is_infrastructure()),
                (is_downtime, is_infrastructure),
                "{class:?}"
            );
        }
    }
}
