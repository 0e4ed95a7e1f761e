//! Legacy text completions: a prompt in, text out. To everything behind it a prompt is one message of the user's.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use crate::api::openai_chat::explain::bad;
use crate::api::openai_chat::{self, Told, error_object, usage_json};
use crate::api::{AnswerFacts, BadRequest, Bill, ErrorBody};
use crate::model::event::{ChoiceDelta, Event};
use crate::model::names::Names;
use crate::model::request::ChatRequest;
use crate::model::response::{ChatResponse, Choice, Finish};
use crate::model::usage::Usage;
use crate::wire::patch::{ObjectWriter, is_named, members};
use crate::wire::sse;

/// Members that are read here, or that mean something else to chat completions.
const OWN: [&str; 6] = ["prompt", "suffix", "echo", "best_of", "logprobs", "messages"];

const NO_MODEL: &str = "no chat model can do it";
const NO_PLACE: &str = "text has no place for tool calls";

/// What cannot be done, why, and the values that ask for nothing.
const UNABLE: [(&str, &str, &[&str]); 10] = [
    ("echo", NO_MODEL, &["null", "false"]),
    ("suffix", NO_MODEL, &["null", "\"\""]),
    ("best_of", NO_MODEL, &["null", "1"]),
    ("logprobs", NO_MODEL, &["null", "false"]),
    ("messages", "the prompt is all that is read", &["null", "[]"]),
    ("modalities", "text is all that is told", &["null", "[]", "[\"text\"]"]),
    ("tools", NO_PLACE, &["null", "[]"]),
    ("functions", NO_PLACE, &["null", "[]"]),
    ("tool_choice", NO_PLACE, &["null", "\"none\"", "\"auto\""]),
    ("function_call", NO_PLACE, &["null", "\"none\"", "\"auto\""]),
];

/// Reads a request body.
///
/// # Errors
/// [`BadRequest`] naming the member at fault.
pub fn decode(body: Bytes) -> Result<ChatRequest, BadRequest> {
    let Ok(members) = members(&body) else { return openai_chat::decode(body) };
    let mut out = BytesMut::with_capacity(body.len() + 64);
    let mut writer = ObjectWriter::open(&mut out);
    let mut prompt = None;
    for member in &members {
        let value = &body[member.value.clone()];
        let is = |name: &str| is_named(&body, member, name);
        if is("prompt") {
            prompt = Some(value);
        } else if let Some((name, why, _)) =
            UNABLE.iter().find(|(name, _, idle)| is(name) && !is_one_of(value, idle))
        {
            return Err(bad(name, format!("{name} is not supported: {why}")));
        } else if !OWN.iter().any(|name| is(name)) {
            writer.raw(&body[member.key.start - 1..member.value.end]);
        }
    }
    let prompt = prompt.ok_or_else(|| bad("prompt", "prompt is required".to_owned()))?;
    writer.member("messages", json!([{"role": "user", "content": text(prompt)?}]).to_string().as_bytes());
    writer.close();
    let names =
        Names { members: &[("messages", "prompt")], list: "prompt", head: "prompt", ..Names::default() };
    let mut request = openai_chat::decode(out.freeze()).map_err(|refused| refused.named(&names))?;
    request.facts.body_bytes = body.len() as u64;
    request.names = names;
    Ok(request)
}

/// Whether a value is one of these, however it is spaced.
fn is_one_of(value: &[u8], texts: &[&str]) -> bool {
    let read = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
    read(value).is_some_and(|value| texts.iter().any(|text| read(text.as_bytes()).as_ref() == Some(&value)))
}

/// A prompt is a string, or a list of one.
fn text(prompt: &[u8]) -> Result<String, BadRequest> {
    let mut all = match serde_json::from_slice(prompt) {
        Ok(Value::String(text)) => return Ok(text),
        Ok(Value::Array(all)) => all,
        Ok(_) | Err(_) => return Err(bad("prompt", "prompt must be a string".to_owned())),
    };
    match (all.pop(), all.is_empty()) {
        (Some(Value::String(text)), true) => Ok(text),
        (_, false) => Err(bad("prompt", "prompt must not hold more than one text".to_owned())),
        (_, true) => Err(bad("prompt", "prompt must be a string; token ids are not supported".to_owned())),
    }
}

/// The body of a whole answer.
pub fn encode(response: &ChatResponse, facts: &AnswerFacts, bill: &Bill) -> Bytes {
    let choices: Vec<Value> = response.choices.iter().map(whole).collect();
    let mut out = BytesMut::with_capacity(1024);
    head(facts, response.service_tier.as_deref(), &mut out);
    out.put_slice(b",\"choices\":");
    out.put_slice(Value::Array(choices).to_string().as_bytes());
    if let Some(usage) = &response.usage {
        out.put_slice(b",\"usage\":");
        out.put_slice(&usage_json(usage, bill));
    }
    close(bill.metadata.as_ref(), &mut out);
    out.freeze()
}

fn whole(choice: &Choice) -> Value {
    let text = choice.message.content.as_deref().or(choice.message.refusal.as_deref()).unwrap_or_default();
    let mut printed = said(choice.index, text, Some(&choice.finish));
    if let Some(reasoning) = &choice.message.reasoning {
        printed["reasoning"] = json!(reasoning);
    }
    printed
}

fn said(index: u32, text: &str, finish: Option<&Finish>) -> Value {
    let native = finish.map(|finish| finish.native.as_deref().unwrap_or(finish.reason.as_str()));
    json!({
        "text": text,
        "index": index,
        "logprobs": null,
        "finish_reason": finish.map(|finish| finish.reason.as_str()),
        "native_finish_reason": native,
    })
}

fn head(facts: &AnswerFacts, tier: Option<&str>, out: &mut BytesMut) {
    let mut head = json!({
        "id": facts.id,
        "provider": facts.provider,
        "model": facts.model,
        "object": "text_completion",
        "created": facts.created,
    });
    if let Some(tier) = tier {
        head["service_tier"] = json!(tier);
    }
    let head = head.to_string();
    out.put_slice(&head.as_bytes()[..head.len() - 1]);
}

fn close(metadata: Option<&Value>, out: &mut BytesMut) {
    if let Some(metadata) = metadata {
        out.put_slice(b",\"openrouter_metadata\":");
        out.put_slice(metadata.to_string().as_bytes());
    }
    out.put_u8(b'}');
}

/// Writes one streamed answer.
#[derive(Debug)]
pub struct StreamEncoder {
    facts: AnswerFacts,
    told: Told,
    tier: Option<String>,
}

impl StreamEncoder {
    /// An encoder for the answer that these facts tell of.
    pub fn new(facts: &AnswerFacts) -> Self {
        Self { facts: facts.clone(), told: Told::default(), tier: None }
    }

    /// Appends what an event shows.
    pub fn event(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Chunk(chunk) => {
                self.told.finish(chunk);
                chunk.choices.iter().for_each(|choice| self.choice(choice, out));
            }
            Event::Start(start) => self.tier.clone_from(&start.service_tier),
            Event::Tier(tier) => self.tier = Some(tier.clone()),
            Event::Usage(_) | Event::Done => {}
        }
    }

    fn choice(&mut self, choice: &ChoiceDelta, out: &mut BytesMut) {
        let delta = &choice.delta;
        let text = delta.content.as_deref().or(delta.refusal.as_deref()).unwrap_or_default();
        let reasoning = delta.reasoning.as_deref().filter(|text| !text.is_empty());
        if text.is_empty() && reasoning.is_none() && choice.finish.is_none() {
            return;
        }
        self.told.open(choice.index);
        let mut printed = said(choice.index, text, choice.finish.as_ref());
        if let Some(reasoning) = reasoning {
            printed["reasoning"] = json!(reasoning);
        }
        self.chunk(&json!([printed]), None, None, out);
    }

    /// Appends a whole answer as if it had been streamed.
    pub fn replay(&mut self, response: &ChatResponse, out: &mut BytesMut) {
        self.tier.clone_from(&response.service_tier);
        for choice in &response.choices {
            self.chunk(&json!([whole(choice)]), None, None, out);
        }
    }

    /// Appends the counts.
    pub fn usage(&self, usage: &Usage, bill: &Bill, out: &mut BytesMut) {
        self.chunk(&json!([]), Some(&usage_json(usage, bill)), bill.metadata.as_ref(), out);
    }

    /// Appends the end mark.
    pub fn done(&self, out: &mut BytesMut) {
        sse::write_data(out, b"[DONE]");
    }

    /// Appends a failure.
    pub fn error(&self, error: &ErrorBody<'_>, out: &mut BytesMut) {
        let failed = |index| json!({"text": "", "index": index, "logprobs": null, "finish_reason": "error", "native_finish_reason": "error"});
        let mut chunk = BytesMut::new();
        head(&self.facts, self.tier.as_deref(), &mut chunk);
        chunk.put_slice(b",\"error\":");
        chunk.put_slice(error_object(error).to_string().as_bytes());
        chunk.put_slice(b",\"choices\":");
        chunk.put_slice(self.told.unfinished().map(failed).collect::<Value>().to_string().as_bytes());
        close(error.routing, &mut chunk);
        sse::write_data(out, &chunk);
    }

    fn chunk(&self, choices: &Value, usage: Option<&[u8]>, metadata: Option<&Value>, out: &mut BytesMut) {
        let mut chunk = BytesMut::with_capacity(256);
        head(&self.facts, self.tier.as_deref().filter(|_| usage.is_some()), &mut chunk);
        chunk.put_slice(b",\"choices\":");
        chunk.put_slice(choices.to_string().as_bytes());
        if let Some(usage) = usage {
            chunk.put_slice(b",\"usage\":");
            chunk.put_slice(usage);
        }
        close(metadata, &mut chunk);
        sse::write_data(out, &chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_becomes_one_message_and_the_rest_stays() {
        let body =
            br#"{"model":"a/m","prompt":"say hi","max_tokens":5,"logprobs":null,"provider":{"order":["p"]}}"#;
        let request = decode(Bytes::from_static(body)).unwrap();
        assert_eq!(request.facts.messages, 1);
        assert_eq!(request.max_output_tokens, Some(5));
        assert_eq!(request.provider.order.len(), 1);
    }

    #[test]
    fn what_asks_for_nothing_is_taken() {
        for more in [
            r#""tools":[],"tool_choice":"none","functions":null,"function_call":"auto""#,
            r#""echo":false,"suffix":"","best_of":1,"logprobs":null,"messages":[]"#,
            r#""modalities":[ "text" ],"n":2,"stop":["x"],"response_format":{"type":"json_object"}"#,
        ] {
            let body = format!(r#"{{"model":"a/m","prompt":"a",{more}}}"#);
            assert!(decode(Bytes::from(body)).is_ok(), "{more}");
        }
    }

    #[test]
    fn what_no_chat_model_can_do_is_refused_by_name() {
        for (body, field) in [
            (r#"{"model":"m"}"#, "prompt"),
            (r#"{"model":"m","prompt":["a","b"]}"#, "prompt"),
            (r#"{"model":"m","prompt":[1,2]}"#, "prompt"),
            (r#"{"model":"m","prompt":7}"#, "prompt"),
            (r#"{"model":"m","prompt":"a","echo":true}"#, "echo"),
            (r#"{"model":"m","prompt":"a","suffix":"b"}"#, "suffix"),
            (r#"{"model":"m","prompt":"a","best_of":2}"#, "best_of"),
            (r#"{"model":"m","prompt":"a","logprobs":2}"#, "logprobs"),
            (r#"{"model":"m","prompt":"a","max_tokens":"x"}"#, "max_tokens"),
            (r#"{"model":"m","prompt":"a","messages":[{"role":"user","content":"b"}]}"#, "messages"),
            (r#"{"model":"m","prompt":"a","tools":[{"type":"function","function":{"name":"f"}}]}"#, "tools"),
            (r#"{"model":"m","prompt":"a","functions":[{"name":"f"}]}"#, "functions"),
            (r#"{"model":"m","prompt":"a","tool_choice":"required"}"#, "tool_choice"),
            (r#"{"model":"m","prompt":"a","modalities":["text","image"]}"#, "modalities"),
        ] {
            let refused = decode(Bytes::copy_from_slice(body.as_bytes())).unwrap_err();
            assert_eq!(refused.field, field, "{body}");
            assert!(refused.message.contains(field), "{}", refused.message);
        }
    }
}
