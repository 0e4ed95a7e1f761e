//! The content of an answer: from what is to be said and what was asked to pieces, a finish and a usage.
//!
//! Pure and deterministic. Dialects write a [`Reply`] down; breaks and delays are added after that.

use crate::fault_lab::ask::{Ask, Media, MediaSource, Tool};
use crate::fault_lab::beside::{self, Product};
use crate::fault_lab::schema;
use crate::fault_lab::script::Say;

/// The bytes that the lab counts as one token.
pub const BYTES_PER_TOKEN: usize = 4;
/// The tokens that the lab counts for each image, audio, video or file of a prompt.
pub const TOKENS_PER_MEDIUM: u64 = 100;
/// The word that prepared answers consist of.
pub const FIXED_WORD: &str = "pong ";

/// A word-by-word answer has at most this many pieces; longer texts get longer pieces.
const MAX_PIECES: usize = 2_000;
const REASONING: &str = "The user wrote something. I should give it back as it is.";
/// The name of the tool that nobody declared.
const UNKNOWN_TOOL: &str = "no_such_tool";
const REFUSAL: &str = "I'm sorry, but I can't assist with that.";
/// Words of three bytes: with a space each is exactly one token.
const LOREM: [&str; 8] = ["sol ", "lux ", "vox ", "pax ", "rex ", "nix ", "fax ", "ars "];

/// An answer in pieces, one per stream event.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub pieces: Vec<Piece>,
    pub finish: Finish,
    pub usage: Usage,
    /// What was made where it was no chat.
    pub product: Product,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Reasoning(String),
    Text(String),
    Refusal(String),
    /// A whole tool call, its arguments in fragments.
    Call {
        name: String,
        fragments: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Stop,
    Length,
    Tools,
    Filtered,
    Refused,
    /// No choice, no stop reason.
    Absent,
}

/// Tokens by the lab's own count; output includes reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    pub reasoning: u64,
}

impl Usage {
    /// The same, so many times over.
    #[must_use]
    pub fn times(self, factor: u64) -> Self {
        let Self { input, output, reasoning } = self;
        Self { input: input * factor, output: output * factor, reasoning: reasoning * factor }
    }
}

/// The tokens of `bytes` of text: one for every four begun.
pub fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN) as u64
}

/// Composes the answer to `ask`.
pub fn compose(say: Say, ask: &Ask) -> Reply {
    if let Some(task) = &ask.task {
        return beside::compose(say, task, ask);
    }
    let (pieces, finish) = content(say, ask);
    // Whoever orders an enormous line wants it whatever the limit.
    let limit = if let Say::Huge { .. } = say { None } else { ask.max_tokens };
    let (pieces, finish) = limited(pieces, finish, limit);
    let usage = usage(&pieces, ask);
    Reply { pieces, finish, usage, product: Product::Nothing }
}

fn content(say: Say, ask: &Ask) -> (Vec<Piece>, Finish) {
    match say {
        Say::Echo if ask.forces_tool() => calls(ask, false, schema::example),
        Say::Echo if ask.schema.is_some() => content(Say::Json, ask),
        Say::Echo => (words(&echo(ask)), Finish::Stop),
        Say::Fixed { pieces } => (fixed(pieces), Finish::Stop),
        Say::Tools { parallel, text_first, finish_stop } => tools(ask, parallel, text_first, finish_stop),
        Say::BrokenToolJson => broken_calls(ask),
        Say::WrongToolArgs => calls(ask, false, schema::counterexample),
        Say::UnknownTool => unknown_call(),
        Say::Reasoning => (thoughts().chain(words(&echo(ask))).collect(), Finish::Stop),
        Say::ReasoningOnly => (thoughts().collect(), Finish::Stop),
        Say::Json => (words(&schema::example(&wanted_schema(ask)).to_string()), Finish::Stop),
        Say::WrongJson => (words(&schema::counterexample(&wanted_schema(ask)).to_string()), Finish::Stop),
        Say::BrokenJson => (words("Sure, here is the JSON: {\"answer\": tru"), Finish::Stop),
        Say::Lorem { tokens } => (lorem(tokens), Finish::Stop),
        Say::Huge { bytes } => (vec![Piece::Text("x".repeat(usize_of(bytes)))], Finish::Stop),
        Say::Media => (words(&media(ask)), Finish::Stop),
        Say::Refusal => {
            (REFUSAL.split_inclusive(' ').map(|w| Piece::Refusal(w.to_owned())).collect(), Finish::Refused)
        }
        Say::Filtered => (words("As I was about to say, the"), Finish::Filtered),
        Say::Length => (words("This answer stops in the middle of"), Finish::Length),
        Say::WrongFinish => (words(&echo(ask)), Finish::Tools),
        Say::Nothing => (Vec::new(), Finish::Stop),
        Say::NoChoice => (Vec::new(), Finish::Absent),
    }
}

fn echo(ask: &Ask) -> String {
    if ask.last_user_text.is_empty() { "(no text)".to_owned() } else { ask.last_user_text.clone() }
}

fn thoughts() -> impl Iterator<Item = Piece> {
    REASONING.split_inclusive(' ').map(|word| Piece::Reasoning(word.to_owned()))
}

fn fixed(pieces: u64) -> Vec<Piece> {
    (0..pieces).map(|_| Piece::Text(FIXED_WORD.to_owned())).collect()
}

fn lorem(tokens: u64) -> Vec<Piece> {
    let words = LOREM.iter().cycle().take(usize_of(tokens));
    words.map(|word| Piece::Text((*word).to_owned())).collect()
}

fn usize_of(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX).min(64 << 20)
}

fn words(text: &str) -> Vec<Piece> {
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    let per_piece = words.len().div_ceil(MAX_PIECES).max(1);
    words.chunks(per_piece).map(|some| Piece::Text(some.concat())).collect()
}

fn wanted_schema(ask: &Ask) -> serde_json::Value {
    let plain = || serde_json::json!({"type": "object", "properties": {"echo": {"const": echo(ask)}}});
    let given = ask.schema.clone().filter(|schema| schema.as_object().is_some_and(|s| !s.is_empty()));
    given.unwrap_or_else(plain)
}

fn tools(ask: &Ask, parallel: bool, text_first: bool, finish_stop: bool) -> (Vec<Piece>, Finish) {
    if let Some(result) = &ask.tool_result {
        return (words(&format!("The tool said: {result}")), Finish::Stop);
    }
    let asked = ask.last_user_text.to_lowercase().contains("parallel");
    let (called, finish) = calls(ask, (parallel || asked) && ask.parallel_allowed, schema::example);
    let before = if text_first { words("Let me look that up.") } else { Vec::new() };
    (before.into_iter().chain(called).collect(), if finish_stop { Finish::Stop } else { finish })
}

fn calls(
    ask: &Ask,
    all: bool,
    arguments: fn(&serde_json::Value) -> serde_json::Value,
) -> (Vec<Piece>, Finish) {
    let tools = ask.callable_tools();
    let Some(first) = tools.first() else {
        return (words("No tool was declared that I could call."), Finish::Stop);
    };
    let chosen = match (all, tools.len()) {
        (false, _) => vec![*first],
        (true, 1) => vec![*first, *first],
        (true, _) => tools,
    };
    let call = |tool: &Tool| Piece::Call {
        name: tool.name.clone(),
        fragments: fragments(&arguments(&tool.schema).to_string()),
    };
    (chosen.into_iter().map(call).collect(), Finish::Tools)
}

fn broken_calls(ask: &Ask) -> (Vec<Piece>, Finish) {
    let (mut pieces, finish) = calls(ask, false, schema::example);
    for piece in &mut pieces {
        if let Piece::Call { fragments, .. } = piece {
            *fragments = vec!["{\"half\": ".to_owned(), "\"a val".to_owned()];
        }
    }
    (pieces, finish)
}

/// A call of what nobody declared, with arguments that are in order.
fn unknown_call() -> (Vec<Piece>, Finish) {
    let call = Piece::Call { name: UNKNOWN_TOOL.to_owned(), fragments: fragments("{\"echo\":true}") };
    (vec![call], Finish::Tools)
}

/// Arbitrary cuts, as providers make them: the first fragment is empty, the others about eight characters.
fn fragments(json: &str) -> Vec<String> {
    let chars: Vec<char> = json.chars().collect();
    let size = chars.len().div_ceil(MAX_PIECES).max(8);
    let cut = chars.chunks(size).map(|some| some.iter().collect());
    std::iter::once(String::new()).chain(cut).collect()
}

fn media(ask: &Ask) -> String {
    if ask.media.is_empty() {
        return "I saw no media.".to_owned();
    }
    let seen: Vec<String> = ask.media.iter().map(describe).collect();
    format!("I saw {}.", seen.join(", "))
}

fn describe(medium: &Media) -> String {
    let Media { kind, label, source } = medium;
    match source {
        MediaSource::Inline { base64_bytes } => format!("{kind} ({label}, {} bytes)", base64_bytes / 4 * 3),
        MediaSource::Url(url) => format!("{kind} ({label}: {url})"),
        MediaSource::FileId(id) => format!("{kind} ({label}: {id})"),
    }
}

/// Keeps to the caller's token limit, cutting tool arguments as readily as text.
fn limited(pieces: Vec<Piece>, finish: Finish, max_tokens: Option<u64>) -> (Vec<Piece>, Finish) {
    let mut room = max_tokens.map_or(usize::MAX, |max| usize_of(max).saturating_mul(BYTES_PER_TOKEN));
    if pieces.iter().map(bytes).sum::<usize>() <= room {
        return (pieces, finish);
    }
    let mut kept = Vec::new();
    for piece in pieces {
        let size = bytes(&piece);
        kept.push(if size <= room { piece } else { shortened(piece, room) });
        if size >= room {
            break;
        }
        room -= size;
    }
    (kept, Finish::Length)
}

fn shortened(piece: Piece, room: usize) -> Piece {
    match piece {
        Piece::Reasoning(text) => Piece::Reasoning(head(&text, room)),
        Piece::Text(text) => Piece::Text(head(&text, room)),
        Piece::Refusal(text) => Piece::Refusal(head(&text, room)),
        Piece::Call { name, fragments } => {
            let room = room.saturating_sub(name.len());
            Piece::Call { name, fragments: vec![head(&fragments.concat(), room)] }
        }
    }
}

fn head(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

fn bytes(piece: &Piece) -> usize {
    match piece {
        Piece::Reasoning(text) | Piece::Text(text) | Piece::Refusal(text) => text.len(),
        Piece::Call { name, fragments } => name.len() + fragments.iter().map(String::len).sum::<usize>(),
    }
}

fn usage(pieces: &[Piece], ask: &Ask) -> Usage {
    let is_reasoning = |piece: &&Piece| matches!(piece, Piece::Reasoning(_));
    let reasoning = tokens(pieces.iter().filter(is_reasoning).map(bytes).sum());
    let visible = tokens(pieces.iter().filter(|piece| !is_reasoning(piece)).map(bytes).sum());
    let input = tokens(ask.prompt_bytes) + ask.media.len() as u64 * TOKENS_PER_MEDIUM;
    Usage { input, output: reasoning + visible, reasoning }
}

impl Reply {
    /// All text of one kind, joined; `None` if there is none.
    pub fn joined(&self, pick: fn(&Piece) -> Option<&str>) -> Option<String> {
        let parts: Vec<&str> = self.pieces.iter().filter_map(pick).collect();
        if parts.is_empty() { None } else { Some(parts.concat()) }
    }
}

impl Piece {
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub fn reasoning(&self) -> Option<&str> {
        if let Self::Reasoning(text) = self { Some(text) } else { None }
    }

    pub fn refusal(&self) -> Option<&str> {
        if let Self::Refusal(text) = self { Some(text) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask() -> Ask {
        let tool = |name: &str| Tool {
            name: name.to_owned(),
            schema: json!({"type": "object", "properties": {"city": {"type": "string"}}}),
        };
        Ask {
            last_user_text: "one two three".to_owned(),
            prompt_bytes: 13,
            tools: vec![tool("first"), tool("second")],
            parallel_allowed: true,
            ..Ask::default()
        }
    }

    fn text(reply: &Reply) -> String {
        reply.joined(Piece::text).unwrap_or_default()
    }

    #[test]
    fn echo_gives_the_words_back_and_counts_four_bytes_a_token() {
        let reply = compose(Say::Echo, &ask());
        assert_eq!((text(&reply).as_str(), reply.pieces.len()), ("one two three", 3));
        assert_eq!(reply.usage, Usage { input: 4, output: 4, reasoning: 0 });
    }

    #[test]
    fn a_token_limit_cuts_the_answer_and_shows_in_finish_and_usage() {
        let reply = compose(Say::Echo, &Ask { max_tokens: Some(2), ..ask() });
        assert_eq!((text(&reply).as_str(), reply.finish), ("one two ", Finish::Length));
        assert_eq!(reply.usage.output, 2);
        let reply = compose(
            Say::Tools { parallel: false, text_first: false, finish_stop: false },
            &Ask { max_tokens: Some(3), ..ask() },
        );
        assert_eq!(
            reply.pieces,
            [Piece::Call { name: "first".to_owned(), fragments: vec!["{\"city\"".to_owned()] }]
        );
    }

    #[test]
    fn lorem_is_as_many_tokens_as_its_name_says() {
        assert_eq!(compose(Say::Lorem { tokens: 37 }, &ask()).usage.output, 37);
    }

    #[test]
    fn tool_choice_prompt_and_results_decide_which_tools_are_called() {
        let tools = Say::Tools { parallel: false, text_first: false, finish_stop: false };
        let names = |say, ask: &Ask| -> Vec<String> {
            let names = compose(say, ask).pieces.into_iter().filter_map(|piece| match piece {
                Piece::Call { name, .. } => Some(name),
                _ => None,
            });
            names.collect()
        };
        let choose = |tool_choice| Ask { tool_choice, ..ask() };
        assert_eq!(names(tools, &ask()), ["first"]);
        assert_eq!(names(tools, &choose(ToolChoice::Named("second".to_owned()))), ["second"]);
        assert_eq!(names(tools, &choose(ToolChoice::None)), [""; 0]);
        assert_eq!(names(Say::Echo, &choose(ToolChoice::Any)), ["first"]);
        assert_eq!(
            names(tools, &Ask { last_user_text: "in parallel".to_owned(), ..ask() }),
            ["first", "second"]
        );
        assert_eq!(names(tools, &Ask { tool_result: Some("42".to_owned()), ..ask() }), [""; 0]);
    }

    use crate::fault_lab::ask::ToolChoice;

    #[test]
    fn a_schema_is_honoured_or_broken_as_the_behaviour_says() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
        let ask = Ask { schema: Some(schema), ..ask() };
        assert_eq!(text(&compose(Say::Echo, &ask)), r#"{"n":1}"#);
        assert_eq!(text(&compose(Say::WrongJson, &ask)), r#"{"n":{"wrong":"type"}}"#);
        assert!(serde_json::from_str::<serde_json::Value>(&text(&compose(Say::BrokenJson, &ask))).is_err());
    }
}
