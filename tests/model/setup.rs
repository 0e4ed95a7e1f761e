//! The bounds of one check: how many of everything, and which faults may happen.

use crate::{guards::Guards, state::Row};

/// What can go wrong; each costs one of the setup's faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies; its disk stays.
    Crash,
    /// The process goes with its disk, and never returns.
    LoseDisk,
    /// A call takes its time: meanwhile anything may happen, it may get lost on either way, arrive after its caller gave
    /// up, or bounce. Several of them are a partition, and reordering.
    Slow,
    /// The connection broke: the instance says hello again while its older session's calls are under way.
    Reconnect,
    /// A hello whose welcome never arrives: the instance goes on with a session that is fenced.
    Fence,
    /// The instance was silent for so long that it is taken for lost: frozen, or gone.
    Presume,
    /// An operator gives an account back what was presumed of it.
    Release,
    /// All of the journal is sent again.
    Resend,
    /// A limit is lowered.
    Lower,
    /// The period ends.
    Reset,
    /// The store goes back to an older state, as another incarnation.
    Restore,
}

/// The bounds.
#[derive(Clone, Debug)]
pub struct Setup {
    pub planes: u8,
    /// One per account: tenant's credits come last and have no reset.
    pub limits: &'static [i64],
    /// What an account's limit is lowered to.
    pub lowered: i64,
    pub attempts: u8,
    /// What each attempt reserves on every account.
    pub reserve: u64,
    /// What a provider may bill for an attempt.
    pub prices: &'static [u64],
    /// What is asked for where less would do.
    pub appetite: u64,
    /// How many faults may happen in one run.
    pub faults: u8,
    pub kinds: &'static [Fault],
    pub guards: Guards,
}

impl Setup {
    /// Whether this kind of fault may happen.
    pub fn may(&self, fault: Fault) -> bool {
        self.kinds.contains(&fault)
    }

    /// The accounts that an attempt bills in a period.
    pub fn dues(&self, period: u8) -> Vec<Row> {
        (0..self.limits.len()).map(|owner| Row::new(owner, period)).collect()
    }
}
