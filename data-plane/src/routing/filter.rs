//! The rules that exclude an endpoint, each with the value that it met.

use std::fmt::Write as _;

use switchyard_proto::id::ModelId;
use switchyard_proto::price::UnitPrice;

use crate::config::snapshot::{Endpoint, Model};
use crate::identity::Caller;
use crate::model::facts::Media;
use crate::model::parameter::{Parameter, Parameters};
use crate::model::preferences::MaxPrice;
use crate::model::request::ChatRequest;
use crate::price;

/// Why an endpoint is out; the names are OpenRouter's `excluded_by` where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    Disabled,
    /// A provider that belongs to another tenant.
    Owner,
    AllowedProviders,
    IgnoredProviders,
    DataPolicy,
    Zdr,
    Quantization,
    MaxPrice,
    Modality,
    ContextLength,
    OutputLimit,
    RequireParameters,
    /// A tool cannot be called there.
    Tools,
    Fallbacks,
    Budget,
    /// The request cannot be expressed in the provider's dialect.
    Unsupported,
}

impl Rule {
    /// The word in explanations and errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Owner => "owner",
            Self::AllowedProviders => "allowed_providers",
            Self::IgnoredProviders => "ignored_providers",
            Self::DataPolicy => "data_policy:training",
            Self::Zdr => "data_policy:zdr",
            Self::Quantization => "quantization",
            Self::MaxPrice => "max_price",
            Self::Modality => "modality",
            Self::ContextLength => "context_length",
            Self::OutputLimit => "max_tokens",
            Self::RequireParameters => "require_parameters",
            Self::Tools => "tools",
            Self::Fallbacks => "allow_fallbacks",
            Self::Budget => "budget",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Whether tenant and key both allow the model; an empty list allows all, `author/*` a whole author.
pub fn may_use(caller: &Caller, model: &ModelId) -> bool {
    let allows = |list: &[String]| {
        list.is_empty()
            || list.iter().any(|entry| match entry.strip_suffix('*') {
                Some(prefix) => model.as_str().starts_with(prefix),
                None => model.as_str() == entry,
            })
    };
    allows(&caller.tenant.config.allowed_models) && allows(&caller.key.config.allowed_models)
}

/// The first rule that excludes an endpoint from a request.
pub fn excludes(
    model: &Model,
    endpoint: &Endpoint,
    caller: &Caller,
    request: &ChatRequest,
) -> Option<(Rule, String)> {
    ownership(endpoint, caller)
        .or_else(|| wishes(endpoint, request))
        .or_else(|| capabilities(model, endpoint, request))
        .or_else(|| fit(endpoint, request))
}

fn ownership(endpoint: &Endpoint, caller: &Caller) -> Option<(Rule, String)> {
    if !endpoint.is_enabled() {
        return Some((Rule::Disabled, "is disabled".to_owned()));
    }
    match &endpoint.provider.tenant {
        Some(owner) if *owner != caller.tenant.id => {
            Some((Rule::Owner, "belongs to another tenant".to_owned()))
        }
        _ => None,
    }
}

/// Whether a slug or display name of the request means this endpoint: `openai`, or `openai/turbo` in full.
pub fn matches(endpoint: &Endpoint, slug: &str) -> bool {
    let (provider, id) = (endpoint.provider.id.as_str(), endpoint.id.as_str());
    slug.eq_ignore_ascii_case(provider)
        || slug.eq_ignore_ascii_case(&endpoint.provider.display_name)
        || slug.split_once('/').is_some_and(|(base, variant)| {
            base.eq_ignore_ascii_case(provider) && variant.eq_ignore_ascii_case(id)
        })
}

fn wishes(endpoint: &Endpoint, request: &ChatRequest) -> Option<(Rule, String)> {
    let wishes = &request.provider;
    let named = |list: &[String]| list.iter().any(|slug| matches(endpoint, slug));
    if !wishes.only.is_empty() && !named(&wishes.only) {
        return Some((Rule::AllowedProviders, "is not in provider.only".to_owned()));
    }
    if named(&wishes.ignore) {
        return Some((Rule::IgnoredProviders, "is in provider.ignore".to_owned()));
    }
    if !wishes.order.is_empty() && !wishes.allow_fallbacks && !named(&wishes.order) {
        return Some((Rule::Fallbacks, "is not in provider.order, and allow_fallbacks is false".to_owned()));
    }
    // What is not known of a provider is taken as the worse.
    let policy = endpoint.provider.config.data_policy.unwrap_or_default();
    let retains = policy.retains_prompts.unwrap_or(true);
    if wishes.deny_data_collection && (retains || policy.trains.unwrap_or(true)) {
        return Some((Rule::DataPolicy, "may store prompts or train on them".to_owned()));
    }
    if wishes.zdr && !endpoint.provider.keeps_nothing() {
        return Some((Rule::Zdr, "may retain prompts".to_owned()));
    }
    if !wishes.quantizations.is_empty() && !quantized(endpoint, &wishes.quantizations) {
        return Some((Rule::Quantization, format!("is quantized as `{}`", quantization(endpoint))));
    }
    too_dear(endpoint, &wishes.max_price)
}

fn quantization(endpoint: &Endpoint) -> &str {
    match endpoint.config.quantization.as_str() {
        "" => "unknown",
        quantization => quantization,
    }
}

fn quantized(endpoint: &Endpoint, wanted: &[String]) -> bool {
    let own = quantization(endpoint);
    wanted.iter().any(|wanted| match wanted.as_str() {
        "fp4" => matches!(own, "fp4" | "mxfp4" | "nvfp4"),
        "fp8" => matches!(own, "fp8" | "mxfp8"),
        wanted => wanted == own,
    })
}

fn too_dear(endpoint: &Endpoint, ceilings: &MaxPrice) -> Option<(Rule, String)> {
    let prices = &endpoint.prices;
    let per_million = [
        ("prompt", &ceilings.prompt, prices.input),
        ("completion", &ceilings.completion, prices.output),
        ("audio", &ceilings.audio, prices.audio_input),
    ];
    let per_unit = [("request", &ceilings.request, prices.request), ("image", &ceilings.image, prices.image)];
    let over = |(name, ceiling, price): (&str, &Option<String>, UnitPrice),
                parse: fn(&str) -> Option<UnitPrice>| {
        let ceiling = ceiling.as_deref()?;
        // Surfaces have checked that ceilings are numbers; finer ones than a price can have do not bind.
        (price > parse(ceiling)?)
            .then(|| (Rule::MaxPrice, format!("costs more than max_price.{name} = {ceiling}")))
    };
    let million =
        per_million.into_iter().find_map(|row| over(row, |text| UnitPrice::parse_per_million(text).ok()));
    million.or_else(|| {
        per_unit.into_iter().find_map(|row| over(row, |text| UnitPrice::parse_per_unit(text).ok()))
    })
}

fn capabilities(model: &Model, endpoint: &Endpoint, request: &ChatRequest) -> Option<(Rule, String)> {
    let accepted = match endpoint.config.input_modalities.as_slice() {
        [] => &model.config.input_modalities,
        own => own,
    };
    // Files are taken apart by adapters where a provider cannot read them, so they are not asked for here.
    let missing = request.facts.modalities().find(|media| {
        *media != Media::File && !accepted.is_empty() && !accepted.iter().any(|name| name == media.name())
    });
    if let Some(media) = missing {
        return Some((Rule::Modality, format!("does not accept {} input", media.name())));
    }
    if endpoint.supported.is_empty() {
        return None;
    }
    let lacking = request.facts.parameters.without(endpoint.supported).without(always());
    if lacking.contains(Parameter::Tools) {
        return Some((Rule::Tools, "does not support tools".to_owned()));
    }
    if request.provider.require_parameters && !lacking.is_empty() {
        let mut names = String::new();
        for parameter in lacking.iter() {
            let _ = write!(names, "{}{}", if names.is_empty() { "" } else { ", " }, parameter.name());
        }
        return Some((Rule::RequireParameters, format!("does not support {names}")));
    }
    None
}

/// Parameters that every endpoint can be given, or that the router itself takes care of.
fn always() -> Parameters {
    use Parameter::*;
    [
        MaxTokens,
        MaxCompletionTokens,
        User,
        Metadata,
        SafetyIdentifier,
        Plugins,
        Transforms,
        CacheControl,
        IncludeReasoning,
        Store,
        N,
    ]
    .into_iter()
    .collect()
}

fn fit(endpoint: &Endpoint, request: &ChatRequest) -> Option<(Rule, String)> {
    let most = endpoint.config.max_output_tokens;
    if let Some(asked) = request.max_output_tokens.filter(|asked| most > 0 && *asked > most) {
        return Some((Rule::OutputLimit, format!("cannot produce {asked} tokens, at most {most}")));
    }
    let prompt = price::prompt_estimate(&request.facts);
    let window = endpoint.context_length();
    (prompt > window)
        .then(|| (Rule::ContextLength, format!("has a window of {window} tokens, the prompt about {prompt}")))
}
