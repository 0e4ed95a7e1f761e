//! Drift in what providers answer: which answers are looked at, when, and what is kept of it until it is reported.
//!
//! The first answers of every provider and model are looked at and a share of all later ones: their bytes are kept beside the
//! request, up to a cap, and compared with the dialect's vocabulary on the background runtime once the answer is over. An
//! answer that could not be read is looked at in any case. What is not sampled costs one counter. Shapes are kept in
//! a bounded table, counted as a metric, and handed over by `usage::ship`; what was not yet is lost with the process.
//! What counts as drift is `adapters::drift`'s business.

pub mod report;
mod sampler;
pub mod table;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use metrics::counter;
use switchyard_proto::clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::adapters::drift::{self as shapes, Answer, Extent, Vocabulary};
use crate::background::Background;
use crate::config::snapshot::Endpoint;
use crate::settings;
use crate::telemetry::metrics as names;

use self::sampler::Sampler;
use self::table::{Source, Table};
pub use self::watch::Watch;

/// Answers that are kept or looked at, at once; one more is let pass.
const MOST_SAMPLES: usize = 64;

/// What the process knows of drift.
#[derive(Debug)]
pub struct Drift {
    sampler: Sampler,
    /// Most bytes that are kept of an answer.
    most_bytes: usize,
    places: Arc<Semaphore>,
    samples: mpsc::UnboundedSender<Sample>,
    table: Mutex<Table>,
}

/// Bytes of an answer on their way to be looked at. Holding a place bounds how many there are.
#[derive(Debug)]
struct Sample {
    vocabulary: &'static Vocabulary,
    source: Source,
    media: Option<String>,
    body: Bytes,
    extent: Extent,
    _place: OwnedSemaphorePermit,
}

impl Drift {
    /// Starts looking at what [`Watch`]es hand in.
    pub fn start(settings: &settings::Drift, background: &Background) -> Arc<Self> {
        let (samples, mut coming) = mpsc::unbounded_channel::<Sample>();
        let drift = Arc::new(Self {
            sampler: Sampler::new(settings.first, settings.sample),
            most_bytes: settings.max_bytes,
            places: Arc::new(Semaphore::new(MOST_SAMPLES)),
            samples,
            table: Mutex::default(),
        });
        let looking = {
            let (drift, background) = (Arc::downgrade(&drift), background.clone());
            async move {
                while let Some(sample) = coming.recv().await {
                    let Some(drift) = drift.upgrade() else { return };
                    // A quarter of a megabyte of JSON takes milliseconds, which others on this runtime would wait for.
                    let looked = background.spawn_blocking(move || drift.look(&sample)).await;
                    if looked.is_err() {
                        tracing::error!("looking at a provider's answer for drift panicked");
                    }
                }
            }
        };
        let stopping = background.stopping().clone();
        background.spawn(async move { stopping.run_until_cancelled(looking).await });
        drift
    }

    /// Whether to keep this endpoint's next answer.
    fn takes(&self, endpoint: &Endpoint) -> bool {
        endpoint.provider.adapter.vocabulary().is_some()
            && self.sampler.takes(endpoint.provider.id.as_str(), endpoint.model.as_str())
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Compares one answer with its vocabulary and counts what is new. Runs in the background.
    fn look(&self, sample: &Sample) {
        let Sample { vocabulary, source, media, body, extent, .. } = sample;
        counter!(names::DRIFT_SAMPLES, "provider" => source.provider.clone()).increment(1);
        let answer = Answer { media: media.as_deref(), body, extent: *extent };
        let findings = shapes::findings(vocabulary, &answer);
        if findings.is_empty() {
            return;
        }
        let now = clock::now();
        let mut table = self.table();
        for finding in findings {
            let shape = table.count(source, finding, now);
            counter!(
                names::DRIFT_FINDINGS,
                "provider" => shape.source.provider.clone(),
                "model" => shape.source.model.clone(),
                "kind" => shape.kind,
                "path" => shape.path.clone(),
            )
            .increment(1);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
