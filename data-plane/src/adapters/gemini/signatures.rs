//! Thoughts and their signatures as `reasoning_details`, and back to the parts that they belong to.
//!
//! Google signs parts, not thoughts: mostly a call, else the last text, an image, or an empty part at the end.
//! The `id` of a detail tells which part it was; a signature is never changed.

use serde_json::{Value, json};

use crate::model::event::join_details;

/// The `format` of what Google signed.
pub const FORMAT: &str = "google-gemini-v1";

/// Stands for a signature that was lost, by Google's own rule.
pub const LOST: &str = "skip_thought_signature_validator";

/// The part that a signature was on, where that is no call.
const TEXT: &str = "text_";
const IMAGE: &str = "image_";
const END: &str = "end";

/// What a signature was on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed<'a> {
    /// The call of this id.
    Call(&'a str),
    /// The text that ends at this byte of the whole content.
    Text(usize),
    /// An empty part of its own.
    End,
    /// The image of this place.
    Image(usize),
}

/// A readable thought, with its signature if it has one.
pub fn thought(index: u64, text: &str, signature: Option<&str>) -> Value {
    let mut detail = json!({"type": "reasoning.text", "text": text});
    if let Some(signature) = signature {
        detail["signature"] = signature.into();
    }
    detail["format"] = FORMAT.into();
    detail["index"] = index.into();
    detail
}

/// The signature of a part.
pub fn encrypted(index: u64, signed: Signed<'_>, data: &str) -> Value {
    let mut detail = json!({"type": "reasoning.encrypted", "data": data});
    match signed {
        Signed::Call(id) => detail["id"] = id.into(),
        Signed::Text(end) => detail["id"] = format!("{TEXT}{end}").into(),
        Signed::End => detail["id"] = END.into(),
        Signed::Image(at) => detail["id"] = format!("{IMAGE}{at}").into(),
    }
    detail["format"] = FORMAT.into();
    detail["index"] = index.into();
    detail
}

/// What an assistant's message gives back.
#[derive(Debug, Default, PartialEq)]
pub struct Replay {
    /// Signed thoughts, as parts.
    pub thoughts: Vec<Value>,
    /// Signatures of texts by the byte of the content where each ends, rising.
    pub texts: Vec<(usize, String)>,
    /// A signature of the last text, whose place nobody noted.
    pub text: Option<String>,
    /// The signature of an empty part at the end.
    pub end: Option<String>,
    named: Vec<(String, String)>,
}

impl Replay {
    /// Reads the details that Google signed; those of others mean nothing to it.
    pub fn read(details: &[Value]) -> Self {
        let own: Vec<Value> = details.iter().filter(|detail| detail["format"] == FORMAT).cloned().collect();
        let mut replay = Self::default();
        for detail in join_details(&own) {
            match detail["type"].as_str() {
                Some("reasoning.text") => replay.thoughts.extend(thought_part(&detail)),
                Some("reasoning.encrypted") => replay.take(&detail),
                _ => {}
            }
        }
        replay
    }

    fn take(&mut self, detail: &Value) {
        let Some(data) = detail["data"].as_str().filter(|data| !data.is_empty()) else { return };
        let id = detail["id"].as_str();
        if let Some(end) = id.and_then(|id| id.strip_prefix(TEXT)?.parse().ok()) {
            let at = self.texts.partition_point(|(known, _)| *known <= end);
            return self.texts.insert(at, (end, data.to_owned()));
        }
        match id {
            None | Some("") => self.text = Some(data.to_owned()),
            Some(END) => self.end = Some(data.to_owned()),
            Some(id) => self.named.push((id.to_owned(), data.to_owned())),
        }
    }

    /// The signature of a call.
    pub fn of_call(&self, id: &str) -> Option<&str> {
        self.named.iter().find(|(known, _)| known == id).map(|(_, data)| data.as_str())
    }

    /// The signature of an image, by its place among the images.
    pub fn of_image(&self, at: usize) -> Option<&str> {
        self.of_call(&format!("{IMAGE}{at}"))
    }
}

/// Thoughts without a signature are summaries for people.
fn thought_part(detail: &Value) -> Option<Value> {
    let signature = detail["signature"].as_str().filter(|signature| !signature.is_empty())?;
    let text = detail["text"].as_str().unwrap_or_default();
    Some(json!({"text": text, "thought": true, "thoughtSignature": signature}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_find_their_parts_again() {
        let foreign = json!({"type": "reasoning.encrypted", "data": "no", "format": "openai-responses-v1"});
        let replay = Replay::read(&[
            thought(0, "hm", None),
            thought(0, "m", None),
            thought(1, "so", Some("c2ln")),
            encrypted(2, Signed::Call("call_1"), "Y2FsbA=="),
            encrypted(3, Signed::Text(7), "dGV4dA=="),
            encrypted(6, Signed::Text(2), "Zmlyc3Q="),
            json!({"type": "reasoning.encrypted", "data": "b2xk", "format": FORMAT, "index": 9}),
            encrypted(4, Signed::End, "ZW5k"),
            encrypted(5, Signed::Image(1), "aW1n"),
            foreign,
        ]);
        assert_eq!(replay.thoughts, [json!({"text": "so", "thought": true, "thoughtSignature": "c2ln"})]);
        assert_eq!((replay.of_call("call_1"), replay.of_call("call_2")), (Some("Y2FsbA=="), None));
        assert_eq!((replay.text.as_deref(), replay.end.as_deref()), (Some("b2xk"), Some("ZW5k")));
        assert_eq!(replay.texts, [(2, "Zmlyc3Q=".to_owned()), (7, "dGV4dA==".to_owned())]);
        assert_eq!((replay.of_image(0), replay.of_image(1)), (None, Some("aW1n")));
    }
}
