//! SQL of data planes as sessions: who is attached to which control plane, in which epoch, on which revision.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool, types::Json};
use uuid::Uuid;

use crate::{
    domain::{
        fleet::{Instance, Refusal},
        ledger::AccountPeriod,
        meta::Revision,
        permission::{Allowed, ReleaseInstances},
    },
    store::{
        StoreError,
        revision::{self, Change},
        signed, unsigned,
    },
};

/// Payload: a [`Fenced`].
pub const FENCED: &str = "switchyard_fenced";
/// Payload: a [`Recalled`].
pub const RECALLED: &str = "switchyard_recalled";

/// Excepts no instance from a recall.
pub const NOBODY: &str = "";

/// Silence after which a session of another control plane no longer counts as attached: several missed touches.
const STALE: Duration = Duration::from_secs(20);

/// Who says hello.
#[derive(Debug, Clone)]
pub struct Hello<'a> {
    pub instance: &'a str,
    pub version: &'a str,
    pub region: &'a str,
    /// The control plane that it is attached to from now on.
    pub replica: Uuid,
    pub now: DateTime<Utc>,
}

/// Opens a session: the next epoch of the instance, which fences all earlier ones.
///
/// Answers with the epoch, with the last of those whose leases an operator released, and with what the instance refused when
/// it was last attached.
pub async fn attach(pool: &PgPool, hello: &Hello<'_>) -> Result<(i64, i64, Vec<RefusalRow>), StoreError> {
    let mut tx = pool.begin().await?;
    let (epoch, released, refused): (i64, i64, Json<Vec<RefusalRow>>) = sqlx::query_as(
        "INSERT INTO instances (id, epoch, replica, attached, version, region, attached_at, last_seen)
         VALUES ($1, 1, $2, true, $3, $4, $5, $5)
         ON CONFLICT (id) DO UPDATE SET epoch = instances.epoch + 1, replica = $2, attached = true, version = $3,
             region = $4, attached_at = $5, last_seen = $5, sent = 0, applied = 0, apply_ms = 0
         RETURNING epoch, released_epoch, refused",
    )
    .bind(hello.instance)
    .bind(hello.replica)
    .bind(hello.version)
    .bind(hello.region)
    .bind(hello.now)
    .fetch_one(&mut *tx)
    .await?;
    notify(&mut tx, FENCED, &Fenced { instance: hello.instance.to_owned(), epoch }).await?;
    tx.commit().await?;
    Ok((epoch, released, refused.0))
}

/// Opens a session for what an instance left behind, as [`attach`] does, but nobody is attached by it.
///
/// Answers with its epoch and the last one that was released; `None` while the instance is attached.
pub async fn adopt(pool: &PgPool, hello: &Hello<'_>) -> Result<Option<(i64, i64)>, StoreError> {
    let mut tx = pool.begin().await?;
    let opened: Option<(i64, i64)> = sqlx::query_as(
        "INSERT INTO instances (id, epoch, replica, attached, version, region, attached_at, last_seen)
         VALUES ($1, 1, $2, false, $3, $4, $5, $5)
         ON CONFLICT (id) DO UPDATE SET epoch = instances.epoch + 1, attached = false, last_seen = $5
             WHERE NOT (instances.attached AND instances.last_seen > $6)
         RETURNING epoch, released_epoch",
    )
    .bind(hello.instance)
    .bind(hello.replica)
    .bind(hello.version)
    .bind(hello.region)
    .bind(hello.now)
    .bind(hello.now - STALE)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some((epoch, _)) = opened {
        notify(&mut tx, FENCED, &Fenced { instance: hello.instance.to_owned(), epoch }).await?;
    }
    tx.commit().await?;
    Ok(opened)
}

/// Whether an instance may be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Releasable {
    /// It is attached: it can give back by itself.
    Attached,
    /// Its sessions up to this one are fenced from now on, and their leases to be closed.
    UpTo(i64),
}

/// Fences every session that an instance has had, unless it is attached: what they were lent is not theirs any more.
///
/// # Errors
/// [`StoreError::NotFound`] for an instance that was never attached.
pub async fn release(
    change: &mut Change,
    _allowed: &Allowed<ReleaseInstances>,
    id: &str,
    now: DateTime<Utc>,
) -> Result<Releasable, StoreError> {
    let (epoch, attached): (i64, bool) =
        sqlx::query_as("SELECT epoch, attached AND last_seen > $2 FROM instances WHERE id = $1 FOR UPDATE")
            .bind(id)
            .bind(now - STALE)
            .fetch_one(change.connection())
            .await?;
    if attached {
        return Ok(Releasable::Attached);
    }
    // The next epoch is nobody's: whoever still holds this session is refused until it says hello.
    sqlx::query("UPDATE instances SET epoch = epoch + 1, released_epoch = epoch WHERE id = $1")
        .bind(id)
        .execute(change.connection())
        .await?;
    Ok(Releasable::UpTo(epoch))
}

/// The session that fences its instance's older ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    pub instance: String,
    pub epoch: i64,
}

/// An account whose idle money is asked back from everybody but one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recalled {
    pub kind: i16,
    pub owner: String,
    pub period: String,
    pub except: String,
}

/// Asks for an account's idle money, when the transaction commits.
pub async fn recall(db: &mut PgConnection, account: &AccountPeriod, except: &str) -> Result<(), StoreError> {
    let recalled = Recalled {
        kind: account.kind as i16,
        owner: account.owner.clone(),
        period: account.period.clone(),
        except: except.to_owned(),
    };
    notify(db, RECALLED, &recalled).await
}

/// Tells every control plane, when the transaction commits.
async fn notify(db: &mut PgConnection, channel: &str, payload: &impl Serialize) -> Result<(), StoreError> {
    let payload = serde_json::to_string(payload).expect("plain JSON");
    sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(payload).execute(db).await?;
    Ok(())
}

/// The newest epoch of an instance; `None` where the store has never heard of it.
pub async fn epoch(db: &mut PgConnection, instance: &str) -> Result<Option<i64>, StoreError> {
    let epoch = sqlx::query_scalar("SELECT epoch FROM instances WHERE id = $1").bind(instance);
    Ok(epoch.fetch_optional(db).await?)
}

/// What a session has reached.
#[derive(Debug, Clone, Serialize)]
pub struct Progress {
    pub id: String,
    pub epoch: i64,
    pub attached: bool,
    pub last_seen: DateTime<Utc>,
    pub sent: u64,
    pub applied: u64,
    pub refused: Vec<RefusalRow>,
    pub apply_ms: u64,
}

/// A refusal as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalRow {
    pub kind: i32,
    pub id: String,
    pub field: String,
    pub reason: String,
}

/// Writes what sessions have reached, unless they were fenced meanwhile.
pub async fn record(pool: &PgPool, sessions: &[Progress]) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE instances i SET attached = w.attached, last_seen = w.last_seen, sent = w.sent, applied = w.applied,
             refused = w.refused, apply_ms = w.apply_ms
         FROM jsonb_to_recordset($1) AS w(id text, epoch bigint, attached boolean, last_seen timestamptz,
             sent bigint, applied bigint, refused jsonb, apply_ms bigint)
         WHERE i.id = w.id AND i.epoch = w.epoch",
    )
    .bind(Json(sessions))
    .execute(pool)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    epoch: i64,
    attached: bool,
    version: String,
    region: String,
    attached_at: DateTime<Utc>,
    last_seen: DateTime<Utc>,
    sent: i64,
    applied: i64,
    refused: Json<Vec<RefusalRow>>,
    apply_ms: i64,
}

/// Every instance that was ever attached, by id.
pub async fn list(db: &mut PgConnection, now: DateTime<Utc>) -> Result<Vec<Instance>, StoreError> {
    let newest = revision::current(&mut *db).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, epoch, attached AND last_seen > $1 AS attached, version, region, attached_at, last_seen, sent,
             applied, refused, apply_ms
         FROM instances ORDER BY id",
    )
    .bind(now - STALE)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.into_instance(&newest.incarnation)).collect())
}

impl Row {
    fn into_instance(self, incarnation: &str) -> Instance {
        let revision = |number: i64| {
            let revision = Revision { incarnation: incarnation.to_owned(), number: unsigned(number) };
            (number > 0).then_some(revision)
        };
        let refusal =
            |row: RefusalRow| Refusal { kind: row.kind, id: row.id, field: row.field, reason: row.reason };
        Instance {
            sent: revision(self.sent),
            applied: revision(self.applied),
            refused: self.refused.0.into_iter().map(refusal).collect(),
            id: self.id,
            version: self.version,
            region: self.region,
            attached: self.attached,
            epoch: unsigned(self.epoch),
            last_seen: Some(self.last_seen),
            attached_at: Some(self.attached_at),
            apply_ms: unsigned(self.apply_ms),
        }
    }
}

/// How many instances of other control planes are attached but have not applied a revision yet.
pub async fn behind(
    pool: &PgPool,
    replica: Uuid,
    revision: u64,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM instances WHERE attached AND replica <> $1 AND applied < $2 AND last_seen > $3",
    );
    Ok(count.bind(replica).bind(signed(revision)).bind(now - STALE).fetch_one(pool).await?)
}

/// Instances that were last seen before `before` and still have something left of a lease.
pub async fn lost(pool: &PgPool, before: DateTime<Utc>) -> Result<Vec<String>, StoreError> {
    let ids = sqlx::query_scalar(
        "SELECT id FROM instances i WHERE last_seen < $1
             AND EXISTS (SELECT FROM leases l WHERE l.instance = i.id AND l.granted > l.used + l.presumed)
         ORDER BY id",
    );
    Ok(ids.bind(before).fetch_all(pool).await?)
}

/// Locks an instance's row and says whether it is still lost; a hello waits until the transaction ends.
pub async fn is_lost(
    db: &mut PgConnection,
    instance: &str,
    before: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let last_seen: Option<DateTime<Utc>> =
        sqlx::query_scalar("SELECT last_seen FROM instances WHERE id = $1 FOR UPDATE")
            .bind(instance)
            .fetch_optional(db)
            .await?;
    Ok(last_seen.is_some_and(|at| at < before))
}
