//! Bounds the work that a schema can make, before it is compiled.
//!
//! References make schemas that unfold without end or double with each step, so that a text of one byte is looked at
//! 2^30 times. The engine remembers what it found for objects and lists where a reference leads back to a schema that is
//! being looked at, and nowhere else. So what is weighed is what it does not remember: all that one look unfolds to
//! until it comes back, and all that unfolds on one and the same value.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::judge::schema::{SchemaError, shown};

/// Schemas that one look may unfold to.
const MAX_UNFOLDED: u64 = 250_000;
/// Schemas that may look at one and the same value.
const MAX_ON_ONE_VALUE: u64 = 4096;
/// Schemas that may stand within each other, references followed: each takes its share of the stack.
const MAX_HEIGHT: usize = 128;

/// What looking again for evaluated members costs: at most twice what is below, beside the look itself.
const UNEVALUATED: u64 = 3;

/// Members whose schemas look at the same value.
const SAME: [&str; 9] =
    ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"];
/// Members whose schemas look at values inside of it.
const INNER: [&str; 11] = [
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "items",
    "prefixItems",
    "additionalItems",
    "contains",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Members that hold schemas by name; the others hold one schema or a list.
const NAMED: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "dependencies"];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// What a schema unfolds to.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Schemas, each as often as it is looked at.
    weight: u64,
    /// Schemas within each other.
    height: usize,
}

/// What was measured of a whole schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// Whether the schema leads back to itself, so that the depth of the text decides how far it unfolds.
    pub(super) is_recursive: bool,
    /// Schemas within each other that look at one value.
    pub(super) height_on_one_value: usize,
    pub(super) patterns: usize,
}

/// Measures a schema; `ids` are the members that are ids in its drafts.
///
/// # Errors
/// References that lead out of the schema or nowhere, circles that go no deeper, and too much work.
pub(super) fn measure(root: &Value, ids: &[&str]) -> Result<Work, SchemaError> {
    let names = Names::of(root, ids)?;
    let mut whole = Walk::new(&names, true);
    if whole.weigh(root, 0)?.weight > MAX_UNFOLDED {
        return Err(SchemaError::TooMuch);
    }
    // Every schema that can be reached is one that a value may meet first.
    let mut on_one_value = Walk::new(&names, false);
    let mut height_on_one_value = 0;
    for schema in whole.reached {
        let size = on_one_value.weigh(schema, 0)?;
        if size.weight > MAX_ON_ONE_VALUE {
            return Err(SchemaError::TooMuch);
        }
        height_on_one_value = height_on_one_value.max(size.height);
    }
    Ok(Work { is_recursive: whole.came_back, height_on_one_value, patterns: names.patterns })
}

/// One way through the schemas, each weighed once.
struct Walk<'s> {
    names: &'s Names<'s>,
    /// Whether it goes on to the schemas of inner values.
    goes_deeper: bool,
    /// By address; None while a schema is being weighed.
    sizes: HashMap<*const Value, Option<Size>>,
    reached: Vec<&'s Value>,
    came_back: bool,
}

impl<'s> Walk<'s> {
    fn new(names: &'s Names<'s>, goes_deeper: bool) -> Self {
        Self { names, goes_deeper, sizes: HashMap::new(), reached: Vec::new(), came_back: false }
    }

    fn weigh(&mut self, schema: &'s Value, depth: usize) -> Result<Size, SchemaError> {
        let leaf = Size { weight: 1, height: 1 };
        match self.sizes.get(&std::ptr::from_ref(schema)) {
            Some(Some(size)) => return Ok(*size),
            Some(None) if self.goes_deeper => {
                self.came_back = true;
                return Ok(leaf);
            }
            Some(None) => return Err(SchemaError::Endless),
            None => {}
        }
        let Value::Object(members) = schema else { return Ok(leaf) };
        if depth >= MAX_HEIGHT {
            return Err(SchemaError::TooDeep);
        }
        self.reached.push(schema);
        self.sizes.insert(schema, None);
        let size = self.unfold(members, depth)?;
        self.sizes.insert(schema, Some(size));
        Ok(size)
    }

    fn unfold(&mut self, members: &'s Map<String, Value>, depth: usize) -> Result<Size, SchemaError> {
        let mut size = Size { weight: 1, height: 1 };
        for schema in self.names.next(members, self.goes_deeper)? {
            let below = self.weigh(schema, depth + 1)?;
            size.weight = size.weight.saturating_add(below.weight);
            size.height = size.height.max(below.height + 1);
        }
        if members.contains_key("unevaluatedProperties") || members.contains_key("unevaluatedItems") {
            size.weight = size.weight.saturating_mul(UNEVALUATED);
        }
        if size.height > MAX_HEIGHT { Err(SchemaError::TooDeep) } else { Ok(size) }
    }
}

/// What references may name: a whole schema and its anchors. Counts patterns on the way.
struct Names<'s> {
    root: &'s Value,
    anchors: HashMap<&'s str, &'s Value>,
    patterns: usize,
}

impl<'s> Names<'s> {
    fn of(root: &'s Value, ids: &[&str]) -> Result<Self, SchemaError> {
        let mut names = Self { root, anchors: HashMap::new(), patterns: 0 };
        names.gather(root, ids)?;
        Ok(names)
    }

    /// Collects anchors, and refuses inner ids, which change the meaning of references below them.
    fn gather(&mut self, value: &'s Value, ids: &[&str]) -> Result<(), SchemaError> {
        match value {
            Value::Array(list) => list.iter().try_for_each(|value| self.gather(value, ids)),
            Value::Object(members) => {
                let is_root = std::ptr::eq(value, self.root);
                if !is_root && ids.iter().any(|id| members.get(*id).is_some_and(Value::is_string)) {
                    return Err(SchemaError::InnerId);
                }
                for name in
                    ["$anchor", "$dynamicAnchor"].iter().filter_map(|name| members.get(*name)?.as_str())
                {
                    let other = self.anchors.insert(name, value);
                    if other.is_some_and(|other| !std::ptr::eq(other, value)) {
                        return Err(SchemaError::Reference { reference: format!("#{}", shown(name)) });
                    }
                }
                self.patterns += usize::from(members.get("pattern").is_some_and(Value::is_string));
                self.patterns +=
                    members.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
                members.values().try_for_each(|value| self.gather(value, ids))
            }
            _ => Ok(()),
        }
    }

    /// The schemas that this one leads to.
    fn next(
        &self,
        members: &'s Map<String, Value>,
        goes_deeper: bool,
    ) -> Result<Vec<&'s Value>, SchemaError> {
        let inner = INNER.iter().filter(|_| goes_deeper);
        let named = SAME.iter().chain(inner).filter_map(|name| Some((*name, members.get(*name)?)));
        let mut next: Vec<&Value> = named.flat_map(|(name, value)| schemas(name, value)).collect();
        for reference in REFERENCES.iter().filter_map(|name| members.get(*name)?.as_str()) {
            let target = self.find(reference);
            next.push(target.ok_or_else(|| SchemaError::Reference { reference: shown(reference) })?);
        }
        Ok(next)
    }

    fn find(&self, reference: &str) -> Option<&'s Value> {
        let own = self.root.get("$id").and_then(Value::as_str).map(|id| id.trim_end_matches('#'));
        let reference = own.and_then(|id| reference.strip_prefix(id)).unwrap_or(reference);
        match decoded(reference.strip_prefix('#')?)?.as_ref() {
            "" => Some(self.root),
            pointer if pointer.starts_with('/') => self.root.pointer(pointer),
            name => self.anchors.get(name).copied(),
        }
    }
}

fn schemas<'s>(name: &str, value: &'s Value) -> Vec<&'s Value> {
    match value {
        Value::Object(members) if NAMED.contains(&name) => members.values().collect(),
        Value::Array(list) => list.iter().collect(),
        value => vec![value],
    }
}

/// A fragment of a URI without its percent signs; None where they are none.
fn decoded(fragment: &str) -> Option<Cow<'_, str>> {
    if !fragment.contains('%') {
        return Some(Cow::Borrowed(fragment));
    }
    let mut pieces = fragment.as_bytes().split(|byte| *byte == b'%');
    let mut bytes = pieces.next()?.to_vec();
    for piece in pieces {
        let digits = std::str::from_utf8(piece.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(&piece[2..]);
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}
