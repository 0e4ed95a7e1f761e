//! What differs between two forms of a resource, field by field: for the audit and for `apply`.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Dotted path, e.g. `limit.usd`.
    pub field: String,
    pub before: Value,
    pub after: Value,
}

/// The fields that differ, in the order of the type. Absent, null and empty are the same.
pub fn between(before: &impl Serialize, after: &impl Serialize) -> Vec<Changed> {
    let (before, after) = (leaves(before), leaves(after));
    let mut names: Vec<&String> = before.keys().collect();
    names.extend(after.keys().filter(|name| !before.contains_key(*name)));
    let value = |side: &Map<String, Value>, name: &String| side.get(name).cloned().unwrap_or(Value::Null);
    names
        .into_iter()
        .map(|name| Changed { field: name.clone(), before: value(&before, name), after: value(&after, name) })
        .filter(|changed| changed.before != changed.after)
        .collect()
}

/// What a new resource says.
pub fn from_nothing(after: &impl Serialize) -> Vec<Changed> {
    between(&Value::Null, after)
}

/// A secret that was set or replaced: told of, never shown.
pub fn replaced(field: &str) -> Changed {
    Changed { field: field.to_owned(), before: Value::Null, after: json!("[replaced]") }
}

/// A secret that was taken away.
pub fn removed(field: &str) -> Changed {
    Changed { field: field.to_owned(), before: json!("[stored]"), after: Value::Null }
}

/// The audit's form: `{"field": {"before": …, "after": …}}`.
pub fn to_json(changes: &[Changed]) -> Value {
    let field = |changed: &Changed| {
        (changed.field.clone(), json!({"before": changed.before, "after": changed.after}))
    };
    Value::Object(changes.iter().map(field).collect())
}

fn leaves(value: &impl Serialize) -> Map<String, Value> {
    let value = serde_json::to_value(value).expect("domain types are plain data");
    let mut found = Map::new();
    collect("", value, &mut found);
    found
}

fn collect(path: &str, value: Value, found: &mut Map<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                collect(&path, value, found);
            }
        }
        Value::String(text) if text.is_empty() => {}
        Value::Array(items) if items.is_empty() => {}
        leaf => {
            found.insert(path.to_owned(), leaf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_named() {
        let before = json!({"name": "ci", "limit": {"usd": "5", "reset": "daily"}, "allowed_models": []});
        let after = json!({"name": "ci", "limit": {"usd": "6", "reset": "daily"}, "expires_at": null});
        assert_eq!(to_json(&between(&before, &after)), json!({"limit.usd": {"before": "5", "after": "6"}}));
    }

    #[test]
    fn what_is_set_or_taken_away_has_a_null_on_the_other_side() {
        let (with, without) = (json!({"region": "eu"}), json!({"region": ""}));
        assert_eq!(to_json(&between(&with, &without)), json!({"region": {"before": "eu", "after": null}}));
        assert_eq!(to_json(&from_nothing(&with)), json!({"region": {"before": null, "after": "eu"}}));
    }
}
