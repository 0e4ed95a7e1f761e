//! Writes whole answers and the usage object that both answers and streams end with.
//!
//! An upstream body of the same dialect is patched, so that members nobody here knows reach the caller.

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use switchyard_proto::money::NanoUsd;

use crate::api::{AnswerFacts, Bill};
use crate::model::message::{ToolCall, ToolKind};
use crate::model::response::{ChatResponse, Choice, Finish};
use crate::model::usage::Usage;
use crate::wire::patch::{ObjectWriter, Patch, quoted};

/// The body of a whole answer.
pub fn encode(response: &ChatResponse, facts: &AnswerFacts, bill: &Bill) -> Bytes {
    let choices = choices(&response.choices);
    let usage = response.usage.map(|usage| usage_json(&usage, bill));
    let mut out = BytesMut::with_capacity(choices.len() + 1024);
    if let Some(raw) = &response.raw
        && patched(response, facts, bill, &choices, usage.as_deref()).apply(raw, &mut out).is_ok()
    {
        return out.freeze();
    }
    let mut writer = ObjectWriter::open(&mut out);
    writer.member("id", &quoted(&facts.id));
    writer.member("provider", &quoted(&facts.provider));
    writer.member("model", &quoted(&facts.model));
    writer.member("object", b"\"chat.completion\"");
    writer.member("created", facts.created.to_string().as_bytes());
    if let Some(tier) = &response.service_tier {
        writer.member("service_tier", &quoted(tier));
    }
    writer.member("system_fingerprint", &fingerprint(response));
    writer.member("choices", &choices);
    if let Some(usage) = usage {
        writer.member("usage", &usage);
    }
    if let Some(metadata) = &bill.metadata {
        writer.member("openrouter_metadata", metadata.to_string().as_bytes());
    }
    writer.close();
    out.freeze()
}

fn patched<'a>(
    response: &ChatResponse,
    facts: &AnswerFacts,
    bill: &Bill,
    choices: &'a [u8],
    usage: Option<&'a [u8]>,
) -> Patch<'a> {
    let patch = Patch::new()
        .set_str("id", &facts.id)
        .set_str("provider", &facts.provider)
        .set_str("model", &facts.model)
        .set("object", b"\"chat.completion\"".as_slice())
        .set("created", facts.created.to_string().into_bytes())
        .set("system_fingerprint", fingerprint(response))
        .set("choices", choices);
    let patch = match usage {
        Some(usage) => patch.set("usage", usage),
        None => patch.remove("usage"),
    };
    // Some providers say it elsewhere in the body.
    let patch = match &response.service_tier {
        Some(tier) => patch.set_str("service_tier", tier),
        None => patch,
    };
    match &bill.metadata {
        Some(metadata) => patch.set("openrouter_metadata", metadata.to_string().into_bytes()),
        None => patch.remove("openrouter_metadata"),
    }
}

/// Strict clients want the member, whatever it holds.
fn fingerprint(response: &ChatResponse) -> Vec<u8> {
    response.system_fingerprint.as_ref().map_or_else(|| b"null".to_vec(), |print| quoted(print))
}

fn choices(choices: &[Choice]) -> Vec<u8> {
    let mut out = BytesMut::with_capacity(512);
    out.put_u8(b'[');
    for (position, choice) in choices.iter().enumerate() {
        if position > 0 {
            out.put_u8(b',');
        }
        write_choice(choice, &mut out);
    }
    out.put_u8(b']');
    out.into()
}

fn write_choice(choice: &Choice, out: &mut BytesMut) {
    if let Some(raw) = &choice.raw
        && !holds_odd_null(raw)
        && finish_patch(&choice.finish).apply(raw, out).is_ok()
    {
        return;
    }
    let choice = WireChoice::from(choice);
    serde_json::to_writer(out.writer(), &choice).expect("strings and values are always JSON");
}

/// Members that strict clients take absent, but not as null.
const NEVER_NULL: [&[u8]; 6] = [
    b"\"role\"",
    b"\"tool_calls\"",
    b"\"images\"",
    b"\"audio\"",
    b"\"annotations\"",
    b"\"reasoning_details\"",
];

/// Whether a provider's JSON has a null that strict clients refuse; it is printed anew then.
pub fn holds_odd_null(json: &[u8]) -> bool {
    memmem::find_iter(json, b"null").any(|at| {
        let before = json[..at].trim_ascii_end();
        let name = before.strip_suffix(b":").map(<[u8]>::trim_ascii_end);
        name.is_some_and(|name| NEVER_NULL.iter().any(|odd| name.ends_with(odd)))
    })
}

/// Sets both finish reasons of a choice.
pub fn finish_patch<'a>(finish: &Finish) -> Patch<'a> {
    let native = finish.native.as_deref().unwrap_or(finish.reason.as_str());
    // Whoever sent legacy functions waits for the legacy word, beside the legacy call in the source.
    let reason = if native == "function_call" { native } else { finish.reason.as_str() };
    Patch::new().set_str("finish_reason", reason).set_str("native_finish_reason", native)
}

#[derive(Serialize)]
struct WireChoice<'a> {
    index: u32,
    message: WireMessage<'a>,
    logprobs: &'a Option<Box<RawValue>>,
    finish_reason: &'a str,
    native_finish_reason: &'a str,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'a str,
    content: &'a Option<String>,
    refusal: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: &'a Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasoning_details: &'a [Value],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    annotations: &'a [Value],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    images: &'a [Value],
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: &'a Option<Value>,
}

impl<'a> From<&'a Choice> for WireChoice<'a> {
    fn from(choice: &'a Choice) -> Self {
        let message = &choice.message;
        let finish_reason = choice.finish.reason.as_str();
        Self {
            index: choice.index,
            message: WireMessage {
                role: "assistant",
                content: &message.content,
                refusal: &message.refusal,
                reasoning: &message.reasoning,
                reasoning_details: &message.reasoning_details,
                tool_calls: message.tool_calls.iter().enumerate().map(WireCall::from).collect(),
                annotations: &message.annotations,
                images: &message.images,
                audio: &message.audio,
            },
            logprobs: &choice.logprobs,
            finish_reason,
            native_finish_reason: choice.finish.native.as_deref().unwrap_or(finish_reason),
        }
    }
}

/// A tool call in a whole answer.
#[derive(Serialize)]
struct WireCall<'a> {
    index: usize,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<Function<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<Custom<'a>>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Custom<'a> {
    name: &'a str,
    input: &'a str,
}

impl<'a> From<(usize, &'a ToolCall)> for WireCall<'a> {
    fn from((index, call): (usize, &'a ToolCall)) -> Self {
        let (name, text) = (call.name.as_str(), call.arguments.as_str());
        let (kind, function, custom) = match call.kind {
            ToolKind::Function => ("function", Some(Function { name, arguments: text }), None),
            ToolKind::Custom => ("custom", None, Some(Custom { name, input: text })),
        };
        Self { index, id: &call.id, kind, function, custom }
    }
}

/// The `usage` object: tokens, what they cost, and whose credential paid.
pub fn usage_json(usage: &Usage, bill: &Bill) -> Vec<u8> {
    let mut out = Vec::with_capacity(640);
    serde_json::to_writer(&mut out, &WireUsage::new(usage, bill)).expect("numbers are always JSON");
    out
}

#[derive(Serialize)]
struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    cost: Box<RawValue>,
    is_byok: bool,
    prompt_tokens_details: PromptDetails,
    cost_details: CostDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool_use_details: Option<ServerTools>,
    completion_tokens_details: CompletionDetails,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
    audio_tokens: u64,
    image_tokens: u64,
    video_tokens: u64,
}

#[derive(Serialize)]
struct CostDetails {
    upstream_inference_cost: Box<RawValue>,
    upstream_inference_prompt_cost: Box<RawValue>,
    upstream_inference_completions_cost: Box<RawValue>,
}

#[derive(Serialize)]
struct ServerTools {
    web_search_requests: u64,
    web_fetch_requests: u64,
}

#[derive(Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    image_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

impl WireUsage {
    fn new(usage: &Usage, bill: &Bill) -> Self {
        let searched = usage.web_search_requests + usage.web_fetch_requests > 0;
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.total_tokens(),
            cost: decimal(bill.cost),
            is_byok: bill.is_byok,
            prompt_tokens_details: PromptDetails {
                cached_tokens: usage.cached_tokens,
                cache_write_tokens: usage.cache_write_tokens,
                audio_tokens: usage.prompt_audio_tokens,
                image_tokens: usage.prompt_image_tokens,
                video_tokens: usage.prompt_video_tokens,
            },
            cost_details: CostDetails {
                upstream_inference_cost: decimal(bill.upstream.total),
                upstream_inference_prompt_cost: decimal(bill.upstream.prompt),
                upstream_inference_completions_cost: decimal(bill.upstream.completion),
            },
            server_tool_use_details: searched.then_some(ServerTools {
                web_search_requests: usage.web_search_requests,
                web_fetch_requests: usage.web_fetch_requests,
            }),
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: usage.reasoning_tokens,
                audio_tokens: usage.completion_audio_tokens,
                image_tokens: usage.completion_image_tokens,
                accepted_prediction_tokens: usage.accepted_prediction_tokens,
                rejected_prediction_tokens: usage.rejected_prediction_tokens,
            },
        }
    }
}

/// Dollars as an exact JSON number, which a binary fraction would not be.
pub fn decimal(amount: NanoUsd) -> Box<RawValue> {
    RawValue::from_string(amount.to_string()).expect("a decimal is always JSON")
}

#[cfg(test)]
mod tests;
