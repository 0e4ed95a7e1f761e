//! `switchyard usage`: what was asked, what it cost and who paid.

use clap::{Args, Subcommand};
use switchyard_proto::v1;

use crate::{
    arguments::Moment,
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
    scope: Scope,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List finished requests, newest first
    Generations,
    /// Show one finished request
    Get {
        /// `gen-…`
        id: String,
    },
    /// List ledger lines, newest first: one per attempt, and one per credit movement
    Lines {
        /// Only those of one finished request, `gen-…`
        #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
        generation: String,
    },
    /// List accounts with their balances
    Accounts,
    /// Add usage up over days, by model, key, user and so on
    Report(report::Report),
    /// A tenant's credits over a month: opening, what moved, closing
    Statement {
        /// In UTC: 2026-11
        #[arg(long, value_name = "MONTH")]
        month: String,
    },
    /// Print ledger lines as CSV or JSON, as many as there are
    Export(export::Export),
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Scope")]
struct Scope {
    /// Only this tenant's
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    tenant: String,
    /// Only this key's, `key_…`
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    key: String,
    /// Only this model's
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    model: String,
    /// A time, or how long ago: 2h, 7d
    #[arg(long, global = true, value_name = "TIME")]
    since: Option<Moment>,
    /// A time, or how long ago
    #[arg(long, global = true, value_name = "TIME")]
    until: Option<Moment>,
    /// Rows to show, at most
    #[arg(long, global = true, value_name = "N", default_value_t = 20)]
    limit: usize,
}

impl Usage {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn run(self) -> anyhow::Result<()> {
        let admin = self.remote.connect().await?;
        let (output, scope) = (self.remote.output, self.scope);
        match self.verb.unwrap_or(Verb::Generations) {
            Verb::Generations => output.list("Generation", &generations(&admin, &scope).await?, GENERATIONS),
            Verb::Get { id } => {
                let request = v1::GetGenerationRequest { id };
                output.one("Generation", &admin.usage().get_generation(request).await.answer()?)
            }
            Verb::Lines { generation } => {
                output.list("Line", &lines(&admin, &scope, &generation).await?, LINES)
            }
            Verb::Report(report) => report.run(&admin, &scope, output).await,
            Verb::Statement { month } => {
                if scope.tenant.is_empty() {
                    anyhow::bail!("name the tenant: --tenant ID");
                }
                report::statement(&admin, output, &scope.tenant, &month).await
            }
            Verb::Export(export) => export.run(&admin, &scope).await,
            Verb::Accounts => output.list("Account", &accounts(&admin, &scope).await?, ACCOUNTS),
        }
    }
}

async fn generations(admin: &Admin, scope: &Scope) -> anyhow::Result<Vec<v1::Generation>> {
    pages(scope.limit, |page_size, page_token| async move {
        let request = v1::ListGenerationsRequest {
            tenant: scope.tenant.clone(),
            key: scope.key.clone(),
            model: scope.model.clone(),
            since: scope.since.map(Moment::to_timestamp),
            until: scope.until.map(Moment::to_timestamp),
            page_size,
            page_token,
        };
        let page = admin.usage().list_generations(request).await.answer()?;
        Ok((page.generations, page.next_page_token))
    })
    .await
}

async fn lines(admin: &Admin, scope: &Scope, generation: &str) -> anyhow::Result<Vec<v1::Line>> {
    pages(scope.limit, |page_size, page_token| async move {
        let request = v1::ListLinesRequest {
            tenant: scope.tenant.clone(),
            key: scope.key.clone(),
            generation: generation.to_owned(),
            since: scope.since.map(Moment::to_timestamp),
            until: scope.until.map(Moment::to_timestamp),
            page_size,
            page_token,
        };
        let page = admin.usage().list_lines(request).await.answer()?;
        Ok((page.lines, page.next_page_token))
    })
    .await
}

async fn accounts(admin: &Admin, scope: &Scope) -> anyhow::Result<Vec<v1::Account>> {
    pages(scope.limit, |page_size, page_token| async move {
        let request = v1::ListAccountsRequest { tenant: scope.tenant.clone(), page_size, page_token };
        let page = admin.usage().list_accounts(request).await.answer()?;
        Ok((page.accounts, page.next_page_token))
    })
    .await
}
