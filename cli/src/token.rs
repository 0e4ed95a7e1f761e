//! `switchyard token`: who may use the admin API.

use clap::{Args, Subcommand, ValueEnum};
use switchyard_proto::v1;

use crate::{
    arguments::{Expiry, Limit, Mask},
    client::{Admin, Answer, Remote, pages},
    output::{Column, Output, print_json, to_json},
};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("ROLE", "role"),
    ("TENANT", "tenant"),
    ("LABEL", "label"),
    ("DISABLED", "disabled"),
    ("EXPIRES", "expires_at"),
    ("LAST USED", "last_used_at"),
    ("CREATED", "created_at"),
];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Token {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List admin tokens, oldest first
    List(Limit),
    /// Show one admin token
    Get {
        #[arg(value_name = "TOKEN_ID")]
        id: String,
    },
    /// Make an admin token and print it, this once
    Create {
        /// Shown to people
        #[arg(long)]
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        role: Role,
        /// The one tenant that it may see; required for a tenant admin
        #[arg(long, default_value = "", hide_default_value = true)]
        tenant: String,
        /// When it stops working: a time, one from now such as 7d, or `none`
        #[arg(long, value_name = "TIME")]
        expires: Option<Expiry>,
    },
    /// Change fields of an admin token
    Update {
        #[arg(value_name = "TOKEN_ID")]
        id: String,
        /// Shown to people
        #[arg(long)]
        name: Option<String>,
        /// Refuse it
        #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
        disabled: Option<bool>,
        /// When it stops working: a time, one from now such as 7d, or `none`
        #[arg(long, value_name = "TIME")]
        expires: Option<Expiry>,
        /// The revision that the change is based on [default: the present one]
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// Delete an admin token: it is refused from then on
    Delete {
        #[arg(value_name = "TOKEN_ID")]
        id: String,
        /// Only if this is still the revision
        #[arg(long, value_name = "N", default_value_t = 0)]
        revision: u64,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// Everything, for all tenants
    Operator,
    /// One tenant: its keys and usage
    TenantAdmin,
    /// Reads
    Viewer,
}

impl Token {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn run(self) -> anyhow::Result<()> {
        let admin = self.remote.connect().await?;
        let output = self.remote.output;
        match self.verb {
            Verb::List(Limit { limit }) => output.list("Token", &list(&admin, limit).await?, COLUMNS),
            Verb::Get { id } => output.one("Token", &get(&admin, id).await?),
            Verb::Create { name, role, tenant, expires } => {
                let expires_at = expires.and_then(Expiry::to_timestamp);
                let role = role.to_proto().into();
                create(&admin, output, v1::Token { name, role, tenant, expires_at, ..Default::default() })
                    .await
            }
            Verb::Update { id, name, disabled, expires, revision } => {
                let mut token = get(&admin, id.clone()).await?;
                let mut mask = Mask::default();
                mask.put("name", &mut token.name, name);
                mask.put("disabled", &mut token.disabled, disabled);
                mask.put("expires_at", &mut token.expires_at, expires.map(Expiry::to_timestamp));
                let revision = revision.unwrap_or(token.revision);
                let update_mask = mask.finish()?;
                let request = v1::UpdateTokenRequest { id, token: Some(token), update_mask, revision };
                output.one("Token", &admin.tokens().update_token(request).await.answer()?)
            }
            Verb::Delete { id, revision } => {
                admin.tokens().delete_token(v1::DeleteTokenRequest { id, revision }).await.answer()?;
                Ok(())
            }
        }
    }
}

async fn list(admin: &Admin, most: usize) -> anyhow::Result<Vec<v1::Token>> {
    pages(most, |page_size, page_token| async move {
        let request = v1::ListTokensRequest { page_size, page_token };
        let page = admin.tokens().list_tokens(request).await.answer()?;
        Ok((page.tokens, page.next_page_token))
    })
    .await
}

async fn get(admin: &Admin, id: String) -> anyhow::Result<v1::Token> {
    admin.tokens().get_token(v1::GetTokenRequest { id }).await.answer()
}

async fn create(admin: &Admin, output: Output, token: v1::Token) -> anyhow::Result<()> {
    let request = v1::CreateTokenRequest { token: Some(token) };
    let made = admin.tokens().create_token(request).await.answer()?;
    if output == Output::Json {
        print_json(&to_json("CreateTokenResponse", &made)?);
        return Ok(());
    }
    output.one("Token", &made.token.unwrap_or_default())?;
    println!("\n{}\n\nThis is the token. It is shown this once.", made.secret);
    Ok(())
}

impl Role {
    fn to_proto(self) -> v1::Role {
        match self {
            Self::Operator => v1::Role::Operator,
            Self::TenantAdmin => v1::Role::TenantAdmin,
            Self::Viewer => v1::Role::Viewer,
        }
    }
}
