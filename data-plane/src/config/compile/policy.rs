//! One policy, from its wire form: every condition compiled, every name known.

use std::sync::Arc;
use std::time::Duration;

use switchyard_proto::id::PolicyId;
use switchyard_proto::money::{NanoUsd, ParseError};
use switchyard_proto::policy::{self, Condition, Scope};
use switchyard_proto::price::UnitPrice;
use switchyard_proto::v1;

use super::{Fault, fault, owner};
use crate::config::snapshot::policy::{Hedge, Policy, PolicyStage, StickyBy, WeightedModel};
use crate::judge::{Reason, Reasons, Schema};
use crate::model::deadlines::Deadlines;
use crate::model::preferences::{MaxPrice, Percentiles, Preferences, Sort, SortBy};

/// Compiles a policy; a fault names its field, as `stages[1].when`.
pub(super) fn compile(config: v1::PolicyConfig, revision: u64) -> Result<Policy, Fault> {
    if config.stages.is_empty() {
        return Err(fault("stages", "at least one is needed"));
    }
    let common = deadlines(config.deadlines.as_ref(), "deadlines")?;
    let stages = config.stages.iter().enumerate();
    let stages = stages
        .map(|(index, config)| {
            stage(config, index + 1, common)
                .map_err(|inner| fault(format!("stages[{index}].{}", inner.field), inner.reason))
        })
        .collect::<Result<_, _>>()?;
    Ok(Policy {
        id: PolicyId::new(config.id.as_str()),
        tenant: owner(&config.tenant),
        matches: condition("match", &config.r#match, Scope::Request)?,
        sticky_by: sticky_by(&config.sticky_by)?,
        stages,
        config,
        revision,
    })
}

fn condition(field: &str, source: &str, scope: Scope) -> Result<Option<Condition>, Fault> {
    if source.is_empty() {
        return Ok(None);
    }
    Condition::compile(source, scope).map(Some).map_err(|error| fault(field, error.to_string()))
}

fn sticky_by(name: &str) -> Result<StickyBy, Fault> {
    match name {
        "" | "request" => Ok(StickyBy::Request),
        "user" => Ok(StickyBy::User),
        "session" => Ok(StickyBy::Session),
        "key" => Ok(StickyBy::Key),
        other => Err(fault("sticky_by", format!("`{other}` is none of {}", policy::STICKY_BY.join(", ")))),
    }
}

fn stage(config: &v1::PolicyStage, number: usize, common: Deadlines) -> Result<PolicyStage, Fault> {
    let check = condition("check", &config.check, Scope::Answer)?;
    let schema = schema(&config.schema)?;
    let added = [(Reason::Check, check.is_some()), (Reason::Schema, schema.is_some())];
    Ok(PolicyStage {
        name: if config.name.is_empty() { number.to_string() } else { config.name.clone() },
        when: condition("when", &config.when, Scope::Request)?,
        models: models(&config.models)?,
        is_weighted: config.models.iter().any(|model| model.weight > 0),
        preferences: preferences(config.provider.as_ref())?,
        escalate_on: escalation(&config.escalate_on, added)?,
        check,
        schema,
        deadlines: deadlines(config.deadlines.as_ref(), "deadlines")?.or(common),
        hedge: hedge(config.hedge.as_ref())?,
        retries: config.retries,
    })
}

fn models(models: &[v1::WeightedModel]) -> Result<Vec<WeightedModel>, Fault> {
    if models.is_empty() {
        return Err(fault("models", "at least one is needed"));
    }
    if let Some(index) = models.iter().position(|row| row.model.starts_with(policy::PREFIX)) {
        return Err(fault(format!("models[{index}]"), "a policy cannot name a policy"));
    }
    let model =
        |row: &v1::WeightedModel| WeightedModel { model: row.model.clone(), weight: row.weight.max(1) };
    Ok(models.iter().map(model).collect())
}

/// What was named, or the usual; a check and a schema of its own are reasons unasked.
fn escalation(names: &[String], added: [(Reason, bool); 2]) -> Result<Reasons, Fault> {
    let unknown =
        |name| fault("escalate_on", format!("`{name}` is none of {}", policy::ESCALATE_ON.join(", ")));
    let mut set = match names.is_empty() {
        true => Reasons::USUAL,
        false => Reasons::from_names(names.iter().map(String::as_str)).map_err(unknown)?,
    };
    added.into_iter().filter(|(_, is_there)| *is_there).for_each(|(reason, _)| set.insert(reason));
    Ok(set)
}

fn schema(text: &str) -> Result<Option<Arc<Schema>>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let is_object = serde_json::from_str::<serde_json::Value>(text)
        .map_err(|error| fault("schema", format!("is not JSON: {error}")))?
        .is_object();
    if !is_object {
        return Err(fault("schema", "is not a JSON object"));
    }
    let schema = Schema::compile(text).map_err(|error| fault("schema", error.to_string()))?;
    Ok(Some(Arc::new(schema)))
}

fn preferences(config: Option<&v1::ProviderPreferences>) -> Result<Preferences, Fault> {
    let Some(config) = config else { return Ok(Preferences::default()) };
    Ok(Preferences {
        order: config.order.clone(),
        only: config.only.clone(),
        ignore: config.ignore.clone(),
        allow_fallbacks: config.allow_fallbacks.unwrap_or(true),
        require_parameters: config.require_parameters.unwrap_or(false),
        deny_data_collection: denies(&config.data_collection)?,
        zdr: config.zdr.unwrap_or(false),
        quantizations: config.quantizations.clone(),
        sort: sort(&config.sort, &config.partition)?,
        max_price: config.max_price.as_ref().map(max_price).transpose()?.unwrap_or_default(),
        preferred_min_throughput: percentiles(config.preferred_min_throughput),
        preferred_max_latency: percentiles(config.preferred_max_latency),
        enforce_distillable_text: config.enforce_distillable_text.unwrap_or(false),
        ..Preferences::default()
    })
}

fn denies(data_collection: &str) -> Result<bool, Fault> {
    match data_collection {
        "" | "allow" => Ok(false),
        "deny" => Ok(true),
        other => Err(fault("provider.data_collection", format!("`{other}` is none of allow, deny"))),
    }
}

fn sort(name: &str, partition: &str) -> Result<Option<Sort>, Fault> {
    let across_models = match partition {
        "" | "model" => false,
        "none" => true,
        other => return Err(fault("provider.partition", format!("`{other}` is none of model, none"))),
    };
    let by = match name {
        "" => return Ok(None),
        "price" => SortBy::Price,
        "throughput" => SortBy::Throughput,
        "latency" => SortBy::Latency,
        "exacto" => SortBy::Exacto,
        other => {
            let known = "price, throughput, latency, exacto";
            return Err(fault("provider.sort", format!("`{other}` is none of {known}")));
        }
    };
    Ok(Some(Sort { by, across_models }))
}

fn percentiles(figures: Option<v1::PercentileWish>) -> Percentiles {
    let figures = figures.unwrap_or_default();
    Percentiles { p50: figures.p50, p75: figures.p75, p90: figures.p90, p99: figures.p99 }
}

fn max_price(config: &v1::MaxPrice) -> Result<MaxPrice, Fault> {
    let amount = |field: &str, text: &str, parse: fn(&str) -> Result<UnitPrice, ParseError>| match text {
        "" => Ok(None),
        text => parse(text)
            .map(|_| Some(text.to_owned()))
            .map_err(|error| fault(format!("provider.max_price.{field}"), error.to_string())),
    };
    Ok(MaxPrice {
        prompt: amount("prompt", &config.prompt, UnitPrice::parse_per_million)?,
        completion: amount("completion", &config.completion, UnitPrice::parse_per_million)?,
        request: amount("request", &config.request, UnitPrice::parse_per_unit)?,
        image: amount("image", &config.image, UnitPrice::parse_per_unit)?,
        audio: amount("audio", &config.audio, UnitPrice::parse_per_million)?,
    })
}

fn deadlines(config: Option<&v1::Deadlines>, within: &str) -> Result<Deadlines, Fault> {
    let config = config.copied().unwrap_or_default();
    let time = |name: &str, milliseconds: Option<u64>| match milliseconds {
        Some(0) => Err(fault(format!("{within}.{name}"), "must be more than 0")),
        other => Ok(other.map(Duration::from_millis)),
    };
    Ok(Deadlines {
        connect: time("connect_ms", config.connect_ms)?,
        headers: time("headers_ms", config.headers_ms)?,
        first_content: time("first_content_ms", config.first_content_ms)?,
        idle: time("idle_ms", config.idle_ms)?,
        total: time("total_ms", config.total_ms)?,
        min_tokens_per_second: config.min_tokens_per_second.filter(|rate| *rate > 0).map(f64::from),
    })
}

fn hedge(config: Option<&v1::Hedge>) -> Result<Option<Hedge>, Fault> {
    let Some(config) = config else { return Ok(None) };
    let (quantile_permille, max_rate_permille) = (config.quantile_permille, config.max_rate_permille);
    if quantile_permille > 999 {
        return Err(fault("hedge.quantile_permille", "must be below 1000"));
    }
    if max_rate_permille > 1000 {
        return Err(fault("hedge.max_rate_permille", "must be at most 1000"));
    }
    let max_usd = match config.max_usd.as_str() {
        "" => None,
        text => Some(NanoUsd::parse(text).map_err(|error| fault("hedge.max_usd", error.to_string()))?),
    };
    let is_off = quantile_permille == 0 || max_rate_permille == 0;
    Ok((!is_off).then_some(Hedge { quantile_permille, max_rate_permille, max_usd }))
}

#[cfg(test)]
mod tests;
