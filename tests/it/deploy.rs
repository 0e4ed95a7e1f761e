//! The deploy files name only settings and ports that the programs know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_yaml_ng::Value;

/// Ours, and those of the stores beside us.
const PORTS: [u64; 7] = [8080, 8081, 50051, 9090, 9091, 5432, 6379];

/// Each process's listening settings and the port that the manifests must open for it.
const LISTENS: [(&str, &[u64]); 4] = [
    ("SWITCHYARD_LISTEN", &[8080]),
    ("SWITCHYARD_ADMIN_LISTEN", &[8081]),
    ("SWITCHYARD_FLEET_LISTEN", &[50051]),
    ("SWITCHYARD_OPS_LISTEN", &[9090, 9091]),
];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Every file under `deploy/`, with its text.
fn files() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![deploy()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(files.insert(path.clone(), fs::read_to_string(path).unwrap())),
            }
        }
    }
    assert!(files.len() > 5, "the deploy files have moved");
    files
}

/// The documents of every YAML file.
fn documents() -> Vec<(PathBuf, Value)> {
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml");
    let parse = |(path, text): (PathBuf, String)| {
        let documents: Vec<Value> = serde_yaml_ng::Deserializer::from_str(&text)
            .map(|part| Value::deserialize(part).unwrap())
            .collect();
        documents.into_iter().map(move |document| (path.clone(), document)).collect::<Vec<_>>()
    };
    files().into_iter().filter(|(path, _)| is_yaml(path)).flat_map(parse).collect()
}

/// Calls `visit` for every entry of every mapping, however deep.
fn walk(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                visit(key.as_str().unwrap_or_default(), value);
                walk(value, visit);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

/// The words of `text` that look like one of our environment variables.
fn variables(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.split(|c| !is_part(c)).filter(|word| word.starts_with("SWITCHYARD_")).collect()
}

#[test]
fn every_environment_variable_is_a_setting() {
    let known = switchyard_cli::settings::environment_names();
    for (path, text) in files() {
        for name in variables(&text) {
            assert!(known.iter().any(|known| known == name), "{}: `{name}` is no setting", path.display());
        }
    }
}

#[test]
fn every_port_is_one_of_ours() {
    for (path, document) in documents() {
        walk(&document, &mut |key, value| {
            let numbers = match (key, value) {
                ("port" | "containerPort" | "targetPort", value) => value.as_u64().into_iter().collect(),
                // `127.0.0.1:8081:8081`: the last one is the container's.
                ("ports", Value::Sequence(ports)) => ports
                    .iter()
                    .filter_map(|port| port.as_str()?.rsplit(':').next()?.parse().ok())
                    .collect::<Vec<u64>>(),
                _ => Vec::new(),
            };
            for port in numbers {
                assert!(PORTS.contains(&port), "{}: nobody listens on {port}", path.display());
            }
        });
    }
}

#[test]
fn every_listening_setting_has_the_port_that_is_opened_for_it() {
    for (path, text) in files() {
        for (name, ports) in LISTENS {
            for line in text.lines().filter(|line| variables(line).contains(name)) {
                let fits = ports.iter().any(|port| line.contains(&format!("0.0.0.0:{port}")));
                assert!(fits, "{}: `{}` is not one of {ports:?}", path.display(), line.trim());
            }
        }
    }
}

#[test]
fn the_image_opens_every_port_of_ours() {
    let dockerfile = fs::read_to_string(deploy().join("Dockerfile")).unwrap();
    let exposed = dockerfile.lines().find_map(|line| line.strip_prefix("EXPOSE ")).unwrap();
    for port in LISTENS.iter().flat_map(|(_, ports)| ports.iter()) {
        assert!(exposed.split(' ').any(|word| word == port.to_string()), "{port} is not exposed");
    }
}
