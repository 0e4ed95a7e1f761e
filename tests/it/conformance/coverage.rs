//! What was really decoded and encoded, per adapter and case. The table is checked in and may only grow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;
use switchyard_data_plane::adapters::{ADAPTERS, Failure, FailureClass};
use switchyard_data_plane::model::response::{ChatResponse, FinishReason};

use super::answers::Outcome;

/// The rows of the table; the classes of errors follow.
const CASES: [&str; 13] = [
    "text",
    "stream",
    "tools",
    "parallel tools",
    "tool results",
    "image",
    "pdf",
    "audio",
    "schema",
    "reasoning",
    "cache",
    "refusal",
    "length",
];

const CLASSES: [FailureClass; 13] = [
    FailureClass::InvalidRequest,
    FailureClass::Unsupported,
    FailureClass::ContextLength,
    FailureClass::Auth,
    FailureClass::Permission,
    FailureClass::Payment,
    FailureClass::NotFound,
    FailureClass::RateLimited,
    FailureClass::Overloaded,
    FailureClass::Timeout,
    FailureClass::Server,
    FailureClass::Malformed,
    FailureClass::ContentFiltered,
];

/// Counts by adapter and case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(String, String), usize>);

impl Coverage {
    /// Notes what an answer held.
    pub fn answered(&mut self, adapter: &str, outcome: &Outcome) {
        match outcome {
            Outcome::Answer { response, events } => {
                if events.is_some() {
                    self.add(adapter, "stream");
                }
                cases(response).into_iter().for_each(|case| self.add(adapter, case));
            }
            Outcome::Failure(failure) => self.failed(adapter, failure),
        }
    }

    fn failed(&mut self, adapter: &str, failure: &Failure) {
        self.add(adapter, &row(failure.class));
        if failure.class == FailureClass::ContentFiltered {
            self.add(adapter, "refusal");
        }
    }

    /// Notes what a request held that the adapter wrote.
    pub fn asked(&mut self, adapter: &str, request: &Value) {
        requested(request).into_iter().for_each(|case| self.add(adapter, case));
    }

    fn add(&mut self, adapter: &str, case: &str) {
        *self.0.entry((adapter.to_owned(), case.to_owned())).or_default() += 1;
    }

    /// Joins counts that were made elsewhere.
    pub fn join(&mut self, other: Self) {
        for (key, count) in other.0 {
            *self.0.entry(key).or_default() += count;
        }
    }

    fn count(&self, adapter: &str, case: &str) -> usize {
        self.0.get(&(adapter.to_owned(), case.to_owned())).copied().unwrap_or(0)
    }

    /// The table as it is printed and checked in.
    pub fn table(&self) -> String {
        let adapters: Vec<&str> = ADAPTERS.iter().map(|adapter| adapter.name()).collect();
        let mut table =
            format!("| case | {} |\n|---|{}\n", adapters.join(" | "), "---:|".repeat(adapters.len()));
        for case in CASES.into_iter().map(str::to_owned).chain(CLASSES.map(row)) {
            let counts: Vec<String> =
                adapters.iter().map(|adapter| self.count(adapter, &case).to_string()).collect();
            writeln!(table, "| {case} | {} |", counts.join(" | ")).expect("a string takes it");
        }
        table
    }

    /// Reads a table.
    pub fn parse(text: &str) -> Self {
        let cells =
            |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
        let mut rows = text.lines().filter(|line| line.starts_with('|')).map(cells);
        let head = rows.next().unwrap_or_default();
        let mut coverage = Self::default();
        for row in rows {
            for (adapter, count) in head.iter().zip(&row).skip(2) {
                if let Ok(count) = count.parse() {
                    coverage.0.insert((adapter.clone(), row[1].clone()), count);
                }
            }
        }
        coverage
    }

    /// Where there is less than there was.
    pub fn lost(&self, before: &Self) -> Vec<String> {
        let lost = before.0.iter().filter(|((adapter, case), count)| self.count(adapter, case) < **count);
        lost.map(|((adapter, case), count)| {
            format!("{adapter}, {case}: {count} before, {} now", self.count(adapter, case))
        })
        .collect()
    }

    /// Whether there is more than there was.
    pub fn has_grown(&self, before: &Self) -> bool {
        !before.lost(self).is_empty()
    }
}

fn row(class: FailureClass) -> String {
    format!("error: {}", class.as_str())
}

fn cases(response: &ChatResponse) -> BTreeSet<&'static str> {
    let mut cases = BTreeSet::new();
    for choice in &response.choices {
        let message = &choice.message;
        let facts = [
            ("text", message.content.as_ref().is_some_and(|text| !text.is_empty())),
            ("tools", !message.tool_calls.is_empty()),
            ("parallel tools", message.tool_calls.len() > 1),
            ("reasoning", message.reasoning.is_some() || !message.reasoning_details.is_empty()),
            ("refusal", message.refusal.is_some() || choice.finish.reason == FinishReason::ContentFilter),
            ("length", choice.finish.reason == FinishReason::Length),
        ];
        cases.extend(facts.into_iter().filter(|(_, holds)| *holds).map(|(case, _)| case));
    }
    if let Some(usage) = &response.usage {
        if usage.reasoning_tokens > 0 {
            cases.insert("reasoning");
        }
        if usage.cached_tokens + usage.cache_write_tokens > 0 {
            cases.insert("cache");
        }
    }
    cases
}

/// What a chat-completions request holds.
fn requested(request: &Value) -> BTreeSet<&'static str> {
    let mut cases = BTreeSet::new();
    let messages = || request["messages"].as_array().into_iter().flatten();
    for part in messages().flat_map(|message| message["content"].as_array().into_iter().flatten()) {
        match part["type"].as_str() {
            Some("image_url") => cases.insert("image"),
            Some("input_audio") => cases.insert("audio"),
            Some("file") if is_pdf(&part["file"]) => cases.insert("pdf"),
            _ => false,
        };
    }
    let facts = [
        ("tool results", messages().any(|message| message["role"] == "tool")),
        ("schema", request["response_format"]["type"] == "json_schema"),
        ("cache", request.to_string().contains("\"cache_control\"")),
    ];
    cases.extend(facts.into_iter().filter(|(_, holds)| *holds).map(|(case, _)| case));
    cases
}

fn is_pdf(file: &Value) -> bool {
    let says = |member: &Value| {
        member.as_str().is_some_and(|text| text.contains("application/pdf") || text.ends_with(".pdf"))
    };
    says(&file["file_data"]) || says(&file["filename"])
}
