//! Reads streamed answers: named events that open, fill and close blocks.

use std::mem;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::adapters::anthropic::answer::{citation, last, open, service_tier, start};
use crate::adapters::anthropic::error::inside_success;
use crate::adapters::anthropic::usage::Counts;
use crate::adapters::anthropic::wire::{Delta as WireDelta, Message, StreamEvent};
use crate::adapters::shared::answer_blocks::AnswerBlocks;
use crate::adapters::shared::tier::Tier;
use crate::adapters::{Context, Decoder, Failure};
use crate::model::event::{Event, Start};
use crate::model::usage::Usage;
use crate::wire::sse::{SseEvent, SseParser};

/// The push parser of this dialect.
#[derive(Debug)]
pub struct StreamDecoder {
    sse: SseParser,
    blocks: AnswerBlocks,
    started: bool,
    ended: bool,
    counts: Counts,
    tier: Tier,
    stop_reason: Option<String>,
    stop_details: Option<Value>,
}

impl StreamDecoder {
    /// A parser at the beginning of a stream.
    pub fn new(context: Context) -> Self {
        Self {
            sse: SseParser::default(),
            blocks: AnswerBlocks::new(context),
            started: false,
            ended: false,
            counts: Counts::default(),
            tier: Tier::default(),
            stop_reason: None,
            stop_details: None,
        }
    }

    fn take(&mut self, event: &SseEvent, events: &mut Vec<Event>) -> Result<(), Failure> {
        let wire: StreamEvent<'_> = serde_json::from_slice(&event.data)
            .map_err(|_| Failure::malformed("an event that is no JSON"))?;
        if !self.started && wire.kind.starts_with("content_block") {
            return Err(Failure::malformed("content before an answer's start"));
        }
        match wire.kind.as_ref() {
            "message_start" => {
                let message = wire.message.ok_or_else(|| Failure::malformed("a start without a message"))?;
                self.start(&message, events);
            }
            "content_block_start" => {
                if let Some(block) = &wire.content_block {
                    return open(&mut self.blocks, wire.index, block, events);
                }
            }
            "content_block_delta" => {
                if let Some(delta) = &wire.delta {
                    self.fill(wire.index, delta, events);
                }
            }
            "content_block_stop" => self.blocks.close(wire.index, events),
            "message_delta" => self.turn(wire.delta, wire.usage),
            "message_stop" => return self.end(events),
            "error" => return Err(inside_success(wire.error.map_or("null", |error| error.get()))),
            // Pings, and whatever comes next year.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, message: &Message<'_>, events: &mut Vec<Event>) {
        if mem::replace(&mut self.started, true) {
            return;
        }
        if let Some(usage) = message.usage {
            self.counts = Counts::parse(usage);
            self.tier.hear(service_tier(usage.get()).as_deref());
        }
        events.push(Event::Start(Start { service_tier: self.tier.at_start(), ..start(message) }));
    }

    fn fill(&mut self, index: u64, delta: &WireDelta<'_>, events: &mut Vec<Event>) {
        match delta.kind.as_ref() {
            "text_delta" => {
                self.blocks.text(index, delta.text.as_deref().unwrap_or_default(), events);
            }
            "citations_delta" => {
                delta.citation.iter().for_each(|cited| self.blocks.cite(index, citation(cited)));
            }
            "thinking_delta" => {
                self.blocks.think(index, delta.thinking.as_deref().unwrap_or_default(), None, events);
            }
            "signature_delta" => self.blocks.think(index, "", delta.signature.as_deref(), events),
            "input_json_delta" => {
                self.blocks.arguments(index, delta.partial_json.as_deref().unwrap_or_default(), events);
            }
            // Compaction, and whatever comes next year.
            _ => {}
        }
    }

    /// `message_delta`: why it stopped, and running totals.
    fn turn(&mut self, delta: Option<WireDelta<'_>>, usage: Option<&RawValue>) {
        if let Some(delta) = delta {
            self.stop_reason = delta.stop_reason.map(Into::into).or(self.stop_reason.take());
            self.stop_details = delta.stop_details.or(self.stop_details.take());
        }
        if let Some(usage) = usage {
            self.counts = self.counts.replaced_by(Counts::parse(usage));
            self.tier.hear(service_tier(usage.get()).as_deref());
        }
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        if !self.started {
            return Err(Failure::malformed("a stream without an answer"));
        }
        let last = last(self.stop_reason.as_deref(), self.stop_details.as_ref(), self.counts.usage());
        events.extend(self.tier.at_end());
        self.blocks.end(last, events);
        self.ended = true;
        Ok(())
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
        match (self.ended, &self.stop_reason) {
            (true, _) => Ok(()),
            (false, Some(_)) => self.end(events),
            (false, None) => Err(Failure::malformed("a stream that broke off")),
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.counts.usage().map(Usage::partial)
    }
}

fn too_long() -> Failure {
    Failure::malformed("an event that is too long")
}

#[cfg(test)]
mod tests;
