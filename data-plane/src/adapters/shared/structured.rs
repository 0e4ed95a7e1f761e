//! Structured output: the provider's own where it takes the schema, else a tool that the model must call.

use serde_json::{Value, json};

use crate::adapters::shared::json_tool;
use crate::adapters::{JsonTool, Unsupported};
use crate::model::request::{ChatRequest, ResponseFormat};

/// How the answer's form is enforced.
#[derive(Debug, PartialEq)]
pub enum Plan {
    /// Free text.
    Free,
    /// The provider's own member, with what it takes.
    Native(Value),
    /// A forced tool with these parameters, whose input is the answer.
    Tool { parameters: Value, json_tool: JsonTool },
    /// A sentence in the system prompt.
    Asked(&'static str),
}

/// Decides how to enforce the response format: `native` makes of a schema what the provider takes, if it can.
///
/// # Errors
/// [`Unsupported`] where nothing would enforce it.
pub fn plan(
    request: &ChatRequest,
    can_force: bool,
    native: impl FnOnce(&Value) -> Option<Value>,
) -> Result<Plan, Unsupported> {
    match &request.response_format {
        None | Some(ResponseFormat::Text) => Ok(Plan::Free),
        Some(ResponseFormat::JsonObject) if can_force => Ok(forced(&json!({"type": "object"}))),
        Some(ResponseFormat::JsonObject) => Ok(Plan::Asked(json_tool::ASKED)),
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            let schema = schema.as_ref().and_then(|schema| serde_json::from_str(schema.get()).ok());
            let schema = schema.unwrap_or_else(|| json!({"type": "object"}));
            match native(&schema) {
                Some(native) => Ok(Plan::Native(native)),
                None if can_force => Ok(forced(&schema)),
                None => Err(Unsupported::new("response_format", "cannot be enforced with this model")),
            }
        }
        Some(ResponseFormat::Other { .. }) => {
            Err(Unsupported::new("response_format.type", "is not known to this model"))
        }
    }
}

fn forced(schema: &Value) -> Plan {
    let (parameters, json_tool) = json_tool::forced(schema, &[]);
    Plan::Tool { parameters, json_tool }
}
