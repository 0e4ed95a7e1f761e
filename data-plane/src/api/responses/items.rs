//! Items of an answer: reasoning, one message, calls.

use serde_json::{Value, json};

use crate::api::responses::answer::is_cut;
use crate::api::responses::reasoning::Thought;
use crate::api::steps::content_logprobs;
use crate::model::message::{ToolCall, ToolKind};
use crate::model::response::{Choice, ResponseMessage};

/// Names items after the answer that they are of.
#[derive(Debug, Clone)]
pub struct Ids {
    answer: String,
}

impl Ids {
    /// The names of this answer's items.
    pub fn of(answer: &str) -> Self {
        Self { answer: answer.trim_start_matches("gen-").to_owned() }
    }

    /// The id of an item of this kind at this place.
    pub fn item(&self, kind: &str, at: usize) -> String {
        format!("{kind}_{}_{at}", self.answer)
    }
}

/// All items of an answer's only choice, in order. What was cut off is incomplete: the last text, or calls whose
/// arguments did not come to their end.
pub fn items(choice: &Choice, ids: &Ids) -> Vec<Value> {
    let (message, is_cut) = (&choice.message, is_cut(choice.finish.reason));
    let status = |is_whole: bool| if is_cut && !is_whole { "incomplete" } else { "completed" };
    let mut items = Vec::new();
    for thought in thoughts(message) {
        items.push(thought.item(&ids.item("rs", items.len()), "completed"));
    }
    let text = message.content.as_deref().filter(|text| !text.is_empty());
    if text.is_some() || message.refusal.is_some() || message.tool_calls.is_empty() {
        let logprobs = choice.logprobs.as_ref().map(|raw| content_logprobs(raw.get())).unwrap_or_default();
        let content = content(text, message.refusal.as_deref(), &message.annotations, &logprobs);
        let status = status(!message.tool_calls.is_empty());
        items.push(self::message(&ids.item("msg", items.len()), status, content));
    }
    for image in &message.images {
        items.push(self::image(&ids.item("ig", items.len()), image));
    }
    for call in &message.tool_calls {
        let is_whole = call.kind == ToolKind::Function
            && serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments).is_ok();
        items.push(self::call(&ids.item(prefix(call.kind), items.len()), call, status(is_whole)));
    }
    items
}

fn thoughts(message: &ResponseMessage) -> Vec<Thought> {
    let mut all: Vec<Thought> = Vec::new();
    for detail in &message.reasoning_details {
        match all.last_mut().filter(|last| last.continues(detail)) {
            Some(last) => last.take(detail),
            None => {
                let mut thought = Thought::default();
                thought.take(detail);
                all.push(thought);
            }
        }
    }
    if let Some(text) = message.reasoning.as_ref().filter(|_| all.is_empty()) {
        all.push(Thought { text: text.clone(), ..Thought::default() });
    }
    all
}

/// The message item.
pub fn message(id: &str, status: &str, content: Vec<Value>) -> Value {
    json!({"type": "message", "id": id, "status": status, "role": "assistant", "content": content})
}

fn content(
    text: Option<&str>,
    refusal: Option<&str>,
    annotations: &[Value],
    logprobs: &[Value],
) -> Vec<Value> {
    let mut parts = Vec::new();
    if text.is_some() || refusal.is_none() {
        parts.push(output_text(text.unwrap_or_default(), annotations, logprobs));
    }
    parts.extend(refusal.map(|text| json!({"type": "refusal", "refusal": text})));
    parts
}

/// A part of text.
pub fn output_text(text: &str, annotations: &[Value], logprobs: &[Value]) -> Value {
    let annotations: Vec<Value> = annotations.iter().map(annotation).collect();
    json!({"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs})
}

/// An image that the model made: its base64, or where it is.
pub fn image(id: &str, image: &Value) -> Value {
    let url = image["image_url"]["url"].as_str().unwrap_or_default();
    let result = url.split_once(";base64,").map_or(url, |(_, data)| data);
    json!({"type": "image_generation_call", "id": id, "status": "completed", "result": result})
}

/// An annotation, flat as this dialect has them.
pub fn annotation(annotation: &Value) -> Value {
    let kind = annotation.get("type").and_then(Value::as_str).unwrap_or_default();
    match annotation.get(kind) {
        Some(Value::Object(inner)) => {
            let mut flat = json!({"type": kind});
            for (name, value) in inner {
                flat[name.as_str()] = value.clone();
            }
            flat
        }
        _ => annotation.clone(),
    }
}

/// What the ids of calls of this kind begin with.
pub fn prefix(kind: ToolKind) -> &'static str {
    match kind {
        ToolKind::Function => "fc",
        ToolKind::Custom => "ctc",
    }
}

/// A call.
pub fn call(id: &str, call: &ToolCall, status: &str) -> Value {
    let (name, text) = (&call.name, &call.arguments);
    match call.kind {
        ToolKind::Function => {
            json!({"type": "function_call", "id": id, "call_id": call.id, "name": name, "arguments": text, "status": status})
        }
        ToolKind::Custom => {
            json!({"type": "custom_tool_call", "id": id, "call_id": call.id, "name": name, "input": text, "status": status})
        }
    }
}
