//! Embeddings, as OpenAI has them and OpenRouter extends them: inputs in, a vector for each out.

mod answer;
mod inputs;

use std::num::NonZeroU32;

use bytes::Bytes;
use serde::Deserialize;

use crate::api::BadRequest;
use crate::api::common;
use crate::api::embeddings::inputs::{Inputs, Written};
use crate::api::openai_chat::explain::{bad, explain};
use crate::model::request::ChatRequest;
use crate::model::task::{Embed, Encoding, Input, Operation, Task};

pub use self::answer::encode;

/// Inputs of one request: as many as OpenAI takes.
pub const MOST_INPUTS: usize = 2_048;
/// Most numbers that a vector can be asked to have.
const MOST_DIMENSIONS: u32 = 65_536;

/// What only embeddings have.
const OWN: [&str; 4] = ["input", "dimensions", "encoding_format", "input_type"];

/// The task's own members.
#[derive(Deserialize)]
struct Wish<'a> {
    #[serde(borrow)]
    input: Inputs<'a>,
    #[serde(default)]
    dimensions: Option<NonZeroU32>,
    #[serde(default)]
    encoding_format: Option<Format>,
    #[serde(default)]
    input_type: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Float,
    Base64,
}

/// Reads a request body.
///
/// # Errors
/// [`BadRequest`] naming the member at fault; nothing of the inputs is in its text.
pub fn decode(body: Bytes) -> Result<ChatRequest, BadRequest> {
    let wish: Wish<'_> = serde_json::from_slice(&body).map_err(|_| explain::<Wish<'_>>(&body))?;
    check(&wish)?;
    let Written { messages, longest_bytes, token_ids } = wish.input.written();
    let mut request = common::decode(body.clone(), &messages, &OWN, "input")?;
    let typed = inputs(wish.input, &request)?;
    let facts = &mut request.facts;
    facts.operation = Operation::Embeddings;
    facts.messages = u32::try_from(typed.len()).unwrap_or(u32::MAX);
    // A token id is a token, and counts as the text that it usually stands for.
    facts.text_bytes += token_ids * inputs::BYTES_PER_TOKEN;
    facts.longest_bytes = longest_bytes;
    facts.prefill = false;
    request.task = Task::Embed(Box::new(Embed {
        inputs: typed,
        dimensions: wish.dimensions.map(NonZeroU32::get),
        encoding: match wish.encoding_format {
            Some(Format::Base64) => Encoding::Base64,
            None | Some(Format::Float) => Encoding::Float,
        },
        input_type: wish.input_type.filter(|name| !name.is_empty()),
    }));
    Ok(request)
}

fn check(wish: &Wish<'_>) -> Result<(), BadRequest> {
    if wish.dimensions.is_some_and(|asked| asked.get() > MOST_DIMENSIONS) {
        return Err(bad("dimensions", format!("dimensions must not be more than {MOST_DIMENSIONS}")));
    }
    match wish.input.len() {
        0 => Err(bad("input", "input must not be empty".to_owned())),
        count if count > MOST_INPUTS => {
            Err(bad("input", format!("input must not hold more than {MOST_INPUTS} inputs")))
        }
        _ => match wish.input.empty() {
            Some(field) => Err(bad(&field, format!("{field} must not be empty"))),
            None => Ok(()),
        },
    }
}

/// The inputs in canonical form; parts are those of the messages that were written for them.
fn inputs(inputs: Inputs<'_>, request: &ChatRequest) -> Result<Vec<Input>, BadRequest> {
    if !inputs.has_parts() {
        return Ok(inputs.plain());
    }
    let told = |invalid: crate::model::request::Invalid| {
        let field = invalid.field.replacen("messages", "input", 1);
        bad(&field, invalid.message.replacen("messages", "input", 1))
    };
    let messages = request.messages.get().map_err(told)?;
    Ok(inputs.with_parts(messages))
}

#[cfg(test)]
mod tests;
