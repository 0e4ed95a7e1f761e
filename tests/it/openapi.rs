//! The OpenAPI document of the client API: whole, about every route, and about no other. Whether answers are as it says is
//! seen by the harness's client, of every answer.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_data_plane::api::surface::Surface;
use switchyard_tests::cluster::Cluster;
use switchyard_tests::contract::{self, operations};

use crate::tidy::parity;
use crate::tidy::source::read;

/// Where routes are written down.
const ROUTES: [&str; 3] = [
    "data-plane/src/server/routes.rs",
    "data-plane/src/server/catalogue.rs",
    "data-plane/src/server/account.rs",
];

/// Every path that a text names: literals that begin with a slash, below `/api/v1`. What answers 501 is not described.
fn paths(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let (before, later) = code.split_once("const LATER").unwrap_or((code, ""));
    let code = [before, later.split_once("];").map_or("", |(_, after)| after)].concat();
    let literals = code.split('"').skip(1).step_by(2);
    let is_path = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_lowercase() || b"/{}_.".contains(&byte) || byte.is_ascii_digit())
    };
    let below = literals.filter(|text| text.starts_with('/') && is_path(text));
    let below = below.map(|path| path.strip_prefix("/api/v1").unwrap_or(path));
    below.filter(|path| !["", "/", "/api", "/v1"].contains(path)).map(str::to_owned).collect()
}

#[test]
fn every_route_is_described() {
    let own: BTreeSet<String> = ROUTES.iter().flat_map(|file| paths(&read(file))).collect();
    assert!(own.len() > 20, "only {own:?}: have the routes moved?");
    let surfaces = Surface::ALL.map(|surface| surface.path().to_owned());
    let described: BTreeSet<&str> = operations().into_iter().map(|(_, path, _)| path).collect();
    let missing: Vec<String> =
        own.into_iter().chain(surfaces).filter(|path| !described.contains(path.as_str())).collect();
    assert!(missing.is_empty(), "data-plane/src/server/openapi.json does not describe {missing:?}");
}

/// An example of a path, and what its parameters can be.
fn example(path: &str) -> String {
    let hash = "0".repeat(64);
    path.replace("{author}", "test")
        .replace("{slug}", "echo")
        .replace("{name}", "echo")
        .replace("{hash}", &hash)
}

#[tokio::test]
async fn every_description_has_a_route() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    for (method, path, said) in operations() {
        let method: &'static str = method.leak();
        let has_body = said.get("requestBody").is_some();
        let body = has_body.then(|| json!({}));
        let answer = client.call(method, &format!("/api/v1{}", example(path)), body.as_ref()).await;
        assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert!(!answer.message().starts_with("There is no `"), "{method} {path}: {}", answer.text);
        let is_later = said["tags"] == json!(["later"]);
        assert!(
            !is_later || answer.status == StatusCode::NOT_IMPLEMENTED,
            "{method} {path}: {}",
            answer.text
        );
    }
    let served = client.get("/v1/openapi.json").await.ok();
    assert_eq!(&served, contract::document());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_page_of_parity_says_is_not_there_is_not() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let mut later = 0;
    for (call, state) in parity::calls() {
        let (method, path) = call.split_once(' ').unwrap();
        let (method, path) = (if method == "GET" { "GET" } else { "POST" }, format!("/api/v1{path}"));
        match state.as_str() {
            "501" => {
                let answer = client.call(method, &path, None).await;
                assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "{call}: {}", answer.text);
                assert!(answer.message().ends_with("is not supported yet."), "{}", answer.text);
                later += 1;
            }
            "no" => {
                let status = client.call(method, &path, None).await.status;
                let is_missing = matches!(status, StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED);
                assert!(is_missing, "{call}: {status}");
            }
            _ => {}
        }
    }
    assert!(later > 3, "docs/parity.md has only {later} rows of what answers 501");
    cluster.stop().await.unwrap();
}

/// Every reference in a value.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value.as_str().filter(|_| name == "$ref") {
                Some(reference) => vec![reference],
                None => references(value),
            })
            .collect(),
        Value::Array(list) => list.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_document_is_whole() {
    let document = contract::document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for reference in references(document) {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    let used: BTreeSet<&str> = references(document).into_iter().collect();
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(used.contains(&*format!("#/components/{kind}/{name}")), "{kind}/{name} is not used");
        }
    }
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for (method, path, said) in operations() {
        let name = format!("{method} {path}");
        assert!(ids.insert(said["operationId"].as_str().unwrap()), "{name}: its id is another's too");
        assert!(said["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{name}: no summary");
        assert!(
            said["tags"].as_array().unwrap().iter().all(|tag| tags.contains(&tag)),
            "{name}: an unknown tag"
        );
        for parameter in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            let mut own = said["parameters"].as_array().into_iter().flatten();
            let is_own = |own: &Value| own["in"] == "path" && own["name"] == parameter;
            assert!(own.any(is_own), "{name}: `{parameter}` is not described");
        }
        for (status, response) in said["responses"].as_object().unwrap() {
            let response = contract::resolve(response).unwrap();
            assert!(status.parse::<u16>().is_ok() && response["description"].is_string(), "{name} {status}");
        }
    }
}
