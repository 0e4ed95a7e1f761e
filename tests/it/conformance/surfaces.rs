//! Answers printed by the surfaces and read again: callers get what providers said, whole and streamed.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use switchyard_data_plane::adapters::{Adapter, Context, by_name};
use switchyard_data_plane::api::{AnswerFacts, Bill, openai_chat};
use switchyard_data_plane::model::event::{ChoiceDelta, Chunk, Delta, Event, Start, ToolDelta, fold};
use switchyard_data_plane::model::response::{ChatResponse, Choice};
use switchyard_data_plane::model::usage::Usage;

use super::compare::shown;
use super::invariants::check_events;
use super::probe::{self, Random, unwound};

/// One dialect in which callers get answers.
struct Surface {
    name: &'static str,
    /// The adapter that reads what the surface prints.
    reader: &'static str,
    stream: fn(&[Event]) -> Bytes,
    whole: fn(&ChatResponse) -> Bytes,
    /// What a strict client relies on in the printed stream.
    check: fn(&[u8]) -> Result<(), String>,
}

/// Every surface that there is; a new one gets a row.
const SURFACES: &[Surface] = &[Surface {
    name: "chat completions",
    reader: "openai",
    stream: print_chat,
    whole: |response| openai_chat::encode(response, &facts(), &Bill::default()),
    check: check_chat,
}];

/// Checks that an answer survives every surface.
pub fn check(response: &ChatResponse, events: Option<&[Event]>) -> Result<(), String> {
    for surface in SURFACES {
        let reader = by_name(surface.reader).ok_or_else(|| format!("no adapter {}", surface.reader))?;
        let told = |what: &str, wrong: String| format!("{} surface, {what}: {wrong}", surface.name);
        let own;
        let events = match events {
            Some(events) => events,
            None => {
                own = unfold(response, 1);
                check_events(&own).map_err(|wrong| told("unfolded", wrong))?;
                same(response, &fold(&own)).map_err(|wrong| told("unfolded", wrong))?;
                &own
            }
        };
        surface.check_stream(reader, response, events).map_err(|wrong| told("streamed", wrong))?;
        surface.check_whole(reader, response).map_err(|wrong| told("whole", wrong))?;
    }
    Ok(())
}

impl Surface {
    fn check_stream(
        &self,
        reader: &dyn Adapter,
        response: &ChatResponse,
        events: &[Event],
    ) -> Result<(), String> {
        let printed = unwound(|| (self.stream)(events))?;
        (self.check)(&printed)?;
        let run = probe::stream(reader, [printed])?;
        run.result.map_err(|failure| format!("not read again: {failure:?}"))?;
        check_events(&run.events)?;
        same(response, &fold(&run.events))
    }

    fn check_whole(&self, reader: &dyn Adapter, response: &ChatResponse) -> Result<(), String> {
        let printed = unwound(|| (self.whole)(response))?;
        let (status, headers) = (http::StatusCode::OK, http::HeaderMap::new());
        let again = unwound(|| reader.decode(status, &headers, &printed, &Context::default()))?;
        same(response, &again.map_err(|failure| format!("not read again: {failure:?}"))?)
    }
}

fn facts() -> AnswerFacts {
    AnswerFacts { id: "gen-1".to_owned(), created: 1, model: "a/m".to_owned(), provider: "P".to_owned() }
}

fn print_chat(events: &[Event]) -> Bytes {
    let (mut encoder, mut out) = (openai_chat::StreamEncoder::new(&facts()), BytesMut::new());
    for event in events {
        encoder.event(event, &mut out);
        if let Event::Usage(usage) = event {
            encoder.usage(usage, &Bill::default(), &mut out);
        }
    }
    encoder.done(&mut out);
    out.freeze()
}

fn check_chat(printed: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(printed).map_err(|_| "no UTF-8".to_owned())?;
    let mut opened = BTreeSet::new();
    let chunks: Vec<&str> = text.split_terminator("\n\n").collect();
    let Some((&"data: [DONE]", chunks)) = chunks.split_last() else {
        return Err("no [DONE] at the end".to_owned());
    };
    for (at, chunk) in chunks.iter().enumerate() {
        let data = chunk.strip_prefix("data: ").and_then(|data| serde_json::from_str::<Value>(data).ok());
        let data = data.ok_or_else(|| format!("a chunk that is no JSON: {}", shown(chunk)))?;
        if [&data["id"], &data["object"], &data["model"]] != ["gen-1", "chat.completion.chunk", "a/m"] {
            return Err(format!("a chunk of another answer: {}", shown(chunk)));
        }
        if data.get("usage").is_some_and(Value::is_object) && at + 1 != chunks.len() {
            return Err("usage before the last chunk".to_owned());
        }
        for choice in data["choices"].as_array().ok_or("a chunk without choices")? {
            let is_first = opened.insert(choice["index"].as_u64().ok_or("a choice without an index")?);
            if is_first && choice["delta"]["role"] != "assistant" {
                return Err(format!("a choice that opens without its role: {}", shown(chunk)));
            }
        }
    }
    Ok(())
}

/// The events of a whole answer: texts and arguments in pieces that the seed decides.
pub fn unfold(response: &ChatResponse, seed: u64) -> Vec<Event> {
    let ChatResponse { id, model, created, service_tier, system_fingerprint, .. } = response.clone();
    let mut random = Random(seed);
    // Some providers know their tier only at the end.
    let (early, late) = if random.below(2) == 0 { (service_tier, None) } else { (None, service_tier) };
    let mut events =
        vec![Event::Start(Start { id, model, created, service_tier: early, system_fingerprint })];
    for choice in &response.choices {
        events.extend(deltas(choice, &mut random).into_iter().map(Event::Chunk));
    }
    events.extend(late.map(Event::Tier));
    events.extend(response.usage.map(Event::Usage));
    events.push(Event::Done);
    events
}

fn deltas(choice: &Choice, random: &mut Random) -> Vec<Chunk> {
    let message = &choice.message;
    let mut deltas = Vec::new();
    if message.reasoning.is_some() || !message.reasoning_details.is_empty() {
        let (reasoning, reasoning_details) = (message.reasoning.clone(), message.reasoning_details.clone());
        deltas.push(Delta { reasoning, reasoning_details, ..Delta::default() });
    }
    let pieces =
        |text: &Option<String>, random: &mut Random| pieces(text.as_deref().unwrap_or_default(), random);
    for content in pieces(&message.content, random) {
        deltas.push(Delta { content: Some(content), ..Delta::default() });
    }
    for refusal in pieces(&message.refusal, random) {
        deltas.push(Delta { refusal: Some(refusal), ..Delta::default() });
    }
    deltas.extend(
        calls(choice, random).into_iter().map(|call| Delta { tool_calls: vec![call], ..Delta::default() }),
    );
    let (annotations, images, audio) =
        (message.annotations.clone(), message.images.clone(), message.audio.clone());
    deltas.push(Delta { annotations, images, audio, ..Delta::default() });
    let index = choice.index;
    let chunk = |piece: ChoiceDelta| Chunk { choices: vec![piece], ..Chunk::default() };
    let mut pieces: Vec<ChoiceDelta> =
        deltas.into_iter().map(|delta| ChoiceDelta { index, delta, ..ChoiceDelta::default() }).collect();
    let (finish, logprobs) = (Some(choice.finish.clone()), choice.logprobs.clone());
    pieces.push(ChoiceDelta { index, finish, logprobs, ..ChoiceDelta::default() });
    pieces.into_iter().map(chunk).collect()
}

fn calls(choice: &Choice, random: &mut Random) -> Vec<ToolDelta> {
    let mut deltas = Vec::new();
    for (index, call) in choice.message.tool_calls.iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let (id, name) = (Some(call.id.clone()), Some(call.name.clone()));
        deltas.push(ToolDelta { index, id, name, kind: call.kind, arguments: String::new() });
        for arguments in pieces(&call.arguments, random) {
            deltas.push(ToolDelta { index, kind: call.kind, arguments, ..ToolDelta::default() });
        }
    }
    deltas
}

fn pieces(text: &str, random: &mut Random) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < letters.len() {
        let end = (at + 1 + random.below(40)).min(letters.len());
        pieces.push(letters[at..end].iter().collect());
        at = end;
    }
    pieces
}

/// Whether two answers say the same, in everything that callers act on.
fn same(one: &ChatResponse, other: &ChatResponse) -> Result<(), String> {
    let [one, other] = [one, other].map(essence);
    let Some((name, (was, is))) = difference(&one, &other, "") else { return Ok(()) };
    Err(format!("{name} was {}, is {}", shown(&was), shown(&is)))
}

fn essence(response: &ChatResponse) -> Value {
    let choices: Vec<Value> = response.choices.iter().map(choice_essence).collect();
    // A stream tells its tier on the chunk with the usage, which the pipeline always has.
    let tier = response.service_tier.as_ref().filter(|_| response.usage.is_some());
    json!({"choices": choices, "usage": response.usage.map(usage_essence), "service_tier": tier})
}

fn choice_essence(choice: &Choice) -> Value {
    let message = &choice.message;
    // A legacy call has no id on the wire; the one it gets is made from the answer's own.
    let is_legacy = choice.finish.native.as_deref() == Some("function_call");
    let calls = message.tool_calls.iter().cloned().map(|mut call| {
        if is_legacy {
            call.id.clear();
        }
        call
    });
    let logprobs = choice.logprobs.as_ref().and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    json!({
        "index": choice.index,
        "content": message.content.as_deref().unwrap_or_default(),
        "refusal": message.refusal.as_deref().unwrap_or_default(),
        "reasoning": message.reasoning.as_deref().unwrap_or_default(),
        "reasoning_details": message.reasoning_details,
        "tool_calls": calls.map(|call| json!([call.id, format!("{:?}", call.kind), call.name, call.arguments])).collect::<Vec<_>>(),
        "annotations": message.annotations,
        "images": message.images,
        "audio": message.audio,
        "logprobs": logprobs,
        "finish": choice.finish.reason.as_str(),
    })
}

fn usage_essence(usage: Usage) -> Value {
    json!({
        "prompt": [usage.prompt_tokens, usage.cached_tokens, usage.cache_write_tokens],
        "prompt media": [usage.prompt_audio_tokens, usage.prompt_image_tokens, usage.prompt_video_tokens],
        "completion": [usage.completion_tokens, usage.reasoning_tokens],
        "completion media": [usage.completion_audio_tokens, usage.completion_image_tokens],
        "prediction": [usage.accepted_prediction_tokens, usage.rejected_prediction_tokens],
        "requests": [usage.web_search_requests, usage.web_fetch_requests],
    })
}

/// The first place where two values differ, with both sides.
pub fn difference(one: &Value, other: &Value, path: &str) -> Option<(String, (String, String))> {
    match (one, other) {
        (Value::Object(left), Value::Object(right)) => {
            let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            names.into_iter().find_map(|name| difference(&one[name], &other[name], &format!("{path}.{name}")))
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let pairs = left.iter().zip(right).enumerate();
            pairs.into_iter().find_map(|(at, (one, other))| difference(one, other, &format!("{path}[{at}]")))
        }
        _ if one == other => None,
        _ => Some((path.trim_start_matches('.').to_owned(), (one.to_string(), other.to_string()))),
    }
}
