//! What this instance owes the ledger, on its own disk: intents before anything is sent, closings when it ended.
//!
//! Append-only and checksummed; a written record survives the process. Shipping is `usage`'s business, money is
//! `limits`' business; both are told here what an earlier run left behind.

mod account;
mod backlog;
mod frame;
mod home;
mod payload;
mod replay;
mod segment;
mod slot;
mod state;
mod survey;
#[cfg(test)]
mod tests;
mod upkeep;
mod writer;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prost::Message;
use switchyard_proto::{
    clock,
    id::InstanceId,
    v1::{self, usage_record},
};

pub use self::{
    account::{Account, Period},
    backlog::Batch,
    replay::Replay,
    segment::Position,
    slot::{Intent, Slot},
    state::SessionMark,
    survey::{Survey, Tally},
};
use self::{
    frame::Kind,
    state::{Balance, State},
    writer::Writer,
};
use crate::{settings, usage::record};

/// The journal of one instance, shared by all request threads.
#[derive(Debug)]
pub struct Journal {
    writer: Mutex<Writer>,
    instance: InstanceId,
    dir: PathBuf,
    /// Keeps other processes out.
    _lock: File,
}

/// Why the journal cannot be opened or takes no intent.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal in {} belongs to another running process", path.display())]
    Taken { path: PathBuf },
    #[error("cannot use {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the journal holds its most of {max_bytes} unacknowledged bytes")]
    Full { max_bytes: u64 },
    #[error("the journal's disk takes no more")]
    Disk(#[source] io::Error),
    /// Where only what is there already is of use.
    #[error("there is no journal in {}", path.display())]
    Absent { path: PathBuf },
    #[error("{} is missing or unreadable: it names the data plane that the journal is of{}", path.display(), named(.seen))]
    Nameless { path: PathBuf, seen: Vec<String> },
}

impl Journal {
    /// Opens `<data_dir>/journal`, reads what an earlier run left and closes its open intents as interrupted.
    ///
    /// Blocks on the disk.
    ///
    /// # Errors
    /// When another process holds the folder, or the disk cannot be read or written.
    pub fn open(data_dir: &Path, settings: &settings::Journal) -> Result<(Arc<Self>, Replay), JournalError> {
        let (dir, lock) = home::take(data_dir)?;
        let folder = |source| JournalError::Folder { path: dir.clone(), source };
        let segments = segment::list(&dir).map_err(folder)?;
        let of_records = || Ok(home::agreed(&survey::named(&dir, &segments)?));
        let instance = home::instance(data_dir, of_records)?;
        let (state, damaged) = replay::read(&dir, &segments).map_err(folder)?;
        let open: Vec<Vec<u8>> = state.open.values().cloned().collect();
        let writer = Writer::begin(dir.clone(), *settings, state).map_err(folder)?;
        let journal = Arc::new(Self { writer: Mutex::new(writer), instance, dir, _lock: lock });
        for intent in &open {
            journal.interrupt(intent)?;
        }
        journal.finish();
        let replay = journal.replay(open.len(), damaged);
        Ok((journal, replay))
    }

    /// The id of this disk.
    pub fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// Writes an intent and reserves space for its closing.
    ///
    /// # Errors
    /// When the disk or the setting has no room: then nothing may be sent.
    pub fn intend(self: &Arc<Self>, mut intent: Intent) -> Result<Slot, JournalError> {
        self.instance.as_str().clone_into(&mut intent.record.instance);
        let attempt = (intent.record.generation.clone(), intent.record.attempt);
        let record = usage_record::Kind::Attempt(std::mem::take(&mut intent.record));
        let mut payload = Vec::with_capacity(1024);
        payload::put(&mut payload, &intent.traceparent, &record);
        if let usage_record::Kind::Attempt(record) = record {
            intent.record = record;
        }
        let mut bytes = Vec::with_capacity(payload.len() + frame::HEADER);
        frame::put(&mut bytes, Kind::Intent, |out| out.extend_from_slice(&payload));
        let promise = slot::promise(payload.len());

        let mut writer = self.writer();
        writer.intend(&bytes, promise)?;
        for (account, amount) in &intent.draws {
            writer.state.taken(account, intent.record.epoch, *amount);
        }
        writer.state.opened(attempt, payload);
        drop(writer);
        Ok(Slot::new(Arc::clone(self), intent, promise))
    }

    /// Writes an open intent again as `record`, which reserves more; what its closing is promised from now on.
    ///
    /// # Errors
    /// When the disk or the setting has no room: then nothing is changed.
    fn raise(
        &self,
        intent: &mut Intent,
        record: v1::AttemptRecord,
        promised: u64,
    ) -> Result<u64, JournalError> {
        let attempt = (record.generation.clone(), record.attempt);
        let mut payload = Vec::with_capacity(1024);
        payload::put(&mut payload, &intent.traceparent, &usage_record::Kind::Attempt(record.clone()));
        let mut bytes = Vec::with_capacity(payload.len() + frame::HEADER);
        frame::put(&mut bytes, Kind::Intent, |out| out.extend_from_slice(&payload));
        let promise = slot::promise(payload.len()).max(promised);
        let mut writer = self.writer();
        writer.intend(&bytes, promise - promised)?;
        writer.state.raised(attempt, &record, payload);
        drop(writer);
        intent.draws = state::draws(&record);
        intent.record = record;
        Ok(promise)
    }

    /// Writes the generation of a request that had no attempt to carry it.
    ///
    /// # Errors
    /// When the disk has no room; no money is in it.
    pub fn generation(
        &self,
        generation: &v1::GenerationRecord,
        traceparent: &str,
    ) -> Result<(), JournalError> {
        let mut generation = payload::fit(generation.clone(), payload::LONGEST);
        if generation.instance.is_empty() {
            self.instance.as_str().clone_into(&mut generation.instance);
        }
        let mut bytes = Vec::with_capacity(1024);
        let id = generation.id.clone();
        slot::put(&mut bytes, Kind::Generation, traceparent, usage_record::Kind::Generation(generation));
        let mut writer = self.writer();
        writer.state.finished(&id);
        if !writer.has_room() {
            return Err(JournalError::Full { max_bytes: writer.settings.max_bytes });
        }
        writer.note(&bytes)
    }

    /// Remembers money that was lent.
    ///
    /// # Errors
    /// When the disk has no room; the money can be spent all the same, but not after a restart.
    pub fn granted(&self, account: &Account, epoch: u64, amount: u64) -> Result<(), JournalError> {
        let mut writer = self.writer();
        writer.note(&balance(Kind::Grant, account, epoch, amount))?;
        writer.state.granted(account, epoch, amount);
        Ok(())
    }

    /// Remembers that money goes back: call it before the money does.
    ///
    /// # Errors
    /// When the disk has no room; then the money must not go back, for a restart would find it again.
    pub fn returned(&self, account: &Account, epoch: u64, amount: u64) -> Result<(), JournalError> {
        let mut writer = self.writer();
        writer.note(&balance(Kind::Return, account, epoch, amount))?;
        writer.state.taken(account, epoch, amount);
        Ok(())
    }

    /// Remembers the session, so that a restarted instance knows whose leases it holds.
    ///
    /// # Errors
    /// When the disk has no room.
    pub fn session(&self, session: SessionMark) -> Result<(), JournalError> {
        let mut record = Vec::new();
        frame::put(&mut record, Kind::Session, |out| out.extend_from_slice(&session.encode_to_vec()));
        let mut writer = self.writer();
        writer.note(&record)?;
        writer.state.attached(session);
        Ok(())
    }

    /// Remembers that a call about this lease is under way, so that a lost answer can be made good; whether that is new.
    ///
    /// # Errors
    /// When the disk has no room.
    pub fn doubt(&self, account: &Account, epoch: u64) -> Result<bool, JournalError> {
        let mut writer = self.writer();
        let lease = (account.clone(), epoch);
        if writer.state.doubts.contains(&lease) {
            return Ok(false);
        }
        writer.note(&balance(Kind::Doubt, account, epoch, 0))?;
        writer.state.doubts.insert(lease);
        Ok(true)
    }

    /// The call was answered: both sides know the same.
    ///
    /// # Errors
    /// When the disk has no room.
    pub fn clear(&self, account: &Account, epoch: u64) -> Result<(), JournalError> {
        let mut writer = self.writer();
        writer.note(&balance(Kind::Clear, account, epoch, 0))?;
        writer.state.doubts.remove(&(account.clone(), epoch));
        Ok(())
    }

    /// Leases of sessions before `epoch` that are in doubt.
    pub fn doubts_before(&self, epoch: u64) -> Vec<(Account, u64)> {
        let writer = self.writer();
        writer.state.doubts.iter().filter(|(_, of)| *of < epoch).cloned().collect()
    }

    /// The last session that was followed.
    pub fn known_session(&self) -> Option<SessionMark> {
        self.writer().state.session.clone()
    }

    /// How many leases have money left that may be spent, and how much in all, in nano-dollars.
    pub fn held(&self) -> (usize, u64) {
        let writer = self.writer();
        let balances = &writer.state.balances;
        (balances.len(), balances.values().fold(0, |sum, amount| sum.saturating_add(*amount)))
    }

    /// Whether an intent would be taken now; for readiness. May write to the disk.
    pub fn accepts(&self) -> bool {
        self.writer().accepts()
    }

    /// Whether half of its room is free, so that what may be left out costs nobody an intent.
    pub fn has_plenty(&self) -> bool {
        self.writer().has_plenty()
    }

    /// Flushes what is written to the disk itself. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn flush(&self) -> io::Result<()> {
        let files = self.writer().unflushed();
        files.iter().try_for_each(|file| file.sync_data())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // Nothing under this lock leaves the writer half changed.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes an intent of an earlier run at its reservation.
    fn interrupt(&self, intent: &[u8]) -> Result<(), JournalError> {
        let parts = payload::split(intent).zip(state::attempt(intent));
        let Some(((traceparent, _), mut record)) = parts else { return Ok(()) };
        record.ended_at = Some(clock::to_timestamp(clock::now()));
        let attempt = (record.generation.clone(), record.attempt);
        let unfinished = record::unfinished(&record);
        let mut bytes = Vec::new();
        slot::put(&mut bytes, Kind::Closing, traceparent, usage_record::Kind::Attempt(record));
        let mut writer = self.writer();
        writer.note(&bytes)?;
        writer.state.closed(&attempt, Some(unfinished));
        Ok(())
    }

    /// Writes the generations of requests that the last run left without one.
    fn finish(&self) {
        let mut writer = self.writer();
        for (_, generation) in std::mem::take(&mut writer.state.unfinished) {
            let mut bytes = Vec::new();
            slot::put(&mut bytes, Kind::Generation, "", usage_record::Kind::Generation(generation));
            if let Err(error) = writer.note(&bytes) {
                // No money is in it: the lines are written.
                tracing::error!(%error, "a request of the last run will not be shown");
            }
        }
    }

    fn replay(&self, interrupted: usize, damaged: usize) -> Replay {
        let State { balances, session, .. } = self.writer().state.clone();
        if interrupted > 0 {
            tracing::warn!(
                interrupted,
                "attempts of the last run were cut off and are charged at their reservation"
            );
        }
        let balances =
            balances.into_iter().map(|((account, epoch), amount)| (account, epoch, amount)).collect();
        Replay { balances, session, interrupted, damaged }
    }
}

/// Whom a journal's own records name.
fn named(seen: &[String]) -> String {
    match seen {
        [] => String::new(),
        seen => format!("; its records are of {}", seen.join(", ")),
    }
}

fn balance(kind: Kind, account: &Account, epoch: u64, amount_nano: u64) -> Vec<u8> {
    let balance = Balance::of(account, epoch, amount_nano);
    let mut record = Vec::new();
    frame::put(&mut record, kind, |out| out.extend_from_slice(&balance.encode_to_vec()));
    record
}
