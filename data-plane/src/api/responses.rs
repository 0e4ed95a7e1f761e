//! OpenAI's Responses as clients speak it: `POST /responses`, without a memory.
//!
//! A body is first written as chat completions, which the router and every adapter read. Answers are lists of items.

mod answer;
mod body;
mod input;
mod items;
mod parts;
mod reasoning;
mod stream;
mod tools;

pub use answer::{encode, encode_error};
pub use body::decode;
pub use stream::StreamEncoder;
