//! Tool definitions; of choices among them Ollama knows only to leave them out.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::adapters::Unsupported;
use crate::model::message::{Tool, ToolChoice};
use crate::model::request::ChatRequest;

/// The tools that may be called.
///
/// # Errors
/// [`Unsupported`] for tools and choices that Ollama does not have: it cannot be made to call.
pub fn tools(request: &ChatRequest, dropped: &mut Vec<Cow<'static, str>>) -> Result<Vec<Value>, Unsupported> {
    let declared = request.tools.get()?;
    if declared.is_empty() {
        return Ok(Vec::new());
    }
    match &request.tool_choice {
        Some(ToolChoice::None) => return Ok(Vec::new()),
        Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { required: true, .. }) => {
            return Err(Unsupported::new("tool_choice", "cannot force a call of this model"));
        }
        Some(ToolChoice::Custom(_)) => {
            let why = "names a kind of tool that this model does not have";
            return Err(Unsupported::new("tool_choice.custom", why));
        }
        None | Some(ToolChoice::Auto | ToolChoice::Allowed { .. }) => {}
    }
    if request.parallel_tool_calls == Some(false) {
        dropped.push("parallel_tool_calls".into());
    }
    let mut tools = Vec::new();
    for (at, tool) in declared.iter().enumerate() {
        match tool {
            Tool::Function { name, .. } if !is_allowed(name, request.tool_choice.as_ref()) => {}
            Tool::Function { name, description, parameters, strict, .. } => {
                let schema = parameters.as_ref().map(|schema| schema.get());
                tools.push(function(name, description.as_deref(), schema));
                if *strict == Some(true) {
                    dropped.push(format!("tools[{at}].function.strict").into());
                }
            }
            Tool::Other { kind, .. } if kind.starts_with("openrouter:") => {
                dropped.push(format!("tools[{at}]").into());
            }
            Tool::Other { .. } => {
                let why = "is a kind of tool that this model does not have";
                return Err(Unsupported::new(format!("tools[{at}].type"), why));
            }
        }
    }
    Ok(tools)
}

fn is_allowed(name: &str, choice: Option<&ToolChoice>) -> bool {
    match choice {
        Some(ToolChoice::Allowed { names, .. }) => names.iter().any(|allowed| allowed == name),
        _ => true,
    }
}

fn function(name: &str, description: Option<&str>, schema: Option<&str>) -> Value {
    let mut function = Map::from_iter([("name".to_owned(), Value::from(name))]);
    if let Some(description) = description {
        function.insert("description".to_owned(), description.into());
    }
    let schema = schema.and_then(|schema| serde_json::from_str(schema).ok()).filter(Value::is_object);
    let mut schema = schema.unwrap_or_else(|| json!({"properties": {}}));
    if let Some(members) = schema.as_object_mut() {
        members.entry("type").or_insert_with(|| "object".into());
    }
    function.insert("parameters".to_owned(), schema);
    json!({"type": "function", "function": function})
}
