//! Structured output: Google's own where it may stand beside the tools, else a tool that the model must call.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::adapters::gemini::schema;
use crate::adapters::gemini::tools::{Toolbox, function};
use crate::adapters::quirks::{Quirks, SchemaStyle};
use crate::adapters::shared::json_tool;
use crate::adapters::{Context, Unsupported};
use crate::model::request::{ChatRequest, ResponseFormat};

/// Enforces the response format through `config` or `toolbox`; returns what must be asked for in words.
///
/// # Errors
/// [`Unsupported`] where nothing would enforce it.
pub fn enforce(
    request: &ChatRequest,
    quirks: &Quirks,
    config: &mut Map<String, Value>,
    toolbox: &mut Toolbox,
    context: &mut Context,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Result<Option<&'static str>, Unsupported> {
    let schema = match &request.response_format {
        None | Some(ResponseFormat::Text) => return Ok(None),
        Some(ResponseFormat::JsonObject) => None,
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            schema.as_ref().and_then(|schema| serde_json::from_str(schema.get()).ok())
        }
        Some(ResponseFormat::Other { .. }) => {
            return Err(Unsupported::new("response_format.type", "is not known to this model"));
        }
    };
    if toolbox.forces() && !quirks.json_with_tools {
        // The answer is a call and nothing else, so the format has nothing to say.
        dropped.push("response_format".into());
        return Ok(None);
    }
    if toolbox.mode == Some("NONE") && !quirks.json_with_tools {
        // Tools that may not be called are only in the way.
        *toolbox = Toolbox::default();
    }
    if quirks.output_format && (toolbox.is_empty() || quirks.json_with_tools) {
        native(schema.as_ref(), quirks.schema, config)?;
        return Ok(None);
    }
    match schema {
        None => Ok(Some(json_tool::ASKED)),
        Some(schema) if quirks.forced_tools && toolbox.own.is_empty() => {
            force(&schema, quirks, toolbox, context)?;
            Ok(None)
        }
        Some(_) => {
            Err(Unsupported::new("response_format", "cannot be enforced beside tools with this model"))
        }
    }
}

fn native(
    schema: Option<&Value>,
    style: SchemaStyle,
    config: &mut Map<String, Value>,
) -> Result<(), Unsupported> {
    config.insert("responseMimeType".to_owned(), "application/json".into());
    if let Some(schema) = schema {
        let (field, schema) = match style {
            SchemaStyle::JsonSchema => ("responseJsonSchema", schema::json_schema(schema)),
            SchemaStyle::OpenApi => {
                ("responseSchema", schema::open_api(schema, "response_format.json_schema.schema")?)
            }
        };
        config.insert(field.to_owned(), schema);
    }
    Ok(())
}

/// Adds the tool that stands for the answer; the caller's own tools stay callable beside it.
fn force(
    schema: &Value,
    quirks: &Quirks,
    toolbox: &mut Toolbox,
    context: &mut Context,
) -> Result<(), Unsupported> {
    let taken: Vec<&str> = toolbox.functions.iter().filter_map(|tool| tool["name"].as_str()).collect();
    let (parameters, json_tool) = json_tool::forced(schema, &taken);
    let path = "response_format.json_schema.schema";
    let tool =
        function(&json_tool.name, Some(json_tool::DESCRIPTION), Some(&parameters), quirks.schema, path)?;
    toolbox.functions.push(tool);
    toolbox.mode = Some("ANY");
    context.json_tool = Some(json_tool);
    Ok(())
}
