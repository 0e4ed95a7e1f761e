//! What a caller calls the members of a request that its surface has written as chat completions.
//!
//! Whoever reads the canonical request speaks of it in chat completions' words; the caller has to hear its own.

/// From chat completions' paths to the caller's. The default is the caller who spoke chat completions.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Members of the body.
    pub members: &'static [(&'static str, &'static str)],
    /// What a path goes on with inside a turn or a tool.
    pub inner: &'static [(&'static str, &'static str)],
    /// The member that holds the turns; empty where messages are named as they are.
    pub list: &'static str,
    /// The member that a message is from which is no turn.
    pub head: &'static str,
    /// Where each message is from.
    pub places: Vec<Place>,
}

/// Where a message is from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The turn; none: the head.
    pub turn: Option<usize>,
    /// Where its content parts are from, where they are not the turn's own in order.
    pub content: Vec<Spot>,
    /// Where its tool calls are from.
    pub calls: Vec<Spot>,
}

/// A turn, or a part of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    pub turn: usize,
    pub part: Option<usize>,
}

impl Names {
    /// The caller's name of a member; none where it is the same.
    pub fn of(&self, field: &str) -> Option<String> {
        if self.list.is_empty() && self.members.is_empty() {
            return None;
        }
        let own = indexed(field, "messages")
            .map(|(index, rest)| self.message(index, rest))
            .or_else(|| {
                indexed(field, "tools").map(|(index, rest)| format!("tools[{index}]{}", self.end(rest)))
            })
            .or_else(|| renamed(self.members, field))?;
        (own != field).then_some(own)
    }

    /// A text about a member, with the caller's name of it.
    pub fn told(&self, text: &str, field: &str, own: &str) -> String {
        match text.strip_prefix(field) {
            Some(rest) if !rest.starts_with(is_of_a_path) => format!("{own}{rest}"),
            _ => text.replace(&format!("`{field}`"), &format!("`{own}`")),
        }
    }

    fn message(&self, index: usize, rest: &str) -> String {
        let Some(place) = self.places.get(index) else { return self.head.to_owned() };
        let inside = |spots: &[Spot], list| {
            let (at, rest) = indexed(rest.strip_prefix('.')?, list)?;
            Some(format!("{}{}", self.spot(*spots.get(at)?), self.end(rest)))
        };
        inside(&place.content, "content").or_else(|| inside(&place.calls, "tool_calls")).unwrap_or_else(
            || match place.turn {
                Some(turn) => format!("{}[{turn}]{}", self.list, self.end(rest)),
                None => format!("{}{}", self.head, rest.strip_prefix(".content").unwrap_or_default()),
            },
        )
    }

    fn spot(&self, Spot { turn, part }: Spot) -> String {
        let part = part.map(|part| format!(".content[{part}]")).unwrap_or_default();
        format!("{}[{turn}]{part}", self.list)
    }

    fn end(&self, rest: &str) -> String {
        renamed(self.inner, rest).unwrap_or_else(|| rest.to_owned())
    }
}

/// The number and the rest of `list[number]rest`.
fn indexed<'a>(path: &'a str, list: &str) -> Option<(usize, &'a str)> {
    let (index, rest) = path.strip_prefix(list)?.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, rest))
}

/// The path under the name of the first row that begins it.
fn renamed(table: &[(&str, &str)], path: &str) -> Option<String> {
    table.iter().find_map(|(theirs, own)| {
        let rest = path.strip_prefix(theirs)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then(|| format!("{own}{rest}"))
    })
}

fn is_of_a_path(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '.' | '[')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let spot = |turn, part| Spot { turn, part };
        Names {
            members: &[
                ("reasoning.max_tokens", "thinking.budget_tokens"),
                ("reasoning", "thinking"),
                ("stop", "stops"),
            ],
            inner: &[(".function.parameters", ".input_schema"), (".function.arguments", ".input")],
            list: "turns",
            head: "system",
            places: vec![
                Place::default(),
                Place { turn: Some(0), ..Place::default() },
                Place {
                    turn: Some(1),
                    content: vec![spot(1, Some(2))],
                    calls: vec![spot(1, Some(3)), spot(2, None)],
                },
            ],
        }
    }

    #[test]
    fn a_member_is_named_as_its_caller_wrote_it() {
        for (field, expected) in [
            ("stop", Some("stops")),
            ("stop[1]", Some("stops[1]")),
            ("stopped", None),
            ("model", None),
            ("reasoning", Some("thinking")),
            ("reasoning.max_tokens", Some("thinking.budget_tokens")),
            ("tools[3]", None),
            ("tools[3].function.parameters", Some("tools[3].input_schema")),
            ("messages", None),
            ("messages[0].content", Some("system")),
            ("messages[0].content[1]", Some("system[1]")),
            ("messages[1].content[4]", Some("turns[0].content[4]")),
            ("messages[2].content[0].text", Some("turns[1].content[2].text")),
            ("messages[2].tool_calls[0].function.arguments", Some("turns[1].content[3].input")),
            ("messages[2].tool_calls[1].function.arguments", Some("turns[2].input")),
            ("messages[2]", Some("turns[1]")),
            ("messages[9].role", Some("system")),
        ] {
            assert_eq!(names().of(field).as_deref(), expected, "{field}");
            assert_eq!(Names::default().of(field), None);
        }
    }

    #[test]
    fn a_text_has_the_name_where_it_speaks_of_the_member() {
        for (text, expected) in [
            ("stop has too many, so stop", "stops has too many, so stop"),
            ("stop[0] is empty", "stop[0] is empty"),
            ("`stop` is not taken: stop it", "`stops` is not taken: stop it"),
            ("stopping is hard", "stopping is hard"),
        ] {
            assert_eq!(names().told(text, "stop", "stops"), expected);
        }
    }
}
