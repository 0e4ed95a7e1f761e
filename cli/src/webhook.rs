//! `switchyard webhook`: where events about money are sent, and what became of them.

use std::{path::PathBuf, time::Duration};

use anyhow::bail;
use clap::{Args, Subcommand};
use switchyard_proto::v1;
use tokio::time::{Instant, sleep};

use crate::{
    arguments::{Given, Limit, Mask},
    client::{Admin, Answer, Remote, pages},
    output::{Column, Output, print_text},
};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("TENANT", "tenant"),
    ("URL", "url"),
    ("EVENTS", "events"),
    ("THRESHOLDS", "thresholds"),
    ("LOW BALANCE", "low_balance_usd"),
    ("DISABLED", "disabled"),
    ("REVISION", "revision"),
    ("CREATED", "created_at"),
];

const DELIVERIES: &[Column] = &[
    ("CREATED", "created_at"),
    ("ID", "id"),
    ("TYPE", "type"),
    ("STATE", "state"),
    ("TRIES", "tries"),
    ("STATUS", "status"),
    ("NEXT", "next_at"),
    ("ERROR", "error"),
];

/// How long `test` waits for what becomes of its event: one try, and some time for the job.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Webhook {
    #[command(subcommand)]
    verb: Verb,
    /// The tenant that the webhook belongs to [default: none, the operator's, which hears of all tenants]
    #[arg(long, global = true, default_value = "", hide_default_value = true, help_heading = "Scope")]
    tenant: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List webhooks of one owner, oldest first
    List(Limit),
    /// Show one webhook; its secret never comes back
    Get {
        #[arg(value_name = "WEBHOOK_ID")]
        id: String,
    },
    /// Make a webhook; its secret is shown this once, unless you bring one
    Create {
        /// Letters, digits and `-_.`, unique with its owner [default: one is made]
        #[arg(value_name = "WEBHOOK_ID", default_value = "", hide_default_value = true)]
        id: String,
        #[command(flatten)]
        fields: Box<Fields>,
    },
    /// Change fields of a webhook
    Update {
        #[arg(value_name = "WEBHOOK_ID")]
        id: String,
        #[command(flatten)]
        fields: Box<Fields>,
        /// The revision that the change is based on [default: the present one]
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// Delete a webhook, its secret at once
    Delete {
        #[arg(value_name = "WEBHOOK_ID")]
        id: String,
        /// Only if this is still the revision
        #[arg(long, value_name = "N", default_value_t = 0)]
        revision: u64,
    },
    /// Send a test event, and say what became of it
    Test {
        #[arg(value_name = "WEBHOOK_ID")]
        id: String,
    },
    /// List what was sent, newest first
    Deliveries {
        #[arg(value_name = "WEBHOOK_ID")]
        id: String,
        #[command(flatten)]
        limit: Limit,
    },
}

#[derive(Debug, Args)]
struct Fields {
    /// Where events are sent: https://…
    #[arg(long)]
    url: Option<String>,
    /// Shown to people
    #[arg(long)]
    description: Option<String>,
    /// Send nothing for now
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
    /// A type of events to send: budget.threshold, credits.low; repeatable, "" for all
    #[arg(long = "event", value_name = "TYPE")]
    events: Vec<String>,
    /// Percent of a limit to be told of; repeatable [default: 80 and 100]
    #[arg(long = "threshold", value_name = "PERCENT")]
    thresholds: Vec<u32>,
    /// USD of credits left to be told of; "" for never
    #[arg(long, value_name = "USD")]
    low_balance_usd: Option<String>,
    /// What signs events: whsec_ and base64, from a file; `-` is stdin [default: one is made]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl Webhook {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused, and for `test` an event that did not arrive.
    pub async fn run(self) -> anyhow::Result<()> {
        let admin = self.remote.connect().await?;
        let (output, tenant) = (self.remote.output, self.tenant);
        match self.verb {
            Verb::List(Limit { limit }) => {
                output.list("Webhook", &list(&admin, &tenant, limit).await?, COLUMNS)
            }
            Verb::Get { id } => output.one("Webhook", &get(&admin, tenant, id).await?),
            Verb::Create { id, fields } => create(&admin, output, (tenant, id), *fields).await,
            Verb::Update { id, fields, revision } => {
                let mut webhook = get(&admin, tenant.clone(), id.clone()).await?;
                let revision = revision.unwrap_or(webhook.revision);
                let mut mask = Mask::default();
                fields.put(&mut webhook, &mut mask)?;
                let update_mask = mask.finish()?;
                let webhook = Some(webhook);
                let request = v1::UpdateWebhookRequest { tenant, id, webhook, update_mask, revision };
                output.one("Webhook", &admin.webhooks().update_webhook(request).await.answer()?)
            }
            Verb::Delete { id, revision } => {
                let request = v1::DeleteWebhookRequest { tenant, id, revision };
                admin.webhooks().delete_webhook(request).await.answer()?;
                Ok(())
            }
            Verb::Test { id } => test(&admin, output, tenant, id).await,
            Verb::Deliveries { id, limit } => {
                let found = deliveries(&admin, (&tenant, &id), limit.limit).await?;
                output.list("Delivery", &found, DELIVERIES)
            }
        }
    }
}

impl Fields {
    fn put(self, webhook: &mut v1::Webhook, mask: &mut Mask) -> anyhow::Result<()> {
        let secret = Given::of(None, self.secret_file).map(Given::read).transpose()?;
        mask.put("url", &mut webhook.url, self.url);
        mask.put("description", &mut webhook.description, self.description);
        mask.put("disabled", &mut webhook.disabled, self.disabled);
        mask.put_list("events", &mut webhook.events, self.events);
        let thresholds = (!self.thresholds.is_empty()).then_some(self.thresholds);
        mask.put("thresholds", &mut webhook.thresholds, thresholds);
        mask.put("low_balance_usd", &mut webhook.low_balance_usd, self.low_balance_usd);
        mask.put("secret", &mut webhook.secret, secret);
        Ok(())
    }
}

async fn create(
    admin: &Admin,
    output: Output,
    (tenant, id): (String, String),
    fields: Fields,
) -> anyhow::Result<()> {
    let mut webhook = v1::Webhook { id, ..Default::default() };
    fields.put(&mut webhook, &mut Mask::default())?;
    let request = v1::CreateWebhookRequest { tenant, webhook: Some(webhook) };
    let made = admin.webhooks().create_webhook(request).await.answer()?;
    match output {
        Output::Json => output.one("CreateWebhookResponse", &made),
        Output::Table => {
            output.one("Webhook", &made.webhook.unwrap_or_default())?;
            if !made.secret.is_empty() {
                print_text(&format!("\nIts secret, shown this once:\n  {}\n", made.secret));
            }
            Ok(())
        }
    }
}

async fn list(admin: &Admin, tenant: &str, most: usize) -> anyhow::Result<Vec<v1::Webhook>> {
    pages(most, |page_size, page_token| async move {
        let request = v1::ListWebhooksRequest { tenant: tenant.to_owned(), page_size, page_token };
        let page = admin.webhooks().list_webhooks(request).await.answer()?;
        Ok((page.webhooks, page.next_page_token))
    })
    .await
}

async fn get(admin: &Admin, tenant: String, id: String) -> anyhow::Result<v1::Webhook> {
    admin.webhooks().get_webhook(v1::GetWebhookRequest { tenant, id }).await.answer()
}

async fn deliveries(
    admin: &Admin,
    (tenant, id): (&str, &str),
    most: usize,
) -> anyhow::Result<Vec<v1::Delivery>> {
    pages(most, |page_size, page_token| async move {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        let request = v1::ListDeliveriesRequest { tenant, id, page_size, page_token };
        let page = admin.webhooks().list_deliveries(request).await.answer()?;
        Ok((page.deliveries, page.next_page_token))
    })
    .await
}

/// Waits until the event was tried.
async fn test(admin: &Admin, output: Output, tenant: String, id: String) -> anyhow::Result<()> {
    let request = v1::TestWebhookRequest { tenant: tenant.clone(), id: id.clone() };
    let mut delivery = admin.webhooks().test_webhook(request).await.answer()?;
    let until = Instant::now() + PATIENCE;
    while delivery.state == "pending" && delivery.error.is_empty() && Instant::now() < until {
        sleep(LOOK_EVERY).await;
        let known = deliveries(admin, (&tenant, &id), 100).await?;
        delivery = known.into_iter().find(|known| known.id == delivery.id).unwrap_or(delivery);
    }
    output.one("Delivery", &delivery)?;
    match delivery.state.as_str() {
        "delivered" => Ok(()),
        _ if delivery.error.is_empty() => bail!("the event has not been tried yet; is the webhook disabled?"),
        _ => bail!("the event did not arrive: {}", delivery.error),
    }
}
