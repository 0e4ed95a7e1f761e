//! Carries requests.

pub mod adapters;
pub mod api;
pub mod model;
pub mod settings;
pub mod wire;
