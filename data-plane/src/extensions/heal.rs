//! Repairs answers that were to be JSON and nearly are: fences and prose around it, missing brackets, trailing commas,
//! unquoted keys. What is JSON already stays as it is, and what cannot be repaired too.

use jsonrepair::{Options, repair_to_string};
use serde_json::Value;

use crate::model::request::ResponseFormat;
use crate::model::response::ChatResponse;

/// Longest text that is repaired, in bytes.
const LONGEST: usize = 256 * 1024;
/// Deepest nesting that is repaired: the repairer follows it on its stack.
const DEEPEST: usize = 128;

/// Whether answers in this form can be repaired.
pub fn is_json(format: Option<&ResponseFormat>) -> bool {
    matches!(format, Some(ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. }))
}

/// Whether a text of the answer is to be JSON and is not.
pub fn is_ill(answer: &ChatResponse) -> bool {
    answer.choices.iter().filter_map(|choice| choice.message.content.as_deref()).any(|text| !is_whole(text))
}

/// Repairs the texts of an answer, and says how many.
pub fn heal(answer: &mut ChatResponse) -> usize {
    let mut healed = 0;
    for choice in &mut answer.choices {
        let Some(text) = choice.message.content.as_deref().filter(|text| !is_whole(text)) else { continue };
        if let Some(repaired) = repaired(text) {
            choice.message.content = Some(repaired);
            // The provider's own form of it would be printed else.
            choice.raw = None;
            healed += 1;
        }
    }
    healed
}

/// JSON objects and lists; a word or a number alone is prose by chance.
fn is_whole(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The text as JSON, if it can be made so.
pub fn repaired(text: &str) -> Option<String> {
    if text.len() > LONGEST || depth(text) > DEEPEST {
        return None;
    }
    let text = fenced(text).unwrap_or(text);
    let open = text.find(['{', '['])?;
    let inner = &text[open..];
    if let Some(whole) = first_value(inner) {
        return Some(whole.to_owned());
    }
    // Fences were looked for above; one that is left is text.
    let options = Options { fenced_code_blocks: false, ..Options::default() };
    // Prose behind it would become part of it.
    let close = inner.rfind(['}', ']']).map(|at| &inner[..=at]);
    close.into_iter().chain([inner]).find_map(|candidate| {
        let made = repair_to_string(candidate, &options).ok()?;
        let value: Value = serde_json::from_str(&made).ok()?;
        let same_kind = if inner.starts_with('{') { value.is_object() } else { value.is_array() };
        same_kind.then_some(made)
    })
}

/// A value that is whole, with prose behind it.
fn first_value(text: &str) -> Option<&str> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    Some(&text[..values.byte_offset()])
}

/// What stands in the first fence of a Markdown text; one that is not closed goes to the end. In JSON a fence is text.
fn fenced(text: &str) -> Option<&str> {
    if text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let (_, after) = text.split_once("```")?;
    let (language, body) = after.split_once('\n')?;
    if !language.trim().chars().all(char::is_alphanumeric) {
        return None;
    }
    Some(body.split("```").next().unwrap_or(body))
}

fn depth(text: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' => now += 1,
            b'}' | b']' => now = now.saturating_sub(1),
            _ => continue,
        }
        most = most.max(now);
    }
    most
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::response::{Choice, ResponseMessage};

    #[test]
    fn what_is_nearly_json_becomes_json() {
        let simple = json!({"city": "Zürich", "n": 1});
        for (text, expected) in [
            ("```json\n{\"city\": \"Zürich\", \"n\": 1}\n```", simple.clone()),
            ("```\n{\"city\": \"Zürich\", \"n\": 1}", simple.clone()),
            ("Here you are:\n\n{\"city\": \"Zürich\", \"n\": 1}\n\nAnything else?", simple.clone()),
            ("{\"city\": \"Zürich\", \"n\": 1,}", simple.clone()),
            ("{\"city\": \"Zürich\", \"n\": 1", simple.clone()),
            ("{city: \"Zürich\", n: 1}", simple.clone()),
            ("{'city': 'Zürich', 'n': 1}", simple.clone()),
            ("{\"city\": \"Zürich\" \"n\": 1}", simple.clone()),
            ("{\"city\": \"Zürich\", // where\n \"n\": 1}", simple),
            ("{\"a\": [1, 2, {\"b\": \"c\"", json!({"a": [1, 2, {"b": "c"}]})),
            ("{\"a\": True, \"b\": None}", json!({"a": true, "b": null})),
            ("[1, 2, 3,]", json!([1, 2, 3])),
            ("{\"code\": \"```py\\nx\\n```\",}", json!({"code": "```py\nx\n```"})),
            ("{\"a\": \"cut in the mid", json!({"a": "cut in the mid"})),
        ] {
            let made = repaired(text).unwrap_or_else(|| panic!("{text} was not repaired"));
            assert_eq!(serde_json::from_str::<Value>(&made).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_stays_what_it_is() {
        let deep = "[".repeat(DEEPEST + 1);
        let long = format!("{{\"a\": \"{}", "x".repeat(LONGEST));
        for text in ["", "I cannot do that.", "42", "\"word\"", &deep, &long] {
            assert_eq!(repaired(text), None, "{}", text.chars().take(20).collect::<String>());
        }
    }

    #[test]
    fn numbers_and_order_survive() {
        let text = "{\"z\": 12345678901234567890, \"a\": 0.10,}";
        assert_eq!(repaired(text).unwrap().replace(' ', ""), "{\"z\":12345678901234567890,\"a\":0.10}");
    }

    #[test]
    fn only_texts_that_are_ill_are_touched() {
        let choice = |text: &str| Choice {
            message: ResponseMessage { content: Some(text.to_owned()), ..ResponseMessage::default() },
            raw: Some(bytes::Bytes::from_static(b"{}")),
            ..Choice::default()
        };
        let mut answer = ChatResponse {
            choices: vec![choice("{ }"), choice("{,}x"), choice("no")],
            ..ChatResponse::default()
        };
        assert!(is_ill(&answer));
        let healed = heal(&mut answer);
        assert_eq!((healed, answer.choices[0].message.content.as_deref()), (1, Some("{ }")));
        assert!(answer.choices[0].raw.is_some() && answer.choices[1].raw.is_none());
        assert_eq!(answer.choices[2].message.content.as_deref(), Some("no"));
    }

    #[test]
    fn hostile_texts_end() {
        for piece in ["{\"a\":", "'\\", "/*", "\"\\u", ",:]}", "```json\n{", "\u{feff}{", "{\0"] {
            for times in [1, 50, 2_000] {
                let _ = repaired(&format!("{{{}", piece.repeat(times)));
            }
        }
    }
}
