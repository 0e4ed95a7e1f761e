//! What the admin commands print: a table for people, JSON for programs.
//!
//! JSON is the same as the REST API's: protobuf's mapping with the protos' field names, defaults included. Tables
//! are cut from it by column.

use std::{io::IsTerminal, sync::LazyLock};

use anyhow::Context;
use clap::ValueEnum;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

/// A column's head, and the path of its value in the JSON form.
pub type Column = (&'static str, &'static str);

impl Output {
    /// Prints a list of messages of one type.
    ///
    /// # Errors
    /// Never for messages of this project.
    pub fn list<M: Message>(self, name: &str, messages: &[M], columns: &[Column]) -> anyhow::Result<()> {
        let rows: Vec<Value> =
            messages.iter().map(|message| to_json(name, message)).collect::<Result<_, _>>()?;
        match self {
            Self::Json => print_json(&Value::Array(rows)),
            Self::Table => print!("{}", table(&rows, columns)),
        }
        Ok(())
    }

    /// Prints one message: as JSON, or a field a line.
    ///
    /// # Errors
    /// Never for messages of this project.
    pub fn one(self, name: &str, message: &impl Message) -> anyhow::Result<()> {
        let value = to_json(name, message)?;
        match self {
            Self::Json => print_json(&value),
            Self::Table => print!("{}", fields(&value)),
        }
        Ok(())
    }
}

/// A message of package `switchyard.v1` as JSON.
///
/// # Errors
/// For a name that is not in the package.
pub fn to_json(name: &str, message: &impl Message) -> anyhow::Result<Value> {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(switchyard_proto::DESCRIPTORS).expect("our own descriptors are sound")
    });
    let descriptor = POOL
        .get_message_by_name(&format!("switchyard.v1.{name}"))
        .with_context(|| format!("there is no message `{name}`"))?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    Ok(message.serialize_with_options(serde_json::value::Serializer, &options)?)
}

/// Prints text as it is.
pub fn print_text(text: &str) {
    print!("{text}");
}

/// Prints JSON, with line breaks.
pub fn print_json(value: &Value) {
    println!("{value:#}");
}

/// Whether people read along.
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Rows under heads, columns apart by two spaces.
pub fn table(rows: &[Value], columns: &[Column]) -> String {
    let heads: Vec<String> = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let cells = rows.iter().map(|row| columns.iter().map(|(_, path)| clipped(cell(at(row, path)))).collect());
    lines(&std::iter::once(heads).chain(cells).collect::<Vec<Vec<String>>>())
}

/// A cell that leaves room for the others; JSON shows the whole.
fn clipped(cell: String) -> String {
    match cell.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &cell[..end]),
        None => cell,
    }
}

/// Pads all columns but the last.
pub fn lines(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// One field a line, inner ones under dotted names.
fn fields(value: &Value) -> String {
    let mut rows = Vec::new();
    flatten("", value, &mut rows);
    rows.retain(|row| row[1] != NOTHING);
    lines(&rows)
}

fn flatten(name: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    let Value::Object(object) = value else {
        rows.push(vec![name.to_owned(), cell(Some(value))]);
        return;
    };
    for (inner, value) in object {
        let inner = if name.is_empty() { inner.clone() } else { format!("{name}.{inner}") };
        flatten(&inner, value, rows);
    }
}

/// Characters of a table's cell.
const WIDEST: usize = 80;

/// Stands for what is not set.
const NOTHING: &str = "-";

fn at<'a>(row: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(row, |value, name| value.get(name))
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => NOTHING.to_owned(),
        Some(Value::String(text)) if text.is_empty() || text.ends_with("_UNSPECIFIED") => NOTHING.to_owned(),
        Some(Value::Array(items)) if items.is_empty() => NOTHING.to_owned(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(Value::String(text)) => shortened(text),
        Some(Value::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(","),
        Some(other) => other.to_string(),
    }
}

/// Times without their fractions; texts in one line.
fn shortened(text: &str) -> String {
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.format("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => text.replace(['\n', '\r', '\t'], " "),
    }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::v1;

    use super::*;

    fn key() -> v1::Key {
        v1::Key {
            id: "key_1".into(),
            tenant: "acme".into(),
            limit: Some(v1::SpendLimit { usd: "5.00".into(), reset: v1::Reset::Daily.into() }),
            created_at: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 }),
            allowed_models: vec!["a/*".into(), "b/c".into()],
            revision: 7,
            ..Default::default()
        }
    }

    #[test]
    fn json_has_the_protos_names_and_defaults() {
        let json = to_json("Key", &key()).unwrap();
        assert_eq!(json["limit"], serde_json::json!({"usd": "5.00", "reset": "DAILY"}));
        assert_eq!(json["allowed_models"], serde_json::json!(["a/*", "b/c"]));
        assert_eq!((&json["revision"], &json["disabled"]), (&"7".into(), &false.into()));
        assert_eq!(json["created_at"], "2023-11-14T22:13:20.005Z");
        assert_eq!(json.get("expires_at"), None);
    }

    #[test]
    fn tables_line_up_and_show_what_is_missing() {
        let rows = [to_json("Key", &key()).unwrap(), to_json("Key", &v1::Key::default()).unwrap()];
        let columns =
            &[("ID", "id"), ("LIMIT", "limit.usd"), ("MODELS", "allowed_models"), ("MADE", "created_at")];
        let expected = "ID     LIMIT  MODELS   MADE\n\
                        key_1  5.00   a/*,b/c  2023-11-14 22:13:20\n\
                        -      -      -        -\n";
        assert_eq!(table(&rows, columns), expected);
    }

    #[test]
    fn one_message_is_a_field_a_line() {
        let shown = fields(&to_json("Key", &key()).unwrap());
        let is_shown = shown.lines().any(|line| line.split_whitespace().eq(["limit.reset", "DAILY"]));
        assert!(is_shown, "{shown}");
        assert!(!shown.contains("managed_by"), "what is not set is left out: {shown}");
    }
}
