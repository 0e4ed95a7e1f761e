//! `switchyard audit`: who changed what.

use clap::{Args, Subcommand};
use switchyard_proto::v1;

use crate::{
    client::{Answer, Remote, pages},
    output::Column,
};

const COLUMNS: &[Column] = &[
    ("AT", "at"),
    ("ACTOR", "actor"),
    ("ACTION", "action"),
    ("NOUN", "noun"),
    ("RESOURCE", "resource"),
    ("TENANT", "tenant"),
    ("REVISION", "revision"),
    ("CHANGE", "change"),
];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Audit {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List changes, newest first
    List {
        /// Only this tenant's
        #[arg(long, default_value = "", hide_default_value = true)]
        tenant: String,
        /// Rows to show, at most
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
}

impl Audit {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn run(self) -> anyhow::Result<()> {
        let admin = &self.remote.connect().await?;
        let Verb::List { tenant, limit } = self.verb;
        let tenant = &tenant;
        let entries: Vec<v1::Entry> = pages(limit, |page_size, page_token| async move {
            let request = v1::ListEntriesRequest { tenant: tenant.clone(), page_size, page_token };
            let page = admin.audit().list_entries(request).await.answer()?;
            Ok((page.entries, page.next_page_token))
        })
        .await?;
        self.remote.output.list("Entry", &entries, COLUMNS)
    }
}
