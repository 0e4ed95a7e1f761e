//! The vocabulary that both planes share, and nothing else.
//!
//! Generated messages and services are in [`v1`]; ids, money, kinds of accounts, windows of budgets, error codes, keys and
//! secrets are written by hand, and so are the language of routing policies' conditions and what presets may say. No I/O.

pub mod account;
pub mod auth;
pub mod clock;
pub mod code;
pub mod id;
pub mod key;
pub mod money;
pub mod policy;
pub mod preset;
pub mod price;
pub mod seal;
pub mod secret;
pub mod sketch;
pub mod window;

/// Messages and services of package `switchyard.v1`, generated from `proto/`.
#[allow(clippy::all, clippy::allow_attributes_without_reason, missing_docs, reason = "generated")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/switchyard.v1.rs"));
}

/// The encoded `FileDescriptorSet` of all protos, imports and comments included: for reflection, REST and OpenAPI.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
