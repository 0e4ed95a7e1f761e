//! What the server keeps about every config row, and the number of a config state.

use chrono::{DateTime, Utc};

/// A config state: numbers of different incarnations cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    pub incarnation: String,
    pub number: u64,
}

/// The tail of every config row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Number of the config state that last changed it.
    pub revision: u64,
    /// `file` where `apply` owns it, else empty.
    pub managed_by: String,
    /// The revision at which `apply` last wrote it.
    pub managed_revision: u64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A change was based on a revision that is not the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("based on revision {read}, but the current one is {current}; read it again and repeat the change")]
pub struct Stale {
    pub read: u64,
    pub current: u64,
}

impl Meta {
    /// Checks that a change was based on this row as it is; revision 0 takes whatever is there.
    ///
    /// # Errors
    /// [`Stale`] with the current revision.
    pub fn expect(&self, read: u64) -> Result<(), Stale> {
        if read != 0 && read != self.revision {
            return Err(Stale { read, current: self.revision });
        }
        Ok(())
    }

    /// Whether `apply` owns the row and somebody else edited it since.
    pub fn has_drifted(&self) -> bool {
        !self.managed_by.is_empty() && self.revision > self.managed_revision
    }
}

#[cfg(test)]
pub(crate) fn meta(revision: u64) -> Meta {
    let at = DateTime::from_timestamp(1_700_000_000, 0).expect("in range");
    Meta { revision, managed_by: String::new(), managed_revision: 0, created_at: at, updated_at: at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_must_know_the_current_revision_or_not_care() {
        assert_eq!(meta(7).expect(7), Ok(()));
        assert_eq!(meta(7).expect(0), Ok(()));
        assert_eq!(meta(7).expect(6), Err(Stale { read: 6, current: 7 }));
    }

    #[test]
    fn an_edit_after_the_last_apply_is_drift() {
        for (managed_by, managed_revision, drifted) in [("", 0, false), ("file", 7, false), ("file", 5, true)]
        {
            let row = Meta { managed_by: managed_by.into(), managed_revision, ..meta(7) };
            assert_eq!(row.has_drifted(), drifted, "{managed_by} {managed_revision}");
        }
    }
}
