//! Wishes about reasoning and sampling, which Anthropic ties together.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::adapters::quirks::{Quirks, Thinking, ThinkingOff};
use crate::model::request::{ChatRequest, Effort};

/// The least budget that Anthropic takes.
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

/// Puts the sampling numbers into the body, as far as model and thinking allow.
pub fn sample(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    quirks: &Quirks,
    thinks: bool,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    let sampling = &request.sampling;
    let temperature = sampling.temperature.filter(|temperature| !thinks || *temperature == 1.0);
    // Claude refuses both numbers at once.
    let top_p = sampling.top_p.filter(|top_p| temperature.is_none() && (!thinks || *top_p >= 0.95));
    let top_k = sampling.top_k.filter(|_| !thinks);
    let mut put = |name: &str, asked: bool, value: Option<Value>| match value.filter(|_| quirks.sampling) {
        Some(value) => drop(body.insert(name.to_owned(), value)),
        None if asked => dropped.push(name.to_owned().into()),
        None => {}
    };
    let clamped = temperature.map(|temperature| Value::from(temperature.clamp(0.0, 1.0)));
    put("temperature", sampling.temperature.is_some(), clamped);
    put("top_p", sampling.top_p.is_some(), top_p.map(Value::from));
    put("top_k", sampling.top_k.is_some(), top_k.map(Value::from));
}
