//! The shapes seen by this process, each once, with what was counted since the last report. Bounded.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::adapters::drift::Finding;

/// Shapes of one provider; more count as one shape of kind [`OVERFLOW`].
pub const MOST_OF_PROVIDER: usize = 256;
/// Shapes of all providers.
const MOST: usize = 4096;
/// Shapes in one report.
const MOST_IN_REPORT: usize = 500;

/// The kind of what stands for shapes beyond the bound.
pub const OVERFLOW: &str = "overflow";

/// Whose answer it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    pub provider: String,
    pub adapter: &'static str,
    /// As callers know it.
    pub model: String,
}

/// One shape of one source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    pub source: Source,
    pub kind: &'static str,
    pub path: String,
    pub detail: String,
}

/// How often a shape was seen since the last report, in how many answers, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub answers: u64,
    pub first_seen: DateTime<Utc>,
    pub last_seen: DateTime<Utc>,
}

#[derive(Debug, Default)]
pub struct Table {
    shapes: HashMap<Shape, Option<Count>>,
    of_provider: HashMap<String, usize>,
}

impl Table {
    /// Counts a finding; answers the shape that it was counted as.
    pub fn count(&mut self, source: &Source, finding: Finding, now: DateTime<Utc>) -> Shape {
        let shape = Shape {
            source: source.clone(),
            kind: finding.kind.as_str(),
            path: finding.path,
            detail: finding.detail,
        };
        if self.has_room_for(&shape) {
            return self.put(shape, now);
        }
        // Providers are bounded by the config; past even that only the metric tells.
        let overflow = overflow(source);
        if self.shapes.contains_key(&overflow) || self.shapes.len() < 2 * MOST {
            return self.put(overflow, now);
        }
        overflow
    }

    fn has_room_for(&self, shape: &Shape) -> bool {
        let of_provider = self.of_provider.get(&shape.source.provider).copied().unwrap_or(0);
        self.shapes.contains_key(shape) || (of_provider < MOST_OF_PROVIDER && self.shapes.len() < MOST)
    }

    fn put(&mut self, shape: Shape, now: DateTime<Utc>) -> Shape {
        if !self.shapes.contains_key(&shape) && shape.kind != OVERFLOW {
            *self.of_provider.entry(shape.source.provider.clone()).or_default() += 1;
        }
        let count = self.shapes.entry(shape.clone()).or_default();
        let before = count.unwrap_or(Count { answers: 0, first_seen: now, last_seen: now });
        *count = Some(Count { answers: before.answers + 1, last_seen: now, ..before });
        shape
    }

    /// What is to be reported, not more than fits one report.
    pub fn unreported(&self) -> Vec<(Shape, Count)> {
        let counted = self.shapes.iter().filter_map(|(shape, count)| Some((shape.clone(), (*count)?)));
        counted.take(MOST_IN_REPORT).collect()
    }

    /// Takes off what was reported; what was counted meanwhile stays.
    pub fn reported(&mut self, report: &[(Shape, Count)]) {
        for (shape, told) in report {
            let Some(count) = self.shapes.get_mut(shape) else { continue };
            *count = count.and_then(|count| {
                let answers = count.answers.saturating_sub(told.answers);
                (answers > 0).then_some(Count { answers, first_seen: told.last_seen, ..count })
            });
        }
    }
}

fn overflow(source: &Source) -> Shape {
    let source = Source { model: String::new(), ..source.clone() };
    Shape { source, kind: OVERFLOW, path: String::new(), detail: String::new() }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::clock;

    use super::*;
    use crate::adapters::drift::Kind;

    fn source(provider: &str) -> Source {
        Source { provider: provider.to_owned(), adapter: "openai", model: "test/echo".to_owned() }
    }

    fn finding(path: &str) -> Finding {
        Finding { kind: Kind::Field, path: path.to_owned(), detail: "string".to_owned() }
    }

    fn told(table: &Table) -> Vec<(String, u64)> {
        let mut told: Vec<_> =
            table.unreported().iter().map(|(shape, count)| (shape.path.clone(), count.answers)).collect();
        told.sort();
        told
    }

    #[test]
    fn what_was_reported_is_not_reported_again_and_what_came_meanwhile_is() {
        let mut table = Table::default();
        let now = clock::now();
        table.count(&source("lab"), finding("a"), now);
        table.count(&source("lab"), finding("a"), now);
        table.count(&source("lab"), finding("b"), now);
        let report = table.unreported();
        assert_eq!(told(&table), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        table.count(&source("lab"), finding("b"), now);
        assert_eq!(told(&table), [("a".to_owned(), 2), ("b".to_owned(), 2)], "nothing was acknowledged yet");
        table.reported(&report);
        assert_eq!(told(&table), [("b".to_owned(), 1)]);
        table.reported(&report);
        assert_eq!(told(&table), []);
    }

    #[test]
    fn a_providers_shapes_are_bounded_and_the_rest_is_counted_as_one() {
        let mut table = Table::default();
        let now = clock::now();
        for at in 0..MOST_OF_PROVIDER + 50 {
            table.count(&source("noisy"), finding(&format!("field_{at}")), now);
        }
        let shape = table.count(&source("quiet"), finding("a"), now);
        assert_eq!(shape.kind, "field", "another provider has room");
        assert_eq!(
            table.count(&source("noisy"), finding("field_0"), now).kind,
            "field",
            "known ones still count"
        );
        let report = table.unreported();
        assert_eq!(report.len(), MOST_OF_PROVIDER + 2);
        let overflow: Vec<_> = report.iter().filter(|(shape, _)| shape.kind == OVERFLOW).collect();
        assert_eq!(overflow.len(), 1);
        assert_eq!((overflow[0].0.source.model.as_str(), overflow[0].1.answers), ("", 50));
    }

    #[test]
    fn all_providers_together_are_bounded() {
        let mut table = Table::default();
        for provider in 0..3 * MOST {
            for at in 0..2 {
                table.count(&source(&format!("p{provider}")), finding(&format!("f{at}")), clock::now());
            }
        }
        assert!(table.shapes.len() <= 2 * MOST, "{}", table.shapes.len());
        assert_eq!(table.unreported().len(), MOST_IN_REPORT);
    }
}
