//! Tool definitions and the choice among them.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::adapters::gemini::schema;
use crate::adapters::quirks::{Quirks, SchemaStyle};
use crate::adapters::shared::names::Rule;
use crate::adapters::{Context, Unsupported};
use crate::model::message::{Tool, ToolChoice};
use crate::model::parameter::Parameter;
use crate::model::request::ChatRequest;

const RULE: Rule = Rule { longest: 64, marks: b"_.:-", letter_first: true };

/// Google's own tools, which callers may name as a tool's type: as they may be spelled, and as they are sent.
const OWN: [(&str, &str); 7] = [
    ("google_search", "googleSearch"),
    ("google_search_retrieval", "googleSearchRetrieval"),
    ("google_maps", "googleMaps"),
    ("code_execution", "codeExecution"),
    ("url_context", "urlContext"),
    ("file_search", "fileSearch"),
    ("enterprise_web_search", "enterpriseWebSearch"),
];

/// The name as Google takes it: itself wherever possible.
pub fn tool_name(name: &str) -> String {
    RULE.apply(name)
}

/// The tools of a request and how they may be used.
#[derive(Debug, Default, PartialEq)]
pub struct Toolbox {
    pub functions: Vec<Value>,
    /// Google's own tools.
    pub own: Vec<Value>,
    /// AUTO, ANY, NONE or VALIDATED; None leaves it to the model.
    pub mode: Option<&'static str>,
    /// The functions that a forced call may choose from; empty means all.
    pub allowed: Vec<String>,
}

impl Toolbox {
    /// Whether a call is forced.
    pub fn forces(&self) -> bool {
        self.mode == Some("ANY")
    }

    /// Whether there is nothing to call.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty() && self.own.is_empty()
    }

    /// Puts `tools` and `toolConfig` into the body.
    pub fn write(self, body: &mut Map<String, Value>) {
        let mut tools = self.own;
        let has_functions = !self.functions.is_empty();
        if has_functions {
            tools.insert(0, json!({"functionDeclarations": self.functions}));
        }
        if !tools.is_empty() {
            body.insert("tools".to_owned(), Value::Array(tools));
        }
        if let Some(mode) = self.mode.filter(|_| has_functions) {
            let mut config = json!({ "mode": mode });
            if !self.allowed.is_empty() {
                config["allowedFunctionNames"] = self.allowed.into();
            }
            body.insert("toolConfig".to_owned(), json!({"functionCallingConfig": config}));
        }
    }
}

/// Translates tools and choice.
///
/// # Errors
/// [`Unsupported`] for tools and choices that Google or the model does not have.
pub fn toolbox(
    request: &ChatRequest,
    quirks: &Quirks,
    context: &mut Context,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Result<Toolbox, Unsupported> {
    let mut toolbox = Toolbox::default();
    let mut is_strict = false;
    for (at, tool) in request.tools.get()?.iter().enumerate() {
        match tool {
            Tool::Function { name, .. } if !is_offered(name, request.tool_choice.as_ref()) => {}
            Tool::Function { name, strict, .. } => {
                toolbox.functions.push(declaration(tool, quirks, at)?);
                let sent = tool_name(name);
                if sent != *name {
                    context.tool_names.push((sent, name.clone()));
                }
                match strict {
                    Some(true) if quirks.strict_tools => is_strict = true,
                    Some(true) => dropped.push(format!("tools[{at}].function.strict").into()),
                    _ => {}
                }
            }
            Tool::Other { kind, .. } if kind.starts_with("openrouter:") => {
                dropped.push(format!("tools[{at}]").into());
            }
            Tool::Other { kind, raw } => toolbox.own.push(own(kind, raw.get(), at)?),
        }
    }
    if request.facts.parameters.contains(Parameter::WebSearchOptions) && toolbox.own.is_empty() {
        toolbox.own.push(json!({"googleSearch": {}}));
    }
    if toolbox.functions.is_empty() {
        let chooses = !matches!(request.tool_choice, None | Some(ToolChoice::Auto | ToolChoice::None));
        dropped.extend(chooses.then_some(Cow::Borrowed("tool_choice")));
        return Ok(toolbox);
    }
    choose(&mut toolbox, request.tool_choice.as_ref(), is_strict, quirks)?;
    if request.parallel_tool_calls == Some(false) {
        dropped.push("parallel_tool_calls".into());
    }
    Ok(toolbox)
}

/// Where the choice is at will among a few, only those are declared: names go with forced calls alone.
fn is_offered(name: &str, choice: Option<&ToolChoice>) -> bool {
    match choice {
        Some(ToolChoice::Allowed { required: false, names }) => names.iter().any(|known| known == name),
        _ => true,
    }
}

fn choose(
    toolbox: &mut Toolbox,
    choice: Option<&ToolChoice>,
    is_strict: bool,
    quirks: &Quirks,
) -> Result<(), Unsupported> {
    toolbox.mode = match choice {
        None | Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => {
            is_strict.then_some("VALIDATED")
        }
        Some(ToolChoice::None) => Some("NONE"),
        Some(ToolChoice::Required) => Some("ANY"),
        Some(ToolChoice::Named(name)) => {
            toolbox.allowed = vec![tool_name(name)];
            Some("ANY")
        }
        Some(ToolChoice::Allowed { required: true, names }) => {
            toolbox.allowed = names.iter().map(|name| tool_name(name)).collect();
            Some("ANY")
        }
        Some(ToolChoice::Custom(_)) => {
            return Err(Unsupported::new(
                "tool_choice.custom",
                "names a kind of tool that this model does not have",
            ));
        }
    };
    if toolbox.forces() && !quirks.forced_tools {
        return Err(Unsupported::new("tool_choice", "cannot force a call of this model"));
    }
    Ok(())
}

fn declaration(tool: &Tool, quirks: &Quirks, at: usize) -> Result<Value, Unsupported> {
    let Tool::Function { name, description, parameters, .. } = tool else { return Ok(Value::Null) };
    let parameters = parameters.as_ref().map(|schema| schema.get());
    let parameters = parameters.and_then(|schema| serde_json::from_str(schema).ok());
    let path = format!("tools[{at}].function.parameters");
    function(&tool_name(name), description.as_deref(), parameters.as_ref(), quirks.schema, &path)
}

/// One function declaration.
///
/// # Errors
/// [`Unsupported`] naming the schema by `path`.
pub fn function(
    name: &str,
    description: Option<&str>,
    parameters: Option<&Value>,
    style: SchemaStyle,
    path: &str,
) -> Result<Value, Unsupported> {
    let mut wire = Map::from_iter([("name".to_owned(), Value::from(name))]);
    wire.extend(description.map(|text| ("description".to_owned(), text.into())));
    // A function of no parameters has no schema: an object without properties is refused.
    let parameters = parameters.filter(|schema| !schema::is_empty_object(schema));
    if let Some(parameters) = parameters {
        let (field, schema) = match style {
            SchemaStyle::JsonSchema => ("parametersJsonSchema", schema::json_schema(parameters)),
            SchemaStyle::OpenApi => ("parameters", schema::open_api(parameters, path)?),
        };
        wire.insert(field.to_owned(), with_object_root(schema));
    }
    Ok(Value::Object(wire))
}

fn with_object_root(mut schema: Value) -> Value {
    if let Some(members) = schema.as_object_mut()
        && !["type", "anyOf", "$ref"].iter().any(|name| members.contains_key(*name))
    {
        members.insert("type".to_owned(), "object".into());
    }
    schema
}

/// One of Google's own tools, with what the caller set.
fn own(kind: &str, raw: &str, at: usize) -> Result<Value, Unsupported> {
    let known = OWN.iter().find(|(snake, camel)| kind == *snake || kind == *camel);
    let Some((snake, camel)) = known else {
        let field = format!("tools[{at}].type");
        return Err(Unsupported::new(field, "is a kind of tool that this model does not have"));
    };
    let mut members: Map<String, Value> = serde_json::from_str(raw).unwrap_or_default();
    members.shift_remove("type");
    let inner = [*snake, *camel].into_iter().find_map(|name| members.shift_remove(name));
    let settings = inner.filter(Value::is_object).unwrap_or(Value::Object(members));
    Ok(json!({ *camel: settings }))
}
