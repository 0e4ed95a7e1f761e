//! The file of `switchyard apply`, as people write it.
//!
//! Unknown fields are refused; texts may be written as plain YAML scalars (`input: 0.25`). Meaning is the control
//! plane's business: only the form is checked here. `manifest` turns a file into what goes over the wire.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_yaml_ng::Value;
use switchyard_proto::secret::Secret;

mod credential;
mod webhook;

pub use crate::apply::file::{credential::Credential, webhook::Webhook};
use crate::apply::{
    place::{Fault, Place},
    policy::Policy,
    price::{Price, Rule},
    variables,
};

/// Everything that a file can say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<Provider>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<Tenant>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<Webhook>,
}

/// A configured upstream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub id: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub display_name: String,
    /// A row of the built-in catalogue, which says what is not said here.
    #[serde(default, skip_serializing_if = "is_default")]
    pub profile: String,
    /// Required without a profile.
    #[serde(default, skip_serializing_if = "is_default")]
    pub adapter: String,
    /// May hold `${NAME}`. Required without a profile.
    #[serde(default, skip_serializing_if = "is_default")]
    pub base_url: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub auth: String,
    /// May hold `${NAME}`.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "expose",
        skip_serializing_if = "Option::is_none"
    )]
    pub credential: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_policy: Option<DataPolicy>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub region: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub disabled: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub quirks: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub connect_timeout_ms: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers_timeout_ms: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub first_content_timeout_ms: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub idle_timeout_ms: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub total_timeout_ms: u64,
    /// A streamed answer that is slower over ten seconds has failed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_tokens_per_second: f64,
    /// Of its credential.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rates: Rates,
    /// What each of its credentials may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_budget: Option<Limit>,
}

/// What a provider does with prompts; absent means unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataPolicy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retains_prompts: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trains: Option<bool>,
    /// It keeps nothing at all; absent: as `retains_prompts` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zdr: Option<bool>,
}

/// What callers ask for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub id: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub input_modalities: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub output_modalities: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub tokenizer: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub aliases: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub disabled: bool,
    /// Its text may train other models; absent means unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillable: Option<bool>,
    /// Of all callers together.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rates: Rates,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
}

/// A model at one provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// By default the provider's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub id: String,
    pub provider: String,
    pub upstream_id: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub context_length: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_output_tokens: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub price: Price,
    #[serde(default, skip_serializing_if = "is_default")]
    pub supported_parameters: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub quantization: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub cancel_stops_billing: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub disabled: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub quirks: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub input_modalities: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub billing: Billing,
    /// A tier of the provider's, e.g. `priority`; reached by opt-in alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service_tier: String,
}

/// What the provider counts beyond the visible prompt, in tokens; for upper bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Billing {
    #[serde(skip_serializing_if = "is_default")]
    pub hidden_tool_tokens: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub tokens_per_image: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub tokens_per_audio_kib: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub tokens_per_file: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub tokens_per_video: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub max_searches: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub max_searches_unasked: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub step_tokens: Option<u64>,
}

/// A customer organisation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    pub id: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub disabled: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub rates: Rates,
    /// By default true where `credits` are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepaid: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub markup_ppm: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub allowed_models: Vec<String>,
    /// Provider slugs; by default any.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allowed_providers: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignored_providers: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub zdr: bool,
    /// `allow` or `deny`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub data_collection: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub allowed_regions: Vec<String>,
    /// Over `markup_ppm`; the first rule that covers model and provider holds.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub price_book: Vec<Rule>,
    /// What it may spend over windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub include_byok_in_budgets: bool,
    /// For each of its users, over all keys that trust the request's `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_limit: Option<Limit>,
    /// USD granted when the tenant is first made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
}

/// What callers present; found by its name in the tenant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub name: String,
    /// May hold `${NAME}`; absent: one is made and shown once.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "expose",
        skip_serializing_if = "Option::is_none"
    )]
    pub secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub disabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub rates: Rates,
    #[serde(default, skip_serializing_if = "is_default")]
    pub allowed_models: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub include_byok_in_limit: bool,
    /// The request's `user` says who spends.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trust_user: bool,
    /// For each user of this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_limit: Option<Limit>,
}

/// A spending limit over a window: `daily`, `weekly`, `monthly`, or the last hours or days, `24h`, `7d`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub window: String,
    pub usd: String,
}

/// A spending limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub usd: String,
    #[serde(default)]
    pub reset: Reset,
}

/// When a limit starts afresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    #[default]
    Never,
    Daily,
    Weekly,
    Monthly,
}

/// Ceilings; absent means none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
}

impl File {
    /// Reads the YAML form.
    ///
    /// # Errors
    /// Names line and field of the first thing that cannot be taken; values are never shown.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.lines().all(|line| matches!(line.trim().chars().next(), None | Some('#'))) {
            return Err(Fault { place: Place::default(), reason: "the file is empty".to_owned() });
        }
        let file: Self =
            serde_yaml_ng::from_str(&variables::veil(text)).map_err(|error| Fault::of_yaml(&error))?;
        match file.incomplete() {
            Some((place, field)) => Err(Fault::at(text, place, format!("missing field `{field}`"))),
            None => Ok(file.unveiled()),
        }
    }

    /// The first provider that neither says nor takes from a profile what it must have.
    fn incomplete(&self) -> Option<(String, &'static str)> {
        let lacks = |(index, provider): (usize, &Provider)| {
            let fields = [("adapter", &provider.adapter), ("base_url", &provider.base_url)];
            let (field, _) = fields.into_iter().find(|(_, value)| value.is_empty())?;
            provider.profile.is_empty().then(|| (format!("providers[{index}]"), field))
        };
        self.providers.iter().enumerate().find_map(lacks)
    }

    /// The file with all its texts as they were written.
    fn unveiled(self) -> Self {
        let plain = serde_yaml_ng::to_value(&self).map(unveil).and_then(serde_yaml_ng::from_value);
        plain.expect("what was just read can be written and read again")
    }

    /// The YAML form.
    pub fn to_yaml(&self) -> String {
        serde_yaml_ng::to_string(self).expect("plain data has a YAML form")
    }
}

/// Every text and name in a value, unveiled.
fn unveil(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(variables::unveil(&text)),
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(unveil).collect()),
        Value::Mapping(fields) => {
            Value::Mapping(fields.into_iter().map(|(name, value)| (unveil(name), unveil(value))).collect())
        }
        plain => plain,
    }
}

/// A list that is named but has nothing in it is `null` in YAML.
pub(in crate::apply) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(Secret::new))
}

/// What is written is what was read: the names of variables, unless somebody keeps secrets in the file.
fn expose<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(to)
}

pub(in crate::apply) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
