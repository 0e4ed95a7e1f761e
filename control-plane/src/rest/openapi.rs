//! The OpenAPI 3.1 description of the admin API, made from the protos: paths, schemas, and comments as descriptions.
//!
//! It is a view of the same table that serves requests, so the two cannot disagree.

mod schema;

use std::sync::LazyLock;

use prost_reflect::{Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::rest::{docs::Documented, openapi::schema::Schemas, operation::Operation, operations};

static DOCUMENT: LazyLock<Value> = LazyLock::new(build);

/// The document, as JSON.
pub fn document() -> &'static Value {
    &DOCUMENT
}

fn build() -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.template().to_openapi()).or_insert_with(|| json!({}));
        path[operation.verb().as_str().to_ascii_lowercase()] = describe(operation, &mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Switchyard admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The JSON form of the gRPC services of package `switchyard.v1`. Field names are taken in snake \
                case and camel case; numbers of 64 bits are text in answers. A PATCH without `update_mask` changes the \
                fields that its body names.",
        },
        "servers": [{"url": "/"}],
        "security": [{"admin_token": []}],
        "tags": tags(),
        "paths": paths,
        "components": {
            "securitySchemes": {"admin_token": {
                "type": "http",
                "scheme": "bearer",
                "description": "An admin token, `sy-admin-v1-…`.",
            }},
            "responses": {"Error": {
                "description": "The call failed.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            }},
            "schemas": schemas.into_components(),
        },
    })
}

fn tags() -> Value {
    let mut tags: Vec<Value> = Vec::new();
    for operation in operations() {
        let service = operation.rpc().parent_service();
        let tag = json!({"name": tag(operation), "description": service.comment()});
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags.into()
}

/// The noun of an operation's service.
fn tag(operation: &Operation) -> String {
    operation.rpc().parent_service().name().trim_end_matches("Service").to_owned()
}

fn describe(operation: &Operation, schemas: &mut Schemas) -> Value {
    let rpc = operation.rpc();
    let status = operation.success().as_str().to_owned();
    let answer = schemas.reference(&rpc.output());
    let mut description = json!({
        "operationId": operation.id(),
        "tags": [tag(operation)],
        "summary": words(rpc.name()),
        "parameters": parameters(operation, schemas),
        "responses": {
            status: {"description": "Done.", "content": {"application/json": {"schema": answer}}},
            "default": {"$ref": "#/components/responses/Error"},
        },
    });
    if !rpc.comment().is_empty() {
        description["description"] = rpc.comment().into();
    }
    if operation.takes_body() {
        description["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": schemas.body(operation)}},
        });
    }
    description
}

/// `CreateKey` as `Create key`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
            words.push(character.to_ascii_lowercase());
        } else {
            words.push(character);
        }
    }
    words
}

fn parameters(operation: &Operation, schemas: &mut Schemas) -> Vec<Value> {
    let mut parameters = Vec::new();
    for name in operation.template().fields() {
        let mut parameter =
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}});
        let field = operation.rpc().input().get_field_by_name(name);
        if let Some(comment) = field.map(|field| field.comment()).filter(|comment| !comment.is_empty()) {
            parameter["description"] = comment.into();
        }
        parameters.push(parameter);
    }
    if !operation.takes_body() {
        let taken: Vec<&str> = operation.template().fields().collect();
        query(&operation.rpc().input(), "", &taken, schemas, &mut parameters);
    }
    parameters
}

/// The fields of a request without a body; those of inner messages are `outer.inner`.
fn query(
    descriptor: &MessageDescriptor,
    prefix: &str,
    taken: &[&str],
    schemas: &mut Schemas,
    parameters: &mut Vec<Value>,
) {
    for field in descriptor.fields() {
        let name = format!("{prefix}{}", field.name());
        if taken.contains(&name.as_str()) {
            continue;
        }
        match field.kind() {
            Kind::Message(inner) if inner.package_name() != "google.protobuf" => {
                query(&inner, &format!("{name}."), taken, schemas, parameters);
            }
            _ => {
                let mut parameter = json!({"name": name, "in": "query", "schema": schemas.field(&field)});
                if !field.comment().is_empty() {
                    parameter["description"] = field.comment().into();
                }
                parameters.push(parameter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_resolves() {
        let mut found = Vec::new();
        references(document(), &mut found);
        assert!(found.len() > 50);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document().pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_rpc_with_a_path_is_described() {
        for operation in operations() {
            let described = &document()["paths"][operation.template().to_openapi()]
                [operation.verb().as_str().to_lowercase()];
            assert_eq!(described["operationId"], operation.id());
        }
    }

    #[test]
    fn operation_ids_are_unique_and_path_parameters_are_in_the_path() {
        let mut ids = std::collections::HashSet::new();
        for (path, verbs) in document()["paths"].as_object().unwrap() {
            for operation in verbs.as_object().unwrap().values() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{path}");
                let parameters = operation["parameters"].as_array().unwrap();
                let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
                let names: Vec<&str> = in_path.map(|parameter| parameter["name"].as_str().unwrap()).collect();
                assert_eq!(names.len(), path.matches('{').count(), "{path}");
                assert!(names.iter().all(|name| path.contains(&format!("{{{name}}}"))), "{path}");
            }
        }
    }

    #[test]
    fn comments_directions_and_forms_are_told() {
        let schemas = &document()["components"]["schemas"];
        let key = &schemas["Key"]["properties"];
        assert_eq!(key["name"]["description"], "Unique in its tenant.");
        assert_eq!(key["hash"]["readOnly"], true);
        assert_eq!(key["revision"]["type"], "string");
        assert_eq!(schemas["Provider"]["properties"]["credential"]["writeOnly"], true);
        let create = &document()["paths"]["/admin/v1/tenants/{tenant}/keys"]["post"];
        let body = &create["requestBody"]["content"]["application/json"]["schema"]["properties"];
        assert!(body.get("tenant").is_none() && body.get("key").is_some());
        assert!(create["responses"].get("201").is_some());
    }
}
