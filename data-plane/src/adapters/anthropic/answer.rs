//! Reads whole answers, and what whole and streamed answers have in common.

use bytes::Bytes;
use serde_json::Value;

use crate::adapters::anthropic::error::inside_success;
use crate::adapters::anthropic::usage::Counts;
use crate::adapters::anthropic::wire::{Block, Message};
use crate::adapters::shared::answer_blocks::{AnswerBlocks, Citation, Kind, Last};
use crate::adapters::{Context, Failure};
use crate::model::event::{Event, Start, fold};
use crate::model::response::{ChatResponse, FinishReason};
use crate::model::usage::Usage;

/// Reads the body of a success.
pub fn decode(body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
    let wire: Message<'_> =
        serde_json::from_slice(body).map_err(|_| Failure::malformed("an answer that is no message"))?;
    if let Some(error) = wire.error {
        return Err(inside_success(error.get()));
    }
    let Some(content) = &wire.content else { return Err(Failure::malformed("an answer without content")) };
    let (mut blocks, mut events) = (AnswerBlocks::new(context.clone()), vec![Event::Start(start(&wire))]);
    for (at, block) in (0..).zip(content) {
        open(&mut blocks, at, block, &mut events)?;
        blocks.close(at, &mut events);
    }
    let usage = wire.usage.map(Counts::parse).and_then(Counts::usage);
    blocks.end(last(wire.stop_reason.as_deref(), wire.stop_details.as_ref(), usage), &mut events);
    Ok(fold(&events))
}

/// What a message says of itself.
pub fn start(message: &Message<'_>) -> Start {
    Start {
        id: message.id.as_deref().map(str::to_owned),
        model: message.model.as_deref().map(str::to_owned),
        service_tier: message.usage.and_then(|usage| service_tier(usage.get())),
        ..Start::default()
    }
}

/// Opens a block and tells what it has from the beginning: all of it in whole answers.
///
/// # Errors
/// [`Failure`] for a block that is too long.
pub fn open(
    told: &mut AnswerBlocks,
    at: u64,
    block: &Block<'_>,
    events: &mut Vec<Event>,
) -> Result<(), Failure> {
    told.open(at, kind(block), events);
    match block.kind.as_ref() {
        "text" => {
            told.text(at, block.text.as_deref().unwrap_or_default(), events);
            block.citations.iter().flatten().for_each(|cited| told.cite(at, citation(cited)));
        }
        "thinking" => {
            let text = block.thinking.as_deref().unwrap_or_default();
            told.think(at, text, block.signature.as_deref(), events);
        }
        "redacted_thinking" => told.base64(at, block.data.as_deref().unwrap_or_default())?,
        // Deferred calls come complete; others start with an empty object.
        "tool_use" => told.arguments(at, block.arguments().unwrap_or_default(), events),
        "web_search_tool_result" => search_results(block).into_iter().for_each(|found| told.source(found)),
        _ => {}
    }
    Ok(())
}

fn kind<'a>(block: &'a Block<'_>) -> Kind<'a> {
    let text = |member: &'a Option<std::borrow::Cow<'_, str>>| member.as_deref().unwrap_or_default();
    match block.kind.as_ref() {
        "text" => Kind::Text,
        "thinking" => Kind::Thought,
        "redacted_thinking" => Kind::Redacted,
        "tool_use" => Kind::Call { id: text(&block.id), name: text(&block.name) },
        // The provider's own tools, compaction, and whatever comes next year.
        _ => Kind::Ignored,
    }
}

/// What a text rests on: a page, a search result, or a document of the prompt.
pub fn citation(wire: &Value) -> Citation {
    let text = |name: &str| wire[name].as_str().map(str::to_owned);
    Citation {
        url: text("url"),
        title: text("title").or_else(|| text("document_title")),
        content: text("cited_text").unwrap_or_default(),
        document: wire["document_index"].as_u64(),
    }
}

/// The pages that a search found; a search that failed has an object instead.
fn search_results(block: &Block<'_>) -> Vec<Citation> {
    let results: Value =
        block.content.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let pages = results.as_array().into_iter().flatten().filter(|page| page["url"].is_string());
    pages.map(citation).collect()
}

/// Why the answer ended.
pub fn last(stop_reason: Option<&str>, details: Option<&Value>, usage: Option<Usage>) -> Last {
    let reason = match stop_reason {
        Some("tool_use") => FinishReason::ToolCalls,
        Some("max_tokens" | "model_context_window_exceeded" | "compaction") => FinishReason::Length,
        Some("refusal") => FinishReason::ContentFilter,
        // `pause_turn` too: a loop of the provider's own tools, which the caller may send back to be gone on with.
        _ => FinishReason::Stop,
    };
    Last { reason, native: stop_reason.map(str::to_owned), refusal: refusal(reason, details), usage }
}

/// The model's explanation of a refusal.
fn refusal(reason: FinishReason, details: Option<&Value>) -> Option<String> {
    let explanation = details?.get("explanation")?.as_str().filter(|text| !text.is_empty())?;
    (reason == FinishReason::ContentFilter).then(|| explanation.to_owned())
}

/// The tier that served, in the words of the client's dialect; strict clients know no others.
pub fn service_tier(usage: &str) -> Option<String> {
    let usage: Value = serde_json::from_str(usage).ok()?;
    match usage["service_tier"].as_str()? {
        "standard" => Some("default".to_owned()),
        "priority" => Some("priority".to_owned()),
        _ => None,
    }
}
