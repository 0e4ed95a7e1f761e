//! The list of exchanges that nobody here speaks, each line with its reason. It names kinds, never files.

use std::collections::BTreeSet;

use super::exchange::Exchange;

/// The list as it is checked in.
#[derive(Debug, Default)]
pub struct Skips {
    lines: Vec<Line>,
    /// Most exchanges that the list may skip in the recordings that belong to it.
    pub most: usize,
    /// Most requests that the surface may refuse though a provider took them.
    pub most_refusals: usize,
}

#[derive(Debug)]
struct Line {
    /// `provider/folder`, or `*/folder` for every provider.
    pattern: String,
    reason: String,
}

impl Skips {
    /// Reads the list: `provider/folder: reason` a line, `at most N exchanges` and `at most N refused requests`, and comments after `#`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut skips = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(bound) = line.strip_prefix("at most ") {
                skips.bound(bound).ok_or_else(|| format!("`{line}` bounds nothing"))?;
                continue;
            }
            let (pattern, reason) =
                line.split_once(": ").ok_or_else(|| format!("`{line}` gives no reason"))?;
            let has_two_parts =
                pattern.split('/').count() == 2 && pattern.split('/').all(|part| !part.is_empty());
            if !has_two_parts || pattern.ends_with(".json") {
                return Err(format!("`{pattern}` is not `provider/kind` or `*/kind`"));
            }
            skips.lines.push(Line { pattern: pattern.to_owned(), reason: reason.to_owned() });
        }
        Ok(skips)
    }

    fn bound(&mut self, bound: &str) -> Option<()> {
        let (number, what) = bound.split_once(' ')?;
        let number = number.parse().ok()?;
        match what {
            "exchanges" => self.most = number,
            "refused requests" => self.most_refusals = number,
            _ => return None,
        }
        Some(())
    }

    /// Why an exchange is skipped.
    pub fn reason(&self, exchange: &Exchange) -> Option<&str> {
        let line = self.lines.iter().find(|line| line.matches(exchange))?;
        Some(&line.reason)
    }

    /// Lines that match nothing any more.
    pub fn idle<'a>(&'a self, exchanges: &[Exchange]) -> Vec<&'a str> {
        let used: BTreeSet<&str> = exchanges
            .iter()
            .filter_map(|exchange| self.lines.iter().find(|line| line.matches(exchange)))
            .map(|line| line.pattern.as_str())
            .collect();
        self.lines
            .iter()
            .map(|line| line.pattern.as_str())
            .filter(|pattern| !used.contains(pattern))
            .collect()
    }
}

impl Line {
    fn matches(&self, exchange: &Exchange) -> bool {
        let (provider, folder) = self.pattern.split_once('/').unwrap_or_default();
        (provider == "*" || provider == exchange.provider) && folder == exchange.folder
    }
}
