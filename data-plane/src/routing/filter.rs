//! The rules that exclude an endpoint, each with the value that it met.
//!
//! Capabilities are asked before wishes, and policies last, so that an exclusion by a policy means that all else fits.

pub mod account;
pub mod capability;
pub mod policy;
pub mod wishes;

use std::fmt;
use std::sync::Arc;

use switchyard_proto::price::UnitPrice;

use crate::config::snapshot::{Endpoint, Model};
use crate::model::facts::Media;
use crate::model::file::{FileType, FileTypes};
use crate::model::parameter::{Parameter, Parameters};
use crate::model::task::Operation;
use crate::routing::health::Reading;
use crate::routing::inputs::Inputs;
use crate::routing::names::Target;
use crate::routing::wishes::Wishes;

/// Why an endpoint is out; the names are OpenRouter's `excluded_by` where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    Disabled,
    AllowedProviders,
    IgnoredProviders,
    DataPolicy,
    Zdr,
    /// Outside the regions that the account allows.
    Region,
    Quantization,
    MaxPrice,
    /// `:free` was asked for.
    Free,
    Modality,
    FileType,
    OutputModality,
    ContextLength,
    OutputLimit,
    RequireParameters,
    /// A tool cannot be called there.
    Tools,
    /// The model cannot be made to call a tool there.
    ToolChoice,
    StructuredOutput,
    Distillable,
    /// An endpoint of another service tier.
    ServiceTier,
    Fallbacks,
    /// A credential of the tenant's own must be used for the provider.
    OwnCredential,
    Budget,
    /// The request cannot be expressed in the provider's dialect.
    Unsupported,
    /// The model is for something else than what is asked for, or the provider's dialect has no such endpoint.
    Operation,
}

impl Rule {
    /// The word in explanations and errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::AllowedProviders => "allowed_providers",
            Self::IgnoredProviders => "ignored_providers",
            Self::DataPolicy => "data_policy:training",
            Self::Zdr => "data_policy:zdr",
            Self::Region => "data_region",
            Self::Quantization => "quantization",
            Self::MaxPrice => "max_price",
            Self::Free => "free",
            Self::Modality => "modality",
            Self::FileType => "file_type",
            Self::OutputModality => "output_modality",
            Self::ContextLength => "context_length",
            Self::OutputLimit => "max_tokens",
            Self::RequireParameters => "require_parameters",
            Self::Tools => "tools",
            Self::ToolChoice => "tool_choice",
            Self::StructuredOutput => "structured_outputs",
            Self::Distillable => "enforce_distillable_text",
            Self::ServiceTier => "service_tier",
            Self::Fallbacks => "allow_fallbacks",
            Self::OwnCredential => "byok_required",
            Self::Budget => "budget",
            Self::Unsupported => "unsupported",
            Self::Operation => "operation",
        }
    }

    /// The member of a request for this that the rule reads; empty if it reads none.
    pub fn field(self, operation: Operation) -> &'static str {
        match self {
            Self::Disabled | Self::Region | Self::OwnCredential | Self::Budget | Self::Unsupported => "",
            Self::AllowedProviders => "provider.only",
            Self::IgnoredProviders => "provider.ignore",
            Self::DataPolicy => "provider.data_collection",
            Self::Zdr => "provider.zdr",
            Self::Quantization => "provider.quantizations",
            Self::MaxPrice => "provider.max_price",
            Self::Free | Self::Operation => "model",
            Self::Modality | Self::FileType | Self::ContextLength => operation.prompt_field(),
            Self::OutputModality => "modalities",
            Self::OutputLimit => "max_tokens",
            Self::RequireParameters => "provider.require_parameters",
            Self::Tools => "tools",
            Self::ToolChoice => "tool_choice",
            Self::StructuredOutput => "response_format",
            Self::Distillable => "provider.enforce_distillable_text",
            Self::ServiceTier => "service_tier",
            Self::Fallbacks => "provider.allow_fallbacks",
        }
    }
}

/// The value that a rule met; put into words only where somebody asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Detail {
    /// The rule says it all.
    Plain,
    /// It is the account's rule and not the request's.
    Account,
    Media(Media),
    /// What the model is for instead.
    MadeFor(Operation),
    /// What the provider's dialect lacks.
    Lacks(Operation),
    /// Kinds of files that it does not read.
    Files(FileTypes),
    Parameters(Parameters),
    Price {
        part: &'static str,
        price: UnitPrice,
        ceiling: UnitPrice,
    },
    Tokens {
        asked: u64,
        most: u64,
    },
    /// Estimated prompt, output asked for, and the window that they do not fit.
    Window {
        prompt: u64,
        output: u64,
        window: u64,
    },
}

/// A rule that excludes, and the value that it met.
pub type Reason = (Rule, Detail);

/// One endpoint that may not be tried. Displays as the rest of a sentence about it.
#[derive(Debug, Clone)]
pub struct Excluded {
    pub endpoint: Arc<Endpoint>,
    pub rule: Rule,
    pub detail: Detail,
    /// What is asked for.
    pub operation: Operation,
    /// Its health, where it was a candidate until others were preferred.
    pub reading: Option<Reading>,
    /// The place in the plan's policy of the stage that it was meant for; 0 without a policy.
    pub stage: u16,
}

impl Excluded {
    /// The request's member at fault; empty where none is.
    pub fn field(&self) -> &'static str {
        if self.detail == Detail::Account { "" } else { self.rule.field(self.operation) }
    }
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = &self.detail;
        match (self.rule, detail) {
            (Rule::Disabled, _) => f.write_str("is disabled"),
            (Rule::AllowedProviders, Detail::Account) => {
                f.write_str("is not among the providers that the account allows")
            }
            (Rule::IgnoredProviders, Detail::Account) => {
                f.write_str("is among the providers that the account ignores")
            }
            (Rule::DataPolicy, Detail::Account) => {
                f.write_str("may store prompts or train on them, which the account forbids")
            }
            (Rule::Zdr, Detail::Account) => f.write_str("may retain prompts, which the account forbids"),
            (Rule::Region, _) => match self.endpoint.provider.config.region.as_str() {
                "" => f.write_str("is in no known region, and the account allows certain ones only"),
                region => write!(f, "is in `{region}`, which is not a region that the account allows"),
            },
            (Rule::AllowedProviders, _) => f.write_str("is not in provider.only"),
            (Rule::IgnoredProviders, _) => f.write_str("is in provider.ignore"),
            (Rule::DataPolicy, _) => f.write_str("may store prompts or train on them"),
            (Rule::Zdr, _) => f.write_str("may retain prompts"),
            (Rule::Quantization, _) => {
                write!(f, "is quantized as `{}`", wishes::quantization(&self.endpoint))
            }
            (Rule::MaxPrice, Detail::Price { part, price, ceiling }) => write!(
                f,
                "costs {} per {part}, more than max_price.{part} = {}",
                wishes::dollars(part, *price),
                wishes::dollars(part, *ceiling)
            ),
            (Rule::MaxPrice, _) => f.write_str("costs more than max_price"),
            (Rule::Free, _) => f.write_str("is not free"),
            (Rule::Modality, Detail::Media(media)) => write!(f, "does not accept {} input", media.name()),
            (Rule::Modality, _) => f.write_str("does not accept the input"),
            (Rule::FileType, Detail::Files(refused)) => {
                f.write_str("does not read files of the kind ")?;
                list(f, refused.iter().map(FileType::name))
            }
            (Rule::FileType, _) => f.write_str("does not read the files"),
            (Rule::OutputModality, _) => f.write_str("does not produce the output asked for"),
            (Rule::ContextLength, Detail::Window { prompt, output: 0, window }) => {
                write!(f, "has a window of {window} tokens, the prompt about {prompt}")
            }
            (Rule::ContextLength, Detail::Window { prompt, output, window }) => {
                write!(
                    f,
                    "has a window of {window} tokens, the prompt about {prompt} beside {output} of output"
                )
            }
            (Rule::ContextLength, _) => f.write_str("has too small a window"),
            (Rule::OutputLimit, Detail::Tokens { asked, most }) => {
                write!(f, "cannot produce {asked} tokens, at most {most}")
            }
            (Rule::OutputLimit, _) => f.write_str("cannot produce so many tokens"),
            (Rule::RequireParameters, Detail::Parameters(lacking)) => {
                f.write_str("does not support ")?;
                list(f, lacking.iter().map(Parameter::name))
            }
            (Rule::RequireParameters, _) => f.write_str("does not support every parameter"),
            (Rule::Tools, _) => f.write_str("does not support tools"),
            (Rule::ToolChoice, _) => f.write_str("cannot be made to call a tool"),
            (Rule::StructuredOutput, _) => f.write_str("does not support structured output"),
            (Rule::Distillable, _) => f.write_str("serves a model whose text may not train others"),
            (Rule::ServiceTier, _) => match self.endpoint.config.service_tier.as_str() {
                "" => f.write_str("is not of the tier asked for"),
                tier => write!(f, "is of the tier `{tier}`, which was not asked for"),
            },
            (Rule::Fallbacks, _) => f.write_str("is a fallback, and allow_fallbacks is false"),
            (Rule::OwnCredential, _) => f.write_str("may only be used with a credential of your own"),
            (Rule::Budget, _) => f.write_str("costs more than is left"),
            (Rule::Unsupported, _) => f.write_str("cannot be told the request"),
            (Rule::Operation, Detail::MadeFor(operation)) => {
                write!(f, "serves it for {}, at {}", operation.name(), operation.called_at())
            }
            (Rule::Operation, Detail::Lacks(operation)) => {
                write!(f, "is spoken to in a dialect without {}", operation.name())
            }
            (Rule::Operation, _) => f.write_str("serves it for something else"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, names: impl Iterator<Item = &'static str>) -> fmt::Result {
    let mut names = names.enumerate();
    names.try_for_each(|(at, name)| write!(f, "{}{name}", if at == 0 { "" } else { ", " }))
}

/// Whether tenant and key both allow the model; an empty list allows all, `author/*` a whole author.
pub fn may_use(inputs: &Inputs<'_>, model: &Model) -> bool {
    let id = model.id.as_str();
    let (tenant, key) = (&inputs.caller.tenant.config, &inputs.caller.key.config);
    covers(&tenant.allowed_models, id) && covers(&key.allowed_models, id)
}

/// Whether a list of models has this one; an empty list has all, `author/*` a whole author.
pub fn covers(list: &[String], model: &str) -> bool {
    list.is_empty()
        || list.iter().any(|entry| match entry.strip_suffix('*') {
            Some(prefix) => model.starts_with(prefix),
            None => model == entry,
        })
}

/// The first rule that excludes an endpoint from a request, whoever's credential would be used.
pub fn excludes(
    inputs: &Inputs<'_>,
    wishes: &Wishes<'_>,
    target: &Target<'_>,
    endpoint: &Endpoint,
) -> Option<Reason> {
    if !endpoint.is_enabled() {
        return Some((Rule::Disabled, Detail::Plain));
    }
    capability::excludes(inputs, target.model, endpoint)
        .or_else(|| wishes::excludes(inputs, wishes, target, endpoint))
        .or_else(|| policy::region(wishes, endpoint))
}
