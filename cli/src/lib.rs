//! The one binary, `switchyard`: both planes, `dev`, and the commands that talk to them.
//!
//! Here is the list of commands; each is a module. What the planes do is in their own crates.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "commands talk to people on stdout and stderr")]

pub mod admin;
pub mod apply;
pub mod arguments;
pub mod audit;
pub mod bench;
pub mod chat;
pub mod client;
pub mod command;
pub mod completions;
pub mod control_plane;
pub mod credential;
pub mod data_dir;
pub mod data_plane;
pub mod dev;
pub mod doctor;
pub mod drift;
pub mod endpoint;
pub mod fault_lab;
pub mod fleet;
pub mod journal;
pub mod key;
pub mod ledger;
pub mod model;
pub mod output;
pub mod policy;
pub mod ports;
pub mod preset;
pub mod price;
pub mod process;
pub mod provider;
pub mod route;
pub mod settings;
pub mod signals;
pub mod telemetry;
pub mod tenant;
pub mod token;
pub mod usage;
pub mod webhook;
