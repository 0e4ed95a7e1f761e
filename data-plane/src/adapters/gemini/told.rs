//! One candidate as it grows part by part.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::adapters::Context;
use crate::adapters::gemini::annotations::Sources;
use crate::adapters::gemini::audio::Audio;
use crate::adapters::gemini::finish::{Ending, Said, ending, named};
use crate::adapters::gemini::logprobs::logprobs;
use crate::adapters::gemini::signatures::{Signed, encrypted, thought};
use crate::adapters::gemini::wire::{Candidate, FileData, FunctionCall, InlineData, Part};
use crate::adapters::shared::json_tool::unwrapped;
use crate::model::event::{ChoiceDelta, Delta, ToolDelta};
use crate::model::message::ToolKind;
use crate::model::response::{Finish, FinishReason};

/// What a candidate has said so far.
#[derive(Debug, Default)]
pub struct Told {
    pub index: u32,
    /// All text, which annotations are counted in.
    text: String,
    /// Text beside a forced tool: it is the answer only if the tool gives none.
    held: String,
    /// Whether the forced tool gave the answer.
    is_json: bool,
    has_media: bool,
    calls: u32,
    images: usize,
    /// The next detail of reasoning.
    details: u64,
    /// The detail that thoughts without a signature go on with.
    thinking: Option<u64>,
    audio: Audio,
    sources: Sources,
    finish_reason: Option<String>,
    finish_message: Option<String>,
}

impl Told {
    /// A candidate that has said nothing.
    pub fn new(index: u32) -> Self {
        Self { index, ..Self::default() }
    }

    /// Takes new parts; `answer` is the provider's id of the whole answer. None where they add nothing to show.
    pub fn take(&mut self, wire: Candidate<'_>, answer: &str, context: &Context) -> Option<ChoiceDelta> {
        let mut delta = Delta::default();
        for part in wire.content.and_then(|content| content.parts).into_iter().flatten() {
            self.part(part, answer, context, &mut delta);
        }
        if let Some(reason) = wire.finish_reason.as_ref().and_then(|reason| named(&reason.0)) {
            self.finish_reason = Some(reason.to_owned());
            self.finish_message = wire.finish_message.map(Into::into);
        }
        if let Some(metadata) = wire.citation_metadata {
            self.sources.cite(metadata.get());
        }
        if let Some(metadata) = wire.grounding_metadata {
            self.sources.ground(metadata.get());
        }
        let logprobs = wire.logprobs_result.and_then(logprobs);
        let adds = delta != Delta::default() || logprobs.is_some();
        adds.then(|| ChoiceDelta { index: self.index, delta, logprobs, finish: None })
    }

    fn part(&mut self, part: Part<'_>, answer: &str, context: &Context, delta: &mut Delta) {
        let signature = part.thought_signature.as_deref().filter(|signature| !signature.is_empty());
        if part.is_googles_own() {
            return;
        }
        if part.thought == Some(true) && part.function_call.is_none() {
            return self.think(part.text.as_deref().unwrap_or_default(), signature, context, delta);
        }
        self.thinking = None;
        let call;
        let signed = if let Some(wire) = part.function_call {
            call = self.call(wire, answer, context, delta);
            call.as_deref().map(Signed::Call)
        } else if let Some(data) = part.inline_data {
            self.inline(data, answer, delta)
        } else if let Some(file) = part.file_data {
            self.file(file, delta)
        } else {
            let text = part.text.unwrap_or_default();
            self.say(&text, context, delta);
            Some(if text.is_empty() { Signed::End } else { Signed::Text(self.text.len()) })
        };
        if let (Some(signed), Some(signature)) = (signed, signature)
            && !context.hide_reasoning
        {
            delta.reasoning_details.push(encrypted(self.details, signed, signature));
            self.details += 1;
        }
    }

    fn think(&mut self, text: &str, signature: Option<&str>, context: &Context, delta: &mut Delta) {
        if context.hide_reasoning || (text.is_empty() && signature.is_none()) {
            return;
        }
        let index = self.thinking.unwrap_or(self.details);
        self.details = index + 1;
        self.thinking = signature.is_none().then_some(index);
        if !text.is_empty() {
            delta.reasoning.get_or_insert_default().push_str(text);
        }
        delta.reasoning_details.push(thought(index, text, signature));
    }

    fn say(&mut self, text: &str, context: &Context, delta: &mut Delta) {
        if text.is_empty() {
            return;
        }
        if context.json_tool.is_some() {
            self.held.push_str(text);
            return;
        }
        self.text.push_str(text);
        delta.content.get_or_insert_default().push_str(text);
    }

    /// A complete call; its id, unless it is the forced tool's, which is content, or nothing at all.
    fn call(
        &mut self,
        call: FunctionCall<'_>,
        answer: &str,
        context: &Context,
        delta: &mut Delta,
    ) -> Option<String> {
        let name = call.name.as_deref().filter(|name| !name.is_empty())?;
        let arguments = call.args.map_or_else(|| "{}".to_owned(), |args| compact(args.get()));
        if let Some(tool) = context.json_tool.as_ref().filter(|tool| tool.name == name) {
            if !std::mem::replace(&mut self.is_json, true) {
                let answer = if tool.wrapped { unwrapped(&arguments) } else { arguments };
                self.text.push_str(&answer);
                delta.content.get_or_insert_default().push_str(&answer);
            }
            return None;
        }
        let index = self.calls;
        self.calls += 1;
        let given = call.id.filter(|id| !id.is_empty());
        let id = given.map_or_else(|| made_id(answer, [self.index, index], name, &arguments), Into::into);
        delta.tool_calls.push(ToolDelta {
            index,
            id: Some(id.clone()),
            kind: ToolKind::Function,
            name: Some(context.client_name(name).to_owned()),
            arguments,
        });
        Some(id)
    }

    fn inline(&mut self, data: InlineData<'_>, answer: &str, delta: &mut Delta) -> Option<Signed<'static>> {
        let media_type = data.mime_type.unwrap_or_default();
        let base64 = data.data.filter(|data| !data.is_empty())?;
        if media_type.starts_with("audio/") {
            self.has_media = true;
            let piece = self.audio.piece(base64.into_owned(), answer);
            join_audio(delta, piece);
            return None;
        }
        Some(self.image(format!("data:{media_type};base64,{base64}"), delta))
    }

    fn file(&mut self, file: FileData<'_>, delta: &mut Delta) -> Option<Signed<'static>> {
        let is_image = file.mime_type.is_some_and(|media_type| media_type.starts_with("image/"));
        let uri = file.file_uri.filter(|uri| is_image && !uri.is_empty())?;
        Some(self.image(uri.into_owned(), delta))
    }

    fn image(&mut self, url: String, delta: &mut Delta) -> Signed<'static> {
        self.has_media = true;
        let at = self.images;
        self.images += 1;
        delta.images.push(json!({"type": "image_url", "image_url": {"url": url}}));
        Signed::Image(at)
    }

    /// Why it ended; None if it did not.
    pub fn ending(&self) -> Option<Ending> {
        let content = self.has_media || self.is_json || !self.text.is_empty() || !self.held.is_empty();
        let said = Said { calls: self.calls > 0, content };
        Some(ending(self.finish_reason.as_deref()?, said))
    }

    /// Searches that the provider ran for it.
    pub fn searches(&self) -> u64 {
        self.sources.searches()
    }

    /// What can only be told at the end.
    pub fn last(&mut self, finish: Finish) -> ChoiceDelta {
        let mut delta = Delta { audio: self.audio.last(), ..Delta::default() };
        if !self.is_json && !self.held.is_empty() {
            self.text.push_str(&self.held);
            delta.content = Some(std::mem::take(&mut self.held));
        }
        delta.annotations = self.sources.annotations(&self.text);
        let explains = finish.reason == FinishReason::ContentFilter;
        delta.refusal = self.finish_message.take().filter(|message| explains && !message.is_empty());
        ChoiceDelta { index: self.index, delta, finish: Some(finish), logprobs: None }
    }
}

/// Two pieces of sound in one delta become one.
fn join_audio(delta: &mut Delta, piece: Value) {
    let Some(audio) = &mut delta.audio else {
        delta.audio = Some(piece);
        return;
    };
    if let (Some(Value::String(known)), Some(more)) = (audio.get_mut("data"), piece["data"].as_str()) {
        known.push_str(more);
    }
}

/// An id for a call that came without: the same for the same answer, another for every call in it.
fn made_id(answer: &str, place: [u32; 2], name: &str, arguments: &str) -> String {
    let mut hash = Sha256::new();
    for text in [answer, name, arguments] {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    place.iter().for_each(|number| hash.update(number.to_be_bytes()));
    let digest = hash.finalize();
    digest[..12].iter().fold("call_".to_owned(), |id, byte| id + &format!("{byte:02x}"))
}

/// JSON text without the white space between its tokens.
fn compact(json: &str) -> String {
    let (mut text, mut in_string, mut escaped) = (String::with_capacity(json.len()), false, false);
    for letter in json.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = in_string,
            '"' => in_string = !in_string,
            ' ' | '\t' | '\r' | '\n' if !in_string => continue,
            _ => {}
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_keep_all_but_the_white_space_between_them() {
        for (json, expected) in [
            (
                "{ \"a b\" : \" \\\" {\\\\\" ,\n \"c\" : [ 1.50 , 12345678901234567890123 ] }",
                "{\"a b\":\" \\\" {\\\\\",\"c\":[1.50,12345678901234567890123]}",
            ),
            ("{}", "{}"),
            ("{\n}", "{}"),
        ] {
            assert_eq!(compact(json), expected);
        }
    }

    #[test]
    fn made_ids_differ_by_answer_and_place() {
        let ids = [
            made_id("r", [0, 0], "f", "{}"),
            made_id("r", [0, 1], "f", "{}"),
            made_id("s", [0, 0], "f", "{}"),
            made_id("r", [1, 0], "f", "{}"),
        ];
        for (at, id) in ids.iter().enumerate() {
            assert!(id.len() == 29 && id.starts_with("call_") && !ids[at + 1..].contains(id), "{id}");
        }
        assert_eq!(ids[0], made_id("r", [0, 0], "f", "{}"));
    }
}
