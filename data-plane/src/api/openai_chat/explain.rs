//! Turns a parser's complaint into text that names the field at fault.
//!
//! Only called when a body was refused: the path is found by reading the body a second time.

use serde::Deserialize;
use serde::de;
use serde_json::error::Category;
use switchyard_proto::code::ErrorCode;

use crate::api::BadRequest;
use crate::model::request::Invalid;

/// A complaint about a member of the object being read: `.type` and what is wrong with it.
pub fn about<E: de::Error>(member: &str, why: impl std::fmt::Display) -> E {
    E::custom(format_args!(".{member} {why}"))
}

/// Why this body is no `T`.
pub fn explain<'de, T: Deserialize<'de>>(body: &'de [u8]) -> BadRequest {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let refused = serde_path_to_error::deserialize::<_, T>(&mut reader);
    let complaint = match refused {
        Ok(_) => match reader.end() {
            Ok(()) => return bad("", "request body could not be read".to_owned()),
            Err(trailing) => return broken(&trailing),
        },
        Err(complaint) => complaint,
    };
    if complaint.inner().classify() != Category::Data {
        return broken(complaint.inner());
    }
    let path = complaint.path().to_string();
    let Invalid { field, message } = name(path.trim_start_matches('.'), &plain(complaint.inner()));
    bad(&field, message)
}

/// A refusal of a body whose JSON is fine.
pub fn bad(field: &str, message: String) -> BadRequest {
    BadRequest { code: ErrorCode::InvalidRequest, field: field.to_owned(), message }
}

fn broken(error: &serde_json::Error) -> BadRequest {
    bad("", format!("request body is not valid JSON: {error}"))
}

/// The parser's complaint in a caller's words, without position and without the value.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
    if let Some(member) = text.strip_prefix("missing field ") {
        return format!(".{} is required", member.trim_matches('`'));
    }
    if let Some(member) = text.strip_prefix("duplicate field ") {
        return format!(".{} is there twice", member.trim_matches('`'));
    }
    match text.rsplit_once(", expected ") {
        Some((found, expected)) => format!("must be {}{}", wanted(expected), instead(found)),
        None => text.to_owned(),
    }
}

fn wanted(expected: &str) -> &str {
    match expected {
        "f64" | "f32" => "a number",
        "u64" | "u32" | "usize" => "a whole number that is not negative",
        "i64" | "i32" => "a whole number",
        "a sequence" => "a list",
        "a map" => "an object",
        structure if structure.starts_with("struct ") => "an object",
        other => other,
    }
}

/// What was there, by kind: the value itself may be a prompt.
fn instead(found: &str) -> &'static str {
    let Some(found) = found.strip_prefix("invalid type: ") else { return "" };
    match found.split([' ', ',']).next().unwrap_or_default() {
        "string" => ", not a string",
        "integer" | "floating" => ", not a number",
        "boolean" => ", not a boolean",
        "null" => ", not null",
        "sequence" => ", not a list",
        "map" => ", not an object",
        _ => "",
    }
}

/// Joins the path of a value with a complaint about it or about one of its members.
pub fn name(path: &str, complaint: &str) -> Invalid {
    let path = if path == "." { "" } else { path };
    let Some(member) = complaint.strip_prefix('.') else {
        let subject = if path.is_empty() { "request body" } else { path };
        return Invalid { field: path.to_owned(), message: format!("{subject} {complaint}") };
    };
    let (word, why) = member.split_once(' ').unwrap_or((member, "is invalid"));
    let field = if path.is_empty() { word.to_owned() } else { format!("{path}.{word}") };
    Invalid { message: format!("{field} {why}"), field }
}
