//! Tells an answer in canonical pieces, item by item: streamed pieces first, then what a finished item has beyond them.
//!
//! Whole answers are told the same way, all at once, so that both readings give the same value.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::adapters::Context;
use crate::adapters::openai_responses::items::{Told, annotation, bundled, image, is_search, weighed};
use crate::adapters::openai_responses::reasoning::{FORMAT, Kind, detail};
use crate::adapters::openai_responses::wire::{Item, Part as WirePart};
use crate::model::event::{ChoiceDelta, Delta, ToolDelta, with_tools};
use crate::model::message::ToolKind;
use crate::model::response::{Finish, FinishReason};

/// A call that stands for several, which models make up at times.
const BUNDLE: &str = "multi_tool_use.parallel";

/// What was told of the answer so far.
#[derive(Debug)]
pub struct Teller {
    context: Context,
    /// The provider's id of the answer; empty where it is not known.
    answer: String,
    /// By place in the output.
    items: BTreeMap<u64, Slot>,
    /// The number of the next reasoning detail; messages and calls take one too.
    numbers: u64,
    calls: u32,
    /// Characters of content so far, which citations are counted in.
    said: usize,
    refused: bool,
    searched: u64,
}

#[derive(Debug)]
struct Slot {
    state: State,
    /// Whether the whole item was told.
    is_done: bool,
}

/// What was told of an item.
#[derive(Debug)]
enum State {
    Message(BTreeMap<u64, Part>),
    Reasoning(Thought),
    Call {
        index: u32,
        kind: ToolKind,
        told: Told,
    },
    /// Told at once when it is complete.
    Bundle,
    /// Run by the provider, or unknown.
    Other,
}

#[derive(Debug, Default)]
struct Part {
    /// Characters of content before it.
    start: usize,
    told: Told,
    /// Annotations told.
    cited: usize,
    /// Whether log probabilities were told.
    is_weighed: bool,
}

#[derive(Debug, Default)]
struct Thought {
    /// The first id seen: some hosts change it with every event.
    id: Option<String>,
    /// Numbers of the details, and what was told of them.
    details: BTreeMap<(Kind, u64), (u64, Told)>,
}

impl Teller {
    /// Nothing told yet.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            answer: String::new(),
            items: BTreeMap::new(),
            numbers: 0,
            calls: 0,
            said: 0,
            refused: false,
            searched: 0,
        }
    }

    /// The provider's id of the answer, which goes into the ids of calls that have none.
    pub fn identify(&mut self, answer: &str) {
        answer.clone_into(&mut self.answer);
    }

    /// An item begins.
    pub fn open(&mut self, at: u64, item: &Item<'_>, out: &mut Vec<ChoiceDelta>) {
        if self.items.get(&at).is_some_and(|slot| !slot.is_done) {
            return;
        }
        let state = match item.kind.get() {
            Some("message") => self.message(),
            Some("reasoning") => State::Reasoning(Thought { id: item.id.owned(), ..Thought::default() }),
            Some("function_call") if item.name.get() == Some(BUNDLE) => State::Bundle,
            Some("function_call") => self.call(item, ToolKind::Function, out),
            Some("custom_tool_call") => self.call(item, ToolKind::Custom, out),
            _ => State::Other,
        };
        self.items.insert(at, Slot { state, is_done: false });
    }

    fn message(&mut self) -> State {
        self.numbers += 1;
        State::Message(BTreeMap::new())
    }

    fn call(&mut self, item: &Item<'_>, kind: ToolKind, out: &mut Vec<ChoiceDelta>) -> State {
        let id = item.call_id.owned().or_else(|| item.id.owned());
        let index = self.open_call(id, kind, item.name.get().unwrap_or_default(), String::new(), out);
        State::Call { index, kind, told: Told::default() }
    }

    fn open_call(
        &mut self,
        id: Option<String>,
        kind: ToolKind,
        name: &str,
        arguments: String,
        out: &mut Vec<ChoiceDelta>,
    ) -> u32 {
        self.numbers += 1;
        let index = self.calls;
        self.calls += 1;
        let id = Some(id.unwrap_or_else(|| made_id(&self.answer, index)));
        let name = Some(self.context.client_name(name).to_owned());
        push_call(out, ToolDelta { index, id, kind, name, arguments });
        index
    }

    /// A piece of text, with the weights of its tokens.
    pub fn text(
        &mut self,
        at: u64,
        part: u64,
        text: &str,
        logprobs: Option<&[Value]>,
        out: &mut Vec<ChoiceDelta>,
    ) {
        let is_weighed = logprobs.is_some_and(|logprobs| !logprobs.is_empty());
        if text.is_empty() && !is_weighed {
            return;
        }
        if let Some(part) = self.part(at, part) {
            part.is_weighed |= is_weighed;
            part.told.add(text);
            self.said += text.chars().count();
            say(text, logprobs, out);
        }
    }

    /// A piece of a refusal.
    pub fn refusal(&mut self, at: u64, part: u64, text: &str, out: &mut Vec<ChoiceDelta>) {
        if text.is_empty() {
            return;
        }
        if let Some(part) = self.part(at, part) {
            part.told.add(text);
            self.refused = true;
            refuse(text, out);
        }
    }

    /// A citation in a text.
    pub fn cite(&mut self, at: u64, part: u64, cited: &Value, out: &mut Vec<ChoiceDelta>) {
        if let Some(part) = self.part(at, part) {
            part.cited += 1;
            let annotations = vec![annotation(cited, part.start)];
            push(out, Delta { annotations, ..Delta::default() });
        }
    }

    /// The part of a message; None where the item is something else.
    fn part(&mut self, at: u64, part: u64) -> Option<&mut Part> {
        if !self.items.contains_key(&at) {
            let state = self.message();
            self.items.insert(at, Slot { state, is_done: false });
        }
        let start = self.said;
        match &mut self.items.get_mut(&at)?.state {
            State::Message(parts) => {
                Some(parts.entry(part).or_insert_with(|| Part { start, ..Part::default() }))
            }
            _ => None,
        }
    }

    /// A piece of a summary or of readable thoughts; `id` is the item's, as far as it is known.
    pub fn thought(
        &mut self,
        at: u64,
        detail: (Kind, u64),
        id: Option<&str>,
        text: &str,
        out: &mut Vec<ChoiceDelta>,
    ) {
        if text.is_empty() {
            return;
        }
        let fresh = || {
            let thought = Thought { id: id.map(str::to_owned), ..Thought::default() };
            Slot { state: State::Reasoning(thought), is_done: false }
        };
        if let State::Reasoning(thought) = &mut self.items.entry(at).or_insert_with(fresh).state {
            think(&self.context, &mut self.numbers, thought, detail, text, out);
        }
    }

    /// A piece of what a tool is called with.
    pub fn arguments(&mut self, at: u64, text: &str, out: &mut Vec<ChoiceDelta>) {
        if let Some(Slot { state: State::Call { index, kind, told }, .. }) = self.items.get_mut(&at) {
            told.add(text);
            argue(*index, *kind, text, out);
        }
    }

    /// All that a tool is called with: what was not told yet is.
    pub fn all_arguments(&mut self, at: u64, whole: &str, out: &mut Vec<ChoiceDelta>) {
        if let Some(Slot { state: State::Call { told, .. }, .. }) = self.items.get(&at) {
            let rest = told.rest(whole);
            self.arguments(at, rest, out);
        }
    }

    /// All of a summary or of readable thoughts: what was not told yet is.
    pub fn all_thought(
        &mut self,
        at: u64,
        key: (Kind, u64),
        id: Option<&str>,
        whole: &str,
        out: &mut Vec<ChoiceDelta>,
    ) {
        let told = match self.items.get(&at).map(|slot| &slot.state) {
            Some(State::Reasoning(thought)) => thought.details.get(&key).map(|(_, told)| told),
            _ => None,
        };
        let rest = told.map_or(whole, |told| told.rest(whole));
        self.thought(at, key, id, rest, out);
    }

    /// A finished item: what was not told of it yet is.
    pub fn settle(&mut self, at: u64, item: &Item<'_>, out: &mut Vec<ChoiceDelta>) {
        if self.items.get(&at).is_some_and(|slot| slot.is_done) {
            return;
        }
        self.open(at, item, out);
        match self.items.get(&at).map(|slot| &slot.state) {
            Some(State::Message(_)) => {
                for (part, at_part) in item.content().into_iter().zip(0..) {
                    self.settle_part(at, at_part, &part, out);
                }
            }
            Some(State::Reasoning(_)) => self.settle_thought(at, item, out),
            Some(State::Call { .. }) => self.settle_call(at, item, out),
            Some(State::Bundle) => self.unbundle(item, out),
            Some(State::Other) => {
                self.searched += u64::from(is_search(item));
                let images: Vec<Value> = image(item).into_iter().collect();
                if !images.is_empty() {
                    push(out, Delta { images, ..Delta::default() });
                }
            }
            None => {}
        }
        self.items.insert(at, Slot { state: State::Other, is_done: true });
    }

    /// A finished part of a message: what was not told of it yet is.
    pub fn settle_part(&mut self, at: u64, part: u64, whole: &WirePart<'_>, out: &mut Vec<ChoiceDelta>) {
        let Some(known) = self.part(at, part) else { return };
        match whole.kind.get() {
            Some("refusal") => {
                let rest = known.told.rest(&whole.refusal.0);
                self.refusal(at, part, rest, out);
            }
            Some("output_text" | "text") => {
                let rest = known.told.rest(&whole.text.0);
                let (cited, is_weighed) = (known.cited, known.is_weighed);
                let logprobs = whole.logprobs.as_deref().filter(|list| !is_weighed && !list.is_empty());
                self.text(at, part, rest, logprobs, out);
                for cited in whole.annotations.iter().flatten().skip(cited) {
                    self.cite(at, part, cited, out);
                }
            }
            _ => {}
        }
    }

    fn settle_thought(&mut self, at: u64, item: &Item<'_>, out: &mut Vec<ChoiceDelta>) {
        for (kind, parts) in [(Kind::Summary, item.summary()), (Kind::Text, item.content())] {
            for (part, at_part) in parts.iter().zip(0..) {
                self.all_thought(at, (kind, at_part), None, &part.text.0, out);
            }
        }
        if let Some(sealed) = item.encrypted_content.get() {
            self.thought(at, (Kind::Sealed, 0), None, sealed, out);
        }
    }

    fn settle_call(&mut self, at: u64, item: &Item<'_>, out: &mut Vec<ChoiceDelta>) {
        self.all_arguments(at, &item.call_text(), out);
        if item.status.get() != Some("incomplete") {
            self.complete_call(at, out);
        }
    }

    /// Calls without arguments get the empty object, which every client can parse.
    fn complete_call(&mut self, at: u64, out: &mut Vec<ChoiceDelta>) {
        if let Some(Slot { state: State::Call { kind: ToolKind::Function, told, .. }, .. }) =
            self.items.get(&at)
            && told.is_empty()
        {
            self.arguments(at, "{}", out);
        }
    }

    /// The calls of a bundle one by one; a bundle that cannot be read is a call of that name.
    fn unbundle(&mut self, item: &Item<'_>, out: &mut Vec<ChoiceDelta>) {
        let text = item.call_text();
        let id = item.call_id.owned().or_else(|| item.id.owned());
        let id = id.unwrap_or_else(|| made_id(&self.answer, self.calls));
        match bundled(&text) {
            Some(calls) => {
                for (number, (name, arguments)) in calls.into_iter().enumerate() {
                    let id = Some(format!("{id}_{number}"));
                    self.open_call(id, ToolKind::Function, &name, arguments, out);
                }
            }
            None => drop(self.open_call(Some(id), ToolKind::Function, BUNDLE, text, out)),
        }
    }

    /// The end of the answer: what the provider repeats is told where it was not told before.
    pub fn end<'a>(
        &mut self,
        items: impl Iterator<Item = (u64, Item<'a>)>,
        reason: FinishReason,
        out: &mut Vec<ChoiceDelta>,
    ) {
        let nothing_told = self.items.is_empty();
        for (at, item) in items {
            // Places may be counted differently at the end; only unfinished items are looked up by them.
            if nothing_told || self.items.get(&at).is_some_and(|slot| !slot.is_done) {
                self.settle(at, &item, out);
            }
        }
        if reason != FinishReason::Length {
            let open: Vec<u64> =
                self.items.iter().filter(|(_, slot)| !slot.is_done).map(|(at, _)| *at).collect();
            open.into_iter().for_each(|at| self.complete_call(at, out));
        }
    }

    /// Why the answer ended.
    pub fn finish(&self, status: Option<&str>, incomplete: Option<&str>) -> Finish {
        let reason = match (incomplete, status) {
            (Some("content_filter"), _) => FinishReason::ContentFilter,
            (Some(_), _) | (None, Some("incomplete")) => FinishReason::Length,
            _ if self.refused => FinishReason::ContentFilter,
            _ => FinishReason::Stop,
        };
        let native = incomplete.or(status).map(str::to_owned);
        Finish { reason: with_tools(reason, self.calls > 0), native }
    }

    /// Web searches that the provider ran.
    pub fn searched(&self) -> u64 {
        self.searched
    }
}

fn think(
    context: &Context,
    numbers: &mut u64,
    thought: &mut Thought,
    (kind, part): (Kind, u64),
    text: &str,
    out: &mut Vec<ChoiceDelta>,
) {
    let (number, told) = thought.details.entry((kind, part)).or_insert_with(|| {
        *numbers += 1;
        (*numbers - 1, Told::default())
    });
    told.add(text);
    if context.hide_reasoning {
        return;
    }
    let format = context.reasoning_format.as_deref().unwrap_or(FORMAT);
    let reasoning = Some(text.to_owned()).filter(|_| kind != Kind::Sealed);
    let reasoning_details = vec![detail(kind, *number, thought.id.as_deref(), text, format)];
    push(out, Delta { reasoning, reasoning_details, ..Delta::default() });
}

fn say(text: &str, logprobs: Option<&[Value]>, out: &mut Vec<ChoiceDelta>) {
    let delta = Delta { content: Some(text.to_owned()), ..Delta::default() };
    out.push(ChoiceDelta { delta, logprobs: logprobs.and_then(weighed), ..ChoiceDelta::default() });
}

fn refuse(text: &str, out: &mut Vec<ChoiceDelta>) {
    push(out, Delta { refusal: Some(text.to_owned()), ..Delta::default() });
}

fn argue(index: u32, kind: ToolKind, text: &str, out: &mut Vec<ChoiceDelta>) {
    if !text.is_empty() {
        push_call(out, ToolDelta { index, kind, arguments: text.to_owned(), ..ToolDelta::default() });
    }
}

/// An id for a call that came without: another for every call of every answer that has an id itself.
fn made_id(answer: &str, index: u32) -> String {
    let digest = Sha256::new().chain_update(index.to_be_bytes()).chain_update(answer).finalize();
    digest[..12].iter().fold("call_".to_owned(), |id, byte| id + &format!("{byte:02x}"))
}

fn push_call(out: &mut Vec<ChoiceDelta>, call: ToolDelta) {
    push(out, Delta { tool_calls: vec![call], ..Delta::default() });
}

fn push(out: &mut Vec<ChoiceDelta>, delta: Delta) {
    out.push(ChoiceDelta { delta, ..ChoiceDelta::default() });
}
