//! Reads the workspace's files, and Rust code as far as the rules need it: paths, without comments and strings.

use std::fs;
use std::path::{Path, PathBuf};

/// One Rust file.
pub struct Source {
    /// From the top of the repository, with slashes.
    pub path: String,
    pub text: String,
}

/// The top of the repository.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace is around the tests").to_owned()
}

/// Every file of the repository with its path from the top, build output and hidden state excluded.
pub fn files() -> Vec<String> {
    const SKIPPED: &[&str] = &["target", ".git", ".switchyard", "node_modules"];
    let (root, mut files, mut folders) = (root(), Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !SKIPPED.contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file() {
                let path = path.strip_prefix(&root).expect("below the top");
                files.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    files.sort();
    assert!(files.len() > 50, "the rules see only {} files: has the workspace moved?", files.len());
    files
}

/// Every Rust file below `folder`, which is empty for all.
pub fn sources(folder: &str) -> Vec<Source> {
    let is_rust = |path: &String| path.ends_with(".rs") && path.starts_with(folder);
    files().into_iter().filter(is_rust).map(|path| Source { text: read(&path), path }).collect()
}

/// A file's text; empty if it is not text.
pub fn read(path: &str) -> String {
    let bytes = fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    String::from_utf8(bytes).unwrap_or_default()
}

impl Source {
    /// The module's path in its crate, e.g. `routing::plan`; empty for the crate's root.
    pub fn module(&self) -> String {
        let (_, inner) = self.path.split_once("/src/").unwrap_or(("", &self.path));
        match inner.trim_end_matches(".rs") {
            "lib" | "main" => String::new(),
            module => module.replace('/', "::"),
        }
    }

    /// Whether the file is there for tests alone.
    pub fn is_test(&self) -> bool {
        let is_test = |part: &str| part == "tests" || part.ends_with("_tests");
        self.path.split(['/', '.']).any(is_test)
    }

    /// What is built into the product: no comments, no strings, no tests.
    pub fn code(&self) -> String {
        if self.is_test() { String::new() } else { bare(self.parts().0) }
    }

    /// What is built for tests alone.
    pub fn test_code(&self) -> String {
        if self.is_test() { bare(&self.text) } else { bare(self.parts().1) }
    }

    /// Before and after the line that opens the file's own tests.
    fn parts(&self) -> (&str, &str) {
        const OPENS: &str = "\n#[cfg(test)]\nmod ";
        let holds_them = |at: &usize| {
            let line = self.text[at + OPENS.len()..].lines().next().unwrap_or_default();
            line.ends_with('{')
        };
        let at = self.text.match_indices(OPENS).map(|(at, _)| at).find(holds_them);
        self.text.split_at(at.unwrap_or(self.text.len()))
    }
}

/// Code without comments and without the contents of strings and characters.
fn bare(code: &str) -> String {
    let (mut bare, mut rest) = (String::with_capacity(code.len()), code);
    while let Some(first) = rest.chars().next() {
        let skipped =
            comment(rest).or_else(|| raw_string(rest)).or_else(|| string(rest)).or_else(|| character(rest));
        let length = skipped.unwrap_or(first.len_utf8());
        match skipped {
            Some(_) => bare.push(' '),
            None => bare.push(first),
        }
        rest = &rest[length..];
    }
    bare
}

fn comment(code: &str) -> Option<usize> {
    if code.starts_with("//") {
        return Some(code.find('\n').unwrap_or(code.len()));
    }
    code.starts_with("/*").then(|| code.find("*/").map_or(code.len(), |end| end + 2))
}

fn raw_string(code: &str) -> Option<usize> {
    let body = code.strip_prefix("br").or_else(|| code.strip_prefix('r'))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let body = body[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close).map_or(body.len(), |end| end + close.len());
    Some(code.len() - body.len() + end)
}

fn string(code: &str) -> Option<usize> {
    let body = code.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            '"' if !escaped => return Some(at + 2),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    Some(code.len())
}

/// A character literal; a lifetime has no second quote where one would end.
fn character(code: &str) -> Option<usize> {
    let body = code.strip_prefix('\'')?;
    let first = body.chars().next()?;
    let length = if first == '\\' { body[2..].find('\'')? + 2 } else { first.len_utf8() };
    body[length..].starts_with('\'').then_some(length + 2)
}

/// Every path in bare code, `use` groups taken apart: `a::{b, c::D}` gives `a::b` and `a::c::D`.
pub fn paths(code: &str) -> Vec<Vec<String>> {
    let words = words(code);
    let (mut found, mut at) = (Vec::new(), 0);
    while at < words.len() {
        if is_name(&words[at]) {
            at = path(&words, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path or group; answers with where it ends.
fn path(words: &[String], mut at: usize, before: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut segments = before.to_vec();
    while at < words.len() && is_name(&words[at]) {
        segments.push(words[at].clone());
        at += 1;
        if words.get(at).is_none_or(|word| word != "::") {
            found.push(segments);
            // A new name for it is no path.
            let renamed = words.get(at).is_some_and(|word| word == "as");
            return if renamed { at + 2 } else { at };
        }
        at += 1;
    }
    if words.get(at).is_none_or(|word| word != "{") {
        found.push(segments);
        return at;
    }
    at += 1;
    while at < words.len() && words[at] != "}" {
        at = if is_name(&words[at]) { path(words, at, &segments, found) } else { at + 1 };
    }
    at + 1
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::`, and every other sign alone.
fn words(code: &str) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), code.trim_start());
    while let Some(first) = rest.chars().next() {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            c if is_part(c) => rest.find(|c| !is_part(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            c => c.len_utf8(),
        };
        words.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    words
}

#[test]
fn paths_are_found_in_uses_groups_and_expressions_alone() {
    let code = r##"
        use a::{b, c::{D as E, self}}; // use comment::no;
        fn f<'x>(y: &'x z::T) -> char { g::h("use string::no;", r#"raw::no"#, '"', '\''); i::j() }
    "##;
    let found: Vec<String> =
        paths(&bare(code)).iter().filter(|path| path.len() > 1).map(|path| path.join("::")).collect();
    assert_eq!(found, ["a::b", "a::c::D", "a::c::self", "z::T", "g::h", "i::j"]);
}
