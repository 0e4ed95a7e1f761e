//! Holds what must be remembered.

pub mod settings;
