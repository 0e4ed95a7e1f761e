//! What embeddings and rankings have in common with chat: model, providers, who asks and for what.
//!
//! They are read by the chat's own reader, as a chat whose messages are the prompt: what it checks, counts and refuses is
//! the same everywhere, and so are its words.

use bytes::{Bytes, BytesMut};

use crate::api::BadRequest;
use crate::api::openai_chat;
use crate::api::openai_chat::explain::bad;
use crate::model::request::{ChatRequest, Dialect, Source};
use crate::wire::patch::{Member, ObjectWriter, is_named, members, value};

/// Members that mean the same as in chat.
const SHARED: [&str; 13] = [
    "model",
    "models",
    "provider",
    "preset",
    "user",
    "session_id",
    "metadata",
    "trace",
    "plugins",
    "service_tier",
    "debug",
    "usage",
    "route",
];

/// Reads a body as a chat with these messages, JSON text. `own` are the members of the task.
///
/// The source of what comes back is the body itself. Members that nobody knows may be read into the prompt upstream and
/// are counted as text.
///
/// # Errors
/// [`BadRequest`] naming the member at fault; of a message by its place in `prompt_field`.
pub fn decode(
    body: Bytes,
    messages: &[u8],
    own: &[&str],
    prompt_field: &str,
) -> Result<ChatRequest, BadRequest> {
    let members = members(&body).map_err(|_| bad("", "request body must be an object".to_owned()))?;
    if value(&body, &members, "stream").is_some_and(|stream| stream == b"true") {
        return Err(bad("stream", "stream is not supported: the answer comes whole".to_owned()));
    }
    let mut out = BytesMut::with_capacity(body.len() + 64);
    let mut writer = ObjectWriter::open(&mut out);
    let mut unknown = 0;
    for member in &members {
        if is_one_of(&body, member, &SHARED) {
            writer.raw(&body[member.key.start - 1..member.value.end]);
        } else if !is_one_of(&body, member, own) && !is_named(&body, member, "stream") {
            unknown += member.value.len() as u64;
        }
    }
    writer.member("messages", messages);
    writer.close();
    let mut request = openai_chat::decode(out.freeze()).map_err(|refused| renamed(refused, prompt_field))?;
    request.facts.text_bytes += unknown;
    request.facts.body_bytes = body.len() as u64;
    request.source = Source { dialect: Dialect::OpenAiChat, body, own: None };
    Ok(request)
}

fn is_one_of(body: &[u8], member: &Member, names: &[&str]) -> bool {
    names.iter().any(|name| is_named(body, member, name))
}

/// What is said of a message is said of the place that it stands for.
fn renamed(refused: BadRequest, prompt_field: &str) -> BadRequest {
    match refused.field.strip_prefix("messages") {
        Some(rest) => {
            let field = format!("{prompt_field}{rest}");
            BadRequest { message: refused.message.replace(&refused.field, &field), field, ..refused }
        }
        None => refused,
    }
}
