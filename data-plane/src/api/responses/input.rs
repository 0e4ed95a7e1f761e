//! The input: a string or a list of items, put together to chat messages.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::BadRequest;
use crate::api::openai_chat::explain::bad;
use crate::api::openai_chat::scan::cut;
use crate::api::responses::parts::{Said, all, said};
use crate::api::responses::reasoning::details;
use crate::api::responses::tools;
use crate::model::names::{Place, Spot};

/// What is asked.
pub enum Input<'a> {
    Text(String),
    Items(Vec<Item<'a>>),
}

/// One item; the members of all kinds together, since they hardly overlap.
#[derive(Deserialize)]
pub struct Item<'a> {
    /// Absent for plain messages.
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(default)]
    pub summary: Option<Vec<ThoughtText>>,
    #[serde(default)]
    pub encrypted_content: Option<String>,
}

/// Text of a reasoning item.
#[derive(Deserialize)]
pub struct ThoughtText {
    #[serde(default)]
    pub text: String,
}

impl Item<'_> {
    /// The shown reasoning of a reasoning item.
    pub fn thoughts(&self) -> Vec<ThoughtText> {
        self.content.and_then(|content| serde_json::from_str(content.get()).ok()).unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Input<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InputVisitor;
        impl<'de> Visitor<'de> for InputVisitor {
            type Value = Input<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of items")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Input::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Input::Items(items))
            }
        }
        deserializer.deserialize_any(InputVisitor)
    }
}

/// The input as chat messages.
pub struct Messages {
    messages: Vec<Value>,
    places: Vec<Place>,
}

impl Messages {
    /// Reads the whole input.
    ///
    /// # Errors
    /// [`BadRequest`] naming the item at fault.
    pub fn of(instructions: Option<&str>, input: &Input<'_>) -> Result<Self, BadRequest> {
        let mut all = Self { messages: Vec::new(), places: Vec::new() };
        if let Some(text) = instructions.filter(|text| !text.is_empty()) {
            all.push(Place::default(), json!({"role": "system", "content": text}));
        }
        match input {
            // The text is no list, so that it is named like what is no turn.
            Input::Text(text) => all.push(Place::default(), json!({"role": "user", "content": text})),
            Input::Items(items) if items.is_empty() => {
                return Err(bad("input", "input must not be empty".to_owned()));
            }
            Input::Items(items) => {
                for (at, item) in items.iter().enumerate() {
                    all.item(at, item).map_err(|(member, why)| blame(at, member, &why))?;
                }
            }
        }
        Ok(all)
    }

    /// The messages as JSON.
    pub fn chat(&self) -> Vec<u8> {
        serde_json::to_vec(&self.messages).expect("values are always JSON")
    }

    /// Where each message is from.
    pub fn into_places(self) -> Vec<Place> {
        self.places
    }

    fn push(&mut self, place: Place, message: Value) {
        self.messages.push(message);
        self.places.push(place);
    }

    fn item(&mut self, at: usize, item: &Item<'_>) -> Result<(), (&'static str, String)> {
        match item.kind.as_deref().unwrap_or("message") {
            "message" => self.message(at, item)?,
            "function_call" => {
                let function = json!({"name": required("name", &item.name)?, "arguments": item.arguments.as_deref().unwrap_or_default()});
                let call = json!({"id": required("call_id", &item.call_id)?, "type": "function", "function": function});
                self.add(at, "tool_calls", vec![call]);
            }
            "custom_tool_call" => {
                let input = item.input.map(text).unwrap_or_default();
                let custom = json!({"name": required("name", &item.name)?, "input": input});
                let call =
                    json!({"id": required("call_id", &item.call_id)?, "type": "custom", "custom": custom});
                self.add(at, "tool_calls", vec![call]);
            }
            "function_call_output" | "custom_tool_call_output" => {
                let output = item.output.ok_or_else(|| ("output", "is required".to_owned()))?;
                let content = match said(output, "output")? {
                    Said::Text(text) => json!(text),
                    Said::Parts(parts) => Value::Array(all(&parts, "output")?),
                };
                let id = required("call_id", &item.call_id)?;
                self.push(item_at(at), json!({"role": "tool", "tool_call_id": id, "content": content}));
            }
            "reasoning" => self.reasoning(at, item),
            "item_reference" => {
                return Err(("type", "item_reference is not supported: nothing is stored".to_owned()));
            }
            // What the provider's own tools did; the answer that followed says what came of it.
            "web_search_call"
            | "file_search_call"
            | "code_interpreter_call"
            | "image_generation_call"
            | "mcp_call"
            | "tool_search_call" => {}
            "compaction" => {
                let why = "`compaction` is not supported: send the items that it stands for".to_owned();
                return Err(("type", why));
            }
            kind if tools::is_run_by_the_client(kind) => {
                return Err(("type", format!("`{kind}` is not supported: send a function's call instead")));
            }
            other => return Err(("type", format!("`{}` is not supported", cut(other)))),
        }
        Ok(())
    }

    fn message(&mut self, at: usize, item: &Item<'_>) -> Result<(), (&'static str, String)> {
        let role = required("role", &item.role)?;
        let content = item.content.ok_or_else(|| ("content", "is required".to_owned()))?;
        let said = said(content, "content")?;
        if role != "assistant" {
            let content = match said {
                Said::Text(text) => json!(text),
                Said::Parts(parts) => Value::Array(all(&parts, "content")?),
            };
            self.push(item_at(at), json!({"role": role, "content": content}));
            return Ok(());
        }
        let parts = match said {
            Said::Text(text) => vec![json!({"type": "text", "text": text})],
            Said::Parts(parts) => all(&parts, "content")?,
        };
        self.add(at, "content", parts);
        Ok(())
    }

    /// Reasoning begins a new turn of the assistant's, unless it goes on reasoning.
    fn reasoning(&mut self, at: usize, item: &Item<'_>) {
        let goes_on = self.messages.last().is_some_and(|last| {
            last["role"] == "assistant" && last.get("tool_calls").is_none() && last["content"].is_null()
        });
        if !goes_on {
            self.push(item_at(at), json!({"role": "assistant", "content": null}));
        }
        let known = self
            .messages
            .last()
            .and_then(|last| last.get("reasoning_details")?.as_array())
            .map_or(0, Vec::len);
        let details = details(item, known);
        if !details.is_empty() {
            self.add(at, "reasoning_details", details);
        }
    }

    /// Adds to the assistant's turn, which is one message.
    fn add(&mut self, at: usize, member: &str, mut more: Vec<Value>) {
        if self.messages.last().is_none_or(|last| last["role"] != "assistant") {
            self.push(item_at(at), json!({"role": "assistant", "content": null}));
        }
        let (Some(last), Some(place)) = (self.messages.last_mut(), self.places.last_mut()) else { return };
        let spot = |part| Spot { turn: at, part };
        match member {
            "content" => place.content.extend((0..more.len()).map(|part| spot(Some(part)))),
            "tool_calls" => place.calls.push(spot(None)),
            _ => {}
        }
        match &mut last[member] {
            Value::Array(known) => known.append(&mut more),
            place => *place = Value::Array(more),
        }
    }
}

fn item_at(at: usize) -> Place {
    Place { turn: Some(at), ..Place::default() }
}

fn required<'a>(member: &'static str, value: &'a Option<String>) -> Result<&'a str, (&'static str, String)> {
    value.as_deref().ok_or_else(|| (member, "is required".to_owned()))
}

fn text(raw: &RawValue) -> String {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

fn blame(at: usize, member: &str, why: &str) -> BadRequest {
    let field = format!("input[{at}].{member}");
    let message = format!("{field} {why}");
    bad(&field, message)
}
