//! Tools and calls where a dialect wants objects and the canonical form has text.

use serde_json::{Value, json};

use crate::adapters::Unsupported;
use crate::adapters::shared::exact;
use crate::model::message::{ToolCall, ToolChoice, ToolKind};

/// The arguments of a call as an object, for [`exact::print`]; those of a custom tool under `input`.
///
/// # Errors
/// [`Unsupported`] naming the call by `path` where the text is no object.
pub fn arguments(call: &ToolCall, path: &str) -> Result<Value, Unsupported> {
    match call.kind {
        ToolKind::Custom => Ok(json!({ "input": call.arguments })),
        ToolKind::Function if call.arguments.trim().is_empty() => Ok(json!({})),
        ToolKind::Function if call.arguments.trim() == "null" => Ok(json!({})),
        ToolKind::Function => exact::object(&call.arguments).ok_or_else(|| {
            let field = format!("{path}.function.arguments");
            Unsupported::new(field, "must be the JSON text of an object")
        }),
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::adapters::{ADAPTERS, Target};
    use crate::api::openai_chat::decode;
    use crate::model::media::NOTHING;
    use crate::model::parameter::Parameters;

    /// Digits that neither 64 bits nor a binary fraction hold.
    const ARGUMENTS: &str = r#"{"id":123456789012345678901234567890,"rate":0.12345678901234567890}"#;

    #[test]
    fn every_dialect_gives_arguments_back_in_every_digit() {
        let request = serde_json::json!({"model": "a/b", "messages": [
            {"role": "user", "content": "u"},
            {"role": "assistant", "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": ARGUMENTS}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "done"},
        ], "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]});
        let request = decode(Bytes::from(request.to_string())).unwrap();
        for adapter in ADAPTERS {
            let quirks = adapter.quirks();
            let target = Target {
                model: "m",
                output_cap: Some(100),
                stream: false,
                quirks: &quirks,
                fetched: &NOTHING,
                supported: Parameters::NONE,
                tier: None,
            };
            let sent = adapter.encode(&request, &target).unwrap();
            let sent = String::from_utf8(sent.body.to_vec()).unwrap();
            let as_text = serde_json::Value::from(ARGUMENTS).to_string();
            assert!(sent.contains(ARGUMENTS) || sent.contains(&as_text), "{}: {sent}", adapter.name());
        }
    }
}
