//! CSV (RFC 4180) of JSON rows, by the paths of their columns. The command line writes the same.

use serde_json::Value;

/// The first line.
pub fn head<T: AsRef<str>>(columns: &[T]) -> String {
    let names: Vec<&str> = columns.iter().map(AsRef::as_ref).collect();
    format!("{}\n", names.join(","))
}

/// One row's line.
pub fn line<T: AsRef<str>>(row: &Value, columns: &[T]) -> String {
    let at = |path: &str| path.split('.').try_fold(row, |value, name| value.get(name));
    let cells: Vec<String> = columns.iter().map(|path| cell(at(path.as_ref()))).collect();
    format!("{}\n", cells.join(","))
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => quoted(&inert(text)),
        Some(other) => quoted(&other.to_string()),
    }
}

/// Spreadsheets run what begins like a formula; people write reasons and user names. Numbers stay numbers.
fn inert(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_no_formulas() {
        let row = json!({"a": "x,\"y\"\nz", "b": {"c": "-0.5"}, "d": "=1+1", "e": 7, "f": null, "g": "-x", "h": true});
        let columns = ["a", "b.c", "d", "e", "f", "g", "h", "nothing"];
        assert_eq!(head(&columns), "a,b.c,d,e,f,g,h,nothing\n");
        assert_eq!(line(&row, &columns), "\"x,\"\"y\"\"\nz\",-0.5,'=1+1,7,,'-x,true,\n");
    }
}
