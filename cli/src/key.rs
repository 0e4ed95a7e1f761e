//! `switchyard key`: what callers present.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use switchyard_proto::v1;

use crate::{
    arguments::{self, Expiry, Given, Limit, Mask, RateFlags, Reset},
    client::{Admin, Answer, Remote, pages},
    output::{Column, Output, print_json, to_json},
};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("LABEL", "label"),
    ("DISABLED", "disabled"),
    ("LIMIT", "limit.usd"),
    ("RESET", "limit.reset"),
    ("USED", "usage_usd"),
    ("EXPIRES", "expires_at"),
    ("REVISION", "revision"),
    ("CREATED", "created_at"),
];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Key {
    #[command(subcommand)]
    verb: Verb,
    /// The tenant that the key belongs to
    #[arg(long, global = true, default_value = "dev", help_heading = "Scope")]
    tenant: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List a tenant's keys, oldest first
    List(Limit),
    /// Show one key
    Get {
        #[arg(value_name = "KEY_ID")]
        id: String,
    },
    /// Make a key and print it, this once
    Create {
        /// Unique in its tenant
        #[arg(long)]
        name: String,
        /// A key brought from elsewhere, at least 32 characters; other users of this machine can see it
        #[arg(long, value_name = "SECRET", conflicts_with = "secret_file")]
        secret: Option<String>,
        /// A file with a key brought from elsewhere; `-` is stdin
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        #[command(flatten)]
        fields: Fields,
    },
    /// Change fields of a key
    Update {
        #[arg(value_name = "KEY_ID")]
        id: String,
        /// Shown to people
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        fields: Fields,
        /// The revision that the change is based on [default: the present one]
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// Delete a key: it is refused from then on
    Delete {
        #[arg(value_name = "KEY_ID")]
        id: String,
        /// Only if this is still the revision
        #[arg(long, value_name = "N", default_value_t = 0)]
        revision: u64,
    },
}

#[derive(Debug, Args)]
struct Fields {
    /// Refuse its requests
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
    /// Most that it may spend, or `none`
    #[arg(long = "limit-usd", value_name = "USD")]
    limit: Option<String>,
    /// When the limit starts afresh, at 00:00 UTC
    #[arg(long, value_enum)]
    reset: Option<Reset>,
    /// When it stops working: a time, one from now such as 7d, or `none`
    #[arg(long, value_name = "TIME")]
    expires: Option<Expiry>,
    /// A model that it may use, `author/*` for all of one author; repeatable, "" clears
    #[arg(long = "allow-model", value_name = "MODEL")]
    allowed_models: Vec<String>,
    /// Count what the tenant's own credentials pay for on the limits, too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    include_byok_in_limit: Option<bool>,
    /// The request's `user` says who spends; for keys whose callers cannot choose it freely
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    trust_user: Option<bool>,
    /// Most that each user of the key may spend, or `none`
    #[arg(long = "user-limit-usd", value_name = "USD")]
    user_limit: Option<String>,
    /// When users' limits start afresh, at 00:00 UTC
    #[arg(long, value_enum)]
    user_reset: Option<Reset>,
    #[command(flatten)]
    rates: RateFlags,
}

impl Key {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn run(self) -> anyhow::Result<()> {
        let admin = self.remote.connect().await?;
        let (output, tenant) = (self.remote.output, self.tenant);
        match self.verb {
            Verb::List(Limit { limit }) => output.list("Key", &list(&admin, &tenant, limit).await?, COLUMNS),
            Verb::Get { id } => output.one("Key", &get(&admin, tenant, id).await?),
            Verb::Create { name, secret, secret_file, fields } => {
                let secret = Given::of(secret, secret_file).map(Given::read).transpose()?;
                create(&admin, output, tenant, name, secret, fields).await
            }
            Verb::Update { id, name, fields, revision } => {
                let mut key = get(&admin, tenant.clone(), id.clone()).await?;
                let mut mask = Mask::default();
                mask.put("name", &mut key.name, name);
                fields.put(&mut key, &mut mask);
                let revision = revision.unwrap_or(key.revision);
                let update_mask = mask.finish()?;
                let request = v1::UpdateKeyRequest { tenant, id, key: Some(key), update_mask, revision };
                output.one("Key", &admin.keys().update_key(request).await.answer()?)
            }
            Verb::Delete { id, revision } => {
                admin.keys().delete_key(v1::DeleteKeyRequest { tenant, id, revision }).await.answer()?;
                Ok(())
            }
        }
    }
}

/// A tenant's keys, up to a number.
///
/// # Errors
/// What the control plane refused.
pub async fn list(admin: &Admin, tenant: &str, most: usize) -> anyhow::Result<Vec<v1::Key>> {
    pages(most, |page_size, page_token| async move {
        let request = v1::ListKeysRequest { tenant: tenant.to_owned(), page_size, page_token };
        let page = admin.keys().list_keys(request).await.answer()?;
        Ok((page.keys, page.next_page_token))
    })
    .await
}

async fn get(admin: &Admin, tenant: String, id: String) -> anyhow::Result<v1::Key> {
    admin.keys().get_key(v1::GetKeyRequest { tenant, id }).await.answer()
}

async fn create(
    admin: &Admin,
    output: Output,
    tenant: String,
    name: String,
    secret: Option<String>,
    fields: Fields,
) -> anyhow::Result<()> {
    let mut key = v1::Key { name, ..Default::default() };
    fields.put(&mut key, &mut Mask::default());
    let request = v1::CreateKeyRequest { tenant, key: Some(key), secret: secret.unwrap_or_default() };
    let made = admin.keys().create_key(request).await.answer()?;
    if output == Output::Json {
        print_json(&to_json("CreateKeyResponse", &made)?);
        return Ok(());
    }
    output.one("Key", &made.key.unwrap_or_default())?;
    if !made.secret.is_empty() {
        println!("\n{}\n\nThis is the key. It is shown this once.", made.secret);
    }
    if !made.served_everywhere {
        println!("Some data plane has not confirmed it yet; `switchyard fleet instances` tells which.");
    }
    Ok(())
}

impl Fields {
    fn put(self, key: &mut v1::Key, mask: &mut Mask) {
        let limit = arguments::limit(key.limit.clone(), self.limit.as_deref(), self.reset);
        let user_limit =
            arguments::limit(key.user_limit.clone(), self.user_limit.as_deref(), self.user_reset);
        mask.put("disabled", &mut key.disabled, self.disabled);
        mask.put("limit", &mut key.limit, limit);
        mask.put("expires_at", &mut key.expires_at, self.expires.map(Expiry::to_timestamp));
        mask.put_list("allowed_models", &mut key.allowed_models, self.allowed_models);
        mask.put("include_byok_in_limit", &mut key.include_byok_in_limit, self.include_byok_in_limit);
        mask.put("trust_user", &mut key.trust_user, self.trust_user);
        mask.put("user_limit", &mut key.user_limit, user_limit);
        let rates = self.rates.over(key.rates);
        mask.put("rates", &mut key.rates, rates.map(Some));
    }
}
