//! `switchyard dev`: both planes in one process, on parts that it starts and stops itself.

pub mod postgres;
pub mod tied;
