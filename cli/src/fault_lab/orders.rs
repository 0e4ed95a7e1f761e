//! What tests and the admin side have ordered for the coming calls, before any model name is looked at.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fault_lab::behaviour::{self, UnknownBehaviour};
use crate::fault_lab::replay::Recording;
use crate::fault_lab::script::{Opening, Script};

/// What the next call gets.
#[derive(Debug, Clone)]
pub enum Order {
    Script(Script),
    Recording(Recording),
}

/// The script that `name` stands for.
///
/// # Errors
/// A name that is not in the table.
pub fn script(name: &str) -> Result<Script, UnknownBehaviour> {
    behaviour::script(name).ok_or_else(|| UnknownBehaviour(name.to_owned()))
}

/// An order for each name.
///
/// # Errors
/// The first name that is not in the table.
pub fn scripts<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<Order>, UnknownBehaviour> {
    names.into_iter().map(|name| script(name).map(Order::Script)).collect()
}

#[derive(Default)]
pub struct Orders {
    /// Spares calls the lock while nothing is ordered.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: VecDeque<Order>,
    always: Option<Script>,
    flaky_calls: HashMap<u64, u64>,
}

impl Orders {
    /// Adds orders for the coming calls, one each.
    pub fn queue(&self, orders: impl IntoIterator<Item = Order>) {
        let mut state = self.lock();
        state.next.extend(orders);
        self.any.store(true, Ordering::Release);
    }

    /// How many orders wait for a call.
    pub fn queued(&self) -> usize {
        self.lock().next.len()
    }

    pub fn forget_queued(&self) {
        self.lock().next.clear();
    }

    /// Replaces what every call gets that has no order of its own.
    pub fn set_always(&self, script: Option<Script>) {
        let mut state = self.lock();
        state.always = script;
        self.any.store(true, Ordering::Release);
    }

    /// The order for a call that has just come in: a queued one, else the header's, else the standing one.
    pub fn take(&self, of_header: Option<Script>) -> Option<Order> {
        if !self.any.load(Ordering::Acquire) {
            return of_header.map(Order::Script);
        }
        let mut state = self.lock();
        let queued = state.next.pop_front();
        queued.or_else(|| of_header.or_else(|| state.always.clone()).map(Order::Script))
    }

    /// Decides `FailEvery` by counting; leaves other scripts alone.
    pub fn decided(&self, script: Script) -> Script {
        let Opening::FailEvery { nth, failure } = script.opening else { return script };
        let mut state = self.lock();
        let calls = state.flaky_calls.entry(nth).or_insert(0);
        *calls += 1;
        let opening = if calls.is_multiple_of(nth) { Opening::Fail(failure) } else { Opening::Answer };
        Script { opening, ..script }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
