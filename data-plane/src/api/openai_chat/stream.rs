//! Writes streamed answers, chunk by chunk, into a buffer that the server sends as it is.
//!
//! Knows nothing of failures before the first content: the pipeline holds events back until then.

use bytes::{BufMut, BytesMut};
use memchr::memmem;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::openai_chat::answer::{finish_patch, holds_odd_null, usage_json};
use crate::api::openai_chat::error::error_object;
use crate::api::{AnswerFacts, Bill, ErrorBody};
use crate::model::event::{ChoiceDelta, Chunk, Delta, Event, ToolDelta};
use crate::model::message::ToolKind;
use crate::model::response::{ChatResponse, Choice};
use crate::model::usage::Usage;
use crate::wire::patch::{ObjectWriter, elements, is_named, members, quoted};
use crate::wire::sse;

/// Members of an upstream chunk that are ours to write.
const OURS: [&str; 8] =
    ["id", "provider", "model", "object", "created", "choices", "usage", "openrouter_metadata"];

/// Which choices a client has heard of, and of which it knows the end: it hears of each once.
#[derive(Debug, Default)]
pub struct Told {
    opened: Vec<u32>,
    finished: Vec<u32>,
}

impl Told {
    /// Whether a choice is new.
    pub fn open(&mut self, index: u32) -> bool {
        let opens = !self.opened.contains(&index);
        if opens {
            self.opened.push(index);
        }
        opens
    }

    /// Notes the choices that end with a chunk.
    pub fn finish(&mut self, chunk: &Chunk) {
        self.finished
            .extend(chunk.choices.iter().filter(|choice| choice.finish.is_some()).map(|choice| choice.index));
    }

    /// The choices that still lack an end; the first where none has begun.
    pub fn unfinished(&self) -> impl Iterator<Item = u32> {
        let first = (self.opened.is_empty() && self.finished.is_empty()).then_some(0);
        let left = self.opened.iter().copied().filter(|index| !self.finished.contains(index));
        left.chain(first)
    }
}

/// Writes one streamed answer.
#[derive(Debug)]
pub struct StreamEncoder {
    /// The members that every chunk begins with, brace included.
    head: Vec<u8>,
    told: Told,
    /// The tier that served, as far as it is known; the usage chunk tells it.
    tier: Option<String>,
}

impl StreamEncoder {
    /// An encoder for the answer that these facts tell of.
    pub fn new(facts: &AnswerFacts) -> Self {
        let mut head = BytesMut::with_capacity(192);
        let mut writer = ObjectWriter::open(&mut head);
        writer.member("id", &quoted(&facts.id));
        writer.member("provider", &quoted(&facts.provider));
        writer.member("model", &quoted(&facts.model));
        writer.member("object", b"\"chat.completion.chunk\"");
        writer.member("created", facts.created.to_string().as_bytes());
        Self { head: head.into(), told: Told::default(), tier: None }
    }

    /// Appends what an event shows: chunks do, the other events do not. The tier is kept for the usage chunk.
    ///
    /// [`Event::Usage`] and [`Event::Done`] wait for the bill: see [`StreamEncoder::usage`] and
    /// [`StreamEncoder::done`].
    pub fn event(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Chunk(chunk) if !chunk.choices.is_empty() => self.chunk(chunk, out),
            Event::Start(start) => self.tier.clone_from(&start.service_tier),
            Event::Tier(tier) => self.tier = Some(tier.clone()),
            Event::Chunk(_) | Event::Usage(_) | Event::Done => {}
        }
    }

    /// Appends the usage chunk, the last one before the end.
    pub fn usage(&self, usage: &Usage, bill: &Bill, out: &mut BytesMut) {
        self.open(out);
        if let Some(tier) = &self.tier {
            out.put_slice(b",\"service_tier\":");
            out.put_slice(&quoted(tier));
        }
        out.put_slice(b",\"choices\":[],\"usage\":");
        out.put_slice(&usage_json(usage, bill));
        if let Some(metadata) = &bill.metadata {
            out.put_slice(b",\"openrouter_metadata\":");
            out.put_slice(metadata.to_string().as_bytes());
        }
        close(out);
    }

    /// Appends the end mark.
    pub fn done(&self, out: &mut BytesMut) {
        sse::write_data(out, b"[DONE]");
    }

    /// Appends a failure after the first content; usage, where known, and the end mark follow it.
    pub fn error(&self, error: &ErrorBody<'_>, out: &mut BytesMut) {
        self.open(out);
        out.put_slice(b",\"error\":");
        out.put_slice(error_object(error).to_string().as_bytes());
        if let Some(routing) = error.routing {
            out.put_slice(b",\"openrouter_metadata\":");
            out.put_slice(routing.to_string().as_bytes());
        }
        let failed = |index| json!({"index": index, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"});
        out.put_slice(b",\"choices\":");
        out.put_slice(self.told.unfinished().map(failed).collect::<Value>().to_string().as_bytes());
        close(out);
    }

    /// Appends a comment that keeps the connection alive while there is nothing to say.
    pub fn keep_alive(out: &mut BytesMut) {
        sse::write_comment(out, "SWITCHYARD PROCESSING");
    }

    /// Appends a whole answer as if it had been streamed; usage and end mark are not in it.
    pub fn replay(&mut self, response: &ChatResponse, out: &mut BytesMut) {
        self.tier.clone_from(&response.service_tier);
        for choice in &response.choices {
            for chunk in [said(choice), finished(choice)] {
                self.chunk(&chunk, out);
            }
        }
    }

    fn chunk(&mut self, chunk: &Chunk, out: &mut BytesMut) {
        let start = out.len();
        self.told.finish(chunk);
        self.open(out);
        match &chunk.raw {
            Some(raw) if self.splice(chunk, raw, out).is_some() => {}
            _ => {
                out.truncate(start);
                self.open(out);
                self.choices(&chunk.choices, out);
            }
        }
        close(out);
    }

    /// Copies what upstream sent, except what is ours to write. None where that cannot be.
    fn splice(&mut self, chunk: &Chunk, raw: &[u8], out: &mut BytesMut) -> Option<()> {
        let mut choices = None;
        for member in members(raw).ok()? {
            let key = &raw[member.key.clone()];
            if key == b"choices" {
                choices = Some(member.value.clone());
            } else if &raw[member.value.clone()] != b"null"
                && !OURS.iter().any(|name| is_named(raw, &member, name))
            {
                out.put_u8(b',');
                out.put_slice(&raw[member.key.start - 1..member.value.end]);
            }
        }
        let choices = &raw[choices?];
        let is_whole = memmem::find(choices, br#""finish_reason""#).is_some() && !holds_odd_null(choices);
        if chunk.raw_choices && is_whole && self.knows_roles(chunk, choices) {
            out.put_slice(b",\"choices\":");
            splice_choices(chunk, choices, out)
        } else {
            self.choices(&chunk.choices, out);
            Some(())
        }
    }

    /// Whether every choice's role has been told, in this chunk or before.
    fn knows_roles(&mut self, chunk: &Chunk, choices: &[u8]) -> bool {
        let fresh = |opened: &[u32], choice: &ChoiceDelta| !opened.contains(&choice.index);
        if !chunk.choices.iter().any(|choice| fresh(&self.told.opened, choice)) {
            return true;
        }
        let told = chunk.choices.len() == 1 && memmem::find(choices, br#""role":"assistant""#).is_some();
        if told {
            self.told.opened.extend(chunk.choices.iter().map(|choice| choice.index));
        }
        told
    }

    fn choices(&mut self, choices: &[ChoiceDelta], out: &mut BytesMut) {
        out.put_slice(b",\"choices\":[");
        for (position, choice) in choices.iter().enumerate() {
            if position > 0 {
                out.put_u8(b',');
            }
            let opens = self.told.open(choice.index);
            let choice = WireChoice::new(choice, opens);
            serde_json::to_writer(out.writer(), &choice).expect("strings and values are always JSON");
        }
        out.put_u8(b']');
    }

    fn open(&self, out: &mut BytesMut) {
        out.reserve(self.head.len() + 256);
        out.put_slice(b"data: ");
        out.put_slice(&self.head);
    }
}

fn close(out: &mut BytesMut) {
    out.put_slice(b"}\n\n");
}

/// Copies canonical choices; where one ends here, its reasons are set.
fn splice_choices(chunk: &Chunk, choices: &[u8], out: &mut BytesMut) -> Option<()> {
    if chunk.choices.iter().all(|choice| choice.finish.is_none()) {
        out.put_slice(choices);
        return Some(());
    }
    let ranges = elements(choices).ok().filter(|ranges| ranges.len() == chunk.choices.len())?;
    out.put_u8(b'[');
    for (position, (range, choice)) in ranges.into_iter().zip(&chunk.choices).enumerate() {
        if position > 0 {
            out.put_u8(b',');
        }
        match &choice.finish {
            Some(finish) => finish_patch(finish).apply(&choices[range], out).ok()?,
            None => out.put_slice(&choices[range]),
        }
    }
    out.put_u8(b']');
    Some(())
}

fn said(choice: &Choice) -> Chunk {
    let (index, logprobs) = (choice.index, choice.logprobs.clone());
    let piece = ChoiceDelta { index, delta: Delta::of(&choice.message), finish: None, logprobs };
    Chunk { choices: vec![piece], ..Chunk::default() }
}

fn finished(choice: &Choice) -> Chunk {
    let finish = Some(choice.finish.clone());
    let piece = ChoiceDelta { index: choice.index, finish, ..ChoiceDelta::default() };
    Chunk { choices: vec![piece], ..Chunk::default() }
}

#[derive(Serialize)]
struct WireChoice<'a> {
    index: u32,
    delta: WireDelta<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: &'a Option<Box<RawValue>>,
    finish_reason: Option<&'a str>,
    native_finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct WireDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: &'a Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasoning_details: &'a [Value],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    annotations: &'a [Value],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    images: &'a [Value],
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: &'a Option<Value>,
}

impl<'a> WireChoice<'a> {
    fn new(choice: &'a ChoiceDelta, opens: bool) -> Self {
        let finish = choice.finish.as_ref();
        Self {
            index: choice.index,
            delta: WireDelta::new(&choice.delta, opens),
            logprobs: &choice.logprobs,
            finish_reason: finish.map(|finish| finish.reason.as_str()),
            native_finish_reason: finish
                .map(|finish| finish.native.as_deref().unwrap_or(finish.reason.as_str())),
        }
    }
}

impl<'a> WireDelta<'a> {
    fn new(delta: &'a Delta, opens: bool) -> Self {
        // The opening chunk has a content, except beside tool calls: clients would see an empty answer.
        let content = match &delta.content {
            None if opens && delta.tool_calls.is_empty() => Some(""),
            content => content.as_deref(),
        };
        Self {
            role: opens.then_some("assistant"),
            content,
            refusal: &delta.refusal,
            reasoning: &delta.reasoning,
            reasoning_details: &delta.reasoning_details,
            tool_calls: delta.tool_calls.iter().map(WireTool::from).collect(),
            annotations: &delta.annotations,
            images: &delta.images,
            audio: &delta.audio,
        }
    }
}

#[derive(Serialize)]
struct WireTool<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<Function<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<Custom<'a>>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Custom<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    input: &'a str,
}

impl<'a> From<&'a ToolDelta> for WireTool<'a> {
    fn from(call: &'a ToolDelta) -> Self {
        let (name, text) = (call.name.as_deref(), call.arguments.as_str());
        let (kind, function, custom) = match call.kind {
            ToolKind::Function => ("function", Some(Function { name, arguments: text }), None),
            ToolKind::Custom => ("custom", None, Some(Custom { name, input: text })),
        };
        let id = call.id.as_deref();
        Self { index: call.index, id, kind: id.map(|_| kind), function, custom }
    }
}

#[cfg(test)]
mod tests;
