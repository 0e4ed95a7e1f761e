//! What the records add up to: lease balances and open intents.
//!
//! Pure. The running journal and replay fold records with the same functions, so a checkpoint is exact by construction.

use std::collections::{HashMap, HashSet};

use prost::Message;
use switchyard_proto::v1::{self, usage_record};

use super::{account::Account, frame::Kind, payload};
use crate::usage::record;

/// One attempt: its generation's id and its number.
pub(super) type AttemptKey = (Vec<u8>, u32);

/// The sum of all records so far.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct State {
    /// Money that may be spent, by account and the epoch that lent it.
    pub balances: HashMap<(Account, u64), u64>,
    /// Intents without a closing, as they were written.
    pub open: HashMap<AttemptKey, Vec<u8>>,
    /// Requests that attempts were closed of and whose generation is not written yet: the generation as those lines have
    /// it, by its id.
    pub unfinished: HashMap<Vec<u8>, v1::GenerationRecord>,
    /// Leases of which the control plane may have lent or taken back something that is not known here.
    pub doubts: HashSet<(Account, u64)>,
    pub session: Option<SessionMark>,
}

/// The last session that the control plane accepted.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SessionMark {
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    #[prost(string, tag = "2")]
    pub incarnation: String,
}

/// Payload of grants and returns, and of balances in a checkpoint.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Balance {
    #[prost(message, optional, tag = "1")]
    pub account: Option<v1::AccountPeriod>,
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    #[prost(uint64, tag = "3")]
    pub amount_nano: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Checkpoint {
    #[prost(message, repeated, tag = "1")]
    balances: Vec<Balance>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    open: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "3")]
    session: Option<SessionMark>,
    #[prost(message, repeated, tag = "4")]
    doubts: Vec<Balance>,
    #[prost(message, repeated, tag = "5")]
    unfinished: Vec<v1::GenerationRecord>,
}

/// A record whose frame is whole but whose payload is not what its kind promises.
#[derive(Debug, thiserror::Error)]
#[error("a record of kind {0:?} cannot be read")]
pub(super) struct Unreadable(Kind);

impl State {
    pub fn granted(&mut self, account: &Account, epoch: u64, amount: u64) {
        if amount == 0 {
            return;
        }
        let balance = self.balances.entry((account.clone(), epoch)).or_default();
        *balance = balance.saturating_add(amount);
    }

    pub fn taken(&mut self, account: &Account, epoch: u64, amount: u64) {
        let key = (account.clone(), epoch);
        let Some(balance) = self.balances.get_mut(&key) else { return };
        *balance = balance.saturating_sub(amount);
        if *balance == 0 {
            self.balances.remove(&key);
        }
    }

    pub fn opened(&mut self, attempt: AttemptKey, intent: Vec<u8>) {
        self.open.insert(attempt, intent);
    }

    /// Whether the attempt was open: only then does its unspent money come back.
    ///
    /// `unfinished` is the generation as the attempt's line has it; `None` where the real one is written with the closing.
    pub fn closed(&mut self, attempt: &AttemptKey, unfinished: Option<v1::GenerationRecord>) -> bool {
        if self.open.remove(attempt).is_none() {
            return false;
        }
        match unfinished {
            None => self.finished(&attempt.0),
            Some(generation) => {
                let sum = match self.unfinished.remove(&attempt.0) {
                    None => generation,
                    Some(earlier) => record::with_earlier(generation, &earlier),
                };
                self.unfinished.insert(attempt.0.clone(), sum);
            }
        }
        true
    }

    /// The generation is written.
    pub fn finished(&mut self, generation: &[u8]) {
        // Mostly there are none, and a look costs a hash.
        if !self.unfinished.is_empty() {
            self.unfinished.remove(generation);
        }
    }

    /// What another incarnation may have lent is nobody's concern any more.
    pub fn attached(&mut self, session: SessionMark) {
        if self.session.as_ref().is_some_and(|known| known.incarnation != session.incarnation) {
            self.doubts.clear();
        }
        self.session = Some(session);
    }

    /// Adds a record read from disk.
    pub fn fold(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), Unreadable> {
        let unreadable = || Unreadable(kind);
        match kind {
            Kind::Intent => self.fold_intent(bytes).ok_or_else(unreadable)?,
            Kind::Closing => self.fold_closing(bytes).ok_or_else(unreadable)?,
            Kind::Generation => {
                let generation = generation(bytes).ok_or_else(unreadable)?;
                self.finished(&generation.id);
            }
            Kind::Grant => {
                let (account, epoch, amount) = balance(bytes).ok_or_else(unreadable)?;
                self.granted(&account, epoch, amount);
            }
            Kind::Return => {
                let (account, epoch, amount) = balance(bytes).ok_or_else(unreadable)?;
                self.taken(&account, epoch, amount);
            }
            Kind::Checkpoint => *self = Self::from_checkpoint(bytes).ok_or_else(unreadable)?,
            Kind::Session => self.attached(SessionMark::decode(bytes).map_err(|_| unreadable())?),
            Kind::Doubt => {
                let (account, epoch, _) = balance(bytes).ok_or_else(unreadable)?;
                self.doubts.insert((account, epoch));
            }
            Kind::Clear => {
                let (account, epoch, _) = balance(bytes).ok_or_else(unreadable)?;
                self.doubts.remove(&(account, epoch));
            }
        }
        Ok(())
    }

    fn fold_intent(&mut self, bytes: &[u8]) -> Option<()> {
        let record = attempt(bytes)?;
        self.raised((record.generation.clone(), record.attempt), &record, bytes.to_vec());
        Some(())
    }

    /// An intent, or one that is open already and reserves more now: the difference is taken.
    pub fn raised(&mut self, key: AttemptKey, record: &v1::AttemptRecord, intent: Vec<u8>) {
        let before = self.open.get(&key).and_then(|intent| attempt(intent)).map(|record| draws(&record));
        for (account, reserved) in draws(record) {
            let had = before.iter().flatten().find(|(before, _)| *before == account);
            self.taken(&account, record.epoch, reserved.saturating_sub(had.map_or(0, |(_, had)| *had)));
        }
        self.opened(key, intent);
    }

    fn fold_closing(&mut self, bytes: &[u8]) -> Option<()> {
        let record = attempt(bytes)?;
        let unfinished = record::unfinished(&record);
        if self.closed(&(record.generation.clone(), record.attempt), Some(unfinished)) {
            for (account, reserved, charged) in leased(&record) {
                self.granted(&account, record.epoch, reserved.saturating_sub(charged));
            }
        }
        Some(())
    }

    /// The payload of a checkpoint.
    pub fn to_checkpoint(&self) -> Vec<u8> {
        let balances = self.balances.iter();
        let balances = balances.map(|((account, epoch), amount)| Balance::of(account, *epoch, *amount));
        Checkpoint {
            balances: balances.collect(),
            open: self.open.values().cloned().collect(),
            session: self.session.clone(),
            doubts: self.doubts.iter().map(|(account, epoch)| Balance::of(account, *epoch, 0)).collect(),
            unfinished: self.unfinished.values().cloned().collect(),
        }
        .encode_to_vec()
    }

    fn from_checkpoint(bytes: &[u8]) -> Option<Self> {
        let checkpoint = Checkpoint::decode(bytes).ok()?;
        let mut state = Self { session: checkpoint.session, ..Self::default() };
        for balance in checkpoint.balances {
            state.granted(&Account::from_proto(&balance.account?)?, balance.epoch, balance.amount_nano);
        }
        for doubt in checkpoint.doubts {
            state.doubts.insert((Account::from_proto(&doubt.account?)?, doubt.epoch));
        }
        for generation in checkpoint.unfinished {
            state.unfinished.insert(generation.id.clone(), generation);
        }
        for intent in checkpoint.open {
            let record = attempt(&intent)?;
            state.opened((record.generation, record.attempt), intent);
        }
        Some(state)
    }
}

impl Balance {
    pub fn of(account: &Account, epoch: u64, amount_nano: u64) -> Self {
        Self { account: Some(account.to_proto()), epoch, amount_nano }
    }
}

fn balance(bytes: &[u8]) -> Option<(Account, u64, u64)> {
    let balance = Balance::decode(bytes).ok()?;
    Some((Account::from_proto(&balance.account?)?, balance.epoch, balance.amount_nano))
}

/// The attempt in the payload of an intent or a closing.
pub(super) fn attempt(bytes: &[u8]) -> Option<v1::AttemptRecord> {
    let (_, record) = payload::split(bytes)?;
    match v1::UsageRecord::decode(record).ok()?.kind? {
        usage_record::Kind::Attempt(record) => Some(record),
        usage_record::Kind::Generation(_) => None,
    }
}

/// What an intent takes from each lease.
pub(super) fn draws(record: &v1::AttemptRecord) -> Vec<(Account, u64)> {
    leased(record).map(|(account, reserved, _)| (account, reserved)).collect()
}

/// The generation in a payload.
pub(super) fn generation(bytes: &[u8]) -> Option<v1::GenerationRecord> {
    let (_, record) = payload::split(bytes)?;
    match v1::UsageRecord::decode(record).ok()?.kind? {
        usage_record::Kind::Generation(record) => Some(record),
        usage_record::Kind::Attempt(_) => None,
    }
}

/// Account, reserved and charged amounts of the charges that leases paid.
fn leased(record: &v1::AttemptRecord) -> impl Iterator<Item = (Account, u64, u64)> {
    record.charges.iter().filter(|charge| charge.leased).filter_map(|charge| {
        let account = Account::from_proto(charge.account.as_ref()?)?;
        Some((account, charge.reserved_nano, charge.charged_nano))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Period;

    fn account(owner: &str) -> Account {
        Account { kind: v1::AccountKind::KeyLimit, owner: owner.into(), period: Period::All }
    }

    fn line(owner: &str, reserved: u64, charged: u64) -> Vec<u8> {
        let charge = v1::Charge {
            account: Some(account(owner).to_proto()),
            charged_nano: charged,
            reserved_nano: reserved,
            leased: true,
        };
        let record = v1::AttemptRecord {
            generation: vec![7; 16],
            attempt: 1,
            epoch: 3,
            charges: vec![charge],
            ..Default::default()
        };
        let mut bytes = Vec::new();
        payload::put(&mut bytes, "", &usage_record::Kind::Attempt(record));
        bytes
    }

    fn grant(owner: &str, amount_nano: u64) -> Vec<u8> {
        Balance { account: Some(account(owner).to_proto()), epoch: 3, amount_nano }.encode_to_vec()
    }

    #[test]
    fn balances_follow_grants_intents_that_are_raised_closings_and_returns() {
        let mut state = State::default();
        for (kind, bytes, left) in [
            (Kind::Grant, grant("k", 100), 100),
            (Kind::Intent, line("k", 20, 20), 80),
            (Kind::Intent, line("k", 60, 60), 40),
            (Kind::Intent, line("k", 60, 60), 40),
            (Kind::Closing, line("k", 60, 10), 90),
            (Kind::Closing, line("k", 60, 10), 90),
            (Kind::Return, grant("k", 90), 0),
        ] {
            state.fold(kind, &bytes).unwrap();
            let balance = state.balances.get(&(account("k"), 3)).copied().unwrap_or(0);
            assert_eq!(balance, left, "{kind:?}");
        }
        assert!(state.open.is_empty());
    }

    #[test]
    fn a_checkpoint_restores_everything() {
        let session = Some(SessionMark { epoch: 3, incarnation: "one".into() });
        let mut state = State { session, ..State::default() };
        state.fold(Kind::Grant, &grant("k", 100)).unwrap();
        state.fold(Kind::Doubt, &grant("k", 0)).unwrap();
        state.fold(Kind::Intent, &line("k", 60, 60)).unwrap();
        state.fold(Kind::Closing, &line("k", 60, 60)).unwrap();
        state.fold(Kind::Intent, &line("k", 60, 60)).unwrap();
        assert_eq!((state.open.len(), state.unfinished.len()), (1, 1));
        let mut other = State::default();
        other.fold(Kind::Checkpoint, &state.to_checkpoint()).unwrap();
        assert_eq!(other, state);
    }
}
