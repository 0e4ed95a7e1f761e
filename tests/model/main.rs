//! A model of leases, journal and settlement, checked exhaustively within small bounds: every order of steps and faults.
//!
//! The rules are the product's own (`domain::lending`, `domain::booking`, `money::record`, `usage::record`,
//! `limits::Lots`); what stands around them, disk, network and sessions, is modelled, each step with the name of the
//! function that it mirrors. What is checked is in `properties`, with which bounds in `checks`; `mutants` takes one guard
//! away at a time and expects a counterexample. docs/money-model.md says what this does not show.
#![allow(clippy::print_stdout, reason = "checks say how many states they saw, and how a mutant was caught")]

mod checks;
mod disk;
mod guards;
mod line;
mod mutants;
mod plane;
mod properties;
mod setup;
mod state;
mod steps;
mod store;
