//! Wishes about reasoning and sampling, which Claude ties together.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::adapters::Target;
use crate::adapters::quirks::{Quirks, Thinking, ThinkingOff};
use crate::adapters::shared::claude::replays;
use crate::adapters::shared::conversation::Conversation;
use crate::model::parameter::Parameter;
use crate::model::request::{ChatRequest, Effort};

/// The least budget that Claude takes.
const LEAST_BUDGET: u64 = 1024;
/// The largest budget that makes sense.
const LARGEST_BUDGET: u64 = 128_000;

/// The members that control thinking.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    pub thinking: Option<Value>,
    pub effort: Option<Effort>,
    /// Whether the model will think, as far as the request decides it.
    pub is_on: bool,
}

impl Plan {
    /// Lets thinking of earlier turns be dropped, not refused, where the prompt before it is not what it was.
    ///
    /// Callers shorten histories and change tools; models that bind their thinking would refuse all of it.
    pub fn unbound(mut self, quirks: &Quirks, conversation: &Conversation<'_>) -> Self {
        if let Some(thinking) =
            self.thinking.as_mut().filter(|_| quirks.bound_thinking && replays(conversation))
        {
            thinking["block_binding"] = json!({"prefix_mismatch_behavior": "drop_block"});
        }
        self
    }
}

/// Decides how to think; `may` is false where the turn must not (a forced tool, an unthought tool loop).
pub fn plan(
    request: &ChatRequest,
    quirks: &Quirks,
    cap: u64,
    may: bool,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Plan {
    let wish = &request.reasoning;
    let asked = wish.level().or(wish.max_tokens.map(|budget| Effort::nearest(budget, cap)));
    let Some(level) = asked else { return verbose(request, quirks, dropped) };
    match quirks.thinking {
        Thinking::Absent => {
            if level != Effort::None {
                dropped.push("reasoning".into());
            }
            Plan::default()
        }
        Thinking::Budget => budget(level, wish.max_tokens, cap, may, dropped),
        Thinking::Adaptive => adaptive(level, quirks),
    }
}

/// Without a wish about reasoning, the wish about verbosity sets the effort.
fn verbose(request: &ChatRequest, quirks: &Quirks, dropped: &mut Vec<Cow<'static, str>>) -> Plan {
    let Some(verbosity) = &request.verbosity else { return Plan::default() };
    let level = Effort::from_name(verbosity).filter(|level| *level > Effort::Minimal);
    match level {
        Some(level) if quirks.thinking == Thinking::Adaptive => {
            Plan { effort: Some(accepted(level, quirks)), ..Plan::default() }
        }
        _ => {
            dropped.push("verbosity".into());
            Plan::default()
        }
    }
}

fn budget(
    level: Effort,
    tokens: Option<u64>,
    cap: u64,
    may: bool,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Plan {
    if level == Effort::None {
        return Plan::default();
    }
    let wanted = tokens.unwrap_or((cap as f64 * level.ratio()) as u64);
    // The cap is what was reserved, so the budget gives way: it must stay below the cap.
    let budget = wanted.clamp(LEAST_BUDGET, LARGEST_BUDGET).min(cap.saturating_sub(1));
    if budget < LEAST_BUDGET || !may {
        dropped.push("reasoning".into());
        return Plan::default();
    }
    let thinking = json!({"type": "enabled", "budget_tokens": budget});
    Plan { thinking: Some(thinking), effort: None, is_on: true }
}

fn adaptive(level: Effort, quirks: &Quirks) -> Plan {
    if level == Effort::None {
        let (thinking, effort) = match quirks.thinking_off {
            ThinkingOff::Disabled => (Some(json!({"type": "disabled"})), None),
            ThinkingOff::BetweenTools => (Some(json!({"type": "between_tools"})), None),
            ThinkingOff::Never => (None, Some(Effort::Low)),
        };
        return Plan { thinking, effort, is_on: quirks.thinking_off == ThinkingOff::Never };
    }
    // Newer models leave the text out unless asked for a summary.
    let thinking = json!({"type": "adaptive", "display": "summarized"});
    Plan { thinking: Some(thinking), effort: Some(accepted(level, quirks)), is_on: true }
}

/// The nearest level that the model takes: upwards from xhigh, else downwards.
fn accepted(level: Effort, quirks: &Quirks) -> Effort {
    let takes = |level: Effort| quirks.efforts.contains(&level);
    match level {
        Effort::None | Effort::Minimal | Effort::Low => Effort::Low,
        Effort::Medium => Effort::Medium,
        Effort::High => Effort::High,
        Effort::Xhigh | Effort::Max if takes(level) => level,
        Effort::Xhigh if takes(Effort::Max) => Effort::Max,
        Effort::Max if takes(Effort::Xhigh) => Effort::Xhigh,
        Effort::Xhigh | Effort::Max => Effort::High,
    }
}

/// Sampling numbers that may be sent.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Sampled {
    /// From 0 to 1.
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
}

/// The sampling numbers that model and thinking allow; the names of the others go to `dropped`.
pub fn sample(
    request: &ChatRequest,
    target: &Target<'_>,
    thinks: bool,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Sampled {
    let asked = &request.sampling;
    let takes = |name| target.quirks.sampling && target.takes(name);
    let temperature = asked.temperature.filter(|temperature| !thinks || *temperature == 1.0);
    // Claude refuses both numbers at once.
    let top_p = asked.top_p.filter(|top_p| temperature.is_none() && (!thinks || *top_p >= 0.95));
    let top_k = asked.top_k.filter(|_| !thinks);
    let sent = Sampled {
        temperature: temperature
            .map(|number| number.clamp(0.0, 1.0))
            .filter(|_| takes(Parameter::Temperature)),
        top_p: top_p.filter(|_| takes(Parameter::TopP)),
        top_k: top_k.filter(|_| takes(Parameter::TopK)),
    };
    for (name, lost) in [
        ("temperature", asked.temperature.is_some() && sent.temperature.is_none()),
        ("top_p", asked.top_p.is_some() && sent.top_p.is_none()),
        ("top_k", asked.top_k.is_some() && sent.top_k.is_none()),
    ] {
        if lost {
            dropped.push(name.into());
        }
    }
    sent
}
