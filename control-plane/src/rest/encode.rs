//! Messages to JSON: the canonical mapping with the protos' field names, defaults included.

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage, SerializeOptions};
use serde_json::Value;

use crate::rest::{call, docs, fault::Fault};

/// The JSON form of a message; fields that only go in are left out.
///
/// # Errors
/// For a time outside of the years 1 to 9999, which no service makes.
pub(super) fn json(message: &DynamicMessage) -> Result<Value, Fault> {
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    let mut json = json.map_err(|_| call::broken())?;
    without_inputs(&mut json, &message.descriptor());
    Ok(json)
}

/// Takes out what would always be empty: nobody shall read a secret's absence as "there is none".
fn without_inputs(json: &mut Value, descriptor: &MessageDescriptor) {
    let Some(object) = json.as_object_mut() else { return };
    for field in descriptor.fields() {
        if docs::is_input_only(&field) {
            object.shift_remove(field.name());
        }
        let Some(value) = object.get_mut(field.name()) else { continue };
        match (field.kind(), value) {
            (Kind::Message(inner), Value::Array(items)) => {
                items.iter_mut().for_each(|item| without_inputs(item, &inner));
            }
            (Kind::Message(inner), value) if !field.is_map() => without_inputs(value, &inner),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::v1;

    use super::*;
    use crate::rest::{decode::transcoded, operation::pool};

    #[test]
    fn fields_that_only_go_in_never_come_out() {
        let descriptor = pool().get_message_by_name("switchyard.v1.ListProvidersResponse").unwrap();
        let provider = v1::Provider { id: "p".into(), credential: "canary".into(), ..Default::default() };
        let list = v1::ListProvidersResponse { providers: vec![provider], ..Default::default() };
        let json = json(&transcoded(&descriptor, &list)).unwrap();
        assert_eq!(json["providers"][0]["id"], "p");
        assert!(json["providers"][0].get("credential").is_none());
    }
}
