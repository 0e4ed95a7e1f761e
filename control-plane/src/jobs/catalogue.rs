//! Sends providers by profile again when this program's catalogue is another than they were last sent from.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::{
    catalogue::profile,
    store::{self, revision::Change},
};

/// Who changed the rows' revision.
const ACTOR: &str = "catalogue";

/// Marks the providers, if the catalogue is another one.
///
/// # Errors
/// When the store is out of reach; the next run does what this one did not.
pub async fn run_once(pool: &PgPool, _now: DateTime<Utc>) -> anyhow::Result<()> {
    let digest = profile::digest();
    let mut db = pool.acquire().await?;
    if store::provider::sent_from(&mut db).await? == digest {
        return Ok(());
    }
    let mut by_owner: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (id, owner) in store::provider::by_profile(&mut db).await? {
        by_owner.entry(owner).or_default().push(id);
    }
    drop(db);
    for (owner, ids) in by_owner {
        // In the owner's name, so that it does not look like an edit by somebody else.
        let mut change = Change::begin(pool, ACTOR).await?.owned_by(&owner);
        store::provider::send_again(&mut change, &ids);
        change.commit().await?;
    }
    Ok(store::provider::note_sent_from(&mut *pool.acquire().await?, &digest).await?)
}
