//! The one way in which scenarios wait: for a condition, until a deadline, never for a fixed time.

use std::time::{Duration, Instant};

use chrono::Timelike;
use switchyard_proto::clock;

/// Far more than anything here takes, even on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Looks until there is something to see, and answers with it.
///
/// # Panics
/// When there is nothing after half a minute; says what was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(began.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Waits until the UTC day lasts longer than any test: for tests of what starts afresh with it.
///
/// # Panics
/// As [`until`].
pub async fn clear_of_midnight() {
    const MARGIN: u32 = 20;
    let lasts = async || clock::now().num_seconds_from_midnight() < 24 * 60 * 60 - MARGIN;
    until_true("a day that lasts", lasts).await;
}

/// Looks until a question is answered with yes.
///
/// # Panics
/// As [`until`].
pub async fn until_true(what: &str, mut look: impl AsyncFnMut() -> bool) {
    until(what, async || look().await.then_some(())).await;
}
