//! What several dialects have in common: turns, names, media, schemas, wishes, structured output, answers in blocks, errors.
//!
//! Adapters do not know each other; what two of them need lives here and speaks no dialect.

pub mod answer_blocks;
pub mod claude;
pub mod conversation;
pub mod exact;
#[cfg(test)]
pub mod exchange_tests;
pub mod head;
pub mod json_tool;
pub mod lenient;
pub mod media;
pub mod names;
pub mod openai_error;
#[cfg(test)]
pub mod openai_models;
pub mod reported_cost;
pub mod results;
pub mod schema;
pub mod segment;
pub mod structured;
pub mod tier;
pub mod tool_input;
pub mod vectors;
pub mod wish;
