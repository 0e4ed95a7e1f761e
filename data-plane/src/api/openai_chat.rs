//! The chat-completions surface, as OpenAI has it and OpenRouter extends it.
//!
//! `decode` reads requests; `encode`, [`StreamEncoder`] and `encode_error` write what callers get.

mod answer;
mod decode;
mod error;
mod explain;
mod messages;
mod preferences;
mod scan;
mod stream;
mod wishes;

pub use self::answer::encode;
pub use self::decode::decode;
pub use self::error::encode_error;
pub use self::stream::StreamEncoder;
