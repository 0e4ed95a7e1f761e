//! `switchyard fault-lab`: the lab as a process of its own.

use std::io::{self, Write};
use std::net::SocketAddr;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::fault_lab::{FaultLab, Settings, StartError, behaviours};

/// Run the fault lab: a provider on loopback that answers, streams, and fails on demand.
///
/// The path of a request chooses the dialect, whatever stands before it: `/chat/completions` (OpenAI; Azure below
/// `/openai/`, Mistral below `/mistral/`), `/responses`, `/messages` (Anthropic), `/models/M:generateContent` and
/// `:streamGenerateContent` (Gemini, Vertex AI), `/model/M/converse` and `/converse-stream` (Bedrock), `/chat` (Cohere),
/// `/api/chat` (Ollama). The model, or the header `x-fault`, chooses the behaviour; `--list` prints them. Any key is taken.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 takes a free one. The first line on stdout names the address.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
    /// Print the table of behaviours and exit.
    #[arg(long)]
    list: bool,
    /// Stop when stdin ends: for parents that may die without saying so.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("cannot start; choose another address with --listen")]
    Start(#[from] StartError),
    #[error("input or output failed")]
    Io(#[from] io::Error),
}

/// Runs the command to its end, on a single-threaded runtime of its own: that is the fastest for small answers.
///
/// Blocks; call it outside any runtime.
pub fn run(args: &Args) -> Result<(), CommandError> {
    if args.list {
        return Ok(list(&mut io::stdout().lock())?);
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(args))
}

fn list(out: &mut impl Write) -> io::Result<()> {
    for row in behaviours() {
        writeln!(out, "{:<18} {:<15} {}", row.name, row.family.unwrap_or_default(), row.description)?;
    }
    Ok(())
}

async fn serve(args: &Args) -> Result<(), CommandError> {
    let lab = FaultLab::start(Settings { listen: args.listen, ..Settings::default() }).await?;
    announce(lab.addr)?;
    until_stopped(args.until_stdin_ends).await?;
    lab.stop().await;
    Ok(())
}

/// Prints the address on a line of its own, for parents that wait for it.
pub(crate) fn announce(addr: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{addr}")?;
    out.flush()
}

/// Returns on SIGINT, SIGTERM and, if asked for, at the end of stdin.
pub(crate) async fn until_stopped(stdin_too: bool) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let stdin_ended = CancellationToken::new();
    if stdin_too {
        let ended = stdin_ended.clone();
        // A thread, because reading stdin cannot be given up: a runtime would wait for it at its end.
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            ended.cancel();
        })?;
    }
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
        () = stdin_ended.cancelled() => Ok(()),
    }
}
