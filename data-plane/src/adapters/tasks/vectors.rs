//! Vectors as providers print them, and what they are made for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::adapters::{Failure, FailureClass};

/// Reads base64 of 32-bit floats, little-endian.
///
/// # Errors
/// [`Failure`] for text that is something else.
pub fn from_base64(text: &str) -> Result<Vec<f32>, Failure> {
    let broken = || Failure::malformed("a vector that is no base64 of 32-bit floats");
    let bytes = STANDARD.decode(text).map_err(|_| broken())?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(broken());
    }
    Ok(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

/// As many vectors as there were inputs, of one length, with nothing in them but numbers.
///
/// # Errors
/// [`Failure`]: the provider's fault, or that it does not do `dimensions`.
pub fn checked(
    vectors: Vec<Vec<f32>>,
    count: usize,
    dimensions: Option<u32>,
) -> Result<Vec<Vec<f32>>, Failure> {
    if vectors.len() != count {
        let what = format!("{} vectors for {count} inputs", vectors.len());
        return Err(Failure::malformed(&what));
    }
    let length = vectors.first().map_or(0, Vec::len);
    if length == 0 || vectors.iter().any(|vector| vector.len() != length) {
        return Err(Failure::malformed("vectors of different lengths, or empty ones"));
    }
    if vectors.iter().flatten().any(|number| !number.is_finite()) {
        return Err(Failure::malformed("a vector with something in it that is no number"));
    }
    match dimensions.filter(|asked| *asked as usize != length) {
        Some(asked) => Err(Failure::new(
            FailureClass::Unsupported,
            format!("dimensions: {asked} were asked for, and provider made vectors of {length}"),
        )),
        None => Ok(vectors),
    }
}

/// The vector with length 1: what was cut short is not any more.
pub fn normalised(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    if length <= 0.0 || !length.is_finite() {
        return vector;
    }
    vector.into_iter().map(|number| (f64::from(number) / length) as f32).collect()
}

/// What vectors are made for, whatever a caller calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    Query,
    Document,
    Classification,
    Clustering,
    /// A provider's own word.
    Own(&'a str),
}

impl<'a> Purpose<'a> {
    /// Reads an `input_type`.
    pub fn of(input_type: &'a str) -> Self {
        let is = |names: &[&str]| names.iter().any(|name| input_type.eq_ignore_ascii_case(name));
        if is(&["search_query", "query", "retrieval_query"]) {
            Self::Query
        } else if is(&["search_document", "document", "passage", "retrieval_document"]) {
            Self::Document
        } else if is(&["classification"]) {
            Self::Classification
        } else if is(&["clustering"]) {
            Self::Clustering
        } else {
            Self::Own(input_type)
        }
    }

    /// The word of Cohere's models, which cannot do without; most vectors are made of documents.
    pub fn in_coheres_words(input_type: Option<&'a str>) -> &'a str {
        match input_type.map(Self::of) {
            None | Some(Self::Document) => "search_document",
            Some(Self::Query) => "search_query",
            Some(Self::Classification) => "classification",
            Some(Self::Clustering) => "clustering",
            Some(Self::Own(own)) => own,
        }
    }
}
