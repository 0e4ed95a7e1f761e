//! Placeholder.
pub mod bench;
pub mod dev;
pub mod fault_lab;
