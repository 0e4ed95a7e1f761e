//! Tool definitions, which are flat here, and the choice among them.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::adapters::quirks::Quirks;
use crate::adapters::shared::names::Rule;
use crate::adapters::shared::wish::source_member;
use crate::adapters::{Context, Unsupported};
use crate::model::message::{Tool, ToolChoice};
use crate::model::request::ChatRequest;

const NAMES: Rule = Rule { longest: 64, marks: b"_-", letter_first: false };
const IDS: Rule = Rule { longest: 64, marks: b"_-.:|+/=", letter_first: false };

/// The name as the host takes it.
pub fn tool_name(name: &str) -> String {
    NAMES.apply(name)
}

/// The id of a call as the host takes it, the same for the call and its result.
pub fn call_id(id: &str) -> String {
    IDS.apply(id)
}

/// Puts the tools and what is said about them.
///
/// # Errors
/// [`Unsupported`] for a forced call that the model cannot make.
pub fn put(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    quirks: &Quirks,
    context: &mut Context,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Result<(), Unsupported> {
    let declared = request.tools.get()?;
    let mut tools = Vec::with_capacity(declared.len());
    for (at, tool) in declared.iter().enumerate() {
        match translate(tool, quirks) {
            Some(tool) => tools.push(tool),
            None => dropped.push(format!("tools[{at}]").into()),
        }
    }
    tools.extend(source_member(request, "web_search_options").map(|options| search(&options)));
    if tools.is_empty() {
        return Ok(());
    }
    note_names(declared, context);
    if let Some(choice) = &request.tool_choice {
        let choice = translate_choice(choice, declared);
        if !quirks.forced_tools && forces(&choice) {
            return Err(Unsupported::new("tool_choice", "cannot force a call of this model"));
        }
        body.insert("tool_choice".to_owned(), choice);
    }
    if let Some(parallel) = request.parallel_tool_calls {
        body.insert("parallel_tool_calls".to_owned(), parallel.into());
    }
    body.insert("tools".to_owned(), Value::Array(tools));
    Ok(())
}

/// One tool; None for those that only a router can run.
fn translate(tool: &Tool, quirks: &Quirks) -> Option<Value> {
    match tool {
        Tool::Function { name, description, parameters, strict, .. } => {
            let mut tool = json!({"type": "function", "name": tool_name(name)});
            if let Some(description) = description {
                tool["description"] = description.as_str().into();
            }
            let parameters = parameters.as_ref().and_then(|schema| serde_json::from_str(schema.get()).ok());
            tool["parameters"] = parameters
                .filter(Value::is_object)
                .unwrap_or_else(|| json!({"type": "object", "properties": {}}));
            // Left out, it would be true here, and most schemas would be refused.
            tool["strict"] = strict.unwrap_or(false).into();
            Some(tool)
        }
        Tool::Other { kind, .. } if kind.starts_with("openrouter:") && !quirks.router_fields => None,
        Tool::Other { kind, raw } => {
            let tool: Value = serde_json::from_str(raw.get()).ok()?;
            Some(if kind == "custom" { flat(tool) } else { tool })
        }
    }
}

/// A custom tool without the wrapping that chat has.
fn flat(mut tool: Value) -> Value {
    let Some(Value::Object(mut custom)) = tool.get_mut("custom").map(Value::take) else { return tool };
    if let Some(name) = custom.get("name").and_then(Value::as_str).map(tool_name) {
        custom.insert("name".to_owned(), name.into());
    }
    let grammar = custom.get_mut("format").and_then(|format| format.get_mut("grammar")).map(Value::take);
    if let Some(Value::Object(grammar)) = grammar {
        let format = [("type".to_owned(), Value::from("grammar"))].into_iter().chain(grammar);
        custom.insert("format".to_owned(), Value::Object(format.collect()));
    }
    let kind = [("type".to_owned(), Value::from("custom"))];
    Value::Object(kind.into_iter().chain(custom).collect())
}

/// Chat's wish for a web search as the tool that it is here.
fn search(options: &Value) -> Value {
    let mut tool = json!({"type": "web_search"});
    if let Some(size) = options["search_context_size"].as_str() {
        tool["search_context_size"] = size.into();
    }
    if let Value::Object(place) = &options["user_location"] {
        let nested = place.get("approximate").and_then(Value::as_object).unwrap_or(place);
        let mut place = nested.clone();
        place.insert("type".to_owned(), "approximate".into());
        tool["user_location"] = Value::Object(place);
    }
    tool
}

/// Notes which names were changed, to be changed back in the answer.
fn note_names(tools: &[Tool], context: &mut Context) {
    for name in tools.iter().filter_map(name_of) {
        let sent = tool_name(&name);
        if sent != name {
            context.tool_names.push((sent, name));
        }
    }
}

fn name_of(tool: &Tool) -> Option<String> {
    match tool {
        Tool::Function { name, .. } => Some(name.clone()),
        Tool::Other { .. } => custom_name(tool),
    }
}

fn custom_name(tool: &Tool) -> Option<String> {
    let Tool::Other { kind, raw } = tool else { return None };
    let raw: Value = serde_json::from_str(raw.get()).ok().filter(|_| kind == "custom")?;
    raw.pointer("/custom/name").or_else(|| raw.get("name"))?.as_str().map(str::to_owned)
}

fn forces(choice: &Value) -> bool {
    choice == "required"
        || matches!(choice["type"].as_str(), Some("function" | "custom"))
        || choice["mode"] == "required"
}

fn translate_choice(choice: &ToolChoice, tools: &[Tool]) -> Value {
    match choice {
        ToolChoice::None => "none".into(),
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({"type": "function", "name": tool_name(name)}),
        ToolChoice::Custom(name) => json!({"type": "custom", "name": tool_name(name)}),
        ToolChoice::Allowed { required, names } => {
            let is_custom = |name: &String| tools.iter().any(|tool| custom_name(tool).as_ref() == Some(name));
            let kind = |name: &String| if is_custom(name) { "custom" } else { "function" };
            let tools: Vec<Value> =
                names.iter().map(|name| json!({"type": kind(name), "name": tool_name(name)})).collect();
            let mode = if *required { "required" } else { "auto" };
            json!({"type": "allowed_tools", "mode": mode, "tools": tools})
        }
    }
}
