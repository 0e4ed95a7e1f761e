//! Takes reports of drift into the list, in a transaction of their own: the ledger never waits for one.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use switchyard_proto::{clock, v1};

use crate::{
    domain::{
        drift::{self, Seen, Shape},
        lending::Holder,
    },
    money::leases::{MoneyError, check_session},
    store::{self, StoreError},
};

/// A report, read: what can be taken, and how much cannot.
#[derive(Debug)]
pub struct Reading {
    pub findings: Vec<(Shape, Seen)>,
    pub refused: u64,
}

/// Reads what a data plane says.
pub fn read(findings: Vec<v1::DriftCount>, now: DateTime<Utc>) -> Reading {
    let told = findings.len();
    let findings: Vec<_> = findings
        .into_iter()
        .filter_map(|finding| {
            let at = |time: &Option<prost_types::Timestamp>| {
                time.as_ref().and_then(clock::from_timestamp).unwrap_or(now)
            };
            let seen = Seen {
                answers: finding.answers,
                first: at(&finding.first_seen),
                last: at(&finding.last_seen),
            };
            let v1::DriftCount { provider, adapter, model, kind, path, detail, .. } = finding;
            let shape = Shape { provider, adapter, model, kind, path, detail };
            shape.is_sound().then(|| (shape, seen.until(now)))
        })
        .collect();
    let refused = (told - findings.len()) as u64;
    Reading { findings, refused }
}

/// Adds what a session reports to the list.
///
/// # Errors
/// [`MoneyError::Fenced`] unless the session is its instance's newest.
pub async fn report(pool: &PgPool, holder: &Holder, findings: &[(Shape, Seen)]) -> Result<(), MoneyError> {
    let report = drift::sum(findings.iter().cloned());
    let providers: BTreeSet<String> = report.keys().map(|shape| shape.provider.clone()).collect();
    let mut tx = pool.begin().await.map_err(StoreError::from)?;
    check_session(&mut tx, holder).await?;
    store::drift::lock(&mut tx).await?;
    let known = store::drift::known(&mut tx, report.keys()).await?;
    let held = store::drift::held(&mut tx, &providers).await?;
    store::drift::add(&mut tx, &drift::admit(report, &known, &held)).await?;
    tx.commit().await.map_err(MoneyError::InDoubt)
}
