//! The process: allocator, TLS provider, command line, exit code.
#![allow(clippy::print_stderr, reason = "errors of commands go to stderr")]

use std::{panic, process::ExitCode};

use clap::Parser;
use switchyard_cli::{
    arguments::{NothingToChange, WrongUsage},
    command::Cli,
    fault_lab,
    settings::SettingsError,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What shells report for a process whose reader went away.
const PIPE_CLOSED: i32 = 141;

fn main() -> ExitCode {
    end_quietly_with_the_reader();
    // One provider for every TLS connection of the process; only a second call could fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Wrong usage ends here, with exit code 2.
    let cli = Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", joined(&error));
            ExitCode::from(code(&error))
        }
    }
}

/// `switchyard usage | head` ends like any other program. Rust ignores SIGPIPE, so a print panics instead.
fn end_quietly_with_the_reader() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        if message.starts_with("failed printing to stdout") && message.contains("Broken pipe") {
            std::process::exit(PIPE_CLOSED);
        }
        usual(panic);
    }));
}

/// 2 for wrong usage or settings, 1 for everything else.
fn code(error: &anyhow::Error) -> u8 {
    let is_usage = |cause: &(dyn std::error::Error + 'static)| {
        let is_labs = cause.downcast_ref().is_some_and(fault_lab::CommandError::is_usage);
        is_labs || cause.is::<SettingsError>() || cause.is::<NothingToChange>() || cause.is::<WrongUsage>()
    };
    if error.chain().any(is_usage) { 2 } else { 1 }
}

/// The error and its causes in one line, each said once.
fn joined(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn wrong_settings_and_usage_are_told_from_failures() {
        let settings = || SettingsError::Syntax { path: "f".into(), message: "m".into() };
        assert_eq!(code(&settings().into()), 2);
        assert_eq!(code(&Err::<(), _>(settings()).context("at start").unwrap_err()), 2);
        assert_eq!(code(&NothingToChange.into()), 2);
        assert_eq!(code(&WrongUsage("no").into()), 2);
        assert_eq!(code(&anyhow::anyhow!("no")), 1);
    }

    #[test]
    fn causes_are_joined_and_not_repeated() {
        let inner = std::io::Error::other("refused");
        let error = anyhow::Error::new(inner).context("cannot connect").context("cannot connect: refused");
        assert_eq!(joined(&error), "cannot connect: refused");
        let error = anyhow::anyhow!("b").context("a");
        assert_eq!(joined(&error), "a: b");
    }
}
