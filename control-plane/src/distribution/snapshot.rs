//! Rows of the store as resources of the config stream. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use switchyard_proto::{
    clock,
    money::NanoUsd,
    price::Written,
    secret::Secret,
    v1::{self, resource::Body},
};

use crate::{
    catalogue::{self, profile},
    domain::{
        account::Reset,
        budget::Budget,
        credential::Credential,
        invalid::Invalid,
        price::Rule,
        provider::{DataPolicy, Draft},
    },
    store::feed,
};

/// Fills in what a provider's profile says.
///
/// # Errors
/// A profile that this program's catalogue lacks; the row stays as it is.
pub fn fill_in(row: &mut feed::Provider) -> Result<(), Invalid> {
    if row.profile.is_empty() {
        return Ok(());
    }
    let draft = Draft {
        profile: row.profile.clone(),
        display_name: row.display_name.clone(),
        adapter: row.adapter.clone(),
        base_url: row.base_url.clone(),
        auth: row.auth.clone(),
        data_policy: DataPolicy { retains_prompts: row.retains_prompts, trains: row.trains, zdr: row.zdr },
        quirks: row.quirks.0.clone(),
        ..Draft::default()
    };
    let whole = profile::filled_in(&draft)?;
    row.display_name = whole.display_name;
    row.adapter = whole.adapter;
    row.base_url = whole.base_url;
    row.auth = whole.auth;
    row.retains_prompts = whole.data_policy.retains_prompts;
    row.trains = whole.data_policy.trains;
    row.zdr = whole.data_policy.zdr;
    let filled_in = whole.quirks.keys().filter(|name| !row.quirks.0.contains_key(*name));
    row.profile_quirks = filled_in.cloned().collect();
    row.quirks.0 = whole.quirks;
    Ok(())
}

/// A provider with its credentials in the clear.
pub fn provider(row: feed::Provider, mut credentials: Vec<v1::CredentialConfig>) -> v1::Resource {
    let rates = rates(row.requests_per_minute, row.tokens_per_minute, row.concurrency);
    credentials.iter_mut().for_each(|credential| credential.rates = Some(rates));
    let timeouts = v1::Timeouts {
        connect_ms: given(row.connect_timeout_ms),
        headers_ms: given(row.headers_timeout_ms),
        first_content_ms: given(row.first_content_timeout_ms),
        idle_ms: given(row.idle_timeout_ms),
        total_ms: given(row.total_timeout_ms),
        min_tokens_per_second: row.min_tokens_per_second,
    };
    let config = v1::ProviderConfig {
        tenant: row.tenant.unwrap_or_default(),
        display_name: if row.display_name.is_empty() { row.id.clone() } else { row.display_name },
        id: row.id,
        adapter: row.adapter,
        base_url: row.base_url,
        auth: row.auth,
        credentials,
        credential_budget: row.credential_budget_nano.map(|nano| limit(nano, &row.credential_budget_reset)),
        data_policy: Some(v1::DataPolicy {
            retains_prompts: row.retains_prompts,
            trains: row.trains,
            zdr: row.zdr,
        }),
        region: row.region,
        disabled: row.disabled,
        quirks: quirks(row.quirks.0),
        timeouts: Some(timeouts),
        profile_quirks: row.profile_quirks,
        rates: Some(rates),
    };
    resource(row.revision, Body::Provider(config))
}

/// 0 is the data plane's own setting.
fn given(ms: i64) -> Option<u64> {
    u64::try_from(ms).ok().filter(|ms| *ms > 0)
}

fn quirks(quirks: BTreeMap<String, String>) -> Vec<v1::Quirk> {
    quirks.into_iter().map(|(name, value)| v1::Quirk { name, value }).collect()
}

/// A model.
pub fn model(row: feed::Model) -> v1::Resource {
    let config = v1::ModelConfig {
        created: Some(clock::to_timestamp(row.released_at.unwrap_or(row.created_at))),
        id: row.id,
        name: row.name,
        description: row.description,
        input_modalities: row.input_modalities,
        output_modalities: row.output_modalities,
        tokenizer: row.tokenizer,
        aliases: row.aliases,
        disabled: row.disabled,
        distillable: row.distillable,
        rates: Some(rates(row.requests_per_minute, row.tokens_per_minute, row.concurrency)),
    };
    resource(row.revision, Body::Model(config))
}

/// An endpoint.
pub fn endpoint(row: feed::Endpoint) -> v1::Resource {
    let known = catalogue::facts(&row.upstream_id);
    let model_quirks = known.quirks();
    let known_billing = known.billing.into_iter().chain(row.billing.0).collect();
    let config = v1::EndpointConfig {
        model: row.model,
        id: row.id,
        provider: row.provider,
        upstream_id: row.upstream_id,
        context_length: count(row.context_length),
        max_output_tokens: count(row.max_output_tokens),
        price: Some((&Written { parts: row.price.0, schedule: row.price_schedule.0 }).into()),
        supported_parameters: row.supported_parameters,
        quantization: row.quantization,
        cancel_stops_billing: row.cancel_stops_billing,
        disabled: row.disabled,
        quirks: quirks(row.quirks.0),
        input_modalities: row.input_modalities,
        billing: Some(billing(&known_billing)),
        model_quirks,
        service_tier: row.service_tier,
    };
    resource(row.revision, Body::Endpoint(config))
}

fn billing(facts: &BTreeMap<String, u64>) -> v1::Billing {
    let get = |name: &str| facts.get(name).copied();
    v1::Billing {
        hidden_tool_tokens: get("hidden_tool_tokens"),
        tokens_per_image: get("tokens_per_image"),
        tokens_per_audio_kib: get("tokens_per_audio_kib"),
        tokens_per_file: get("tokens_per_file"),
        tokens_per_video: get("tokens_per_video"),
        max_searches: get("max_searches"),
        max_searches_unasked: get("max_searches_unasked"),
        step_tokens: get("step_tokens"),
    }
}

/// A tenant, as a resource.
pub fn tenant(row: feed::Tenant) -> v1::Resource {
    resource(row.revision, Body::Tenant(tenant_config(row)))
}

/// A tenant.
pub fn tenant_config(row: feed::Tenant) -> v1::TenantConfig {
    v1::TenantConfig {
        id: row.id,
        name: row.name,
        disabled: row.disabled,
        rates: Some(rates(row.requests_per_minute, row.tokens_per_minute, row.concurrency)),
        prepaid: row.prepaid,
        markup_ppm: count(row.markup_ppm),
        allowed_models: row.allowed_models,
        allowed_providers: row.allowed_providers,
        ignored_providers: row.ignored_providers,
        zdr: row.zdr,
        data_collection: row.data_collection,
        allowed_regions: row.allowed_regions,
        price_book: row.price_book.0.into_iter().map(price_rule).collect(),
        budgets: row.budgets.0.iter().map(budget).collect(),
        include_byok_in_budgets: row.include_byok_in_budgets,
        user_limit: row.user_limit_nano.map(|nano| limit(nano, &row.user_limit_reset)),
    }
}

fn price_rule(rule: Rule) -> v1::PriceRule {
    v1::PriceRule {
        price: rule.price.as_ref().map(v1::PriceParts::from),
        model: rule.model,
        provider: rule.provider,
        markup_ppm: rule.markup_ppm,
    }
}

/// A tenant's credential; without a secret it is to be set again.
pub fn credential(row: Credential, secret: Option<&Secret>) -> v1::Resource {
    let config = v1::TenantCredentialConfig {
        tenant: row.tenant.to_string(),
        id: row.id.to_string(),
        provider: row.draft.provider,
        name: row.draft.name,
        secret: secret.map(|secret| secret.expose().to_owned()).unwrap_or_default(),
        origin: row.origin,
        disabled: row.draft.disabled,
        fallback: row.draft.fallback,
        order: row.draft.order,
        required: row.draft.required,
        allowed_models: row.draft.allowed_models,
        allowed_keys: row.draft.allowed_keys,
        allowed_users: row.draft.allowed_users,
        declared_zdr: row.draft.declared_zdr,
        rates: Some(v1::Rates {
            requests_per_minute: row.draft.rates.requests_per_minute,
            tokens_per_minute: row.draft.rates.tokens_per_minute,
            concurrency: row.draft.rates.concurrency,
        }),
    };
    v1::Resource { revision: row.meta.revision, body: Some(Body::Credential(config)) }
}

/// A key, as a resource.
pub fn key(row: feed::Key) -> v1::Resource {
    resource(row.revision, Body::Key(key_config(row)))
}

/// A key.
pub fn key_config(row: feed::Key) -> v1::KeyConfig {
    v1::KeyConfig {
        limit: row.limit_nano.map(|nano| limit(nano, &row.limit_reset)),
        id: row.id,
        tenant: row.tenant,
        name: row.name,
        sha256: row.sha256,
        label: row.label,
        disabled: row.disabled,
        expires_at: row.expires_at.map(timestamp),
        rates: Some(rates(row.requests_per_minute, row.tokens_per_minute, row.concurrency)),
        allowed_models: row.allowed_models,
        created_at: Some(timestamp(row.created_at)),
        include_byok_in_limit: row.include_byok_in_limit,
        trust_user: row.trust_user,
        user_limit: row.user_limit_nano.map(|nano| limit(nano, &row.user_limit_reset)),
    }
}

fn budget(budget: &Budget) -> v1::Budget {
    v1::Budget { window: budget.window.to_string(), usd: budget.usd.to_string() }
}

fn limit(nano: i64, reset: &str) -> v1::SpendLimit {
    let reset = match Reset::parse(reset).unwrap_or_default() {
        Reset::Never => v1::Reset::Never,
        Reset::Daily => v1::Reset::Daily,
        Reset::Weekly => v1::Reset::Weekly,
        Reset::Monthly => v1::Reset::Monthly,
    };
    v1::SpendLimit { usd: NanoUsd(count(nano)).to_string(), reset: reset.into() }
}

fn rates(requests: Option<i64>, tokens: Option<i64>, concurrency: Option<i64>) -> v1::Rates {
    v1::Rates {
        requests_per_minute: requests.map(count),
        tokens_per_minute: tokens.map(count),
        concurrency: concurrency.map(count),
    }
}

fn timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    clock::to_timestamp(at)
}

/// A preset, in its newest version.
pub fn preset(row: feed::Preset) -> v1::Resource {
    let config = v1::PresetConfig {
        id: row.id,
        tenant: row.tenant,
        disabled: row.disabled,
        version: count(row.version),
        system_prompt: row.system_prompt,
        config: row.config,
    };
    resource(row.revision, Body::Preset(config))
}

/// Something that is gone.
pub fn tombstone(of: feed::Table, row: feed::Tombstone) -> v1::Resource {
    let kind = match of {
        feed::Table::Providers => v1::ResourceKind::ResourceProvider,
        feed::Table::Models => v1::ResourceKind::ResourceModel,
        feed::Table::Endpoints => v1::ResourceKind::ResourceEndpoint,
        feed::Table::Tenants => v1::ResourceKind::ResourceTenant,
        feed::Table::Credentials => v1::ResourceKind::ResourceCredential,
        feed::Table::Policies => v1::ResourceKind::ResourcePolicy,
        feed::Table::Presets => v1::ResourceKind::ResourcePreset,
        feed::Table::Keys => v1::ResourceKind::ResourceKey,
    };
    resource(row.revision, Body::Tombstone(v1::Tombstone { kind: kind.into(), id: row.id }))
}

pub(super) fn resource(revision: i64, body: Body) -> v1::Resource {
    v1::Resource { revision: count(revision), body: Some(body) }
}

/// The tables' checks keep counts from being negative.
fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_exact_dollars() {
        for (nano, reset, expected) in [
            (5_000_000_000, "daily", ("5", v1::Reset::Daily)),
            (1, "never", ("0.000000001", v1::Reset::Never)),
            (0, "monthly", ("0", v1::Reset::Monthly)),
        ] {
            let limit = limit(nano, reset);
            assert_eq!((limit.usd.as_str(), limit.reset()), expected);
        }
    }

    #[test]
    fn a_timeout_of_zero_is_left_to_the_data_plane() {
        assert_eq!((given(0), given(250)), (None, Some(250)));
    }
}
