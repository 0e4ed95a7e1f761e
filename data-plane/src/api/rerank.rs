//! Rankings of documents by a query, in Cohere's shape as OpenRouter has it.

mod answer;

use std::num::NonZeroU32;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::api::BadRequest;
use crate::api::common;
use crate::api::openai_chat::explain::{bad, explain};
use crate::model::facts::MediaFacts;
use crate::model::request::ChatRequest;
use crate::model::task::{Document, Operation, Rerank, Task};

pub use self::answer::encode;

/// Documents of one request: as many as Cohere takes.
pub const MOST_DOCUMENTS: usize = 10_000;
/// Documents that one search ranks.
const PER_SEARCH: u64 = 100;
/// Tokens of a document and its query from which on a document counts as several.
const TOKENS_PER_DOCUMENT: u64 = 500;

/// What only rankings have.
const OWN: [&str; 5] = ["query", "documents", "top_n", "max_tokens_per_doc", "return_documents"];

/// The task's own members.
#[derive(Deserialize)]
struct Wish {
    query: String,
    documents: Vec<Sent>,
    #[serde(default)]
    top_n: Option<NonZeroU32>,
    #[serde(default)]
    max_tokens_per_doc: Option<NonZeroU32>,
    #[serde(default)]
    return_documents: Option<bool>,
}

/// A document as it was sent.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a text, or an object with text or image")]
enum Sent {
    Text(String),
    Parts {
        #[serde(default)]
        text: Option<String>,
        #[serde(default)]
        image: Option<Image>,
    },
}

/// An image's URL, plain or as a chat has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Image {
    Plain(String),
    Object { url: String },
}

/// Reads a request body.
///
/// # Errors
/// [`BadRequest`] naming the member at fault; nothing of the documents is in its text.
pub fn decode(body: Bytes) -> Result<ChatRequest, BadRequest> {
    let wish: Wish = serde_json::from_slice(&body).map_err(|_| explain::<Wish>(&body))?;
    let documents: Vec<Document> = wish.documents.into_iter().map(Document::from).collect();
    check(&wish.query, &documents)?;
    let messages = json!([{"role": "user", "content": wish.query}]).to_string();
    let mut request = common::decode(body, messages.as_bytes(), &OWN, "query")?;
    let sizes = Sizes::of(&wish.query, &documents);
    let facts = &mut request.facts;
    facts.operation = Operation::Rerank;
    facts.messages = u32::try_from(documents.len()).unwrap_or(u32::MAX);
    facts.text_bytes += sizes.text_bytes;
    facts.longest_bytes = sizes.longest_bytes;
    facts.search_units = sizes.search_units;
    facts.images = images(&documents);
    facts.prefill = false;
    request.task = Task::Rerank(Box::new(Rerank {
        query: wish.query,
        documents,
        top_n: wish.top_n.map(NonZeroU32::get),
        max_tokens_per_doc: wish.max_tokens_per_doc.map(NonZeroU32::get),
        return_documents: wish.return_documents.unwrap_or(true),
    }));
    Ok(request)
}

fn check(query: &str, documents: &[Document]) -> Result<(), BadRequest> {
    if query.is_empty() {
        return Err(bad("query", "query must not be empty".to_owned()));
    }
    if documents.is_empty() {
        return Err(bad("documents", "documents must not be empty".to_owned()));
    }
    if documents.len() > MOST_DOCUMENTS {
        return Err(bad("documents", format!("documents must not hold more than {MOST_DOCUMENTS}")));
    }
    let is_empty = |document: &Document| document.text.is_none() && document.image.is_none();
    match documents.iter().position(is_empty) {
        Some(at) => {
            Err(bad(&format!("documents[{at}]"), format!("documents[{at}] must have a text or an image")))
        }
        None => Ok(()),
    }
}

impl From<Sent> for Document {
    fn from(sent: Sent) -> Self {
        match sent {
            Sent::Text(text) => Self { text: Some(text), image: None },
            Sent::Parts { text, image } => {
                let url = image.map(|image| match image {
                    Image::Plain(url) | Image::Object { url } => url,
                });
                Self { text, image: url }
            }
        }
    }
}

/// How much there is to read.
struct Sizes {
    /// The query is read once more with every document.
    text_bytes: u64,
    longest_bytes: u64,
    /// The most that it can be billed as: every byte may be a token, and the query is part of every piece.
    search_units: u64,
}

impl Sizes {
    fn of(query: &str, documents: &[Document]) -> Self {
        let query = query.len() as u64;
        let room = TOKENS_PER_DOCUMENT.saturating_sub(query).max(1);
        let mut sizes = Self { text_bytes: 0, longest_bytes: 0, search_units: 0 };
        let mut pieces = 0;
        for document in documents {
            let bytes = document.text.as_ref().map_or(0, String::len) as u64;
            sizes.text_bytes += bytes + query;
            sizes.longest_bytes = sizes.longest_bytes.max(bytes + query);
            pieces += bytes.div_ceil(room).max(1);
        }
        Self { search_units: pieces.div_ceil(PER_SEARCH), ..sizes }
    }
}

fn images(documents: &[Document]) -> MediaFacts {
    let mut facts = MediaFacts::default();
    for url in documents.iter().filter_map(|document| document.image.as_deref()) {
        facts.count += 1;
        match url.starts_with("data:") {
            true => facts.inline_bytes += url.len() as u64,
            false => facts.remote += 1,
        }
    }
    facts
}

#[cfg(test)]
mod tests;
