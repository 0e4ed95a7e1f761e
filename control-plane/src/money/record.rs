//! Reads usage records off the wire: bytes to ledger lines and generations, or the reason why not.
//!
//! Pure. A record is checked against the session that sends it; whatever is wrong is named, never the content.

use chrono::{DateTime, TimeDelta, Utc};
use prost::Message;
use switchyard_proto::{clock, id::GenerationId, v1};
use uuid::Uuid;

use crate::domain::{
    account::AccountKind,
    budget,
    ledger::{self, AccountPeriod, Charge, Generation, Line, LineKind, Tokens},
    lending,
};

/// How old a record may be: what an instance that was away for months still has to hand over.
const OLDEST: TimeDelta = TimeDelta::days(400);
/// How far an instance's clock may be ahead.
const NEWEST: TimeDelta = TimeDelta::days(2);
/// Longest text that is for reading only, in bytes; the rest is cut off.
const LONGEST_TEXT: usize = 1024;
/// Longest decision record in bytes; a longer one is left out, since half of it is no JSON.
const LONGEST_DECISION: usize = 256 * 1024;

/// Who sends a record, and when it arrived.
#[derive(Debug, Clone)]
pub struct Sender {
    pub instance: String,
    pub now: DateTime<Utc>,
}

/// One record, ready to be booked.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// The attempt's line, and the house's beside it where the reservation was too small.
    Attempt(Box<Line>, Option<Box<Line>>),
    Generation(Box<Generation>),
}

impl Entry {
    /// The generation that it is about.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Attempt(line, _) => line.id,
            Self::Generation(row) => row.id,
        }
    }

    /// Its ledger lines.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        let (line, house) = match self {
            Self::Attempt(line, house) => (Some(&**line), house.as_deref()),
            Self::Generation(_) => (None, None),
        };
        line.into_iter().chain(house)
    }

    /// The finished request, if it is one.
    pub fn generation(&self) -> Option<&Generation> {
        match self {
            Self::Attempt(..) => None,
            Self::Generation(row) => Some(row),
        }
    }
}

/// Why a record cannot be booked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbookable {
    #[error("cannot be decoded")]
    Unreadable,
    #[error("is neither attempt nor generation")]
    Unknown,
    #[error("`{field}` {why}")]
    Field { field: &'static str, why: &'static str },
}

type Read<T> = Result<T, Unbookable>;

fn wrong<T>(field: &'static str, why: &'static str) -> Read<T> {
    Err(Unbookable::Field { field, why })
}

/// Reads one record.
///
/// # Errors
/// [`Unbookable`]: it belongs into quarantine.
pub fn read(bytes: &[u8], sender: &Sender) -> Read<Entry> {
    let record = v1::UsageRecord::decode(bytes).map_err(|_| Unbookable::Unreadable)?;
    match record.kind {
        None => Err(Unbookable::Unknown),
        Some(v1::usage_record::Kind::Attempt(attempt)) => self::attempt(attempt, sender),
        Some(v1::usage_record::Kind::Generation(record)) => generation(record, sender),
    }
}

fn attempt(record: v1::AttemptRecord, sender: &Sender) -> Read<Entry> {
    let id = id("generation", &record.generation, sender)?;
    check_instance(&record.instance, sender)?;
    // Any epoch: a restored store has forgotten some, and before its first session an instance has none. What no lease
    // covers is booked on the account's spare money, then on the house.
    let epoch = whole("epoch", record.epoch)?;
    if record.attempt == 0 {
        return wrong("attempt", "is zero");
    }
    if record.tenant.is_empty() {
        return wrong("tenant", "is missing");
    }
    if v1::Provenance::try_from(record.provenance).unwrap_or_default() == v1::Provenance::Unspecified {
        return wrong("provenance", "is unknown");
    }
    let charges = charges(&record)?;
    let payer = charges.first().map(|charge| charge.account.clone());
    let revision = record.price_revision.unwrap_or_default();
    let line = Line {
        id: id.as_uuid(),
        attempt: small("attempt", record.attempt)?,
        kind: LineKind::Attempt,
        booked_at: sender.now,
        payer_kind: payer.as_ref().map_or(0, |payer| payer.kind as i16),
        payer_owner: payer.as_ref().map(|payer| payer.owner.clone()).unwrap_or_default(),
        payer_period: payer.map(|payer| payer.period).unwrap_or_default(),
        charges,
        tenant: record.tenant,
        key: record.key,
        model: text(record.model),
        endpoint: text(record.endpoint),
        provider: text(record.provider),
        credential: text(record.credential),
        tokens: tokens(record.tokens.unwrap_or_default())?,
        cost_nano: whole("cost_nano", record.cost_nano)?,
        charge_nano: whole("charge_nano", record.charge_nano)?,
        house_nano: whole("house_nano", record.house_nano)?,
        reserved_nano: whole("reserved_nano", record.reserved_nano)?,
        markup_ppm: whole("markup_ppm", record.markup_ppm)?,
        provenance: i16::try_from(record.provenance).or_else(|_| wrong("provenance", "is unknown"))?,
        price_incarnation: revision.incarnation,
        price_revision: whole("price_revision.number", revision.number)?,
        price: price(&record.price.unwrap_or_default().parts()),
        tenant_price: price(&record.tenant_price.unwrap_or_default()),
        outcome: text(record.outcome),
        upstream_status: small("upstream_status", record.upstream_status)?,
        started_at: time("started_at", record.started_at.as_ref())?,
        ended_at: time("ended_at", record.ended_at.as_ref())?,
        instance: record.instance,
        epoch,
        reason: String::new(),
        actor: String::new(),
    };
    let house = (line.house_nano > 0).then(|| Box::new(house(&line)));
    Ok(Entry::Attempt(Box::new(line), house))
}

/// What the reservation did not cover, as a line of the operator's.
fn house(attempt: &Line) -> Line {
    let account = AccountPeriod::house();
    let mut line = Line::movement(LineKind::House, &account, attempt.house_nano, attempt.booked_at);
    line.charges = vec![Charge { account, charged: attempt.house_nano, reserved: 0, leased: false }];
    Line {
        id: attempt.id,
        attempt: attempt.attempt,
        model: attempt.model.clone(),
        endpoint: attempt.endpoint.clone(),
        provider: attempt.provider.clone(),
        provenance: attempt.provenance,
        instance: attempt.instance.clone(),
        epoch: attempt.epoch,
        reason: "beyond its reservation".to_owned(),
        ..line
    }
}

fn charges(record: &v1::AttemptRecord) -> Read<Vec<Charge>> {
    let mut charges: Vec<Charge> = Vec::with_capacity(record.charges.len());
    for charge in &record.charges {
        let Some(account) = &charge.account else { return wrong("charges.account", "is missing") };
        let Some(kind) = ledger::kind_from_number(account.kind) else {
            return wrong("charges.account.kind", "is unknown");
        };
        if !lending::is_period(&account.period) {
            return wrong("charges.account.period", "is no period");
        }
        if kind == AccountKind::ByokUsage && !lending::is_day(&account.period) {
            return wrong(
                "charges.account.period",
                "is no day such as 2026-11-23, by which BYOK_USAGE is counted",
            );
        }
        let account = AccountPeriod { kind, owner: account.owner.clone(), period: account.period.clone() };
        check_owner(&account, record)?;
        if charges.iter().any(|earlier| earlier.account == account) {
            return wrong("charges.account", "is named twice");
        }
        charges.push(Charge {
            account,
            charged: whole("charges.charged_nano", charge.charged_nano)?,
            reserved: whole("charges.reserved_nano", charge.reserved_nano)?,
            leased: charge.leased,
        });
    }
    Ok(charges)
}

/// Nobody pays for somebody else's attempt.
fn check_owner(account: &AccountPeriod, record: &v1::AttemptRecord) -> Read<()> {
    let v1::AttemptRecord { tenant, key, credential, .. } = record;
    match budget::is_of_attempt(account.kind, &account.owner, tenant, key, credential) {
        true => Ok(()),
        false => wrong("charges.account.owner", "is not of this attempt"),
    }
}

fn generation(record: v1::GenerationRecord, sender: &Sender) -> Read<Entry> {
    let id = id("id", &record.id, sender)?;
    check_instance(&record.instance, sender)?;
    if record.tenant.is_empty() {
        return wrong("tenant", "is missing");
    }
    let revision = record.config_revision.unwrap_or_default();
    Ok(Entry::Generation(Box::new(Generation {
        id: id.as_uuid(),
        booked_at: sender.now,
        instance: record.instance,
        region: text(record.region),
        tenant: record.tenant,
        key: record.key,
        requested_model: text(record.requested_model),
        model: text(record.model),
        provider: text(record.provider),
        upstream_id: text(record.upstream_id),
        surface: text(record.surface),
        streamed: record.streamed,
        cancelled: record.cancelled,
        status: small("status", record.status)?,
        error_type: text(record.error_type),
        finish_reason: text(record.finish_reason),
        native_finish_reason: text(record.native_finish_reason),
        tokens: tokens(record.tokens.unwrap_or_default())?,
        cost_nano: whole("cost_nano", record.cost_nano)?,
        charge_nano: whole("charge_nano", record.charge_nano)?,
        attempts: small("attempts", record.attempts)?,
        admitted_at: time("admitted_at", record.admitted_at.as_ref())?.unwrap_or_else(|| id.admitted_at()),
        first_content_ms: whole("first_content_ms", record.first_content_ms)?,
        duration_ms: whole("duration_ms", record.duration_ms)?,
        config_incarnation: revision.incarnation,
        config_revision: whole("config_revision.number", revision.number)?,
        user_id: text(record.user),
        session_id: text(record.session),
        app_title: text(record.app_title),
        app_url: text(record.app_url),
        user_agent: text(record.user_agent),
        trace_id: text(record.trace_id),
        preset: text(record.preset),
        cache_source: text(record.cache_source),
        decision: if record.decision.len() > LONGEST_DECISION { String::new() } else { record.decision },
    })))
}

fn id(field: &'static str, bytes: &[u8], sender: &Sender) -> Read<GenerationId> {
    if bytes.is_empty() {
        return wrong(field, "is missing");
    }
    let Some(id) = GenerationId::from_bytes(bytes) else { return wrong(field, "is no UUIDv7") };
    let Some(at) = i64::try_from(id.admitted_ms()).ok().and_then(DateTime::from_timestamp_millis) else {
        return wrong(field, "is of no known time");
    };
    if at < sender.now - OLDEST || at > sender.now + NEWEST {
        return wrong(field, "is of a time too far from now");
    }
    Ok(id)
}

fn check_instance(instance: &str, sender: &Sender) -> Read<()> {
    if instance == sender.instance { Ok(()) } else { wrong("instance", "is not the one that sends it") }
}

fn tokens(usage: v1::TokenUsage) -> Read<Tokens> {
    Ok(Tokens {
        prompt_tokens: whole("tokens.prompt", usage.prompt)?,
        cached_tokens: whole("tokens.cached", usage.cached)?,
        cache_write_tokens: whole("tokens.cache_write", usage.cache_write)?,
        cache_write_1h_tokens: whole("tokens.cache_write_1h", usage.cache_write_1h)?,
        completion_tokens: whole("tokens.completion", usage.completion)?,
        reasoning_tokens: whole("tokens.reasoning", usage.reasoning)?,
        audio_prompt_tokens: whole("tokens.audio_prompt", usage.audio_prompt)?,
        images: whole("tokens.images", usage.images)?,
        audio_completion_tokens: whole("tokens.audio_completion", usage.audio_completion)?,
        image_completion_tokens: whole("tokens.image_completion", usage.image_completion)?,
        searches: whole("tokens.searches", usage.searches)?,
    })
}

fn price(price: &v1::PriceParts) -> serde_json::Value {
    price.named().map(|(name, text)| (name.to_owned(), serde_json::Value::from(text))).collect()
}

fn time(field: &'static str, at: Option<&prost_types::Timestamp>) -> Read<Option<DateTime<Utc>>> {
    match at.map(clock::from_timestamp) {
        None => Ok(None),
        Some(Some(at)) => Ok(Some(at)),
        Some(None) => wrong(field, "is no time"),
    }
}

fn whole(field: &'static str, number: u64) -> Read<i64> {
    i64::try_from(number).or_else(|_| wrong(field, "is too large"))
}

fn small(field: &'static str, number: u32) -> Read<i32> {
    i32::try_from(number).or_else(|_| wrong(field, "is too large"))
}

/// A text that is for reading only: what the store cannot keep must not cost the record.
fn text(mut text: String) -> String {
    text.retain(|character| character != '\0');
    if text.len() > LONGEST_TEXT {
        let cut = (0..=LONGEST_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
    }
    text
}

#[cfg(test)]
mod tests;
