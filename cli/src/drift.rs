//! `switchyard drift`: what providers answer that their adapters have never seen.

use clap::{Args, Subcommand};
use switchyard_proto::v1;

use crate::{
    arguments::Moment,
    client::{Admin, Answer, Remote, pages},
    output::Column,
};

const COLUMNS: &[Column] = &[
    ("PROVIDER", "provider"),
    ("ADAPTER", "adapter"),
    ("MODEL", "model"),
    ("KIND", "kind"),
    ("PATH", "path"),
    ("DETAIL", "detail"),
    ("ANSWERS", "answers"),
    ("FIRST SEEN", "first_seen"),
    ("LAST SEEN", "last_seen"),
];

/// Arguments of the noun. Without a verb what is new is listed.
#[derive(Debug, Args)]
pub struct Drift {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List fields, events, words and types that adapters have never seen, newest first
    List,
    /// Mark what was seen up to now as known, so that only what comes new is listed
    Clear,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Scope")]
struct Scope {
    /// Only this provider's
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    provider: String,
    /// Only this model's
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    model: String,
    /// Only this kind: field, event, word, type, media, overflow
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    kind: String,
    /// Only what was last seen since a time, or how long ago: 2h, 7d; for the list
    #[arg(long, global = true, value_name = "TIME")]
    since: Option<Moment>,
    /// List also what was marked as known
    #[arg(long, global = true)]
    all: bool,
    /// Rows to show, at most
    #[arg(long, global = true, value_name = "N", default_value_t = 100)]
    limit: usize,
}

impl Drift {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn run(self) -> anyhow::Result<()> {
        let (output, scope) = (self.remote.output, self.scope);
        match self.verb.unwrap_or(Verb::List) {
            Verb::List => {
                let admin = self.remote.connect().await?;
                output.list("Drift", &list(&admin, &scope).await?, COLUMNS)
            }
            Verb::Clear => {
                // Clearing more than was asked for would hide what nobody has looked at.
                anyhow::ensure!(scope.since.is_none() && !scope.all, "--since and --all are for the list");
                let admin = self.remote.connect().await?;
                output.one("ClearDriftResponse", &clear(&admin, scope).await?)
            }
        }
    }
}

async fn list(admin: &Admin, scope: &Scope) -> anyhow::Result<Vec<v1::Drift>> {
    pages(scope.limit, |page_size, page_token| async move {
        let request = v1::ListDriftRequest {
            provider: scope.provider.clone(),
            model: scope.model.clone(),
            kind: scope.kind.clone(),
            since: scope.since.map(Moment::to_timestamp),
            cleared: scope.all,
            page_size,
            page_token,
        };
        let page = admin.drift().list_drift(request).await.answer()?;
        Ok((page.drift, page.next_page_token))
    })
    .await
}

async fn clear(admin: &Admin, scope: Scope) -> anyhow::Result<v1::ClearDriftResponse> {
    let request = v1::ClearDriftRequest { provider: scope.provider, model: scope.model, kind: scope.kind };
    admin.drift().clear_drift(request).await.answer()
}
