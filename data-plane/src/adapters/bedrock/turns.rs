//! The conversation as Converse wants it: turns that alternate, beginning with the user's, nothing blank.

use serde_json::{Value, json};

use crate::adapters::Unsupported;
use crate::adapters::bedrock::content::{Blocks, text_block};
use crate::adapters::bedrock::tools::{call_id, tool_name};
use crate::adapters::quirks::{CacheMarks, ModelFields, Quirks};
use crate::adapters::shared::claude::{REASONING_FORMAT, Thought, thoughts};
use crate::adapters::shared::conversation::{Answer, Conversation, NO_RESULT, Told, Turn};
use crate::adapters::shared::tool_input;
use crate::model::media::Fetched;
use crate::model::message::{Message, Part, PartContent, Role, ToolCall};

/// Stands where Converse demands a user's word and there is none.
const FILLER: &str = ".";
/// Stands in a result that is empty, which models refuse.
const NO_OUTPUT: &str = "(no output)";
/// The `format` of reasoning that a model other than Claude signed.
const FOREIGN_FORMAT: &str = "unknown";

/// The `format` of the reasoning that a row's model signs.
pub fn reasoning_format(quirks: &Quirks) -> &'static str {
    match quirks.model_fields {
        ModelFields::Claude => REASONING_FORMAT,
        _ => FOREIGN_FORMAT,
    }
}

/// The block that ends a cached prefix, for a mark as callers write it.
pub fn cache_point(mark: &Value, quirks: &Quirks) -> Value {
    let is_long = mark["ttl"] == "1h" && quirks.model_fields == ModelFields::Claude;
    match is_long {
        true => json!({"cachePoint": {"type": "default", "ttl": "1h"}}),
        false => json!({"cachePoint": {"type": "default"}}),
    }
}

/// Whether a block ends a cached prefix.
pub fn is_cache_point(block: &Value) -> bool {
    block.get("cachePoint").is_some()
}

/// The prompt in Converse's form.
#[derive(Debug, Default)]
pub struct Prompt {
    pub system: Vec<Value>,
    turns: Vec<(&'static str, Vec<Value>)>,
    /// Paths of what was left out.
    pub dropped: Vec<String>,
}

/// Writes the turns of a conversation.
///
/// Where no tool is declared (`is_flat`), Converse refuses calls and results in the history: they are told in words.
///
/// # Errors
/// [`Unsupported`] naming the message at fault.
pub fn prompt(
    conversation: &Conversation<'_>,
    quirks: &Quirks,
    fetched: &Fetched,
    is_flat: bool,
) -> Result<Prompt, Unsupported> {
    let mut prompt = Prompt::default();
    let mut writer =
        Writer { quirks, is_flat, blocks: Blocks::new(fetched), unmarked: false, shortened: false };
    for told in &conversation.system {
        prompt.system.extend(writer.system(*told)?);
    }
    for turn in &conversation.turns {
        prompt.add(if turn.is_assistant() { "assistant" } else { "user" }, writer.turn(turn)?);
    }
    if prompt.turns.first().is_none_or(|(role, _)| *role != "user") {
        prompt.turns.insert(0, ("user", vec![json!({ "text": FILLER })]));
    }
    prompt.trim_prefill();
    prompt.dropped = writer.blocks.unnamed;
    prompt.dropped.extend(writer.unmarked.then(|| "cache_control".to_owned()));
    prompt.dropped.extend(writer.shortened.then(|| "cache_control.ttl".to_owned()));
    Ok(prompt)
}

impl Prompt {
    /// Blocks of one side after another are one turn; without blocks there is none.
    fn add(&mut self, role: &'static str, blocks: Vec<Value>) {
        match self.turns.last_mut() {
            _ if blocks.is_empty() => {}
            Some((last, all)) if *last == role => all.extend(blocks),
            _ => self.turns.push((role, blocks)),
        }
    }

    /// Notes once that something had to go.
    pub fn leave_out(&mut self, path: &str) {
        if !self.dropped.iter().any(|known| known == path) {
            self.dropped.push(path.to_owned());
        }
    }

    /// White space at the end of a text to be continued is refused.
    fn trim_prefill(&mut self) {
        let Some((_, blocks)) = self.turns.last_mut().filter(|(role, _)| *role == "assistant") else {
            return;
        };
        let last = blocks.iter_mut().rev().find(|block| !is_cache_point(block));
        let Some(text) = last.and_then(|block| block.get_mut("text")) else { return };
        if let Some(trimmed) = text.as_str().map(|text| text.trim_end().to_owned()) {
            *text = trimmed.into();
        }
    }

    /// Whether the last word is the assistant's, to be continued.
    pub fn is_prefilled(&self) -> bool {
        self.turns.last().is_some_and(|(role, _)| *role == "assistant")
    }

    /// Ends the last of the user's turns with a cache point.
    pub fn mark_last(&mut self, point: Value) {
        let last = self.turns.iter_mut().rev().find(|(role, _)| *role == "user");
        if let Some((_, blocks)) = last.filter(|(_, blocks)| !blocks.last().is_some_and(is_cache_point)) {
            blocks.push(point);
        }
    }

    /// Cache points are sent only as often as `keeps` says, in the order of the prompt after the tools.
    pub fn retain_points(&mut self, mut keeps: impl FnMut() -> bool) {
        self.system.retain(|block| !is_cache_point(block) || keeps());
        for (_, blocks) in &mut self.turns {
            blocks.retain(|block| !is_cache_point(block) || keeps());
        }
    }

    /// Blocks of the turns, in order.
    pub fn blocks(&self) -> impl Iterator<Item = &Value> {
        self.turns.iter().flat_map(|(_, blocks)| blocks)
    }

    /// The turns as `messages`.
    pub fn messages(&self) -> Value {
        self.turns.iter().map(|(role, blocks)| json!({"role": role, "content": blocks})).collect()
    }
}

/// Writes messages as blocks.
struct Writer<'a> {
    quirks: &'a Quirks,
    is_flat: bool,
    blocks: Blocks<'a>,
    /// Whether a cache mark had to go.
    unmarked: bool,
    /// Whether a cache mark's lifetime had to go.
    shortened: bool,
}

impl Writer<'_> {
    fn turn(&mut self, turn: &Turn<'_>) -> Result<Vec<Value>, Unsupported> {
        let mut all = Vec::new();
        match turn {
            Turn::Assistant(messages) => {
                for told in messages {
                    all.extend(self.assistant(*told)?);
                }
            }
            Turn::User { results, said } => {
                for answer in results {
                    all.extend(self.result(answer)?);
                }
                for told in said {
                    all.extend(self.said(*told)?);
                }
                // A document alone is refused.
                let has = |name: &str| all.iter().any(|block: &Value| block.get(name).is_some());
                if has("document") && !has("text") {
                    all.push(json!({ "text": FILLER }));
                }
            }
        }
        Ok(all)
    }

    fn system(&mut self, told: Told<'_>) -> Result<Vec<Value>, Unsupported> {
        let media = |part: &Part| !matches!(part.content, PartContent::Text(_));
        if told.message.content.iter().any(media) {
            let field = format!("{}.content", told.path());
            return Err(Unsupported::new(field, "can only be text in a system message"));
        }
        self.parts(told)
    }

    /// What the user's side says after the results: its own words, later instructions, results of no call.
    fn said(&mut self, told: Told<'_>) -> Result<Vec<Value>, Unsupported> {
        match told.message.role {
            Role::System | Role::Developer => Ok(self.system(told)?.into_iter().map(wrap_system).collect()),
            Role::Tool | Role::Function => self.in_words("Tool result:", told),
            _ => self.parts(told),
        }
    }

    /// Reasoning, then text, then calls: the order in which they arose.
    fn assistant(&mut self, told: Told<'_>) -> Result<Vec<Value>, Unsupported> {
        let message = told.message;
        let thoughts = thoughts(&message.reasoning_details, reasoning_format(self.quirks));
        let mut all: Vec<Value> = thoughts.into_iter().map(reasoning).collect();
        all.extend(self.parts(told)?);
        all.extend(message.refusal.as_deref().and_then(text_block));
        for (at, call) in message.tool_calls.iter().enumerate() {
            all.push(self.call(call, &format!("{}.tool_calls[{at}]", told.path()))?);
        }
        Ok(all)
    }

    fn call(&self, call: &ToolCall, path: &str) -> Result<Value, Unsupported> {
        if self.is_flat {
            return Ok(json!({"text": format!("[Called tool {} with {}]", call.name, call.arguments)}));
        }
        let input = tool_input::arguments(call, path)?;
        let (id, name) = (call_id(&call.id, self.quirks), tool_name(&call.name));
        Ok(json!({"toolUse": {"toolUseId": id, "name": name, "input": input}}))
    }

    fn result(&mut self, answer: &Answer<'_>) -> Result<Vec<Value>, Unsupported> {
        let lead = format!("Result of tool {}:", answer.call.name);
        match answer.told {
            Some(told) if self.is_flat => self.in_words(&lead, told),
            None if self.is_flat => Ok(vec![json!({"text": format!("{lead} {NO_RESULT}")})]),
            Some(told) => {
                let content = self.output(told)?;
                let result = self.tool_result(answer, content, told.message.is_error);
                Ok(self.marked(vec![result], told))
            }
            None => Ok(vec![self.tool_result(answer, vec![json!({ "text": NO_RESULT })], true)]),
        }
    }

    /// The mark of a result belongs to it as a whole.
    fn marked(&mut self, mut all: Vec<Value>, told: Told<'_>) -> Vec<Value> {
        let marks = told.message.content.iter().map(|part| part.cache_control.as_ref());
        let mark = marks.flatten().next().or(told.message.cache_control.as_ref());
        self.mark(&mut all, mark);
        all
    }

    fn tool_result(&self, answer: &Answer<'_>, mut content: Vec<Value>, is_error: bool) -> Value {
        let mut result = json!({"toolUseId": call_id(&answer.call.id, self.quirks)});
        // Other makers' models refuse the member.
        let has_status = matches!(self.quirks.model_fields, ModelFields::Claude | ModelFields::Nova);
        match (is_error, has_status) {
            (true, true) => result["status"] = "error".into(),
            (true, false) => content.insert(0, json!({"text": "The tool failed."})),
            _ => {}
        }
        result["content"] = content.into();
        json!({ "toolResult": result })
    }

    /// What a tool gave back; an object in compact JSON is sent as one, since its text is the same.
    fn output(&mut self, told: Told<'_>) -> Result<Vec<Value>, Unsupported> {
        if let [Part { content: PartContent::Text(text), .. }] = told.message.content.as_slice()
            && let Some(object) = compact_object(text)
        {
            return Ok(vec![json!({ "json": object })]);
        }
        let mut blocks = self.unmarked_parts(told)?;
        if blocks.is_empty() {
            blocks.push(json!({ "text": NO_OUTPUT }));
        }
        Ok(blocks)
    }

    /// A result as the user's words.
    fn in_words(&mut self, lead: &str, told: Told<'_>) -> Result<Vec<Value>, Unsupported> {
        let all = match sole_text(told.message) {
            Some(text) => vec![json!({"text": format!("{lead} {text}").trim_end()})],
            None => {
                let mut all = vec![json!({ "text": lead })];
                all.extend(self.unmarked_parts(told)?);
                all
            }
        };
        Ok(self.marked(all, told))
    }

    fn parts(&mut self, told: Told<'_>) -> Result<Vec<Value>, Unsupported> {
        let mut all = Vec::with_capacity(told.message.content.len());
        for (at, part) in told.message.content.iter().enumerate() {
            if let Some(block) = self.blocks.block(part, &format!("{}.content[{at}]", told.path()))? {
                all.push(block);
                self.mark(&mut all, part.cache_control.as_ref());
            }
        }
        self.mark(&mut all, told.message.cache_control.as_ref());
        Ok(all)
    }

    fn unmarked_parts(&mut self, told: Told<'_>) -> Result<Vec<Value>, Unsupported> {
        let mut all = self.parts(told)?;
        all.retain(|block| !is_cache_point(block));
        Ok(all)
    }

    /// Puts a cache point after what is there.
    fn mark(&mut self, all: &mut Vec<Value>, mark: Option<&Value>) {
        let Some(mark) = mark.filter(|mark| mark.is_object()) else { return };
        if self.quirks.cache_marks != CacheMarks::Keep {
            self.unmarked = true;
        } else if all.last().is_some_and(|last| !is_cache_point(last)) {
            let point = cache_point(mark, self.quirks);
            self.shortened |= mark["ttl"] == "1h" && point["cachePoint"].get("ttl").is_none();
            all.push(point);
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

/// The object that a text is, where writing it gives the same text again.
fn compact_object(text: &str) -> Option<Value> {
    let object: Value = serde_json::from_str(text).ok()?;
    let written = object.to_string();
    (object.is_object() && written == text).then_some(object)
}

fn wrap_system(mut block: Value) -> Value {
    if let Some(text) = block["text"].as_str() {
        block = json!({"text": format!("<system>{text}</system>")});
    }
    block
}

fn reasoning(thought: Thought) -> Value {
    json!({"reasoningContent": match thought {
        Thought::Signed { text, signature } => json!({"reasoningText": {"text": text, "signature": signature}}),
        Thought::Redacted(data) => json!({ "redactedContent": data }),
    }})
}
