//! Tool results for providers whose results are text alone: media are shown in a user message after them.

use crate::adapters::shared::conversation::{Answer, NO_RESULT, Told};
use crate::model::message::{Message, Part, PartContent};

/// Stands in a result where a medium was.
const SHOWN: &str = "[attachment: in the next user message]";
/// What a user message with media of results begins with.
pub const ATTACHED: &str = "Attachments of the tool results:";
/// The assistant's words where a provider wants some between results and a user message.
pub const FILLER: &str = "OK";

/// The `id` of thinking that came as parts of the content, by which it is known when it comes back.
pub const THINKING_PARTS: &str = "mistral.thinking";

/// A part of a message and its path.
pub type Placed<'a> = (&'a Part, String);

/// A result in words and the media that it held.
#[derive(Debug, Default)]
pub struct Worded<'a> {
    pub text: String,
    pub media: Vec<Placed<'a>>,
}

/// The result of a call; what is said where there is none.
pub fn worded<'a>(answer: &Answer<'a>) -> Worded<'a> {
    match answer.told {
        Some(told) => result(told),
        None => Worded { text: NO_RESULT.to_owned(), media: Vec::new() },
    }
}

/// A result that answers no call is the user's word.
pub fn orphan(told: Told<'_>) -> Worded<'_> {
    let worded = result(told);
    Worded { text: format!("Tool result: {}", worded.text), ..worded }
}

fn result(told: Told<'_>) -> Worded<'_> {
    let mut media = Vec::new();
    let mut lines = Vec::new();
    if told.message.is_error {
        lines.push("Error:");
    }
    for (part, path) in parts(told) {
        match &part.content {
            PartContent::Text(text) | PartContent::Refusal(text) => lines.push(text),
            _ => {
                lines.push(SHOWN);
                media.push((part, path));
            }
        }
    }
    Worded { text: lines.join("\n"), media }
}

/// A message's parts with their paths.
pub fn parts(told: Told<'_>) -> impl Iterator<Item = Placed<'_>> {
    let parts = told.message.content.iter().enumerate();
    parts.map(move |(at, part)| (part, format!("{}.content[{at}]", told.path())))
}

/// The texts and refusals of a message, one below the other.
pub fn text(message: &Message) -> String {
    let texts = message.content.iter().filter_map(|part| match &part.content {
        PartContent::Text(text) | PartContent::Refusal(text) => Some(text.as_str()),
        _ => None,
    });
    let texts: Vec<&str> = texts.chain(message.refusal.as_deref()).filter(|text| !text.is_empty()).collect();
    texts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::shared::conversation::{Turn, conversation};
    use crate::model::message::{Role, ToolCall};

    #[test]
    fn media_of_results_leave_a_mark_and_missing_results_are_told() {
        let call = |id: &str| ToolCall { id: id.to_owned(), name: "f".to_owned(), ..ToolCall::default() };
        let image = Part {
            content: PartContent::Image { url: "https://x/".to_owned(), detail: None },
            cache_control: None,
        };
        let result = Message {
            content: vec![Part::text("a"), image],
            tool_call_id: Some("x".to_owned()),
            is_error: true,
            ..Message::new(Role::Tool)
        };
        let messages =
            [Message { tool_calls: vec![call("x"), call("y")], ..Message::new(Role::Assistant) }, result];
        let talk = conversation(&messages);
        let Some(Turn::User { results, .. }) = talk.turns.last() else { panic!("results") };
        let [x, y] = [worded(&results[0]), worded(&results[1])];
        assert_eq!(x.text, "Error:\na\n[attachment: in the next user message]");
        assert_eq!(x.media[0].1, "messages[1].content[1]");
        assert_eq!((y.text.as_str(), y.media.len()), (NO_RESULT, 0));
    }
}
