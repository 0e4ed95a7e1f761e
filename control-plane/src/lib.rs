//! Holds what must be remembered.

pub mod catalogue;
pub mod rest;
pub mod settings;
