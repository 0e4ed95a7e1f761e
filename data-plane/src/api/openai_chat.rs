//! The chat-completions surface, as OpenAI has it and OpenRouter extends it.
//!
//! `decode` reads requests, `encode` and `StreamEncoder` write answers, `encode_error` writes errors.
