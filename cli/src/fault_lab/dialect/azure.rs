//! OpenAI's chat completions behind Azure: deployments in the path, filter results before the answer, and the gateway's
//! own errors.

use std::borrow::Cow;

use http::HeaderMap;
use serde_json::{Value, json};

use crate::fault_lab::ask::Ask;
use crate::fault_lab::dialect::openai_chat::{self, OpenAiChat};
use crate::fault_lab::dialect::{Answer, Dialect, Event, Part, Peek, between, errors};
use crate::fault_lab::script::Reason;

pub struct Azure;

impl Dialect for Azure {
    fn name(&self) -> &'static str {
        "azure"
    }

    /// Azure's resources serve it below `/openai`, dated or not.
    fn claims(&self, path: &str) -> bool {
        path.contains("/openai/") && path.ends_with("/chat/completions")
    }

    fn peek<'a>(&self, path: &'a str, body: &'a [u8]) -> serde_json::Result<Peek<'a>> {
        let peek: Peek = serde_json::from_slice(body)?;
        Ok(match deployment(path) {
            Some(model) => Peek { model, ..peek },
            None => peek,
        })
    }

    fn read(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Ask, Reason> {
        let ask = OpenAiChat.read(path, headers, body)?;
        let model = deployment(path).map_or(ask.model, Cow::into_owned);
        Ok(Ask { model, ..ask })
    }

    fn whole(&self, answer: &Answer) -> Vec<u8> {
        let mut body = openai_chat::whole(answer);
        body["prompt_filter_results"] = filtered();
        body.to_string().into_bytes()
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let preface = json!({"id": "", "object": "", "created": 0, "model": "", "choices": [],
            "prompt_filter_results": filtered()});
        let preface = Event::sse(Part::Opening, None, &preface.to_string());
        std::iter::once(preface).chain(OpenAiChat.events(answer)).collect()
    }

    /// What the gateway answers itself has a code and a sentence; what the model's server answers is OpenAI's.
    fn error_body(&self, reason: &Reason) -> Vec<u8> {
        let code = match reason {
            Reason::PromptBlocked => "content_filter",
            Reason::Status(401) => "401",
            Reason::Status(404) => "DeploymentNotFound",
            Reason::Status(429) | Reason::LimitedUntilReset => "429",
            _ => return OpenAiChat.error_body(reason),
        };
        let error = json!({"code": code, "message": errors::message(reason)});
        json!({"error": error}).to_string().into_bytes()
    }

    fn error_event(&self, reason: &Reason) -> Vec<u8> {
        OpenAiChat.error_event(reason)
    }

    fn whole_with_error(&self, answer: &Answer, reason: &Reason) -> Vec<u8> {
        OpenAiChat.whole_with_error(answer, reason)
    }

    fn malformed_event(&self) -> Vec<u8> {
        OpenAiChat.malformed_event()
    }

    fn request_id(&self) -> &'static str {
        "apim-request-id"
    }

    fn rate_limits(&self, remaining: u32) -> Vec<(&'static str, String)> {
        OpenAiChat.rate_limits(remaining)
    }
}

fn deployment(path: &str) -> Option<Cow<'_, str>> {
    between(path, "/openai/deployments/", "/chat/completions")
}

fn filtered() -> Value {
    let safe = json!({"filtered": false, "severity": "safe"});
    json!([{"prompt_index": 0, "content_filter_results": {"hate": safe, "self_harm": safe, "sexual": safe, "violence": safe}}])
}
