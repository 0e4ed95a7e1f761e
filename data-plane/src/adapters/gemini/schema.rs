//! Schemas of tools and answers as Google takes them: JSON schema with small repairs, or the subset of OpenAPI 3.0.

use serde_json::{Map, Value, json};

use crate::adapters::Unsupported;
use crate::adapters::shared::schema::{describe, each, merge_all_of, unfolded};

/// Members that mean nothing to the model, and are refused in places.
const NOISE: [&str; 9] = [
    "$schema",
    "$id",
    "$comment",
    "$anchor",
    "examples",
    "example",
    "readOnly",
    "writeOnly",
    "discriminator",
];

/// Members of JSON schema that newer models do not read.
const UNREAD: [&str; 3] = ["exclusiveMinimum", "exclusiveMaximum", "multipleOf"];

/// Members that OpenAPI 3.0 and Google have in common, beside those that are rewritten.
const OPEN_API: [&str; 10] = [
    "description",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minProperties",
    "maxProperties",
];

/// Members that OpenAPI's subset lacks and that a word can stand for.
const TOLD: [&str; 8] = [
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "uniqueItems",
    "not",
    "default",
    "patternProperties",
    "contains",
];

/// Longer than this no constraint is told in words.
const HINT: usize = 200;

/// Whether the schema says no more than that there is an object.
pub fn is_empty_object(schema: &Value) -> bool {
    let Value::Object(members) = schema else { return true };
    let has_properties =
        members.get("properties").and_then(Value::as_object).is_some_and(|known| !known.is_empty());
    let is_free = members.get("additionalProperties").is_some_and(|more| *more != Value::Bool(false));
    let speaks = ["$ref", "anyOf", "oneOf", "allOf", "patternProperties"];
    !has_properties && !is_free && !speaks.iter().any(|name| members.contains_key(*name))
}

/// JSON schema with what newer models do not read told in words.
pub fn json_schema(schema: &Value) -> Value {
    let mut schema = schema.clone();
    each(&mut schema, &mut repair);
    schema
}

fn repair(schema: &mut Map<String, Value>) {
    let mut hints = Vec::new();
    for name in NOISE {
        schema.shift_remove(name);
    }
    for name in UNREAD {
        hints.extend(schema.shift_remove(name).and_then(|value| hint(name, &value)));
    }
    if let Some(value) = schema.shift_remove("const") {
        let kind = kind_of(&value);
        schema.entry("type").or_insert_with(|| kind.into());
        schema.insert("enum".to_owned(), json!([value]));
    }
    describe(schema, &hints);
}

/// The subset of OpenAPI that older models take.
///
/// # Errors
/// [`Unsupported`] naming the schema by `path`, where it refers to itself or to nowhere.
pub fn open_api(schema: &Value, path: &str) -> Result<Value, Unsupported> {
    let mut schema = unfolded(schema).map_err(|why| Unsupported::new(path, why))?;
    // First of all, because a part of the whole can require what another part describes.
    each(&mut schema, &mut merge_all_of);
    each(&mut schema, &mut |members| *members = subset(std::mem::take(members)));
    Ok(if schema.is_object() { schema } else { json!({}) })
}

/// One schema whose inner schemas are in the subset already.
fn subset(mut schema: Map<String, Value>) -> Map<String, Value> {
    let mut hints = Vec::new();
    let mut wire = Map::new();
    types(&mut schema, &mut wire);
    choices(&mut schema, &mut wire);
    values(&mut schema, &mut wire, &mut hints);
    format(&schema, &mut wire, &mut hints);
    items(&mut schema, &mut wire);
    properties(&mut schema, &mut wire);
    for (name, value) in schema {
        if OPEN_API.contains(&name.as_str()) {
            wire.insert(name, value);
        } else if TOLD.contains(&name.as_str()) {
            hints.extend(hint(&name, &value));
        }
    }
    describe(&mut wire, &hints);
    wire
}

/// `type: [T, "null"]` is a nullable T; several types are a choice among them.
fn types(schema: &mut Map<String, Value>, wire: &mut Map<String, Value>) {
    match schema.shift_remove("type") {
        Some(Value::Array(kinds)) => {
            let (nulls, kinds): (Vec<_>, Vec<_>) = kinds.into_iter().partition(|kind| kind == "null");
            if !nulls.is_empty() {
                wire.insert("nullable".to_owned(), true.into());
            }
            match <[Value; 1]>::try_from(kinds) {
                Ok([kind]) => drop(wire.insert("type".to_owned(), kind)),
                Err(kinds) if kinds.is_empty() => {}
                Err(kinds) => {
                    let each = kinds.into_iter().map(|kind| of_type(kind, schema));
                    wire.insert("anyOf".to_owned(), each.collect());
                    ["items", "properties", "required"]
                        .iter()
                        .for_each(|name| drop(schema.shift_remove(*name)));
                }
            }
        }
        Some(kind) => drop(wire.insert("type".to_owned(), kind)),
        None => {}
    }
    // Known already, where schemas inside were rewritten first.
    if let Some(nullable) = schema.shift_remove("nullable") {
        wire.insert("nullable".to_owned(), nullable);
    }
}

/// One of several types, with the members that speak of it.
fn of_type(kind: Value, schema: &Map<String, Value>) -> Value {
    let names: &[&str] = match kind.as_str() {
        Some("array") => &["items"],
        Some("object") => &["properties", "required"],
        _ => &[],
    };
    let mut wire = Map::from_iter([("type".to_owned(), kind)]);
    for name in names {
        wire.extend(schema.get(*name).map(|value| ((*name).to_owned(), value.clone())));
    }
    Value::Object(wire)
}

/// `anyOf` and `oneOf` are one; null among the choices makes nullable, and a choice of one is none.
fn choices(schema: &mut Map<String, Value>, wire: &mut Map<String, Value>) {
    let lists = ["anyOf", "oneOf"].map(|name| schema.shift_remove(name));
    for list in lists.into_iter().flatten() {
        let Value::Array(list) = list else { continue };
        let is_null = |choice: &Value| choice["type"] == "null";
        let (nulls, mut list): (Vec<_>, Vec<_>) = list.into_iter().partition(is_null);
        if !nulls.is_empty() {
            wire.insert("nullable".to_owned(), true.into());
        }
        if list.len() > 1 {
            wire.insert("anyOf".to_owned(), Value::Array(list));
        } else if let Some(Value::Object(only)) = list.pop() {
            for (name, value) in only {
                if name == "nullable" || name == "type" || name == "anyOf" {
                    wire.entry(name).or_insert(value);
                } else {
                    schema.entry(name).or_insert(value);
                }
            }
        }
    }
}

/// Only words can be listed; other values are told.
fn values(schema: &mut Map<String, Value>, wire: &mut Map<String, Value>, hints: &mut Vec<String>) {
    let constant = schema.shift_remove("const").map(|value| vec![value]);
    let listed = schema.shift_remove("enum").and_then(|list| match list {
        Value::Array(list) => Some(list),
        _ => None,
    });
    let Some(mut list) = constant.or(listed) else { return };
    let before = list.len();
    list.retain(|value| !value.is_null());
    if list.len() < before {
        wire.insert("nullable".to_owned(), true.into());
    }
    let are_words = list.iter().all(|value| value.as_str().is_some_and(|word| !word.is_empty()));
    if let Some(first) = list.first() {
        let kind = kind_of(first);
        wire.entry("type").or_insert_with(|| kind.into());
    }
    if list.is_empty() {
        return;
    }
    if are_words && wire["type"] == "string" {
        wire.insert("format".to_owned(), "enum".into());
        wire.insert("enum".to_owned(), Value::Array(list));
    } else {
        let list = list.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        hints.extend((list.len() <= HINT).then(|| format!("one of: {list}")));
    }
}

fn format(schema: &Map<String, Value>, wire: &mut Map<String, Value>, hints: &mut Vec<String>) {
    let Some(format) = schema.get("format").and_then(Value::as_str) else { return };
    match (wire.get("type").and_then(Value::as_str), format) {
        (Some("string"), "date-time" | "enum")
        | (Some("integer"), "int32" | "int64")
        | (Some("number"), "float" | "double") => {
            wire.entry("format").or_insert_with(|| format.into());
        }
        _ => hints.push(format!("format: {format}")),
    }
}

/// A tuple is a list of that length, of any of its kinds.
fn items(schema: &mut Map<String, Value>, wire: &mut Map<String, Value>) {
    let listed = match schema.shift_remove("items") {
        Some(Value::Array(kinds)) => Some(kinds),
        Some(items @ Value::Object(_)) => {
            wire.insert("items".to_owned(), items);
            None
        }
        _ => None,
    };
    let tuple = match schema.shift_remove("prefixItems") {
        Some(Value::Array(kinds)) => Some(kinds),
        _ => listed,
    };
    let Some(mut kinds) = tuple.filter(|kinds| !kinds.is_empty()) else { return };
    let length = kinds.len();
    kinds.dedup();
    let items = if kinds.len() == 1 { kinds.swap_remove(0) } else { json!({ "anyOf": kinds }) };
    wire.insert("items".to_owned(), items);
    for name in ["minItems", "maxItems"] {
        schema.entry(name).or_insert_with(|| length.into());
    }
}

/// Required names must be properties, and the order is said, because maps have none.
fn properties(schema: &mut Map<String, Value>, wire: &mut Map<String, Value>) {
    let required = schema.shift_remove("required");
    let Some(Value::Object(mut properties)) = schema.shift_remove("properties") else { return };
    if properties.is_empty() {
        return;
    }
    // A schema that is only `true` allows anything.
    properties.values_mut().filter(|schema| !schema.is_object()).for_each(|schema| *schema = json!({}));
    wire.entry("type").or_insert_with(|| "object".into());
    let order: Vec<Value> = properties.keys().map(|name| name.as_str().into()).collect();
    if let Some(Value::Array(mut names)) = required {
        names.retain(|name| order.contains(name));
        if !names.is_empty() {
            wire.insert("required".to_owned(), Value::Array(names));
        }
    }
    wire.insert("properties".to_owned(), Value::Object(properties));
    if order.len() > 1 {
        wire.insert("propertyOrdering".to_owned(), Value::Array(order));
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn hint(name: &str, value: &Value) -> Option<String> {
    let text = format!("{name}: {value}");
    (text.len() <= HINT).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_api_says_what_it_can_and_tells_the_rest() {
        for (schema, expected) in [
            (json!({"type": ["string", "null"], "title": "T"}), json!({"nullable": true, "type": "string"})),
            (
                json!({"type": ["integer", "array"], "items": {"type": "string"}, "description": "d"}),
                json!({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}],
                    "description": "d"}),
            ),
            (json!({"const": "x"}), json!({"type": "string", "format": "enum", "enum": ["x"]})),
            (json!({"enum": [1, 2]}), json!({"type": "integer", "description": "(one of: 1, 2)"})),
            (
                json!({"enum": ["a", null]}),
                json!({"nullable": true, "type": "string", "format": "enum", "enum": ["a"]}),
            ),
            (
                json!({"anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}], "description": "d"}),
                json!({"nullable": true, "type": "string", "description": "d", "minLength": 2}),
            ),
            (
                json!({"oneOf": [{"type": "string"}, {"type": "number", "multipleOf": 2}]}),
                json!({"anyOf": [{"type": "string"}, {"type": "number", "description": "(multipleOf: 2)"}]}),
            ),
            (
                json!({"type": "string", "format": "email", "default": "x", "$schema": "s"}),
                json!({"type": "string", "description": "(format: email, default: \"x\")"}),
            ),
            (
                json!({"type": "string", "format": "date-time"}),
                json!({"type": "string", "format": "date-time"}),
            ),
            (
                json!({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}),
                json!({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                    "minItems": 2, "maxItems": 2}),
            ),
            (
                json!({"properties": {"b": {"$ref": "#/$defs/x"}, "a": true}, "required": ["a", "z"],
                    "additionalProperties": false, "$defs": {"x": {"type": "boolean"}}}),
                json!({"type": "object", "required": ["a"], "properties": {"b": {"type": "boolean"}, "a": {}},
                    "propertyOrdering": ["b", "a"]}),
            ),
            (
                json!({"allOf": [{"properties": {"a": {"type": "string"}}}, {"required": ["a"]}]}),
                json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}),
            ),
            (json!(true), json!({})),
        ] {
            let found = open_api(&schema, "p").expect("no circle");
            assert_eq!(found, expected, "{schema}");
            assert_eq!(open_api(&found, "p"), Ok(found.clone()), "stable: {schema}");
        }
        let circle = json!({"properties": {"next": {"$ref": "#"}}});
        let refused = open_api(&circle, "tools[0]").expect_err("a circle");
        assert_eq!(refused.message, "tools[0] refers to itself at `#`");
    }

    #[test]
    fn json_schema_stays_but_for_what_is_not_read() {
        let schema = json!({"$schema": "s", "type": "object", "properties": {
            "kind": {"const": "a"}, "count": {"type": "integer", "exclusiveMinimum": 0, "description": "How many"},
            "next": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"examples": [1], "anyOf": [{"$ref": "#"}, {"type": "null"}]}},
            "additionalProperties": false});
        let expected = json!({"type": "object", "properties": {
            "kind": {"type": "string", "enum": ["a"]},
            "count": {"type": "integer", "description": "How many (exclusiveMinimum: 0)"},
            "next": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
            "additionalProperties": false});
        assert_eq!(json_schema(&schema), expected);
    }

    #[test]
    fn an_object_without_properties_is_empty() {
        for (schema, empty) in [
            (json!({"type": "object"}), true),
            (json!({"type": "object", "properties": {}, "additionalProperties": false}), true),
            (json!({}), true),
            (json!(true), true),
            (json!({"type": "object", "additionalProperties": {"type": "string"}}), false),
            (json!({"$ref": "#/$defs/x"}), false),
            (json!({"properties": {"a": {}}}), false),
        ] {
            assert_eq!(is_empty_object(&schema), empty, "{schema}");
        }
    }
}
