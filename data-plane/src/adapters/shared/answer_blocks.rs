//! Answers told in blocks, as Anthropic and Amazon tell them: text, reasoning and calls, opened, filled and closed.
//!
//! Whole answers are told the same way, so that they and streams cannot differ.

use std::collections::BTreeSet;
use std::mem;

use serde_json::{Value, json};

use crate::adapters::shared::claude::{REASONING_FORMAT, encrypted, thought};
use crate::adapters::shared::json_tool::unwrapped;
use crate::adapters::shared::media::Base64Pieces;
use crate::adapters::{Context, Failure};
use crate::model::event::{ChoiceDelta, Chunk, Delta, Event, ToolDelta, with_tools};
use crate::model::response::{Finish, FinishReason};
use crate::model::usage::Usage;

/// More open blocks than this are not kept: their pieces are lost, the stream is not.
const MOST_OPEN: usize = 1000;
/// More search results than this are not told, nor more citations of one text.
const MOST_SOURCES: usize = 1000;
/// Most bytes of base64 that one image or one hidden thought may have.
const MOST_BASE64: usize = 32 * 1024 * 1024;
/// Most bytes of text that are kept beside a forced tool.
const MOST_HELD: usize = 32 * 1024 * 1024;

/// An answer of one choice while it is told.
#[derive(Debug)]
pub struct AnswerBlocks {
    context: Context,
    /// Open blocks by the provider's index.
    open: Vec<(u64, State)>,
    thoughts: u64,
    calls: u32,
    /// Characters of content so far, which citations are counted in.
    said: usize,
    is_json: bool,
    /// Text beside a forced tool: it is the answer only if the tool gives none.
    held: String,
    /// Closed calls of which no argument came; None stands for the forced tool.
    unfilled: Vec<Option<u32>>,
    sources: Vec<Citation>,
    cited: BTreeSet<String>,
}

/// What a block is when it opens.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    Text,
    Thought,
    /// Hidden reasoning; its pieces are base64.
    Redacted,
    Call {
        id: &'a str,
        name: &'a str,
    },
    /// An image of this media type; its pieces are base64.
    Image {
        media_type: &'a str,
    },
    /// Nothing that callers are told.
    Ignored,
}

/// What an open block is.
#[derive(Debug)]
enum State {
    /// Text beside a forced tool.
    Held,
    Text {
        start: usize,
        citations: Vec<Citation>,
    },
    Thought(u64),
    Redacted {
        index: u64,
        data: Base64Pieces,
    },
    Call {
        index: u32,
        has_arguments: bool,
    },
    /// The forced tool; a wrapped answer is kept until it can be unwrapped.
    Json {
        wrapped: Option<String>,
        has_arguments: bool,
    },
    Image {
        media_type: String,
        data: Base64Pieces,
    },
    Ignored,
}

/// What a text rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Citation {
    /// Absent for documents of the prompt.
    pub url: Option<String>,
    pub title: Option<String>,
    /// The words that are cited.
    pub content: String,
    /// Counts the documents of the prompt from 0.
    pub document: Option<u64>,
}

impl Citation {
    /// The annotation over these characters of the content.
    fn annotation(&self, start: usize, end: usize) -> Option<Value> {
        let title = self.title.as_deref().unwrap_or_default();
        let content = self.content.as_str();
        match (&self.url, self.document) {
            (Some(url), _) => Some(json!({
                "type": "url_citation",
                "url_citation": {"url": url, "title": title, "content": content, "start_index": start, "end_index": end},
            })),
            (None, Some(document)) => Some(json!({
                "type": "file_citation",
                "file_citation": {"index": document, "filename": title, "content": content, "start_index": start, "end_index": end},
            })),
            (None, None) => None,
        }
    }
}

impl AnswerBlocks {
    /// An answer of which nothing is told yet.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            open: Vec::new(),
            thoughts: 0,
            calls: 0,
            said: 0,
            is_json: false,
            held: String::new(),
            unfilled: Vec::new(),
            sources: Vec::new(),
            cited: BTreeSet::new(),
        }
    }

    /// Begins a block.
    pub fn open(&mut self, at: u64, kind: Kind<'_>, events: &mut Vec<Event>) {
        if self.open.len() >= MOST_OPEN {
            return;
        }
        // The model went on, so what is closed was not cut.
        self.fill(events);
        let state = match kind {
            Kind::Text if self.context.json_tool.is_some() => State::Held,
            Kind::Text => State::Text { start: self.said, citations: Vec::new() },
            Kind::Thought => State::Thought(self.next_thought()),
            Kind::Redacted => State::Redacted { index: self.next_thought(), data: Base64Pieces::default() },
            Kind::Call { id, name } => self.call(id, name, events),
            Kind::Image { media_type } => {
                State::Image { media_type: media_type.to_owned(), data: Base64Pieces::default() }
            }
            Kind::Ignored => State::Ignored,
        };
        self.open.push((at, state));
    }

    /// Whether a block of this index is open.
    pub fn is_open(&self, at: u64) -> bool {
        self.place(at).is_some()
    }

    /// Adds text to a block.
    pub fn text(&mut self, at: u64, text: &str, events: &mut Vec<Event>) {
        match self.state(at) {
            Some(State::Text { .. }) => self.say(text, events),
            Some(State::Held) => self.hold(text),
            _ => {}
        }
    }

    /// Adds reasoning to a block, or the signature of what it told.
    pub fn think(&mut self, at: u64, text: &str, signature: Option<&str>, events: &mut Vec<Event>) {
        let signature = signature.filter(|signature| !signature.is_empty());
        let Some(State::Thought(index)) = self.state(at) else { return };
        let index = *index;
        if self.context.hide_reasoning || (text.is_empty() && signature.is_none()) {
            return;
        }
        let reasoning = Some(text.to_owned()).filter(|text| !text.is_empty());
        let reasoning_details = vec![thought(self.format(), index, text, signature)];
        push(events, Delta { reasoning, reasoning_details, ..Delta::default() });
    }

    /// Adds a piece of a call's arguments.
    pub fn arguments(&mut self, at: u64, piece: &str, events: &mut Vec<Event>) {
        if piece.is_empty() {
            return;
        }
        match self.state(at) {
            Some(State::Call { index, has_arguments }) => {
                *has_arguments = true;
                let call = ToolDelta { index: *index, arguments: piece.to_owned(), ..ToolDelta::default() };
                push(events, Delta { tool_calls: vec![call], ..Delta::default() });
            }
            Some(State::Json { wrapped, has_arguments }) => {
                *has_arguments = true;
                match wrapped {
                    Some(kept) => kept.push_str(piece),
                    None => self.say(piece, events),
                }
            }
            _ => {}
        }
    }

    /// Adds bytes to hidden reasoning or to an image.
    ///
    /// # Errors
    /// [`Failure`] where there are more of them than can be meant.
    pub fn base64(&mut self, at: u64, piece: &str) -> Result<(), Failure> {
        let Some(State::Redacted { data, .. } | State::Image { data, .. }) = self.state(at) else {
            return Ok(());
        };
        if data.len() + piece.len() > MOST_BASE64 {
            return Err(Failure::malformed("a block that is too long"));
        }
        data.push(piece);
        Ok(())
    }

    /// Notes what the text of a block rests on.
    pub fn cite(&mut self, at: u64, citation: Citation) {
        if let Some(State::Text { citations, .. }) = self.state(at)
            && citations.len() < MOST_SOURCES
        {
            citations.push(citation);
        }
    }

    /// Notes a search result; it is told at the end unless a text cites it.
    pub fn source(&mut self, source: Citation) {
        let is_known = self.sources.iter().any(|known| known.url == source.url);
        if self.sources.len() < MOST_SOURCES && !is_known {
            self.sources.push(source);
        }
    }

    /// Ends a block.
    pub fn close(&mut self, at: u64, events: &mut Vec<Event>) {
        let Some(place) = self.place(at) else { return };
        let state = self.open.remove(place).1;
        self.settle(state, events);
    }

    /// Whether the caller's own tools are called.
    pub fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// Ends the answer: what is still open is closed, then the last chunk, the counts and the end are told.
    pub fn end(&mut self, last: Last, events: &mut Vec<Event>) {
        for (_, state) in mem::take(&mut self.open) {
            self.settle(state, events);
        }
        if last.reason != FinishReason::Length {
            self.fill(events);
        }
        if !self.is_json {
            let held = mem::take(&mut self.held);
            self.say(&held, events);
        }
        let uncited = mem::take(&mut self.sources);
        let uncited =
            uncited.iter().filter(|source| !source.url.as_ref().is_some_and(|url| self.cited.contains(url)));
        let annotations = uncited.filter_map(|source| source.annotation(self.said, self.said)).collect();
        let delta = Delta { refusal: last.refusal, annotations, ..Delta::default() };
        let finish = Finish { reason: self.reason(last.reason), native: last.native };
        let choice = ChoiceDelta { delta, finish: Some(finish), ..ChoiceDelta::default() };
        events.push(Event::Chunk(Chunk { choices: vec![choice], ..Chunk::default() }));
        events.extend(last.usage.map(Event::Usage));
        events.push(Event::Done);
    }

    /// A forced JSON tool is no call; a caller's call is one whatever the provider says.
    fn reason(&self, reason: FinishReason) -> FinishReason {
        match reason {
            FinishReason::ToolCalls if self.is_json && self.calls == 0 => FinishReason::Stop,
            reason => with_tools(reason, self.calls > 0),
        }
    }

    fn place(&self, at: u64) -> Option<usize> {
        self.open.iter().rposition(|(known, _)| *known == at)
    }

    fn state(&mut self, at: u64) -> Option<&mut State> {
        self.place(at).map(|place| &mut self.open[place].1)
    }

    fn format(&self) -> &str {
        self.context.reasoning_format.as_deref().unwrap_or(REASONING_FORMAT)
    }

    fn next_thought(&mut self) -> u64 {
        self.thoughts += 1;
        self.thoughts - 1
    }

    fn call(&mut self, id: &str, name: &str, events: &mut Vec<Event>) -> State {
        if let Some(tool) = self.context.json_tool.as_ref().filter(|tool| tool.name == name) {
            self.is_json = true;
            return State::Json { wrapped: tool.wrapped.then(String::new), has_arguments: false };
        }
        let index = self.calls;
        self.calls += 1;
        let call = ToolDelta {
            index,
            id: Some(id.to_owned()),
            name: Some(self.context.client_name(name).to_owned()),
            ..ToolDelta::default()
        };
        push(events, Delta { tool_calls: vec![call], ..Delta::default() });
        State::Call { index, has_arguments: false }
    }

    fn settle(&mut self, state: State, events: &mut Vec<Event>) {
        match state {
            State::Text { start, citations } => self.annotate(start, &citations, events),
            State::Redacted { index, data } if !self.context.hide_reasoning => {
                let detail = encrypted(self.format(), index, &data.join());
                push(events, Delta { reasoning_details: vec![detail], ..Delta::default() });
            }
            State::Call { index, has_arguments: false } => self.unfilled.push(Some(index)),
            State::Json { wrapped: Some(kept), .. } => self.say(&unwrapped(&kept), events),
            State::Json { wrapped: None, has_arguments: false } => self.unfilled.push(None),
            State::Image { media_type, data } if !data.is_empty() => {
                let url = format!("data:{media_type};base64,{}", data.join());
                let image = json!({"type": "image_url", "image_url": {"url": url}});
                push(events, Delta { images: vec![image], ..Delta::default() });
            }
            State::Call { .. }
            | State::Json { .. }
            | State::Held
            | State::Thought(_)
            | State::Redacted { .. }
            | State::Image { .. }
            | State::Ignored => {}
        }
    }

    /// Gives calls without arguments the empty object, which every client can parse; a cut call stays cut.
    fn fill(&mut self, events: &mut Vec<Event>) {
        for call in mem::take(&mut self.unfilled) {
            match call {
                Some(index) => {
                    let call = ToolDelta { index, arguments: "{}".to_owned(), ..ToolDelta::default() };
                    push(events, Delta { tool_calls: vec![call], ..Delta::default() });
                }
                None => self.say("{}", events),
            }
        }
    }

    fn annotate(&mut self, start: usize, citations: &[Citation], events: &mut Vec<Event>) {
        let annotations: Vec<Value> =
            citations.iter().filter_map(|citation| citation.annotation(start, self.said)).collect();
        let room = MOST_SOURCES.saturating_sub(self.cited.len());
        self.cited.extend(citations.iter().filter_map(|citation| citation.url.clone()).take(room));
        if !annotations.is_empty() {
            push(events, Delta { annotations, ..Delta::default() });
        }
    }

    /// Keeps text beside a forced tool; what would be too much is no answer that anybody asked for.
    fn hold(&mut self, text: &str) {
        if self.held.len() + text.len() <= MOST_HELD {
            self.held.push_str(text);
        }
    }

    fn say(&mut self, text: &str, events: &mut Vec<Event>) {
        if !text.is_empty() {
            self.said += text.chars().count();
            push(events, Delta { content: Some(text.to_owned()), ..Delta::default() });
        }
    }
}

/// How an answer ended.
#[derive(Debug, Default)]
pub struct Last {
    /// By the provider's word alone.
    pub reason: FinishReason,
    /// The provider's word.
    pub native: Option<String>,
    pub refusal: Option<String>,
    pub usage: Option<Usage>,
}

fn push(events: &mut Vec<Event>, delta: Delta) {
    let choice = ChoiceDelta { delta, ..ChoiceDelta::default() };
    events.push(Event::Chunk(Chunk { choices: vec![choice], ..Chunk::default() }));
}
