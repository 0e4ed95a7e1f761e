//! One account's lease: what is free, what is out, how much it needs, and what the control plane said last.
//!
//! Pure: time is an argument. The table holds entries under its locks; `desk` asks and gives back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::lots::Lots;

/// How long a refusal is believed.
const DENIED: Duration = Duration::from_secs(1);
/// After `BUSY`, other instances were asked to give back; that takes about so long.
const BUSY: Duration = Duration::from_millis(25);
/// An unreachable control plane is not asked again for so long.
const AWAY: Duration = Duration::from_millis(50);
/// How long it is believed that an account has a balance.
const SOUND: Duration = Duration::from_secs(10);
/// Weight of the last second in the smoothed demand.
const SMOOTHING: f64 = 0.2;
/// How fast the largest sum that was out at once is forgotten, per second.
const PEAK_DECAY: f64 = 0.9;

/// Why nothing is granted, as far as this instance knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::limits) enum Refusal {
    /// The limit leaves only this much beside what this instance holds itself.
    Exhausted { headroom: u64 },
    /// Enough is left, but lent to others.
    Busy,
    /// The control plane cannot be asked.
    Away,
    /// The owner is unknown, deleted or disabled.
    Unknown,
}

/// What the control plane answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Granted {
        epoch: u64,
        amount: u64,
        headroom: u64,
    },
    Unlimited,
    /// Enough is there, but another account of the same attempt refused.
    Withheld {
        headroom: u64,
    },
    Refused(Refusal),
}

/// Whether an account has a balance at all, as far as this instance knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody has said.
    Unknown,
    Sound,
    /// It was sound a while ago: worth asking again, not worth waiting.
    Stale,
    /// More is spent than its limit.
    Overdrawn,
}

/// An account's lease here.
#[derive(Debug)]
pub(super) struct Entry {
    lots: Lots,
    peak_out: u64,
    spent_this_second: u64,
    spent_per_second: f64,
    headroom: Option<u64>,
    /// The limit in force when the control plane last answered; 0: none was named.
    limit: u64,
    unlimited: bool,
    /// Whether the account was overdrawn when the control plane last answered, and when that was.
    overdrawn: Option<(bool, Instant)>,
    refusal: Option<(Refusal, Instant)>,
    last_used: Instant,
    /// Since when there has been far more than is needed.
    plenty_since: Option<Instant>,
    /// Whether an ask is queued or under way.
    asking: bool,
    /// The account changed after the ask under way was made: its answer may be older than the change.
    is_overtaken: bool,
    needs: Needs,
    waiting: Vec<Arc<Notify>>,
}

/// What waiting attempts lack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Needs {
    smallest: u64,
    sum: u64,
}

/// An ask for money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub wanted: u64,
    pub least: u64,
}

impl Entry {
    pub fn new(now: Instant) -> Self {
        Self {
            lots: Lots::default(),
            peak_out: 0,
            spent_this_second: 0,
            spent_per_second: 0.0,
            headroom: None,
            limit: 0,
            unlimited: false,
            overdrawn: None,
            refusal: None,
            last_used: now,
            plenty_since: None,
            asking: false,
            is_overtaken: false,
            needs: Needs::default(),
            waiting: Vec::new(),
        }
    }

    /// Takes an amount that one epoch must cover.
    pub fn take(&mut self, epoch: u64, amount: u64, now: Instant) -> bool {
        self.last_used = now;
        let is_taken = self.lots.take(epoch, amount);
        self.peak_out = self.peak_out.max(self.out());
        is_taken
    }

    /// Undoes a [`Entry::take`] that was not used.
    pub fn untake(&mut self, epoch: u64, amount: u64) {
        self.end(epoch, amount, amount);
    }

    /// Ends a reservation: the unspent part is free again, unless its epoch is void.
    pub fn settle(&mut self, epoch: u64, reserved: u64, charged: u64, is_void: bool) {
        self.spent_this_second = self.spent_this_second.saturating_add(charged);
        let unspent = if is_void { 0 } else { reserved.saturating_sub(charged) };
        self.end(epoch, reserved, unspent);
    }

    fn end(&mut self, epoch: u64, out: u64, free: u64) {
        self.lots.end(epoch, out, free);
        if free > 0 {
            self.wake();
        }
    }

    /// Adds free money and wakes who waits for it.
    pub fn add(&mut self, epoch: u64, amount: u64) {
        if amount > 0 {
            self.put(epoch, amount);
            self.wake();
        }
    }

    fn put(&mut self, epoch: u64, amount: u64) {
        if amount > 0 {
            self.lots.add(epoch, amount);
        }
    }

    /// Removes up to `amount` of free money; what was removed.
    pub fn remove(&mut self, epoch: u64, amount: u64) -> u64 {
        self.lots.remove(epoch, amount)
    }

    pub fn free(&self, epoch: u64) -> u64 {
        self.lots.free(epoch)
    }

    /// Free money by epoch, oldest first.
    pub fn balances(&self) -> impl Iterator<Item = (u64, u64)> {
        self.lots.balances()
    }

    /// Whether anything of that epoch is free or reserved here.
    pub fn holds(&self, epoch: u64) -> bool {
        self.lots.holds(epoch)
    }

    /// What attempts have reserved and not settled.
    pub fn out(&self) -> u64 {
        self.lots.out()
    }

    pub fn total(&self) -> u64 {
        self.lots.total()
    }

    pub fn is_unlimited(&self) -> bool {
        self.unlimited
    }

    /// The most that one attempt could reserve, were the control plane asked for all it has; `None` if unknown.
    pub fn affordable(&self, epoch: u64) -> Option<u64> {
        let largest = self.lots.largest();
        let headroom = self.headroom?;
        Some(largest.max(self.free(epoch).saturating_add(headroom)))
    }

    /// Takes the limit that an answer named.
    pub fn is_limited_to(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// The limit in force when the control plane last answered; 0: none was named.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Takes whether an answer said that more is spent than the limit.
    pub fn is_overdrawn(&mut self, is_overdrawn: bool, now: Instant) {
        self.overdrawn = Some((is_overdrawn, now));
    }

    pub fn standing(&self, now: Instant) -> Standing {
        let Some((is_overdrawn, at)) = self.overdrawn else { return Standing::Unknown };
        let age = now.saturating_duration_since(at);
        match is_overdrawn {
            true if age < DENIED => Standing::Overdrawn,
            true => Standing::Unknown,
            false if age < SOUND => Standing::Sound,
            false => Standing::Stale,
        }
    }

    /// The share of the limit, 0 to 1, that is neither spent nor lent elsewhere; `None` while nothing is known of it.
    pub fn left(&self) -> Option<f64> {
        let left = self.headroom?.saturating_add(self.total()).saturating_add(self.out());
        (self.limit > 0).then(|| (left as f64 / self.limit as f64).min(1.0))
    }

    /// Whether the account could cover an attempt once those under way have given back what they do not use: others than the
    /// attempt itself, which has its `own` already.
    pub fn may_come_back(&self, epoch: u64, amount: u64, own: u64) -> bool {
        let headroom = self.headroom.unwrap_or(0);
        let out = self.out().saturating_sub(own);
        out > 0 && amount <= self.free(epoch).saturating_add(headroom).saturating_add(out)
    }

    /// What is known to stand against a grant of `shortage` now, and until when.
    pub fn refusal(&self, shortage: u64, now: Instant) -> Option<(Refusal, Instant)> {
        let (refusal, until) = self.refusal.filter(|(_, until)| now < *until)?;
        match refusal {
            Refusal::Exhausted { headroom } if shortage <= headroom => None,
            Refusal::Exhausted { .. } | Refusal::Busy | Refusal::Away | Refusal::Unknown => {
                Some((refusal, until))
            }
        }
    }

    /// Lets an attempt wait; whether an ask must be queued.
    pub fn wait(&mut self, shortage: u64, waiter: &Arc<Notify>) -> bool {
        self.listen(waiter);
        self.need(shortage)
    }

    /// Tells an attempt of the next change.
    pub fn listen(&mut self, waiter: &Arc<Notify>) {
        if !self.waiting.iter().any(|other| Arc::ptr_eq(other, waiter)) {
            self.waiting.push(Arc::clone(waiter));
        }
    }

    /// Whether an ask must be queued so that a busy account never waits: less than a third of the demand is left.
    pub fn renew(&mut self, epoch: u64, amount: u64, autonomy: Duration, now: Instant) -> bool {
        let demand = self.demand(autonomy);
        let roomy = self.headroom.is_some_and(|headroom| headroom / 2 >= amount.max(1));
        if self.asking || !roomy || self.spent_per_second <= 0.0 || self.free(epoch) >= demand / 3 {
            return false;
        }
        self.refusal(amount, now).is_none() && self.need(amount)
    }

    fn need(&mut self, shortage: u64) -> bool {
        let smallest = if self.needs.sum == 0 { shortage } else { self.needs.smallest.min(shortage) };
        self.needs = Needs { smallest, sum: self.needs.sum.saturating_add(shortage) };
        !std::mem::replace(&mut self.asking, true)
    }

    /// What to ask for now. Bounded by half of the headroom, but never below what an attempt lacks.
    pub fn ask(&mut self, epoch: u64, autonomy: Duration) -> Ask {
        let needs = std::mem::take(&mut self.needs);
        self.is_overtaken = false;
        let missing = self.demand(autonomy).saturating_sub(self.free(epoch));
        let bound = self.headroom.map_or(0, |headroom| headroom / 2);
        let least = needs.smallest.max(1);
        Ask { wanted: needs.sum.max(missing.min(bound)).max(least), least }
    }

    /// What the account is expected to need for `autonomy`: what it spends, and twice what is out at once.
    fn demand(&self, autonomy: Duration) -> u64 {
        let spending = self.spent_per_second * autonomy.as_secs_f64();
        self.peak_out.saturating_mul(2).saturating_add(spending as u64)
    }

    /// Notes an answer. Who waits for it is woken by [`Entry::wake`], once all answers of the call are noted: an attempt
    /// that needs several accounts must not look at half of them.
    pub fn answered(&mut self, answer: Answer, now: Instant) {
        self.asking = false;
        self.refusal = None;
        match answer {
            Answer::Granted { epoch, amount, headroom } => {
                self.headroom = Some(headroom);
                self.put(epoch, amount);
            }
            // An old "no limit" would outlive the limit; who waits asks again.
            Answer::Unlimited => self.unlimited = !self.is_overtaken,
            Answer::Withheld { headroom } => self.headroom = Some(headroom),
            Answer::Refused(refusal) => {
                let (until, headroom) = match refusal {
                    Refusal::Exhausted { headroom } => (now + DENIED, Some(headroom)),
                    Refusal::Busy => (now + BUSY, Some(0)),
                    Refusal::Away => (now + AWAY, self.headroom),
                    Refusal::Unknown => (now + DENIED, None),
                };
                self.headroom = headroom;
                self.refusal = Some((refusal, until));
            }
        }
    }

    /// The account changed: what was said about it may no longer hold.
    pub fn forget_answers(&mut self) {
        self.refusal = None;
        self.unlimited = false;
        self.overdrawn = None;
        self.headroom = None;
        self.is_overtaken = true;
        self.wake();
    }

    /// Lets all who wait look again.
    pub fn wake(&mut self) {
        for waiter in self.waiting.drain(..) {
            waiter.notify_one();
        }
    }

    /// Once a second: smooths the demand.
    pub fn tick(&mut self) {
        let spent = std::mem::take(&mut self.spent_this_second);
        self.spent_per_second = self.spent_per_second * (1.0 - SMOOTHING) + spent as f64 * SMOOTHING;
        if self.spent_per_second < 1.0 {
            self.spent_per_second = 0.0;
        }
        self.peak_out = self.out().max((self.peak_out as f64 * PEAK_DECAY) as u64);
    }

    /// What is not needed here: everything when idle, old epochs once a newer one lends, else far too much.
    pub fn surplus(
        &mut self,
        epoch: u64,
        autonomy: Duration,
        idle: Duration,
        now: Instant,
    ) -> Vec<(u64, u64)> {
        if now.saturating_duration_since(self.last_used) >= idle {
            return self.balances().collect();
        }
        let mut surplus: Vec<(u64, u64)> = match self.free(epoch) {
            // Money of an old epoch is given back when the new one has some, or is refused for want of it.
            0 if self.refusal.is_none() => Vec::new(),
            _ => self.balances().filter(|(of, _)| *of < epoch).collect(),
        };
        let (free, demand) = (self.free(epoch), self.demand(autonomy));
        if free <= demand.saturating_mul(2) {
            self.plenty_since = None;
        } else if now.saturating_duration_since(*self.plenty_since.get_or_insert(now)) >= idle {
            self.plenty_since = None;
            surplus.push((epoch, free - demand));
        }
        surplus
    }

    /// What can be spared when another instance needs it: all that was not used just now, else half.
    pub fn spare(&self, now: Instant) -> Vec<(u64, u64)> {
        let busy = now.saturating_duration_since(self.last_used) < Duration::from_secs(1);
        let part = if busy { 2 } else { 1 };
        let parts = self.balances().map(|(epoch, free)| (epoch, free / part));
        parts.filter(|(_, part)| *part > 0).collect()
    }

    /// Giving back failed: not again before it has been idle once more.
    pub fn touch(&mut self, now: Instant) {
        self.last_used = now;
    }

    /// Whether nothing is lost by forgetting it.
    pub fn is_spent(&self, idle: Duration, now: Instant) -> bool {
        self.lots.is_empty()
            && !self.asking
            && self.waiting.is_empty()
            && now.saturating_duration_since(self.last_used) >= idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTONOMY: Duration = Duration::from_secs(900);
    const IDLE: Duration = Duration::from_secs(60);

    fn granted(amount: u64, headroom: u64) -> (Entry, Instant) {
        let now = Instant::now();
        let mut entry = Entry::new(now);
        entry.answered(Answer::Granted { epoch: 1, amount, headroom }, now);
        (entry, now)
    }

    #[test]
    fn never_more_than_the_lease_is_taken() {
        let (mut entry, now) = granted(100, 0);
        assert!(entry.take(1, 60, now) && !entry.take(1, 41, now) && entry.take(1, 40, now));
        entry.settle(1, 60, 20, false);
        assert!(!entry.take(1, 41, now) && entry.take(1, 40, now));
    }

    #[test]
    fn one_reservation_draws_from_one_epoch() {
        let (mut entry, now) = granted(50, 0);
        entry.add(2, 50);
        assert!(!entry.take(1, 80, now) && !entry.take(2, 80, now));
        assert!(entry.take(1, 50, now) && entry.take(2, 50, now));
    }

    #[test]
    fn the_share_that_is_left_counts_what_is_held_here() {
        let (mut entry, now) = granted(100, 300);
        assert_eq!(entry.left(), None, "no limit was named");
        entry.is_limited_to(1_000);
        assert_eq!(entry.left(), Some(0.4));
        assert!(entry.take(1, 60, now));
        assert_eq!(entry.left(), Some(0.4), "what is reserved may come back");
        entry.settle(1, 60, 60, false);
        assert_eq!(entry.left(), Some(0.34));
        entry.forget_answers();
        assert_eq!(entry.left(), None);
    }

    #[test]
    fn a_cold_account_asks_for_one_attempt_only() {
        let mut entry = Entry::new(Instant::now());
        assert!(entry.wait(40, &Arc::default()), "the first waiter asks");
        assert!(!entry.wait(30, &Arc::default()), "the second waits for the same answer");
        assert_eq!(entry.ask(1, AUTONOMY), Ask { wanted: 70, least: 30 });
    }

    #[test]
    fn a_busy_account_asks_ahead_within_half_of_the_headroom() {
        let (mut entry, now) = granted(1_000, 1_000_000);
        assert!(entry.take(1, 900, now));
        entry.settle(1, 900, 900, false);
        entry.tick();
        assert!(entry.renew(1, 900, AUTONOMY, now));
        let demand = (900.0 * SMOOTHING * 900.0) as u64 + 2 * 810;
        assert_eq!(entry.ask(1, AUTONOMY), Ask { wanted: demand - 100, least: 900 });
        let (mut poor, now) = granted(1_000, 10_000);
        assert!(poor.take(1, 900, now));
        poor.settle(1, 900, 900, false);
        poor.tick();
        assert!(poor.renew(1, 900, AUTONOMY, now));
        assert_eq!(poor.ask(1, AUTONOMY).wanted, 5_000);
    }

    #[test]
    fn near_the_limit_nothing_is_asked_ahead() {
        let (mut entry, now) = granted(1_000, 1_000);
        assert!(entry.take(1, 900, now));
        entry.settle(1, 900, 900, false);
        entry.tick();
        assert!(!entry.renew(1, 900, AUTONOMY, now));
    }

    #[test]
    fn a_refusal_is_believed_for_a_second_and_only_for_what_it_refused() {
        let (mut entry, now) = granted(0, 0);
        entry.answered(Answer::Refused(Refusal::Exhausted { headroom: 10 }), now);
        assert!(entry.refusal(11, now).is_some() && entry.refusal(10, now).is_none());
        assert!(entry.refusal(11, now + DENIED).is_none());
        assert_eq!(entry.affordable(1), Some(10));
        entry.forget_answers();
        assert!(entry.refusal(11, now).is_none());
        assert_eq!(entry.affordable(1), None);
    }

    #[test]
    fn idle_money_and_money_of_old_epochs_is_surplus() {
        let (mut entry, now) = granted(100, 1_000);
        assert!(entry.take(1, 100, now));
        entry.settle(1, 100, 0, false);
        assert_eq!(entry.surplus(2, AUTONOMY, IDLE, now), []);
        entry.add(2, 50);
        assert_eq!(entry.surplus(2, AUTONOMY, IDLE, now), [(1, 100)]);
        assert_eq!(entry.surplus(2, AUTONOMY, IDLE, now + IDLE), [(1, 100), (2, 50)]);
    }

    #[test]
    fn no_limit_is_not_believed_of_an_account_that_changed_meanwhile() {
        let now = Instant::now();
        let mut entry = Entry::new(now);
        entry.ask(1, AUTONOMY);
        entry.forget_answers();
        entry.answered(Answer::Unlimited, now);
        assert!(!entry.is_unlimited());
        entry.ask(1, AUTONOMY);
        entry.answered(Answer::Unlimited, now);
        assert!(entry.is_unlimited());
    }

    #[test]
    fn half_is_spared_of_a_lease_in_use() {
        let (entry, now) = granted(100, 0);
        assert_eq!(entry.spare(now), [(1, 50)]);
        assert_eq!(entry.spare(now + Duration::from_secs(1)), [(1, 100)]);
    }
}
