//! `switchyard usage`: what was asked, what it cost and who paid.

use clap::{Args, Subcommand};
use prost_types::Timestamp;
use switchyard_proto::v1;

use crate::{
    arguments::{Moment, WrongUsage},
    client::{Admin, Answer, Remote, pages},
    output::Column,
};

mod export;
mod report;

const GENERATIONS: &[Column] = &[
    ("AT", "admitted_at"),
    ("ID", "id"),
    ("TENANT", "tenant"),
    ("MODEL", "model"),
    ("PROVIDER", "provider"),
    ("STATUS", "status"),
    ("PROMPT", "tokens.prompt"),
    ("COMPLETION", "tokens.completion"),
    ("COST", "cost_usd"),
    ("CHARGE", "charge_usd"),
    ("TRIES", "attempts"),
    ("MS", "duration_ms"),
    ("ERROR", "error_type"),
];

const LINES: &[Column] = &[
    ("AT", "at"),
    ("ID", "id"),
    ("TRY", "attempt"),
    ("KIND", "kind"),
    ("TENANT", "tenant"),
    ("PAYER", "payer.owner"),
    ("MODEL", "model"),
    ("PROVIDER", "provider"),
    ("PROMPT", "tokens.prompt"),
    ("COMPLETION", "tokens.completion"),
    ("COST", "cost_usd"),
    ("CHARGE", "charge_usd"),
    ("HOUSE", "house_usd"),
    ("PROVENANCE", "provenance"),
    ("OUTCOME", "outcome"),
];

const ACCOUNTS: &[Column] = &[
    ("KIND", "account.kind"),
    ("OWNER", "account.owner"),
    ("PERIOD", "account.period"),
    ("TENANT", "tenant"),
    ("LIMIT", "limit_usd"),
    ("CHARGED", "charged_usd"),
    ("PRESUMED", "presumed_usd"),
    ("LENT", "lent_usd"),
];

/// Arguments of the noun. Without a verb the latest generations are listed.
#[derive(Debug, Args)]
pub struct Usage {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    latest: Generations,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List finished requests, newest first
    Generations(Generations),
    /// Show one finished request
    Get {
        /// `gen-…`
        id: String,
    },
    /// List ledger lines, newest first: one per attempt, and one per credit movement
    Lines(Lines),
    /// List accounts with their balances
    Accounts(Accounts),
    /// Add usage up over days, by model, key, user and so on
    Report(report::Report),
    /// A tenant's credits over a month: opening, what moved, closing
    Statement {
        /// Whose
        #[arg(long)]
        tenant: String,
        /// In UTC: 2026-11
        #[arg(long, value_name = "MONTH")]
        month: String,
    },
    /// Print ledger lines as CSV or JSON, as many as there are
    Export(export::Export),
}

/// Whose usage. Each verb has the filters that it heeds, and no others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Scope")]
struct Whose {
    /// Only this tenant's
    #[arg(long, default_value = "", hide_default_value = true)]
    tenant: String,
    /// Only this key's, `key_…`
    #[arg(long, default_value = "", hide_default_value = true)]
    key: String,
}

/// From when until when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Scope")]
struct Times {
    /// A time, or how long ago: 2h, 7d
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// A time, or how long ago
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

impl Times {
    fn since(self) -> Option<Timestamp> {
        self.since.map(Moment::to_timestamp)
    }

    fn until(self) -> Option<Timestamp> {
        self.until.map(Moment::to_timestamp)
    }
}

/// How many rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Scope")]
struct Rows {
    /// Rows to show, at most [default: 20]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Rows {
    fn most(self) -> usize {
        self.limit.unwrap_or(20)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
struct Generations {
    #[command(flatten)]
    whose: Whose,
    /// Only this model's
    #[arg(long, default_value = "", hide_default_value = true, help_heading = "Scope")]
    model: String,
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    rows: Rows,
}

#[derive(Debug, Args)]
struct Lines {
    /// Only those of one finished request, `gen-…`
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    generation: String,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    rows: Rows,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Scope")]
struct Accounts {
    /// Only this tenant's
    #[arg(long, default_value = "", hide_default_value = true)]
    tenant: String,
    #[command(flatten)]
    rows: Rows,
}

impl Usage {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// Filters before a verb, which nobody would heed; and what the control plane refused.
    pub async fn run(self) -> anyhow::Result<()> {
        let verb = chosen(self.verb, self.latest)?;
        let (admin, output) = (self.remote.connect().await?, self.remote.output);
        match verb {
            Verb::Generations(which) => {
                output.list("Generation", &generations(&admin, &which).await?, GENERATIONS)
            }
            Verb::Get { id } => {
                let request = v1::GetGenerationRequest { id };
                output.one("Generation", &admin.usage().get_generation(request).await.answer()?)
            }
            Verb::Lines(which) => output.list("Line", &lines(&admin, &which).await?, LINES),
            Verb::Report(report) => report.run(&admin, output).await,
            Verb::Statement { tenant, month } => report::statement(&admin, output, &tenant, &month).await,
            Verb::Export(export) => export.run(&admin).await,
            Verb::Accounts(which) => output.list("Account", &accounts(&admin, &which).await?, ACCOUNTS),
        }
    }
}

/// The verb, with its own filters: those in front of it are the filters of no verb.
fn chosen(verb: Option<Verb>, latest: Generations) -> Result<Verb, WrongUsage> {
    match verb {
        None => Ok(Verb::Generations(latest)),
        Some(verb) if latest == Generations::default() => Ok(verb),
        Some(_) => {
            Err(WrongUsage("filters go behind the verb, as in `switchyard usage lines --tenant acme`"))
        }
    }
}

async fn generations(admin: &Admin, which: &Generations) -> anyhow::Result<Vec<v1::Generation>> {
    pages(which.rows.most(), |page_size, page_token| async move {
        let request = v1::ListGenerationsRequest {
            tenant: which.whose.tenant.clone(),
            key: which.whose.key.clone(),
            model: which.model.clone(),
            since: which.times.since(),
            until: which.times.until(),
            page_size,
            page_token,
        };
        let page = admin.usage().list_generations(request).await.answer()?;
        Ok((page.generations, page.next_page_token))
    })
    .await
}

async fn lines(admin: &Admin, which: &Lines) -> anyhow::Result<Vec<v1::Line>> {
    pages(which.rows.most(), |page_size, page_token| async move {
        let request = v1::ListLinesRequest {
            tenant: which.whose.tenant.clone(),
            key: which.whose.key.clone(),
            generation: which.generation.clone(),
            since: which.times.since(),
            until: which.times.until(),
            page_size,
            page_token,
        };
        let page = admin.usage().list_lines(request).await.answer()?;
        Ok((page.lines, page.next_page_token))
    })
    .await
}

async fn accounts(admin: &Admin, which: &Accounts) -> anyhow::Result<Vec<v1::Account>> {
    pages(which.rows.most(), |page_size, page_token| async move {
        let request = v1::ListAccountsRequest { tenant: which.tenant.clone(), page_size, page_token };
        let page = admin.usage().list_accounts(request).await.answer()?;
        Ok((page.accounts, page.next_page_token))
    })
    .await
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        usage: Usage,
    }

    /// What is wrong with a line; `None`: it would be carried out.
    fn wrong(line: &str) -> Option<String> {
        match Line::try_parse_from(line.split(' ')) {
            Ok(line) => chosen(line.usage.verb, line.usage.latest).err().map(|error| error.to_string()),
            Err(error) => error.to_string().lines().next().map(str::to_owned),
        }
    }

    #[test]
    fn a_filter_that_a_verb_does_not_heed_is_refused() {
        for line in [
            "usage",
            "usage --tenant acme --key key_1 --model a/m --since 2h --until 1h --limit 5 --output json",
            "usage generations --tenant acme --key key_1 --model a/m --since 2h --until 1h --limit 5",
            "usage --output json lines --tenant acme --key key_1 --since 2h --until 1h --limit 5 --generation gen-1",
            "usage accounts --tenant acme --limit 5",
            "usage report --tenant acme --key key_1 --model a/m --since 2h --until 1h",
            "usage export --tenant acme --key key_1 --since 2h --until 1h",
            "usage statement --tenant acme --month 2026-11",
        ] {
            assert_eq!(wrong(line), None, "{line}");
        }
        for (line, argument) in [
            ("usage get gen-1 --tenant acme", "'--tenant'"),
            ("usage get gen-1 --limit 5", "'--limit'"),
            ("usage lines --model a/m", "'--model'"),
            ("usage accounts --key key_1", "'--key'"),
            ("usage accounts --since 2h", "'--since'"),
            ("usage report --limit 5", "'--limit'"),
            ("usage export --model a/m", "'--model'"),
            ("usage export --limit 5", "'--limit'"),
            ("usage export --month 2026-11 --since 2h", "'--since <TIME>'"),
            ("usage statement --tenant acme --month 2026-11 --key key_1", "'--key'"),
            ("usage statement --month 2026-11", "required"),
            ("usage --tenant acme lines", "behind the verb"),
        ] {
            let error = wrong(line).unwrap_or_else(|| panic!("{line} is carried out"));
            assert!(error.contains(argument), "{line}: {error}");
        }
    }
}
