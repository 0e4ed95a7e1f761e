//! Looks at what a choice says: refusals, cuts, emptiness, and whether its text is the JSON that was asked for.

use serde::de::IgnoredAny;

use crate::judge::asked::{Asked, Form};
use crate::model::response::{ChatResponse, Choice, FinishReason, ResponseMessage};

/// What the first choice with such a trouble has; the trouble is told with its place in the answer.
fn in_choices(answer: &ChatResponse, wrong: impl Fn(&Choice) -> Option<String>) -> Option<String> {
    answer
        .choices
        .iter()
        .find_map(|choice| wrong(choice).map(|wrong| format!("choices[{}].{wrong}", choice.index)))
}

/// A refusal in words or by a filter, in any choice.
pub(super) fn refusal(answer: &ChatResponse, _: &Asked) -> Option<String> {
    in_choices(answer, |choice| match choice.finish.reason {
        FinishReason::ContentFilter => Some("finish_reason is content_filter".to_owned()),
        _ => is_there(&choice.message.refusal).then(|| "message holds a refusal".to_owned()),
    })
}

/// A cut by the cap on tokens, in any choice.
pub(super) fn length(answer: &ChatResponse, _: &Asked) -> Option<String> {
    in_choices(answer, |choice| is_cut(choice).then(|| "finish_reason is length".to_owned()))
}

/// Whether a choice was cut off by its cap on tokens.
pub(super) fn is_cut(choice: &Choice) -> bool {
    choice.finish.reason == FinishReason::Length
}

/// No choice, or one without anything to use. Reasoning alone is nothing to use.
pub(super) fn empty(answer: &ChatResponse, _: &Asked) -> Option<String> {
    if answer.choices.is_empty() {
        return Some("choices is empty".to_owned());
    }
    in_choices(answer, |choice| is_empty(&choice.message).then(|| "message is empty".to_owned()))
}

fn is_empty(message: &ResponseMessage) -> bool {
    let has_media = !message.images.is_empty() || message.audio.is_some();
    !is_there(&message.content) && !is_there(&message.refusal) && message.tool_calls.is_empty() && !has_media
}

fn is_there(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.trim().is_empty())
}

/// Text that is not one JSON value, in any choice of an answer that was to be JSON.
pub(super) fn invalid_json(answer: &ChatResponse, asked: &Asked) -> Option<String> {
    if matches!(asked.form, Form::Any) {
        return None;
    }
    in_choices(answer, |choice| {
        let wrong = not_json(text(&choice.message)?)?;
        Some(format!("message.content is not JSON ({wrong})"))
    })
}

/// The text to be judged; None where the model called tools or refused instead of writing.
fn text(message: &ResponseMessage) -> Option<&str> {
    let is_other = !message.tool_calls.is_empty() || is_there(&message.refusal);
    match message.content.as_deref() {
        Some(text) if !text.trim().is_empty() => Some(text),
        _ if is_other => None,
        _ => Some(""),
    }
}

/// Why this text is not one JSON value (RFC 8259), by the place of its fault; None if it is one.
///
/// Only the grammar is looked at: no number is too large and no nesting too deep.
pub(super) fn not_json(text: &str) -> Option<String> {
    let refused = serde_json::from_str::<IgnoredAny>(text).err()?;
    Some(format!("line {}, column {}", refused.line(), refused.column()))
}

/// Text that does not fit the request's schema or the policy's, in any choice.
pub(super) fn schema(answer: &ChatResponse, asked: &Asked) -> Option<String> {
    let own = asked.own_schema();
    let schemas = [(own, "the schema of response_format"), (asked.policy.as_deref(), "the policy's schema")];
    schemas.into_iter().find_map(|(schema, whose)| {
        let schema = schema?;
        in_choices(answer, |choice| {
            let wrong = schema.misfit(text(&choice.message)?)?;
            Some(format!("message.content does not fit {whose}: {wrong}"))
        })
    })
}
