//! Books what lost data planes never accounted for: an amount that was lent is spent until somebody says otherwise.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::{jobs, money::leases, store, telemetry};

/// Books the rest of every lease whose holder was silent for `after`.
pub async fn run_once(pool: &PgPool, now: DateTime<Utc>, after: Duration) -> anyhow::Result<()> {
    let before = jobs::before(now, after);
    for instance in store::instance::lost(pool, before).await? {
        let leases = leases::presume(pool, &instance, before, now).await?;
        telemetry::presumed(leases);
        tracing::warn!(
            instance.id = instance,
            leases,
            "a data plane is lost; what it was lent counts as spent"
        );
    }
    Ok(())
}
