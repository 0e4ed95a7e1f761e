//! Carries requests.

pub mod settings;
