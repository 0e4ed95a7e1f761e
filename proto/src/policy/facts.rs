//! What conditions are about, as plain data, and how the interpreter looks it up.
//!
//! Only what an expression names is converted, when it is named.

use std::collections::HashMap;

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelString, CelTimestamp};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use chrono::{DateTime, Utc};

/// A request, and what is known of its caller when it is planned.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestFacts<'a> {
    /// The first model asked for, and all of them in order.
    pub model: &'a str,
    pub models: Vec<&'a str>,
    /// The caller's tag, e.g. `high`; empty: none.
    pub priority: &'a str,
    /// Estimated before the call.
    pub prompt_tokens: u64,
    /// The output cap asked for; 0: none.
    pub max_tokens: u64,
    /// Of the input: `text`, `image`, …
    pub modalities: Vec<&'a str>,
    /// How many tools are offered.
    pub tools: u64,
    /// `auto`, `none`, `required` or a function's name; empty: not said.
    pub tool_choice: &'a str,
    pub stream: bool,
    pub user: &'a str,
    pub session: &'a str,
    /// Effort; empty: none asked for.
    pub reasoning: &'a str,
    /// Whether the answer must be JSON.
    pub json: bool,
    /// Those that the operator chose, with names in lower case.
    pub headers: Vec<(&'a str, &'a str)>,
    pub tenant_id: &'a str,
    pub key_id: &'a str,
    pub key_name: &'a str,
    pub now: DateTime<Utc>,
    /// Share of the tightest budget that is left, from 0 to 1; 1 where nothing limits.
    pub budget_left: f64,
}

impl Default for RequestFacts<'_> {
    fn default() -> Self {
        Self {
            model: "",
            models: Vec::new(),
            priority: "",
            prompt_tokens: 0,
            max_tokens: 0,
            modalities: Vec::new(),
            tools: 0,
            tool_choice: "",
            stream: false,
            user: "",
            session: "",
            reasoning: "",
            json: false,
            headers: Vec::new(),
            tenant_id: "",
            key_id: "",
            key_name: "",
            now: DateTime::UNIX_EPOCH,
            budget_left: 1.0,
        }
    }
}

/// A whole answer of one attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerFacts<'a> {
    pub text: &'a str,
    /// `stop`, `length`, `tool_calls`, …
    pub finish_reason: &'a str,
    pub tool_calls: Vec<ToolCallFacts<'a>>,
    pub completion_tokens: u64,
    pub model: &'a str,
    pub provider: &'a str,
}

/// One call of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ToolCallFacts<'a> {
    pub name: &'a str,
    /// As the model wrote them: JSON, or what should have been.
    pub arguments: &'a str,
}

/// Both, as the interpreter asks for them.
pub(super) struct Facts<'a> {
    pub(super) request: &'a RequestFacts<'a>,
    pub(super) answer: Option<&'a AnswerFacts<'a>>,
}

impl VariableResolver for Facts<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let request = self.request;
        match variable {
            "now" => Some(CowVal::owned(CelTimestamp::from(request.now.fixed_offset()))),
            "headers" => Some(strings(request.headers.iter().copied())),
            "tenant.id" => Some(text(request.tenant_id)),
            "key.id" => Some(text(request.key_id)),
            "key.name" => Some(text(request.key_name)),
            "budget.left" => Some(CowVal::owned(CelDouble::from(request.budget_left))),
            name => match name.split_once('.')? {
                ("request", field) => request.get(field),
                ("answer", field) => self.answer?.get(field),
                _ => None,
            },
        }
    }
}

impl RequestFacts<'_> {
    fn get(&self, field: &str) -> Option<CowVal<'_, '_>> {
        match field {
            "model" => Some(text(self.model)),
            "models" => Some(list(&self.models)),
            "priority" => Some(text(self.priority)),
            "prompt_tokens" => Some(count(self.prompt_tokens)),
            "max_tokens" => Some(count(self.max_tokens)),
            "modalities" => Some(list(&self.modalities)),
            "tools" => Some(count(self.tools)),
            "tool_choice" => Some(text(self.tool_choice)),
            "stream" => Some(CowVal::owned(CelBool::from(self.stream))),
            "user" => Some(text(self.user)),
            "session" => Some(text(self.session)),
            "reasoning" => Some(text(self.reasoning)),
            "json" => Some(CowVal::owned(CelBool::from(self.json))),
            _ => None,
        }
    }
}

impl AnswerFacts<'_> {
    fn get(&self, field: &str) -> Option<CowVal<'_, '_>> {
        match field {
            "text" => Some(text(self.text)),
            "finish_reason" => Some(text(self.finish_reason)),
            "tool_calls" => Some(calls(&self.tool_calls)),
            "completion_tokens" => Some(count(self.completion_tokens)),
            "model" => Some(text(self.model)),
            "provider" => Some(text(self.provider)),
            _ => None,
        }
    }
}

fn text<'a>(text: &'a str) -> CowVal<'a, 'a> {
    CowVal::owned(CelString::from(text))
}

fn count<'a>(count: u64) -> CowVal<'a, 'a> {
    CowVal::owned(CelInt::from(i64::try_from(count).unwrap_or(i64::MAX)))
}

fn list<'a>(texts: &[&'a str]) -> CowVal<'a, 'a> {
    let texts = texts.iter().map(|text| Box::new(CelString::from(*text)) as Box<dyn Val + 'a>);
    CowVal::owned(CelList::from(texts.collect::<Vec<_>>()))
}

fn map<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> CelMap<'a> {
    let entries = entries.map(|(name, value)| {
        let value: Box<dyn Val + 'a> = Box::new(CelString::from(value));
        (CelMapKey::from(name), value)
    });
    CelMap::from(entries.collect::<HashMap<_, _>>())
}

fn strings<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> CowVal<'a, 'a> {
    CowVal::owned(map(entries))
}

fn calls<'a>(calls: &[ToolCallFacts<'a>]) -> CowVal<'a, 'a> {
    let calls = calls.iter().map(|call| {
        let fields = [("name", call.name), ("arguments", call.arguments)];
        Box::new(map(fields.into_iter())) as Box<dyn Val + 'a>
    });
    CowVal::owned(CelList::from(calls.collect::<Vec<_>>()))
}
