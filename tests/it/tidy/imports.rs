//! Who may import whom, per plane: the table, and the test that reads every path in the code against it.

use std::collections::BTreeSet;

use super::source::{self, Source, paths, sources};

/// One line of the table. A module's own folder is always open to it; a longer name goes before a shorter one.
struct Row {
    module: &'static str,
    /// `*` is everything in the crate.
    may_import: &'static [&'static str],
    /// Values in, values out: no I/O, no clock.
    is_pure: bool,
}

const fn pure(module: &'static str, may_import: &'static [&'static str]) -> Row {
    Row { module, may_import, is_pure: true }
}

const fn rim(module: &'static str, may_import: &'static [&'static str]) -> Row {
    Row { module, may_import, is_pure: false }
}

/// Lowest layer first. If it turns out wrong, change the table with a reason, not the rule's spirit.
#[rustfmt::skip] // A table: one row, one line.
const DATA_PLANE: &[Row] = &[
    pure("model", &[]),
    pure("wire", &[]),
    // What stages refuse becomes one type here, so it knows their small ones.
    pure("error", &["api", "adapters", "model"]),
    pure("api", &["model", "wire", "error"]),
    pure("adapters", &["model", "wire", "error"]),
    pure("config::shards", &[]),
    pure("config::pending", &[]),
    pure("config::snapshot", &["config::shards", "config::pending", "judge", "model", "adapters"]),
    // A preset is read as the requests are that it will be part of.
    pure("config::compile", &["api", "config::shards", "config::pending", "config::snapshot", "judge", "model", "adapters", "wire"]),
    pure("price", &["config::snapshot", "model"]),
    pure("identity", &["config::snapshot", "model", "error"]),
    // Health tells failures apart as adapters classify them.
    pure("routing", &["config::snapshot", "identity", "price", "model", "error", "adapters::failure"]),
    // An answer is judged by what was asked; what follows from it, and for whom, is the pipeline's.
    pure("judge", &["model", "error"]),
    // What a request asks of the router itself is done to its own bytes, which are read again.
    pure("extensions", &["api", "config::snapshot", "identity", "judge", "price", "routing", "model", "wire", "error"]),
    // What is shown of a tenant's endpoints is what its rules let routing try, and how health says they do.
    pure("catalogue", &["config::snapshot", "identity", "price", "model", "error", "routing"]),
    pure("usage::record", &["config::snapshot", "price", "model", "error"]),
    rim("settings", &[]),
    rim("background", &[]),
    // Metrics and spans are made from the trail at the ending; the trail knows its span.
    rim("telemetry", &["pipeline::client", "pipeline::trail", "config::snapshot"]),
    // A record holds what the usage module knows of an attempt; its words are `usage::record`'s.
    rim("journal", &["background", "settings", "model", "error", "usage::record"]),
    rim("link", &["background", "settings", "model", "error"]),
    // Whole answers, as the model has them.
    rim("cache", &["model", "settings"]),
    // The watch tells limits which accounts changed, hears recalls and the fleet's health; nothing comes back.
    rim("config", &["background", "settings", "link", "limits", "adapters", "model", "error", "identity", "routing::health", "telemetry::record"]),
    rim("limits", &["background", "settings", "journal", "link", "usage::record", "config::snapshot", "model", "error"]),
    // What an answer is compared with is the adapters'; when and how much is looked at is not.
    rim("drift", &["background", "settings", "config::snapshot", "adapters"]),
    rim("upstream", &["background", "settings", "drift", "config::snapshot", "adapters", "model", "error"]),
    // How endpoints do is reported beside what was used.
    rim("usage", &["background", "drift", "settings", "journal", "link", "config::snapshot", "price", "model", "error", "routing::health"]),
    // A data plane's back without its front: the journal goes to the ledger, and the leases back.
    rim("orphan", &["background", "settings", "journal", "link", "limits", "usage"]),
    rim("account", &["link", "model", "error"]),
    rim("pipeline", &[
        "account", "adapters", "api", "background", "cache", "catalogue", "config", "drift", "error", "extensions", "identity", "journal", "judge",
        "limits", "link", "model", "price", "routing", "settings", "telemetry", "upstream", "usage", "wire",
    ]),
    rim("server", &["*"]),
    rim("app", &["*"]),
];

#[rustfmt::skip] // A table: one row, one line.
const CONTROL_PLANE: &[Row] = &[
    pure("domain", &[]),
    // Rows of providers and models to start from, built in.
    pure("catalogue", &["domain"]),
    rim("crypto", &[]),
    rim("settings", &[]),
    // Names and units of metrics, and the functions that record them.
    rim("telemetry", &[]),
    rim("error", &["domain", "store", "crypto"]),
    // Sealed forms are stored as they are; only crypto can open them.
    rim("store", &["domain", "crypto"]),
    rim("auth", &["domain", "store", "error"]),
    rim("service", &["catalogue", "domain", "store", "auth", "crypto", "error"]),
    rim("distribution", &["catalogue", "telemetry", "domain", "store", "crypto", "error", "settings", "service"]),
    rim("money", &["telemetry", "domain", "store", "error", "settings"]),
    // A tenant's own API, which data planes forward.
    rim("account", &["telemetry", "domain", "store", "auth", "service", "error"]),
    // A policy's stages have one shape, on the admin's wire and on the fleet's.
    rim("grpc", &["domain", "auth", "service", "error", "distribution::policy"]),
    rim("rest", &["domain", "auth", "service", "error", "grpc"]),
    // A secret is opened to sign with it, at the moment of sending.
    rim("webhooks", &["domain", "store", "crypto", "settings"]),
    rim("jobs", &["telemetry", "domain", "store", "auth", "service", "distribution", "money", "webhooks", "error", "settings"]),
    rim("app", &["*"]),
];

/// Names of metrics are one list for everybody.
const OPEN_TO_ALL: &[&str] = &["telemetry::metrics"];

/// What a pure module may not even name.
#[rustfmt::skip] // A list, not a column.
const IMPURE: &[&str] = &[
    "axum",
    "hyper",
    "hyper_rustls",
    "hyper_util",
    "redis",
    "reqwest",
    "rustls",
    "socket2",
    "sqlx",
    "tokio",
    "tokio_rustls",
    "tokio_stream",
    "tokio_util",
    "tonic",
    "tower",
    "tower_http",
];
const IMPURE_STD: &[&str] = &["std::fs", "std::process", "std::env", "std::thread", "clock::now"];

/// Where each module of a crate is written down.
fn row<'a>(table: &'a [Row], module: &str) -> Option<&'a Row> {
    let fits = |row: &&Row| is_within(module, row.module);
    table.iter().filter(fits).max_by_key(|row| row.module.len())
}

fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What a path of a file names in its own crate; `None` if it leads elsewhere.
fn target(module: &str, path: &[String]) -> Option<String> {
    match path[0].as_str() {
        "crate" => Some(path[1..].join("::")),
        "super" => {
            let ups = path.iter().take_while(|segment| *segment == "super").count();
            let own: Vec<&str> = module.split("::").collect();
            let kept = own.len().checked_sub(ups)?;
            let rest = path[ups..].iter().map(String::as_str);
            Some(own[..kept].iter().copied().chain(rest).collect::<Vec<_>>().join("::"))
        }
        _ => None,
    }
}

/// Why a file breaks the table; empty if it does not.
fn breaches(table: &[Row], file: &Source) -> BTreeSet<String> {
    let module = file.module();
    let Some(row) = row(table, &module) else {
        return [format!(
            "{}: `{module}` is not in the import table; give it a row, lowest layer first",
            file.path
        )]
        .into();
    };
    let mut breaches = BTreeSet::new();
    for path in paths(&file.code()) {
        if let Some(target) = target(&module, &path).filter(|target| !target.is_empty()) {
            let may =
                row.may_import.iter().chain(OPEN_TO_ALL).any(|open| *open == "*" || is_within(&target, open));
            // A folder's map may be named by what is in the folder, its other files only where the row says so.
            if !may && !is_within(&target, row.module) {
                breaches.insert(format!("{}: `{}` may not import `crate::{target}`", file.path, row.module));
            }
        } else if row.is_pure && path.len() > 1 && is_impure(&path) {
            breaches.insert(format!(
                "{}: `{}` is pure and may not use `{}`",
                file.path,
                row.module,
                path.join("::")
            ));
        }
    }
    breaches
}

fn is_impure(path: &[String]) -> bool {
    let name = path.join("::");
    IMPURE.contains(&path[0].as_str())
        || IMPURE_STD.iter().any(|banned| is_within(&name, banned) || name.ends_with(&format!("::{banned}")))
}

fn check(folder: &str, table: &[Row]) {
    let files = sources(folder);
    assert!(!files.is_empty(), "no files in {folder}");
    let breaches: BTreeSet<String> = files
        .iter()
        .filter(|file| !file.is_test() && !file.module().is_empty())
        .flat_map(|file| breaches(table, file))
        .collect();
    let list: Vec<String> = breaches.into_iter().collect();
    assert!(
        list.is_empty(),
        "imports that the table in tests/it/tidy/imports.rs does not allow:\n  {}\n\
         A value should come as an argument, or the code belongs in another module. A new edge needs a line in the \
         table with its reason, and in ARCHITECTURE.md.",
        list.join("\n  ")
    );
}

#[test]
fn data_plane_modules_import_what_the_table_allows() {
    check("data-plane/src/", DATA_PLANE);
}

#[test]
fn control_plane_modules_import_what_the_table_allows() {
    check("control-plane/src/", CONTROL_PLANE);
}

#[test]
fn the_table_has_no_row_without_a_module() {
    for (folder, table) in [("data-plane/src/", DATA_PLANE), ("control-plane/src/", CONTROL_PLANE)] {
        let modules: Vec<String> = sources(folder).iter().map(Source::module).collect();
        for row in table {
            let is_there = modules.iter().any(|module| is_within(module, row.module));
            assert!(
                is_there,
                "{folder}: the import table has a row for `{}`, which is gone: remove it",
                row.module
            );
        }
    }
}

/// Azure serves OpenAI's chat dialect itself, under other paths and with errors of its own: it wraps the adapter whole,
/// through the trait's functions, so that a copy cannot fall behind. Mistral's answers are the same dialect, too. Whoever
/// speaks OpenAI's Responses has its embeddings beside them.
const WRAPPED: [(&str, &str); 3] = [
    ("adapters::azure", "adapters::openai"),
    ("adapters::mistral", "adapters::openai"),
    ("adapters::openai_responses", "adapters::openai"),
];

#[test]
fn an_adapter_does_not_know_another() {
    let adapters: Vec<Source> = sources("data-plane/src/adapters/");
    let dialects: BTreeSet<String> =
        adapters.iter().filter(|file| file.text.contains("impl Adapter for")).map(Source::module).collect();
    assert!(!dialects.is_empty(), "no file has `impl Adapter for`: has the trait moved?");
    for file in adapters.iter().filter(|file| !file.is_test()) {
        let module = file.module();
        let own = dialects.iter().find(|dialect| is_within(&module, dialect));
        let targets = paths(&file.code());
        for target in targets.iter().filter_map(|path| target(&module, path)) {
            let is_wrapped = |other: &str| own.is_some_and(|own| WRAPPED.contains(&(own, other)));
            let other = dialects
                .iter()
                .find(|dialect| is_within(&target, dialect) && Some(*dialect) != own && !is_wrapped(dialect));
            assert!(
                other.is_none() || own.is_none(),
                "{}: an adapter knows the adapter `{target}`; move what both need to a file beside them",
                file.path
            );
        }
    }
}

#[test]
fn sql_is_written_in_the_store_alone() {
    for file in sources("control-plane/src/") {
        let module = file.module();
        if is_within(&module, "store") || file.is_test() {
            continue;
        }
        for path in paths(&file.code()) {
            let name = path.join("::");
            let is_sql = [
                "sqlx::query",
                "sqlx::query_as",
                "sqlx::query_scalar",
                "sqlx::raw_sql",
                "sqlx::QueryBuilder",
            ]
            .contains(&name.as_str());
            assert!(!is_sql, "{}: `{name}` outside `store`; give the store a function for it", file.path);
        }
    }
}

#[test]
fn generated_messages_stop_at_the_control_planes_edges() {
    for file in sources("control-plane/src/") {
        let module = file.module();
        let inner = ["domain", "store", "service"].iter().any(|inner| is_within(&module, inner));
        let named =
            paths(&file.code()).into_iter().find(|path| path.join("::").contains("switchyard_proto::v1"));
        assert!(
            !inner || named.is_none() || file.is_test(),
            "{}: names `{}`; inside, the plane has types of its own: convert in grpc, distribution or money",
            file.path,
            named.unwrap_or_default().join("::")
        );
    }
}

#[test]
fn the_planes_do_not_depend_on_each_other_and_nothing_depends_on_the_tests() {
    const MAY_DEPEND: &[(&str, &[&str])] = &[
        ("proto", &[]),
        ("guard", &[]),
        ("data-plane", &["switchyard-proto", "switchyard-guard"]),
        ("control-plane", &["switchyard-proto", "switchyard-guard"]),
        ("cli", &["switchyard-proto", "switchyard-data-plane", "switchyard-control-plane"]),
    ];
    for (package, may) in MAY_DEPEND {
        let manifest = source::read(&format!("{package}/Cargo.toml"));
        let names = manifest.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
        for name in names.filter(|name| name.starts_with("switchyard-")) {
            assert!(
                may.contains(&name),
                "{package}/Cargo.toml depends on {name}, which the layout does not allow"
            );
        }
    }
}
