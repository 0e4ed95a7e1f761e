//! Tasks besides chat in provider dialects: which adapter has them, how a request becomes calls, whether an answer is whole.
//!
//! An adapter has an [`Embedder`], a [`Reranker`], both or neither; all that they have in common is here, so that each is
//! no more than its wire: batches that a provider takes at most, and answers with too few or broken vectors.

mod vectors;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::adapters::{Adapter, Context, Encoded, Failure, FailureClass, Target, Unsupported};
use crate::model::request::ChatRequest;
use crate::model::response::ChatResponse;
use crate::model::task::{Embed, Input, Operation, Product, Ranked, Rerank, Task};
use crate::model::usage::{Provenance, Usage};

pub use self::vectors::{Purpose, from_base64, normalised};

/// Makes vectors in one dialect.
pub trait Embedder: Send + Sync {
    /// Inputs that one call of this model takes at most; at least 1.
    fn most_inputs(&self, model: &str) -> usize;

    /// Writes one call.
    ///
    /// # Errors
    /// [`Unsupported`] where leaving something out would change what the caller asked for.
    fn encode(&self, batch: &Batch<'_>, target: &Target<'_>) -> Result<Encoded, Unsupported>;

    /// Reads the body of a success, vectors in the order of the inputs. Whether they are what was asked for is not its
    /// business.
    ///
    /// # Errors
    /// [`Failure`] for an error inside a 200 and for a body that is not the dialect.
    fn decode(&self, headers: &HeaderMap, body: &Bytes, context: &Context) -> Result<ChatResponse, Failure>;
}

/// Ranks documents in one dialect.
pub trait Reranker: Send + Sync {
    /// Writes the call.
    ///
    /// # Errors
    /// [`Unsupported`] where leaving something out would change what the caller asked for.
    fn encode(
        &self,
        request: &ChatRequest,
        rerank: &Rerank,
        target: &Target<'_>,
    ) -> Result<Encoded, Unsupported>;

    /// Reads the body of a success, in any order.
    ///
    /// # Errors
    /// [`Failure`] for an error inside a 200 and for a body that is not the dialect.
    fn decode(&self, headers: &HeaderMap, body: &Bytes, context: &Context) -> Result<ChatResponse, Failure>;
}

/// What an answer must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    #[default]
    Chat,
    Vectors {
        count: usize,
        dimensions: Option<u32>,
        /// Whether base64 was asked for: text in place of numbers is nothing else then.
        base64: bool,
    },
    Ranking {
        documents: usize,
        /// Places asked for.
        ranked: usize,
    },
}

/// Inputs of one call.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub request: &'a ChatRequest,
    pub embed: &'a Embed,
    /// The place of the first one in the request.
    pub first: usize,
    pub inputs: &'a [Input],
}

impl<'a> Batch<'a> {
    /// Whether it is all that the request has.
    pub fn is_whole(&self) -> bool {
        self.inputs.len() == self.embed.inputs.len()
    }

    /// The texts, where there is nothing else.
    ///
    /// # Errors
    /// [`Unsupported`] naming the first input that is no text.
    pub fn texts(&self) -> Result<Vec<&'a str>, Unsupported> {
        let text = |(at, input): (usize, &'a Input)| match input {
            Input::Text(text) => Ok(text.as_str()),
            Input::Tokens(_) => Err(self.no_tokens(at)),
            Input::Parts(_) => {
                Err(Unsupported::new(self.field(at), "holds parts, and this provider takes only texts"))
            }
        };
        self.inputs.iter().enumerate().map(text).collect()
    }

    /// The refusal of token ids.
    pub fn no_tokens(&self, at: usize) -> Unsupported {
        Unsupported::new(self.field(at), "is a list of token ids, which this provider does not take")
    }

    /// The path of an input, by its place in the batch.
    pub fn field(&self, at: usize) -> String {
        format!("input[{}]", self.first + at)
    }

    /// What decoding must know.
    pub fn context(&self, base64: bool) -> Context {
        let (count, dimensions) = (self.inputs.len(), self.embed.dimensions);
        Context { expected: Expected::Vectors { count, dimensions, base64 }, ..Context::default() }
    }
}

/// What decoding a ranking must know.
pub fn ranking_context(rerank: &Rerank) -> Context {
    let (documents, ranked) = (rerank.documents.len(), rerank.ranked());
    Context { expected: Expected::Ranking { documents, ranked }, ..Context::default() }
}

/// Whether a dialect has this kind of work at all.
pub fn has(adapter: &dyn Adapter, operation: Operation) -> bool {
    match operation {
        Operation::Chat => true,
        Operation::Embeddings => adapter.embedder().is_some(),
        Operation::Rerank => adapter.reranker().is_some(),
    }
}

/// Writes a request as the calls that it takes, in order; mostly one.
///
/// # Errors
/// [`Unsupported`] where the dialect cannot express it.
pub fn encode(
    adapter: &dyn Adapter,
    request: &ChatRequest,
    target: &Target<'_>,
) -> Result<Vec<Encoded>, Unsupported> {
    let lacking = |what: &str| Unsupported::new("model", format!("is served by a provider without {what}"));
    match &request.task {
        Task::Chat => adapter.encode(request, target).map(|call| vec![call]),
        Task::Embed(embed) => {
            let embedder = adapter.embedder().ok_or_else(|| lacking("embeddings"))?;
            let most = embedder.most_inputs(target.model).max(1);
            let batches = embed.inputs.chunks(most).enumerate().map(|(number, inputs)| {
                let batch = Batch { request, embed, first: number * most, inputs };
                embedder.encode(&batch, target)
            });
            batches.collect()
        }
        Task::Rerank(rerank) => {
            let reranker = adapter.reranker().ok_or_else(|| lacking("rankings"))?;
            reranker.encode(request, rerank, target).map(|call| vec![call])
        }
    }
}

/// Reads the whole answer of one call.
///
/// # Errors
/// [`Failure`] as [`Adapter::decode`], and where vectors or places are missing, broken or too many.
pub fn decode(
    adapter: &dyn Adapter,
    status: StatusCode,
    headers: &HeaderMap,
    body: &Bytes,
    context: &Context,
) -> Result<ChatResponse, Failure> {
    let expected = &context.expected;
    if *expected == Expected::Chat {
        return adapter.decode(status, headers, body, context);
    }
    if !status.is_success() {
        return Err(adapter.failure(status, headers, body));
    }
    let lacking = || Failure::malformed("an answer that nobody here can read");
    let answer = match expected {
        Expected::Ranking { .. } => adapter.reranker().ok_or_else(lacking)?.decode(headers, body, context)?,
        Expected::Chat | Expected::Vectors { .. } => {
            adapter.embedder().ok_or_else(lacking)?.decode(headers, body, context)?
        }
    };
    checked(answer, expected)
}

/// An answer that holds what was asked for.
fn checked(answer: ChatResponse, expected: &Expected) -> Result<ChatResponse, Failure> {
    let product = match (answer.product, expected) {
        (Product::Vectors(all), Expected::Vectors { count, dimensions, .. }) => {
            vectors::checked(all, *count, *dimensions).map(Product::Vectors)?
        }
        (Product::Ranking(all), Expected::Ranking { documents, ranked }) => {
            places(all, *documents, *ranked).map(Product::Ranking)?
        }
        _ => return Err(Failure::malformed("an answer to something else")),
    };
    // A provider that counts nothing says nothing.
    let usage = answer.usage.filter(|usage| usage.total_tokens() > 0 || usage.search_units > 0);
    Ok(ChatResponse { product, usage, ..answer })
}

/// The places asked for, the most relevant first; some providers rank all whatever was asked.
fn places(mut all: Vec<Ranked>, documents: usize, ranked: usize) -> Result<Vec<Ranked>, Failure> {
    if all.iter().any(|place| !place.score.is_finite()) {
        return Err(Failure::malformed("a score that is no number"));
    }
    let mut indices: Vec<usize> = all.iter().map(|place| place.index).collect();
    indices.sort_unstable();
    if indices.windows(2).any(|pair| pair[0] == pair[1]) || indices.last().is_some_and(|at| *at >= documents)
    {
        return Err(Failure::malformed("a ranking with documents that are not there, or twice"));
    }
    if all.len() < ranked {
        return Err(Failure::malformed("a ranking with too few documents"));
    }
    all.sort_by(|one, two| two.score.total_cmp(&one.score));
    all.truncate(ranked);
    Ok(all)
}

/// Joins the answers of a request's calls, in order.
///
/// # Errors
/// [`Failure`] where vectors of different calls have different lengths.
pub fn join(answers: Vec<ChatResponse>) -> Result<ChatResponse, Failure> {
    let mut answers = answers.into_iter();
    let Some(mut whole) = answers.next() else {
        return Err(Failure::new(FailureClass::Malformed, "no call was made"));
    };
    for next in answers {
        whole.usage = both(whole.usage, next.usage);
        if let (Product::Vectors(all), Product::Vectors(more)) = (&mut whole.product, next.product) {
            if all.first().map(Vec::len) != more.first().map(Vec::len) {
                return Err(Failure::malformed("vectors of different lengths"));
            }
            all.extend(more);
        }
    }
    Ok(whole)
}

/// What two calls came to; nothing where one of them does not say.
pub fn both(one: Option<Usage>, other: Option<Usage>) -> Option<Usage> {
    let (one, other) = (one?, other?);
    Some(Usage {
        prompt_tokens: one.prompt_tokens.saturating_add(other.prompt_tokens),
        prompt_image_tokens: one.prompt_image_tokens.saturating_add(other.prompt_image_tokens),
        search_units: one.search_units.saturating_add(other.search_units),
        reported_total_tokens: one.reported_total_tokens.zip(other.reported_total_tokens).map(|(a, b)| a + b),
        reported_cost: one.reported_cost.zip(other.reported_cost).map(|(a, b)| a.saturating_add(b)),
        ..one
    })
}

/// The counts of a task: nothing is put out that is billed.
pub fn counted(prompt_tokens: Option<u64>, search_units: Option<u64>) -> Option<Usage> {
    prompt_tokens.or(search_units)?;
    Some(Usage {
        prompt_tokens: prompt_tokens.unwrap_or(0),
        search_units: search_units.unwrap_or(0),
        provenance: Provenance::ProviderFinal,
        ..Usage::default()
    })
}

#[cfg(test)]
pub mod probe_tests;
#[cfg(test)]
mod tests;
