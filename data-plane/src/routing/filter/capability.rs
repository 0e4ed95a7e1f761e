//! What an endpoint can do: media, tools, structured output, how much it reads and writes.

use crate::config::snapshot::{Endpoint, Model};
use crate::model::facts::{Facts, Media};
use crate::model::parameter::{Parameter, Parameters};
use crate::model::task::Operation;
use crate::price;
use crate::routing::filter::{Detail, Reason, Rule};
use crate::routing::inputs::{FormatDemand, Inputs, ToolDemand};

/// The first capability that the endpoint lacks.
pub fn excludes(inputs: &Inputs<'_>, model: &Model, endpoint: &Endpoint) -> Option<Reason> {
    operation(inputs.facts.operation, model, endpoint)
        .or_else(|| media(inputs.facts, model, endpoint))
        .or_else(|| files(inputs.facts, endpoint))
        .or_else(|| output(inputs, model))
        .or_else(|| calls(inputs, endpoint))
        .or_else(|| fit(inputs, endpoint))
}

/// A model is called for what it puts out, where its provider's dialect has a place for that.
fn operation(asked: Operation, model: &Model, endpoint: &Endpoint) -> Option<Reason> {
    let output = &model.config.output_modalities;
    if !asked.is_made_by(output) {
        return Some((Rule::Operation, Detail::MadeFor(Operation::of_modalities(output))));
    }
    (!endpoint.provider.has(asked)).then_some((Rule::Operation, Detail::Lacks(asked)))
}

fn media(facts: &Facts, model: &Model, endpoint: &Endpoint) -> Option<Reason> {
    let accepted = match endpoint.config.input_modalities.as_slice() {
        [] => &model.config.input_modalities,
        own => own,
    };
    // Adapters take files apart where a model does not read them whole, so its row need not name them.
    let is_unread = |media: Media| {
        media != Media::File && !accepted.is_empty() && !accepted.iter().any(|name| name == media.name())
    };
    let refused = &endpoint.quirks.chat.refuse_media;
    facts
        .modalities()
        .find(|media| refused.contains(media) || is_unread(*media))
        .map(|media| (Rule::Modality, Detail::Media(media)))
}

fn files(facts: &Facts, endpoint: &Endpoint) -> Option<Reason> {
    if facts.file_types.is_empty() {
        return None;
    }
    let refused = facts.file_types.without(endpoint.provider.adapter.files());
    (!refused.is_empty()).then_some((Rule::FileType, Detail::Files(refused)))
}

fn output(inputs: &Inputs<'_>, model: &Model) -> Option<Reason> {
    let produced = &model.config.output_modalities;
    let lacks = |kind: &String| kind != "text" && !produced.contains(kind);
    (!produced.is_empty() && inputs.output_modalities.iter().any(lacks))
        .then_some((Rule::OutputModality, Detail::Plain))
}

/// Tools and forms of output. Where the row does not say what is supported, everything is tried.
fn calls(inputs: &Inputs<'_>, endpoint: &Endpoint) -> Option<Reason> {
    let supported = endpoint.supported;
    if supported.is_empty() {
        return None;
    }
    let has = |parameter| supported.contains(parameter);
    let sends_tools = inputs.tools != ToolDemand::None || inputs.facts.parameters.contains(Parameter::Tools);
    if sends_tools && !has(Parameter::Tools) {
        return Some((Rule::Tools, Detail::Plain));
    }
    if inputs.tools == ToolDemand::Forced && !has(Parameter::ToolChoice) {
        return Some((Rule::ToolChoice, Detail::Plain));
    }
    // A schema can be enforced by a forced tool, too.
    let can_structure = has(Parameter::StructuredOutputs)
        || has(Parameter::ResponseFormat)
        || (has(Parameter::Tools) && has(Parameter::ToolChoice));
    let is_missing = match inputs.format {
        FormatDemand::Schema => !can_structure,
        FormatDemand::Other => !has(Parameter::ResponseFormat),
        FormatDemand::Text | FormatDemand::Json => false,
    };
    is_missing.then_some((Rule::StructuredOutput, Detail::Plain))
}

fn fit(inputs: &Inputs<'_>, endpoint: &Endpoint) -> Option<Reason> {
    let most = endpoint.config.max_output_tokens;
    if let Some(asked) = inputs.max_output_tokens.filter(|asked| most > 0 && *asked > most) {
        return Some((Rule::OutputLimit, Detail::Tokens { asked, most }));
    }
    // Documents that do not fit are ranked in pieces.
    if inputs.facts.operation == Operation::Rerank {
        return None;
    }
    let (prompt, window) = (price::longest_estimate(inputs.facts), endpoint.context_length());
    let output = inputs.max_output_tokens.unwrap_or(0);
    let is_over = prompt.saturating_add(output) > window;
    is_over.then_some((Rule::ContextLength, Detail::Window { prompt, output, window }))
}

/// How much of what a request asks for would be lost at an endpoint that is not excluded for it: reasoning, native
/// structured output, verbosity. Endpoints that lose nothing are tried first.
pub fn losses(inputs: &Inputs<'_>, endpoint: &Endpoint) -> u8 {
    let supported = endpoint.supported;
    if supported.is_empty() {
        return 0;
    }
    let has = |parameter| supported.contains(parameter);
    let formats = inputs.format != FormatDemand::Text
        && !has(Parameter::ResponseFormat)
        && !has(Parameter::StructuredOutputs);
    let reasons = inputs.reasoning && !has(Parameter::Reasoning) && !has(Parameter::ReasoningEffort);
    let verbosity = inputs.facts.parameters.contains(Parameter::Verbosity) && !has(Parameter::Verbosity);
    u8::from(formats) + u8::from(reasons) + u8::from(verbosity)
}

/// Parameters sent that the endpoint does not take.
pub fn lacking(facts: &Facts, endpoint: &Endpoint) -> Parameters {
    if endpoint.supported.is_empty() {
        return Parameters::NONE;
    }
    facts.parameters.without(endpoint.supported).without(ALWAYS)
}

/// Parameters that every endpoint can be given, or that the router itself takes care of.
const ALWAYS: Parameters = Parameters::of(&[
    Parameter::MaxTokens,
    Parameter::MaxCompletionTokens,
    Parameter::User,
    Parameter::Metadata,
    Parameter::SafetyIdentifier,
    Parameter::Plugins,
    Parameter::Transforms,
    Parameter::CacheControl,
    Parameter::IncludeReasoning,
    Parameter::Store,
    Parameter::N,
    Parameter::ServiceTier,
]);
