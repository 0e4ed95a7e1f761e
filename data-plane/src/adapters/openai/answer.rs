//! Reads whole answers.

use std::mem;

use bytes::Bytes;

use crate::adapters::openai::citations::annotations;
use crate::adapters::openai::outcome::refused;
use crate::adapters::openai::parts::Progress;
use crate::adapters::openai::piece::{Ending, call_id, ending, read};
use crate::adapters::openai::think::Splitter;
use crate::adapters::openai::wire::{Body, Call, Choice as WireChoice, Content, List};
use crate::adapters::openai::{piece, usage};
use crate::adapters::shared::openai_error::{bare, inside_success};
use crate::adapters::{Context, Failure, FailureClass};
use crate::model::event::with_tools;
use crate::model::message::{ToolCall, ToolKind};
use crate::model::response::{ChatResponse, Choice, Finish, FinishReason, ResponseMessage};
use crate::wire::patch::{elements, member};

/// Reads the body of a success.
pub fn decode(body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
    let wire: Body<'_> = serde_json::from_slice(body)
        .map_err(|_| Failure::malformed("an answer that is no chat completion"))?;
    if let Some(error) = wire.error {
        return Err(inside_success(error.get()));
    }
    if let Some(failure) = wire.base_resp.and_then(|outcome| refused(outcome.get())) {
        return Err(failure);
    }
    let usage = wire.usage().and_then(usage::parse);
    let service_tier = wire.tier().map(Into::into);
    let mut sources_named = annotations(wire.citations, wire.search_results);
    let id = wire.id.owned();
    let Some(wire_choices) = wire.choices else { return Err(bare(body)) };
    if wire_choices.is_empty() {
        return Err(Failure::malformed("an answer without choices"));
    }
    let sources = sources(body, wire_choices.len());
    let mut choices = Vec::with_capacity(wire_choices.len());
    for (position, wire_choice) in wire_choices.into_iter().enumerate() {
        let (mut choice, mut canonical) = choice(wire_choice, position, id.as_deref(), context)?;
        if choice.message.annotations.is_empty() && !sources_named.is_empty() {
            choice.message.annotations = mem::take(&mut sources_named);
            canonical = false;
        }
        choice.raw = sources.get(position).filter(|_| canonical).cloned();
        choices.push(choice);
    }
    Ok(ChatResponse {
        id,
        created: wire.created.0,
        model: wire.model.owned(),
        choices,
        usage,
        service_tier,
        system_fingerprint: wire.system_fingerprint.owned(),
        raw: Some(body.clone()),
        ..ChatResponse::default()
    })
}

/// The choices as they stand in the body.
fn sources(body: &Bytes, expected: usize) -> Vec<Bytes> {
    let Some(list) = member(body, "choices") else { return Vec::new() };
    let list = body.slice_ref(list);
    let ranges = elements(&list).unwrap_or_default();
    if ranges.len() != expected {
        return Vec::new();
    }
    ranges.into_iter().map(|range| list.slice(range)).collect()
}

fn choice(
    mut wire: WireChoice<'_>,
    position: usize,
    answer: Option<&str>,
    context: &Context,
) -> Result<(Choice, bool), Failure> {
    if let Some(error) = wire.error {
        return Err(inside_success(error.get()));
    }
    let index = wire.index.0.and_then(|index| u32::try_from(index).ok()).unwrap_or(position as u32);
    let mut message = wire.message.take().unwrap_or_default();
    let complete = !matches!(message.content, Content::Missing);
    let piece::Piece { mut delta, mut canonical } =
        read(&mut message, context.hide_reasoning, &mut Progress::default());
    let mut splitter = Splitter::new(context.think_tags);
    if message.reasoning.get().or(message.reasoning_content.get()).is_some() {
        splitter.has_reasoning_apart();
    }
    canonical &= splitter.split(&mut delta, context.hide_reasoning);
    splitter.finish().put(&mut delta, context.hide_reasoning);
    let (mut calls, proper) = calls(mem::take(&mut message.tool_calls), answer, index);
    if let Some(legacy) = &message.function_call {
        let (name, arguments) = (legacy.name.0.clone().into_owned(), legacy.arguments().to_text());
        calls.push(ToolCall { id: call_id(answer, index, 0), kind: ToolKind::Function, name, arguments });
    }
    let native = wire.native_finish_reason.owned().or_else(|| wire.finish_reason.owned());
    let reason = match ending(&wire.finish_reason, &wire.native_finish_reason) {
        Some(Ending::Failed(word)) => return Err(broke_off(word)),
        Some(Ending::Finished(reason)) => reason,
        None if delta.is_content() || !calls.is_empty() => FinishReason::Stop,
        None => return Err(Failure::malformed("an answer without content and without an end")),
    };
    let message = ResponseMessage {
        content: delta.content,
        refusal: delta.refusal,
        reasoning: delta.reasoning,
        reasoning_details: delta.reasoning_details,
        annotations: delta.annotations,
        images: delta.images,
        audio: delta.audio,
        tool_calls: calls,
    };
    let finish = Finish { reason: with_tools(reason, !message.tool_calls.is_empty()), native };
    let logprobs = wire.logprobs.map(ToOwned::to_owned);
    let indexed = wire.index.0.is_some();
    Ok((Choice { index, message, finish, logprobs, raw: None }, canonical && complete && proper && indexed))
}

/// A failure that a provider reports by no more than a finish reason.
pub fn broke_off(word: &str) -> Failure {
    let class = match word {
        "insufficient_system_resource" => FailureClass::Overloaded,
        _ => FailureClass::Server,
    };
    Failure::reported(class, "", Some(word.to_owned()))
}

/// The calls, and whether they already have the canonical form.
fn calls(wire: List<Call<'_>>, answer: Option<&str>, choice: u32) -> (Vec<ToolCall>, bool) {
    let mut proper = !wire.is_odd;
    let mut calls = Vec::with_capacity(wire.items.len());
    for (position, call) in wire.items.into_iter().enumerate() {
        let kind = if call.custom.is_some() { ToolKind::Custom } else { ToolKind::Function };
        let invocation = call.custom.or(call.function).unwrap_or_default();
        let mut arguments = invocation.arguments().to_text();
        if arguments.is_empty() && kind == ToolKind::Function {
            arguments.push_str("{}");
            proper = false;
        }
        proper &= call.id.id().is_some() && invocation.arguments().is_text();
        let id = call.id.id().map_or_else(|| call_id(answer, choice, position), str::to_owned);
        calls.push(ToolCall { id, kind, name: invocation.name.0.into_owned(), arguments });
    }
    (calls, proper)
}
