//! The fleet as operators see it: which data plane runs which config.

use chrono::{DateTime, Utc};

use crate::domain::{lending::GivenBack, meta::Revision};

/// One data plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub id: String,
    pub version: String,
    pub region: String,
    /// Holds a config stream right now.
    pub attached: bool,
    pub epoch: u64,
    pub sent: Option<Revision>,
    pub applied: Option<Revision>,
    /// What it refused of the applied revision.
    pub refused: Vec<Refusal>,
    pub last_seen: Option<DateTime<Utc>>,
    pub attached_at: Option<DateTime<Utc>>,
    /// Milliseconds from sending to its answer, of the last push.
    pub apply_ms: u64,
}

/// What the release of a lost data plane gave back: sums over accounts, of which one attempt bills several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Released {
    pub leases: u32,
    /// Lent and not accounted for.
    pub lent_nano: i64,
    /// Presumed spent.
    pub presumed_nano: i64,
}

impl Released {
    /// Counts one lease.
    pub fn add(&mut self, back: GivenBack) {
        self.leases += 1;
        self.lent_nano = self.lent_nano.saturating_add(back.lent);
        self.presumed_nano = self.presumed_nano.saturating_add(back.presumed);
    }
}

/// One resource that a data plane could not use; its old form stays in force there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `ResourceKind` of the wire.
    pub kind: i32,
    pub id: String,
    pub field: String,
    pub reason: String,
}

impl Instance {
    /// Revisions behind the newest; everything, where the incarnations differ.
    pub fn lag(&self, newest: &Revision) -> u64 {
        match &self.applied {
            Some(applied) if applied.incarnation == newest.incarnation => {
                newest.number.saturating_sub(applied.number)
            }
            _ => newest.number,
        }
    }

    /// Attached and on the newest revision.
    pub fn is_current(&self, newest: &Revision) -> bool {
        self.attached && self.applied.as_ref() == Some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_within_one_incarnation() {
        let at = |incarnation: &str, number| Revision { incarnation: incarnation.into(), number };
        for (applied, lag, current) in [
            (Some(at("a", 7)), 3, false),
            (Some(at("a", 10)), 0, true),
            (Some(at("b", 10)), 10, false),
            (None, 10, false),
        ] {
            let instance = Instance {
                id: "dp-1".into(),
                version: String::new(),
                region: String::new(),
                attached: true,
                epoch: 1,
                sent: None,
                applied,
                refused: Vec::new(),
                last_seen: None,
                attached_at: None,
                apply_ms: 0,
            };
            assert_eq!((instance.lag(&at("a", 10)), instance.is_current(&at("a", 10))), (lag, current));
        }
    }
}
