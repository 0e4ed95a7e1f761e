//! JSON to messages, by the descriptors: the canonical mapping, with errors that name the field.
//!
//! Field names are taken as the proto has them and in camel case. Values never appear in errors: they may be secrets.

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE};
use prost::Message;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};
use serde_json::Value as Json;

use crate::rest::{fault::Fault, mask};

/// A message from a JSON object; `at` is its own path.
pub(super) fn message(
    descriptor: &MessageDescriptor,
    json: &Json,
    at: &str,
) -> Result<DynamicMessage, Fault> {
    if descriptor.package_name() == "google.protobuf" {
        return well_known(descriptor, json, at);
    }
    let object = json.as_object().ok_or_else(|| Fault::bad_field(at, "must be an object"))?;
    let mut message = DynamicMessage::new(descriptor.clone());
    for (name, json) in object {
        let field = field(descriptor, name, at)?;
        let path = join(at, field.name());
        if message.has_field(&field) {
            return Err(Fault::bad_field(&path, "is given twice, by both of its names"));
        }
        if !json.is_null() {
            message.set_field(&field, value(&field, json, &path)?);
        }
    }
    Ok(message)
}

/// Sets a field from the path; the body may repeat it, but not contradict.
pub(super) fn path_variable(message: &mut DynamicMessage, name: &str, text: &str) -> Result<(), Fault> {
    let field = field(&message.descriptor(), name, "")?;
    let value = single(&field.kind(), &Json::from(text), name)?;
    if message.has_field(&field) && *message.get_field(&field) != value {
        return Err(Fault::bad_field(name, "differs from the one in the path"));
    }
    message.set_field(&field, value);
    Ok(())
}

/// The field with this name, in either spelling.
pub(super) fn field(descriptor: &MessageDescriptor, name: &str, at: &str) -> Result<FieldDescriptor, Fault> {
    let found = descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
    found.ok_or_else(|| Fault::bad_field(&join(at, name), "is not a field"))
}

/// A field's value: a list, a map or a single one.
pub(super) fn value(field: &FieldDescriptor, json: &Json, at: &str) -> Result<Value, Fault> {
    if field.is_map() {
        return map(field, json, at);
    }
    if !field.is_list() {
        return single(&field.kind(), json, at);
    }
    let items = json.as_array().ok_or_else(|| Fault::bad_field(at, "must be a list"))?;
    let items = items.iter().enumerate();
    let items = items.map(|(index, item)| single(&field.kind(), item, &format!("{at}[{index}]")));
    items.collect::<Result<_, _>>().map(Value::List)
}

/// Maps of the protos have text keys.
fn map(field: &FieldDescriptor, json: &Json, at: &str) -> Result<Value, Fault> {
    let entries = json.as_object().ok_or_else(|| Fault::bad_field(at, "must be an object"))?;
    let kind = field.kind();
    let entry = kind.as_message().expect("a map's kind is its entry").map_entry_value_field();
    let entries = entries.iter().map(|(key, json)| {
        let value = value(&entry, json, &join(at, key))?;
        Ok((MapKey::String(key.clone()), value))
    });
    entries.collect::<Result<_, _>>().map(Value::Map)
}

fn single(kind: &Kind, json: &Json, at: &str) -> Result<Value, Fault> {
    let bad = |reason| Fault::bad_field(at, reason);
    match kind {
        Kind::String => {
            json.as_str().map(|text| Value::String(text.to_owned())).ok_or_else(|| bad("must be a string"))
        }
        Kind::Bool => json.as_bool().map(Value::Bool).ok_or_else(|| bad("must be true or false")),
        Kind::Uint64 | Kind::Fixed64 => integer(json, at).map(Value::U64),
        Kind::Uint32 | Kind::Fixed32 => integer(json, at).map(Value::U32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(json, at).map(Value::I64),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(json, at).map(Value::I32),
        Kind::Double => json.as_f64().map(Value::F64).ok_or_else(|| bad("must be a number")),
        Kind::Float => {
            json.as_f64().map(|number| Value::F32(number as f32)).ok_or_else(|| bad("must be a number"))
        }
        Kind::Bytes => json.as_str().and_then(bytes).ok_or_else(|| bad("must be base64")),
        Kind::Enum(descriptor) => enumeration(descriptor, json, at),
        Kind::Message(descriptor) => message(descriptor, json, at).map(Value::Message),
    }
}

/// Whole numbers come as such or, being up to 64 bits wide, as text.
fn integer<T: TryFrom<i128>>(json: &Json, at: &str) -> Result<T, Fault> {
    let number = match json {
        Json::String(text) => text.parse().ok(),
        Json::Number(number) => number.to_string().parse().ok(),
        _ => None,
    };
    let bad = || Fault::bad_field(at, "must be a whole number in range");
    number.and_then(|number: i128| T::try_from(number).ok()).ok_or_else(bad)
}

fn bytes(text: &str) -> Option<Value> {
    let decoded = BASE64_STANDARD.decode(text).or_else(|_| BASE64_URL_SAFE.decode(text));
    decoded.ok().map(|bytes| Value::Bytes(bytes.into()))
}

/// Enums come by name, in any case, or by number.
fn enumeration(descriptor: &EnumDescriptor, json: &Json, at: &str) -> Result<Value, Fault> {
    let found = descriptor.values().find(|value| match json {
        Json::String(name) => value.name().eq_ignore_ascii_case(name),
        Json::Number(number) => number.as_i64() == Some(value.number().into()),
        _ => false,
    });
    let found = found.map(|value| Value::EnumNumber(value.number()));
    found.ok_or_else(|| {
        let names = descriptor.values().filter(|value| value.number() != 0);
        let names: Vec<String> = names.map(|value| value.name().to_owned()).collect();
        Fault::bad_field(at, &format!("must be one of {}", names.join(", ")))
    })
}

/// Messages of `google.protobuf`, which have JSON forms of their own.
fn well_known(descriptor: &MessageDescriptor, json: &Json, at: &str) -> Result<DynamicMessage, Fault> {
    if descriptor.name() == "FieldMask" {
        let mask =
            mask::read(json).ok_or_else(|| Fault::bad_field(at, "must be field names, parted by commas"))?;
        return Ok(transcoded(descriptor, &mask));
    }
    DynamicMessage::deserialize(descriptor.clone(), json).map_err(|_| {
        let form = match descriptor.name() {
            "Timestamp" => "must be a time such as 2026-11-23T12:00:00Z",
            "Duration" => "must be a duration such as 1.5s",
            _ => "cannot be read",
        };
        Fault::bad_field(at, form)
    })
}

/// A generated message as a dynamic one.
pub(super) fn transcoded(descriptor: &MessageDescriptor, message: &impl Message) -> DynamicMessage {
    let mut dynamic = DynamicMessage::new(descriptor.clone());
    dynamic.transcode_from(message).expect("both are the same message");
    dynamic
}

pub(super) fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}
