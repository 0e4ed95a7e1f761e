//! Values made from JSON schemas: one that conforms, one that does not.
//!
//! Covers what tool declarations and response formats use; `pattern` is the one keyword it cannot satisfy.
//! Deterministic: the same schema always gives the same value.

use serde_json::{Map, Value, json};

/// How deep optional properties are filled in; below that only required ones, so that recursion ends.
const OPTIONAL_DEPTH: usize = 3;
const MAX_DEPTH: usize = 16;

/// A value that conforms to `schema`.
pub fn example(schema: &Value) -> Value {
    Maker { root: schema }.value(schema, 0)
}

/// A value of the right outline that breaks `schema`: one property has the wrong type, or the whole has.
pub fn counterexample(schema: &Value) -> Value {
    match example(schema) {
        Value::Object(mut fields) => {
            match fields.values_mut().next() {
                Some(first) => *first = wrong_type(first),
                None => return json!(["not", "an", "object"]),
            }
            Value::Object(fields)
        }
        other => wrong_type(&other),
    }
}

fn wrong_type(value: &Value) -> Value {
    if value.is_object() { json!(["not", "an", "object"]) } else { json!({"wrong": "type"}) }
}

struct Maker<'a> {
    root: &'a Value,
}

impl Maker<'_> {
    fn value(&self, schema: &Value, depth: usize) -> Value {
        if depth > MAX_DEPTH {
            return Value::Null;
        }
        if let Some(given) = given(schema) {
            return given;
        }
        if let Some(target) = self.referenced(schema) {
            return self.value(target, depth + 1);
        }
        if let Some(all) = schema["allOf"].as_array() {
            return self.value(&merged(schema, all.iter().map(|part| self.resolved(part))), depth + 1);
        }
        if let Some(choices) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
            return choices.first().map_or(Value::Null, |first| self.value(first, depth + 1));
        }
        match type_of(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "integer" => json!(number(schema) as i64),
            "number" => json!(number(schema)),
            "boolean" => json!(true),
            "null" => Value::Null,
            _ => json!(string(schema)),
        }
    }

    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        self.referenced(schema).unwrap_or(schema)
    }

    fn referenced(&self, schema: &Value) -> Option<&Value> {
        let path = schema["$ref"].as_str()?.strip_prefix('#')?;
        self.root.pointer(path)
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields = Map::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if depth < OPTIONAL_DEPTH || required.contains(&name.as_str()) {
                fields.insert(name.clone(), self.value(property, depth + 1));
            }
        }
        for name in required {
            fields.entry(name).or_insert_with(|| json!("text"));
        }
        Value::Object(fields)
    }

    fn array(&self, schema: &Value, depth: usize) -> Value {
        let wished = schema["minItems"].as_u64().unwrap_or(u64::from(depth < OPTIONAL_DEPTH));
        let count = wished.min(schema["maxItems"].as_u64().unwrap_or(u64::MAX)).min(100);
        let prefix = schema["prefixItems"].as_array().map_or(&[][..], Vec::as_slice);
        let any = json!({"type": "string"});
        let rest = schema.get("items").filter(|items| items.is_object()).unwrap_or(&any);
        let wanted = usize::try_from(count).unwrap_or(0).max(prefix.len());
        (0..wanted).map(|i| self.value(prefix.get(i).unwrap_or(rest), depth + 1)).collect()
    }
}

fn given(schema: &Value) -> Option<Value> {
    let first = |name: &str| schema[name].as_array().and_then(|values| values.first()).cloned();
    schema.get("const").cloned().or_else(|| first("enum")).or_else(|| schema.get("default").cloned())
}

fn merged<'a>(base: &Value, parts: impl Iterator<Item = &'a Value>) -> Value {
    let mut whole = base.as_object().cloned().unwrap_or_default();
    whole.shift_remove("allOf");
    for (name, value) in parts.filter_map(Value::as_object).flatten() {
        match (whole.get_mut(name), value) {
            (Some(Value::Object(mine)), Value::Object(more)) => mine.extend(more.clone()),
            (Some(Value::Array(mine)), Value::Array(more)) => mine.extend(more.iter().cloned()),
            _ => {
                whole.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(whole)
}

fn type_of(schema: &Value) -> &str {
    let named = match &schema["type"] {
        Value::String(name) => Some(name.as_str()),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    };
    named.unwrap_or(if schema["items"].is_object() {
        "array"
    } else if schema["properties"].is_object() || schema.as_object().is_none_or(Map::is_empty) {
        "object"
    } else {
        "string"
    })
}

/// The smallest multiple that the bounds allow, from 1 where there is no lower one.
fn number(schema: &Value) -> f64 {
    let above = schema["exclusiveMinimum"].as_f64().map(|low| low.floor() + 1.0);
    let low = schema["minimum"].as_f64().or(above);
    let below = schema["exclusiveMaximum"].as_f64().map(|high| high.ceil() - 1.0);
    let high = schema["maximum"].as_f64().or(below).unwrap_or(f64::MAX);
    let start = low.unwrap_or(1.0_f64.min(high));
    match schema["multipleOf"].as_f64() {
        Some(step) if step > 0.0 => (start / step).ceil() * step,
        _ => start.min(high),
    }
}

fn string(schema: &Value) -> String {
    let text = match schema["format"].as_str().unwrap_or_default() {
        "date-time" => "2026-01-02T03:04:05Z",
        "date" => "2026-01-02",
        "time" => "03:04:05Z",
        "duration" => "PT1H",
        "email" => "someone@example.com",
        "hostname" => "example.com",
        "uri" | "url" => "https://example.com/",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "uuid" => "01234567-89ab-4def-8123-456789abcdef",
        _ => "text",
    };
    let bound =
        |name: &str, default| schema[name].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(default);
    let (shortest, longest) = (bound("minLength", 0).min(100_000), bound("maxLength", usize::MAX));
    text.chars().cycle().take(text.len().max(shortest).min(longest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_conform_to_their_schemas() {
        let cases = [
            (
                json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}}, "required": ["city"]}),
                json!({"city": "text", "days": 3}),
            ),
            (json!({"type": "object"}), json!({})),
            (json!({}), json!({})),
            (json!({"type": ["string", "null"], "enum": ["celsius", "kelvin"]}), json!("celsius")),
            (
                json!({"type": "array", "items": {"type": "number", "maximum": 0.5}, "minItems": 2}),
                json!([0.5, 0.5]),
            ),
            (json!({"anyOf": [{"type": "boolean"}, {"type": "null"}]}), json!(true)),
            (
                json!({"$defs": {"p": {"type": "string", "format": "date"}}, "type": "object", "properties": {"on": {"$ref": "#/$defs/p"}}}),
                json!({"on": "2026-01-02"}),
            ),
            (
                json!({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}),
                json!({"a": 1, "b": 2}),
            ),
            (json!({"type": "string", "minLength": 6, "maxLength": 6}), json!("textte")),
            (json!({"type": "integer", "multipleOf": 5, "exclusiveMinimum": 5}), json!(10)),
        ];
        for (schema, expected) in cases {
            assert_eq!(example(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn recursive_schemas_end() {
        let schema = json!({"type": "object", "properties": {"next": {"$ref": "#"}, "v": {"type": "string"}}, "required": ["v"]});
        assert_eq!(example(&schema)["next"]["v"], "text");
        let endless = json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]});
        assert!(example(&endless)["next"].is_object());
    }

    #[test]
    fn counterexamples_break_the_first_property_or_the_whole() {
        let schema =
            json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}});
        assert_eq!(counterexample(&schema), json!({"a": {"wrong": "type"}, "b": "text"}));
        assert_eq!(counterexample(&json!({"type": "string"})), json!({"wrong": "type"}));
        assert_eq!(counterexample(&json!({})), json!(["not", "an", "object"]));
    }
}
