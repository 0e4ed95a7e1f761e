//! A file as the control plane's `Manifest`, and back.
//!
//! Names of fields differ a little between the two: [`file_path`] turns a path that the control plane names into the file's.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use switchyard_proto::{secret::Secret, v1};

mod credential;
mod webhook;

use crate::apply::{
    file::{Billing, Budget, DataPolicy, Endpoint, File, Key, Limit, Model, Provider, Rates, Reset, Tenant},
    policy::Policy,
    price::{Price, Rule},
    variables::{self, ExpandError, Variables},
};

/// A field that cannot be sent, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadField {
    pub field: String,
    pub reason: String,
}

/// The manifest of a file, with `${NAME}` replaced.
///
/// A secret that is one variable alone, and not set, is sent as that variable's name: the control plane keeps a
/// stored one, and refuses the file where there is none.
///
/// # Errors
/// Names the first field that cannot be expanded.
pub fn of_file(file: &File, variables: &Variables) -> Result<v1::Manifest, BadField> {
    let named = |noun: &str, index: usize| format!("{noun}[{index}]");
    let providers = file.providers.iter().enumerate();
    let tenants = file.tenants.iter().enumerate();
    let webhooks = file.webhooks.iter().enumerate();
    Ok(v1::Manifest {
        providers: providers
            .map(|(index, provider)| {
                provider.to_proto(variables).map_err(|bad| bad.within(&named("providers", index)))
            })
            .collect::<Result<_, _>>()?,
        models: file.models.iter().map(Model::to_proto).collect(),
        tenants: tenants
            .map(|(index, tenant)| {
                tenant.to_proto(variables).map_err(|bad| bad.within(&named("tenants", index)))
            })
            .collect::<Result<_, _>>()?,
        policies: file.policies.iter().map(Policy::to_proto).collect(),
        webhooks: webhooks
            .map(|(index, webhook)| {
                webhook.to_proto(variables).map_err(|bad| bad.within(&named("webhooks", index)))
            })
            .collect::<Result<_, _>>()?,
    })
}

/// The path of a field in the file, from its path in the manifest.
pub fn file_path(field: &str) -> String {
    let field = field.strip_prefix("manifest.").unwrap_or(field);
    field
        .replace("].model.", "].")
        .replace("].tenant.", "].")
        .replace("].key.", "].")
        .replace("].credential.", "].")
        .replace("].webhook.", "].")
        .replace("].credits_usd", "].credits")
        .replace("].secret_ref", "].secret")
        .replace("].credential_ref", "].credential")
}

impl BadField {
    fn new(field: &str, reason: impl ToString) -> Self {
        Self { field: field.to_owned(), reason: reason.to_string() }
    }

    fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), ..self }
    }
}

/// A secret's value and the variable that names it; either may be empty.
fn secret(field: &str, given: Option<&Secret>, variables: &Variables) -> Result<(String, String), BadField> {
    let text = given.map_or("", Secret::expose);
    let name = variables::only_name(text).unwrap_or_default().to_owned();
    match variables::expand(text, variables) {
        Ok(value) => Ok((value, name)),
        Err(ExpandError::Missing(_)) if !name.is_empty() => Ok((String::new(), name)),
        Err(error) => Err(BadField::new(field, error)),
    }
}

impl Provider {
    fn to_proto(&self, variables: &Variables) -> Result<v1::Provider, BadField> {
        let base_url = variables::expand(&self.base_url, variables);
        let (credential, credential_ref) = secret("credential", self.credential.as_ref(), variables)?;
        Ok(v1::Provider {
            id: self.id.clone(),
            display_name: self.display_name.clone(),
            profile: self.profile.clone(),
            adapter: self.adapter.clone(),
            base_url: base_url.map_err(|error| BadField::new("base_url", error))?,
            auth: self.auth.clone(),
            credential,
            credential_ref,
            data_policy: self.data_policy.as_ref().map(DataPolicy::to_proto),
            region: self.region.clone(),
            disabled: self.disabled,
            quirks: self.quirks.clone().into_iter().collect(),
            connect_timeout_ms: self.connect_timeout_ms,
            headers_timeout_ms: self.headers_timeout_ms,
            first_content_timeout_ms: self.first_content_timeout_ms,
            idle_timeout_ms: self.idle_timeout_ms,
            total_timeout_ms: self.total_timeout_ms,
            min_tokens_per_second: self.min_tokens_per_second,
            rates: self.rates.to_proto(),
            credential_budget: self.credential_budget.as_ref().map(Limit::to_proto),
            ..v1::Provider::default()
        })
    }

    /// From the control plane's answer; `credential` is what the file shall say in its place.
    pub fn of_proto(provider: v1::Provider, credential: Option<Secret>) -> Self {
        Self {
            id: provider.id,
            display_name: provider.display_name,
            profile: provider.profile,
            adapter: provider.adapter,
            base_url: variables::escape(&provider.base_url),
            auth: provider.auth,
            credential,
            data_policy: provider.data_policy.map(|policy| DataPolicy::of_proto(&policy)),
            region: provider.region,
            disabled: provider.disabled,
            quirks: provider.quirks.into_iter().collect(),
            connect_timeout_ms: provider.connect_timeout_ms,
            headers_timeout_ms: provider.headers_timeout_ms,
            first_content_timeout_ms: provider.first_content_timeout_ms,
            idle_timeout_ms: provider.idle_timeout_ms,
            total_timeout_ms: provider.total_timeout_ms,
            min_tokens_per_second: provider.min_tokens_per_second,
            rates: Rates::of_proto(provider.rates.as_ref()),
            credential_budget: provider.credential_budget.map(Limit::of_proto),
        }
    }
}

impl DataPolicy {
    fn to_proto(&self) -> v1::DataPolicy {
        v1::DataPolicy { retains_prompts: self.retains_prompts, trains: self.trains, zdr: self.zdr }
    }

    fn of_proto(policy: &v1::DataPolicy) -> Self {
        Self { retains_prompts: policy.retains_prompts, trains: policy.trains, zdr: policy.zdr }
    }
}

impl Model {
    fn to_proto(&self) -> v1::ModelEntry {
        let model = v1::Model {
            id: self.id.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            released_at: self.released_at.map(to_timestamp),
            input_modalities: self.input_modalities.clone(),
            output_modalities: self.output_modalities.clone(),
            tokenizer: self.tokenizer.clone(),
            aliases: self.aliases.clone(),
            disabled: self.disabled,
            distillable: self.distillable,
            rates: self.rates.to_proto(),
            ..v1::Model::default()
        };
        let endpoints = self.endpoints.iter().map(|endpoint| endpoint.to_proto(&self.id)).collect();
        v1::ModelEntry { model: Some(model), endpoints }
    }

    /// From the control plane's answer.
    pub fn of_proto(entry: v1::ModelEntry) -> Self {
        let model = entry.model.unwrap_or_default();
        Self {
            id: model.id,
            name: model.name,
            description: model.description,
            released_at: model.released_at.as_ref().and_then(of_timestamp),
            input_modalities: model.input_modalities,
            output_modalities: model.output_modalities,
            tokenizer: model.tokenizer,
            aliases: model.aliases,
            disabled: model.disabled,
            distillable: model.distillable,
            rates: Rates::of_proto(model.rates.as_ref()),
            endpoints: entry.endpoints.into_iter().map(Endpoint::of_proto).collect(),
        }
    }
}

impl Endpoint {
    fn to_proto(&self, model: &str) -> v1::Endpoint {
        let id = if self.id.is_empty() { &self.provider } else { &self.id };
        v1::Endpoint {
            model: model.to_owned(),
            id: id.clone(),
            provider: self.provider.clone(),
            upstream_id: self.upstream_id.clone(),
            context_length: self.context_length,
            max_output_tokens: self.max_output_tokens,
            price: Some(self.price.to_proto()),
            supported_parameters: self.supported_parameters.clone(),
            quantization: self.quantization.clone(),
            cancel_stops_billing: self.cancel_stops_billing,
            disabled: self.disabled,
            quirks: self.quirks.clone().into_iter().collect(),
            input_modalities: self.input_modalities.clone(),
            billing: (self.billing != Billing::default()).then(|| self.billing.to_proto()),
            service_tier: self.service_tier.clone(),
            ..v1::Endpoint::default()
        }
    }

    fn of_proto(endpoint: v1::Endpoint) -> Self {
        Self {
            id: if endpoint.id == endpoint.provider { String::new() } else { endpoint.id },
            provider: endpoint.provider,
            upstream_id: endpoint.upstream_id,
            context_length: endpoint.context_length,
            max_output_tokens: endpoint.max_output_tokens,
            price: Price::of_proto(endpoint.price.unwrap_or_default()),
            supported_parameters: endpoint.supported_parameters,
            quantization: endpoint.quantization,
            cancel_stops_billing: endpoint.cancel_stops_billing,
            disabled: endpoint.disabled,
            quirks: endpoint.quirks.into_iter().collect(),
            input_modalities: endpoint.input_modalities,
            billing: Billing::of_proto(endpoint.billing.unwrap_or_default()),
            service_tier: endpoint.service_tier,
        }
    }
}

/// Both forms of the billing facts have the same fields.
macro_rules! billing {
    ($($field:ident),*) => {
        impl Billing {
            fn to_proto(self) -> v1::Billing {
                v1::Billing { $($field: self.$field),* }
            }

            fn of_proto(billing: v1::Billing) -> Self {
                Self { $($field: billing.$field),* }
            }
        }
    };
}

billing!(
    hidden_tool_tokens,
    tokens_per_image,
    tokens_per_audio_kib,
    tokens_per_file,
    tokens_per_video,
    max_searches,
    max_searches_unasked,
    step_tokens
);

impl Tenant {
    fn to_proto(&self, variables: &Variables) -> Result<v1::TenantEntry, BadField> {
        if self.credits.is_some() && self.prepaid == Some(false) {
            return Err(BadField::new("prepaid", "is false, but `credits` need a prepaid tenant"));
        }
        let tenant = v1::Tenant {
            id: self.id.clone(),
            name: self.name.clone(),
            disabled: self.disabled,
            rates: self.rates.to_proto(),
            prepaid: self.prepaid.unwrap_or(self.credits.is_some()),
            markup_ppm: self.markup_ppm,
            allowed_models: self.allowed_models.clone(),
            allowed_providers: self.allowed_providers.clone(),
            ignored_providers: self.ignored_providers.clone(),
            zdr: self.zdr,
            data_collection: self.data_collection.clone(),
            allowed_regions: self.allowed_regions.clone(),
            price_book: self.price_book.iter().map(Rule::to_proto).collect(),
            budgets: self.budgets.iter().map(Budget::to_proto).collect(),
            include_byok_in_budgets: self.include_byok_in_budgets,
            user_limit: self.user_limit.as_ref().map(Limit::to_proto),
            ..v1::Tenant::default()
        };
        let keys = self.keys.iter().enumerate();
        let keys = keys.map(|(index, key)| {
            key.to_proto(&self.id, variables).map_err(|bad| bad.within(&format!("keys[{index}]")))
        });
        let credentials = self.credentials.iter().enumerate();
        let credentials = credentials.map(|(index, credential)| {
            let entry = credential.to_proto(&self.id, variables);
            entry.map_err(|bad| bad.within(&format!("credentials[{index}]")))
        });
        Ok(v1::TenantEntry {
            tenant: Some(tenant),
            credits_usd: self.credits.clone().unwrap_or_default(),
            keys: keys.collect::<Result<_, _>>()?,
            credentials: credentials.collect::<Result<_, _>>()?,
        })
    }

    /// From the control plane's answer, without keys and credentials.
    ///
    /// Credits are left out: they were granted once, and a file that is applied elsewhere must not grant them again.
    pub fn of_proto(tenant: v1::Tenant) -> Self {
        Self {
            id: tenant.id,
            name: tenant.name,
            disabled: tenant.disabled,
            rates: Rates::of_proto(tenant.rates.as_ref()),
            prepaid: tenant.prepaid.then_some(true),
            markup_ppm: tenant.markup_ppm,
            allowed_models: tenant.allowed_models,
            allowed_providers: tenant.allowed_providers,
            ignored_providers: tenant.ignored_providers,
            zdr: tenant.zdr,
            data_collection: tenant.data_collection,
            allowed_regions: tenant.allowed_regions,
            price_book: tenant.price_book.into_iter().map(Rule::of_proto).collect(),
            budgets: tenant.budgets.into_iter().map(Budget::of_proto).collect(),
            include_byok_in_budgets: tenant.include_byok_in_budgets,
            user_limit: tenant.user_limit.map(Limit::of_proto),
            credits: None,
            keys: Vec::new(),
            credentials: Vec::new(),
        }
    }
}

impl Key {
    fn to_proto(&self, tenant: &str, variables: &Variables) -> Result<v1::KeyEntry, BadField> {
        let (secret, secret_ref) = secret("secret", self.secret.as_ref(), variables)?;
        let key = v1::Key {
            tenant: tenant.to_owned(),
            name: self.name.clone(),
            disabled: self.disabled,
            expires_at: self.expires_at.map(to_timestamp),
            limit: self.limit.as_ref().map(Limit::to_proto),
            rates: self.rates.to_proto(),
            allowed_models: self.allowed_models.clone(),
            include_byok_in_limit: self.include_byok_in_limit,
            trust_user: self.trust_user,
            user_limit: self.user_limit.as_ref().map(Limit::to_proto),
            ..v1::Key::default()
        };
        Ok(v1::KeyEntry { key: Some(key), secret, secret_ref })
    }

    /// From the control plane's answer; `secret` is what the file shall say in its place.
    pub fn of_proto(key: v1::Key, secret: Option<Secret>) -> Self {
        Self {
            name: key.name,
            secret,
            disabled: key.disabled,
            expires_at: key.expires_at.as_ref().and_then(of_timestamp),
            limit: key.limit.map(Limit::of_proto),
            rates: Rates::of_proto(key.rates.as_ref()),
            allowed_models: key.allowed_models,
            include_byok_in_limit: key.include_byok_in_limit,
            trust_user: key.trust_user,
            user_limit: key.user_limit.map(Limit::of_proto),
        }
    }
}

impl Budget {
    fn to_proto(&self) -> v1::Budget {
        v1::Budget { window: self.window.clone(), usd: self.usd.clone() }
    }

    fn of_proto(budget: v1::Budget) -> Self {
        Self { window: budget.window, usd: budget.usd }
    }
}

impl Limit {
    fn to_proto(&self) -> v1::SpendLimit {
        let reset = match self.reset {
            Reset::Never => v1::Reset::Never,
            Reset::Daily => v1::Reset::Daily,
            Reset::Weekly => v1::Reset::Weekly,
            Reset::Monthly => v1::Reset::Monthly,
        };
        v1::SpendLimit { usd: self.usd.clone(), reset: reset.into() }
    }

    fn of_proto(limit: v1::SpendLimit) -> Self {
        let reset = match limit.reset() {
            v1::Reset::Unspecified | v1::Reset::Never => Reset::Never,
            v1::Reset::Daily => Reset::Daily,
            v1::Reset::Weekly => Reset::Weekly,
            v1::Reset::Monthly => Reset::Monthly,
        };
        Self { usd: limit.usd, reset }
    }
}

impl Rates {
    pub(super) fn to_proto(&self) -> Option<v1::Rates> {
        (*self != Self::default()).then_some(v1::Rates {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            concurrency: self.concurrency,
        })
    }

    pub(super) fn of_proto(rates: Option<&v1::Rates>) -> Self {
        let rates = rates.copied().unwrap_or_default();
        Self {
            requests_per_minute: rates.requests_per_minute,
            tokens_per_minute: rates.tokens_per_minute,
            concurrency: rates.concurrency,
        }
    }
}

fn to_timestamp(time: DateTime<Utc>) -> Timestamp {
    let nanos = time.timestamp_subsec_nanos().min(999_999_999);
    Timestamp { seconds: time.timestamp(), nanos: i32::try_from(nanos).expect("less than a second") }
}

fn of_timestamp(time: &Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)
}
