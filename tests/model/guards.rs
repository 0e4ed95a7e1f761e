//! The guards that keep the promises, each of which can be taken away.

/// Which guards stand. A mutant has one of them down.
#[derive(Clone, Copy, Debug)]
pub struct Guards {
    /// A grant is what `lending::lend` says, never just what is asked for.
    pub grant_condition: bool,
    /// A charge is min(price, reserved).
    pub charge_within_reservation: bool,
    /// Money moves for the lines that the insert gave back, not for all that were sent.
    pub new_rows_only: bool,
    /// Asks of a session that is not its instance's newest are refused.
    pub epoch_fence: bool,
    /// The intent is in the journal before the attempt is sent.
    pub intent_before_send: bool,
    /// What a lost instance holds is booked as presumed, not released.
    pub presumed_not_released: bool,
    /// A restarted instance reads the journal of its last run.
    pub journal_kept: bool,
    /// Money whose return was not answered is not spent any more.
    pub lost_return_is_gone: bool,
    /// The journal hears of a return before the control plane does.
    pub return_in_journal_first: bool,
    /// What a store of another incarnation lent is void.
    pub other_incarnation_void: bool,
    /// Money that became void while it was on its way back is not kept when it could not be given back.
    pub void_stays_void: bool,
    /// Nothing is asked for before the leases are known to be of the session's store.
    pub ask_follows_session: bool,
    /// The answer to a call says nothing about another call about the same lease.
    pub doubt_of_each_call: bool,
    /// Whoever restores the store lets epochs go on far beyond those that it may have forgotten.
    pub restore_skips_epochs: bool,
    /// A lease in doubt is closed only when all lines of its session are booked.
    pub closing_waits_for_lines: bool,
    /// A lease in doubt is closed only when no call could still bring money of it.
    pub closing_waits_for_calls: bool,
}

impl Guards {
    /// All stand, as in the product.
    pub const ALL: Self = Self {
        grant_condition: true,
        charge_within_reservation: true,
        new_rows_only: true,
        epoch_fence: true,
        intent_before_send: true,
        presumed_not_released: true,
        journal_kept: true,
        lost_return_is_gone: true,
        return_in_journal_first: true,
        other_incarnation_void: true,
        void_stays_void: true,
        ask_follows_session: true,
        doubt_of_each_call: true,
        restore_skips_epochs: true,
        closing_waits_for_lines: true,
        closing_waits_for_calls: true,
    };
}
