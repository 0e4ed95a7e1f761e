//! Placeholder.
pub mod dev;
pub mod fault_lab;
