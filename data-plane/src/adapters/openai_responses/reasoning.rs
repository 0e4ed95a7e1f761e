//! Reasoning items as `reasoning_details`, and back.
//!
//! A detail's number says where it stood: other items of the answer take a number too, so a gap between two details
//! is the place of a message or a call. That survives every client which returns the details as they are.

use serde_json::{Map, Value, json};

use crate::model::event::join_details;

/// The format of sealed reasoning that OpenAI itself can open; other hosts have a name of their own.
pub const FORMAT: &str = "openai-responses-v1";

/// What a detail shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Summary,
    /// Readable thoughts, which open models give out.
    Text,
    Sealed,
}

/// A detail, or a piece of one.
pub fn detail(kind: Kind, number: u64, id: Option<&str>, text: &str, format: &str) -> Value {
    let mut detail = match kind {
        Kind::Summary => json!({"type": "reasoning.summary", "summary": text}),
        Kind::Text => json!({"type": "reasoning.text", "text": text}),
        Kind::Sealed => json!({"type": "reasoning.encrypted", "data": text}),
    };
    if let Some(id) = id {
        detail["id"] = id.into();
    }
    detail["format"] = format.into();
    detail["index"] = number.into();
    detail
}

/// Puts the sealed reasoning of a message back before the items that followed it.
///
/// Details of another format are left out, as is reasoning that nobody can open again or that nothing follows.
pub fn replay(details: &[Value], format: &str, items: Vec<Value>) -> Vec<Value> {
    let thoughts = thoughts(details, format);
    let mut thoughts = thoughts.into_iter().filter(|thought| thought.sealed.is_some()).peekable();
    let mut all = Vec::with_capacity(items.len() + 2);
    for (at, item) in items.into_iter().enumerate() {
        while let Some(thought) = thoughts.next_if(|thought| thought.after <= at as u64) {
            // Only the last one has what followed it right behind it; an id would make the others look incomplete.
            let is_last = thoughts.peek().is_none_or(|next| next.after > at as u64);
            all.push(thought.into_item(is_last));
        }
        all.push(item);
    }
    all
}

/// One reasoning item as it comes back.
#[derive(Debug, Default)]
struct Thought {
    id: Option<String>,
    summary: Vec<Value>,
    sealed: Option<String>,
    /// How many other items stood before it.
    after: u64,
}

impl Thought {
    fn into_item(self, with_id: bool) -> Value {
        let mut item = Map::from_iter([("type".to_owned(), Value::from("reasoning"))]);
        item.extend(self.id.filter(|_| with_id).map(|id| ("id".to_owned(), id.into())));
        // Required, even where it is empty; readable content is refused.
        item.insert("summary".to_owned(), Value::Array(self.summary));
        item.insert("encrypted_content".to_owned(), self.sealed.into());
        Value::Object(item)
    }

    /// Whether a detail with this id belongs to another item.
    fn ends_before(&self, id: Option<&str>) -> bool {
        match (self.id.as_deref(), id) {
            (Some(own), Some(id)) => own != id,
            _ => self.sealed.is_some(),
        }
    }
}

fn thoughts(details: &[Value], format: &str) -> Vec<Thought> {
    let mut thoughts: Vec<Thought> = Vec::new();
    for (before, detail) in join_details(details).iter().enumerate() {
        if detail["format"] != format {
            continue;
        }
        let id = detail["id"].as_str().filter(|id| !id.is_empty());
        if thoughts.last().is_none_or(|thought| thought.ends_before(id)) {
            let after = detail["index"].as_u64().unwrap_or(0).saturating_sub(before as u64);
            thoughts.push(Thought { after, ..Thought::default() });
        }
        let Some(thought) = thoughts.last_mut() else { continue };
        thought.id = thought.id.take().or_else(|| id.map(str::to_owned));
        match detail["type"].as_str() {
            Some("reasoning.summary") => {
                thought.summary.push(json!({"type": "summary_text", "text": detail["summary"]}));
            }
            Some("reasoning.encrypted") => thought.sealed = detail["data"].as_str().map(str::to_owned),
            _ => {}
        }
    }
    thoughts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(number: u64, id: &str, text: &str) -> Value {
        detail(Kind::Summary, number, Some(id), text, FORMAT)
    }

    fn sealed(number: u64, id: &str) -> Value {
        detail(Kind::Sealed, number, Some(id), &format!("{id}!"), FORMAT)
    }

    /// `rs_1[a|b] message rs_2 call`, ids in brackets where they are sent.
    fn shape(details: &[Value], items: &[&str]) -> String {
        let items = items.iter().map(|item| json!({ "type": item })).collect();
        let shape = |item: &Value| match item["type"].as_str() {
            Some("reasoning") => {
                let summary = item["summary"].as_array().expect("required");
                let texts: Vec<_> = summary.iter().filter_map(|part| part["text"].as_str()).collect();
                let sealed = item["encrypted_content"].as_str().expect("sealed");
                format!("{sealed}{}[{}]", item["id"].as_str().unwrap_or("-"), texts.join("|"))
            }
            kind => kind.unwrap_or_default().to_owned(),
        };
        replay(details, FORMAT, items).iter().map(shape).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn reasoning_comes_back_before_what_followed_it() {
        let foreign =
            json!({"type": "reasoning.text", "text": "x", "format": "anthropic-claude-v1", "index": 0});
        let anonymous = |number: u64| detail(Kind::Sealed, number, None, "?", FORMAT);
        for (details, items, expected) in [
            (vec![], &["message", "call"][..], "message call"),
            (
                vec![summary(0, "a", "x"), summary(1, "a", "y"), sealed(2, "a")],
                &["message", "call"],
                "a!a[x|y] message call",
            ),
            // The message took number 1, a call number 3.
            (
                vec![sealed(0, "a"), sealed(2, "b"), sealed(4, "c")],
                &["message", "call", "call"],
                "a!a[] message b!b[] call c!c[] call",
            ),
            // A text before any thought.
            (vec![sealed(1, "a")], &["message", "call"], "message a!a[] call"),
            // What stood between the two is gone: the first must not look incomplete.
            (vec![sealed(0, "a"), sealed(1, "b")], &["message"], "a!-[] b!b[] message"),
            // Nothing follows.
            (vec![sealed(0, "a")], &[], ""),
            (vec![sealed(0, "a"), sealed(2, "b")], &["message"], "a!a[] message"),
            // One number for everything of an item, as other routers give it.
            (
                vec![summary(0, "a", "x"), sealed(0, "a"), sealed(1, "b")],
                &["message", "call"],
                "a!-[x] b!b[] message call",
            ),
            // Pieces of one summary.
            (vec![summary(0, "a", "x"), summary(0, "a", "y"), sealed(1, "a")], &["call"], "a!a[xy] call"),
            // Nobody can open it again.
            (vec![summary(0, "a", "x")], &["call"], "call"),
            (vec![foreign, sealed(1, "a")], &["call"], "a!a[] call"),
            (vec![anonymous(0), anonymous(2)], &["message", "call"], "?-[] message ?-[] call"),
        ] {
            assert_eq!(shape(&details, items), expected, "{details:?}");
        }
    }

    #[test]
    fn formats_of_other_hosts_do_not_mix() {
        let items = vec![json!({"type": "message"})];
        assert_eq!(replay(&[sealed(0, "a")], "xai-responses-v1", items.clone()), items);
    }
}
