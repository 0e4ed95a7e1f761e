//! Policies as messages: a row as a resource of the config stream, and the parts that the admin API shares with it. Pure.

use switchyard_proto::v1::{self, resource::Body};

use crate::{
    distribution::snapshot,
    domain::policy::{Deadlines, Hedge, MaxPrice, Percentiles, Preferences, Stage},
    store::feed,
};

/// A policy, as a resource.
pub fn resource(row: feed::Policy) -> v1::Resource {
    let config = v1::PolicyConfig {
        id: row.id,
        tenant: row.owner,
        description: row.description,
        disabled: row.disabled,
        r#match: row.matches,
        priority: row.priority,
        stages: row.stages.0.into_iter().map(stage).collect(),
        sticky_by: row.sticky_by,
        deadlines: deadlines(row.deadlines.0),
    };
    snapshot::resource(row.revision, Body::Policy(config))
}

/// A stage; parts that say nothing are left out.
pub fn stage(stage: Stage) -> v1::PolicyStage {
    let models = stage.models.into_iter();
    v1::PolicyStage {
        name: stage.name,
        when: stage.when,
        models: models.map(|row| v1::WeightedModel { model: row.model, weight: row.weight }).collect(),
        provider: unless_default(stage.provider, preferences),
        escalate_on: stage.escalate_on,
        check: stage.check,
        schema: stage.schema,
        deadlines: deadlines(stage.deadlines),
        hedge: unless_default(stage.hedge, hedge),
        retries: stage.retries,
    }
}

/// Deadlines; none where none is set.
pub fn deadlines(deadlines: Deadlines) -> Option<v1::Deadlines> {
    unless_default(deadlines, |deadlines| v1::Deadlines {
        connect_ms: deadlines.connect_ms,
        headers_ms: deadlines.headers_ms,
        first_content_ms: deadlines.first_content_ms,
        idle_ms: deadlines.idle_ms,
        total_ms: deadlines.total_ms,
        min_tokens_per_second: deadlines.min_tokens_per_second,
    })
}

fn preferences(preferences: Preferences) -> v1::ProviderPreferences {
    v1::ProviderPreferences {
        order: preferences.order,
        only: preferences.only,
        ignore: preferences.ignore,
        sort: preferences.sort,
        partition: preferences.partition,
        max_price: unless_default(preferences.max_price, max_price),
        allow_fallbacks: preferences.allow_fallbacks,
        data_collection: preferences.data_collection,
        zdr: preferences.zdr,
        quantizations: preferences.quantizations,
        require_parameters: preferences.require_parameters,
        preferred_min_throughput: unless_default(preferences.preferred_min_throughput, percentiles),
        preferred_max_latency: unless_default(preferences.preferred_max_latency, percentiles),
        enforce_distillable_text: preferences.enforce_distillable_text,
    }
}

fn percentiles(figures: Percentiles) -> v1::PercentileWish {
    v1::PercentileWish { p50: figures.p50, p75: figures.p75, p90: figures.p90, p99: figures.p99 }
}

fn max_price(price: MaxPrice) -> v1::MaxPrice {
    v1::MaxPrice {
        prompt: price.prompt,
        completion: price.completion,
        request: price.request,
        image: price.image,
        audio: price.audio,
    }
}

fn hedge(hedge: Hedge) -> v1::Hedge {
    v1::Hedge {
        quantile_permille: hedge.quantile_permille,
        max_rate_permille: hedge.max_rate_permille,
        max_usd: hedge.max_usd,
    }
}

fn unless_default<T: Default + PartialEq, M>(value: T, to_message: impl FnOnce(T) -> M) -> Option<M> {
    (value != T::default()).then(|| to_message(value))
}
