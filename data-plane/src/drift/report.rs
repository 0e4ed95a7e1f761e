//! What is handed to the control plane, in the wire's words.

use switchyard_proto::{clock, v1};

use crate::drift::Drift;
use crate::drift::table::{Count, Shape};

/// Shapes on their way; [`Drift::reported`] takes them off once they have arrived.
#[derive(Debug)]
pub struct Report(Vec<(Shape, Count)>);

impl Report {
    /// The wire's form.
    pub fn findings(&self) -> Vec<v1::DriftCount> {
        self.0.iter().map(|(shape, count)| to_proto(shape, count)).collect()
    }
}

impl Drift {
    /// What was counted since the last report; none where there is nothing.
    pub fn unreported(&self) -> Option<Report> {
        let counts = self.table().unreported();
        (!counts.is_empty()).then_some(Report(counts))
    }

    /// A report arrived. One whose answer was lost is sent again, so counts may be too high and never too low.
    pub fn reported(&self, report: &Report) {
        self.table().reported(&report.0);
    }
}

fn to_proto(shape: &Shape, count: &Count) -> v1::DriftCount {
    v1::DriftCount {
        provider: shape.source.provider.clone(),
        adapter: shape.source.adapter.to_owned(),
        model: shape.source.model.clone(),
        kind: shape.kind.to_owned(),
        path: shape.path.clone(),
        detail: shape.detail.clone(),
        answers: count.answers,
        first_seen: Some(clock::to_timestamp(count.first_seen)),
        last_seen: Some(clock::to_timestamp(count.last_seen)),
    }
}
