//! The chat-completions surface, as OpenAI has it and OpenRouter extends it.
//!
//! `decode` reads requests; `encode`, [`StreamEncoder`] and `encode_error` write what callers get.

mod answer;
mod decode;
mod error;
pub(in crate::api) mod explain;
mod messages;
mod preferences;
pub(in crate::api) mod scan;
mod stream;
mod wishes;

pub use self::answer::{decimal, encode, usage_json};
pub use self::decode::decode;
pub use self::error::{encode_error, error_json, error_object};
pub use self::stream::{StreamEncoder, Told};
