//! The conversation: turns with their blocks become chat messages.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::BadRequest;
use crate::api::messages::blocks::{Block, Content, Text, part};
use crate::api::messages::thoughts;
use crate::api::openai_chat::explain::bad;
use crate::model::names::{Place, Spot};

/// One turn.
#[derive(Deserialize)]
pub struct Turn<'a> {
    role: String,
    #[serde(borrow)]
    content: Content<'a>,
}

/// The conversation as chat messages.
pub struct Turns<'a> {
    messages: Vec<Value>,
    places: Vec<Place>,
    /// Calls whose tool failed.
    failed: BTreeSet<&'a str>,
}

impl<'a> Turns<'a> {
    /// Reads the whole conversation.
    ///
    /// # Errors
    /// [`BadRequest`] naming the block at fault.
    pub fn of(system: Option<&Text>, turns: &'a [Turn<'a>]) -> Result<Self, BadRequest> {
        let mut all = Self {
            messages: Vec::with_capacity(turns.len() + 1),
            places: Vec::new(),
            failed: BTreeSet::new(),
        };
        if let Some(told) = system.and_then(told) {
            all.push(Place::default(), json!({"role": "system", "content": told}));
        }
        for (at, turn) in turns.iter().enumerate() {
            all.turn(at, turn)?;
        }
        Ok(all)
    }

    /// The messages as JSON.
    pub fn chat(&self) -> Vec<u8> {
        serde_json::to_vec(&self.messages).expect("values are always JSON")
    }

    /// The calls whose tool failed, and where each message is from.
    pub fn into_parts(self) -> (BTreeSet<&'a str>, Vec<Place>) {
        (self.failed, self.places)
    }

    fn push(&mut self, place: Place, message: Value) {
        self.messages.push(message);
        self.places.push(place);
    }

    fn turn(&mut self, at: usize, turn: &'a Turn<'a>) -> Result<(), BadRequest> {
        match (turn.role.as_str(), &turn.content) {
            ("user" | "assistant" | "system", Content::Plain(text)) => {
                self.push(turn_at(at), json!({"role": turn.role, "content": text}));
                Ok(())
            }
            ("user" | "system", Content::Blocks(blocks)) => self.user(at, &turn.role, blocks),
            ("assistant", Content::Blocks(blocks)) => self.assistant(at, blocks),
            _ => {
                let field = format!("messages[{at}].role");
                Err(bad(&field, format!("{field} is none of user, assistant, system")))
            }
        }
    }

    /// Results of tools come first, each in a message of its own; then what the user says.
    fn user(&mut self, at: usize, role: &str, blocks: &'a [Block<'a>]) -> Result<(), BadRequest> {
        let mut said = Vec::with_capacity(blocks.len());
        let mut from = turn_at(at);
        for (place, block) in blocks.iter().enumerate() {
            let blame = |fault| blame(at, place, fault);
            if block.kind == "tool_result" {
                let result = self.result(block).map_err(blame)?;
                self.push(Place { content: result_parts(at, place, &result), ..turn_at(at) }, result);
            } else if let Some(part) = part(block).map_err(blame)? {
                said.push(part);
                from.content.push(Spot { turn: at, part: Some(place) });
            }
        }
        if !said.is_empty() {
            self.push(from, json!({"role": role, "content": said}));
        }
        Ok(())
    }

    fn result(&mut self, block: &'a Block<'a>) -> Result<Value, (&'static str, String)> {
        let id = block.tool_use_id.as_deref().ok_or_else(|| ("tool_use_id", "is required".to_owned()))?;
        if block.is_error == Some(true) {
            self.failed.insert(id);
        }
        let content = block.content.map_or(Ok(json!("")), results)?;
        let mut message = json!({"role": "tool", "tool_call_id": id, "content": content});
        if let Some(mark) = &block.cache_control {
            message["cache_control"] = mark.clone();
        }
        Ok(message)
    }

    fn assistant(&mut self, at: usize, blocks: &[Block<'_>]) -> Result<(), BadRequest> {
        let (mut said, mut calls, mut thought) = (Vec::new(), Vec::new(), Vec::new());
        let mut from = turn_at(at);
        for (place, block) in blocks.iter().enumerate() {
            let blame = |fault| blame(at, place, fault);
            let spot = Spot { turn: at, part: Some(place) };
            match block.kind.as_str() {
                "thinking" | "redacted_thinking" => thought.push(thoughts::detail(block, thought.len())),
                "tool_use" => {
                    calls.push(call(block).map_err(blame)?);
                    from.calls.push(spot);
                }
                _ => {
                    if let Some(part) = part(block).map_err(blame)? {
                        said.push(part);
                        from.content.push(spot);
                    }
                }
            }
        }
        let mut message = json!({"role": "assistant", "content": said});
        if said_nothing(&message) {
            message["content"] = if calls.is_empty() { json!("") } else { Value::Null };
        }
        if !calls.is_empty() {
            message["tool_calls"] = Value::Array(calls);
        }
        if !thought.is_empty() {
            message["reasoning_details"] = Value::Array(thought);
        }
        self.push(from, message);
        Ok(())
    }
}

fn turn_at(at: usize) -> Place {
    Place { turn: Some(at), ..Place::default() }
}

/// All parts of a tool's result are in one block.
fn result_parts(turn: usize, part: usize, result: &Value) -> Vec<Spot> {
    let parts = result["content"].as_array().map_or(0, Vec::len);
    vec![Spot { turn, part: Some(part) }; parts]
}

fn said_nothing(message: &Value) -> bool {
    message["content"].as_array().is_some_and(Vec::is_empty)
}

fn blame(at: usize, place: usize, (member, why): (&'static str, String)) -> BadRequest {
    let field = format!("messages[{at}].content[{place}].{member}");
    let message = format!("{field} {why}");
    bad(&field, message)
}

/// What the system prompt says; nothing where it is empty.
fn told(system: &Text) -> Option<Value> {
    match system {
        Text::Plain(text) => (!text.is_empty()).then(|| json!(text)),
        Text::Blocks(blocks) => {
            let parts: Vec<Value> = blocks
                .iter()
                .map(|block| {
                    let mut part = json!({"type": "text", "text": block.text});
                    if let Some(mark) = &block.cache_control {
                        part["cache_control"] = mark.clone();
                    }
                    part
                })
                .collect();
            (!parts.is_empty()).then_some(Value::Array(parts))
        }
    }
}

fn results(content: &RawValue) -> Result<Value, (&'static str, String)> {
    let content: Content<'_> = serde_json::from_str(content.get())
        .map_err(|_| ("content", "must be a string or a list of content blocks".to_owned()))?;
    match content {
        Content::Plain(text) => Ok(json!(text)),
        Content::Blocks(blocks) => {
            let parts = blocks.iter().filter_map(|block| part(block).transpose());
            let parts = parts.collect::<Result<Vec<_>, _>>().map_err(|(_, why)| ("content", why))?;
            Ok(Value::Array(parts))
        }
    }
}

fn call(block: &Block<'_>) -> Result<Value, (&'static str, String)> {
    let id = block.id.as_deref().ok_or_else(|| ("id", "is required".to_owned()))?;
    let name = block.name.as_deref().ok_or_else(|| ("name", "is required".to_owned()))?;
    let arguments = block.input.map_or("{}", |input| input.get());
    Ok(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}))
}
