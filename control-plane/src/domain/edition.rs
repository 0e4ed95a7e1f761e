//! Editions of the built-in catalogue, and which of two is the newer.

use serde::Deserialize;

/// One state of the catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edition {
    /// Grows whenever the checksum changes.
    pub version: u64,
    /// Of everything that rows take from the catalogue when they are pushed.
    pub checksum: String,
}

impl Edition {
    /// Whether rows that were sent from `seen` are to be sent again from this one.
    ///
    /// Never from an older one: programs of two versions stand side by side during an update, and each would take back what
    /// the other sent. Two contents of one version are somebody's work in progress.
    pub fn replaces(&self, seen: &Self) -> bool {
        self.version > seen.version || (self.version == seen.version && self.checksum != seen.checksum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_edition_replaces_nothing() {
        let edition = |version, checksum: &str| Edition { version, checksum: checksum.into() };
        for (own, seen, replaces) in [
            (edition(1, "a"), Edition::default(), true),
            // What a program before versions wrote.
            (edition(1, "a"), edition(0, "a"), true),
            (edition(2, "b"), edition(1, "a"), true),
            (edition(1, "a"), edition(2, "b"), false),
            (edition(2, "b"), edition(2, "b"), false),
            (edition(2, "c"), edition(2, "b"), true),
        ] {
            assert_eq!(own.replaces(&seen), replaces, "{own:?} {seen:?}");
        }
    }
}
