//! What telling and reading an endpoint's health costs. Read the rows beside the calibration row: machines differ.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use switchyard_data_plane::adapters::failure::FailureClass;
use switchyard_data_plane::routing::health::{Health, Outcome, Report};
use switchyard_proto::id::{EndpointId, ModelId};

/// Endpoints that are known beside the one that is measured.
const OTHERS: usize = 1000;

fn known() -> (Health, ModelId, EndpointId) {
    let health = Health::default();
    let endpoint = EndpointId::new("provider");
    for number in 0..OTHERS {
        let model = ModelId::new(format!("author/model-{number}"));
        health.tell(&Report::new(&model, &endpoint, Outcome::Ok, Duration::from_millis(1)));
    }
    (health, ModelId::new("author/model-7"), endpoint)
}

fn rows(criterion: &mut Criterion) {
    let (health, model, endpoint) = known();
    let mut group = criterion.benchmark_group("health");
    // The same machine's speed at plain work.
    group.bench_function("calibration", |bencher| {
        bencher
            .iter(|| (0..100u64).fold(0u64, |sum, step| black_box(sum.wrapping_mul(31).wrapping_add(step))));
    });
    let well = Report {
        first_content: Some(Duration::from_millis(180)),
        completion_tokens: 200,
        ..Report::new(&model, &endpoint, Outcome::Ok, Duration::from_millis(2200))
    };
    group.bench_function("tell, ok", |bencher| bencher.iter(|| health.tell(black_box(&well))));
    let failed = Report { outcome: Outcome::Failed(FailureClass::Server), ..well };
    group.bench_function("tell, failed", |bencher| bencher.iter(|| health.tell(black_box(&failed))));
    group.bench_function("reading", |bencher| bencher.iter(|| health.reading(black_box(&model), &endpoint)));
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
