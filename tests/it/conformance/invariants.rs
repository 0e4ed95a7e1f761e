//! What must be true of every decoded answer, whoever gave it.

use std::collections::{BTreeMap, BTreeSet};

use switchyard_data_plane::model::event::Event;
use switchyard_data_plane::model::response::{ChatResponse, FinishReason};

/// Checks the order of a finished stream's events.
pub fn check_events(events: &[Event]) -> Result<(), String> {
    let place = |wanted: fn(&Event) -> bool| -> Vec<usize> {
        events.iter().enumerate().filter(|(_, event)| wanted(event)).map(|(at, _)| at).collect()
    };
    let last_chunk = place(|event| matches!(event, Event::Chunk(_))).last().copied().unwrap_or(0);
    let usage = place(|event| matches!(event, Event::Usage(_)));
    if place(|event| matches!(event, Event::Start(_))) != [0] {
        return Err("the stream does not open with one start".to_owned());
    }
    if place(|event| matches!(event, Event::Done)) != [events.len() - 1] {
        return Err("the stream does not close with one end".to_owned());
    }
    if usage.len() > 1 || usage.iter().any(|at| *at < last_chunk) {
        return Err("usage is not told once, after all chunks".to_owned());
    }
    let tier = place(|event| matches!(event, Event::Tier(_)));
    if tier.len() > 1 || tier.iter().any(|at| usage.iter().any(|usage| usage < at)) {
        return Err("the tier is not told once, before the usage".to_owned());
    }
    check_deltas(events)
}

/// One finish per choice, on its last delta; calls numbered in order, each opened with id and name.
fn check_deltas(events: &[Event]) -> Result<(), String> {
    let (mut ended, mut calls) = (BTreeMap::<u32, bool>::new(), BTreeMap::<u32, u32>::new());
    let chunks =
        events.iter().filter_map(|event| if let Event::Chunk(chunk) = event { Some(chunk) } else { None });
    for choice in chunks.flat_map(|chunk| &chunk.choices) {
        let ended = ended.entry(choice.index).or_default();
        if *ended {
            return Err(format!("choice {} goes on after its finish", choice.index));
        }
        *ended = choice.finish.is_some();
        let opened = calls.entry(choice.index).or_default();
        for call in &choice.delta.tool_calls {
            if call.index > *opened || (call.index == *opened && (call.id.is_none() || call.name.is_none())) {
                return Err(format!("call {} is not opened in order with id and name", call.index));
            }
            if call.index < *opened && call.id.is_some() {
                return Err(format!("call {} is opened twice", call.index));
            }
            *opened = (*opened).max(call.index + 1);
        }
    }
    match ended.iter().find(|(_, ended)| !**ended) {
        Some((choice, _)) => Err(format!("choice {choice} has no finish")),
        None => Ok(()),
    }
}

/// Checks an answer, whole or folded.
pub fn check_answer(response: &ChatResponse) -> Result<(), String> {
    let indices: Vec<u32> = response.choices.iter().map(|choice| choice.index).collect();
    if indices.is_empty() || !indices.is_sorted_by(|one, next| one < next) {
        return Err(format!("choices are numbered {indices:?}"));
    }
    for choice in &response.choices {
        let (calls, reason) = (&choice.message.tool_calls, choice.finish.reason);
        let ids: BTreeSet<&str> = calls.iter().map(|call| call.id.as_str()).collect();
        if ids.len() != calls.len() || ids.contains("") {
            return Err(format!("ids of calls are not their own: {calls:?}"));
        }
        for call in calls {
            if call.name.is_empty() {
                return Err(format!("a call without a name: {call:?}"));
            }
        }
        if !calls.is_empty() && reason == FinishReason::Stop {
            return Err("there are calls, but the finish is stop".to_owned());
        }
        let message = &choice.message;
        if message.reasoning.as_ref().is_some_and(|text| !text.is_empty())
            && message.reasoning_details.is_empty()
        {
            return Err("there is reasoning, but no detail that holds it".to_owned());
        }
    }
    match &response.usage {
        Some(usage) if !usage.adds_up() => Err(format!("usage does not add up: {usage:?}")),
        _ => Ok(()),
    }
}
