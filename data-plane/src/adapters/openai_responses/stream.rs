//! Reads streamed answers: events that open, fill and close items, between a beginning and an end.
//!
//! The type inside the data counts: not every host names its events.

use std::mem;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::adapters::openai_responses::answer::{check, counts, end, tier};
use crate::adapters::openai_responses::reasoning::Kind;
use crate::adapters::openai_responses::teller::Teller;
use crate::adapters::openai_responses::wire::{Item, Part, Response, StreamEvent};
use crate::adapters::shared::lenient::Text;
use crate::adapters::shared::openai_error::bare;
use crate::adapters::shared::tier::Tier;
use crate::adapters::{Context, Decoder, Failure, FailureClass};
use crate::model::event::{ChoiceDelta, Chunk, Event, Start};
use crate::model::usage::Usage;
use crate::wire::sse::{SseEvent, SseParser};

/// The push parser of this dialect.
#[derive(Debug)]
pub struct StreamDecoder {
    sse: SseParser,
    teller: Teller,
    started: bool,
    ended: bool,
    usage: Option<Usage>,
    tier: Tier,
}

impl StreamDecoder {
    /// A parser at the beginning of a stream.
    pub fn new(context: Context) -> Self {
        Self {
            sse: SseParser::default(),
            teller: Teller::new(context),
            started: false,
            ended: false,
            usage: None,
            tier: Tier::default(),
        }
    }

    fn take(&mut self, event: &SseEvent, events: &mut Vec<Event>) -> Result<(), Failure> {
        // OpenRouter adds chat's end mark; the answer's own end came before it.
        if event.data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        let wire: StreamEvent<'_> = serde_json::from_slice(&event.data)
            .map_err(|_| Failure::malformed("an event that is no JSON object"))?;
        let name = std::str::from_utf8(&event.event).unwrap_or_default();
        match wire.kind.get().unwrap_or(name) {
            "response.created" | "response.queued" | "response.in_progress" => {
                self.start(&response(wire.response), events);
            }
            "response.completed" => return self.end(&response(wire.response), "completed", events),
            "response.incomplete" => return self.end(&response(wire.response), "incomplete", events),
            "response.failed" => return self.fail(&response(wire.response), "failed"),
            "response.cancelled" => return self.fail(&response(wire.response), "cancelled"),
            "error" | "response.error" => return Err(bare(&event.data)),
            "" if wire.error.is_some() => return Err(bare(&event.data)),
            kind => {
                let mut pieces = Vec::new();
                tell(&mut self.teller, kind, &wire, &mut pieces);
                self.push_pieces(pieces, events);
            }
        }
        Ok(())
    }

    fn start(&mut self, wire: &Response<'_>, events: &mut Vec<Event>) {
        if mem::replace(&mut self.started, true) {
            return;
        }
        self.teller.identify(wire.id.get().unwrap_or_default());
        self.tier.hear(tier(wire).as_deref());
        events.push(Event::Start(Start {
            id: wire.id.owned(),
            model: wire.model.owned(),
            created: wire.created_at.0,
            service_tier: self.tier.at_start(),
            system_fingerprint: None,
        }));
    }

    fn push_pieces(&mut self, pieces: Vec<ChoiceDelta>, events: &mut Vec<Event>) {
        if !pieces.is_empty() {
            self.start(&Response::default(), events);
        }
        let chunk = |piece| Event::Chunk(Chunk { choices: vec![piece], ..Chunk::default() });
        events.extend(pieces.into_iter().map(chunk));
    }

    fn end(&mut self, wire: &Response<'_>, status: &str, events: &mut Vec<Event>) -> Result<(), Failure> {
        self.usage = counts(wire, &self.teller);
        check(wire)?;
        self.start(wire, events);
        self.tier.hear(tier(wire).as_deref());
        let pieces = end(&mut self.teller, wire, Some(status));
        self.push_pieces(pieces, events);
        // The end may bring searches that no event told of.
        self.usage = counts(wire, &self.teller);
        events.extend(self.tier.at_end());
        events.extend(self.usage.map(Event::Usage));
        events.push(Event::Done);
        self.ended = true;
        Ok(())
    }

    fn fail(&mut self, wire: &Response<'_>, status: &'static str) -> Result<(), Failure> {
        self.usage = counts(wire, &self.teller);
        check(wire)?;
        Err(Failure::reported(FailureClass::Server, "", Some(status.to_owned())))
    }
}

/// The response inside an event; one that cannot be read says nothing.
fn response(raw: Option<&RawValue>) -> Response<'_> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// Tells what an event adds to the answer; unknown events add nothing.
fn tell(teller: &mut Teller, kind: &str, wire: &StreamEvent<'_>, out: &mut Vec<ChoiceDelta>) {
    let at = wire.output_index.get();
    let (part, summary) = (wire.content_index.get(), (Kind::Summary, wire.summary_index.get()));
    let (delta, id) = (wire.delta.0.as_ref(), wire.item_id.get());
    let logprobs = wire.logprobs.as_deref();
    match kind {
        "response.output_text.delta" => teller.text(at, part, delta, logprobs, out),
        "response.refusal.delta" => teller.refusal(at, part, delta, out),
        "response.output_text.annotation.added" => {
            if let Some(cited) = &wire.annotation {
                teller.cite(at, part, cited, out);
            }
        }
        "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
            teller.arguments(at, delta, out);
        }
        "response.function_call_arguments.done" => teller.all_arguments(at, &wire.arguments.0, out),
        "response.custom_tool_call_input.done" => teller.all_arguments(at, &wire.input.0, out),
        "response.reasoning_summary_text.delta" => teller.thought(at, summary, id, delta, out),
        "response.reasoning_summary_text.done" => teller.all_thought(at, summary, id, &wire.text.0, out),
        "response.reasoning_text.delta" => teller.thought(at, (Kind::Text, part), id, delta, out),
        "response.reasoning_text.done" => {
            teller.all_thought(at, (Kind::Text, part), id, &wire.text.0, out);
        }
        "response.output_text.done" | "response.refusal.done" => {
            let kind = Text(if wire.refusal.get().is_some() { "refusal" } else { "output_text" }.into());
            let (text, refusal) = (wire.text.clone(), wire.refusal.clone());
            let logprobs = wire.logprobs.clone();
            teller.settle_part(at, part, &Part { kind, text, refusal, annotations: None, logprobs }, out);
        }
        "response.output_item.added" => item(wire, |item| teller.open(at, item, out)),
        "response.output_item.done" => item(wire, |item| teller.settle(at, item, out)),
        _ => {}
    }
}

fn item(wire: &StreamEvent<'_>, take: impl FnOnce(&Item<'_>)) {
    if let Some(item) = wire.item.and_then(|item| serde_json::from_str(item.get()).ok()) {
        take(&item);
    }
}

impl Decoder for StreamDecoder {
    fn push(&mut self, bytes: Bytes, events: &mut Vec<Event>) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        self.sse.push(bytes);
        while !self.ended
            && let Some(event) = self.sse.next_event().map_err(|_| too_long())?
        {
            self.take(&event, events)?;
        }
        Ok(())
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        while !self.ended
            && let Some(event) = self.sse.finish().map_err(|_| too_long())?
        {
            self.take(&event, events)?;
        }
        if self.ended { Ok(()) } else { Err(Failure::malformed("a stream that broke off")) }
    }

    fn usage(&self) -> Option<Usage> {
        self.usage.map(Usage::partial)
    }
}

fn too_long() -> Failure {
    Failure::malformed("an event that is too long")
}

#[cfg(test)]
mod tests;
