//! Reads whole answers.

use bytes::Bytes;
use serde_json::Value;

use crate::adapters::cohere::error::inside_success;
use crate::adapters::cohere::telling::Telling;
use crate::adapters::{Context, Failure};
use crate::model::event::fold;
use crate::model::response::ChatResponse;

/// Reads the body of a success: told like a stream, in whole blocks.
pub fn decode(body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
    let mut body: Value =
        serde_json::from_slice(body).map_err(|_| Failure::malformed("an answer that is no JSON"))?;
    if !body["message"].is_object() {
        return Err(match &body["message"] {
            Value::String(_) => inside_success(&body),
            _ => Failure::malformed("an answer without a message"),
        });
    }
    let (mut telling, mut events) = (Telling::new(context.clone()), Vec::new());
    telling.start(body["id"].as_str(), &mut events);
    let odds = body["logprobs"].take();
    let message = &mut body["message"];
    for (index, block) in list(&mut message["content"]).iter_mut().enumerate() {
        telling.content(index as u64, block, &Value::Null, &mut events);
    }
    if let Value::String(text) = message["content"].take() {
        telling.content(0, &mut serde_json::json!({ "text": text }), &Value::Null, &mut events);
    }
    telling.content(0, &mut Value::Null, &odds, &mut events);
    if let Value::String(plan) = message["tool_plan"].take() {
        telling.plan(plan, &mut events);
    }
    for (index, call) in list(&mut message["tool_calls"]).iter_mut().enumerate() {
        telling.open(index as u64, call, &mut events);
    }
    list(&mut message["citations"]).iter().for_each(|citation| telling.cite(citation, &mut events));
    telling.end(&body, &mut events)?;
    Ok(fold(&events))
}

fn list(value: &mut Value) -> &mut [Value] {
    value.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default()
}
