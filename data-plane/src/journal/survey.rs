//! What a journal still owes the ledger, counted without changing anything in its folder.
//!
//! For people who decide what becomes of an orphaned disk. Reading is `replay`'s and `frame`'s.

use std::{collections::BTreeSet, io, path::Path};

use chrono::{DateTime, Utc};
use switchyard_proto::{clock, id::InstanceId, money::NanoUsd, v1};

use super::{
    JournalError,
    frame::{self, Found, Kind},
    home,
    replay::{self, Sum},
    segment::{self, Position},
    state::{self, State},
};

/// What a journal still owes, and what it holds.
#[derive(Debug, Default)]
pub struct Survey {
    /// The data plane that it is of.
    pub instance: Option<InstanceId>,
    /// Attempts that ended and are not acknowledged.
    pub ended: Tally,
    /// Attempts that were cut off with the process: they will be booked at their reservations.
    pub interrupted: Tally,
    /// Finished requests that are not acknowledged.
    pub generations: u64,
    /// Requests that were cut off: each will be shown as `interrupted`.
    pub unfinished: u64,
    /// When the first and the last of all these began.
    pub oldest: Option<DateTime<Utc>>,
    pub newest: Option<DateTime<Utc>>,
    /// Leases with money left, and how much in all.
    pub leases: u64,
    pub held: NanoUsd,
    /// Leases of which a call had no answer.
    pub doubts: u64,
    /// Stretches that cannot be read.
    pub damaged: u64,
}

/// Whom the records of these segments name.
pub(super) fn named(dir: &Path, segments: &[(u64, u64)]) -> io::Result<BTreeSet<String>> {
    let mut named = BTreeSet::new();
    for (segment, length) in segments {
        let bytes = segment::read(dir, Position { segment: *segment, offset: 0 }, *length)?;
        let names = frame::walk(&bytes).filter_map(|found| match found {
            Found::Record { kind: Kind::Intent | Kind::Closing, payload, .. } => {
                Some(state::attempt(payload)?.instance)
            }
            Found::Record { kind: Kind::Generation, payload, .. } => {
                Some(state::generation(payload)?.instance)
            }
            Found::Record { .. } | Found::Damaged { .. } | Found::End { .. } => None,
        });
        named.extend(names.filter(|name| !name.is_empty()));
    }
    Ok(named)
}

/// Attempts, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub count: u64,
    /// What tenants pay.
    pub charge: NanoUsd,
    /// What providers bill.
    pub cost: NanoUsd,
}

impl Survey {
    /// Looks at `<data_dir>/journal`. Blocks on the disk.
    ///
    /// # Errors
    /// When there is no journal, when it does not say whose it is, when a running process holds it, or when the disk
    /// cannot be read.
    pub fn of(data_dir: &Path) -> Result<Self, JournalError> {
        let (dir, _lock) = home::find(data_dir)?;
        let folder = |source| JournalError::Folder { path: dir.clone(), source };
        let segments = segment::list(&dir).map_err(folder)?;
        let Sum { state, damaged, .. } = replay::sum(&dir, &segments).map_err(folder)?;
        let mut survey = Self { damaged: damaged.len() as u64, ..Self::default() };
        survey.add_state(&state);
        let acknowledged = home::acknowledged(&dir).upto;
        for (segment, length) in segments.iter().filter(|(segment, _)| *segment >= acknowledged.segment) {
            let offset = if *segment == acknowledged.segment { acknowledged.offset } else { 0 };
            survey.add_segment(&dir, Position { segment: *segment, offset }, *length).map_err(folder)?;
        }
        let of_records = || Ok(home::agreed(&named(&dir, &segments)?));
        survey.instance = match home::known_instance(data_dir) {
            None => of_records().map_err(folder)?,
            known => known,
        };
        match survey.instance {
            Some(_) => Ok(survey),
            None => Err(JournalError::Nameless {
                path: home::instance_file(data_dir),
                seen: named(&dir, &segments).map_err(folder)?.into_iter().collect(),
            }),
        }
    }

    /// Records that the control plane has not acknowledged, or will get once the cut-off ones are closed.
    pub fn records(&self) -> u64 {
        self.ended.count + self.interrupted.count + self.generations + self.unfinished
    }

    /// Whether nothing is to be handed over, and nothing to be given back.
    pub fn is_settled(&self) -> bool {
        self.records() == 0 && self.leases == 0 && self.doubts == 0
    }

    /// What is open and what is held, as the sum of all records.
    fn add_state(&mut self, state: &State) {
        let open: Vec<v1::AttemptRecord> =
            state.open.values().filter_map(|intent| state::attempt(intent)).collect();
        let ids = open.iter().map(|intent| &intent.generation).chain(state.unfinished.keys());
        self.unfinished = ids.collect::<BTreeSet<_>>().len() as u64;
        for intent in &open {
            self.see(intent.started_at.as_ref().and_then(clock::from_timestamp));
            self.interrupted.add(intent);
        }
        self.leases = state.balances.len() as u64;
        self.held =
            state.balances.values().fold(NanoUsd::ZERO, |sum, part| sum.saturating_add(NanoUsd(*part)));
        self.doubts = state.doubts.len() as u64;
    }

    fn add_segment(&mut self, dir: &Path, from: Position, length: u64) -> io::Result<()> {
        let bytes = segment::read(dir, from, length)?;
        for found in frame::walk(&bytes) {
            match found {
                Found::Record { kind: Kind::Closing, payload, .. } => {
                    if let Some(line) = state::attempt(payload) {
                        self.see(line.started_at.as_ref().and_then(clock::from_timestamp));
                        self.ended.add(&line);
                    }
                }
                Found::Record { kind: Kind::Generation, payload, .. } => {
                    if let Some(generation) = state::generation(payload) {
                        let admitted = generation.admitted_at.as_ref().and_then(clock::from_timestamp);
                        self.see(admitted);
                        self.generations += 1;
                    }
                }
                // Damage was counted with the state, as far back as a start looks.
                Found::Record { .. } | Found::Damaged { .. } | Found::End { .. } => {}
            }
        }
        Ok(())
    }

    fn see(&mut self, began: Option<DateTime<Utc>>) {
        if let Some(began) = began {
            self.oldest = Some(self.oldest.map_or(began, |oldest| oldest.min(began)));
            self.newest = Some(self.newest.map_or(began, |newest| newest.max(began)));
        }
    }
}

impl Tally {
    fn add(&mut self, line: &v1::AttemptRecord) {
        self.count += 1;
        self.charge = self.charge.saturating_add(NanoUsd(line.charge_nano));
        self.cost = self.cost.saturating_add(NanoUsd(line.cost_nano));
    }
}
