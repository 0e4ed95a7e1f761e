//! One open intent: the right, and the space, to write its closing.
//!
//! Dropped without an ending, it closes as interrupted, at its whole reservation; so a panic loses nothing.

use std::sync::Arc;

use switchyard_proto::{
    clock,
    v1::{self, usage_record},
};

use super::{
    Journal, JournalError,
    account::Account,
    frame::{self, Kind},
    payload,
};
use crate::usage::record::unfinished;

/// Bytes by which a closing may be longer than its intent: tokens, outcome, times.
const GROWTH: usize = 512;
/// Bytes that every closing may use for the generation.
const GENERATION: usize = 2048;
/// Bytes around a generation in its record: trace context and lengths.
const ENVELOPE: usize = 272;
const LONGEST_OUTCOME: usize = 64;

/// An attempt that is about to be sent.
#[derive(Debug)]
pub struct Intent {
    /// The line as it is booked when nothing more is heard: interrupted, at the reservation.
    pub record: v1::AttemptRecord,
    /// What it took from leases of `record.epoch`.
    pub draws: Vec<(Account, u64)>,
    /// W3C trace context; empty where the request is not sampled.
    pub traceparent: String,
}

/// An intent that is on disk.
#[derive(Debug)]
pub struct Slot {
    journal: Arc<Journal>,
    intent: Option<Intent>,
    promise: u64,
}

/// Bytes to reserve for the closing of an intent with this payload.
pub(super) fn promise(payload: usize) -> u64 {
    frame::length(payload + GROWTH) + frame::length(GENERATION)
}

impl Slot {
    pub(super) fn new(journal: Arc<Journal>, intent: Intent, promise: u64) -> Self {
        Self { journal, intent: Some(intent), promise }
    }

    /// Writes the intent again, with this much more of each charge, in their order, and the cost that bounds it now.
    ///
    /// # Errors
    /// When the disk or the setting has no room: then nothing is changed.
    pub fn raise(&mut self, more_nano: &[u64], cost_bound: u64) -> Result<(), JournalError> {
        let Some(intent) = &mut self.intent else { return Ok(()) };
        let mut record = intent.record.clone();
        for (charge, more) in record.charges.iter_mut().zip(more_nano) {
            charge.reserved_nano = charge.reserved_nano.saturating_add(*more);
            charge.charged_nano = charge.reserved_nano;
        }
        record.reserved_nano = record.charges.first().map_or(0, |charge| charge.reserved_nano);
        record.charge_nano = record.reserved_nano;
        record.cost_nano = record.cost_nano.max(cost_bound);
        self.promise = self.journal.raise(intent, record, self.promise)?;
        Ok(())
    }

    /// Writes the ending that `book` makes of the open line: the line as it is booked, and the request's generation
    /// if this was its last attempt.
    ///
    /// Charges must stay those of the intent, in order, each charged at most what it reserved.
    pub fn close(
        mut self,
        book: impl FnOnce(v1::AttemptRecord) -> (v1::AttemptRecord, Option<v1::GenerationRecord>),
    ) {
        if let Some(Intent { record, draws, traceparent }) = self.intent.take() {
            let epoch = record.epoch;
            let (record, generation) = book(record);
            self.write(&draws, epoch, &traceparent, record, generation);
        }
    }

    fn write(
        &self,
        draws: &[(Account, u64)],
        epoch: u64,
        traceparent: &str,
        mut record: v1::AttemptRecord,
        generation: Option<v1::GenerationRecord>,
    ) {
        record.outcome.truncate(LONGEST_OUTCOME);
        let attempt = (record.generation.clone(), record.attempt);
        let unspent = unspent(draws, &record);
        let unfinished = generation.is_none().then(|| unfinished(&record));
        let mut closing = Vec::with_capacity(1024);
        put(&mut closing, Kind::Closing, traceparent, usage_record::Kind::Attempt(record));
        let whole = with_generation(&closing, traceparent, generation.as_ref(), payload::LONGEST);

        let mut writer = self.journal.writer();
        let bytes = match writer.stretch(self.promise, whole.len() as u64) {
            true => whole,
            false => with_generation(&closing, traceparent, generation.as_ref(), GENERATION),
        };
        writer.close(bytes, self.promise);
        if writer.state.closed(&attempt, unfinished) {
            for (account, amount) in unspent {
                writer.state.granted(account, epoch, amount);
            }
        }
    }
}

/// The closing and, in at most so many bytes, the generation.
fn with_generation(
    closing: &[u8],
    traceparent: &str,
    generation: Option<&v1::GenerationRecord>,
    most_bytes: usize,
) -> Vec<u8> {
    let mut bytes = closing.to_vec();
    if let Some(generation) = generation {
        let generation = payload::fit(generation.clone(), most_bytes - ENVELOPE);
        put(&mut bytes, Kind::Generation, traceparent, usage_record::Kind::Generation(generation));
    }
    bytes
}

/// A panic, or an ending that was forgotten: the line stays as the intent has it.
impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(Intent { mut record, draws, traceparent }) = self.intent.take() {
            record.ended_at = Some(clock::to_timestamp(clock::now()));
            self.write(&draws, record.epoch, &traceparent, record, None);
        }
    }
}

pub(super) fn put(bytes: &mut Vec<u8>, kind: Kind, traceparent: &str, record: usage_record::Kind) {
    frame::put(bytes, kind, |out| payload::put(out, traceparent, &record));
}

/// What comes back to each lease.
fn unspent<'a>(draws: &'a [(Account, u64)], record: &v1::AttemptRecord) -> Vec<(&'a Account, u64)> {
    let charged = record.charges.iter().filter(|charge| charge.leased).map(|charge| charge.charged_nano);
    draws
        .iter()
        .zip(charged)
        .map(|((account, drawn), charged)| (account, drawn.saturating_sub(charged)))
        .collect()
}
