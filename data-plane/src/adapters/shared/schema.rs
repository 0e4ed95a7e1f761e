//! JSON schemas for providers that read less of the language: definitions put in their places, headings taken out.

use serde_json::{Map, Value};

/// Deeper than this, counting definitions inside definitions, nothing is unfolded: a hostile chain has no end.
const DEPTH: usize = 128;
/// A schema larger than this is not unfolded: definitions that use each other twice grow without end.
const NODES: usize = 20_000;

/// The schema without `$schema` and `$id`, and with what `$ref` points at in its place.
///
/// A schema that refers to itself, to another document, or that would grow too large keeps its references.
pub fn inlined(schema: &Value) -> Value {
    let unfolded = Unfolding { root: schema, nodes: 0 }.schema(schema, 0);
    unfolded.unwrap_or_else(|| without_headings(schema))
}

/// Takes `$schema` and `$id` out of the root.
fn without_headings(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(members) = schema.as_object_mut() {
        members.shift_remove("$schema");
        members.shift_remove("$id");
    }
    schema
}

struct Unfolding<'a> {
    root: &'a Value,
    nodes: usize,
}

impl<'a> Unfolding<'a> {
    /// None where the schema cannot be unfolded.
    fn schema(&mut self, schema: &'a Value, depth: usize) -> Option<Value> {
        self.nodes += 1;
        if self.nodes > NODES || depth > DEPTH {
            return None;
        }
        match schema {
            Value::Object(members) => self.object(members, depth),
            Value::Array(list) => Some(Value::Array(
                list.iter().map(|item| self.schema(item, depth + 1)).collect::<Option<_>>()?,
            )),
            other => Some(other.clone()),
        }
    }

    fn object(&mut self, members: &'a Map<String, Value>, depth: usize) -> Option<Value> {
        let mut unfolded = Map::new();
        if let Some(Value::String(place)) = members.get("$ref") {
            let target = self.root.pointer(place.strip_prefix('#')?)?;
            let Value::Object(target) = self.schema(target, depth + 1)? else { return None };
            unfolded = target;
        }
        for (name, value) in members {
            match name.as_str() {
                "$schema" | "$id" | "$ref" | "$defs" | "definitions" => {}
                // Members of these are names of the caller's, not words of the language; examples are data.
                "properties" | "patternProperties" => {
                    let Value::Object(each) = value else { return None };
                    let each =
                        each.iter().map(|(name, one)| Some((name.clone(), self.schema(one, depth + 1)?)));
                    unfolded.insert(name.clone(), Value::Object(each.collect::<Option<_>>()?));
                }
                "enum" | "const" | "default" | "examples" | "required" => {
                    unfolded.insert(name.clone(), value.clone());
                }
                _ => {
                    unfolded.insert(name.clone(), self.schema(value, depth + 1)?);
                }
            }
        }
        Some(Value::Object(unfolded))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_give_way_to_what_they_point_at() {
        for (schema, expected) in [
            (
                json!({"$schema": "s", "$id": "i", "$defs": {"a": {"type": "string"}}, "type": "object",
                    "properties": {"$id": {"$ref": "#/$defs/a", "description": "d"}, "b": {"items": {"$ref": "#/$defs/a"}}}}),
                json!({"type": "object", "properties": {"$id": {"type": "string", "description": "d"},
                    "b": {"items": {"type": "string"}}}}),
            ),
            // A tree of its own kind stays as it is.
            (
                json!({"$id": "i", "$defs": {"t": {"items": {"$ref": "#/$defs/t"}}}, "$ref": "#/$defs/t"}),
                json!({"$defs": {"t": {"items": {"$ref": "#/$defs/t"}}}, "$ref": "#/$defs/t"}),
            ),
            (json!({"$ref": "https://x/s.json"}), json!({"$ref": "https://x/s.json"})),
            (json!({"const": {"$ref": "no"}, "x": true}), json!({"const": {"$ref": "no"}, "x": true})),
            (json!(true), json!(true)),
        ] {
            assert_eq!(inlined(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn definitions_that_double_end() {
        let mut defs = Map::new();
        for at in 0..30 {
            let next = json!({"$ref": format!("#/$defs/d{}", at + 1)});
            defs.insert(format!("d{at}"), json!({"anyOf": [next, next]}));
        }
        defs.insert("d30".to_owned(), json!({"type": "string"}));
        let schema = json!({"$ref": "#/$defs/d0", "$defs": defs});
        assert_eq!(inlined(&schema), schema);
    }
}
