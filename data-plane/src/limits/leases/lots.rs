//! The money of one account's lease, by the epoch that lent it: what is free, and what attempts have reserved.
//!
//! Pure, and a plain value: `entry` keeps one for each account, and the model of leases (`tests/model`) runs the same.

/// What each session lent, oldest first; none is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lots(Vec<Lot>);

/// What one session lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Lot {
    epoch: u64,
    free: u64,
    /// Reserved and not settled.
    out: u64,
}

impl Lots {
    /// Reserves an amount that one epoch must cover; whether it does.
    pub fn take(&mut self, epoch: u64, amount: u64) -> bool {
        let Some(lot) = self.lot(epoch).filter(|lot| lot.free >= amount) else { return false };
        lot.free -= amount;
        lot.out += amount;
        true
    }

    /// Ends a reservation of `out`, of which `free` comes back.
    pub fn end(&mut self, epoch: u64, out: u64, free: u64) {
        if let Some(lot) = self.lot(epoch) {
            lot.out = lot.out.saturating_sub(out);
        }
        self.add(epoch, free);
        self.drop_empty();
    }

    /// Adds free money.
    pub fn add(&mut self, epoch: u64, amount: u64) {
        if amount == 0 {
            return;
        }
        match self.0.binary_search_by_key(&epoch, |lot| lot.epoch) {
            Ok(at) => self.0[at].free = self.0[at].free.saturating_add(amount),
            Err(at) => self.0.insert(at, Lot { epoch, free: amount, out: 0 }),
        }
    }

    /// Removes up to `amount` of free money; what was removed.
    pub fn remove(&mut self, epoch: u64, amount: u64) -> u64 {
        let amount = amount.min(self.free(epoch));
        if let Some(lot) = self.lot(epoch) {
            lot.free -= amount;
        }
        self.drop_empty();
        amount
    }

    /// What is free of one epoch.
    pub fn free(&self, epoch: u64) -> u64 {
        self.0.iter().find(|lot| lot.epoch == epoch).map_or(0, |lot| lot.free)
    }

    /// Free money by epoch, oldest first.
    pub fn balances(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().filter(|lot| lot.free > 0).map(|lot| (lot.epoch, lot.free))
    }

    /// Whether anything of that epoch is free or reserved here.
    pub fn holds(&self, epoch: u64) -> bool {
        self.0.iter().any(|lot| lot.epoch == epoch)
    }

    /// What attempts have reserved and not settled.
    pub fn out(&self) -> u64 {
        self.0.iter().map(|lot| lot.out).sum()
    }

    /// What is free, of all epochs.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|lot| lot.free).sum()
    }

    /// The most that is free of one epoch.
    pub fn largest(&self) -> u64 {
        self.0.iter().map(|lot| lot.free).max().unwrap_or(0)
    }

    /// Whether nothing is free or reserved.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn lot(&mut self, epoch: u64) -> Option<&mut Lot> {
        self.0.iter_mut().find(|lot| lot.epoch == epoch)
    }

    fn drop_empty(&mut self) {
        self.0.retain(|lot| lot.free > 0 || lot.out > 0);
    }
}
