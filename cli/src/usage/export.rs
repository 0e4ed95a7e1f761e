//! `switchyard usage export`: ledger lines, page after page, never all in memory.

use anyhow::bail;
use clap::Args;
use switchyard_control_plane::rest::csv;
use switchyard_proto::v1;

use crate::{
    arguments::Month,
    client::{Admin, Answer},
    output::{print_text, to_json},
    usage::{Times, Whose, report::Format},
};

/// Lines of one call.
const PAGE: u32 = 1_000;

/// Columns of the CSV form, and where the JSON form has them.
const COLUMNS: &[&str] = &[
    "at",
    "id",
    "attempt",
    "kind",
    "credit",
    "tenant",
    "key",
    "payer.kind",
    "payer.owner",
    "payer.period",
    "model",
    "endpoint",
    "provider",
    "tokens.prompt",
    "tokens.cached",
    "tokens.cache_write",
    "tokens.completion",
    "tokens.reasoning",
    "tokens.images",
    "cost_usd",
    "charge_usd",
    "house_usd",
    "provenance",
    "outcome",
    "reason",
    "actor",
];

/// What to export.
#[derive(Debug, Args)]
pub struct Export {
    /// How to print it
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    times: Times,
    /// All of a month in UTC, by the time of requests: 2026-11; in place of --since and --until
    #[arg(long, value_name = "MONTH", conflicts_with_all = ["since", "until"], help_heading = "Scope")]
    month: Option<Month>,
}

impl Export {
    /// Prints lines as they come, newest first.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn run(self, admin: &Admin) -> anyhow::Result<()> {
        if self.format == Format::Table {
            bail!("lines are exported as csv or json; `switchyard usage lines` shows a table");
        }
        let (since, until) = match self.month {
            Some(month) => (Some(month.first()), Some(month.after())),
            None => (self.times.since(), self.times.until()),
        };
        if self.format == Format::Csv {
            print_text(&csv::head(COLUMNS));
        }
        let mut page_token = String::new();
        loop {
            let request = v1::ListLinesRequest {
                tenant: self.whose.tenant.clone(),
                key: self.whose.key.clone(),
                generation: String::new(),
                since,
                until,
                page_size: PAGE,
                page_token,
            };
            let page = admin.usage().list_lines(request).await.answer()?;
            print_text(&self.shown(&page.lines)?);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(());
            }
        }
    }

    fn shown(&self, lines: &[v1::Line]) -> anyhow::Result<String> {
        let mut text = String::new();
        for line in lines {
            let line = to_json("Line", line)?;
            match self.format {
                Format::Csv => text.push_str(&csv::line(&line, COLUMNS)),
                Format::Json | Format::Table => text.push_str(&format!("{line}\n")),
            }
        }
        Ok(text)
    }
}
