//! Tools, flat as this dialect has them, and the choice among them.

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::BadRequest;
use crate::api::openai_chat::explain::bad;
use crate::wire::patch::{ObjectWriter, quoted};

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(borrow, default)]
    format: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
    /// Where a shell's commands are run.
    #[serde(default)]
    environment: Option<Value>,
}

/// Tools of OpenAI's that the client runs itself: their calls are items of their own, which only one dialect knows.
const CLIENT_RUN: [&str; 4] = ["local_shell", "shell", "apply_patch", "computer"];

/// Whether a tool, a call of it or what came of one is of a kind that the client runs.
pub fn is_run_by_the_client(kind: &str) -> bool {
    let tool = kind.strip_suffix("_output").unwrap_or(kind);
    let tool = tool.strip_suffix("_call").or(tool.strip_suffix("_use_preview")).unwrap_or(tool);
    CLIENT_RUN.contains(&tool)
}

/// The tools as chat completions has them; schemas stay byte for byte, tools that a provider runs stay as they are.
///
/// # Errors
/// [`BadRequest`] naming the tool at fault.
pub fn chat(tools: &[&RawValue]) -> Result<Vec<u8>, BadRequest> {
    let mut out = vec![b'['];
    for (at, raw) in tools.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let blame = |member: &str, why: &str| {
            let field = format!("tools[{at}]{member}");
            let text = format!("{field} {why}");
            bad(&field, text)
        };
        let tool: Tool<'_> = serde_json::from_str(raw.get()).map_err(|_| blame("", "is no tool object"))?;
        let Some(kind @ ("function" | "custom")) = tool.kind.as_deref() else {
            let Some(kind) = tool.kind.as_deref() else { return Err(blame(".type", "is required")) };
            if is_run_by_the_client(kind) && !tool.is_hosted() {
                return Err(blame(
                    ".type",
                    "is not supported: its calls cannot be passed on, a function's can",
                ));
            }
            out.extend_from_slice(raw.get().as_bytes());
            continue;
        };
        let name = tool.name.as_deref().ok_or_else(|| blame(".name", "is required"))?;
        out.extend(tool.nested(kind, name));
    }
    out.push(b']');
    Ok(out)
}

impl Tool<'_> {
    /// A shell in a container is the provider's.
    fn is_hosted(&self) -> bool {
        let kind = self.environment.as_ref().and_then(|environment| environment["type"].as_str());
        kind.is_some_and(|kind| kind.starts_with("container"))
    }

    fn nested(&self, kind: &str, name: &str) -> Vec<u8> {
        let mut inner = BytesMut::new();
        let mut writer = ObjectWriter::open(&mut inner);
        writer.member("name", &quoted(name));
        if let Some(text) = &self.description {
            writer.member("description", &quoted(text));
        }
        for (member, raw) in [("parameters", self.parameters), ("format", self.format)] {
            if let Some(raw) = raw.filter(|raw| raw.get() != "null") {
                writer.member(member, raw.get().as_bytes());
            }
        }
        if let Some(strict) = self.strict {
            writer.member("strict", strict.to_string().as_bytes());
        }
        writer.close();
        let mut out = BytesMut::new();
        let mut writer = ObjectWriter::open(&mut out);
        writer.member("type", &quoted(kind));
        writer.member(kind, &inner);
        if let Some(mark) = self.cache_control {
            writer.member("cache_control", mark.get().as_bytes());
        }
        writer.close();
        out.to_vec()
    }
}

/// The choice as chat completions has it.
///
/// # Errors
/// [`BadRequest`] naming the member at fault.
pub fn choice(choice: &Value) -> Result<Value, BadRequest> {
    let Value::Object(object) = choice else { return Ok(choice.clone()) };
    let named = |kind: &str| {
        let name = object.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| bad("tool_choice.name", "tool_choice.name is required".to_owned()))?;
        Ok(json!({"type": kind, kind: {"name": name}}))
    };
    match object.get("type").and_then(Value::as_str) {
        Some("function") => named("function"),
        Some("custom") => named("custom"),
        Some("allowed_tools") => {
            let tools = object.get("tools").and_then(Value::as_array);
            let names = tools.into_iter().flatten().filter_map(|tool| tool.get("name"));
            let tools: Vec<Value> =
                names.map(|name| json!({"type": "function", "function": {"name": name}})).collect();
            Ok(
                json!({"type": "allowed_tools", "allowed_tools": {"mode": object.get("mode"), "tools": tools}}),
            )
        }
        Some(_) => {
            let text = "tool_choice.type is none of function, custom, allowed_tools";
            Err(bad("tool_choice.type", text.to_owned()))
        }
        None => Err(bad("tool_choice.type", "tool_choice.type is required".to_owned())),
    }
}
