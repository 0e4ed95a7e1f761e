//! The forced tool that stands for structured output where a provider has none.

use std::collections::HashMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::adapters::JsonTool;
use crate::adapters::shared::exact;

/// What the model is told about the tool.
pub const DESCRIPTION: &str = "Gives the answer. Always call it, exactly once, with the whole answer.";

/// What the model is told where nothing can force it to answer in JSON.
pub const ASKED: &str = "Answer with a single JSON object and nothing else: no prose, no code fence.";

/// The tool's parameters for a schema, wrapped where its root is no object, and what decoding must know.
///
/// `taken` are the names of the caller's own tools, which must not be met.
pub fn forced(schema: &Value, taken: &[&str]) -> (Value, JsonTool) {
    let is_object = schema["type"] == "object";
    let parameters = if is_object {
        schema.clone()
    } else {
        json!({"type": "object", "properties": {"value": schema}, "required": ["value"]})
    };
    let mut name = "json_response".to_owned();
    while taken.contains(&name.as_str()) {
        name.push('_');
    }
    (parameters, JsonTool { name, wrapped: !is_object })
}

/// The JSON text of `value` inside a wrapped answer; the text itself where it has none.
pub fn unwrapped(arguments: &str) -> String {
    let members: Option<HashMap<String, &RawValue>> = serde_json::from_str(arguments).ok();
    let value = members.and_then(|members| exact::compact(members.get("value")?.get()));
    value.unwrap_or_else(|| arguments.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_is_no_object_is_wrapped_and_unwrapped() {
        let (parameters, tool) = forced(&json!({"type": "array"}), &["json_response"]);
        assert_eq!(parameters["properties"]["value"], json!({"type": "array"}));
        assert_eq!(tool, JsonTool { name: "json_response_".to_owned(), wrapped: true });
        assert_eq!(unwrapped(r#"{"value":[1,2]}"#), "[1,2]");
        assert_eq!(unwrapped(r#"{"value": [12345678901234567890123]}"#), "[12345678901234567890123]");
        assert_eq!(unwrapped(r#"{"value":[1,"#), r#"{"value":[1,"#);
    }
}
