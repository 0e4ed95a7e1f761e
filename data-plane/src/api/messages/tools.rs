//! Tools and the choice among them.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::BadRequest;
use crate::api::openai_chat::explain::bad;
use crate::wire::patch::{ObjectWriter, quoted};

/// A tool: the caller's own, or one that Anthropic runs, which is passed on as it is.
pub struct WireTool<'a>(&'a RawValue);

impl<'de: 'a, 'a> Deserialize<'de> for WireTool<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(Self)
    }
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(borrow, default)]
    input_schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
}

/// The tools as chat completions has them; schemas stay byte for byte.
///
/// # Errors
/// [`BadRequest`] naming the tool at fault.
pub fn chat(tools: &[WireTool<'_>]) -> Result<Vec<u8>, BadRequest> {
    let mut out = vec![b'['];
    for (at, WireTool(raw)) in tools.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let tool: Tool<'_> = serde_json::from_str(raw.get()).map_err(|error| {
            let field = format!("tools[{at}]");
            let why = error.to_string();
            let why = why.rfind(" at line ").map_or(why.as_str(), |end| &why[..end]);
            let text = format!(
                "{field} cannot be read: {}",
                if why.contains("invalid type") { "a member has the wrong type" } else { why }
            );
            bad(&field, text)
        })?;
        match tool.kind.as_deref() {
            None | Some("custom" | "function") => out.extend(tool.function(at)?),
            Some(_) => out.extend_from_slice(raw.get().as_bytes()),
        }
    }
    out.push(b']');
    Ok(out)
}

impl Tool<'_> {
    fn function(&self, at: usize) -> Result<Vec<u8>, BadRequest> {
        let required = |member: &str| {
            let field = format!("tools[{at}].{member}");
            let text = format!("{field} is required");
            bad(&field, text)
        };
        let name = self.name.as_deref().ok_or_else(|| required("name"))?;
        let schema = self.input_schema.ok_or_else(|| required("input_schema"))?;
        let mut function = bytes::BytesMut::new();
        let mut writer = ObjectWriter::open(&mut function);
        writer.member("name", &quoted(name));
        if let Some(text) = &self.description {
            writer.member("description", &quoted(text));
        }
        writer.member("parameters", schema.get().as_bytes());
        if let Some(strict) = self.strict {
            writer.member("strict", strict.to_string().as_bytes());
        }
        writer.close();
        let mut out = bytes::BytesMut::new();
        let mut writer = ObjectWriter::open(&mut out);
        writer.member("type", b"\"function\"");
        writer.member("function", &function);
        if let Some(mark) = self.cache_control {
            writer.member("cache_control", mark.get().as_bytes());
        }
        writer.close();
        Ok(out.to_vec())
    }
}

/// Which tool may or must be used.
#[derive(Deserialize)]
pub struct WireChoice {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    disable_parallel_tool_use: Option<bool>,
}

impl WireChoice {
    /// The choice, and whether calls may be made side by side where that is said.
    ///
    /// # Errors
    /// [`BadRequest`] naming the member at fault.
    pub fn chat(&self) -> Result<(Value, Option<bool>), BadRequest> {
        let choice = match (self.kind.as_str(), &self.name) {
            ("auto", _) => json!("auto"),
            ("any", _) => json!("required"),
            ("none", _) => json!("none"),
            ("tool", Some(name)) => json!({"type": "function", "function": {"name": name}}),
            ("tool", None) => return Err(bad("tool_choice.name", "tool_choice.name is required".to_owned())),
            _ => {
                let text = "tool_choice.type is none of auto, any, tool, none";
                return Err(bad("tool_choice.type", text.to_owned()));
            }
        };
        Ok((choice, self.disable_parallel_tool_use.map(|disabled| !disabled)))
    }
}
