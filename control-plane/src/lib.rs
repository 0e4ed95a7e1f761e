//! Holds what must be remembered.

pub mod auth;
pub mod catalogue;
pub mod crypto;
pub mod domain;
pub mod error;
pub mod grpc;
pub mod rest;
pub mod service;
pub mod settings;
pub mod store;
