//! `switchyard usage report` and `statement`: sums instead of rows.

use clap::{Args, ValueEnum};
use serde_json::Value;
use switchyard_control_plane::rest::csv;
use switchyard_proto::v1;

use crate::{
    client::{Admin, Answer},
    output::{Column, Output, print_text, table, to_json},
    usage::{Times, Whose},
};

const MEASURES: &[Column] = &[
    ("REQUESTS", "requests"),
    ("ERRORS", "errors"),
    ("TRIES", "attempts"),
    ("PROMPT", "tokens.prompt"),
    ("CACHED", "tokens.cached"),
    ("COMPLETION", "tokens.completion"),
    ("REASONING", "tokens.reasoning"),
    ("COST", "cost_usd"),
    ("CHARGE", "charge_usd"),
    ("BYOK COST", "byok_cost_usd"),
];

/// What sums are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    Day,
    Tenant,
    Key,
    Model,
    Provider,
    User,
}

impl By {
    fn column(self) -> Column {
        match self {
            Self::Day => ("DAY", "day"),
            Self::Tenant => ("TENANT", "tenant"),
            Self::Key => ("KEY", "key"),
            Self::Model => ("MODEL", "model"),
            Self::Provider => ("PROVIDER", "provider"),
            Self::User => ("USER", "user"),
        }
    }
}

/// The form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for each row, after one with their names
    Csv,
    /// JSON: an object on each line
    Json,
    /// Columns for people
    Table,
}

/// What to report.
#[derive(Debug, Args)]
pub struct Report {
    /// Tell the sums apart by this; repeatable
    #[arg(long, value_enum, value_name = "WHAT")]
    by: Vec<By>,
    /// How to print it [default: as --output says]
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    whose: Whose,
    /// Only this model's
    #[arg(long, default_value = "", hide_default_value = true, help_heading = "Scope")]
    model: String,
    /// Only this provider's
    #[arg(long, default_value = "", hide_default_value = true, help_heading = "Scope")]
    provider: String,
    /// Only this user's, in callers' own words
    #[arg(long, default_value = "", hide_default_value = true, help_heading = "Scope")]
    user: String,
    #[command(flatten)]
    times: Times,
}

impl Report {
    /// Asks and prints. Days are UTC; without `--since` the last 30.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn run(self, admin: &Admin, output: Output) -> anyhow::Result<()> {
        let columns: Vec<Column> =
            self.by.iter().map(|by| by.column()).chain(MEASURES.iter().copied()).collect();
        let request = v1::ReportUsageRequest {
            tenant: self.whose.tenant,
            key: self.whose.key,
            model: self.model,
            provider: self.provider,
            user: self.user,
            by: columns[..self.by.len()].iter().map(|(_, name)| (*name).to_owned()).collect(),
            since: self.times.since(),
            until: self.times.until(),
        };
        let report = admin.usage().report_usage(request).await.answer()?;
        match self.format {
            None if output == Output::Json => output.one("ReportUsageResponse", &report),
            Some(Format::Json) => output_lines(&report),
            Some(Format::Csv) => {
                let names: Vec<&str> = columns.iter().map(|(_, path)| *path).collect();
                print_text(&csv::head(&names));
                for row in rows(&report)? {
                    print_text(&csv::line(&row, &names));
                }
                Ok(())
            }
            None | Some(Format::Table) => shown(&report, &columns),
        }
    }
}

fn rows(report: &v1::ReportUsageResponse) -> anyhow::Result<Vec<Value>> {
    report.rows.iter().map(|row| to_json("UsageRow", row)).collect()
}

fn output_lines(report: &v1::ReportUsageResponse) -> anyhow::Result<()> {
    for row in rows(report)? {
        print_text(&format!("{row}\n"));
    }
    Ok(())
}

/// The table, its total, and what it is of.
fn shown(report: &v1::ReportUsageResponse, columns: &[Column]) -> anyhow::Result<()> {
    let mut all = rows(report)?;
    let is_summed = all.len() != 1;
    if let (true, Some(total)) = (is_summed, &report.total) {
        let mut total = to_json("UsageRow", total)?;
        if let (Some((_, name)), Some(fields)) = (columns.first(), total.as_object_mut())
            && fields.get(*name).is_some_and(Value::is_string)
        {
            fields.insert((*name).to_owned(), "total".into());
        }
        all.push(total);
    }
    print_text(&table(&all, columns));
    let until = report.complete_until.as_ref().and_then(switchyard_proto::clock::from_timestamp);
    let until = until.map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default();
    print_text(&format!("{} to {}, complete until {until} UTC\n", report.since, report.until));
    Ok(())
}

/// Prints a tenant's credits over a month.
///
/// # Errors
/// What the control plane refused.
pub async fn statement(admin: &Admin, output: Output, tenant: &str, month: &str) -> anyhow::Result<()> {
    let request = v1::GetStatementRequest { tenant: tenant.to_owned(), month: month.to_owned() };
    let statement = admin.usage().get_statement(request).await.answer()?;
    if output == Output::Json {
        return output.one("Statement", &statement);
    }
    let amounts = [
        ("opening", &statement.opening_usd),
        ("top-ups", &statement.top_ups_usd),
        ("adjustments", &statement.adjustments_usd),
        ("refunds", &statement.refunds_usd),
        ("charges", &statement.charges_usd),
        ("presumed", &statement.presumed_usd),
        ("closing", &statement.closing_usd),
    ];
    let amounts = amounts.map(|(name, usd)| vec![name.to_owned(), format!("{usd} USD")]);
    let over = if statement.is_over { "" } else { ", so far" };
    print_text(&format!(
        "{} {}{over}\n\n{}",
        statement.tenant,
        statement.month,
        crate::output::lines(&amounts)
    ));
    if !statement.movements.is_empty() {
        let rows = statement.movements.iter().map(|movement| to_json("CreditMovement", movement));
        let rows: Vec<Value> = rows.collect::<Result<_, _>>()?;
        let columns =
            &[("AT", "at"), ("KIND", "kind"), ("USD", "usd"), ("REASON", "reason"), ("BY", "actor")];
        print_text(&format!("\n{}", table(&rows, columns)));
    }
    Ok(())
}
