//! A streamed answer as one thing after the other, for surfaces that open, fill and close a place for each.
//!
//! Of several choices the first is told: these surfaces know one. What comes amid a call's arguments waits for their end.

use serde_json::{Value, json};

use crate::api::calls::{self, Calls};
use crate::model::event::{ChoiceDelta, Delta, Event};
use crate::model::response::{ChatResponse, Choice, Finish};

/// What is told next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A reasoning detail, or a piece of one.
    Think(Value),
    Say(Said),
    Annotate(Value),
    /// An image, as chat completions has them.
    Draw(Value),
    Call(calls::Piece),
}

/// A piece of text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    pub text: String,
    pub is_refusal: bool,
    /// Log probabilities of the text's tokens, where they were asked for.
    pub logprobs: Vec<Value>,
}

/// What was told so far, and what of it waits.
#[derive(Debug, Default)]
pub struct Steps {
    calls: Calls,
    held: Vec<Step>,
    /// How the answer ended, as far as that is known.
    pub finish: Finish,
    /// The tier that served, as far as it is known.
    pub tier: Option<String>,
}

impl Steps {
    /// What an event adds.
    pub fn take(&mut self, event: &Event) -> Vec<Step> {
        let mut steps = Vec::new();
        match event {
            Event::Chunk(chunk) => {
                for choice in chunk.choices.iter().filter(|choice| choice.index == 0) {
                    self.choice(choice, &mut steps);
                }
            }
            Event::Start(start) => self.tier.clone_from(&start.service_tier),
            Event::Tier(tier) => self.tier = Some(tier.clone()),
            Event::Usage(_) | Event::Done => {}
        }
        steps
    }

    /// All of a whole answer.
    pub fn replay(&mut self, response: &ChatResponse) -> Vec<Step> {
        let mut steps = Vec::new();
        self.tier.clone_from(&response.service_tier);
        if let Some(choice) = response.choices.first() {
            self.choice(&whole(choice), &mut steps);
        }
        steps
    }

    /// What is left once no more will come.
    pub fn end(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        self.calls.end();
        self.drain(&mut steps);
        steps
    }

    fn choice(&mut self, choice: &ChoiceDelta, steps: &mut Vec<Step>) {
        if let Some(finish) = &choice.finish {
            self.finish = finish.clone();
        }
        let under_way = self.calls.is_under_way();
        let told = if under_way { &mut self.held } else { &mut *steps };
        let before = told.len();
        tell(choice, told);
        if !under_way && told.len() > before {
            self.calls.leave();
        }
        if !choice.delta.tool_calls.is_empty() {
            choice.delta.tool_calls.iter().for_each(|piece| self.calls.take(piece));
            self.drain(steps);
        }
    }

    fn drain(&mut self, steps: &mut Vec<Step>) {
        steps.extend(std::iter::from_fn(|| self.calls.next()).map(Step::Call));
        if !self.held.is_empty() && !self.calls.is_under_way() {
            self.calls.leave();
            steps.append(&mut self.held);
        }
    }
}

/// Everything but calls.
fn tell(choice: &ChoiceDelta, steps: &mut Vec<Step>) {
    let delta = &choice.delta;
    match &delta.reasoning {
        Some(text) if delta.reasoning_details.is_empty() => steps.push(Step::Think(json!({"text": text}))),
        _ => steps.extend(delta.reasoning_details.iter().cloned().map(Step::Think)),
    }
    let logprobs = logprobs(choice);
    if let Some(text) = said(&delta.content).or((!logprobs.is_empty()).then(String::new)) {
        steps.push(Step::Say(Said { text, logprobs, is_refusal: false }));
    }
    if let Some(text) = said(&delta.refusal) {
        steps.push(Step::Say(Said { text, is_refusal: true, ..Said::default() }));
    }
    steps.extend(delta.annotations.iter().cloned().map(Step::Annotate));
    steps.extend(delta.images.iter().cloned().map(Step::Draw));
}

fn said(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

fn logprobs(choice: &ChoiceDelta) -> Vec<Value> {
    choice.logprobs.as_ref().map(|raw| content_logprobs(raw.get())).unwrap_or_default()
}

/// The list of the content's tokens inside chat completions' `logprobs`.
pub fn content_logprobs(raw: &str) -> Vec<Value> {
    match serde_json::from_str::<Value>(raw).ok().and_then(|mut all| Some(all.get_mut("content")?.take())) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn whole(choice: &Choice) -> ChoiceDelta {
    let (delta, finish) = (Delta::of(&choice.message), Some(choice.finish.clone()));
    ChoiceDelta { delta, finish, logprobs: choice.logprobs.clone(), ..ChoiceDelta::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fixtures::{call, text, thought};

    /// Each step in a word.
    fn words(steps: Vec<Step>) -> Vec<String> {
        let word = |step| match step {
            Step::Think(_) => "thought".to_owned(),
            Step::Say(said) => said.text,
            Step::Call(piece) => format!("{}:{}", piece.at, piece.arguments),
            Step::Annotate(_) | Step::Draw(_) => "more".to_owned(),
        };
        steps.into_iter().map(word).collect()
    }

    #[test]
    fn what_comes_amid_a_calls_arguments_waits_for_their_end() {
        let thinking = || thought(json!({"type": "reasoning.text", "text": "hm", "index": 0}));
        for (events, expected) in [
            (vec![text("a"), call(0, Some("c"), "{}"), text("b")], vec!["a", "0:{}", "b"]),
            (
                vec![call(0, Some("c"), "{"), text("a"), thinking(), call(0, None, "}"), text("b")],
                vec!["0:{", "0:}", "a", "thought", "b"],
            ),
            (
                vec![call(0, Some("c"), "{"), text("a"), call(1, Some("d"), "{}"), call(0, None, "}")],
                vec!["0:{", "0:}", "1:{}", "a"],
            ),
            (vec![call(0, Some("c"), "{"), text("a")], vec!["0:{", "a"]),
            (vec![call(0, Some("c"), "{}"), text("a"), call(0, None, " ")], vec!["0:{}", "a"]),
            (vec![call(0, Some("c"), "{}"), text("a"), call(1, Some("d"), "{}")], vec!["0:{}", "a", "1:{}"]),
        ] {
            let mut steps = Steps::default();
            let mut told: Vec<Step> = events.iter().flat_map(|event| steps.take(event)).collect();
            told.extend(steps.end());
            assert_eq!(words(told), expected);
        }
    }

    #[test]
    fn log_probabilities_are_told_with_their_text() {
        let list = json!([{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]);
        let raw = |value: Value| serde_json::value::to_raw_value(&value).ok();
        for (logprobs, expected) in [
            (None, json!([])),
            (raw(json!({"content": list, "refusal": null})), list.clone()),
            (raw(json!({"content": null})), json!([])),
            (raw(json!("odd")), json!([])),
        ] {
            let delta = Delta { content: Some("Hi".into()), ..Delta::default() };
            let choice = ChoiceDelta { delta, logprobs, ..ChoiceDelta::default() };
            let mut steps = Vec::new();
            tell(&choice, &mut steps);
            let [Step::Say(said)] = &steps[..] else { panic!("{steps:?}") };
            assert_eq!(json!(said.logprobs), expected);
        }
    }
}
