//! What the lab makes besides chats: vectors and rankings, from nothing but the texts.
//!
//! Deterministic: the same text is the same vector wherever and whenever it is sent, and documents are ranked by the words
//! that they share with the query.

use crate::fault_lab::ask::Ask;
use crate::fault_lab::reply::{Finish, Reply, Usage, tokens};
use crate::fault_lab::script::Say;

/// Numbers in a vector where nobody says how many.
pub const DIMENSIONS: usize = 8;
/// Documents that one search ranks.
const PER_SEARCH: usize = 100;

/// What is asked for besides a chat.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    Embed {
        /// One for each input; token ids as text.
        texts: Vec<String>,
        dimensions: usize,
        base64: bool,
    },
    Rank {
        query: String,
        documents: Vec<String>,
        top: usize,
        /// Billed by the search, and not by the token.
        by_search: bool,
    },
}

/// What was made of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Product {
    #[default]
    Nothing,
    Vectors {
        vectors: Vec<Vec<f32>>,
        base64: bool,
    },
    /// Places and scores, the best first; searches that it is billed as, where it is.
    Ranking {
        places: Vec<(usize, f64)>,
        searches: Option<usize>,
    },
}

/// Makes what the task asks for; some behaviours make too little of it.
pub fn compose(say: Say, task: &Task, ask: &Ask) -> Reply {
    let (product, input) = match task {
        Task::Embed { texts, dimensions, base64 } => {
            let whole = texts.iter().map(|text| vector(text, *dimensions)).collect();
            (Product::Vectors { vectors: spoilt(say, whole), base64: *base64 }, tokens(ask.prompt_bytes))
        }
        Task::Rank { query, documents, top, by_search } => {
            let mut places = ranking(query, documents, *top);
            if matches!(say, Say::Nothing | Say::NoChoice | Say::WrongJson) {
                places.pop();
            }
            let searches = by_search.then(|| documents.len().div_ceil(PER_SEARCH));
            let input = if *by_search { 0 } else { tokens(ask.prompt_bytes) };
            (Product::Ranking { places, searches }, input)
        }
    };
    let usage = Usage { input, output: 0, reasoning: 0 };
    Reply { pieces: Vec::new(), finish: Finish::Stop, usage, product }
}

/// Vectors as the behaviour has them: none, one too few, one of another length, one with something that is no number.
fn spoilt(say: Say, mut vectors: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    let last = vectors.last_mut();
    match (say, last) {
        (Say::Nothing, _) => vectors.clear(),
        (Say::NoChoice, _) => drop(vectors.pop()),
        (Say::WrongJson, Some(last)) => drop(last.pop()),
        (Say::BrokenJson, Some(last)) => last[0] = f32::NAN,
        _ => {}
    }
    vectors
}

/// A vector of length 1 that only this text has.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let numbers: Vec<f64> = (0..dimensions)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        })
        .collect();
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    numbers.into_iter().map(|number| (number / length) as f32).collect()
}

/// The share of the query's words that a document has; of two alike the first is the better.
fn ranking(query: &str, documents: &[String], top: usize) -> Vec<(usize, f64)> {
    let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
    let score = |document: &String| {
        let text = document.to_lowercase();
        let shared = words.iter().filter(|word| text.split_whitespace().any(|one| one == *word)).count();
        shared as f64 / words.len().max(1) as f64
    };
    let mut places: Vec<(usize, f64)> = documents.iter().map(score).enumerate().collect();
    places.sort_by(|one, two| two.1.total_cmp(&one.1).then(one.0.cmp(&two.0)));
    places.truncate(top);
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_the_same_vector_and_another_is_another() {
        let (one, same, other) = (vector("one", 8), vector("one", 8), vector("two", 8));
        assert_eq!(one, same);
        assert_ne!(one, other);
        for vector in [one, other, vector("", 3)] {
            let length: f32 = vector.iter().map(|number| number * number).sum();
            assert!((length - 1.0).abs() < 1e-5, "{vector:?}");
        }
    }

    #[test]
    fn documents_are_ranked_by_the_words_that_they_share_with_the_query() {
        let documents = ["nothing", "the capital of France", "France"].map(str::to_owned);
        let places = ranking("capital of France", &documents, 2);
        assert_eq!(places.iter().map(|place| place.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((places[0].1, places[1].1), (1.0, 1.0 / 3.0));
    }
}
