//! Where the recordings and the checked-in lists are, and how strictly they are held.

use std::path::{Path, PathBuf};

/// What a run reads.
#[derive(Debug)]
pub struct Settings {
    /// The folder of recordings, whether it is there or not.
    pub recordings: PathBuf,
    /// The repository's own exchanges, requests, goldens and lists.
    pub fixtures: PathBuf,
    /// Whether the folder is the usual one: then lists may only shrink and coverage only grow.
    pub ratchets: bool,
    /// Whether goldens and tables are written instead of compared.
    pub bless: bool,
}

impl Settings {
    /// Reads `SWITCHYARD_RECORDINGS` (relative to the top of the repository) and `SWITCHYARD_BLESS`.
    #[expect(clippy::disallowed_methods, reason = "a test has no settings file")]
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is around the tests");
        let other = std::env::var("SWITCHYARD_RECORDINGS").ok().filter(|folder| !folder.is_empty());
        let bless = std::env::var("SWITCHYARD_BLESS").is_ok_and(|bless| bless == "1");
        Self {
            recordings: root.join(other.as_deref().unwrap_or("../shared/recordings")),
            fixtures: root.join("data-plane/fixtures"),
            ratchets: other.is_none(),
            bless,
        }
    }
}
