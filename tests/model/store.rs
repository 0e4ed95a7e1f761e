//! The control plane's store: the rows of accounts, leases and lines, and the transactions on them.
//!
//! What is decided is decided by `domain::lending` and `domain::booking`; only the reading and writing of rows is here.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
};

use switchyard_control_plane::domain::{
    account::AccountKind,
    booking::{self, Conditions, Demand, Held},
    ledger::{AccountPeriod, Line, LineKind},
    lending::{self, Balance, Holder, Lease, Outcome},
};

use crate::{
    line::{self, Closing},
    setup::Setup,
    state::{Ask, Reply, Row, Session},
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    pub incarnation: u8,
    /// One per account.
    pub limits: Vec<i64>,
    pub accounts: BTreeMap<Row, Balance>,
    pub leases: BTreeMap<LeaseName, Lease>,
    /// The newest epoch of each instance; 0: never seen.
    pub epochs: Vec<u64>,
    /// Attempts' lines by attempt.
    pub lines: BTreeMap<u8, Closing>,
    /// What lines besides those of attempts say of each account.
    pub moved: BTreeMap<Row, Moved>,
    /// What the house was charged for what no lease covered.
    pub borne: i64,
}

/// Account, instance and epoch.
pub type LeaseName = (Row, u8, u64);

/// Sums of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Moved {
    pub presumed: i64,
    /// Taken over by the house: never positive.
    pub charged: i64,
}

impl Hash for Store {
    fn hash<H: Hasher>(&self, to: &mut H) {
        (self.incarnation, &self.limits, &self.epochs, &self.lines, &self.moved, self.borne).hash(to);
        for (row, balance) in &self.accounts {
            (row, balance.limit, balance.charged, balance.presumed, balance.lent).hash(to);
        }
        for (name, lease) in &self.leases {
            (name, lease.granted, lease.used, lease.presumed).hash(to);
        }
    }
}

impl Store {
    pub fn new(setup: &Setup) -> Self {
        Self {
            incarnation: 1,
            limits: setup.limits.to_vec(),
            epochs: vec![0; usize::from(setup.planes)],
            ..Self::default()
        }
    }

    /// `store::instance::attach`.
    pub fn attach(&mut self, plane: u8) -> Session {
        let epoch = &mut self.epochs[usize::from(plane)];
        *epoch += 1;
        Session { epoch: *epoch, incarnation: self.incarnation }
    }

    /// `money::leases::acquire`.
    pub fn acquire(&mut self, setup: &Setup, plane: u8, epoch: u64, asks: &[Ask]) -> Reply {
        if setup.guards.epoch_fence && self.epochs[usize::from(plane)] != epoch {
            return Reply::Fenced;
        }
        let grants = asks.iter().map(|ask| (ask.row, self.grant(setup, plane, epoch, ask)));
        Reply::Granted(grants.collect())
    }

    /// `Desk::answer`, and `store::lease::grant`.
    fn grant(&mut self, setup: &Setup, plane: u8, epoch: u64, ask: &Ask) -> u64 {
        let own =
            self.leases_of(plane).filter(|((row, ..), _)| *row == ask.row).map(|(_, lease)| lease.rest());
        let own: i64 = own.sum();
        let limit = self.limits[usize::from(ask.row.owner)];
        let balance = self.accounts.entry(ask.row).or_default();
        balance.limit = Some(limit);
        let (wanted, least) = (ask.wanted as i64, ask.least as i64);
        let outcome = match setup.guards.grant_condition {
            true => lending::lend(balance, own, wanted, least),
            false => Outcome::Granted(wanted.max(least)),
        };
        let Outcome::Granted(amount) = outcome else { return 0 };
        balance.lent += amount;
        self.leases.entry((ask.row, plane, epoch)).or_default().granted += amount;
        amount as u64
    }

    /// `money::leases::give_back`.
    pub fn give_back(&mut self, plane: u8, epoch: u64, parts: &[(Row, u64)]) -> Reply {
        if !(1..=self.epochs[usize::from(plane)]).contains(&epoch) {
            return Reply::Fenced;
        }
        for (row, amount) in parts {
            let amount = i64::try_from(*amount).unwrap_or(i64::MAX);
            self.change((*row, plane, epoch), |lease, balance| -lease.give_back(balance, amount).presumed);
        }
        Reply::Done
    }

    /// `money::leases::presume`: any instance may be taken for lost at any time.
    pub fn presume(&mut self, setup: &Setup, plane: u8) {
        for name in self.open_leases(plane) {
            self.change(name, |lease, balance| match setup.guards.presumed_not_released {
                true => lease.presume(balance),
                false => {
                    lease.give_back(balance, lease.rest());
                    0
                }
            });
        }
    }

    /// An operator's audited release of what was presumed; answers the sessions concerned.
    pub fn release(&mut self, plane: u8) -> Vec<u64> {
        let presumed = self.leases_of(plane).filter(|(_, lease)| lease.presumed > 0);
        let names: Vec<LeaseName> = presumed.map(|(name, _)| *name).collect();
        for name in &names {
            self.change(*name, |lease, balance| {
                -lease.give_back(balance, lease.rest() + lease.presumed).presumed
            });
        }
        names.into_iter().map(|(_, _, epoch)| epoch).collect()
    }

    /// `money::leases::move_leases`: `change` says how much was presumed by it, and that becomes a line.
    fn change(&mut self, name: LeaseName, change: impl Fn(&mut Lease, &mut Balance) -> i64) {
        let (Some(lease), Some(balance)) = (self.leases.get_mut(&name), self.accounts.get_mut(&name.0))
        else {
            return;
        };
        let presumed = change(lease, balance);
        self.moved.entry(name.0).or_default().presumed += presumed;
        self.tidy();
    }

    /// `Ingest::report`: inserts what is new and moves the money of that alone.
    pub fn report(&mut self, setup: &Setup, session: Session, plane: u8, closings: &[Closing]) -> Reply {
        if self.epochs[usize::from(plane)] != session.epoch {
            return Reply::Fenced;
        }
        let mut lines = Vec::new();
        for closing in closings {
            let is_new = !self.lines.contains_key(&closing.attempt);
            self.lines.entry(closing.attempt).or_insert_with(|| closing.clone());
            if is_new || !setup.guards.new_rows_only {
                lines.push(closing.lines());
            }
        }
        // The house's own line beside an attempt's moves the house's account alone.
        let demands = booking::demands(lines.iter().map(|lines| &lines.attempt)).expect("small sums");
        for (account, demand) in demands {
            self.settle(&account, &demand);
        }
        self.tidy();
        Reply::Done
    }

    /// `money::ingest::move_money`, for one account.
    fn settle(&mut self, account: &AccountPeriod, demand: &Demand) {
        let row = row(account);
        let named = |(holder, _): (&Holder, &i64)| (row, plane(holder), holder.epoch as u64);
        let names: Vec<LeaseName> = demand.leased.iter().map(named).collect();
        let mut held =
            Held { balance: self.accounts.get(&row).copied().unwrap_or_default(), ..Held::default() };
        for name in &names {
            if let Some(lease) = self.leases.get(name) {
                held.leases.insert(holder(*name), *lease);
            }
        }
        let conditions = Conditions { now: line::now(), ..Conditions::default() };
        let extra = booking::settle(account, demand, &mut held, &conditions).expect("small sums");
        self.accounts.insert(row, held.balance);
        for name in names {
            self.leases.insert(name, held.leases.get(&holder(name)).copied().unwrap_or_default());
        }
        extra.iter().for_each(|line| self.move_beside(row, line));
    }

    fn move_beside(&mut self, row: Row, line: &Line) {
        let moved = self.moved.entry(row).or_default();
        match line.kind {
            LineKind::Presumed => moved.presumed += line.charge_nano,
            LineKind::House => {
                moved.charged += line.charges[0].charged;
                self.borne -= line.charges[0].charged;
            }
            other => panic!("booking made a line of kind {other:?}"),
        }
    }

    /// No rule looks at what is used of a lease, but only at what is left; and rows of zeros say nothing. Without both,
    /// states that will behave alike are the same state.
    fn tidy(&mut self) {
        for lease in self.leases.values_mut() {
            lease.granted -= std::mem::take(&mut lease.used);
        }
        self.leases.retain(|_, lease| *lease != Lease::default());
        self.moved.retain(|_, moved| *moved != Moved::default());
    }

    /// Leases of an instance, in all its sessions.
    pub fn leases_of(&self, plane: u8) -> impl Iterator<Item = (&LeaseName, &Lease)> {
        self.leases.iter().filter(move |((_, holder, _), _)| *holder == plane)
    }

    /// `store::lease::open_leases`.
    pub fn open_leases(&self, plane: u8) -> Vec<LeaseName> {
        self.leases_of(plane).filter(|(_, lease)| lease.rest() > 0).map(|(name, _)| *name).collect()
    }

    /// What is charged, presumed and lent of an account.
    pub fn taken(&self, row: Row) -> i64 {
        let balance = self.accounts.get(&row).copied().unwrap_or_default();
        balance.charged + balance.presumed + balance.lent
    }
}

fn holder((_, plane, epoch): LeaseName) -> Holder {
    Holder { instance: line::instance(plane), epoch: epoch as i64 }
}

fn plane(holder: &Holder) -> u8 {
    holder.instance.trim_start_matches("dp_").parse().expect("is an instance of the model")
}

fn row(account: &AccountPeriod) -> Row {
    match account.kind {
        AccountKind::KeyLimit => {
            let is_second = account.period == line::period(Row { owner: 0, period: 1 });
            Row { owner: 0, period: u8::from(is_second) }
        }
        _ => Row { owner: 1, period: 0 },
    }
}
