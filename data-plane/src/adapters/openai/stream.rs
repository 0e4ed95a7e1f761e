//! Reads streamed answers chunk by chunk.
//!
//! Chunks that are already canonical keep their source, so that the surface can splice them.

use std::mem;

use bytes::Bytes;
use memchr::memchr;

use crate::adapters::openai::answer::broke_off;
use crate::adapters::openai::citations::annotations;
use crate::adapters::openai::outcome::refused;
use crate::adapters::openai::parts::Progress;
use crate::adapters::openai::piece::{Ending, Piece, call_id, ending, read};
use crate::adapters::openai::think::Splitter;
use crate::adapters::openai::usage;
use crate::adapters::openai::wire::{Body, Call, Choice as WireChoice, Invocation, Number, Text};
use crate::adapters::shared::openai_error::{bare, inside_success};
use crate::adapters::shared::tier::Tier;
use crate::adapters::{Context, Decoder, Failure, FailureClass};
use crate::model::event::{ChoiceDelta, Chunk, Delta, Event, Start, ToolDelta, with_tools};
use crate::model::message::ToolKind;
use crate::model::response::{Finish, FinishReason};
use crate::model::usage::Usage;
use crate::wire::extent::Extent;
use crate::wire::sse::{SseEvent, SseParser};

/// Bounds what finding its place costs each piece of a hostile stream.
const MOST_CHOICES: usize = 128;
const MOST_CALLS: usize = 1024;

/// The push parser of this dialect.
#[derive(Debug)]
pub struct StreamDecoder {
    context: Context,
    sse: SseParser,
    started: bool,
    ended: bool,
    /// The provider's id of the answer.
    id: Option<String>,
    /// The last report: providers repeat running totals, so it replaces the one before.
    usage: Option<Usage>,
    tier: Tier,
    choices: Vec<ChoiceState>,
    /// The last chunk that named sources of the answer: providers repeat all of them.
    sources: Option<Bytes>,
}

/// What is known of one choice so far.
#[derive(Debug, Default)]
struct ChoiceState {
    index: u32,
    /// Finds reasoning inside the content.
    splitter: Splitter,
    /// Whether annotations were told.
    annotated: bool,
    /// Whether there was an answer beside thoughts and calls.
    answered: bool,
    calls: Vec<CallState>,
    progress: Progress,
    /// Why it ended. Told last, because some providers say so on every one of several last chunks.
    ending: Option<(FinishReason, Option<String>)>,
    /// The canonical chunk that says so and nothing else.
    ending_chunk: Option<Bytes>,
}

/// What is known of one tool call so far.
#[derive(Debug)]
struct CallState {
    /// The provider's number, where it gives one.
    number: Option<u64>,
    id: String,
    name: String,
    kind: ToolKind,
    has_arguments: bool,
    /// How far the JSON of the arguments has come.
    extent: Extent,
}

impl StreamDecoder {
    /// A parser at the beginning of a stream.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            sse: SseParser::default(),
            started: false,
            ended: false,
            id: None,
            usage: None,
            tier: Tier::default(),
            choices: Vec::with_capacity(1),
            sources: None,
        }
    }

    fn take(&mut self, event: SseEvent, events: &mut Vec<Event>) -> Result<(), Failure> {
        let data = one_line(event.data);
        if data.trim_ascii() == b"[DONE]" {
            return self.end(true, events);
        }
        let mut body: Body<'_> = serde_json::from_slice(&data)
            .map_err(|_| Failure::malformed("a chunk that is no chat completion chunk"))?;
        let outcome = check(&body, &event.event, &data);
        if let Some(usage) = body.usage().and_then(usage::parse) {
            self.usage = Some(usage);
        }
        self.tier.hear(body.tier().as_deref());
        if let Err(failure) = outcome {
            return if self.is_about_length(&failure) { Ok(()) } else { Err(failure) };
        }
        let choices = body.choices.take().unwrap_or_default();
        if choices.is_empty() {
            return Ok(());
        }
        self.start(&body, events);
        if body.citations.is_some() || body.search_results.is_some() {
            self.sources = Some(data.clone());
        }
        self.chunk(choices, data.clone(), events)
    }

    /// Whether an error only says once more that the answer ended at its cap.
    fn is_about_length(&self, failure: &Failure) -> bool {
        let ended = |choice: &ChoiceState| matches!(choice.ending, Some((FinishReason::Length, _)));
        matches!(failure.class, FailureClass::InvalidRequest | FailureClass::ContextLength)
            && !self.choices.is_empty()
            && self.choices.iter().all(ended)
    }

    fn start(&mut self, body: &Body<'_>, events: &mut Vec<Event>) {
        if mem::replace(&mut self.started, true) {
            return;
        }
        self.id = body.id.owned();
        events.push(Event::Start(Start {
            id: body.id.owned(),
            model: body.model.owned(),
            created: body.created.0,
            service_tier: self.tier.at_start(),
            system_fingerprint: body.system_fingerprint.owned(),
        }));
    }

    fn chunk(
        &mut self,
        wire: Vec<WireChoice<'_>>,
        raw: Bytes,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        let mut canonical = true;
        let alone = wire.len() == 1;
        let mut choices = Vec::with_capacity(wire.len());
        for choice in wire {
            let (piece, as_it_is) = self.choice(choice, raw.clone(), alone)?;
            canonical &= as_it_is && piece.is_some();
            choices.extend(piece);
        }
        if !choices.is_empty() {
            events.push(Event::Chunk(Chunk { choices, raw: Some(raw), raw_choices: canonical }));
        }
        Ok(())
    }

    /// What a choice adds, if anything, and whether the provider's own JSON may be printed.
    fn choice(
        &mut self,
        mut wire: WireChoice<'_>,
        raw: Bytes,
        alone: bool,
    ) -> Result<(Option<ChoiceDelta>, bool), Failure> {
        if let Some(error) = wire.error {
            return Err(inside_success(error.get()));
        }
        let index = u32::try_from(wire.index.get()).unwrap_or(0);
        // Azure's late filter results come without a delta, which typed clients would stumble over.
        let has_delta = wire.delta.is_some();
        let mut message = wire.delta.take().unwrap_or_default();
        let at = self.state(index)?;
        let state = &mut self.choices[at];
        let Piece { mut delta, mut canonical } =
            read(&mut message, self.context.hide_reasoning, &mut state.progress);
        canonical &= has_delta;
        // Perplexity repeats the whole message beside each delta.
        canonical &= wire.message.is_none() && wire.index.0.is_some();
        if message.reasoning.get().or(message.reasoning_content.get()).is_some() {
            state.splitter.has_reasoning_apart();
        }
        canonical &= state.splitter.split(&mut delta, self.context.hide_reasoning);
        state.annotated |= !delta.annotations.is_empty();
        state.answered |= answers(&delta);
        canonical &= !message.tool_calls.is_odd;
        for call in mem::take(&mut message.tool_calls.items) {
            let (piece, as_it_is) = state.call(call, self.id.as_deref());
            canonical &= as_it_is;
            delta.tool_calls.extend(piece);
        }
        if let Some(invocation) = message.function_call.take() {
            // Whoever sent legacy functions wants the legacy call back, so the source stays as it is.
            let (piece, _) = state.call(legacy(invocation), self.id.as_deref());
            delta.tool_calls.extend(piece);
        }
        if state.calls.len() > MOST_CALLS {
            return Err(Failure::malformed("too many tool calls"));
        }
        let silent = !delta.is_content() && delta.annotations.is_empty() && wire.logprobs.is_none();
        let ending = match ending(&wire.finish_reason, &wire.native_finish_reason) {
            Some(Ending::Failed(word)) => return Err(broke_off(word)),
            Some(Ending::Finished(reason)) => Some(reason),
            None => None,
        };
        let repeated = state.ending.is_some();
        if let Some(reason) = ending {
            let native = wire.native_finish_reason.owned().or_else(|| wire.finish_reason.owned());
            if !repeated {
                state.ending = Some((reason, native));
                state.ending_chunk = Some(raw).filter(|_| silent && canonical && alone);
            }
            canonical = false;
        }
        if silent && (!canonical || repeated) {
            return Ok((None, false));
        }
        let logprobs = wire.logprobs.map(ToOwned::to_owned);
        Ok((Some(ChoiceDelta { index, delta, finish: None, logprobs }), canonical))
    }

    fn state(&mut self, index: u32) -> Result<usize, Failure> {
        if let Some(at) = self.choices.iter().position(|choice| choice.index == index) {
            return Ok(at);
        }
        if self.choices.len() == MOST_CHOICES {
            return Err(Failure::malformed("too many choices"));
        }
        let splitter = Splitter::new(self.context.think_tags);
        self.choices.push(ChoiceState { index, splitter, ..ChoiceState::default() });
        Ok(self.choices.len() - 1)
    }

    /// Ends the answer: by its mark, or by the end of the bytes where every choice has finished.
    fn end(&mut self, marked: bool, events: &mut Vec<Event>) -> Result<(), Failure> {
        if !self.started {
            return Err(Failure::malformed("a stream without an answer"));
        }
        if !marked && self.choices.iter().any(|choice| choice.ending.is_none()) {
            return Err(Failure::malformed("a stream that broke off"));
        }
        let mut sources = self.sources.take().map(|chunk| named_in(&chunk)).unwrap_or_default();
        for choice in &mut self.choices {
            let mut delta = Delta::default();
            choice.splitter.finish().put(&mut delta, self.context.hide_reasoning);
            if !choice.annotated {
                delta.annotations = mem::take(&mut sources);
            }
            choice.answered |= answers(&delta);
            if choice.ending.is_none() && !choice.is_whole() {
                return Err(Failure::malformed("an end mark before the end of the answer"));
            }
            events.push(Event::Chunk(choice.end(delta)));
        }
        events.extend(self.tier.at_end());
        events.extend(self.usage.map(Event::Usage));
        events.push(Event::Done);
        self.ended = true;
        Ok(())
    }

    fn drain(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        while !self.ended
            && let Some(event) = self.sse.next_event().map_err(|_| too_long())?
        {
            self.take(event, events)?;
        }
        Ok(())
    }
}

impl Decoder for StreamDecoder {
    fn push(&mut self, bytes: Bytes, events: &mut Vec<Event>) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        self.sse.push(bytes);
        self.drain(events)
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        while !self.ended
            && let Some(event) = self.sse.finish().map_err(|_| too_long())?
        {
            self.take(event, events)?;
        }
        if self.ended { Ok(()) } else { self.end(false, events) }
    }

    fn usage(&self) -> Option<Usage> {
        self.usage.map(Usage::partial)
    }
}

impl ChoiceState {
    /// The last chunk of the choice, with what is left to tell.
    fn end(&mut self, delta: Delta) -> Chunk {
        let (reason, native) = self.ending.take().unwrap_or_default();
        let mut choice = ChoiceDelta { index: self.index, delta, ..ChoiceDelta::default() };
        if reason != FinishReason::Length {
            choice.delta.tool_calls = self.close_calls();
        }
        let raw = self.ending_chunk.take().filter(|_| choice.delta == Delta::default());
        choice.finish = Some(Finish { reason: with_tools(reason, !self.calls.is_empty()), native });
        Chunk { choices: vec![choice], raw_choices: raw.is_some(), raw }
    }

    /// Whether what was said can be all: an answer or calls, of which none lacks its end.
    fn is_whole(&self) -> bool {
        let whole = |call: &CallState| call.kind == ToolKind::Custom || call.extent.is_complete();
        (self.answered || !self.calls.is_empty()) && self.calls.iter().all(whole)
    }

    /// Calls without arguments get the empty object, which every client can parse.
    fn close_calls(&mut self) -> Vec<ToolDelta> {
        let bare = |call: &CallState| !call.has_arguments && call.kind == ToolKind::Function;
        let calls = self.calls.iter().enumerate().filter(|(_, call)| bare(call));
        let empty = |(index, _)| ToolDelta {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            arguments: "{}".to_owned(),
            ..ToolDelta::default()
        };
        calls.map(empty).collect()
    }

    /// Finds or opens the call that a piece belongs to. None where the piece says nothing.
    fn call(&mut self, wire: Call<'_>, answer: Option<&str>) -> (Option<ToolDelta>, bool) {
        let kind = if wire.custom.is_some() { ToolKind::Custom } else { ToolKind::Function };
        let invocation = wire.custom.or(wire.function).unwrap_or_default();
        let (id, name) = (wire.id.id(), invocation.name.get());
        let arguments = invocation.arguments().to_text();
        let text = invocation.arguments().is_text();
        match self.find(wire.index.0, id, name) {
            Some(at) => {
                let call = &mut self.calls[at];
                call.has_arguments |= !arguments.is_empty();
                call.extent.read(&arguments);
                let more = name.filter(|name| *name != call.name && !call.has_arguments);
                if let Some(more) = more {
                    call.name.push_str(more);
                }
                let said = more.is_some() || !arguments.is_empty();
                let index = u32::try_from(at).unwrap_or(u32::MAX);
                let piece =
                    ToolDelta { index, id: None, kind: call.kind, name: more.map(str::to_owned), arguments };
                // Repeated ids and names would make clients open the call again.
                let new = wire.id.0.is_empty() && (name.is_none() || more.is_some());
                let as_it_is = text && new && wire.index.0 == Some(at as u64);
                (said.then_some(piece), as_it_is && said)
            }
            None => {
                let at = self.calls.len();
                let mut extent = Extent::default();
                extent.read(&arguments);
                let own = id.map_or_else(|| call_id(answer, self.index, at), str::to_owned);
                let call = CallState {
                    number: wire.index.0,
                    id: own.clone(),
                    name: name.unwrap_or_default().to_owned(),
                    kind,
                    has_arguments: !arguments.is_empty(),
                    extent,
                };
                let as_it_is = text && id.is_some() && wire.index.0 == Some(at as u64);
                let name = Some(call.name.clone());
                self.calls.push(call);
                let index = u32::try_from(at).unwrap_or(u32::MAX);
                (Some(ToolDelta { index, id: Some(own), kind, name, arguments }), as_it_is)
            }
        }
    }

    /// The call that a piece continues: by id where it has a known one, else by number, else the last.
    fn find(&self, number: Option<u64>, id: Option<&str>, name: Option<&str>) -> Option<usize> {
        if let Some(id) = id
            && let Some(at) = self.calls.iter().position(|call| call.id == id)
        {
            return Some(at);
        }
        // A new id beside a name opens a call, even where the provider numbers every call 0.
        if id.is_some() && name.is_some() {
            return None;
        }
        let found = match number {
            Some(_) => self.calls.iter().rposition(|call| call.number == number),
            None if id.is_none() && name.is_none() => self.calls.len().checked_sub(1),
            None => None,
        };
        // Names come before arguments: a name after them opens the next call, unless it only repeats that of a
        // call in the middle of its arguments.
        found.filter(|at| {
            let call = &self.calls[*at];
            let repeats = number.is_some() && id.is_none() && name == Some(call.name.as_str());
            name.is_none() || !call.has_arguments || (repeats && !call.extent.is_complete())
        })
    }
}

/// Whether a delta holds an answer, not only thoughts.
fn answers(delta: &Delta) -> bool {
    let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    said(&delta.content) || said(&delta.refusal) || delta.audio.is_some() || !delta.images.is_empty()
}

/// The legacy function call as the only tool call.
fn legacy(invocation: Invocation<'_>) -> Call<'_> {
    Call { index: Number(Some(0)), id: Text::default(), function: Some(invocation), custom: None }
}

/// Errors come in band: in an envelope, beside a name, or bare.
fn check(body: &Body<'_>, event: &[u8], data: &[u8]) -> Result<(), Failure> {
    let groq = body.x_groq.as_ref().and_then(|groq| groq.error);
    if let Some(error) = body.error.or(groq) {
        return Err(inside_success(error.get()));
    }
    if let Some(failure) = body.base_resp.and_then(|outcome| refused(outcome.get())) {
        return Err(failure);
    }
    let bare_error = body.choices.is_none()
        && (&*body.object.0 == "error" || body.message.is_some() || body.detail.is_some());
    if event == b"error" || bare_error {
        return Err(bare(data));
    }
    Ok(())
}

/// The sources that a chunk names.
fn named_in(chunk: &[u8]) -> Vec<serde_json::Value> {
    let body = serde_json::from_slice::<Body<'_>>(chunk);
    body.map(|body| annotations(body.citations, body.search_results)).unwrap_or_default()
}

/// Data of several lines, on one: between JSON tokens a line feed is as good as a space.
fn one_line(data: Bytes) -> Bytes {
    if memchr(b'\n', &data).is_none() {
        return data;
    }
    data.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect()
}

fn too_long() -> Failure {
    Failure::malformed("an event that is too long")
}

#[cfg(test)]
mod tests;
