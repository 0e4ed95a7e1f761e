//! `switchyard provider`: configured upstreams.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use switchyard_control_plane::catalogue;
use switchyard_proto::v1;

use crate::{
    arguments::{self, Given, Limit, Mask, RateFlags, Reset},
    client::{Admin, Answer, Remote, pages},
    output::Column,
};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("PROFILE", "profile"),
    ("ADAPTER", "adapter"),
    ("BASE URL", "base_url"),
    ("CREDENTIAL", "has_credential"),
    ("DISABLED", "disabled"),
    ("MANAGED BY", "managed_by"),
    ("REVISION", "revision"),
    ("CREATED", "created_at"),
];

const PROFILES: &[Column] = &[
    ("PROFILE", "id"),
    ("NAME", "display_name"),
    ("ADAPTER", "adapter"),
    ("BASE URL", "base_url"),
    ("CREDENTIAL", "credential_ref"),
];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Provider {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List providers, oldest first
    List(Limit),
    /// List the built-in profiles of this program, with what they fill in and the variable that usually holds the
    /// credential; asks no server
    Profiles,
    /// Show one provider; its credential never comes back
    Get { id: String },
    /// Make a provider
    Create {
        /// Lower-case letters, digits and hyphens
        id: String,
        #[command(flatten)]
        fields: Box<Fields>,
    },
    /// Change fields of a provider
    Update {
        id: String,
        #[command(flatten)]
        fields: Box<Fields>,
        /// The revision that the change is based on [default: the present one]
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// Delete a provider
    Delete {
        id: String,
        /// Only if this is still the revision
        #[arg(long, value_name = "N", default_value_t = 0)]
        revision: u64,
    },
}

#[derive(Debug, Args)]
struct Fields {
    /// A row of the built-in catalogue that fills in what is not said, e.g. `groq`; `provider profiles` lists them
    #[arg(long)]
    profile: Option<String>,
    /// The dialect that it speaks, e.g. `openai` or `anthropic`
    #[arg(long)]
    adapter: Option<String>,
    /// Origin and path prefix, e.g. `https://api.openai.com/v1`
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Its API key; other users of this machine can see it here
    #[arg(long, value_name = "SECRET", conflicts_with = "credential_file")]
    credential: Option<String>,
    /// A file with its API key; `-` is stdin
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// How the credential is shown: `bearer`, `x-api-key`, `header:NAME`, `google-api-key`, `google-oauth`, `sigv4`,
    /// `azure-key`, `entra` or `none` [default: the adapter's own way]
    #[arg(long, value_name = "SCHEME")]
    auth: Option<String>,
    /// Shown to callers [default: the id]
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Where it runs
    #[arg(long)]
    region: Option<String>,
    /// Send it no requests
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
    /// It keeps prompts
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    retains_prompts: Option<bool>,
    /// It trains on prompts
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    trains: Option<bool>,
    /// It keeps nothing at all [default: as --retains-prompts says]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    zdr: Option<bool>,
    /// An adapter quirk; repeatable, an empty value removes it
    #[arg(long = "quirk", value_name = "NAME=VALUE")]
    quirks: Vec<String>,
    /// Milliseconds; 0: the data plane's setting
    #[arg(long, value_name = "MS")]
    connect_timeout_ms: Option<u64>,
    /// Milliseconds; 0: the data plane's setting
    #[arg(long, value_name = "MS")]
    headers_timeout_ms: Option<u64>,
    /// Milliseconds; 0: the data plane's setting
    #[arg(long, value_name = "MS")]
    first_content_timeout_ms: Option<u64>,
    /// Milliseconds; 0: the data plane's setting
    #[arg(long, value_name = "MS")]
    idle_timeout_ms: Option<u64>,
    /// Milliseconds; 0: the data plane's setting
    #[arg(long, value_name = "MS")]
    total_timeout_ms: Option<u64>,
    /// A streamed answer that is slower than this over ten seconds has failed; 0: none is too slow
    #[arg(long, value_name = "TOKENS")]
    min_tokens_per_second: Option<f64>,
    #[command(flatten)]
    rates: RateFlags,
    /// Most that each of its credentials may cost, or `none`
    #[arg(long, value_name = "USD")]
    credential_budget_usd: Option<String>,
    /// When that budget starts afresh, at 00:00 UTC
    #[arg(long, value_enum)]
    credential_budget_reset: Option<Reset>,
}

impl Provider {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn run(self) -> anyhow::Result<()> {
        let output = self.remote.output;
        if let Verb::Profiles = self.verb {
            return output.list("Provider", &profiles(), PROFILES);
        }
        let admin = self.remote.connect().await?;
        match self.verb {
            Verb::Profiles => Ok(()),
            Verb::List(Limit { limit }) => output.list("Provider", &list(&admin, limit).await?, COLUMNS),
            Verb::Get { id } => output.one("Provider", &get(&admin, id).await?),
            Verb::Create { id, fields } => {
                let mut provider = v1::Provider { id, ..Default::default() };
                fields.put(&mut provider, &mut Mask::default())?;
                let request = v1::CreateProviderRequest { provider: Some(provider) };
                let made = admin.providers().create_provider(request).await.answer()?;
                output.one("Provider", &made.provider.unwrap_or_default())
            }
            Verb::Update { id, fields, revision } => {
                let mut provider = get(&admin, id.clone()).await?;
                let mut mask = Mask::default();
                fields.put(&mut provider, &mut mask)?;
                let revision = revision.unwrap_or(provider.revision);
                let update_mask = mask.finish()?;
                let request =
                    v1::UpdateProviderRequest { id, provider: Some(provider), update_mask, revision };
                output.one("Provider", &admin.providers().update_provider(request).await.answer()?)
            }
            Verb::Delete { id, revision } => {
                admin
                    .providers()
                    .delete_provider(v1::DeleteProviderRequest { id, revision })
                    .await
                    .answer()?;
                Ok(())
            }
        }
    }
}

/// The rows of the built-in catalogue as providers.
fn profiles() -> Vec<v1::Provider> {
    let row = |row: &catalogue::Provider| v1::Provider {
        id: row.id.clone(),
        display_name: row.display_name.clone(),
        adapter: row.adapter.clone(),
        base_url: row.base_url.clone(),
        auth: row.auth.clone(),
        credential_ref: row.credential_env.first().cloned().unwrap_or_default(),
        quirks: row.quirks.clone().into_iter().collect(),
        data_policy: row.data_policy.map(|policy| v1::DataPolicy {
            retains_prompts: Some(policy.retains_prompts),
            trains: Some(policy.trains),
            zdr: policy.zdr,
        }),
        ..v1::Provider::default()
    };
    catalogue::providers().iter().map(row).collect()
}

/// All providers, up to a number.
///
/// # Errors
/// What the control plane refused.
pub async fn list(admin: &Admin, most: usize) -> anyhow::Result<Vec<v1::Provider>> {
    pages(most, |page_size, page_token| async move {
        let request = v1::ListProvidersRequest { page_size, page_token };
        let page = admin.providers().list_providers(request).await.answer()?;
        Ok((page.providers, page.next_page_token))
    })
    .await
}

async fn get(admin: &Admin, id: String) -> anyhow::Result<v1::Provider> {
    admin.providers().get_provider(v1::GetProviderRequest { id }).await.answer()
}

impl Fields {
    fn put(self, provider: &mut v1::Provider, mask: &mut Mask) -> anyhow::Result<()> {
        let credential = Given::of(self.credential, self.credential_file).map(Given::read).transpose()?;
        mask.put("profile", &mut provider.profile, self.profile);
        mask.put("adapter", &mut provider.adapter, self.adapter);
        mask.put("base_url", &mut provider.base_url, self.base_url);
        mask.put("auth", &mut provider.auth, self.auth);
        mask.put("credential", &mut provider.credential, credential);
        mask.put("display_name", &mut provider.display_name, self.display_name);
        mask.put("region", &mut provider.region, self.region);
        mask.put("disabled", &mut provider.disabled, self.disabled);
        let told =
            v1::DataPolicy { retains_prompts: self.retains_prompts, trains: self.trains, zdr: self.zdr };
        let policy = data_policy(provider.data_policy, told);
        mask.put("data_policy", &mut provider.data_policy, policy.map(Some));
        let quirks = quirks(provider.quirks.clone(), &self.quirks)?;
        mask.put("quirks", &mut provider.quirks, (!self.quirks.is_empty()).then_some(quirks));
        mask.put("connect_timeout_ms", &mut provider.connect_timeout_ms, self.connect_timeout_ms);
        mask.put("headers_timeout_ms", &mut provider.headers_timeout_ms, self.headers_timeout_ms);
        let first_content = self.first_content_timeout_ms;
        mask.put("first_content_timeout_ms", &mut provider.first_content_timeout_ms, first_content);
        mask.put("idle_timeout_ms", &mut provider.idle_timeout_ms, self.idle_timeout_ms);
        mask.put("total_timeout_ms", &mut provider.total_timeout_ms, self.total_timeout_ms);
        let slowest = self.min_tokens_per_second;
        mask.put("min_tokens_per_second", &mut provider.min_tokens_per_second, slowest);
        let rates = self.rates.over(provider.rates);
        mask.put("rates", &mut provider.rates, rates.map(Some));
        let (usd, reset) = (self.credential_budget_usd.as_deref(), self.credential_budget_reset);
        let budget = arguments::limit(provider.credential_budget.clone(), usd, reset);
        mask.put("credential_budget", &mut provider.credential_budget, budget);
        Ok(())
    }
}

/// The policy as it was, changed by what was told; `None` if nothing was.
fn data_policy(before: Option<v1::DataPolicy>, told: v1::DataPolicy) -> Option<v1::DataPolicy> {
    let before = before.unwrap_or_default();
    (told != v1::DataPolicy::default()).then(|| v1::DataPolicy {
        retains_prompts: told.retains_prompts.or(before.retains_prompts),
        trains: told.trains.or(before.trains),
        zdr: told.zdr.or(before.zdr),
    })
}

/// Quirks as they were, changed by `NAME=VALUE`; an empty value removes one.
///
/// # Errors
/// For a text without `=`.
pub fn quirks<M>(mut before: M, given: &[String]) -> anyhow::Result<M>
where
    M: Extend<(String, String)> + IntoIterator<Item = (String, String)> + Default,
{
    for text in given {
        let Some((name, value)) = text.split_once('=') else { bail!("--quirk `{text}` is not NAME=VALUE") };
        let mut after: M = M::default();
        after.extend(before.into_iter().filter(|(other, _)| other != name));
        if !value.is_empty() {
            after.extend([(name.to_owned(), value.to_owned())]);
        }
        before = after;
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn profiles_are_listed_with_the_variable_of_their_credential() {
        let rows = profiles();
        let groq = rows.iter().find(|row| row.id == "groq").unwrap();
        assert_eq!((groq.credential_ref.as_str(), groq.adapter.as_str()), ("GROQ_API_KEY", "openai"));
        assert!(groq.base_url.starts_with("https://api.groq.com/"));
    }

    #[test]
    fn quirks_are_added_replaced_and_removed() {
        let before = HashMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let given = ["a=3", "b=", "c=4=5"].map(str::to_owned);
        let after = HashMap::from([("a".to_owned(), "3".to_owned()), ("c".to_owned(), "4=5".to_owned())]);
        assert_eq!(quirks(before, &given).unwrap(), after);
        assert!(quirks(HashMap::new(), &["a".to_owned()]).is_err());
    }
}
