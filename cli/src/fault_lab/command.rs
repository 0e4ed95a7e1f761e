//! `switchyard fault-lab`: the lab as a process of its own.

use std::io::{self, Write};
use std::net::SocketAddr;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::fault_lab::{
    COMPLETION_NANO_USD, FaultLab, PROMPT_NANO_USD, Settings, StartError, admin, behaviours,
};
use crate::output::Output;

/// Run the fault lab: a provider on loopback that answers, streams, and fails on demand
///
/// It speaks every provider dialect, takes any key, and needs no account. Point a client or a router at it, and name
/// what shall happen: as the model (`cut-2`), in the header `x-fault`, or beforehand at `/lab/script`. Several names join
/// with `+`: `tools+cut-2+crlf`. Everything works streamed and whole.
///
/// docs/fault-lab.md has examples.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual())]
pub struct Args {
    /// Where to listen; port 0 takes a free one. The first line on stdout names the address.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
    /// Listen where others can reach it. It takes any key and does as anybody says: not on a network that you do not own.
    #[arg(long)]
    beyond_loopback: bool,
    /// How many requests to keep for `GET /lab/received`, and ended calls for `GET /lab/calls`, the newest; 0 keeps none.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    keep: usize,
    /// Print the table of behaviours and exit.
    #[arg(long)]
    list: bool,
    /// The form of that table.
    #[arg(long, value_enum, default_value = "table", requires = "list")]
    output: Output,
    /// Stop when stdin ends: for parents that may die without saying so.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// The dialects by their paths, whatever stands before them.
const DIALECTS: &str = "\
Dialects, by the end of the path:
  /chat/completions                      OpenAI; Azure below /openai/, Mistral below /mistral/
  /responses                             OpenAI Responses
  /messages                              Anthropic
  /models/M:generateContent              Gemini, Vertex AI; streams at :streamGenerateContent
  /model/M/converse                      Amazon Bedrock; streams at /converse-stream
  /chat                                  Cohere
  /api/chat                              Ollama
  /embeddings, /rerank                   OpenAI; embeddings of Azure and Mistral as above
  /models/M:batchEmbedContents           Gemini; Vertex AI's :embedContent and :predict
  /model/M/invoke                        Amazon Bedrock, as its Titan
  /v2/embed, /v2/rerank                  Cohere
  /api/embed                             Ollama
  GET /models                            every behaviour, as a model list";

const ADMIN: &str = "\
The lab's own side, on the same port:
  GET /lab/behaviours                    the table below
  GET /lab/counts                        requests, and what a provider would have billed, per dialect and model
  GET /lab/received                      the newest requests, credentials left out; DELETE forgets them
  GET /lab/calls                         the newest calls that have ended, by their x-client-request-id, with their bill
  POST /lab/script                       {\"behaviours\": [\"cut-2\", \"echo\"]}: for the coming calls, one each; DELETE
  POST /lab/always                       {\"behaviour\": \"status-503\"}: for all calls without an order; DELETE
An order wins over the header, the header over the standing order, that over the model.";

/// What `--help` says after the options.
fn manual() -> String {
    let mut rows = Vec::new();
    // Writing to memory cannot fail.
    let _ = list(&mut rows);
    let rows = String::from_utf8_lossy(&rows);
    format!(
        "{DIALECTS}\n\n{ADMIN}\n\nPrice: {PROMPT_NANO_USD} nano-dollars a prompt token, {COMPLETION_NANO_USD} a token of the answer, \
        four bytes a token.\n\nBehaviours (N counts, MS is a time such as 200ms or 5s, KB 1,024 bytes):\n{rows}"
    )
}

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("cannot start; choose another address with --listen")]
    Start(#[from] StartError),
    #[error("the fault lab takes any key, so it listens on {0} only with --beyond-loopback")]
    Exposed(SocketAddr),
    #[error("input or output failed")]
    Io(#[from] io::Error),
}

impl CommandError {
    /// Whether other arguments would help.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Exposed(_))
    }
}

/// Runs the command to its end, on a single-threaded runtime of its own: that is the fastest for small answers.
///
/// Blocks; call it outside any runtime.
pub fn run(args: &Args) -> Result<(), CommandError> {
    if args.list {
        let mut out = io::stdout().lock();
        return Ok(match args.output {
            Output::Table => list(&mut out),
            Output::Json => writeln!(out, "{:#}", admin::listed()),
        }?);
    }
    if !args.listen.ip().is_loopback() && !args.beyond_loopback {
        return Err(CommandError::Exposed(args.listen));
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(args))
}

fn list(out: &mut impl Write) -> io::Result<()> {
    for row in behaviours() {
        let family = row.family.unwrap_or_default();
        writeln!(out, "  {:<18} {:<15} {:<13} {}", row.name, family, row.ends.to_string(), row.description)?;
    }
    Ok(())
}

async fn serve(args: &Args) -> Result<(), CommandError> {
    let lab =
        FaultLab::start(Settings { listen: args.listen, keep_received: args.keep, keep_calls: args.keep })
            .await?;
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Result<Args, clap::Error> {
        Line::try_parse_from(std::iter::once(&"fault-lab").chain(line)).map(|line| line.args)
    }

    #[test]
    fn the_help_names_every_behaviour_and_every_dialects_path() {
        let manual = manual();
        for row in behaviours() {
            assert!(manual.contains(&format!("\n  {} ", row.name)), "{}", row.name);
            assert!(manual.contains(row.description), "{}", row.name);
        }
        for path in [
            "/chat/completions",
            "/responses",
            "/messages",
            ":generateContent",
            "/converse",
            "/chat",
            "/api/chat",
        ] {
            assert!(manual.contains(path), "{path}");
        }
    }

    #[test]
    fn nothing_listens_beyond_loopback_unless_that_was_said() {
        for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
            let refused = run(&args(&["--listen", addr]).expect("is an address"));
            assert!(matches!(&refused, Err(error @ CommandError::Exposed(_)) if error.is_usage()), "{addr}");
        }
    }

    #[test]
    fn a_form_without_a_list_is_wrong_usage() {
        assert!(args(&["--list", "--output", "json"]).is_ok());
        assert!(args(&["--output", "json"]).is_err());
    }
}
