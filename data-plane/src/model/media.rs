//! Bytes that were fetched for a request, because an adapter cannot hand their URL on.
//!
//! The rim fills it through the guarded connector; adapters only look things up.

use std::collections::BTreeMap;

/// What a URL held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFile {
    /// By the bytes themselves where they tell it, else as the server said; lower case, without parameters.
    pub media_type: String,
    /// Standard alphabet, padded.
    pub base64: String,
}

/// Fetched files by the URL that the caller wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fetched(pub BTreeMap<String, FetchedFile>);

/// For requests that need nothing fetched.
pub static NOTHING: Fetched = Fetched(BTreeMap::new());

impl Fetched {
    /// What the URL held, if it was fetched.
    pub fn get(&self, url: &str) -> Option<&FetchedFile> {
        self.0.get(url)
    }
}
