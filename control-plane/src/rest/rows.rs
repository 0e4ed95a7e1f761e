//! Whole lists as CSV or as JSON lines: page after page is asked for while the answer goes out, so that none is ever in
//! memory as a whole.
//!
//! Any list that has pages can be had so: `accept: text/csv` or `accept: application/x-ndjson`.

use std::{collections::VecDeque, io};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::{HeaderMap, header};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value as Reflected};
use serde_json::Value;
use tonic::service::Routes;

use crate::rest::{call, csv, docs, encode, fault::Fault, operation::Operation};

/// Rows of one call.
const PAGE: u32 = 1_000;
/// How deep columns are looked for in rows.
const DEEPEST: usize = 2;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    Lines,
}

/// A list that is wanted row by row.
pub(super) struct Rows {
    form: Form,
    /// The repeated field of each answer.
    list: FieldDescriptor,
    columns: Vec<String>,
}

impl Rows {
    /// What a request's `accept` asks for; `None`: one answer as always.
    pub fn wanted(operation: &Operation, headers: &HeaderMap) -> Option<Self> {
        let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
        let form = match accept.split([',', ';']).next()?.trim() {
            "text/csv" => Form::Csv,
            "application/x-ndjson" => Form::Lines,
            _ => return None,
        };
        let answer = operation.rpc().output();
        answer.get_field_by_name("next_page_token")?;
        let list = answer.fields().find(|field| field.is_list())?;
        let Kind::Message(row) = list.kind() else { return None };
        let mut columns = Vec::new();
        collect_columns(&row, "", DEEPEST, &mut columns);
        Some(Self { form, list, columns })
    }

    /// Answers with all rows. The first page is asked for before anything is sent, so that a refusal has its status.
    ///
    /// # Errors
    /// What the first call is refused for; a later one that fails breaks the answer off.
    pub async fn answer(
        self,
        routes: Routes,
        operation: &'static Operation,
        headers: &HeaderMap,
        mut message: DynamicMessage,
    ) -> Result<Response, Fault> {
        message.set_field_by_name("page_size", Reflected::U32(PAGE));
        let reply = call::unary(routes.clone(), operation, headers, &message).await?;
        let kind = match self.form {
            Form::Csv => "text/csv; charset=utf-8",
            Form::Lines => "application/x-ndjson",
        };
        let mut ready = VecDeque::new();
        if self.form == Form::Csv {
            ready.push_back(csv::head(&self.columns));
        }
        ready.push_back(self.text(&reply)?);
        let walk = Walk {
            rows: self,
            routes,
            operation,
            headers: headers.clone(),
            message,
            ready,
            next: next(&reply),
        };
        let body = Body::from_stream(stream::try_unfold(walk, |mut walk| async move {
            let text = walk.text().await.map_err(|fault| io::Error::other(fault.message))?;
            Ok::<_, io::Error>(text.map(|text| (text, walk)))
        }));
        Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
    }

    fn text(&self, reply: &DynamicMessage) -> Result<String, Fault> {
        let json = encode::json(reply)?;
        let rows = json.get(self.list.name()).and_then(Value::as_array);
        let line = |row: &Value| match self.form {
            Form::Csv => csv::line(row, &self.columns),
            Form::Lines => format!("{row}\n"),
        };
        Ok(rows.into_iter().flatten().map(line).collect())
    }
}

/// An answer under way.
struct Walk {
    rows: Rows,
    routes: Routes,
    operation: &'static Operation,
    headers: HeaderMap,
    message: DynamicMessage,
    ready: VecDeque<String>,
    /// Empty: there is no further page.
    next: String,
}

impl Walk {
    async fn text(&mut self) -> Result<Option<String>, Fault> {
        if let Some(text) = self.ready.pop_front() {
            return Ok(Some(text));
        }
        if self.next.is_empty() {
            return Ok(None);
        }
        self.message.set_field_by_name("page_token", Reflected::String(std::mem::take(&mut self.next)));
        let reply = call::unary(self.routes.clone(), self.operation, &self.headers, &self.message).await?;
        self.next = next(&reply);
        self.rows.text(&reply).map(Some)
    }
}

fn next(reply: &DynamicMessage) -> String {
    let token = reply.get_field_by_name("next_page_token");
    token.and_then(|token| token.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Paths of what a row holds; what is repeated, and what lies too deep, is a column of JSON.
fn collect_columns(row: &MessageDescriptor, prefix: &str, depth: usize, columns: &mut Vec<String>) {
    for field in row.fields().filter(|field| !docs::is_input_only(field)) {
        let path = format!("{prefix}{}", field.name());
        match field.kind() {
            Kind::Message(inner) if is_ours(&inner) && !field.is_list() && !field.is_map() && depth > 0 => {
                collect_columns(&inner, &format!("{path}."), depth - 1, columns);
            }
            _ => columns.push(path),
        }
    }
}

/// Times and the like are texts in JSON.
fn is_ours(message: &MessageDescriptor) -> bool {
    !message.full_name().starts_with("google.")
}
