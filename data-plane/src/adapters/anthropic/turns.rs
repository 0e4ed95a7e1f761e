//! The conversation as Anthropic wants it: a system prompt and turns that alternate, nothing empty.

use serde_json::{Value, json};

use crate::adapters::Unsupported;
use crate::adapters::anthropic::blocks::{block, mark, text_block};
use crate::adapters::anthropic::names::{call_id, tool_name};
use crate::adapters::quirks::Quirks;
use crate::adapters::shared::claude::{REASONING_FORMAT, Thought, thoughts};
use crate::adapters::shared::conversation::{Answer, Conversation, NO_RESULT, Told, Turn};
use crate::adapters::shared::tool_input;
use crate::model::media::Fetched;
use crate::model::message::{Message, Part, PartContent, Role, ToolCall};

/// Stands where Anthropic demands a user's word and there is none.
const FILLER: &str = ".";

/// The prompt in Anthropic's form.
#[derive(Debug, Default)]
pub struct Prompt {
    pub system: Vec<Value>,
    turns: Vec<(&'static str, Vec<Value>)>,
}

/// Writes the turns of a conversation.
///
/// # Errors
/// [`Unsupported`] naming the message at fault.
pub fn prompt(
    conversation: &Conversation<'_>,
    quirks: &Quirks,
    fetched: &Fetched,
) -> Result<Prompt, Unsupported> {
    let mut prompt = Prompt::default();
    let writer = Writer { fetched };
    for told in &conversation.system {
        prompt.system.extend(writer.system(*told)?);
    }
    for turn in &conversation.turns {
        match turn {
            Turn::Assistant(messages) => {
                for told in messages {
                    prompt.add("assistant", writer.assistant(*told)?);
                }
            }
            Turn::User { results, said } => {
                for answer in results {
                    prompt.add("user", vec![writer.result(answer)?]);
                }
                for told in said {
                    let (role, blocks) = writer.said(*told, quirks)?;
                    prompt.add(role, blocks);
                }
            }
        }
    }
    prompt.trim_prefill();
    if prompt.turns.first().is_none_or(|(role, _)| *role != "user") {
        prompt.turns.insert(0, ("user", text_block(FILLER).into_iter().collect()));
    }
    Ok(prompt)
}

impl Prompt {
    /// Blocks of one side after another are one turn; without blocks there is none.
    fn add(&mut self, role: &'static str, blocks: Vec<Value>) {
        if blocks.is_empty() {
            return;
        }
        match self.turns.last_mut() {
            Some((last, all)) if *last == role => all.extend(blocks),
            _ => self.turns.push((role, blocks)),
        }
    }

    /// Anthropic refuses white space at the end of a text to be continued.
    fn trim_prefill(&mut self) {
        let Some((_, blocks)) = self.turns.last_mut().filter(|(role, _)| *role == "assistant") else {
            return;
        };
        let Some(text) = blocks.last_mut().and_then(|block| block.get_mut("text")) else { return };
        if let Some(trimmed) = text.as_str().map(|text| text.trim_end().to_owned()) {
            *text = trimmed.into();
        }
    }

    /// Whether the last word is the assistant's, to be continued.
    pub fn is_prefilled(&self) -> bool {
        self.turns.last().is_some_and(|(role, _)| *role == "assistant")
    }

    /// The system prompt and the turns as `messages`.
    pub fn into_messages(self) -> (Vec<Value>, Vec<Value>) {
        let turns = self.turns.into_iter();
        (self.system, turns.map(|(role, blocks)| json!({"role": role, "content": blocks})).collect())
    }
}

/// Writes messages as blocks.
struct Writer<'a> {
    fetched: &'a Fetched,
}

impl Writer<'_> {
    fn system(&self, told: Told<'_>) -> Result<Vec<Value>, Unsupported> {
        let media = |part: &Part| !matches!(part.content, PartContent::Text(_));
        if told.message.content.iter().any(media) {
            let field = format!("{}.content", told.path());
            return Err(Unsupported::new(field, "can only be text in a system message"));
        }
        self.blocks(told)
    }

    /// What the user's side says after the results: its own words, later instructions, results of no call.
    fn said(&self, told: Told<'_>, quirks: &Quirks) -> Result<(&'static str, Vec<Value>), Unsupported> {
        match told.message.role {
            Role::System | Role::Developer if quirks.inner_system => Ok(("system", self.system(told)?)),
            Role::System | Role::Developer => {
                Ok(("user", self.system(told)?.into_iter().map(wrap_system).collect()))
            }
            Role::Tool | Role::Function => Ok(("user", self.orphan(told)?)),
            _ => Ok(("user", self.blocks(told)?)),
        }
    }

    /// Thinking, then text, then calls: the order in which they arose.
    fn assistant(&self, told: Told<'_>) -> Result<Vec<Value>, Unsupported> {
        let message = told.message;
        let thoughts = thoughts(&message.reasoning_details, REASONING_FORMAT);
        let mut all: Vec<Value> = thoughts.into_iter().map(thinking).collect();
        all.extend(self.blocks(told)?);
        all.extend(message.refusal.as_deref().and_then(text_block));
        for (at, call) in message.tool_calls.iter().enumerate() {
            all.push(tool_use(call, &format!("{}.tool_calls[{at}]", told.path()))?);
        }
        Ok(all)
    }

    fn blocks(&self, told: Told<'_>) -> Result<Vec<Value>, Unsupported> {
        let message = told.message;
        let mut blocks = Vec::with_capacity(message.content.len());
        for (at, part) in message.content.iter().enumerate() {
            blocks.extend(block(part, self.fetched, &format!("{}.content[{at}]", told.path()))?);
        }
        if let (Some(last), Some(_)) = (blocks.last_mut(), &message.cache_control) {
            mark(last, message.cache_control.as_ref());
        }
        Ok(blocks)
    }

    fn result(&self, answer: &Answer<'_>) -> Result<Value, Unsupported> {
        let id = call_id(&answer.call.id);
        let Some(told) = answer.told else {
            return Ok(
                json!({"type": "tool_result", "tool_use_id": id, "content": NO_RESULT, "is_error": true}),
            );
        };
        let message = told.message;
        let content = match sole_text(message) {
            Some(text) => text.into(),
            None => Value::Array(self.unmarked(told)?),
        };
        let mut result = json!({"type": "tool_result", "tool_use_id": id, "content": content});
        if message.is_error {
            result["is_error"] = true.into();
        }
        // The mark belongs to the result as a whole.
        let marked = message.content.iter().find_map(|part| part.cache_control.as_ref());
        mark(&mut result, marked.or(message.cache_control.as_ref()));
        Ok(result)
    }

    fn unmarked(&self, told: Told<'_>) -> Result<Vec<Value>, Unsupported> {
        let mut blocks = self.blocks(told)?;
        blocks
            .iter_mut()
            .filter_map(Value::as_object_mut)
            .for_each(|block| drop(block.remove("cache_control")));
        Ok(blocks)
    }

    /// A result that answers no call of the turn before: its content, as the user's words.
    fn orphan(&self, told: Told<'_>) -> Result<Vec<Value>, Unsupported> {
        match sole_text(told.message) {
            Some(text) => Ok(text_block(&format!("Tool result: {text}")).into_iter().collect()),
            None => self.unmarked(told),
        }
    }
}

/// The content where it is one text or nothing.
fn sole_text(message: &Message) -> Option<&str> {
    match message.content.as_slice() {
        [] => Some(""),
        [Part { content: PartContent::Text(text), .. }] => Some(text),
        _ => None,
    }
}

fn wrap_system(mut block: Value) -> Value {
    let wrapped = format!("<system>{}</system>", block["text"].as_str().unwrap_or_default());
    block["text"] = wrapped.into();
    block
}

fn thinking(thought: Thought) -> Value {
    match thought {
        Thought::Signed { text, signature } => {
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        Thought::Redacted(data) => json!({"type": "redacted_thinking", "data": data}),
    }
}

fn tool_use(call: &ToolCall, path: &str) -> Result<Value, Unsupported> {
    let input = tool_input::arguments(call, path)?;
    Ok(json!({"type": "tool_use", "id": call_id(&call.id), "name": tool_name(&call.name), "input": input}))
}
