//! Reads streamed answers as the dialect has them, and undoes what the request changed.

use bytes::Bytes;

use crate::adapters::mistral::undo::Undoing;
use crate::adapters::openai::OpenAi;
use crate::adapters::{Adapter, Context, Decoder, Failure};
use crate::model::event::Event;
use crate::model::usage::Usage;

/// The push parser of this dialect.
pub struct StreamDecoder {
    inner: Box<dyn Decoder>,
    undoing: Undoing,
}

impl StreamDecoder {
    /// A parser at the beginning of a stream.
    pub fn new(context: Context) -> Self {
        Self { inner: OpenAi.decoder(&context), undoing: Undoing::new(context) }
    }

    fn undo(&mut self, events: &mut [Event]) {
        for event in events {
            if let Event::Chunk(chunk) = event {
                self.undoing.chunk(chunk);
            }
        }
    }
}

impl Decoder for StreamDecoder {
    fn push(&mut self, bytes: Bytes, events: &mut Vec<Event>) -> Result<(), Failure> {
        let before = events.len();
        let pushed = self.inner.push(bytes, events);
        self.undo(&mut events[before..]);
        pushed
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        let before = events.len();
        let finished = self.inner.finish(events);
        self.undo(&mut events[before..]);
        finished
    }

    fn usage(&self) -> Option<Usage> {
        self.inner.usage()
    }
}

#[cfg(test)]
mod tests;
