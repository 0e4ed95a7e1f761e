//! The house rules as tests: who may import whom, what every file has, what every list must cover.
//!
//! Each failure says what was done and what to do now. The rules' reasons are in `ARCHITECTURE.md`.

mod coverage;
mod files;
mod imports;
pub mod parity;
pub mod source;
