//! Writes vectors as the caller wants them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::openai_chat::decimal;
use crate::api::{AnswerFacts, Bill};
use crate::model::request::ChatRequest;
use crate::model::response::ChatResponse;
use crate::model::task::{Encoding, Product, Task};
use crate::model::usage::Usage;

/// The body of a whole answer.
pub fn encode(answer: &ChatResponse, facts: &AnswerFacts, request: &ChatRequest, bill: &Bill) -> Bytes {
    let encoding = match &request.task {
        Task::Embed(embed) => embed.encoding,
        Task::Chat | Task::Rerank(_) => Encoding::Float,
    };
    let vectors = match &answer.product {
        Product::Vectors(vectors) => vectors.as_slice(),
        Product::Chat | Product::Ranking(_) => &[],
    };
    let numbers: usize = vectors.iter().map(Vec::len).sum();
    let mut out = BytesMut::with_capacity(512 + 13 * numbers);
    out.put_slice(b"{\"object\":\"list\",\"data\":[");
    for (index, vector) in vectors.iter().enumerate() {
        let start = if index == 0 { "" } else { "," };
        let head = format!("{start}{{\"object\":\"embedding\",\"index\":{index},\"embedding\":");
        out.put_slice(head.as_bytes());
        match encoding {
            Encoding::Float => put_numbers(vector, &mut out),
            Encoding::Base64 => put_base64(vector, &mut out),
        }
        out.put_u8(b'}');
    }
    out.put_slice(b"],");
    let tail = Tail {
        model: &facts.model,
        provider: &facts.provider,
        id: &facts.id,
        usage: answer.usage.as_ref().map(|usage| WireUsage::new(usage, bill)),
        openrouter_metadata: bill.metadata.as_ref(),
    };
    let tail = serde_json::to_vec(&tail).expect("texts and numbers are always JSON");
    out.put_slice(&tail[1..]);
    out.freeze()
}

/// The shortest numbers that are read as the same floats.
fn put_numbers(vector: &[f32], out: &mut BytesMut) {
    serde_json::to_writer(out.writer(), vector).expect("numbers are always JSON");
}

/// 32-bit floats, little-endian: what `OpenAI`'s SDKs ask for and decode.
fn put_base64(vector: &[f32], out: &mut BytesMut) {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    out.put_u8(b'"');
    out.put_slice(STANDARD.encode(bytes).as_bytes());
    out.put_u8(b'"');
}

#[derive(Serialize)]
struct Tail<'a> {
    model: &'a str,
    provider: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    openrouter_metadata: Option<&'a Value>,
}

#[derive(Serialize)]
struct WireUsage {
    prompt_tokens: u64,
    total_tokens: u64,
    cost: Box<RawValue>,
    is_byok: bool,
    cost_details: CostDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<PromptDetails>,
}

/// All that is billed is the prompt.
#[derive(Serialize)]
struct CostDetails {
    upstream_inference_cost: Box<RawValue>,
    upstream_inference_prompt_cost: Box<RawValue>,
    upstream_inference_completions_cost: u64,
}

#[derive(Serialize)]
struct PromptDetails {
    image_tokens: u64,
}

impl WireUsage {
    fn new(usage: &Usage, bill: &Bill) -> Self {
        let images = usage.prompt_image_tokens;
        Self {
            prompt_tokens: usage.prompt_tokens,
            total_tokens: usage.total_tokens(),
            cost: decimal(bill.cost),
            is_byok: bill.is_byok,
            cost_details: CostDetails {
                upstream_inference_cost: decimal(bill.upstream.total),
                upstream_inference_prompt_cost: decimal(bill.upstream.prompt),
                upstream_inference_completions_cost: 0,
            },
            prompt_tokens_details: (images > 0).then_some(PromptDetails { image_tokens: images }),
        }
    }
}
