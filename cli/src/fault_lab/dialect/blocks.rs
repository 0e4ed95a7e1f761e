//! An answer's pieces gathered into blocks, for dialects that tell where each part of a message begins and ends.

use serde_json::Value;

use crate::fault_lab::reply::{Piece, Reply};

/// One part of a message, in the pieces it is streamed in.
pub enum Block<'a> {
    Reasoning(Vec<&'a str>),
    Text(Vec<&'a str>),
    Refusal(Vec<&'a str>),
    Call { name: &'a str, fragments: &'a [String] },
}

/// The blocks of `reply`: neighbours of one kind are one block, each call is a block of its own.
pub fn blocks(reply: &Reply) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    for piece in &reply.pieces {
        match (piece, blocks.last_mut()) {
            (Piece::Reasoning(text), Some(Block::Reasoning(texts)))
            | (Piece::Text(text), Some(Block::Text(texts)))
            | (Piece::Refusal(text), Some(Block::Refusal(texts))) => texts.push(text.as_str()),
            (Piece::Reasoning(text), _) => blocks.push(Block::Reasoning(vec![text.as_str()])),
            (Piece::Text(text), _) => blocks.push(Block::Text(vec![text.as_str()])),
            (Piece::Refusal(text), _) => blocks.push(Block::Refusal(vec![text.as_str()])),
            (Piece::Call { name, fragments }, _) => blocks.push(Block::Call { name, fragments }),
        }
    }
    blocks
}

/// A call's arguments as a value: a string where they are not JSON, because no object can be broken.
pub fn arguments(fragments: &[String]) -> Value {
    let arguments = fragments.concat();
    serde_json::from_str(&arguments).unwrap_or(Value::String(arguments))
}
