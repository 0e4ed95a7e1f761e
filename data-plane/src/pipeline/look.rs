//! A look at the tool calls of some answers, so that health knows how well an endpoint makes them.
//!
//! It comes after the caller has everything. Where a stage judges answers every one is looked at, since what it takes is
//! there; else one in a few, by the request's seed.

use tokio::task::yield_now;

use crate::config::snapshot::Endpoint;
use crate::judge::{self, Asked};
use crate::model::event::{Event, Fold};
use crate::model::request::ChatRequest;
use crate::model::response::ChatResponse;
use crate::routing::health::Health;

/// Of so many requests with tools one is looked at where nobody judges answers.
const ONE_IN: u64 = 8;
/// Bytes of text of the longest stream that is looked at.
const LONGEST: usize = 1 << 20;

/// One answer that is to be looked at.
pub struct Look<'a> {
    health: &'a Health,
    endpoint: &'a Endpoint,
    request: &'a ChatRequest,
    /// What its calls are held against, where that is known already.
    asked: Option<&'a Asked>,
    /// What went by of a stream.
    fold: Fold,
    /// Bytes of text that may still be kept; a longer stream is not looked at.
    room: usize,
}

impl<'a> Look<'a> {
    /// None where the answer is not to be looked at.
    pub fn of(
        health: &'a Health,
        endpoint: &'a Endpoint,
        (request, seed): (&'a ChatRequest, u64),
        asked: Option<&'a Asked>,
    ) -> Option<Self> {
        let is_due = request.facts.tools > 0 && (asked.is_some() || is_drawn(seed));
        is_due.then(|| Self { health, endpoint, request, asked, fold: Fold::default(), room: LONGEST })
    }

    /// Takes the next event of a stream.
    pub fn take(&mut self, event: &Event) {
        let bytes = match event {
            Event::Chunk(chunk) => chunk.choices.iter().map(|choice| choice.delta.text_bytes()).sum(),
            Event::Start(_) | Event::Tier(_) | Event::Usage(_) | Event::Done => 0,
        };
        self.room = self.room.saturating_sub(bytes);
        match self.room {
            0 => self.fold = Fold::default(),
            _ => self.fold.push(event),
        }
    }

    /// Looks at a stream that was told to its end.
    pub async fn at_stream(mut self) {
        let answer = std::mem::take(&mut self.fold).finish();
        if self.room > 0 {
            self.after(&answer).await;
        }
    }

    /// Looks at an answer that was handed over: first whoever writes it to the caller gets this thread.
    pub async fn after(self, answer: &ChatResponse) {
        yield_now().await;
        self.at(answer);
    }

    /// Looks at an answer now.
    pub fn at(self, answer: &ChatResponse) {
        let quality = match self.asked {
            Some(asked) => judge::tool_quality(answer, asked),
            // Tools that cannot be read are nobody's fault here.
            None => Asked::of(self.request, None).ok().and_then(|asked| judge::tool_quality(answer, &asked)),
        };
        if let Some(are_valid) = quality {
            self.health.tell_tools(&self.endpoint.model, &self.endpoint.id, are_valid);
        }
    }
}

/// Whether the draw fell on a request; evenly, and whatever else its seed decides.
fn is_drawn(seed: u64) -> bool {
    (seed.wrapping_mul(0xD1B5_4A32_D192_ED03) >> 32).is_multiple_of(ONE_IN)
}

#[cfg(test)]
mod tests;
