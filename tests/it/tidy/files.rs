//! What every file has and none has: a module doc, a bearable length, no ignored tests, no fixed sleeps.

use super::source::{Source, files, paths, read, root, sources};

/// Longer than this, a file has a second subject in it.
const MOST_LINES: usize = 600;

/// Files that are longer, with their length and the reason. The list may only shrink.
const LONG: &[(&str, usize, &str)] = &[];

/// Where tests may wait by sleeping: helpers that poll a condition until a deadline.
const WAITERS: &[(&str, &str)] = &[
    ("tests/src/wait.rs", "the one helper of the scenarios"),
    ("tests/src/soak.rs", "is not a wait but a run of so many seconds; polls for its end, until a deadline"),
    ("tests/src/soak/load.rs", "callers call so often, not as often as they can"),
    ("tests/src/soak/system.rs", "a fault lasts for so long"),
    ("tests/src/redis.rs", "polls a starting server, until a deadline"),
    ("cli/src/dev/postgres/tests.rs", "polls the end of processes, until a deadline"),
    ("data-plane/src/limits/tests.rs", "a lender that takes its time, and polls until a deadline"),
    ("data-plane/src/usage/ship/tests.rs", "polls a condition, until a deadline"),
    ("data-plane/src/limits/rates/tests.rs", "polls a starting server and what it counts, until a deadline"),
    ("data-plane/src/pipeline/reply/tests.rs", "is not a wait but the work that takes time"),
];

/// Crates that cost minutes to build or bring a C library; rustls runs on ring.
const BANNED_CRATES: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl-sys", "openssl"];

#[test]
fn every_file_opens_with_a_module_doc() {
    for file in sources("") {
        let first = file.text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("//! ") && first.len() > 10,
            "{}: opens with `{first}`. Begin with `//!`: what lives here, what deliberately does not, who calls it",
            file.path
        );
    }
}

#[test]
fn no_file_is_longer_than_it_should_be() {
    for file in sources("") {
        let lines = file.text.lines().count();
        let listed = LONG.iter().find(|(path, ..)| *path == file.path);
        match listed {
            None => assert!(
                lines <= MOST_LINES,
                "{}: {lines} lines. Look for the second subject in it and give that a file of its own",
                file.path
            ),
            Some((path, most, why)) => {
                assert!(
                    lines <= *most,
                    "{path}: grew to {lines} lines; it is listed with {most} because {why}"
                );
                assert!(
                    lines > MOST_LINES,
                    "{path}: is short enough now: remove it from the list, thank you"
                );
            }
        }
    }
    for (path, ..) in LONG {
        assert!(root().join(path).exists(), "{path} is gone: remove it from the list");
    }
}

#[test]
fn no_test_is_ignored() {
    for file in sources("") {
        let code = [file.code(), file.test_code()].concat();
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        assert!(
            !code.contains("#[ignore"),
            "{}: an ignored test. Assert today's behaviour and say why it is wrong, or fix it",
            file.path
        );
    }
}

/// Time that is paused passes at once, so tests with it may sleep.
#[test]
fn no_test_sleeps() {
    let sleeps = |code: &str| paths(code).iter().any(|path| path.last().is_some_and(|name| name == "sleep"));
    let is_listed = |path: &str| WAITERS.iter().any(|(listed, _)| *listed == path);
    let is_paused = |text: &str| text.contains("start_paused") || text.contains("time::pause()");
    let sleepers: Vec<String> = sources("")
        .into_iter()
        .filter(|file| !is_listed(&file.path) && !is_paused(&file.text) && sleeps(&file.test_code()))
        .map(|file| file.path)
        .collect();
    assert!(
        sleepers.is_empty(),
        "tests that sleep: {sleepers:#?}\nWait for the condition itself, with a deadline: switchyard_tests::wait::until. A helper \
         that polls goes on the list of waiters"
    );
    for (path, _) in WAITERS {
        let file = Source { path: (*path).to_owned(), text: read(path) };
        assert!(sleeps(&file.test_code()), "{path} no longer sleeps: remove it from the list of waiters");
    }
}

#[test]
fn no_file_names_a_place_on_this_machine() {
    let checkout = root().canonicalize().unwrap();
    let beside = checkout.parent().map(|folder| folder.join("shared"));
    let places: Vec<String> =
        [Some(checkout), beside].into_iter().flatten().map(|place| place.display().to_string()).collect();
    for path in files() {
        let text = read(&path);
        for place in &places {
            assert!(!text.contains(place), "{path}: names `{place}`; say it relative to the repository");
        }
    }
}

#[test]
fn rustls_runs_on_ring_and_no_c_library_of_tls_is_built() {
    let lock = read("Cargo.lock");
    for name in BANNED_CRATES {
        assert!(
            !lock.lines().any(|line| line == format!("name = \"{name}\"")),
            "Cargo.lock has {name}. `cargo tree -i {name}` names who wants it: choose its ring feature"
        );
    }
}

#[test]
fn nothing_new_stands_at_the_top_without_a_reason() {
    const FOLDERS: &[&str] = &[
        ".ci",
        ".config",
        "cli",
        "control-plane",
        "data-plane",
        "deploy",
        "docs",
        "guard",
        "migrations",
        "proto",
        "scripts",
        "tests",
    ];
    let map = read("ARCHITECTURE.md");
    for path in files() {
        let Some((folder, _)) = path.split_once('/') else { continue };
        assert!(
            FOLDERS.contains(&folder),
            "{folder}/ at the top: it needs a place in an existing folder, or a reason"
        );
        assert!(map.contains(&format!("{folder}/")), "ARCHITECTURE.md does not say what {folder}/ is for");
    }
}
