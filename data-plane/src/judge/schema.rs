//! JSON schemas, compiled once and held against many texts.
//!
//! Both sides may be hostile, so both are bounded: patterns run on an engine whose time is linear in the text, nothing
//! outside the schema is ever read, and `work` refuses schemas that a few bytes of text could keep busy for hours.

mod work;

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

/// Bytes of a schema's text.
const MAX_SCHEMA: usize = 256 << 10;
/// Bytes of a text that is held against a schema.
const MAX_TEXT: usize = 1 << 20;
/// Bytes of a text that is held against a schema with patterns.
const MAX_TEXT_FOR_PATTERNS: usize = 256 << 10;
/// Bytes of all compiled patterns. Time is linear in the text, but by as much as a pattern is large.
const MAX_PATTERNS: usize = 128 << 10;
/// Bytes of what a pattern's engine remembers while it runs.
const MAX_PATTERN_CACHE: usize = 2 << 20;
/// Schemas that may be looking at values within each other at once: each takes its share of the stack.
const MAX_STACK: usize = 512;
/// Bytes of a path that is shown: keys of objects are the model's to choose.
const SHOWN_PATH: usize = 200;

/// Why a text that claims to be a schema cannot be used as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("it is larger than {MAX_SCHEMA} bytes")]
    TooLarge,
    #[error("it is not JSON, at line {line}, column {column}, or nested too deeply")]
    NotJson { line: usize, column: usize },
    #[error("it uses `$schema` or another reference that is not known here")]
    Unknown,
    #[error("`{reference}` names nothing in the schema, or two things, and nothing outside is read")]
    Reference { reference: String },
    #[error("an `$id` below its root is not supported")]
    InnerId,
    #[error("it refers to itself without going deeper")]
    Endless,
    #[error("its schemas stand too deeply within each other")]
    TooDeep,
    #[error("it unfolds to too many schemas")]
    TooMuch,
    #[error(
        "{path}: not a regular expression, too large, or with lookaround or backreferences, which are not supported"
    )]
    Pattern { path: String },
    #[error("{path}: breaks the rules for schemas (`{rule}`)")]
    Malformed { path: String, rule: String },
}

/// A compiled schema. `format` is a hint and not asserted, as the newer drafts have it.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    work: work::Work,
}

impl Schema {
    /// Compiles a JSON schema of draft 4 to 2020-12, which is 2020-12 unless `$schema` says otherwise.
    ///
    /// # Errors
    /// [`SchemaError`] naming the place in the schema.
    pub fn compile(text: &str) -> Result<Self, SchemaError> {
        if text.len() > MAX_SCHEMA {
            return Err(SchemaError::TooLarge);
        }
        let schema: Value = serde_json::from_str(text)
            .map_err(|error| SchemaError::NotJson { line: error.line(), column: error.column() })?;
        // Draft 4 alone calls an id `id`; in all others that is a word like any other.
        let ids: &[&str] = if text.contains("draft-04") { &["$id", "id"] } else { &["$id"] };
        let work = work::measure(&schema, ids)?;
        let patterns = PatternOptions::regex()
            .size_limit(MAX_PATTERNS / work.patterns.max(1))
            .dfa_size_limit(MAX_PATTERN_CACHE);
        let options = jsonschema::options().offline().should_validate_formats(false);
        let validator =
            options.with_pattern_options(patterns).build(&schema).map_err(|error| refused(&error))?;
        Ok(Self { validator, work })
    }

    /// Where and by which rule this JSON text does not fit; None if it fits. Never what the text says there.
    pub fn misfit(&self, text: &str) -> Option<String> {
        let limit = if self.work.patterns == 0 { MAX_TEXT } else { MAX_TEXT_FOR_PATTERNS };
        if text.len() > limit {
            return Some(format!("larger than {limit} bytes"));
        }
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return Some(
                "no JSON value, or one that is nested too deeply or holds too large a number".to_owned(),
            );
        };
        if self.work.is_recursive && depth(&value) * self.work.height_on_one_value > MAX_STACK {
            return Some("nested too deeply".to_owned());
        }
        (!self.validator.is_valid(&value)).then(|| self.fault(&value))
    }

    /// Where a value that does not fit has its first fault. Faults of recursive schemas are not located: the engine
    /// remembers nothing while it looks for them, so that its time would be exponential in the depth.
    fn fault(&self, value: &Value) -> String {
        let located = if self.work.is_recursive { None } else { self.validator.validate(value).err() };
        match located {
            Some(error) => format!("{} ({})", path(&error), error.kind().keyword()),
            None => "somewhere below /".to_owned(),
        }
    }
}

/// Lists and objects within each other, and the value at the bottom.
fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(list) => list.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => None,
    };
    inner.unwrap_or(0) + 1
}

fn refused(error: &ValidationError<'_>) -> SchemaError {
    use jsonschema::error::ValidationErrorKind::{Format, Referencing};
    // What breaks the rules for schemas is found as an instance of these rules; the rest by its place in the schema.
    let path = path(error);
    match error.kind() {
        Format { format } if format == "regex" => SchemaError::Pattern { path: place(error) },
        Referencing(_) => SchemaError::Unknown,
        kind => SchemaError::Malformed { path, rule: kind.keyword().to_owned() },
    }
}

/// The place in the value that was looked at.
fn path(error: &ValidationError<'_>) -> String {
    shown(error.instance_path().as_str())
}

/// The place of the rule in its schema.
fn place(error: &ValidationError<'_>) -> String {
    shown(error.schema_path().as_str())
}

/// A path as it is shown: the root has a name, and long ones are cut.
fn shown(path: &str) -> String {
    match path {
        "" => "/".to_owned(),
        path => path[..path.floor_char_boundary(SHOWN_PATH)].to_owned(),
    }
}

#[cfg(test)]
mod tests;
