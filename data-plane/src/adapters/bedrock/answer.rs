//! Reads whole answers, and what whole and streamed answers have in common.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::adapters::bedrock::error::inside_success;
use crate::adapters::bedrock::wire::{self, Answer, Block, ServiceTier};
use crate::adapters::shared::answer_blocks::{AnswerBlocks, Citation, Kind, Last};
use crate::adapters::{Context, Failure};
use crate::model::event::{Event, Start, fold};
use crate::model::response::{ChatResponse, FinishReason};
use crate::model::usage::Usage;

/// Reads the body of a success.
pub fn decode(body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
    let wire: Answer<'_> =
        serde_json::from_slice(body).map_err(|_| Failure::malformed("an answer that is none of Converse"))?;
    // A wrong path is answered with a success that names an error.
    let Some(output) = wire.output else { return Err(inside_success(body)) };
    let Some(message) = output.message else { return Err(Failure::malformed("an answer without a message")) };
    let (mut blocks, mut events) = (AnswerBlocks::new(context.clone()), vec![Event::Start(Start::default())]);
    for (at, block) in (0..).zip(message.content.iter().flatten()) {
        tell(&mut blocks, at, block, &mut events)?;
        blocks.close(at, &mut events);
    }
    let usage = wire.usage.and_then(|counts| counts.usage());
    blocks.end(last(wire.stop_reason.as_deref(), usage)?, &mut events);
    Ok(ChatResponse { service_tier: wire.service_tier.and_then(|tier| service_tier(&tier)), ..fold(&events) })
}

fn tell(told: &mut AnswerBlocks, at: u64, block: &Block<'_>, events: &mut Vec<Event>) -> Result<(), Failure> {
    if let Some(text) = &block.text {
        told.open(at, Kind::Text, events);
        told.text(at, text, events);
    } else if let Some(cited) = &block.citations_content {
        told.open(at, Kind::Text, events);
        cited.content.iter().flatten().for_each(|piece| told.text(at, &piece.text, events));
        cited.citations.iter().flatten().for_each(|wire| told.cite(at, citation(wire)));
    } else if let Some(call) = block.tool_use.as_ref().filter(|call| call.is_the_callers()) {
        told.open(at, Kind::Call { id: &call.tool_use_id, name: &call.name }, events);
        told.arguments(at, arguments(call).unwrap_or_default(), events);
    } else if let Some(reasoning) = &block.reasoning_content {
        think(told, at, reasoning, events)?;
    } else if let Some(image) = &block.image {
        told.open(at, Kind::Image { media_type: &media_type(image) }, events);
        told.base64(at, image_bytes(image))?;
    }
    // The provider's own tools, and whatever comes next year, are not told.
    Ok(())
}

fn think(
    told: &mut AnswerBlocks,
    at: u64,
    reasoning: &wire::Reasoning<'_>,
    events: &mut Vec<Event>,
) -> Result<(), Failure> {
    if let Some(redacted) = &reasoning.redacted_content {
        told.open(at, Kind::Redacted, events);
        return told.base64(at, redacted);
    }
    if let Some(readable) = &reasoning.reasoning_text {
        told.open(at, Kind::Thought, events);
        told.think(at, readable.text.as_deref().unwrap_or_default(), readable.signature.as_deref(), events);
    }
    Ok(())
}

/// The JSON text of a call's input; None for the empty object and for none.
fn arguments<'a>(call: &wire::ToolUse<'a>) -> Option<&'a str> {
    let input = call.input?.get();
    let is_empty = serde_json::from_str(input).is_ok_and(|object: Map<String, Value>| object.is_empty());
    (!is_empty && input != "null").then_some(input)
}

/// What a text rests on: a page, or a place in a document of the prompt.
pub fn citation(wire: &wire::Citation<'_>) -> Citation {
    let location: Value =
        wire.location.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let web = location.get("web");
    let member = |name: &str| Some(web?.get(name)?.as_str()?.to_owned());
    let place = location.as_object().and_then(|kinds| kinds.values().next());
    Citation {
        url: member("url"),
        title: wire.title.as_deref().map(str::to_owned).or_else(|| member("domain")),
        content: wire.source_content.iter().flatten().map(|piece| piece.text.as_ref()).collect(),
        document: place.and_then(|place| place.get("documentIndex")?.as_u64()),
    }
}

/// The media type of an image.
pub fn media_type(image: &wire::Image<'_>) -> String {
    format!("image/{}", image.format.as_deref().unwrap_or("png"))
}

/// The bytes of an image, as base64.
pub fn image_bytes<'a>(image: &'a wire::Image<'_>) -> &'a str {
    image.source.as_ref().and_then(|source| source.bytes.as_deref()).unwrap_or_default()
}

/// Why the answer ended.
///
/// # Errors
/// [`Failure`] where the model's output was not what Bedrock can tell; another attempt may go better.
pub fn last(stop_reason: Option<&str>, usage: Option<Usage>) -> Result<Last, Failure> {
    let reason = match stop_reason {
        Some("tool_use") => FinishReason::ToolCalls,
        Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
        Some("guardrail_intervened" | "content_filtered" | "refusal") => FinishReason::ContentFilter,
        Some(broken @ ("malformed_model_output" | "malformed_tool_use")) => {
            let failure = Failure::malformed("an answer that the model did not form well");
            return Err(Failure { provider_code: Some(broken.to_owned()), ..failure });
        }
        _ => FinishReason::Stop,
    };
    Ok(Last { reason, native: stop_reason.map(str::to_owned), refusal: None, usage })
}

/// The tier that served, in the words of the client's dialect; strict clients know no others.
pub fn service_tier(tier: &ServiceTier<'_>) -> Option<String> {
    tier.kind.owned().filter(|tier| matches!(tier.as_str(), "default" | "priority" | "flex"))
}
