//! One line of an answer, read as leniently as servers differ: a member of the wrong type counts as absent.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::model::usage::{Provenance, Usage};

/// A line, its members unread.
#[derive(Debug, Deserialize)]
pub struct Line<'a> {
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    created_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    done: Option<&'a RawValue>,
    #[serde(borrow, default)]
    done_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prompt_eval_count: Option<&'a RawValue>,
    #[serde(borrow, default)]
    eval_count: Option<&'a RawValue>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
}

/// A message or a piece of one.
#[derive(Debug, Default, Deserialize)]
pub struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
}

/// A complete call.
#[derive(Debug, Deserialize)]
pub struct Call<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Debug, Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl<'a> Line<'a> {
    /// The model's name.
    pub fn model(&self) -> Option<String> {
        text(self.model)
    }

    /// When the line was made, as written.
    pub fn created_at(&self) -> Option<String> {
        text(self.created_at)
    }

    /// The message; an empty one where there is none.
    pub fn message(&self) -> Message<'a> {
        self.message.and_then(|message| serde_json::from_str(message.get()).ok()).unwrap_or_default()
    }

    /// Whether the line says that it is part of an answer.
    pub fn is_answer(&self) -> bool {
        self.message.is_some() || self.done.is_some()
    }

    /// Whether it is the last one.
    pub fn is_done(&self) -> bool {
        self.done.is_some_and(|done| done.get() == "true")
    }

    /// Why the answer ended.
    pub fn done_reason(&self) -> Option<String> {
        text(self.done_reason)
    }

    /// The counts; those that are zero are left out, and where both are missing nothing is known.
    pub fn usage(&self) -> Option<Usage> {
        let count = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str::<u64>(raw.get()).ok());
        let (prompt, completion) = (count(self.prompt_eval_count), count(self.eval_count));
        prompt.or(completion)?;
        Some(Usage {
            prompt_tokens: prompt.unwrap_or(0),
            completion_tokens: completion.unwrap_or(0),
            provenance: Provenance::ProviderFinal,
            ..Usage::default()
        })
    }

    /// The log probabilities, whose entries have the client's form already.
    pub fn logprobs(&self) -> Option<Box<RawValue>> {
        let list: Vec<Value> = serde_json::from_str(self.logprobs?.get()).ok()?;
        if list.is_empty() { None } else { to_raw_value(&serde_json::json!({ "content": list })).ok() }
    }
}

impl<'a> Message<'a> {
    /// The text, unless it is empty.
    pub fn content(&self) -> Option<String> {
        text(self.content)
    }

    /// The thinking, unless it is empty.
    pub fn thinking(&self) -> Option<String> {
        text(self.thinking)
    }

    /// The calls.
    pub fn calls(&self) -> Vec<Call<'a>> {
        let calls: Option<Vec<&'a RawValue>> =
            self.tool_calls.and_then(|calls| serde_json::from_str(calls.get()).ok());
        let calls = calls.unwrap_or_default().into_iter();
        calls.filter_map(|call| serde_json::from_str(call.get()).ok()).collect()
    }
}

impl Call<'_> {
    /// The server's id of the call; older ones give none.
    pub fn id(&self) -> Option<String> {
        text(self.id)
    }

    /// The tool's name.
    pub fn name(&self) -> String {
        text(self.function.name).unwrap_or_default()
    }

    /// The arguments byte for byte; some models write them as text.
    pub fn arguments(&self) -> String {
        let raw = self.function.arguments.map(RawValue::get).unwrap_or_default();
        match text(self.function.arguments) {
            Some(json) => json,
            None if raw.starts_with('{') => raw.to_owned(),
            None => "{}".to_owned(),
        }
    }
}

/// A string, unless it is empty.
fn text(raw: Option<&RawValue>) -> Option<String> {
    let raw = raw?.get();
    let text: String = if raw.starts_with('"') { serde_json::from_str(raw).ok()? } else { return None };
    Some(text).filter(|text| !text.is_empty())
}
