//! Query parameters to a message's fields: `page_size=10`, `since=…`, `a.b=…`, lists by repetition.

use axum::extract::Query;
use http::Uri;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};
use serde_json::Value as Json;
use switchyard_proto::code::ErrorCode;

use crate::rest::{decode, fault::Fault, operation::Operation};

/// Sets the fields that the query names.
///
/// # Errors
/// Names a parameter that is no field, is in the path or body already, is repeated or cannot be read.
pub(super) fn apply(operation: &Operation, query: &str, message: &mut DynamicMessage) -> Result<(), Fault> {
    for (name, text) in pairs(query)? {
        if operation.takes_body() {
            return Err(Fault::bad_field(&name, "is no query parameter here: fields go into the body"));
        }
        if operation.template().fields().any(|field| field == name) {
            return Err(Fault::bad_field(&name, "is in the path already"));
        }
        set(message, &name, &text, "")?;
    }
    Ok(())
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Fault> {
    let uri: Uri = format!("/?{query}").parse().expect("the query came in a URI");
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&uri);
    pairs
        .map(|Query(pairs)| pairs)
        .map_err(|_| Fault::new(ErrorCode::InvalidRequest, "the query cannot be read"))
}

fn set(message: &mut DynamicMessage, name: &str, text: &str, at: &str) -> Result<(), Fault> {
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let unknown = |_| Fault::bad_field(&decode::join(at, first), "is not a query parameter of this call");
    let field = decode::field(&message.descriptor(), first, at).map_err(unknown)?;
    let path = decode::join(at, field.name());
    match rest {
        Some(rest) => match message.get_field_mut(&field) {
            Value::Message(inner) if !is_well_known(&field) => set(inner, rest, text, &path),
            _ => Err(Fault::bad_field(&decode::join(&path, rest), "is not a query parameter of this call")),
        },
        None if field.is_list() => append(message, &field, text, &path),
        None if message.has_field(&field) => Err(Fault::bad_field(&path, "is given twice")),
        None => {
            let value = decode::value(&field, &json(&field, text), &path)?;
            message.set_field(&field, value);
            Ok(())
        }
    }
}

fn append(message: &mut DynamicMessage, field: &FieldDescriptor, text: &str, at: &str) -> Result<(), Fault> {
    let added = decode::value(field, &Json::Array(vec![json(field, text)]), at)?;
    if let (Value::List(list), Value::List(added)) = (message.get_field_mut(field), added) {
        list.extend(added);
    }
    Ok(())
}

/// A parameter's text in the JSON form of its field: all kinds but booleans may be text there too.
fn json(field: &FieldDescriptor, text: &str) -> Json {
    match (field.kind(), text) {
        (Kind::Bool, "true") => Json::Bool(true),
        (Kind::Bool, "false") => Json::Bool(false),
        _ => Json::from(text),
    }
}

fn is_well_known(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(descriptor) if descriptor.package_name() == "google.protobuf")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::operations;

    fn check(name: &str, query: &str) -> Result<DynamicMessage, Fault> {
        let operation = operations().iter().find(|operation| operation.name() == name).unwrap();
        let mut message = DynamicMessage::new(operation.rpc().input());
        apply(operation, query, &mut message).map(|()| message)
    }

    #[test]
    fn times_and_texts_are_read() {
        let message = check(
            "UsageService/ListGenerations",
            "tenant=acme&since=2026-11-23T00:00:00Z&until=2026-11-24T00%3A00%3A00.5%2B01%3A00&page_size=5",
        );
        let request: switchyard_proto::v1::ListGenerationsRequest = message.unwrap().transcode_to().unwrap();
        assert_eq!((request.tenant.as_str(), request.page_size), ("acme", 5));
        let until = request.until.unwrap();
        assert_eq!(
            (request.since.unwrap().seconds, until.seconds, until.nanos),
            (1795392000, 1795474800, 500_000_000)
        );
    }

    #[test]
    fn parameters_that_do_not_fit_are_named() {
        for (query, field) in [
            ("since=yesterday", "since"),
            ("since.seconds=1", "since.seconds"),
            ("tenant.id=1", "tenant.id"),
            ("nothing=1", "nothing"),
            ("nothing.inner=1", "nothing"),
            ("page_size=-1", "page_size"),
        ] {
            let fault = check("UsageService/ListGenerations", query).unwrap_err();
            assert_eq!(fault.field.as_deref(), Some(field), "{query}");
        }
    }
}
