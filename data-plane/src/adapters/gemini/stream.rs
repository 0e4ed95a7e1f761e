//! Reads answers: whole ones, server-sent events, and the array of documents that comes without `alt=sse`.

use bytes::{Buf, Bytes};

use crate::adapters::gemini::answer::Teller;
use crate::adapters::gemini::documents::{Broken, Documents};
use crate::adapters::{Context, Decoder, Failure};
use crate::model::event::{Event, fold};
use crate::model::response::ChatResponse;
use crate::model::usage::Usage;
use crate::wire::sse::{DEFAULT_LIMIT, SseParser};

/// Reads the body of a success: one document, or an array of a stream's documents.
pub fn decode(body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
    let mut decoder = StreamDecoder::new(context.clone());
    let mut events = Vec::new();
    decoder.framing = Framing::documents();
    decoder.push(body.clone(), &mut events)?;
    decoder.finish(&mut events)?;
    Ok(fold(&events))
}

/// The push parser of this dialect.
#[derive(Debug)]
pub struct StreamDecoder {
    framing: Framing,
    teller: Teller,
    ended: bool,
}

/// How documents are told apart; the first letter of a stream shows it.
#[derive(Debug)]
enum Framing {
    Unknown,
    Events(Box<SseParser>),
    Documents(Documents),
}

impl Framing {
    fn documents() -> Self {
        Self::Documents(Documents::with_limit(DEFAULT_LIMIT))
    }

    /// No field of an event stream begins with a bracket or a brace.
    fn of(first: u8) -> Self {
        match first {
            b'[' | b'{' => Self::documents(),
            _ => Self::Events(Box::default()),
        }
    }

    fn push(&mut self, bytes: Bytes) {
        match self {
            Self::Unknown => {}
            Self::Events(events) => events.push(bytes),
            Self::Documents(documents) => documents.push(bytes),
        }
    }

    fn next(&mut self, at_end: bool) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Unknown => Ok(None),
            Self::Events(events) => {
                let event = if at_end { events.finish() } else { events.next_event() };
                let event = event.map_err(|_| Failure::malformed("an event that is too long"))?;
                Ok(event.map(|event| event.data))
            }
            Self::Documents(documents) => documents.next_document().map_err(|broken| match broken {
                Broken::TooLong => Failure::malformed("a document that is too long"),
                Broken::NoObject => Failure::malformed("what is no answer"),
            }),
        }
    }

    fn is_complete(&self) -> bool {
        match self {
            Self::Unknown | Self::Events(_) => true,
            Self::Documents(documents) => documents.is_complete(),
        }
    }
}

impl StreamDecoder {
    /// A parser at the beginning of a stream.
    pub fn new(context: Context) -> Self {
        Self { framing: Framing::Unknown, teller: Teller::new(context), ended: false }
    }

    fn tell(&mut self, at_end: bool, events: &mut Vec<Event>) -> Result<(), Failure> {
        while let Some(document) = self.framing.next(at_end)? {
            // Compatible servers say goodbye in OpenAI's way.
            if document.as_ref() != b"[DONE]" {
                self.teller.take(&document, events)?;
            }
        }
        Ok(())
    }
}

impl Decoder for StreamDecoder {
    fn push(&mut self, mut bytes: Bytes, events: &mut Vec<Event>) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        if matches!(self.framing, Framing::Unknown) {
            let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            bytes.advance(blank);
            let Some(first) = bytes.first() else { return Ok(()) };
            self.framing = Framing::of(*first);
        }
        self.framing.push(bytes);
        self.tell(false, events)
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        self.tell(true, events)?;
        if !self.framing.is_complete() {
            return Err(Failure::malformed("a stream that broke off"));
        }
        self.ended = true;
        self.teller.end(events)
    }

    fn usage(&self) -> Option<Usage> {
        self.teller.usage()
    }
}

#[cfg(test)]
mod tests;
