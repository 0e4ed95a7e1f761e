//! Sound that arrives in pieces of any length, given out as base64 that can be joined.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::adapters::shared::media::Inline;

/// The sound of one candidate.
#[derive(Debug, Default)]
pub struct Audio {
    /// Bytes that do not fill a group of three yet: base64 ends with padding inside a text otherwise.
    rest: Vec<u8>,
    begun: bool,
}

impl Audio {
    /// The next piece of `message.audio`; `id` names the answer.
    pub fn piece(&mut self, base64: String, id: &str) -> Value {
        let bytes = Inline { media_type: String::new(), base64 }.bytes().unwrap_or_default();
        self.rest.extend(bytes);
        let rest = self.rest.split_off(self.rest.len() - self.rest.len() % 3);
        let data = STANDARD.encode(std::mem::replace(&mut self.rest, rest));
        if std::mem::replace(&mut self.begun, true) {
            return json!({ "data": data });
        }
        json!({"id": format!("audio_{id}"), "data": data, "transcript": ""})
    }

    /// What is left at the end.
    pub fn last(&mut self) -> Option<Value> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then(|| json!({ "data": STANDARD.encode(rest) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_sound() {
        let (mut audio, mut text) = (Audio::default(), String::new());
        for piece in ["a", "bcde", "", "fg"] {
            let piece = audio.piece(STANDARD.encode(piece), "1");
            text.push_str(piece["data"].as_str().expect("text"));
        }
        text.push_str(audio.last().expect("a rest")["data"].as_str().expect("text"));
        assert_eq!(STANDARD.decode(text).expect("base64"), b"abcdefg");
        assert_eq!(audio.last(), None);
    }
}
