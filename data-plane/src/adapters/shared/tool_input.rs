//! Tools and calls where a dialect wants objects and the canonical form has text.

use serde_json::{Value, json};

use crate::adapters::Unsupported;
use crate::model::message::{ToolCall, ToolChoice, ToolKind};

/// The arguments of a call as an object; those of a custom tool under `input`.
///
/// # Errors
/// [`Unsupported`] naming the call by `path` where the text is no object.
pub fn arguments(call: &ToolCall, path: &str) -> Result<Value, Unsupported> {
    match call.kind {
        ToolKind::Custom => Ok(json!({ "input": call.arguments })),
        ToolKind::Function if call.arguments.trim().is_empty() => Ok(json!({})),
        ToolKind::Function => match serde_json::from_str(&call.arguments) {
            Ok(input @ Value::Object(_)) => Ok(input),
            Ok(Value::Null) => Ok(json!({})),
            _ => {
                let field = format!("{path}.function.arguments");
                Err(Unsupported::new(field, "must be the JSON text of an object"))
            }
        },
    }
}

/// A tool's schema with the root type that providers demand; a schema that is `true` allows anything.
pub fn schema(schema: Option<&str>) -> Value {
    let schema = schema.and_then(|schema| serde_json::from_str(schema).ok());
    match schema {
        Some(Value::Object(mut schema)) => {
            schema.entry("type").or_insert_with(|| "object".into());
            Value::Object(schema)
        }
        _ => json!({"type": "object", "properties": {}}),
    }
}

/// Whether a choice forces a call of a function.
pub fn forces(choice: Option<&ToolChoice>) -> bool {
    matches!(
        choice,
        Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { required: true, .. })
    )
}
