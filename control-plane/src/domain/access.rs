//! Which models a tenant or key may use: a list of model ids and `author/*` prefixes; empty: all.

use switchyard_proto::id;

use crate::domain::invalid::Invalid;

const MOST: usize = 1000;

/// Checks an allow-list.
///
/// # Errors
/// Names the first entry that is neither a model id nor `author/*`.
pub fn check_allowed_models(list: &[String]) -> Result<(), Invalid> {
    if list.len() > MOST {
        return Err(Invalid::new("allowed_models", format!("has more than {MOST} entries")));
    }
    for (index, entry) in list.iter().enumerate() {
        if !is_model_or_prefix(entry) {
            let reason = format!("is `{entry}`, which is neither a model id (`author/name`) nor `author/*`");
            return Err(Invalid::new(format!("allowed_models[{index}]"), reason));
        }
    }
    Ok(())
}

/// Whether this is a model id, or `author/*`.
pub fn is_model_or_prefix(entry: &str) -> bool {
    match entry.strip_suffix("/*") {
        Some(author) => id::is_model(&format!("{author}/x")),
        None => id::is_model(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_models_or_authors() {
        for (entry, fine) in [
            ("openai/gpt-5", true),
            ("openai/*", true),
            ("openai", false),
            ("*", false),
            ("/*", false),
            ("openai/gpt*", false),
            ("a/b/*", false),
        ] {
            assert_eq!(check_allowed_models(&[entry.to_owned()]).is_ok(), fine, "{entry}");
        }
        let list = ["a/b".to_owned(), "c".to_owned()];
        assert_eq!(check_allowed_models(&list).unwrap_err().field, "allowed_models[1]");
    }
}
