//! `switchyard credential`: a tenant's own credentials for the operator's providers.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use switchyard_proto::v1;

use crate::{
    arguments::{Given, Limit, Mask, RateFlags},
    client::{Admin, Answer, Remote, pages},
    output::Column,
    settings::environment,
};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("PROVIDER", "provider"),
    ("NEEDS SECRET", "needs_secret"),
    ("DISABLED", "disabled"),
    ("FALLBACK", "fallback"),
    ("ORDER", "order"),
    ("REQUIRED", "required"),
    ("REVISION", "revision"),
    ("CREATED", "created_at"),
];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Credential {
    #[command(subcommand)]
    verb: Verb,
    /// The tenant that the credential belongs to
    #[arg(long, global = true, default_value = "dev", help_heading = "Scope")]
    tenant: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List a tenant's credentials, oldest first
    List(Limit),
    /// Show one credential; its secret never comes back
    Get {
        #[arg(value_name = "CREDENTIAL_ID")]
        id: String,
    },
    /// Make a credential
    Create {
        /// Letters, digits and `-_.`, unique in the tenant [default: one is made]
        #[arg(value_name = "CREDENTIAL_ID", default_value = "", hide_default_value = true)]
        id: String,
        #[command(flatten)]
        fields: Box<Fields>,
    },
    /// Change fields of a credential
    Update {
        #[arg(value_name = "CREDENTIAL_ID")]
        id: String,
        #[command(flatten)]
        fields: Box<Fields>,
        /// The revision that the change is based on [default: the present one]
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// Delete a credential, its secret at once
    Delete {
        #[arg(value_name = "CREDENTIAL_ID")]
        id: String,
        /// Only if this is still the revision
        #[arg(long, value_name = "N", default_value_t = 0)]
        revision: u64,
    },
}

#[derive(Debug, Args)]
struct Fields {
    /// One of the operator's providers; another one asks for the secret again
    #[arg(long, value_name = "PROVIDER_ID")]
    provider: Option<String>,
    /// Shown to people
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    secret: SecretFlags,
    /// Do not use it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
    /// Use it after the shared endpoints, not before them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    fallback: Option<bool>,
    /// Its place among the tenant's: lower ones are used first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    order: Option<i32>,
    /// Never spend the tenant's credits on this provider, for the models that it covers
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    required: Option<bool>,
    /// A model that it is for, `author/*` for all of one author; repeatable, "" clears
    #[arg(long = "allow-model", value_name = "MODEL")]
    allowed_models: Vec<String>,
    /// A key of the tenant that it is for; repeatable, "" clears
    #[arg(long = "allow-key", value_name = "KEY_ID")]
    allowed_keys: Vec<String>,
    /// A value of the request's `user` that it is for; repeatable, "" clears
    #[arg(long = "allow-user", value_name = "USER")]
    allowed_users: Vec<String>,
    /// What the tenant's contract with the provider says: it keeps nothing
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    declared_zdr: Option<bool>,
    #[command(flatten)]
    rates: RateFlags,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct SecretFlags {
    /// The secret; other users of this machine can see it here
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    /// The environment variable that holds the secret
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
    /// A file with the secret; `-` is stdin
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl Credential {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn run(self) -> anyhow::Result<()> {
        let admin = self.remote.connect().await?;
        let (output, tenant) = (self.remote.output, self.tenant);
        match self.verb {
            Verb::List(Limit { limit }) => {
                output.list("Credential", &list(&admin, &tenant, limit).await?, COLUMNS)
            }
            Verb::Get { id } => output.one("Credential", &get(&admin, tenant, id).await?),
            Verb::Create { id, fields } => {
                let mut credential = v1::Credential { id, ..Default::default() };
                fields.put(&mut credential, &mut Mask::default())?;
                let request = v1::CreateCredentialRequest { tenant, credential: Some(credential) };
                output.one("Credential", &admin.credentials().create_credential(request).await.answer()?)
            }
            Verb::Update { id, fields, revision } => {
                let mut credential = get(&admin, tenant.clone(), id.clone()).await?;
                let mut mask = Mask::default();
                fields.put(&mut credential, &mut mask)?;
                let revision = revision.unwrap_or(credential.revision);
                let (credential, update_mask) = (Some(credential), mask.finish()?);
                let request = v1::UpdateCredentialRequest { tenant, id, credential, update_mask, revision };
                output.one("Credential", &admin.credentials().update_credential(request).await.answer()?)
            }
            Verb::Delete { id, revision } => {
                let request = v1::DeleteCredentialRequest { tenant, id, revision };
                admin.credentials().delete_credential(request).await.answer()?;
                Ok(())
            }
        }
    }
}

async fn list(admin: &Admin, tenant: &str, most: usize) -> anyhow::Result<Vec<v1::Credential>> {
    pages(most, |page_size, page_token| async move {
        let request = v1::ListCredentialsRequest { tenant: tenant.to_owned(), page_size, page_token };
        let page = admin.credentials().list_credentials(request).await.answer()?;
        Ok((page.credentials, page.next_page_token))
    })
    .await
}

async fn get(admin: &Admin, tenant: String, id: String) -> anyhow::Result<v1::Credential> {
    admin.credentials().get_credential(v1::GetCredentialRequest { tenant, id }).await.answer()
}

impl Fields {
    fn put(self, credential: &mut v1::Credential, mask: &mut Mask) -> anyhow::Result<()> {
        let secret = self.secret.read()?;
        mask.put("provider", &mut credential.provider, self.provider);
        mask.put("name", &mut credential.name, self.name);
        mask.put("secret", &mut credential.secret, secret);
        mask.put("disabled", &mut credential.disabled, self.disabled);
        mask.put("fallback", &mut credential.fallback, self.fallback);
        mask.put("order", &mut credential.order, self.order);
        mask.put("required", &mut credential.required, self.required);
        mask.put_list("allowed_models", &mut credential.allowed_models, self.allowed_models);
        mask.put_list("allowed_keys", &mut credential.allowed_keys, self.allowed_keys);
        mask.put_list("allowed_users", &mut credential.allowed_users, self.allowed_users);
        mask.put("declared_zdr", &mut credential.declared_zdr, self.declared_zdr.map(Some));
        let rates = self.rates.over(credential.rates);
        mask.put("rates", &mut credential.rates, rates.map(Some));
        Ok(())
    }
}

impl SecretFlags {
    fn read(self) -> anyhow::Result<Option<String>> {
        let named = self.secret_env.map(|name| {
            environment().remove(&name).ok_or_else(|| anyhow!("environment variable `{name}` is not set"))
        });
        let text = named.transpose()?.or(self.secret);
        Given::of(text, self.secret_file).map(Given::read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        fields: Fields,
    }

    fn parsed(arguments: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from([&["credential"], arguments].concat())
    }

    #[test]
    fn only_fields_that_were_given_are_named() {
        let line = parsed(&["--order", "-1", "--required", "--declared-zdr", "false", "--allow-key", ""]);
        let mut credential = v1::Credential { allowed_keys: vec!["key_1".into()], ..Default::default() };
        let mut mask = Mask::default();
        line.unwrap_or_else(|error| panic!("{error}")).fields.put(&mut credential, &mut mask).unwrap();
        let expected =
            v1::Credential { order: -1, required: true, declared_zdr: Some(false), ..Default::default() };
        assert_eq!(credential, expected);
        let paths = mask.finish().unwrap().unwrap().paths;
        assert_eq!(paths, ["order", "required", "allowed_keys", "declared_zdr"]);
    }

    #[test]
    fn a_secret_comes_by_one_way() {
        assert!(parsed(&["--secret", "a", "--secret-file", "-"]).is_err());
        assert!(parsed(&["--secret-env", "A", "--secret", "b"]).is_err());
        let unset = parsed(&["--secret-env", "SWITCHYARD_NOBODY_SETS_THIS"])
            .unwrap_or_else(|error| panic!("{error}"));
        let error = unset.fields.secret.read().unwrap_err();
        assert_eq!(error.to_string(), "environment variable `SWITCHYARD_NOBODY_SETS_THIS` is not set");
    }
}
