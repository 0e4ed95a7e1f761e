//! The journal's own chores: flushing to the disk where the setting asks for it, deleting old segments, gauges.

use std::{sync::Arc, time::Duration};

use switchyard_proto::clock;
use tokio::time::{MissedTickBehavior, interval};

use super::Journal;
use crate::{background::Background, telemetry::metrics as names};

const SWEEP: Duration = Duration::from_secs(60);
const GAUGES: Duration = Duration::from_secs(1);

impl Journal {
    /// Starts the chores.
    pub fn start(self: &Arc<Self>, background: &Background) {
        let journal = Arc::clone(self);
        repeat(background, GAUGES, move || journal.show());
        let journal = Arc::clone(self);
        repeat(background, SWEEP, move || journal.sweep(clock::now()));
        let every = self.writer().settings.fsync_every;
        if !every.is_zero() {
            let journal = Arc::clone(self);
            repeat(background, every, move || {
                if let Err(error) = journal.flush() {
                    tracing::error!(%error, "the journal could not be flushed to the disk");
                }
            });
        }
    }

    fn show(&self) {
        let (pending, total) = self.sizes();
        metrics::gauge!(names::JOURNAL_UNACKNOWLEDGED_BYTES).set(pending as f64);
        metrics::gauge!(names::JOURNAL_BYTES).set(total as f64);
    }
}

/// Does something that blocks, again and again, until the process stops.
fn repeat(background: &Background, every: Duration, chore: impl Fn() + Send + Sync + 'static) {
    let (tasks, chore) = (background.clone(), Arc::new(chore));
    background.spawn(async move {
        let mut ticker = interval(every);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while tasks.stopping().run_until_cancelled(ticker.tick()).await.is_some() {
            let chore = Arc::clone(&chore);
            // A chore that panicked was logged by the panic hook; the next one is tried.
            tasks.spawn_blocking(move || chore()).await.ok();
        }
    });
}
