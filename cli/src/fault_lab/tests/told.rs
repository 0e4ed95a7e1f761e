//! What a client understands of an answer: the strict reading that the tests judge by.

use serde_json::Value;

use crate::fault_lab::Ending;
use crate::fault_lab::tests::client::{Reply, Speaks};

#[derive(Debug, Default, PartialEq)]
pub struct Told {
    pub text: String,
    pub reasoning: String,
    pub refusal: String,
    /// Names and arguments.
    pub calls: Vec<(String, String)>,
    pub finish: Option<String>,
    /// Input and output tokens, the last that were told.
    pub usage: Option<(u64, u64)>,
    /// How many times output tokens were told.
    pub usages: usize,
    /// The most output tokens that were told.
    pub most_output: u64,
    /// How many times a finish was told.
    pub finishes: usize,
    pub terminal: bool,
    pub error: bool,
}

/// How the exchange ended, and what was said, as far as it can be read.
pub fn judge(speaks: Speaks, reply: Option<&Reply>) -> (Ending, Told) {
    let Some(reply) = reply else { return (Ending::NoAnswer, Told::default()) };
    let read = if is_sse(&reply.body) { stream(speaks, &reply.body) } else { whole(speaks, &reply.body) };
    let ending = match (&read, reply.complete) {
        _ if reply.status != 200 => Ending::Status(reply.status.as_u16()),
        (Some(told), true) if told.error => Ending::ErrorInside,
        (Some(told), true) if told.finish.is_some() => Ending::Complete,
        _ => Ending::Broken,
    };
    (ending, read.unwrap_or_default())
}

fn is_sse(body: &[u8]) -> bool {
    [&b"data:"[..], b"event:", b": "].iter().any(|start| body.starts_with(start))
}

fn whole(speaks: Speaks, body: &[u8]) -> Option<Told> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let mut told = Told { terminal: true, ..Told::default() };
    told.error = body.get("error").is_some() || body["choices"][0].get("error").is_some();
    match speaks {
        Speaks::OpenAi => openai_whole(&mut told, &body),
        Speaks::Anthropic => anthropic_whole(&mut told, &body),
    }
    Some(told)
}

/// `None` if an event is not JSON.
fn stream(speaks: Speaks, body: &[u8]) -> Option<Told> {
    let text = String::from_utf8(body.to_vec()).ok()?.replace("\r\n", "\n");
    let mut told = Told::default();
    for event in text.split("\n\n") {
        let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) else { continue };
        if data == "[DONE]" {
            told.terminal = true;
            continue;
        }
        let data: Value = serde_json::from_str(data).ok()?;
        told.error |= data.get("error").is_some();
        match speaks {
            Speaks::OpenAi => openai_chunk(&mut told, &data),
            Speaks::Anthropic => anthropic_event(&mut told, &data),
        }
    }
    Some(told)
}

fn add(to: &mut String, value: &Value) {
    to.push_str(value.as_str().unwrap_or_default());
}

fn finish(told: &mut Told, word: &Value) {
    if let Some(word) = word.as_str() {
        told.finish = Some(word.to_owned());
        told.finishes += 1;
    }
}

fn openai_whole(told: &mut Told, body: &Value) {
    openai_delta(told, &body["choices"][0]["message"]);
    finish(told, &body["choices"][0]["finish_reason"]);
    openai_usage(told, &body["usage"]);
}

fn openai_chunk(told: &mut Told, chunk: &Value) {
    openai_delta(told, &chunk["choices"][0]["delta"]);
    finish(told, &chunk["choices"][0]["finish_reason"]);
    openai_usage(told, &chunk["usage"]);
}

fn openai_delta(told: &mut Told, delta: &Value) {
    add(&mut told.text, &delta["content"]);
    add(&mut told.reasoning, &delta["reasoning_content"]);
    add(&mut told.refusal, &delta["refusal"]);
    for call in delta["tool_calls"].as_array().into_iter().flatten() {
        if let Some(name) = call["function"]["name"].as_str() {
            assert!(call["id"].is_string());
            told.calls.push((name.to_owned(), String::new()));
        }
        let index = call["index"].as_u64().map_or(told.calls.len() - 1, |index| index as usize);
        add(&mut told.calls[index].1, &call["function"]["arguments"]);
    }
}

fn openai_usage(told: &mut Told, usage: &Value) {
    let Some(output) = usage["completion_tokens"].as_u64() else { return };
    told.usage = usage["prompt_tokens"].as_u64().map(|input| (input, output));
    told.usages += 1;
    told.most_output = told.most_output.max(output);
}

fn anthropic_whole(told: &mut Told, body: &Value) {
    for block in body["content"].as_array().into_iter().flatten() {
        add(&mut told.text, &block["text"]);
        add(&mut told.reasoning, &block["thinking"]);
        if let Some(name) = block["name"].as_str() {
            told.calls.push((name.to_owned(), block["input"].to_string()));
        }
    }
    finish(told, &body["stop_reason"]);
    anthropic_usage(told, &body["usage"]);
}

fn anthropic_event(told: &mut Told, event: &Value) {
    let delta = &event["delta"];
    match event["type"].as_str() {
        Some("message_start") => anthropic_usage(told, &event["message"]["usage"]),
        Some("content_block_start") => {
            if let Some(name) = event["content_block"]["name"].as_str() {
                told.calls.push((name.to_owned(), String::new()));
            }
        }
        Some("content_block_delta") => {
            add(&mut told.text, &delta["text"]);
            add(&mut told.reasoning, &delta["thinking"]);
            if let Some(call) = told.calls.last_mut() {
                add(&mut call.1, &delta["partial_json"]);
            }
        }
        Some("message_delta") => {
            finish(told, &delta["stop_reason"]);
            anthropic_usage(told, &event["usage"]);
        }
        Some("message_stop") => told.terminal = true,
        _ => {}
    }
}

fn anthropic_usage(told: &mut Told, usage: &Value) {
    let Some(output) = usage["output_tokens"].as_u64() else { return };
    told.usage = usage["input_tokens"].as_u64().map(|input| (input, output));
    told.usages += 1;
    told.most_output = told.most_output.max(output);
}
