//! What can be asked for besides chat: vectors of inputs, and an order of documents.
//!
//! Such a request is a chat request by everything that routing, money and records need; what it asks for, and what came of
//! it, is here. An adapter has code for it or has not.

use serde::{Deserialize, Serialize};

use crate::model::message::Part;

/// The kinds of work that a request can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    #[default]
    Chat,
    Embeddings,
    Rerank,
}

impl Operation {
    /// Those besides chat. What models of theirs put out is named as they are.
    pub const BESIDE_CHAT: [Self; 2] = [Self::Embeddings, Self::Rerank];

    /// The name, which is also that of the output modality of its models, chat's aside.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
            Self::Rerank => "rerank",
        }
    }

    /// Where it is called.
    pub const fn called_at(self) -> &'static str {
        match self {
            Self::Chat => "/api/v1/chat/completions",
            Self::Embeddings => "/api/v1/embeddings",
            Self::Rerank => "/api/v1/rerank",
        }
    }

    /// The member that the prompt stands in.
    pub const fn prompt_field(self) -> &'static str {
        match self {
            Self::Chat => "messages",
            Self::Embeddings => "input",
            Self::Rerank => "documents",
        }
    }

    /// Whether it is what a model with these output modalities is for; none are text.
    pub fn is_made_by(self, output: &[String]) -> bool {
        let is_beside = |kind: &String| Self::BESIDE_CHAT.iter().any(|other| kind == other.name());
        match self {
            Self::Chat => output.is_empty() || !output.iter().all(is_beside),
            Self::Embeddings | Self::Rerank => output.iter().any(|kind| kind == self.name()),
        }
    }

    /// What a model with these output modalities is for; the first where it is for several.
    pub fn of_modalities(output: &[String]) -> Self {
        let made = |operation: &Self| operation.is_made_by(output);
        [Self::Chat, Self::Embeddings, Self::Rerank].into_iter().find(made).unwrap_or_default()
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Default)]
pub enum Task {
    #[default]
    Chat,
    Embed(Box<Embed>),
    Rerank(Box<Rerank>),
}

impl Task {
    /// Its kind.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Chat => Operation::Chat,
            Self::Embed(_) => Operation::Embeddings,
            Self::Rerank(_) => Operation::Rerank,
        }
    }
}

/// A wish for vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Embed {
    /// Never empty.
    pub inputs: Vec<Input>,
    /// Numbers in each vector; absent: as many as the model has by itself.
    pub dimensions: Option<u32>,
    /// How the caller wants them printed.
    pub encoding: Encoding,
    /// What the vectors are for, in OpenRouter's words or a provider's own: `search_query`, `search_document`, …
    pub input_type: Option<String>,
}

/// One input, which becomes one vector.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Text(String),
    /// Ids of a tokenizer's, which only models with that tokenizer understand.
    Tokens(Vec<u32>),
    /// Text and media together.
    Parts(Vec<Part>),
}

/// How vectors are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Lists of numbers.
    #[default]
    Float,
    /// Base64 of 32-bit floats, little-endian.
    Base64,
}

impl Encoding {
    /// The name in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Base64 => "base64",
        }
    }
}

/// A wish for an order of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rerank {
    pub query: String,
    /// Never empty.
    pub documents: Vec<Document>,
    /// So many of the best; absent: all.
    pub top_n: Option<u32>,
    /// Where each document is cut off.
    pub max_tokens_per_doc: Option<u32>,
    /// Whether the answer repeats the documents.
    pub return_documents: bool,
}

impl Rerank {
    /// Documents that the answer ranks.
    pub fn ranked(&self) -> usize {
        self.top_n.map_or(usize::MAX, |most| most as usize).min(self.documents.len())
    }
}

/// One document; it has a text, an image, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    pub text: Option<String>,
    /// An http(s) or data URL.
    pub image: Option<String>,
}

/// What came of a task besides chat.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Product {
    /// The answer's choices are all there is.
    #[default]
    Chat,
    /// One for each input, in the order of the inputs.
    Vectors(Vec<Vec<f32>>),
    /// The most relevant first.
    Ranking(Vec<Ranked>),
}

/// One document's place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Of the request's documents, from 0.
    pub index: usize,
    pub score: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_for_what_it_puts_out() {
        for (output, operation) in [
            (&[][..], Operation::Chat),
            (&["text"], Operation::Chat),
            (&["text", "image"], Operation::Chat),
            (&["audio"], Operation::Chat),
            (&["embeddings"], Operation::Embeddings),
            (&["rerank"], Operation::Rerank),
        ] {
            let output: Vec<String> = output.iter().map(|kind| (*kind).to_owned()).collect();
            assert_eq!(Operation::of_modalities(&output), operation, "{output:?}");
            for other in [Operation::Chat, Operation::Embeddings, Operation::Rerank] {
                assert_eq!(other.is_made_by(&output), other == operation, "{other:?} {output:?}");
            }
        }
        let both = ["text".to_owned(), "embeddings".to_owned()];
        assert!(Operation::Chat.is_made_by(&both) && Operation::Embeddings.is_made_by(&both));
        assert!(!Operation::Rerank.is_made_by(&both));
    }
}
