//! Tells an answer document by document. A whole answer is one document, a stream has many of the same kind.

use std::mem;

use crate::adapters::gemini::error::inside_success;
use crate::adapters::gemini::finish::Ending;
use crate::adapters::gemini::told::Told;
use crate::adapters::gemini::usage::Counts;
use crate::adapters::gemini::wire::{Answer, Candidate, PromptFeedback};
use crate::adapters::shared::tier::Tier;
use crate::adapters::{Context, Failure, FailureClass};
use crate::model::event::{ChoiceDelta, Chunk, Event, Start};
use crate::model::usage::Usage;

/// More candidates than this nobody can ask for.
const CANDIDATES: usize = 64;

/// An answer as far as it was told.
#[derive(Debug, Default)]
pub struct Teller {
    context: Context,
    started: bool,
    counts: Counts,
    tier: Tier,
    /// The provider's id of the answer; empty if it has none.
    id: String,
    candidates: Vec<Told>,
}

impl Teller {
    /// Nothing told yet.
    pub fn new(context: Context) -> Self {
        Self { context, ..Self::default() }
    }

    /// Takes the next document and appends what it adds.
    ///
    /// # Errors
    /// [`Failure`] for an error in place of an answer, for a blocked prompt, and for what is no answer at all.
    pub fn take(&mut self, document: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        let answer: Answer<'_> =
            serde_json::from_slice(document).map_err(|_| Failure::malformed("what is no answer"))?;
        if let Some(usage) = answer.usage_metadata {
            self.counts = mem::take(&mut self.counts).replaced_by(Counts::parse(usage));
        }
        if let Some(error) = answer.error {
            return Err(inside_success(error.get()));
        }
        if answer.candidates.as_ref().is_none_or(Vec::is_empty) && self.candidates.is_empty() {
            blocked(answer.prompt_feedback.as_ref())?;
        }
        self.start(&answer, events);
        let mut choices = Vec::new();
        for (place, candidate) in (0..).zip(answer.candidates.into_iter().flatten()) {
            choices.extend(self.candidate(candidate, place)?);
        }
        if !choices.is_empty() {
            events.push(Event::Chunk(Chunk { choices, ..Chunk::default() }));
        }
        Ok(())
    }

    fn start(&mut self, answer: &Answer<'_>, events: &mut Vec<Event>) {
        if mem::replace(&mut self.started, true) {
            return;
        }
        self.tier.hear(self.counts.tier().as_deref());
        self.id = answer.response_id.as_deref().unwrap_or_default().to_owned();
        let created = answer.create_time.as_deref().and_then(|time| time.parse().ok());
        let created = created.map(|time: chrono::DateTime<chrono::Utc>| time.timestamp());
        events.push(Event::Start(Start {
            id: Some(self.id.clone()).filter(|id| !id.is_empty()),
            model: answer.model_version.as_deref().map(str::to_owned),
            created: created.and_then(|seconds| u64::try_from(seconds).ok()),
            service_tier: self.tier.at_start(),
            ..Start::default()
        }));
    }

    /// Takes one candidate; its place in the list counts where it names none.
    fn candidate(&mut self, candidate: Candidate<'_>, place: u32) -> Result<Option<ChoiceDelta>, Failure> {
        let index = candidate.index.unwrap_or(place);
        let at = self.candidates.iter().position(|told| told.index == index);
        let at = at.unwrap_or(self.candidates.len());
        if at == self.candidates.len() {
            if at == CANDIDATES {
                return Err(Failure::malformed("too many answers"));
            }
            self.candidates.push(Told::new(index));
        }
        Ok(self.candidates[at].take(candidate, &self.id, &self.context))
    }

    /// Takes the end: only now it is sure that a reason to end was the last word.
    ///
    /// # Errors
    /// [`Failure::malformed`] where a candidate has no reason to end, and a failure of the provider where none
    /// of the candidates holds what it should.
    pub fn end(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        let endings: Option<Vec<_>> = self.candidates.iter().map(Told::ending).collect();
        let endings = endings.filter(|endings| !endings.is_empty());
        let endings = endings.ok_or_else(|| Failure::malformed("an answer without its end"))?;
        let broken = |ending: &Ending| matches!(ending, Ending::Broken(_));
        if let Some(Ending::Broken(finish)) = endings.first().filter(|_| endings.iter().all(broken)) {
            return Err(Failure::reported(FailureClass::Server, "", finish.native.clone()));
        }
        let told = self.candidates.iter_mut().zip(endings);
        let choices = told.map(|(told, ending)| match ending {
            Ending::Finished(finish) | Ending::Broken(finish) => told.last(finish),
        });
        let choices = choices.collect();
        events.push(Event::Chunk(Chunk { choices, ..Chunk::default() }));
        self.counts.searches = self.candidates.iter().map(Told::searches).sum();
        self.tier.hear(self.counts.tier().as_deref());
        events.extend(self.tier.at_end());
        events.extend(self.counts.usage().map(Event::Usage));
        events.push(Event::Done);
        Ok(())
    }

    /// The counts reported so far.
    pub fn usage(&self) -> Option<Usage> {
        self.counts.usage().map(Usage::partial)
    }
}

/// A prompt that the filters refused has no candidates, and a success status all the same.
fn blocked(feedback: Option<&PromptFeedback<'_>>) -> Result<(), Failure> {
    let Some(feedback) = feedback else { return Ok(()) };
    let Some(reason) = feedback.block_reason.as_ref().filter(|reason| !reason.0.is_empty()) else {
        return Ok(());
    };
    let said = feedback.block_reason_message.as_deref().unwrap_or_default();
    Err(Failure::reported(FailureClass::ContentFiltered, said, Some(reason.0.to_string())))
}
