//! Update masks: what a PATCH means to change.
//!
//! gRPC callers send the mask; a JSON body says it by the fields it has, so `{"tenant": {"disabled": false}}`
//! switches a tenant on although `false` is a default that no message could tell from an absent field.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use prost_types::FieldMask;
use serde_json::Value as Json;

use crate::rest::{decode, docs, operation::Operation};

const FIELD: &str = "update_mask";

/// A mask from its JSON form: names parted by commas, in either spelling, or a list of them.
pub(super) fn read(json: &Json) -> Option<FieldMask> {
    let names: Vec<&str> = match json {
        Json::String(text) => text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect(),
        Json::Array(names) => names.iter().map(Json::as_str).collect::<Option<_>>()?,
        _ => return None,
    };
    Some(FieldMask { paths: names.into_iter().map(snake_case).collect() })
}

/// Sets the mask of an update that came without one to the fields of its resource that the body names.
///
/// Fields that the server sets are left out, and secrets that are empty because they never come back, so that a
/// resource can be sent back as it was read.
pub(super) fn fill(operation: &Operation, body: &Json, message: &mut DynamicMessage) {
    let input = operation.input();
    let mask = input.get_field_by_name(FIELD).filter(|field| !message.has_field(field));
    let resource = input.fields().find_map(|field| Some((resource(&field)?, field)));
    let (Some(mask), Some((resource, field))) = (mask, resource) else { return };
    let given = body.get(field.name()).or_else(|| body.get(field.json_name()));
    let Some(given) = given.and_then(Json::as_object) else { return };
    let named =
        given.iter().filter_map(|(name, value)| Some((decode::field(&resource, name, "").ok()?, value)));
    let ours = named.filter(|(field, value)| {
        let in_path = operation.template().fields().any(|name| name == field.name());
        let unknown = docs::is_input_only(field) && value.as_str().is_none_or(str::is_empty);
        !docs::is_set_by_server(field) && !in_path && !unknown
    });
    let paths = ours.map(|(field, _)| field.name().to_owned()).collect();
    if let Kind::Message(descriptor) = mask.kind() {
        let value = decode::transcoded(&descriptor, &FieldMask { paths });
        message.set_field(&mask, Value::Message(value));
    }
}

/// The message of a field that holds a resource.
fn resource(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(descriptor) if descriptor.package_name() == "switchyard.v1" => Some(descriptor),
        _ => None,
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 2);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn masks_are_read_in_both_spellings() {
        let expected = Some(FieldMask { paths: vec!["display_name".into(), "disabled".into()] });
        for form in [
            json!("displayName,disabled"),
            json!("display_name, disabled"),
            json!(["display_name", "disabled"]),
        ] {
            assert_eq!(read(&form), expected, "{form}");
        }
        assert_eq!(read(&json!(1)), None);
        assert_eq!(read(&json!([1])), None);
    }
}
