//! The settings as `--help` lists them, read from the comments of `defaults.toml`.

use crate::settings::DEFAULTS;

/// One setting with its manual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub setting: String,
    pub variable: String,
    pub default: String,
    pub explanation: String,
}

/// Variables of one section and of `log`: name, default, and what it is.
pub fn manual(section: &str) -> String {
    let is_shown = |entry: &Entry| entry.setting.starts_with(section) || entry.setting.starts_with("log.");
    let mut text =
        String::from("Settings, as environment variables (a TOML file can hold them too, see --settings):\n");
    for entry in entries().into_iter().filter(is_shown) {
        let default = if entry.default == "\"\"" { "none" } else { &entry.default };
        text.push_str(&format!("\n  {} [default: {default}]\n      {}\n", entry.variable, entry.explanation));
    }
    text
}

/// All settings in the order of the file. A comment's last line is the variable.
pub(super) fn entries() -> Vec<Entry> {
    let (mut entries, mut section, mut comment) = (Vec::new(), "", Vec::new());
    for line in DEFAULTS.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push(text.trim());
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        if let Some((name, default)) = line.split_once(" = ") {
            let variable = comment.pop().unwrap_or_default().to_owned();
            entries.push(Entry {
                setting: format!("{section}.{name}"),
                variable,
                default: default.to_owned(),
                explanation: comment.join(" "),
            });
        }
        comment.clear();
    }
    entries
}
