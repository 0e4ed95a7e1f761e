//! Runs an adapter's decoders on bytes, whole and in pieces; a panic is a finding like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use switchyard_data_plane::adapters::{Adapter, Context, Failure};
use switchyard_data_plane::model::event::Event;
use switchyard_data_plane::model::response::ChatResponse;
use switchyard_data_plane::model::usage::Usage;

use super::exchange::Exchange;

/// What came of a stream.
#[derive(Debug, Clone)]
pub struct Run {
    pub events: Vec<Event>,
    pub result: Result<(), Failure>,
    /// What the decoder knew of usage in the end.
    pub partial: Option<Usage>,
}

impl Run {
    /// The usage that a caller would be billed by: the final one, else what was reported until the break.
    pub fn usage(&self) -> Option<Usage> {
        let last = self.events.iter().rev().find_map(|event| match event {
            Event::Usage(usage) => Some(*usage),
            _ => None,
        });
        last.or(self.partial)
    }

    /// Events and outcome in a form that can be compared.
    pub fn print(&self) -> String {
        format!("{:?} {:?}", self.events, self.result)
    }
}

/// Reads a stream from pieces.
pub fn stream(adapter: &dyn Adapter, pieces: impl IntoIterator<Item = Bytes>) -> Result<Run, String> {
    unwound(|| {
        let (mut decoder, mut events) = (adapter.decoder(&Context::default()), Vec::new());
        let mut result = Ok(());
        for piece in pieces {
            result = decoder.push(piece, &mut events);
            if result.is_err() {
                break;
            }
        }
        if result.is_ok() {
            result = decoder.finish(&mut events);
        }
        Run { events, result, partial: decoder.usage() }
    })
}

/// Reads a whole body.
pub fn whole(
    adapter: &dyn Adapter,
    exchange: &Exchange,
    body: &Bytes,
) -> Result<Result<ChatResponse, Failure>, String> {
    unwound(|| adapter.decode(exchange.status, &exchange.headers, body, &Context::default()))
}

/// Runs it and turns a panic into a finding.
pub fn unwound<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("panicked: {}", text.unwrap_or("without a text"))
    })
}

/// The body byte by byte.
pub fn bytes(body: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    (0..body.len()).map(|at| body.slice(at..=at))
}

/// Pieces of up to 200 bytes, the same ones for the same seed.
pub fn pieces(body: &Bytes, seed: u64) -> Vec<Bytes> {
    let mut random = Random(seed);
    cut(body, || 1 + random.below(200))
}

/// Pieces of the sizes in which the body was received; what is left over comes last.
pub fn received(body: &Bytes, sizes: &[usize]) -> Vec<Bytes> {
    let mut sizes = sizes.iter().copied();
    cut(body, || sizes.next().unwrap_or(usize::MAX))
}

fn cut(body: &Bytes, mut size: impl FnMut() -> usize) -> Vec<Bytes> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < body.len() {
        let end = at.saturating_add(size().max(1)).min(body.len());
        pieces.push(body.slice(at..end));
        at = end;
    }
    pieces
}

/// Numbers that look random and are the same in every run.
pub struct Random(pub u64);

impl Random {
    /// A number below `most`, which is above 0.
    pub fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}
