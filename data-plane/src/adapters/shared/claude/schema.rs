//! JSON schemas in the subset that Claude's structured output takes.

use serde_json::{Map, Value};

/// Members of a schema that the compiler does not take; they move into the description.
const WORDS: [&str; 14] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "not",
    "default",
];

/// String formats that the compiler knows.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// More optional properties than this take the compiler too long.
const OPTIONAL_PROPERTIES: usize = 10;

/// More definitions than this are not followed: a chain of them would be as deep.
const DEFINITIONS: usize = 200;

/// The schema in the subset that the compiler takes; None where that would change what it allows.
pub fn compilable(schema: &Value) -> Option<Value> {
    if is_recursive(schema) {
        return None;
    }
    let mut optional = 0;
    let compiled = compile(schema, &mut optional)?;
    (compiled["type"] == "object" && optional <= OPTIONAL_PROPERTIES).then_some(compiled)
}

fn compile(schema: &Value, optional: &mut usize) -> Option<Value> {
    let Value::Object(schema) = schema else { return None };
    let mut compiled = Map::new();
    let mut hints = Vec::new();
    for (name, value) in schema {
        match name.as_str() {
            word if WORDS.contains(&word) => hints.push(format!("{word}: {value}")),
            "minItems" if value.as_u64().is_some_and(|least| least > 1) => {
                hints.push(format!("minItems: {value}"))
            }
            "format" if !value.as_str().is_some_and(|format| FORMATS.contains(&format)) => {
                hints.push(format!("format: {value}"));
            }
            "$dynamicRef" | "patternProperties" | "propertyNames" | "if" | "then" | "else" => return None,
            "$schema" | "$id" | "$comment" | "examples" | "title" => {}
            "properties" | "$defs" | "definitions" => {
                let Value::Object(members) = value else { return None };
                let each =
                    members.iter().map(|(key, member)| Some((key.clone(), compile(member, optional)?)));
                compiled.insert(name.clone(), Value::Object(each.collect::<Option<Map<_, _>>>()?));
            }
            "items" => drop(compiled.insert(name.clone(), compile(value, optional)?)),
            "anyOf" | "oneOf" | "allOf" => {
                let each = value.as_array()?.iter().map(|member| compile(member, optional));
                let name = if name == "oneOf" { "anyOf" } else { name.as_str() };
                compiled.insert(name.to_owned(), Value::Array(each.collect::<Option<_>>()?));
            }
            // An open map would always come back empty.
            "additionalProperties" if *value != Value::Bool(false) => return None,
            _ => drop(compiled.insert(name.clone(), value.clone())),
        }
    }
    if is_object(&compiled) {
        close(&mut compiled, optional)?;
    }
    describe(&mut compiled, &hints);
    Some(Value::Object(compiled))
}

/// Whether references lead in a circle, which the compiler refuses, or to where it cannot follow.
fn is_recursive(schema: &Value) -> bool {
    let definitions = ["$defs", "definitions"].iter().find_map(|name| schema[name].as_object());
    if definitions.is_some_and(|known| known.len() > DEFINITIONS) {
        return true;
    }
    let nowhere = Map::new();
    let mut search =
        Search { definitions: definitions.unwrap_or(&nowhere), open: Vec::new(), closed: Vec::new() };
    // The definitions are part of the schema, so this reaches every one of them.
    references(schema).iter().any(|name| !search.ends(name))
}

/// A walk along references; what was found to end is not walked again.
struct Search<'a> {
    definitions: &'a Map<String, Value>,
    open: Vec<String>,
    closed: Vec<String>,
}

impl Search<'_> {
    fn ends(&mut self, name: &str) -> bool {
        if self.closed.iter().any(|known| known == name) {
            return true;
        }
        let Some(definition) = self.definitions.get(name) else { return false };
        if self.open.iter().any(|known| known == name) {
            return false;
        }
        self.open.push(name.to_owned());
        let ends = references(definition).iter().all(|next| self.ends(next));
        self.open.pop();
        self.closed.push(name.to_owned());
        ends
    }
}

/// Names that a schema refers to; a reference to anything but a definition is kept whole, and so never found.
fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value.as_str()) {
                ("$ref", Some(target)) => {
                    let name = target.strip_prefix("#/$defs/").or(target.strip_prefix("#/definitions/"));
                    vec![name.unwrap_or(target).to_owned()]
                }
                _ => references(value),
            })
            .collect(),
        Value::Array(list) => list.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn is_object(schema: &Map<String, Value>) -> bool {
    match schema.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => schema.contains_key("properties"),
    }
}

/// Every object is closed; one without properties is an open map in disguise.
fn close(schema: &mut Map<String, Value>, optional: &mut usize) -> Option<()> {
    let properties = schema.get("properties")?.as_object()?.len();
    let required = schema.get("required").and_then(Value::as_array).map_or(0, Vec::len);
    *optional += properties.saturating_sub(required);
    schema.insert("additionalProperties".to_owned(), false.into());
    Some(())
}

fn describe(schema: &mut Map<String, Value>, hints: &[String]) {
    if hints.is_empty() {
        return;
    }
    let hints = hints.join(", ");
    let text = match schema.get("description").and_then(Value::as_str) {
        Some(text) => format!("{text} ({hints})"),
        None => hints,
    };
    schema.insert("description".to_owned(), text.into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_brought_into_the_compilers_subset() {
        let schema = json!({
            "$schema": "x", "title": "T", "type": "object", "required": ["a"],
            "properties": {
                "a": {"type": "integer", "minimum": 1, "description": "count"},
                "b": {"oneOf": [{"type": "string", "format": "phone"}, {"type": "null"}]},
                "c": {"type": "array", "items": {"type": "object", "properties": {}}, "minItems": 2},
            },
        });
        let expected = json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": {
                "a": {"type": "integer", "description": "count (minimum: 1)"},
                "b": {"anyOf": [{"type": "string", "description": "format: \"phone\""}, {"type": "null"}]},
                "c": {
                    "type": "array", "description": "minItems: 2",
                    "items": {"type": "object", "properties": {}, "additionalProperties": false},
                },
            },
        });
        assert_eq!(compilable(&schema), Some(expected));
    }

    #[test]
    fn references_without_circles_stay() {
        let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/A"}},
            "required": ["a", "b"], "$defs": {"A": {"type": "string"}}});
        let compiled = compilable(&schema).expect("no circle");
        assert_eq!(compiled["properties"], schema["properties"]);
    }

    #[test]
    fn schemas_that_the_compiler_would_change_are_left_to_the_tool() {
        let many: Map<String, Value> = (0..11).map(|n| (format!("p{n}"), json!({"type": "null"}))).collect();
        for schema in [
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"type": "object"}),
            json!({"type": "object", "properties": {"a": {"$ref": "#"}}}),
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}},
                "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/B"}]}, "B": {"items": {"$ref": "#/$defs/A"}}}}),
            json!({"type": "array", "items": {"type": "string"}}),
            json!({"type": "object", "properties": many}),
        ] {
            assert_eq!(compilable(&schema), None, "{schema}");
        }
    }
}
