//! `POST /messages/count_tokens`.

use bytes::Bytes;
use serde_json::json;

use crate::model::request::ChatRequest;
use crate::price;

/// The answer: an estimate from the text's length, since tokenizers differ between the endpoints of a model.
pub fn count(request: &ChatRequest) -> Bytes {
    Bytes::from(json!({"input_tokens": price::prompt_estimate(&request.facts).max(1)}).to_string())
}
