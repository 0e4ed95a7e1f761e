//! The conversation as Anthropic wants it: a system prompt and turns that alternate.
//!
//! Results of one assistant turn stand together, first and in the order of the calls; nothing is empty.

use serde_json::{Value, json};

use crate::adapters::Unsupported;
use crate::adapters::anthropic::blocks::{block, mark, text_block};
use crate::adapters::anthropic::names::{call_id, tool_name};
use crate::adapters::quirks::Quirks;
use crate::model::event::join_details;
use crate::model::message::{Message, Part, PartContent, Role, ToolCall, ToolKind};

/// The `format` of reasoning that Anthropic signed.
pub const REASONING_FORMAT: &str = "anthropic-claude-v1";

/// Stands where Anthropic demands a user's word and there is none.
const FILLER: &str = ".";

/// The prompt in Anthropic's form.
#[derive(Debug, Default)]
pub struct Conversation {
    pub system: Vec<Value>,
    pub turns: Vec<Turn>,
}

/// One turn; consecutive messages of one role are one turn.
#[derive(Debug)]
pub struct Turn {
    pub role: &'static str,
    /// Results of the calls in the turn before; they must stand first.
    results: Vec<Value>,
    pub blocks: Vec<Value>,
}

impl Turn {
    fn new(role: &'static str) -> Self {
        Self { role, results: Vec::new(), blocks: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.results.is_empty() && self.blocks.is_empty()
    }

    /// Ids of the calls made in this turn.
    fn calls(&self) -> Vec<String> {
        let calls = self.blocks.iter().filter(|block| block["type"] == "tool_use");
        calls.filter_map(|block| Some(block["id"].as_str()?.to_owned())).collect()
    }

    /// Whether the turn begins with signed thinking.
    pub fn thinks(&self) -> bool {
        self.blocks.iter().any(|block| block["type"] == "thinking" || block["type"] == "redacted_thinking")
    }

    /// Whether the turn answers calls.
    pub fn answers(&self) -> bool {
        self.blocks.iter().any(|block| block["type"] == "tool_result")
    }
}

/// Reads the messages into turns.
///
/// # Errors
/// [`Unsupported`] naming the message at fault.
pub fn conversation(messages: &[Message], quirks: &Quirks) -> Result<Conversation, Unsupported> {
    let mut conversation = Conversation::default();
    for (at, message) in messages.iter().enumerate() {
        conversation.add(message, &format!("messages[{at}]"), quirks)?;
    }
    conversation.turns.retain(|turn| !turn.is_empty());
    conversation.pair_results();
    conversation.trim_prefill();
    if conversation.turns.first().is_none_or(|turn| turn.role != "user") {
        let filler = Turn { blocks: text_block(FILLER).into_iter().collect(), ..Turn::new("user") };
        conversation.turns.insert(0, filler);
    }
    Ok(conversation)
}

impl Conversation {
    fn add(&mut self, message: &Message, path: &str, quirks: &Quirks) -> Result<(), Unsupported> {
        match message.role {
            Role::System | Role::Developer => self.add_system(message, path, quirks),
            Role::User => {
                let blocks = blocks(message, path)?;
                self.turn("user").blocks.extend(blocks);
                Ok(())
            }
            Role::Assistant => {
                let blocks = assistant(message, path)?;
                self.turn("assistant").blocks.extend(blocks);
                Ok(())
            }
            Role::Tool | Role::Function => {
                let result = result(message, path)?;
                self.turn("user").results.push(result);
                Ok(())
            }
        }
    }

    /// The turn of this role that is being told; a new one where the other side spoke last.
    fn turn(&mut self, role: &'static str) -> &mut Turn {
        if self.turns.last().is_none_or(|turn| turn.role != role) {
            self.turns.push(Turn::new(role));
        }
        self.turns.last_mut().expect("just made sure of")
    }

    fn add_system(&mut self, message: &Message, path: &str, quirks: &Quirks) -> Result<(), Unsupported> {
        let media = |part: &Part| !matches!(part.content, PartContent::Text(_));
        if message.content.iter().any(media) {
            return Err(Unsupported::new(format!("{path}.content"), "can only be text in a system message"));
        }
        let blocks = blocks(message, path)?;
        if self.turns.is_empty() {
            self.system.extend(blocks);
        } else if quirks.inner_system {
            self.turn("system").blocks.extend(blocks);
        } else {
            let wrapped = blocks.into_iter().map(wrap_system);
            let wrapped: Vec<_> = wrapped.collect();
            self.turn("user").blocks.extend(wrapped);
        }
        Ok(())
    }

    /// Orders results by their calls, makes up the missing ones, and turns orphans into text.
    fn pair_results(&mut self) {
        let mut at = 0;
        while at < self.turns.len() {
            let calls = match at.checked_sub(1) {
                Some(before) if self.turns[before].role == "assistant" => self.turns[before].calls(),
                _ => Vec::new(),
            };
            if !calls.is_empty() && self.turns[at].role != "user" {
                self.turns.insert(at, Turn::new("user"));
            }
            self.turns[at].settle(&calls);
            at += 1;
        }
        let open = self.turns.last().map(Turn::calls).unwrap_or_default();
        if !open.is_empty() {
            let mut turn = Turn::new("user");
            turn.settle(&open);
            self.turns.push(turn);
        }
    }

    /// Anthropic refuses white space at the end of a text to be continued.
    fn trim_prefill(&mut self) {
        let Some(turn) = self.turns.last_mut().filter(|turn| turn.role == "assistant") else { return };
        let Some(text) = turn.blocks.last_mut().and_then(|block| block.get_mut("text")) else { return };
        if let Some(trimmed) = text.as_str().map(|text| text.trim_end().to_owned()) {
            *text = trimmed.into();
        }
    }

    /// Whether the last word is the assistant's, to be continued.
    pub fn is_prefilled(&self) -> bool {
        self.turns.last().is_some_and(|turn| turn.role == "assistant")
    }

    /// Whether the assistant is in the middle of a tool loop that it began without signed thinking.
    pub fn continues_unthought(&self) -> bool {
        let [.., before, last] = self.turns.as_slice() else { return false };
        last.answers() && !before.thinks()
    }

    /// Names of the tools that the history calls.
    pub fn called_tools(&self) -> Vec<String> {
        let mut names = Vec::new();
        for block in self.turns.iter().flat_map(|turn| &turn.blocks) {
            if let (Some("tool_use"), Some(name)) = (block["type"].as_str(), block["name"].as_str())
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// The turns as `messages`.
    pub fn into_messages(self) -> (Vec<Value>, Vec<Value>) {
        let turns = self.turns.into_iter();
        (self.system, turns.map(|turn| json!({"role": turn.role, "content": turn.blocks})).collect())
    }
}

impl Turn {
    fn settle(&mut self, calls: &[String]) {
        let mut results = std::mem::take(&mut self.results);
        let mut ordered = Vec::with_capacity(calls.len());
        for call in calls {
            let found = results.iter().position(|result| result["tool_use_id"] == call.as_str());
            ordered.push(found.map_or_else(|| missing(call), |at| results.remove(at)));
        }
        ordered.extend(results.into_iter().flat_map(orphan));
        ordered.append(&mut self.blocks);
        self.blocks = ordered;
    }
}

fn missing(call: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": call, "content": "No result was recorded for this call.", "is_error": true})
}

/// A result that answers no call of the turn before: its content, as the user's words.
fn orphan(result: Value) -> Vec<Value> {
    match &result["content"] {
        Value::String(text) => text_block(&format!("Tool result: {text}")).into_iter().collect(),
        Value::Array(blocks) => blocks.clone(),
        _ => Vec::new(),
    }
}

fn blocks(message: &Message, path: &str) -> Result<Vec<Value>, Unsupported> {
    let mut blocks = Vec::with_capacity(message.content.len());
    for (at, part) in message.content.iter().enumerate() {
        blocks.extend(block(part, &format!("{path}.content[{at}]"))?);
    }
    if let (Some(last), Some(_)) = (blocks.last_mut(), &message.cache_control) {
        mark(last, message.cache_control.as_ref());
    }
    Ok(blocks)
}

fn wrap_system(mut block: Value) -> Value {
    let wrapped = format!("<system>{}</system>", block["text"].as_str().unwrap_or_default());
    block["text"] = wrapped.into();
    block
}

/// Thinking, then text, then calls: the order in which they arose.
fn assistant(message: &Message, path: &str) -> Result<Vec<Value>, Unsupported> {
    let mut all = thoughts(&message.reasoning_details);
    all.extend(blocks(message, path)?);
    if let Some(refusal) = &message.refusal {
        all.extend(text_block(refusal));
    }
    for (at, call) in message.tool_calls.iter().enumerate() {
        all.push(tool_use(call, &format!("{path}.tool_calls[{at}]"))?);
    }
    Ok(all)
}

/// Signed thinking of Anthropic's own; other providers' signatures would be refused.
fn thoughts(details: &[Value]) -> Vec<Value> {
    let own = |detail: &&Value| detail["format"] == REASONING_FORMAT;
    let details: Vec<Value> = details.iter().filter(own).cloned().collect();
    let block = |detail: Value| match detail["type"].as_str()? {
        "reasoning.text" => {
            let signature = detail["signature"].as_str().filter(|signature| !signature.is_empty())?;
            let text = detail["text"].as_str().unwrap_or_default();
            Some(json!({"type": "thinking", "thinking": text, "signature": signature}))
        }
        "reasoning.encrypted" => Some(json!({"type": "redacted_thinking", "data": detail["data"].as_str()?})),
        _ => None,
    };
    join_details(&details).into_iter().filter_map(block).collect()
}

fn tool_use(call: &ToolCall, path: &str) -> Result<Value, Unsupported> {
    let input = match call.kind {
        ToolKind::Custom => json!({ "input": call.arguments }),
        ToolKind::Function if call.arguments.trim().is_empty() => json!({}),
        ToolKind::Function => match serde_json::from_str(&call.arguments) {
            Ok(input @ Value::Object(_)) => input,
            Ok(Value::Null) => json!({}),
            _ => {
                let field = format!("{path}.function.arguments");
                return Err(Unsupported::new(field, "must be the JSON text of an object"));
            }
        },
    };
    Ok(json!({"type": "tool_use", "id": call_id(&call.id), "name": tool_name(&call.name), "input": input}))
}

fn result(message: &Message, path: &str) -> Result<Value, Unsupported> {
    let id = call_id(message.tool_call_id.as_deref().unwrap_or_default());
    let marked = message.content.iter().find_map(|part| part.cache_control.as_ref());
    let content = match message.content.as_slice() {
        [] => Value::from(""),
        [Part { content: PartContent::Text(text), .. }] => Value::from(text.as_str()),
        _ => {
            let mut blocks = blocks(message, path)?;
            // The mark belongs to the result as a whole.
            blocks
                .iter_mut()
                .filter_map(Value::as_object_mut)
                .for_each(|block| drop(block.remove("cache_control")));
            Value::Array(blocks)
        }
    };
    let mut result = json!({"type": "tool_result", "tool_use_id": id, "content": content});
    if message.is_error {
        result["is_error"] = true.into();
    }
    mark(&mut result, marked.or(message.cache_control.as_ref()));
    Ok(result)
}
