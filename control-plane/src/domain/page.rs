//! Pages of a list: how many, after what, and the opaque token between two pages.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};

use crate::domain::invalid::Invalid;

const DEFAULT_SIZE: u32 = 100;
const LARGEST_SIZE: u32 = 1000;

/// Which part of a list is wanted: `C` is the place of the last row of the page before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<C> {
    size: u32,
    pub after: Option<C>,
}

/// The place of a row in a list that is ordered by age: microseconds since 1970, and the id among equals.
pub type ByAge = (i64, String);

/// The place of a row by its creation.
pub fn by_age(created_at: DateTime<Utc>, id: &str) -> ByAge {
    (created_at.timestamp_micros(), id.to_owned())
}

/// One page, and the token of the next; empty on the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    pub items: Vec<T>,
    pub next: String,
}

impl<C: Serialize + DeserializeOwned> Page<C> {
    /// Reads what a caller asked for; 0 means 100, more than 1000 means 1000.
    ///
    /// # Errors
    /// A token that did not come from a page of this list.
    pub fn read(size: u32, token: &str) -> Result<Self, Invalid> {
        let size = if size == 0 { DEFAULT_SIZE } else { size.min(LARGEST_SIZE) };
        if token.is_empty() {
            return Ok(Self { size, after: None });
        }
        let bad = || Invalid::new("page_token", "is not the `next_page_token` of a page of this list");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
        let after = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        Ok(Self { size, after: Some(after) })
    }

    /// The first page at its largest.
    pub fn first() -> Self {
        Self { size: LARGEST_SIZE, after: None }
    }

    /// Rows to fetch: one more than wanted tells whether there is a next page.
    pub fn fetch(&self) -> i64 {
        i64::from(self.size) + 1
    }

    /// Cuts what was fetched to the page.
    pub fn cut<T>(&self, mut items: Vec<T>, place: impl Fn(&T) -> C) -> Listed<T> {
        let has_more = items.len() > self.size as usize;
        items.truncate(self.size as usize);
        let last = items.last().filter(|_| has_more);
        let next = last.map(|item| token(&place(item))).unwrap_or_default();
        Listed { items, next }
    }
}

fn token<C: Serialize>(place: &C) -> String {
    let bytes = serde_json::to_vec(place).expect("a place is numbers and texts");
    URL_SAFE_NO_PAD.encode(bytes)
}

impl<T> Listed<T> {
    /// The same page of something made from each row.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Listed<U> {
        Listed { items: self.items.into_iter().map(each).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_row_after_the_last_one() {
        let page = Page::<ByAge>::read(2, "").unwrap();
        assert_eq!(page.fetch(), 3);
        let listed = page.cut(vec!["a", "b", "c"], |id| (7, (*id).to_owned()));
        assert_eq!(listed.items, ["a", "b"]);
        let next = Page::<ByAge>::read(2, &listed.next).unwrap();
        assert_eq!(next.after, Some((7, "b".to_owned())));
        assert_eq!(next.cut(vec!["c"], |id| (7, (*id).to_owned())).next, "");
    }

    #[test]
    fn sizes_have_a_default_and_a_ceiling() {
        for (asked, fetched) in [(0, 101), (1, 2), (1000, 1001), (u32::MAX, 1001)] {
            assert_eq!(Page::<ByAge>::read(asked, "").unwrap().fetch(), fetched, "{asked}");
        }
    }

    #[test]
    fn a_foreign_token_is_refused_by_name() {
        for token in ["%%%", "bm90IGpzb24", "WzFd"] {
            assert_eq!(Page::<ByAge>::read(0, token).unwrap_err().field, "page_token", "{token}");
        }
    }
}
