//! Holds what must be remembered.

pub mod account;
pub mod app;
pub mod auth;
pub mod catalogue;
pub mod crypto;
pub mod distribution;
pub mod domain;
pub mod error;
pub mod grpc;
pub mod jobs;
pub mod money;
pub mod rest;
pub mod service;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod webhooks;
