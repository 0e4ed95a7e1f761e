//! The table of behaviours: every name that chooses what the lab does, with a line on what that is.
//!
//! The names are model ids (`echo/cut-2` in the gateway, `cut-2` on the lab's own wire), values of the
//! `x-fault` header, and what tests queue. Several join with `+`: `tools+cut-2+crlf`. The catalogue's `echo`
//! rows and the documentation come from here.

use std::fmt;
use std::time::Duration;

use crate::fault_lab::script::{
    Failure, Flaw, FlawKind, Hints, Oddity, Opening, Pace, Reason, Say, Script, Telling,
};

/// One row of the table.
pub struct Behaviour {
    /// Can be used as it stands.
    pub name: &'static str,
    /// The form with numbers (`cut-N`), where there is one; `N` counts, `MS` is milliseconds (`200`, `200ms`, `2s`), `KB`
    /// 1,024 bytes.
    pub family: Option<&'static str>,
    pub ends: Ending,
    /// One sentence, for people.
    pub description: &'static str,
    play: fn(Script, &Numbers) -> Script,
}

/// How a call ends in the eyes of a client that speaks the dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// 200 and a complete answer.
    Complete,
    /// An error status, with a body in the dialect's error shape unless the row says otherwise.
    Status(u16),
    /// 200, and an error inside.
    ErrorInside,
    /// 200, and then something that is no complete answer.
    Broken,
    /// The connection goes away before any head.
    NoAnswer,
    /// The head or the rest never comes; the connection stays open.
    Silence,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::ErrorInside => f.write_str("error inside"),
            Self::Broken => f.write_str("broken"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::Silence => f.write_str("silence"),
        }
    }
}

/// A name that is not in the table.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown fault lab behaviour `{0}`; GET /lab/behaviours lists them")]
pub struct UnknownBehaviour(pub String);

/// The whole table, answers first.
pub fn behaviours() -> &'static [Behaviour] {
    TABLE
}

/// The script a name stands for, `None` if a part of it is not in the table.
///
/// An `echo/` prefix is skipped, so names may be written as the gateway's clients write them.
pub fn script(name: &str) -> Option<Script> {
    let name = name.strip_prefix("echo/").unwrap_or(name);
    name.split('+').try_fold(Script::default(), |script, part| {
        let numbers = Numbers::of(part);
        let row = find(part)?;
        Some((row.play)(script, &numbers))
    })
}

fn find(name: &str) -> Option<&'static Behaviour> {
    let exact = TABLE.iter().find(|row| row.name == name);
    exact.or_else(|| TABLE.iter().find(|row| row.family.is_some_and(|family| fits(family, name))))
}

/// Whether `name` is `family` with its capital placeholders replaced by numbers.
fn fits(family: &str, name: &str) -> bool {
    let mut parts = name.split('-');
    let fits = family.split('-').all(|expected| {
        let fits = |part: &str| match expected {
            "MS" => number(part).is_some(),
            "N" | "NNN" | "KB" => is_number(part),
            word => part == word,
        };
        parts.next().is_some_and(fits)
    });
    fits && parts.next().is_none()
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit())
}

/// A number, times in milliseconds.
fn number(part: &str) -> Option<u64> {
    let (digits, factor) = match (part.strip_suffix("ms"), part.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1_000),
        (None, None) => (part, 1),
    };
    is_number(digits).then(|| digits.parse::<u64>().ok().map(|number| number * factor))?
}

/// The numbers of a name, in order.
struct Numbers(Vec<u64>);

impl Numbers {
    fn of(name: &str) -> Self {
        Self(name.split('-').filter_map(number).collect())
    }

    fn or(&self, default: u64) -> u64 {
        self.0.first().copied().unwrap_or(default)
    }

    fn second_or(&self, default: u64) -> u64 {
        self.0.get(1).copied().unwrap_or(default)
    }

    fn ms_or(&self, default: u64) -> Duration {
        Duration::from_millis(self.or(default))
    }
}

fn say(script: Script, say: Say) -> Script {
    Script { say, ..script }
}

fn open(script: Script, opening: Opening) -> Script {
    Script { opening, ..script }
}

fn fail(script: Script, failure: Failure) -> Script {
    open(script, Opening::Fail(failure))
}

fn flaw(script: Script, after: u64, kind: FlawKind) -> Script {
    Script { flaw: Some(Flaw { after, kind }), ..script }
}

fn odd(script: Script, oddity: Oddity) -> Script {
    Script { oddity: Some(oddity), ..script }
}

fn pace(script: Script, change: impl Fn(Pace) -> Pace) -> Script {
    Script { pace: change(script.pace), ..script }
}

fn status(script: Script, numbers: &Numbers) -> Script {
    let status = u16::try_from(numbers.or(500)).unwrap_or(500).clamp(400, 599);
    let usual = Failure::by_status(status);
    let hints = numbers.0.get(1).copied().map_or(usual.hints, Hints::RetryAfter);
    fail(script, Failure { hints, ..usual })
}

const fn row(
    name: &'static str,
    ends: Ending,
    description: &'static str,
    play: fn(Script, &Numbers) -> Script,
) -> Behaviour {
    Behaviour { name, family: None, ends, description, play }
}

const fn family(
    name: &'static str,
    family: &'static str,
    ends: Ending,
    description: &'static str,
    play: fn(Script, &Numbers) -> Script,
) -> Behaviour {
    Behaviour { name, family: Some(family), ends, description, play }
}

const fn status_row(name: &'static str, status_code: u16, description: &'static str) -> Behaviour {
    family(name, "status-NNN", Ending::Status(status_code), description, status)
}

const TOOLS: Say = Say::Tools { parallel: false, text_first: false, finish_stop: false };

#[rustfmt::skip] // A table: one row, one thought.
static TABLE: &[Behaviour] = &[
    // Answers.
    row("echo", Ending::Complete, "Answers with the last user text, word by word when streaming.",
        |s, _| say(s, Say::Echo)),
    family("fixed", "fixed-N", Ending::Complete, "A prepared answer of N pieces (1) with constant usage: the cheapest one, for measuring.",
        |s, n| say(s, Say::Fixed { pieces: n.or(1) })),
    family("paced-100-10", "paced-N-MS", Ending::Complete, "The prepared answer, N pieces, one every MS milliseconds.",
        |s, n| { let gap = Duration::from_millis(n.second_or(10)); pace(say(s, Say::Fixed { pieces: n.or(100) }), |p| Pace { between: gap, ..p }) }),
    row("tools", Ending::Complete, "Calls the first declared tool (or the one that tool_choice names) with arguments made from its schema; several if the prompt says `parallel`; after a tool result it answers in text.",
        |s, _| say(s, TOOLS)),
    row("tools-parallel", Ending::Complete, "Calls every declared tool at once, a single one twice.",
        |s, _| say(s, Say::Tools { parallel: true, text_first: false, finish_stop: false })),
    row("tools-text", Ending::Complete, "Says a sentence, then calls a tool.",
        |s, _| say(s, Say::Tools { parallel: false, text_first: true, finish_stop: false })),
    row("tools-stop", Ending::Complete, "Calls a tool and finishes with `stop` instead of the tool reason.",
        |s, _| say(s, Say::Tools { parallel: false, text_first: false, finish_stop: true })),
    row("reasoning", Ending::Complete, "Reasons first, then echoes.", |s, _| say(s, Say::Reasoning)),
    row("reasoning-only", Ending::Complete, "Reasons, and finishes without an answer.", |s, _| say(s, Say::ReasoningOnly)),
    row("json", Ending::Complete, "Answers with JSON that conforms to the response schema asked for.",
        |s, _| say(s, Say::Json)),
    family("lorem-100", "lorem-N", Ending::Complete, "Exactly N tokens of text.",
        |s, n| say(s, Say::Lorem { tokens: n.or(100) })),
    row("long", Ending::Complete, "2,000 tokens of text.", |s, _| say(s, Say::Lorem { tokens: 2_000 })),
    row("image", Ending::Complete, "Tells what images, audio, video and files it was sent.", |s, _| say(s, Say::Media)),
    row("refusal", Ending::Complete, "Refuses to answer, as the model.", |s, _| say(s, Say::Refusal)),
    row("content-filter", Ending::Complete, "Starts to answer and is stopped by a content filter.", |s, _| say(s, Say::Filtered)),
    row("length", Ending::Complete, "Stops at a token limit in the middle of a sentence.", |s, _| say(s, Say::Length)),
    row("empty", Ending::Complete, "Finishes in good order with no content.", |s, _| say(s, Say::Nothing)),
    row("no-choices", Ending::Broken, "200 with no choice or stop reason in it.", |s, _| say(s, Say::NoChoice)),
    row("invalid-tool-json", Ending::Complete, "Calls a tool with arguments that are not JSON (Anthropic whole: a string in place of an object).",
        |s, _| say(s, Say::BrokenToolJson)),
    row("wrong-tool-args", Ending::Complete, "Calls a tool with arguments that break its schema.", |s, _| say(s, Say::WrongToolArgs)),
    row("unknown-tool", Ending::Complete, "Calls a tool that nobody declared.", |s, _| say(s, Say::UnknownTool)),
    row("invalid-json", Ending::Complete, "Answers with text that is not JSON though a schema was asked for.", |s, _| say(s, Say::BrokenJson)),
    row("wrong-json", Ending::Complete, "Answers with JSON that breaks the schema asked for.", |s, _| say(s, Say::WrongJson)),

    row("wrong-finish", Ending::Complete, "Text that finishes as tool calls do, where the dialect has a word for that.",
        |s, _| say(s, Say::WrongFinish)),
    row("double-finish", Ending::Complete, "Tells its finish twice; no change to a whole answer.", |s, _| odd(s, Oddity::DoubleFinish)),

    // Error answers.
    status_row("status-400", 400, "400, an invalid request."),
    status_row("status-401", 401, "401, the key is wrong."),
    status_row("status-402", 402, "402, the provider's account is out of money."),
    status_row("status-403", 403, "403, no permission."),
    status_row("status-404", 404, "404, no such model."),
    status_row("status-408", 408, "408, timed out."),
    status_row("status-409", 409, "409, a conflict."),
    status_row("status-413", 413, "413, too large."),
    status_row("status-422", 422, "422, cannot be processed."),
    status_row("status-429", 429, "429, rate limited, with Retry-After of one second."),
    status_row("status-500", 500, "500, a server error."),
    status_row("status-502", 502, "502, a bad gateway, in JSON."),
    status_row("status-503", 503, "503, overloaded, with Retry-After of one second."),
    status_row("status-504", 504, "504, timed out inside."),
    status_row("status-529", 529, "529, overloaded, Anthropic's way."),
    family("status-429-30", "status-NNN-N", Ending::Status(429), "The status NNN with Retry-After of N seconds.", status),
    row("status-429-reset", Ending::Status(429), "429 with the provider's own reset headers (Gemini: a delay in the body) and no Retry-After.",
        |s, _| fail(s, Failure { hints: Hints::Reset, ..Failure::new(429, Reason::LimitedUntilReset) })),
    row("status-429-bare", Ending::Status(429), "429 without any hint.", |s, _| fail(s, Failure::new(429, Reason::Status(429)))),
    row("context-overflow", Ending::Status(400), "400, the prompt does not fit the context window.",
        |s, _| fail(s, Failure::new(400, Reason::ContextOverflow))),
    row("quota", Ending::Status(429), "The provider's account is out of money (429, Anthropic 400); waiting does not help.",
        |s, _| fail(s, Failure::new(429, Reason::QuotaSpent))),
    row("blocked-prompt", Ending::Status(400), "400, the prompt was blocked by a content policy.",
        |s, _| fail(s, Failure::new(400, Reason::PromptBlocked))),
    row("html-502", Ending::Status(502), "502 with a proxy's HTML page.", |s, _| open(s, Opening::HtmlPage(502))),
    row("html-200", Ending::Broken, "200 with an HTML page.", |s, _| open(s, Opening::HtmlPage(200))),
    row("redirect", Ending::Status(307), "307 to another origin.", |s, _| open(s, Opening::Redirect)),
    row("error-in-200", Ending::ErrorInside, "An error object as a whole JSON body under status 200, also when a stream was asked for.",
        |s, _| fail(s, Failure::new(200, Reason::Status(503)))),
    family("flaky-3", "flaky-N", Ending::Complete, "503 on every Nth call to this lab, an echo on the others.",
        |s, n| open(s, Opening::FailEvery { nth: n.or(3).max(1), failure: Failure::by_status(503) })),

    // The connection.
    row("reset", Ending::NoAnswer, "Reads the request, then resets the connection.", |s, _| open(s, Opening::Reset)),
    row("close", Ending::NoAnswer, "Reads the request, then closes the connection without an answer.", |s, _| open(s, Opening::Close)),
    family("hang", "hang-MS", Ending::Silence, "Reads the request and never answers; with a time, closes the connection after it.",
        |s, n| { let wait = n.0.first().copied(); open(s, wait.map_or(Opening::Hang, |ms| Opening::HangThenClose(Duration::from_millis(ms)))) }),
    row("hang-after-headers", Ending::Silence, "Sends the headers of a good answer, then nothing.", |s, _| open(s, Opening::HangAfterHead)),
    family("stall", "stall-N", Ending::Silence, "Stops for ever after N pieces (2), connection open; a whole answer stops half-way.",
        |s, n| flaw(s, n.or(2), FlawKind::Stall)),
    family("cut", "cut-N", Ending::Broken, "Closes the connection after N pieces (3), no terminal event; a whole answer is cut half-way.",
        |s, n| flaw(s, n.or(3), FlawKind::Cut)),
    row("cut-early", Ending::Broken, "Closes the connection after the opening event, before any content.",
        |s, _| flaw(s, 0, FlawKind::Cut)),
    family("reset-mid", "reset-mid-N", Ending::Broken, "Resets the connection after N pieces (3).",
        |s, n| flaw(s, n.or(3), FlawKind::Reset)),
    family("end-early", "end-early-N", Ending::Broken, "Ends the stream in good order after N pieces (3), without a finish; a whole answer is half its JSON.",
        |s, n| flaw(s, n.or(3), FlawKind::End)),
    row("truncated-json", Ending::Broken, "Ends in good order in the middle of the JSON.", |s, _| flaw(s, 1, FlawKind::Truncate)),

    // Time.
    family("slow", "slow-MS", Ending::Complete, "MS milliseconds (200) between pieces; a whole answer waits once.",
        |s, n| { let gap = n.ms_or(200); pace(s, |p| Pace { between: gap, ..p }) }),
    family("trickle", "trickle-MS", Ending::Complete, "A hundred tokens, one every MS milliseconds (200), whole answers in as many parts: slow, but alive.",
        |s, n| { let gap = n.ms_or(200); pace(say(s, Say::Lorem { tokens: 100 }), |p| Pace { between: gap, before_first: gap, whole_too: true, ..p }) }),
    family("slow-head-1000", "slow-head-MS", Ending::Complete, "Waits MS milliseconds before the response headers.",
        |s, n| { let wait = n.ms_or(1_000); pace(s, |p| Pace { before_head: wait, ..p }) }),
    family("slow-first-1000", "slow-first-MS", Ending::Complete, "Headers at once, the first content after MS milliseconds.",
        |s, n| { let wait = n.ms_or(1_000); pace(s, |p| Pace { before_first: wait, ..p }) }),
    family("keepalive", "keepalive-MS", Ending::Complete, "Four keep-alives, one every MS milliseconds (250), before the first content.",
        |s, n| { let gap = n.ms_or(250); pace(s, |p| Pace { keepalive: Some(gap), ..p }) }),

    // Errors and rubbish inside a 200.
    row("error-first", Ending::ErrorInside, "An error event in the stream before any content; a whole answer holds an error.",
        |s, _| flaw(s, 0, FlawKind::Error(Reason::Status(529)))),
    family("error-mid", "error-mid-N", Ending::ErrorInside, "An error event after N pieces (2); a whole answer holds text and an error.",
        |s, n| flaw(s, n.or(2), FlawKind::Error(Reason::Status(529)))),
    row("malformed", Ending::Broken, "The first piece is broken JSON.", |s, _| flaw(s, 0, FlawKind::Malformed)),
    family("malformed-mid", "malformed-mid-N", Ending::Broken, "The piece after N pieces (2) is broken JSON.",
        |s, n| flaw(s, n.or(2), FlawKind::Malformed)),

    // Usage.
    row("no-usage", Ending::Complete, "Tells no usage.", |s, _| Script { telling: Telling::Silent, ..s }),
    row("wrong-usage", Ending::Complete, "Tells fifty times the usage.", |s, _| Script { telling: Telling::Inflated, ..s }),
    row("double-usage", Ending::Complete, "Tells running usage totals on every piece, where the dialect has a place for them; adding them up is wrong.",
        |s, _| Script { telling: Telling::Repeated, ..s }),
    row("shrinking-usage", Ending::Complete, "Running totals of twice the usage on every piece, where the dialect has a place for them, and the honest one at the end.",
        |s, _| Script { telling: Telling::Shrinking, ..s }),
    family("late-usage", "late-usage-MS", Ending::Complete, "The usage comes MS milliseconds (200) after everything else, the finish with it where they are one event; a whole answer waits once.",
        |s, n| { let wait = n.ms_or(200); pace(s, |p| Pace { before_last: wait, ..p }) }),

    // Habits of the wire.
    row("no-done", Ending::Complete, "A finish, but no [DONE] (Anthropic: no message_stop); no change where the finish is the last event.", |s, _| odd(s, Oddity::NoTerminal)),
    row("crlf", Ending::Complete, "SSE with CRLF line ends; no change for streams of another framing.", |s, _| odd(s, Oddity::Crlf)),
    row("comments", Ending::Complete, "SSE comments between the events; no change for streams of another framing.", |s, _| odd(s, Oddity::Comments)),
    row("drip", Ending::Complete, "One byte per write.", |s, _| odd(s, Oddity::Drip)),
    row("split", Ending::Complete, "Each event in two writes.", |s, _| odd(s, Oddity::Split)),
    family("huge-line", "huge-line-KB", Ending::Complete, "One piece of KB kilobytes (1,024) on one line.",
        |s, n| say(s, Say::Huge { bytes: n.or(1_024) * 1_024 })),
    row("giant-line", Ending::Complete, "One piece of 64 megabytes on one line: more than anybody should hold.",
        |s, _| say(s, Say::Huge { bytes: 64 << 20 })),
    row("empty-opening", Ending::Complete, "Opens with events that carry nothing: `choices: []`, a null delta, pings.",
        |s, _| odd(s, Oddity::EmptyOpening)),
    row("unknown-events", Ending::Complete, "Events and fields nobody has heard of.", |s, _| odd(s, Oddity::Unknown)),
    row("wrong-type", Ending::Complete, "A content type that does not fit the body.", |s, _| odd(s, Oddity::WrongType)),
    row("gzip", Ending::Broken, "The body is compressed, and says so, though nobody asked for that.", |s, _| odd(s, Oddity::Gzip)),
    row("no-stream", Ending::Complete, "A whole answer although a stream was asked for.", |s, _| odd(s, Oddity::IgnoresStream)),
    row("rate-limit-hint", Ending::Complete, "Rate-limit headers that say: nearly spent.", |s, _| odd(s, Oddity::RateLimitHint)),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_can_be_called_by_its_name_and_names_are_unique() {
        let mut seen = HashSet::new();
        for row in behaviours() {
            assert!(seen.insert(row.name), "{} appears twice", row.name);
            assert!(script(row.name).is_some(), "{}", row.name);
            assert!(row.description.ends_with('.'), "{}", row.name);
            assert!(
                row.family.is_none_or(|f| row.name == f || f.starts_with(stem(row.name))),
                "{}",
                row.name
            );
        }
    }

    fn stem(name: &str) -> &str {
        name.split_once(|c: char| c.is_ascii_digit()).map_or(name, |(stem, _)| stem)
    }

    #[test]
    fn numbers_in_a_name_choose_the_place_the_time_and_the_status() {
        let cases = [
            ("cut-7", flaw(Script::default(), 7, FlawKind::Cut)),
            ("status-418", fail(Script::default(), Failure::by_status(418))),
            ("hang-5s", open(Script::default(), Opening::HangThenClose(Duration::from_secs(5)))),
            ("slow-200ms", pace(Script::default(), |p| Pace { between: Duration::from_millis(200), ..p })),
            ("echo/lorem-12", say(Script::default(), Say::Lorem { tokens: 12 })),
            (
                "slow-first-20",
                pace(Script::default(), |p| Pace { before_first: Duration::from_millis(20), ..p }),
            ),
        ];
        for (name, expected) in cases {
            assert_eq!(script(name), Some(expected), "{name}");
        }
        let Some(Script { opening: Opening::Fail(failure), .. }) = script("status-429-30") else {
            panic!("status-429-30 does not fail");
        };
        assert_eq!((failure.status, failure.hints), (429, Hints::RetryAfter(30)));
    }

    #[test]
    fn names_joined_with_plus_add_up() {
        let script = script("tools+cut-1+crlf").expect("all three are in the table");
        assert_eq!(script.say, TOOLS);
        assert_eq!(script.flaw, Some(Flaw { after: 1, kind: FlawKind::Cut }));
        assert_eq!(script.oddity, Some(Oddity::Crlf));
    }

    #[test]
    fn names_outside_the_table_are_unknown() {
        for name in [
            "",
            "nonsense",
            "cut-x",
            "cut-1-2",
            "status-",
            "echo+nonsense",
            "lorem-9999999999",
            "cut-2s",
            "hang-s",
            "hang-ms",
        ] {
            assert_eq!(script(name), None, "{name}");
        }
    }
}
