//! The list of commands, and which module does each.

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    admin::Admin, apply, audit::Audit, bench, chat::Chat, completions::Completions,
    control_plane::ControlPlane, credential::Credential, data_plane::DataPlane, dev::Dev, doctor::Doctor,
    drift::Drift, endpoint::Endpoint, fault_lab, fleet::Fleet, journal::Journal, key::Key, ledger::Ledger,
    model::Model, policy::Policy, preset::Preset, provider::Provider, route::Route, settings::environment,
    tenant::Tenant, token::Token, usage::Usage, webhook::Webhook,
};

/// A multi-tenant LLM router: one API key and one API shape in front of many model providers.
#[derive(Debug, Parser)]
#[command(name = "switchyard", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Start with `switchyard dev`. Exit codes: 0 fine, 1 failed, 2 wrong usage or settings."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine, with nothing to install
    Dev(Box<Dev>),
    /// Ask a model, and see what the answer cost
    Chat(Chat),
    /// Check stores, planes, providers, clock and disk
    Doctor(Box<Doctor>),
    /// Run the plane that remembers: tenants, keys, prices, money
    ControlPlane(ControlPlane),
    /// Run the plane that carries requests
    DataPlane(DataPlane),
    /// Make the control plane match a file
    Apply(apply::Apply),
    /// Write what the control plane holds as a file for `apply`
    Export(apply::Export),
    /// Customer organisations and their credits
    Tenant(Tenant),
    /// What callers present
    Key(Key),
    /// Tenants' own credentials for the operator's providers
    Credential(Credential),
    /// Configured upstreams
    Provider(Provider),
    /// What callers ask for
    Model(Model),
    /// Models as providers serve them
    Endpoint(Endpoint),
    /// Routing rules: which models, in which order, for which requests
    Policy(Policy),
    /// Stored parts of requests, which callers name
    Preset(Preset),
    /// Where a request would go, and why
    Route(Route),
    /// What was asked, what it cost and who paid
    Usage(Usage),
    /// Whether balances are what the ledger adds up to
    Ledger(Ledger),
    /// Where events about money are sent
    Webhook(Webhook),
    /// Which data plane runs which config
    Fleet(Fleet),
    /// What a data plane that never comes back has left on its disk
    Journal(Journal),
    /// What is new in providers' answers
    Drift(Drift),
    /// Who changed what
    Audit(Audit),
    /// Who may use the admin API
    Token(Token),
    /// The first admin token
    Admin(Admin),
    /// Print what a shell needs to complete our commands
    Completions(Completions),
    FaultLab(fault_lab::Args),
    #[command(hide = true)]
    Bench(Box<bench::Args>),
}

impl Cli {
    /// Does what was asked. Blocks until it is done; call it outside any runtime.
    ///
    /// # Errors
    /// What went wrong, with its causes.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            // These two measure, and bring the runtime that is best for that.
            Command::FaultLab(args) => Ok(fault_lab::run(&args)?),
            Command::Bench(args) => Ok(bench::run(&args)?),
            Command::Completions(completions) => {
                completions.run(Self::command());
                Ok(())
            }
            command => tokio::runtime::Runtime::new()?.block_on(command.run()),
        }
    }
}

impl Command {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Dev(dev) => dev.run().await,
            Self::Chat(chat) => chat.run().await,
            Self::Doctor(doctor) => doctor.run().await,
            Self::ControlPlane(plane) => plane.run().await,
            Self::DataPlane(plane) => plane.run().await,
            Self::Apply(apply) => apply.run(&environment().into_iter().collect()).await,
            Self::Export(export) => export.run().await,
            Self::Tenant(noun) => noun.run().await,
            Self::Key(noun) => noun.run().await,
            Self::Credential(noun) => noun.run().await,
            Self::Provider(noun) => noun.run().await,
            Self::Model(noun) => noun.run().await,
            Self::Endpoint(noun) => noun.run().await,
            Self::Policy(noun) => noun.run().await,
            Self::Preset(noun) => noun.run().await,
            Self::Route(noun) => noun.run().await,
            Self::Usage(noun) => noun.run().await,
            Self::Ledger(noun) => noun.run().await,
            Self::Webhook(noun) => noun.run().await,
            Self::Fleet(noun) => noun.run().await,
            Self::Journal(noun) => noun.run().await,
            Self::Drift(noun) => noun.run().await,
            Self::Audit(noun) => noun.run().await,
            Self::Token(noun) => noun.run().await,
            Self::Admin(admin) => admin.run().await,
            Self::Completions(_) | Self::FaultLab(_) | Self::Bench(_) => {
                unreachable!("these run without this runtime")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_is_explained() {
        explained(&Cli::command());
    }

    fn explained(command: &clap::Command) {
        assert!(command.get_about().is_some(), "`{}` has no help", command.get_name());
        for flag in command.get_arguments().filter(|argument| argument.get_long().is_some()) {
            assert!(flag.get_help().is_some(), "`{} --{}`", command.get_name(), flag.get_id());
        }
        command.get_subcommands().for_each(explained);
    }

    #[test]
    fn the_readmes_commands_parse() {
        for line in [
            "switchyard dev --listen 127.0.0.1:9000 --admin-listen 127.0.0.1:9001 --config f.yaml --data-dir d",
            "switchyard chat hi --model echo/echo",
            "switchyard doctor --output json",
            "switchyard control-plane migrate",
            "switchyard admin init",
            "switchyard fleet certs --out certs",
            "switchyard fleet release dp_1 --reason disk-lost",
            "switchyard ledger prove --output json",
            "switchyard journal ship /mnt/orphan --dry-run",
            "switchyard journal ship /mnt/orphan --control-plane https://cp:50051 --ca a --cert b --key c --wait-s 60",
            "switchyard tenant update acme --budget daily=50 --budget 24h=20 --user-limit-usd 5 --user-reset daily",
            "switchyard key update key_1 --trust-user --user-limit-usd 50 --user-reset daily",
            "switchyard provider update openai --credential-budget-usd 500 --credential-budget-reset monthly",
            "switchyard tenant list --output json",
            "switchyard tenant credits acme -5.00 --reason refund",
            "switchyard key create --tenant acme --name ci --limit-usd 5 --reset daily",
            "switchyard credential create mine --tenant acme --provider openai --secret-env OPENAI_API_KEY",
            "switchyard model get openai/gpt-5-mini",
            "switchyard route explain --model openai/gpt-5-mini --provider {\"sort\":\"price\"}",
            "switchyard usage",
            "switchyard usage lines --generation gen-1 --limit 5",
            "switchyard usage report --by model --by day --since 30d --format csv",
            "switchyard usage statement --tenant acme --month 2026-11",
            "switchyard usage export --tenant acme --month 2026-11 --format csv",
            "switchyard tenant credits acme -5.00 --kind refund --reason cancelled --force",
            "switchyard webhook create ops --url https://example.com/hook --threshold 80 --threshold 95",
            "switchyard webhook test ops --tenant acme",
            "switchyard drift --provider openai --since 7d --output json",
            "switchyard drift clear --provider openai",
            "switchyard apply -f FILE --dry-run --prune",
            "switchyard completions bash",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
