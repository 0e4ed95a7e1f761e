//! Tool definitions and the choice among them.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::adapters::cohere::names::tool_name;
use crate::adapters::quirks::Quirks;
use crate::adapters::{Context, Unsupported};
use crate::model::message::{Tool, ToolChoice};
use crate::model::request::ChatRequest;

/// The tools of a request and what is asked of them.
#[derive(Debug, Default)]
pub struct Toolbox {
    pub tools: Vec<Value>,
    /// `REQUIRED` or `NONE`.
    pub choice: Option<&'static str>,
    /// Whether calls must follow their schemas.
    pub strict: bool,
}

/// Translates tools and choice. A named tool is the only one sent, and then required.
///
/// # Errors
/// [`Unsupported`] for tools and choices that Cohere or the model does not have.
pub fn toolbox(
    request: &ChatRequest,
    quirks: &Quirks,
    context: &mut Context,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Result<Toolbox, Unsupported> {
    let mut toolbox = Toolbox::default();
    for (at, tool) in request.tools.get()?.iter().enumerate() {
        match tool {
            Tool::Function { name, .. } if !is_allowed(name, request.tool_choice.as_ref()) => {}
            Tool::Function { name, description, parameters, strict, .. } => {
                let schema = parameters.as_ref().map(|schema| schema.get());
                toolbox.tools.push(function(name, description.as_deref(), schema, context));
                toolbox.strict |= *strict == Some(true);
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
    if !toolbox.tools.is_empty() {
        toolbox.choice = choice(request.tool_choice.as_ref(), quirks)?;
        if request.parallel_tool_calls == Some(false) {
            dropped.push("parallel_tool_calls".into());
        }
    }
    Ok(toolbox)
}

fn is_allowed(name: &str, choice: Option<&ToolChoice>) -> bool {
    match choice {
        Some(ToolChoice::Named(named)) => named == name,
        Some(ToolChoice::Allowed { names, .. }) => names.iter().any(|allowed| allowed == name),
        _ => true,
    }
}

fn function(name: &str, description: Option<&str>, schema: Option<&str>, context: &mut Context) -> Value {
    let sent = tool_name(name);
    let mut function = Map::from_iter([("name".to_owned(), Value::from(sent.as_str()))]);
    if sent != name {
        context.tool_names.push((sent, name.to_owned()));
    }
    if let Some(description) = description {
        function.insert("description".to_owned(), description.into());
    }
    let schema = schema.and_then(|schema| serde_json::from_str(schema).ok()).filter(Value::is_object);
    let anything = || json!({"type": "object", "properties": {}});
    function.insert("parameters".to_owned(), schema.unwrap_or_else(anything));
    json!({"type": "function", "function": function})
}

fn choice(choice: Option<&ToolChoice>, quirks: &Quirks) -> Result<Option<&'static str>, Unsupported> {
    match choice {
        None | Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => Ok(None),
        Some(ToolChoice::None) => Ok(Some("NONE")),
        Some(ToolChoice::Custom(_)) => {
            let why = "names a kind of tool that this model does not have";
            Err(Unsupported::new("tool_choice.custom", why))
        }
        Some(_) if quirks.forced_tools => Ok(Some("REQUIRED")),
        Some(_) => Err(Unsupported::new("tool_choice", "cannot force a call of this model")),
    }
}
