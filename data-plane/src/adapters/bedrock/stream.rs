//! Reads streamed answers: framed events that fill and close blocks; only calls and images are opened by one.

use std::mem;

use bytes::{Bytes, BytesMut};

use crate::adapters::bedrock::answer::{citation, image_bytes, last, media_type, service_tier};
use crate::adapters::bedrock::error::{inside_stream, inside_success};
use crate::adapters::bedrock::usage::Counts;
use crate::adapters::bedrock::wire::{BlockStart, Delta, ReasoningDelta, StreamEvent};
use crate::adapters::shared::answer_blocks::{AnswerBlocks, Kind};
use crate::adapters::shared::tier::Tier;
use crate::adapters::{Context, Decoder, Failure};
use crate::model::event::{Event, Start};
use crate::model::usage::Usage;
use crate::wire::eventstream::{Frame, FrameError, FrameParser};

/// Longest JSON that may stand where a stream was promised.
const MOST_JSON: usize = 1024 * 1024;

/// The push parser of this dialect.
#[derive(Debug)]
pub struct StreamDecoder {
    frames: FrameParser,
    /// A body that is JSON although a stream was promised: an error without a status of its own.
    json: Option<BytesMut>,
    blocks: AnswerBlocks,
    started: bool,
    ended: bool,
    stop_reason: Option<String>,
    counts: Option<Counts>,
    tier: Tier,
}

impl StreamDecoder {
    /// A parser at the beginning of a stream.
    pub fn new(context: Context) -> Self {
        Self {
            frames: FrameParser::default(),
            json: None,
            blocks: AnswerBlocks::new(context),
            started: false,
            ended: false,
            stop_reason: None,
            counts: None,
            tier: Tier::default(),
        }
    }

    fn take(&mut self, frame: &Frame, events: &mut Vec<Event>) -> Result<(), Failure> {
        match frame.header(":message-type") {
            Some("exception") => {
                let name = frame.header(":exception-type").unwrap_or_default();
                return Err(inside_stream(name, frame.payload()));
            }
            Some("error") => {
                let name = frame.header(":error-code").unwrap_or_default();
                let message = frame.header(":error-message").unwrap_or_default();
                let said = serde_json::json!({ "message": message }).to_string();
                return Err(inside_stream(name, said.as_bytes()));
            }
            _ => {}
        }
        let Some(kind) = frame.header(":event-type").filter(|kind| EVENTS.contains(kind)) else {
            return Ok(());
        };
        let wire: StreamEvent<'_> = serde_json::from_slice(frame.payload())
            .map_err(|_| Failure::malformed("an event that is none of Converse"))?;
        self.event(kind, wire, events)
    }

    fn event(&mut self, kind: &str, wire: StreamEvent<'_>, events: &mut Vec<Event>) -> Result<(), Failure> {
        if !mem::replace(&mut self.started, true) {
            events.push(Event::Start(Start::default()));
        }
        let at = wire.content_block_index;
        match kind {
            "contentBlockStart" => self.open(at, wire.start.unwrap_or_default(), events),
            "contentBlockDelta" => return self.fill(at, &wire.delta.unwrap_or_default(), events),
            "contentBlockStop" => self.blocks.close(at, events),
            "messageStop" => self.stop_reason = Some(wire.stop_reason.unwrap_or_default().into_owned()),
            "metadata" => {
                self.counts = wire.usage.or(self.counts.take());
                self.tier.hear(wire.service_tier.and_then(|tier| service_tier(&tier)).as_deref());
            }
            _ => {}
        }
        // The counts come after the end; a service that turned this round would be understood too.
        match (&self.stop_reason, &self.counts) {
            (Some(_), Some(_)) => self.end(events),
            _ => Ok(()),
        }
    }

    fn open(&mut self, at: u64, start: BlockStart<'_>, events: &mut Vec<Event>) {
        match (&start.tool_use, &start.image) {
            (Some(call), _) if call.is_the_callers() => {
                self.blocks.open(at, Kind::Call { id: &call.tool_use_id, name: &call.name }, events);
            }
            (None, Some(image)) => {
                self.blocks.open(at, Kind::Image { media_type: &media_type(image) }, events);
            }
            // The provider's own tools and their results, and whatever comes next year.
            _ => self.blocks.open(at, Kind::Ignored, events),
        }
    }

    fn fill(&mut self, at: u64, delta: &Delta<'_>, events: &mut Vec<Event>) -> Result<(), Failure> {
        if !self.blocks.is_open(at) {
            self.blocks.open(at, kind(delta), events);
        }
        if let Some(text) = &delta.text {
            self.blocks.text(at, text, events);
        }
        if let Some(call) = &delta.tool_use {
            self.blocks.arguments(at, call.input.as_deref().unwrap_or_default(), events);
        }
        if let Some(cited) = &delta.citation {
            self.blocks.cite(at, citation(cited));
        }
        if let Some(image) = &delta.image {
            self.blocks.base64(at, image_bytes(image))?;
        }
        match &delta.reasoning_content {
            Some(reasoning) => self.think(at, reasoning, events),
            None => Ok(()),
        }
    }

    fn think(&mut self, at: u64, piece: &ReasoningDelta<'_>, events: &mut Vec<Event>) -> Result<(), Failure> {
        self.blocks.think(at, piece.text.as_deref().unwrap_or_default(), piece.signature.as_deref(), events);
        self.blocks.base64(at, piece.redacted_content.as_deref().unwrap_or_default())
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        let usage = self.counts.as_ref().and_then(Counts::usage);
        let last = last(self.stop_reason.as_deref(), usage)?;
        events.extend(self.tier.at_end());
        self.blocks.end(last, events);
        self.ended = true;
        Ok(())
    }

    /// Whether the bytes are JSON: no message is so long that its length begins with a brace.
    fn keep_json(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        if self.json.is_none() && !self.started && self.frames.is_empty() && bytes.first() == Some(&b'{') {
            self.json = Some(BytesMut::new());
        }
        let Some(json) = &mut self.json else { return Ok(false) };
        if json.len() + bytes.len() > MOST_JSON {
            return Err(Failure::malformed("a body that is too long to be an error"));
        }
        json.extend_from_slice(bytes);
        Ok(true)
    }
}

/// Events that are read.
const EVENTS: [&str; 6] =
    ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];

/// What a block is that begins with this piece.
fn kind(delta: &Delta<'_>) -> Kind<'static> {
    match delta {
        Delta { text: Some(_), .. } | Delta { citation: Some(_), .. } => Kind::Text,
        Delta { reasoning_content: Some(ReasoningDelta { redacted_content: Some(_), .. }), .. } => {
            Kind::Redacted
        }
        Delta { reasoning_content: Some(_), .. } => Kind::Thought,
        _ => Kind::Ignored,
    }
}

impl Decoder for StreamDecoder {
    fn push(&mut self, bytes: Bytes, events: &mut Vec<Event>) -> Result<(), Failure> {
        if self.ended || self.keep_json(&bytes)? {
            return Ok(());
        }
        self.frames.push(&bytes);
        while !self.ended
            && let Some(frame) = self.frames.next_frame().map_err(unframed)?
        {
            self.take(&frame, events)?;
        }
        Ok(())
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        if let Some(json) = &self.json {
            return Err(inside_success(json));
        }
        match (self.ended, &self.stop_reason) {
            (true, _) => Ok(()),
            // Told to the end, though nobody counted.
            (false, Some(_)) if self.frames.is_empty() => self.end(events),
            _ => Err(Failure::malformed("a stream that broke off")),
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.counts.as_ref().and_then(Counts::usage).map(Usage::partial)
    }
}

fn unframed(error: FrameError) -> Failure {
    Failure::malformed(match error {
        FrameError::TooLong => "an event that is too long",
        FrameError::Lengths | FrameError::Damaged => "an event that is damaged",
    })
}

#[cfg(test)]
mod tests;
