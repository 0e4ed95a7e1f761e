//! What several dialects have in common: turns, names, media, wishes, structured output, answers told in blocks.
//! What several dialects have in common: turns, names, media, wishes, the forced JSON tool, OpenAI's errors and models.
//! What several dialects have in common: turns, names, media, schemas, wishes, the forced JSON tool.
//!
//! Adapters do not know each other; what two of them need lives here and speaks no dialect.

pub mod answer_blocks;
pub mod claude;
pub mod conversation;
#[cfg(test)]
pub mod exchange_tests;
pub mod json_tool;
pub mod lenient;
pub mod media;
pub mod names;
pub mod openai_error;
pub mod openai_models;
pub mod reported_cost;
pub mod results;
pub mod schema;
pub mod segment;
pub mod structured;
pub mod tool_input;
pub mod wish;
