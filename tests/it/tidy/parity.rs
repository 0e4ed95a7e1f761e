//! `docs/parity.md` says of OpenRouter's API what is true: each call that works is described and has a test, and what is described
//! is on the page. That what is not there is not there is asked of a running system, in `openapi.rs`.

use std::collections::BTreeSet;

use switchyard_tests::contract::operations;

use super::source::{files, read};

/// One row of a table: what, how it stands, and the words beside.
struct Row {
    what: String,
    state: String,
    why: String,
}

fn rows() -> Vec<Row> {
    let page = read("docs/parity.md");
    let cells = page.lines().filter(|line| line.starts_with("| ")).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "docs/parity.md: `{line}` has not three cells");
        Row { what: cells[0].to_owned(), state: cells[1].to_owned(), why: cells[2].to_owned() }
    });
    cells.filter(|row| row.state != "here").collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// `GET /models` of a row about a call.
fn call(row: &Row) -> Option<String> {
    let name = quoted(&row.what).next()?;
    let (method, path) = name.split_once(' ')?;
    let is_method = ["GET", "POST", "PATCH", "DELETE"].contains(&method);
    (is_method && path.starts_with('/')).then(|| name.to_owned())
}

/// Names of tests and of the cases that clients' packages run.
fn tests() -> BTreeSet<String> {
    let is_one = |path: &String| [".rs", ".py", ".mjs"].iter().any(|end| path.ends_with(end));
    let name = |rest: &str| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
        rest[end..].starts_with("()").then(|| rest[..end].to_owned())
    };
    let names = |path: String| {
        let text = read(&path);
        let starts = text.lines().filter_map(move |line| {
            let line = line.trim_start().trim_start_matches("async ");
            name(line.trim_start_matches("fn ").trim_start_matches("def "))
        });
        starts.collect::<Vec<_>>()
    };
    files().into_iter().filter(is_one).flat_map(names).collect()
}

/// The calls on the page, each with how it stands.
pub fn calls() -> Vec<(String, String)> {
    rows().iter().filter_map(|row| Some((call(row)?, row.state.clone()))).collect()
}

fn described() -> BTreeSet<String> {
    operations().into_iter().map(|(method, path, _)| format!("{method} {path}")).collect()
}

#[test]
fn every_row_is_true() {
    let (described, tests) = (described(), tests());
    for row in &rows() {
        let (Row { what, state, why }, call) = (row, call(row));
        let is_described = call.as_ref().map(|call| described.contains(call));
        match state.as_str() {
            "yes" | "partly" => {
                assert!(quoted(why).any(|name| tests.contains(name)), "{what}: names no test that there is");
                assert_ne!(is_described, Some(false), "{what}: the OpenAPI document does not describe it");
            }
            "501" | "no" => {
                assert!(!why.is_empty(), "{what}: why not?");
                assert_ne!(is_described, Some(true), "{what}: is there, the OpenAPI document says");
            }
            _ => panic!("{what}: `{state}` is none of yes, partly, 501 and no"),
        }
        let is_test = |name: &&str| name.len() > 25 && name.contains('_') && !name.contains(['.', '/']);
        for name in quoted(why).filter(is_test) {
            assert!(tests.contains(name), "{what}: there is no test `{name}`");
        }
    }
}

#[test]
fn every_call_is_on_the_page() {
    let named: BTreeSet<String> = calls().into_iter().map(|(call, _)| call).collect();
    let missing: Vec<String> = described().into_iter().filter(|call| !named.contains(call)).collect();
    assert!(missing.is_empty(), "docs/parity.md says nothing of {missing:?}");
}
