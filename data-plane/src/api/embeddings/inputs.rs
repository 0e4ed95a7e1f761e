//! `input` in all its forms: a text, token ids, parts, or a list of any of them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::message::Message;
use crate::model::task::Input;
use crate::wire::patch::quoted;

/// Bytes of text that a token usually stands for.
pub const BYTES_PER_TOKEN: u64 = 4;

/// The inputs as they were sent.
pub struct Inputs<'a> {
    all: Vec<Sent<'a>>,
    /// `input` itself is one input, and no list.
    is_single: bool,
}

enum Sent<'a> {
    Text(Cow<'a, str>),
    Tokens(Vec<u32>),
    /// JSON text of a list of parts.
    Parts(&'a RawValue),
}

/// A chat that has the inputs for its messages.
pub struct Written {
    pub messages: Vec<u8>,
    /// Bytes of the longest input, token ids as the text that they stand for.
    pub longest_bytes: u64,
    pub token_ids: u64,
}

impl<'a> Inputs<'a> {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The path of an input that holds nothing.
    pub fn empty(&self) -> Option<String> {
        let at = self.all.iter().position(|input| match input {
            Sent::Text(text) => text.is_empty(),
            Sent::Tokens(ids) => ids.is_empty(),
            Sent::Parts(parts) => parts.get().trim_matches(['[', ']', ' ', '\n', '\t', '\r']).is_empty(),
        })?;
        Some(if self.is_single { "input".to_owned() } else { format!("input[{at}]") })
    }

    pub fn has_parts(&self) -> bool {
        self.all.iter().any(|input| matches!(input, Sent::Parts(_)))
    }

    /// As messages of a user's; token ids are none of a chat's.
    pub fn written(&self) -> Written {
        let mut written = Written { messages: vec![b'['], longest_bytes: 0, token_ids: 0 };
        for (at, input) in self.all.iter().enumerate() {
            let (content, bytes) = match input {
                Sent::Text(text) => (quoted(text), text.len() as u64),
                Sent::Tokens(ids) => {
                    written.token_ids += ids.len() as u64;
                    (b"\"\"".to_vec(), ids.len() as u64 * BYTES_PER_TOKEN)
                }
                // Media are no text, and are long.
                Sent::Parts(parts) => (parts.get().as_bytes().to_vec(), 0),
            };
            let start: &[u8] = if at == 0 { b"" } else { b"," };
            written.messages.extend_from_slice(start);
            written.messages.extend_from_slice(br#"{"role":"user","content":"#);
            written.messages.extend_from_slice(&content);
            written.messages.push(b'}');
            written.longest_bytes = written.longest_bytes.max(bytes);
        }
        written.messages.push(b']');
        written
    }

    /// Where there are no parts.
    pub fn plain(self) -> Vec<Input> {
        self.with_parts(&[])
    }

    /// The parts are those of the messages in the same places.
    pub fn with_parts(self, messages: &[Message]) -> Vec<Input> {
        let input = |(at, input): (usize, Sent<'a>)| match input {
            Sent::Text(text) => Input::Text(text.into_owned()),
            Sent::Tokens(ids) => Input::Tokens(ids),
            Sent::Parts(_) => {
                Input::Parts(messages.get(at).map(|message| message.content.clone()).unwrap_or_default())
            }
        };
        self.all.into_iter().enumerate().map(input).collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Inputs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputsVisitor)
    }
}

struct InputsVisitor;

impl<'de> Visitor<'de> for InputsVisitor {
    type Value = Inputs<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of token ids, or a list of texts, of lists of token ids or of objects with content")
    }
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Inputs { all: vec![Sent::Text(Cow::Borrowed(text))], is_single: true })
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Inputs { all: vec![Sent::Text(Cow::Owned(text.to_owned()))], is_single: true })
    }
    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        Ok(Inputs { all: vec![Sent::Parts(content(members)?)], is_single: true })
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        let mut ids = Vec::new();
        while let Some(element) = list.next_element::<Element<'de>>()? {
            match element {
                Element::Id(id) if all.is_empty() => ids.push(id),
                Element::Input(input) if ids.is_empty() => all.push(input),
                Element::Id(_) | Element::Input(_) => {
                    return Err(de::Error::custom("must be either a list of token ids or a list of inputs"));
                }
            }
        }
        match ids.is_empty() {
            true => Ok(Inputs { all, is_single: false }),
            false => Ok(Inputs { all: vec![Sent::Tokens(ids)], is_single: true }),
        }
    }
}

/// What a list may hold.
enum Element<'a> {
    Id(u32),
    Input(Sent<'a>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Element<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a token id, a list of token ids, or an object with content")
    }
    fn visit_u64<E: de::Error>(self, id: u64) -> Result<Self::Value, E> {
        u32::try_from(id).map(Element::Id).map_err(|_| E::custom("is no token id"))
    }
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Element::Input(Sent::Text(Cow::Borrowed(text))))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Element::Input(Sent::Text(Cow::Owned(text.to_owned()))))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut ids = Vec::with_capacity(list.size_hint().unwrap_or(64));
        while let Some(id) = list.next_element()? {
            ids.push(id);
        }
        Ok(Element::Input(Sent::Tokens(ids)))
    }
    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        Ok(Element::Input(Sent::Parts(content(members)?)))
    }
}

/// The list of parts of an object.
fn content<'de, A: MapAccess<'de>>(members: A) -> Result<&'de RawValue, A::Error> {
    #[derive(Deserialize)]
    struct Parts<'a> {
        #[serde(borrow)]
        content: &'a RawValue,
    }
    let parts = Parts::deserialize(de::value::MapAccessDeserializer::new(members))?;
    match parts.content.get().starts_with('[') {
        true => Ok(parts.content),
        false => Err(de::Error::custom(".content must be a list of parts")),
    }
}
