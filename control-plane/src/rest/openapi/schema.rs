//! JSON schemas of the protos' messages and enums, collected as they are referred to.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::rest::{
    docs::{self, Documented},
    operation::Operation,
};

/// The schemas that the document needs, by name.
#[derive(Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// `components.schemas`.
    pub fn into_components(mut self) -> Value {
        self.0.insert("Error".to_owned(), error());
        self.0.into_iter().collect::<Map<_, _>>().into()
    }

    /// A reference to a message's schema, which is made if it is new.
    pub fn reference(&mut self, message: &MessageDescriptor) -> Value {
        let name = name(message.full_name());
        if !self.0.contains_key(&name) {
            // Before its fields, which may refer to it.
            self.0.insert(name.clone(), Value::Null);
            let schema = self.object(message, |_| true);
            self.0.insert(name.clone(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// The body of a request: its message less what the path has.
    pub fn body(&mut self, operation: &Operation) -> Value {
        let in_path: Vec<&str> = operation.template().fields().collect();
        self.object(&operation.rpc().input(), |field| !in_path.contains(&field.name()))
    }

    /// A field's schema, without its description.
    pub fn field(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map() {
            let kind = field.kind();
            let entry = kind.as_message().expect("a map's kind is its entry").map_entry_value_field();
            return json!({"type": "object", "additionalProperties": self.kind(&entry.kind())});
        }
        let single = self.kind(&field.kind());
        if field.is_list() { json!({"type": "array", "items": single}) } else { single }
    }

    fn object(&mut self, message: &MessageDescriptor, keep: impl Fn(&FieldDescriptor) -> bool) -> Value {
        let mut properties = Map::new();
        for field in message.fields().filter(keep) {
            let mut schema = self.field(&field);
            annotate(&mut schema, &field);
            properties.insert(field.name().to_owned(), schema);
        }
        let mut object = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if !message.comment().is_empty() {
            object["description"] = message.comment().into();
        }
        object
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::String => json!({"type": "string"}),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Double | Kind::Float => json!({"type": "number"}),
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "uint32", "minimum": 0}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64"}),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "string", "format": "int64"}),
            Kind::Enum(descriptor) => self.enumeration(descriptor),
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
                "google.protobuf.FieldMask" => {
                    json!({"type": "string", "description": "Field names, parted by commas."})
                }
                _ => self.reference(message),
            },
        }
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor) -> Value {
        let name = name(descriptor.full_name());
        let names: Vec<String> = descriptor.values().map(|value| value.name().to_owned()).collect();
        let said = descriptor.values().filter(|value| !value.comment().is_empty());
        let said: Vec<String> =
            said.map(|value| format!("`{}`: {}", value.name(), value.comment())).collect();
        let description = format!("{} {}", descriptor.comment(), said.join(" ")).trim().to_owned();
        self.0.insert(name.clone(), json!({"type": "string", "enum": names, "description": description}));
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}

/// Siblings of a `$ref` are allowed since 3.1.
fn annotate(schema: &mut Value, field: &FieldDescriptor) {
    if !field.comment().is_empty() {
        schema["description"] = field.comment().into();
    }
    if docs::is_set_by_server(field) {
        schema["readOnly"] = true.into();
    }
    if docs::is_input_only(field) {
        schema["writeOnly"] = true.into();
    }
}

/// `switchyard.v1.Change.Action` as `Change.Action`.
fn name(full: &str) -> String {
    full.trim_start_matches("switchyard.v1.").to_owned()
}

fn error() -> Value {
    let codes = switchyard_proto::code::ErrorCode::ALL.iter().map(|code| code.error_type());
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["code", "message", "metadata"],
            "properties": {
                "code": {"type": "integer", "description": "The HTTP status."},
                "message": {"type": "string"},
                "metadata": {
                    "type": "object",
                    "required": ["error_type"],
                    "properties": {
                        "error_type": {"type": "string", "enum": codes.collect::<Vec<_>>()},
                        "field": {"type": "string", "description": "Path of the field at fault."},
                    },
                },
            },
        }},
    })
}
