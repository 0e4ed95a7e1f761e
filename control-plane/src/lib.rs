//! Holds what must be remembered.

pub mod rest;
pub mod settings;
