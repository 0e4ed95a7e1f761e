//! The state of everything: the store, the data planes with their disks, the network, and what really happened.

use std::collections::{BTreeMap, BTreeSet};

use switchyard_data_plane::limits::Lots;

use crate::{disk::Disk, line::Closing, store::Store};

/// An account in one of its periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// Index into the setup's limits: 0 is a key's limit, 1 its tenant's credits.
    pub owner: u8,
    pub period: u8,
}

impl Row {
    /// Credits have one period only.
    pub fn new(owner: usize, period: u8) -> Self {
        Self { owner: owner as u8, period: if owner == 0 { period } else { 0 } }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub store: Store,
    /// An older state of the store.
    pub backup: Option<Store>,
    pub planes: Vec<Plane>,
    /// Calls under way, in no order.
    pub network: Vec<Message>,
    pub attempts: Vec<Attempt>,
    pub period: u8,
    pub faults_left: u8,
    pub truth: Truth,
}

/// What an observer of everything remembers; no part of the system reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Truth {
    /// An account was taken further than its limit allowed at that moment.
    pub went_over: bool,
    /// A line charged more than its attempt reserved.
    pub overcharged: bool,
    /// Sessions whose presumed money an operator released.
    pub released: BTreeSet<(u8, u64)>,
    /// When the store was restored: the epoch of each instance behind which the new ones are.
    pub restored_at: Option<Vec<u64>>,
}

/// A data plane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plane {
    pub disk: Disk,
    pub process: Option<Process>,
    pub is_lost: bool,
}

/// What dies with the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Process {
    /// As the link knows it.
    pub session: Option<Session>,
    /// The incarnation that the leases here are of: `Leases::incarnation`.
    pub incarnation: Option<u8>,
    pub lineage: u8,
    pub lots: BTreeMap<Row, Lots>,
    pub holds: BTreeMap<u8, Hold>,
    /// Leases that stay in doubt, because a call about them got lost: in this run, or in an earlier one.
    pub lost: BTreeSet<(Row, u64)>,
    /// `Closing::seen`: leases in doubt of which nothing is held, and how far the journal was written then.
    pub seen: Option<(usize, BTreeSet<(Row, u64)>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session {
    pub epoch: u64,
    pub incarnation: u8,
}

/// An attempt's reservation in memory: `limits::hold::Hold`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    pub epoch: u64,
    pub lineage: u8,
    pub dues: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    pub plane: u8,
    pub call: Call,
    /// Set when it arrived: the answer is on its way back.
    pub reply: Option<Reply>,
    /// Whether its caller still waits.
    pub is_awaited: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    Ask { epoch: u64, lineage: u8, asks: Vec<Ask> },
    Return { epoch: u64, lineage: u8, parts: Vec<(Row, u64)>, closes: bool },
    Report { session: Session, closings: Vec<Closing>, upto: usize },
}

impl Call {
    /// The leases that it is about: their accounts, and their epoch.
    pub fn leases(&self) -> Vec<(Row, u64)> {
        match self {
            Self::Ask { epoch, asks, .. } => asks.iter().map(|ask| (ask.row, *epoch)).collect(),
            Self::Return { epoch, parts, .. } => parts.iter().map(|(row, _)| (*row, *epoch)).collect(),
            Self::Report { .. } => Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ask {
    pub row: Row,
    pub wanted: u64,
    pub least: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// What was granted of each ask; 0: refused.
    Granted(Vec<(Row, u64)>),
    Done,
    Fenced,
}

/// An attempt as the provider knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    NotSent,
    UnderWay {
        plane: u8,
        dues: Vec<Row>,
    },
    /// The provider billed this much.
    Ended {
        plane: u8,
        dues: Vec<Row>,
        price: u64,
    },
    /// Its process died first: nobody knows what was billed.
    CutOff {
        plane: u8,
        dues: Vec<Row>,
    },
}

impl Attempt {
    /// Whose it is, what it bills, and what is known of its price.
    pub fn sent(&self) -> Option<(u8, &[Row], Option<u64>)> {
        match self {
            Self::NotSent => None,
            Self::UnderWay { plane, dues } | Self::CutOff { plane, dues } => Some((*plane, dues, None)),
            Self::Ended { plane, dues, price } => Some((*plane, dues, Some(*price))),
        }
    }
}
