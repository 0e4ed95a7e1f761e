//! Tool definitions and the choice among them.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::adapters::anthropic::blocks::mark;
use crate::adapters::anthropic::names::tool_name;
use crate::adapters::quirks::Quirks;
use crate::adapters::shared::tool_input;
use crate::adapters::{Context, Unsupported};
use crate::model::message::{Tool, ToolChoice};
use crate::model::request::ChatRequest;

/// The `tools` and `tool_choice` of a request.
#[derive(Debug, Default)]
pub struct Toolbox {
    pub tools: Vec<Value>,
    pub choice: Option<Value>,
    /// Whether the choice forces a call.
    pub forces: bool,
}

/// Translates tools and choice; `called` names the tools that the history uses.
///
/// # Errors
/// [`Unsupported`] for tools and choices that Anthropic or the model does not have.
pub fn toolbox(
    request: &ChatRequest,
    quirks: &Quirks,
    called: &[String],
    context: &mut Context,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Result<Toolbox, Unsupported> {
    let mut tools = Vec::new();
    for (at, tool) in request.tools.get()?.iter().enumerate() {
        match translate(tool, at, context)? {
            Some(tool) if is_allowed(&tool, request.tool_choice.as_ref()) => tools.push(tool),
            Some(_) => {}
            None => dropped.push(format!("tools[{at}]").into()),
        }
    }
    if tools.is_empty() {
        return Ok(undeclared(called));
    }
    let forces = tool_input::forces(request.tool_choice.as_ref());
    if forces && !quirks.forced_tools {
        return Err(Unsupported::new("tool_choice", "cannot force a call of this model"));
    }
    let mut choice = choice(request.tool_choice.as_ref())?;
    if request.parallel_tool_calls == Some(false) {
        let choice = choice.get_or_insert_with(|| json!({"type": "auto"}));
        if choice["type"] != "none" {
            choice["disable_parallel_tool_use"] = true.into();
        }
    }
    Ok(Toolbox { tools, choice, forces })
}

/// A history with calls needs their tools declared, even where the caller offers none any more.
fn undeclared(called: &[String]) -> Toolbox {
    if called.is_empty() {
        return Toolbox::default();
    }
    let tools = called.iter().map(|name| json!({"name": name, "input_schema": {"type": "object"}}));
    Toolbox { tools: tools.collect(), choice: Some(json!({"type": "none"})), forces: false }
}

fn is_allowed(tool: &Value, choice: Option<&ToolChoice>) -> bool {
    match choice {
        Some(ToolChoice::Allowed { names, .. }) => {
            names.iter().any(|name| tool["name"] == tool_name(name).as_str())
        }
        _ => true,
    }
}

fn choice(choice: Option<&ToolChoice>) -> Result<Option<Value>, Unsupported> {
    Ok(Some(match choice {
        None => return Ok(None),
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => json!({"type": "auto"}),
        Some(ToolChoice::None) => json!({"type": "none"}),
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => json!({"type": "any"}),
        Some(ToolChoice::Named(name)) => json!({"type": "tool", "name": tool_name(name)}),
        Some(ToolChoice::Custom(_)) => {
            return Err(Unsupported::new(
                "tool_choice.custom",
                "names a kind of tool that this model does not have",
            ));
        }
    }))
}

/// One tool; None for those that only a router can run.
fn translate(tool: &Tool, at: usize, context: &mut Context) -> Result<Option<Value>, Unsupported> {
    match tool {
        Tool::Function { name, description, parameters, strict, cache_control } => {
            let sent = tool_name(name);
            let mut tool = Map::from_iter([("name".to_owned(), Value::from(sent.as_str()))]);
            if sent != *name {
                context.tool_names.push((sent, name.clone()));
            }
            if let Some(description) = description {
                tool.insert("description".to_owned(), description.as_str().into());
            }
            let schema = parameters.as_ref().map(|schema| schema.get());
            tool.insert("input_schema".to_owned(), tool_input::schema(schema));
            if *strict == Some(true) {
                tool.insert("strict".to_owned(), true.into());
            }
            let mut tool = Value::Object(tool);
            mark(&mut tool, cache_control.as_ref());
            Ok(Some(tool))
        }
        Tool::Other { kind, .. } if kind.starts_with("openrouter:") => Ok(None),
        // Anthropic's own tools carry their date: `web_search_20250305`.
        Tool::Other { kind, raw } if is_dated(kind) => Ok(serde_json::from_str(raw.get()).ok()),
        Tool::Other { .. } => Err(Unsupported::new(
            format!("tools[{at}].type"),
            "is a kind of tool that this model does not have",
        )),
    }
}

fn is_dated(kind: &str) -> bool {
    kind.rsplit_once('_').is_some_and(|(_, date)| date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()))
}
