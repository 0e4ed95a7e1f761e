//! The client API's contract: whether an answer is one that the OpenAPI document knows. The harness's client holds every answer
//! that it gets against it.

use std::collections::HashMap;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};
use switchyard_data_plane::server::openapi::DOCUMENT;

/// The document, with a validator for each schema that an answer has.
struct Contract {
    document: Value,
    /// By the reference that names it.
    validators: HashMap<String, Validator>,
}

/// An answer, as far as the document speaks of it.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// In capitals.
    pub method: &'a str,
    /// With `/api/v1` or `/v1`, with a query or without.
    pub path: &'a str,
    pub status: u16,
    pub content_type: &'a str,
    /// Absent: not read.
    pub body: Option<&'a Value>,
}

/// The document as JSON.
pub fn document() -> &'static Value {
    &contract().document
}

/// The operations of the document: method in capitals, path below `/api/v1`, and what is said of it.
pub fn operations() -> Vec<(String, &'static str, &'static Value)> {
    let paths = document()["paths"].as_object().expect("paths are an object");
    let of = |(path, item): (&'static String, &'static Value)| {
        let item = item.as_object().expect("a path is an object");
        item.iter().map(move |(method, said)| (method.to_uppercase(), path.as_str(), said))
    };
    paths.iter().flat_map(of).collect()
}

/// Whether the document knows such an answer. Paths that it does not know are nobody's business here.
///
/// # Errors
/// What it does not know of the answer: method, status, content type or a member.
pub fn check(answered: &Answered<'_>) -> Result<(), String> {
    let Some((template, item)) = find(answered.path) else { return Ok(()) };
    let Some(operation) = item.get(answered.method.to_lowercase()) else {
        let is_refused = matches!(answered.status, 204 | 405);
        let text =
            || format!("{} {template} is not described and answers {}", answered.method, answered.status);
        return if is_refused { Ok(()) } else { Err(text()) };
    };
    let name = format!("{} {template} {}", answered.method, answered.status);
    let response = &operation["responses"][answered.status.to_string()];
    let response = resolve(response).ok_or_else(|| format!("{name}: the status is not described"))?;
    let kind = answered.content_type.split(';').next().unwrap_or_default().trim();
    let content = response["content"].get(kind);
    let content = content.ok_or_else(|| format!("{name}: `{kind}` is not described"))?;
    match (answered.body, content["schema"]["$ref"].as_str()) {
        (Some(body), Some(schema)) if kind == "application/json" => validate(&name, schema, body),
        _ => Ok(()),
    }
}

fn validate(name: &str, schema: &str, body: &Value) -> Result<(), String> {
    let validator = contract().validators.get(schema).ok_or_else(|| format!("{name}: no schema {schema}"))?;
    let wrong: Vec<String> =
        validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    if wrong.is_empty() { Ok(()) } else { Err(format!("{name}: {}\n{body}", wrong.join("\n"))) }
}

/// The described path that this one is, literal segments before parameters.
fn find(path: &str) -> Option<(&'static str, &'static Value)> {
    let path = path.split('?').next()?;
    let path = path.strip_prefix("/api").unwrap_or(path).strip_prefix("/v1")?;
    let paths = document()["paths"].as_object()?;
    let fitting = paths.iter().filter(|(template, _)| fits(template, path));
    let best = fitting.min_by_key(|(template, _)| template.matches('{').count())?;
    Some((best.0.as_str(), best.1))
}

fn fits(template: &str, path: &str) -> bool {
    let (wanted, given): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    wanted.len() == given.len()
        && wanted.iter().zip(given).all(|(wanted, given)| wanted.starts_with('{') || *wanted == given)
}

/// What a reference within the document leads to; what is no reference is itself.
pub fn resolve(value: &'static Value) -> Option<&'static Value> {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document().pointer(reference.strip_prefix('#')?),
        None => Some(value).filter(|value| !value.is_null()),
    }
}

fn contract() -> &'static Contract {
    static CONTRACT: OnceLock<Contract> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        let document: Value = serde_json::from_str(DOCUMENT).expect("the document is JSON");
        let schemas = document["components"]["schemas"].as_object().expect("there are schemas");
        let validators = schemas.keys().map(|name| {
            let reference = format!("#/components/schemas/{name}");
            let schema = json!({"$ref": reference, "components": document["components"]});
            let validator = jsonschema::validator_for(&schema);
            (reference, validator.unwrap_or_else(|error| panic!("schema {name}: {error}")))
        });
        Contract { validators: validators.collect(), document }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &str, path: &str, status: u16, body: &Value) -> Result<(), String> {
        check(&Answered { method, path, status, content_type: "application/json", body: Some(body) })
    }

    #[test]
    fn answers_are_held_against_the_schema_of_their_path_and_status() {
        let count = json!({"data": {"count": 3}});
        assert_eq!(checked("GET", "/api/v1/models/count?q=x", 200, &count), Ok(()));
        let error = json!({"error": {"code": 404, "message": "no", "metadata": {"error_type": "not_found"}}});
        assert_eq!(checked("GET", "/v1/models/a/b/endpoints", 404, &error), Ok(()));
        assert_eq!(checked("GET", "/nowhere", 200, &count), Ok(()));
        for (method, path, status, body) in [
            ("GET", "/v1/models/count", 200, &json!({"data": {"count": "3"}})),
            ("GET", "/v1/models/count", 201, &count),
            ("POST", "/v1/models/count", 200, &count),
            ("GET", "/v1/models/a/b", 404, &json!({"error": "no"})),
            ("GET", "/v1/models/a/b", 200, &count),
        ] {
            assert!(checked(method, path, status, body).is_err(), "{method} {path} {status}");
        }
        let html = Answered {
            method: "GET",
            path: "/v1/models",
            status: 200,
            content_type: "text/html",
            body: None,
        };
        assert!(check(&html).is_err());
    }
}
