//! `${NAME}` in secrets and URLs: environment variables, put in before anything is sent.
//!
//! `$${` stands for a plain `${`. The control plane never sees a name in place of a value.
//!
//! YAML takes the braces of `{secret: ${NAME}}` for its own, so names are veiled before a file is parsed.

use std::collections::HashMap;

/// Environment variables by name.
pub type Variables = HashMap<String, String>;

/// Characters of a private plane that stand for braces while YAML is parsed.
const VEILED_OPEN: char = '\u{10fff0}';
const VEILED_CLOSE: char = '\u{10fff1}';

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    #[error("environment variable `{0}` is not set")]
    Missing(String),
    #[error("has a `${{` that is not followed by a name and `}}`")]
    Malformed,
}

/// The text with every `${NAME}` replaced.
///
/// # Errors
/// [`ExpandError::Missing`] for a variable that is not set or empty.
pub fn expand(text: &str, variables: &Variables) -> Result<String, ExpandError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = &from[2..];
            continue;
        }
        let (name, after) = from[2..].split_once('}').ok_or(ExpandError::Malformed)?;
        expanded.push_str(before);
        expanded.push_str(value(name, variables)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The variable that a text consists of, e.g. `NAME` for `${NAME}`.
pub fn only_name(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}').filter(|name| is_name(name))
}

/// A text that expands to this one.
pub fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

/// The text with the braces of every `${NAME}` veiled; lines and columns stay as they are.
pub fn veil(text: &str) -> String {
    let mut veiled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        veiled.push_str(before);
        match from[2..].split_once('}').filter(|(name, _)| is_name(name)) {
            Some((name, after)) => {
                veiled.extend(['$', VEILED_OPEN]);
                veiled.push_str(name);
                veiled.push(VEILED_CLOSE);
                rest = after;
            }
            None => {
                veiled.push_str("${");
                rest = &from[2..];
            }
        }
    }
    veiled.push_str(rest);
    veiled
}

/// The text as it was before [`veil`].
pub fn unveil(text: &str) -> String {
    text.replace(VEILED_OPEN, "{").replace(VEILED_CLOSE, "}")
}

fn value<'a>(name: &str, variables: &'a Variables) -> Result<&'a str, ExpandError> {
    if !is_name(name) {
        return Err(ExpandError::Malformed);
    }
    let value = variables.get(name).filter(|value| !value.is_empty());
    value.map(String::as_str).ok_or_else(|| ExpandError::Missing(name.to_owned()))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_by_their_values() {
        let variables =
            Variables::from([("HOST".into(), "h".into()), ("P".into(), "1".into()), ("E".into(), "".into())]);
        let missing = |name: &str| Err(ExpandError::Missing(name.to_owned()));
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("https://${HOST}:${P}/v1", Ok("https://h:1/v1")),
            ("a$${HOST}b", Ok("a${HOST}b")),
            ("a$b", Ok("a$b")),
            ("${NONE}", missing("NONE")),
            ("${E}", missing("E")),
            ("${HOST", Err(ExpandError::Malformed)),
            ("${}", Err(ExpandError::Malformed)),
            ("${1X}", Err(ExpandError::Malformed)),
            ("${A-B}", Err(ExpandError::Malformed)),
        ] {
            assert_eq!(expand(text, &variables), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn veiled_names_are_no_braces_to_yaml() {
        for text in ["{a: ${NAME}, b: [${X_1}]}", "${", "a ${-} ${A}", "é ${A}${B"] {
            assert_eq!(unveil(&veil(text)), text);
            assert_eq!(veil(text).chars().count(), text.chars().count());
        }
        assert!(!veil("${NAME}").contains(['{', '}']));
        assert_eq!(veil("${not a name}"), "${not a name}");
    }

    #[test]
    fn an_escaped_text_expands_to_itself() {
        for text in ["https://${x}/${y}", "$", "plain"] {
            assert_eq!(expand(&escape(text), &Variables::new()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_name_alone_is_told_from_a_text_with_a_name() {
        assert_eq!(only_name("${OPENAI_API_KEY}"), Some("OPENAI_API_KEY"));
        for text in ["x${A}", "${A}${B}", "A", "${}"] {
            assert_eq!(only_name(text), None, "{text}");
        }
    }
}
