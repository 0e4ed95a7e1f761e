//! One answer as it is watched while it comes: keeps its bytes if it was sampled, and hands them in at its end.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use tokio::sync::OwnedSemaphorePermit;

use crate::adapters::drift::Extent;
use crate::config::snapshot::Endpoint;
use crate::drift::table::Source;
use crate::drift::{Drift, Sample};

/// Watches one answer. Dropping it ends the answer, however that came about.
#[derive(Debug)]
pub struct Watch {
    drift: Arc<Drift>,
    endpoint: Arc<Endpoint>,
    media: Option<HeaderValue>,
    /// Boxed, since most answers are not sampled.
    kept: Option<Box<Kept>>,
}

#[derive(Debug)]
struct Kept {
    body: BytesMut,
    /// More came than is kept.
    is_cut: bool,
    is_ended: bool,
    place: OwnedSemaphorePermit,
}

impl Watch {
    /// Begins to watch an answer whose head has come.
    pub fn new(drift: &Arc<Drift>, endpoint: &Arc<Endpoint>, headers: &HeaderMap) -> Self {
        let place = drift.takes(endpoint).then(|| drift.place()).flatten();
        let kept = place
            .map(|place| Box::new(Kept { body: BytesMut::new(), is_cut: false, is_ended: false, place }));
        let media = headers.get(header::CONTENT_TYPE).cloned();
        Self { drift: drift.clone(), endpoint: endpoint.clone(), media, kept }
    }

    /// The next bytes of a stream.
    pub fn piece(&mut self, data: &Bytes) {
        let Some(kept) = &mut self.kept else { return };
        let room = self.drift.most_bytes.saturating_sub(kept.body.len());
        kept.body.extend_from_slice(&data[..data.len().min(room)]);
        kept.is_cut |= data.len() > room;
    }

    /// The stream came to its own end, so its last event is complete.
    pub fn ended(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.is_ended = true;
        }
    }

    /// The answer's whole body.
    pub fn whole(&mut self, body: &Bytes) {
        self.piece(body);
        self.ended();
    }

    /// The decoder could not read this part of a stream: it is looked at even if the answer was not sampled.
    pub fn unreadable(&self, data: Bytes) {
        self.insist(data, Extent::Middle);
    }

    /// The same of a whole body.
    pub fn unreadable_whole(&self, body: Bytes) {
        self.insist(body, Extent::Whole);
    }

    fn insist(&self, body: Bytes, extent: Extent) {
        if self.kept.is_none()
            && body.len() <= self.drift.most_bytes
            && let Some(place) = self.drift.place()
        {
            self.hand_in(body, extent, place);
        }
    }

    fn hand_in(&self, body: Bytes, extent: Extent, place: OwnedSemaphorePermit) {
        let provider = &self.endpoint.provider;
        let Some(vocabulary) = provider.adapter.vocabulary() else { return };
        let source = Source {
            provider: provider.id.to_string(),
            adapter: provider.adapter.name(),
            model: self.endpoint.model.to_string(),
        };
        let media = self.media.as_ref().and_then(|media| media.to_str().ok()).map(str::to_owned);
        // Nobody looks any more when the process stops.
        let _ = self.drift.samples.send(Sample { vocabulary, source, media, body, extent, _place: place });
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take() {
            let Kept { body, is_cut, is_ended, place } = *kept;
            let extent = if is_ended && !is_cut { Extent::Whole } else { Extent::Head };
            self.hand_in(body.freeze(), extent, place);
        }
    }
}
