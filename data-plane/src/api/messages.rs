//! Anthropic's Messages as clients speak it: `POST /messages`.
//!
//! A body is first written as chat completions, which the router and every adapter read; members that only Anthropic
//! knows are kept beside it. Answers are written in blocks.

mod answer;
mod blocks;
mod body;
mod count;
mod error;
mod stream;
mod thoughts;
mod tools;
mod turns;

pub use answer::encode;
pub use body::decode;
pub use count::count;
pub use error::encode_error;
pub use stream::StreamEncoder;
