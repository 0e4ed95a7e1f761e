//! JSON schemas rewritten for providers that know less of them: references inlined, `allOf` merged, what is lost
//! told in words.
//!
//! Every walk knows where schemas stand inside a schema, so that a property called `$ref` or `enum` stays what it is.

use serde_json::{Map, Value};

/// Deeper than this no schema is followed.
const DEPTH: usize = 64;

/// An inlined schema may weigh about this many bytes, or this many times what it weighed before: references can
/// multiply without end.
const WEIGHT: usize = 64 << 10;
const GROWTH: usize = 8;

/// Members that say where a schema is at home.
const HEADINGS: [&str; 2] = ["$schema", "$id"];

/// Where schemas stand inside a schema.
const ONE: [&str; 11] = [
    "additionalProperties",
    "propertyNames",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedProperties",
    "unevaluatedItems",
    "additionalItems",
    "items",
];
const MANY: [&str; 5] = ["anyOf", "oneOf", "allOf", "prefixItems", "items"];
const NAMED: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "$defs"];

/// Why references cannot be replaced by what they point to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uninlinable {
    #[error("refers to itself at `{0}`")]
    Recursive(String),
    #[error("refers to `{0}`, which it does not hold")]
    Missing(String),
    #[error("is too deep or grows too large")]
    TooLarge,
}

/// The schema with every reference replaced by what it points to, and without its definitions and headings.
///
/// Members beside a reference overrule those of its target.
///
/// # Errors
/// [`Uninlinable`] for circles, for references that lead nowhere, and where the result would be too large.
pub fn unfolded(schema: &Value) -> Result<Value, Uninlinable> {
    let left = weight(schema).saturating_mul(GROWTH).max(WEIGHT);
    Inliner { root: schema, open: Vec::new(), left }.schema(schema, DEPTH)
}

/// The schema as [`unfolded`] gives it; one that cannot be unfolded keeps its references.
pub fn inlined(schema: &Value) -> Value {
    unfolded(schema).unwrap_or_else(|_| {
        let mut schema = schema.clone();
        if let Some(members) = schema.as_object_mut() {
            HEADINGS.iter().for_each(|name| drop(members.shift_remove(*name)));
        }
        schema
    })
}

struct Inliner<'a> {
    root: &'a Value,
    /// References that are being followed.
    open: Vec<&'a str>,
    /// Bytes that may still be written.
    left: usize,
}

impl<'a> Inliner<'a> {
    fn schema(&mut self, schema: &'a Value, depth: usize) -> Result<Value, Uninlinable> {
        let Value::Object(members) = schema else { return self.copy(schema) };
        let depth = depth.checked_sub(1).ok_or(Uninlinable::TooLarge)?;
        let mut whole = match members.get("$ref").and_then(Value::as_str) {
            Some(target) => self.follow(target, depth)?,
            None => Map::new(),
        };
        for (name, value) in members {
            let name = name.as_str();
            if !matches!(name, "$ref" | "$defs" | "definitions") && !HEADINGS.contains(&name) {
                self.spend(name.len())?;
                let value = self.member(name, value, depth)?;
                whole.insert(name.to_owned(), value);
            }
        }
        Ok(Value::Object(whole))
    }

    fn follow(&mut self, target: &'a str, depth: usize) -> Result<Map<String, Value>, Uninlinable> {
        if self.open.contains(&target) {
            return Err(Uninlinable::Recursive(target.to_owned()));
        }
        let missing = || Uninlinable::Missing(target.to_owned());
        let found = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        self.open.push(target);
        let schema = self.schema(found.ok_or_else(missing)?, depth)?;
        self.open.pop();
        Ok(match schema {
            Value::Object(members) => members,
            _ => Map::new(),
        })
    }

    fn member(&mut self, name: &str, value: &'a Value, depth: usize) -> Result<Value, Uninlinable> {
        match value {
            Value::Array(list) if MANY.contains(&name) => {
                list.iter().map(|schema| self.schema(schema, depth)).collect()
            }
            Value::Object(named) if NAMED.contains(&name) => {
                let mut all = Map::with_capacity(named.len());
                for (name, schema) in named {
                    self.spend(name.len())?;
                    all.insert(name.clone(), self.schema(schema, depth)?);
                }
                Ok(Value::Object(all))
            }
            Value::Object(_) if ONE.contains(&name) => self.schema(value, depth),
            _ => self.copy(value),
        }
    }

    fn copy(&mut self, value: &Value) -> Result<Value, Uninlinable> {
        self.spend(weight(value))?;
        Ok(value.clone())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Uninlinable> {
        self.left = self.left.checked_sub(bytes + 8).ok_or(Uninlinable::TooLarge)?;
        Ok(())
    }
}

/// About the bytes of a value.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(|value| weight(value) + 8).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + weight(value) + 8).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

/// Applies a change to every schema inside a schema and then to itself, definitions included.
pub fn each(schema: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(members) = schema else { return };
    for (name, value) in members.iter_mut() {
        match value {
            Value::Array(list) if MANY.contains(&name.as_str()) => {
                list.iter_mut().for_each(|schema| each(schema, change));
            }
            Value::Object(named) if NAMED.contains(&name.as_str()) || name == "definitions" => {
                named.values_mut().for_each(|schema| each(schema, change));
            }
            Value::Object(_) if ONE.contains(&name.as_str()) => each(value, change),
            _ => {}
        }
    }
    change(members);
}

/// Merges the members of `allOf` into the schema itself: properties and required names are united, of other members
/// the schema's own stays, else the first.
pub fn merge_all_of(schema: &mut Map<String, Value>) {
    let Some(Value::Array(all)) = schema.shift_remove("allOf") else { return };
    for part in all {
        let Value::Object(part) = part else { continue };
        for (name, value) in part {
            match (schema.get_mut(&name), value) {
                (None, value) => drop(schema.insert(name, value)),
                (Some(Value::Object(known)), Value::Object(more)) if name == "properties" => {
                    for (name, schema) in more {
                        known.entry(name).or_insert(schema);
                    }
                }
                (Some(Value::Array(known)), Value::Array(more)) if name == "required" => {
                    let new: Vec<_> = more.into_iter().filter(|name| !known.contains(name)).collect();
                    known.extend(new);
                }
                _ => {}
            }
        }
    }
}

/// Tells in the description what the schema cannot say.
pub fn describe(schema: &mut Map<String, Value>, hints: &[String]) {
    if hints.is_empty() {
        return;
    }
    let hints = hints.join(", ");
    let text = match schema.get("description").and_then(Value::as_str).map(str::trim_end) {
        None | Some("") => format!("({hints})"),
        Some(known) => format!("{known} ({hints})"),
    };
    schema.insert("description".to_owned(), text.into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_become_what_they_point_to() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": {"$ref": "#/$defs/a", "description": "mine"},
                "$ref": {"type": "string"},
                "list": {"type": "array", "items": {"$ref": "#/definitions/b~1c"}},
                "enum": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]},
            },
            "$defs": {"a": {"type": "string", "description": "theirs"}},
            "definitions": {"b/c": {"allOf": [{"$ref": "#/$defs/a"}]}},
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "a": {"type": "string", "description": "mine"},
                "$ref": {"type": "string"},
                "list": {"type": "array", "items": {"allOf": [{"type": "string", "description": "theirs"}]}},
                "enum": {"anyOf": [{"type": "string", "description": "theirs"}, {"type": "null"}]},
            },
        });
        assert_eq!(unfolded(&schema), Ok(expected));
    }

    #[test]
    fn what_cannot_be_inlined_is_named() {
        let circle = json!({"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"not": {"$ref": "#/$defs/a"}}},
            "anyOf": [{"$ref": "#/$defs/a"}]});
        let mut deep = json!({});
        (0..100).for_each(|_| deep = json!({ "items": deep }));
        let mut bomb = json!({"a0": {"description": "x".repeat(100)}});
        for at in 0..30 {
            let reference = json!({"$ref": format!("#/$defs/a{at}")});
            bomb[format!("a{}", at + 1)] = json!({"anyOf": [reference, reference]});
        }
        for (schema, expected) in [
            (circle, Uninlinable::Recursive("#/$defs/a".to_owned())),
            (json!({"items": {"$ref": "#"}}), Uninlinable::Recursive("#".to_owned())),
            (json!({"$ref": "#/$defs/x"}), Uninlinable::Missing("#/$defs/x".to_owned())),
            (json!({"$ref": "https://x.test/y"}), Uninlinable::Missing("https://x.test/y".to_owned())),
            (deep, Uninlinable::TooLarge),
            (json!({"$ref": "#/$defs/a30", "$defs": bomb}), Uninlinable::TooLarge),
        ] {
            assert_eq!(unfolded(&schema), Err(expected));
            assert_eq!(inlined(&schema), schema);
        }
    }

    #[test]
    fn headings_are_taken_out_in_any_case() {
        for (schema, expected) in [
            (
                json!({"$schema": "s", "items": {"$id": "i", "type": "string"}}),
                json!({"items": {"type": "string"}}),
            ),
            (json!({"$schema": "s", "items": {"$ref": "#"}}), json!({"items": {"$ref": "#"}})),
            (
                json!({"properties": {"$id": {"type": "string"}}}),
                json!({"properties": {"$id": {"type": "string"}}}),
            ),
            (json!({"const": {"$ref": "no"}, "x": true}), json!({"const": {"$ref": "no"}, "x": true})),
            (json!(true), json!(true)),
        ] {
            assert_eq!(inlined(&schema), expected);
        }
    }

    #[test]
    fn every_schema_is_changed_and_nothing_else() {
        let mut schema = json!({"title": "t", "properties": {"title": {"title": "u", "enum": [{"title": "v"}]}},
            "items": [{"title": "w"}], "$defs": {"x": {"title": "y"}}});
        each(&mut schema, &mut |schema| drop(schema.shift_remove("title")));
        let expected =
            json!({"properties": {"title": {"enum": [{"title": "v"}]}}, "items": [{}], "$defs": {"x": {}}});
        assert_eq!(schema, expected);
    }

    #[test]
    fn all_of_is_merged_and_hints_are_told() {
        let mut schema = json!({"description": "d", "required": ["a"], "allOf": [
            {"description": "e", "type": "object", "properties": {"a": {}}, "required": ["a", "b"]},
            {"properties": {"a": {"type": "string"}, "b": {}}}, true]});
        let members = schema.as_object_mut().expect("an object");
        merge_all_of(members);
        describe(members, &["one".to_owned(), "two".to_owned()]);
        let expected = json!({"description": "d (one, two)", "required": ["a", "b"], "type": "object",
            "properties": {"a": {}, "b": {}}});
        assert_eq!(schema, expected);
    }
}
