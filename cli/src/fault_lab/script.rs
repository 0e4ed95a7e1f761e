//! What an upstream does with one call, in no dialect's words.
//!
//! Plain data: [`crate::fault_lab::behaviour`] makes scripts from names, [`crate::fault_lab::perform`] turns
//! one into bytes with the help of a dialect. Nothing here knows HTTP, JSON or time.

use std::time::Duration;

/// One call's plot. The default is an honest echo.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Script {
    pub opening: Opening,
    pub say: Say,
    pub flaw: Option<Flaw>,
    pub telling: Telling,
    pub pace: Pace,
    pub oddity: Option<Oddity>,
}

/// How the call starts; everything but `Answer` ends it as well.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Opening {
    #[default]
    Answer,
    /// The connection is reset (TCP RST) after the request was read.
    Reset,
    /// The connection is closed in good order without an answer.
    Close,
    /// Nothing is ever sent.
    Hang,
    /// Nothing is sent for so long, then the connection is closed.
    HangThenClose(Duration),
    /// The head is sent, then nothing.
    HangAfterHead,
    Fail(Failure),
    /// Every `nth` call fails, the others are answered; calls are counted per lab.
    FailEvery {
        nth: u64,
        failure: Failure,
    },
    /// A proxy's HTML page in place of the API's JSON.
    HtmlPage(u16),
    /// A redirect to another origin, which nobody holding a credential should follow.
    Redirect,
}

/// An error answer: the status on the wire, and what the body says went wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub status: u16,
    pub reason: Reason,
    pub hints: Hints,
}

/// What an error answer says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hints {
    #[default]
    None,
    /// `Retry-After` in seconds, and the provider's own headers where it has some.
    RetryAfter(u64),
    /// The provider's own headers or words alone.
    Reset,
}

/// What an error body says; each dialect has its own words for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// What the provider usually says under this status.
    Status(u16),
    /// A rate limit with a reset in a second, for dialects that say so in the body.
    LimitedUntilReset,
    ContextOverflow,
    QuotaSpent,
    PromptBlocked,
    /// The request itself is wrong, as an honest provider would find.
    BadRequest {
        field: &'static str,
        message: String,
    },
}

/// What the answer consists of.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Say {
    /// The last user text; a forced tool choice or a response schema is honoured instead.
    #[default]
    Echo,
    /// A prepared answer of so many pieces: the cheapest one, for measuring.
    Fixed {
        pieces: u64,
    },
    Tools {
        parallel: bool,
        text_first: bool,
        finish_stop: bool,
    },
    /// Tool arguments that are not JSON.
    BrokenToolJson,
    /// Tool arguments that are JSON and break the tool's schema.
    WrongToolArgs,
    /// Calls a tool that nobody declared.
    UnknownTool,
    Reasoning,
    /// Reasons and never answers.
    ReasoningOnly,
    Json,
    /// Text that is not JSON although a schema was asked for.
    BrokenJson,
    /// JSON that breaks the schema asked for.
    WrongJson,
    Lorem {
        tokens: u64,
    },
    /// One piece of so many bytes.
    Huge {
        bytes: u64,
    },
    /// Names the media found in the request.
    Media,
    Refusal,
    /// Starts, then stops for a content filter.
    Filtered,
    /// Stops at a token limit.
    Length,
    /// Text that finishes as tool calls do.
    WrongFinish,
    /// Finishes in good order with no content.
    Nothing,
    /// Not even a choice (or a stop reason).
    NoChoice,
}

/// A break in the answer, placed before content piece number `after` (counted from 0).
///
/// With fewer pieces it comes after the last of them, always before the finish.
#[derive(Debug, Clone, PartialEq)]
pub struct Flaw {
    pub after: u64,
    pub kind: FlawKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FlawKind {
    /// Nothing more comes, the connection stays open.
    Stall,
    /// The connection closes within the body.
    Cut,
    /// The connection is reset within the body.
    Reset,
    /// The body ends in good order, but too early.
    End,
    /// The body ends in good order in the middle of an event.
    Truncate,
    /// An error in the dialect's in-band form; nothing follows.
    Error(Reason),
    /// One piece is broken JSON; the rest is in order.
    Malformed,
}

/// What is told about usage.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Telling {
    #[default]
    Honest,
    Silent,
    /// [`INFLATION`] times what was used.
    Inflated,
    /// Running totals on every piece; adding them up counts several times.
    Repeated,
    /// Running totals of [`SHRINKS_FROM`] times what was used, the honest ones at the end.
    Shrinking,
}

/// The factor of [`Telling::Inflated`].
pub const INFLATION: u64 = 50;
/// The factor of the running totals of [`Telling::Shrinking`].
pub const SHRINKS_FROM: u64 = 2;

/// When things are sent; all zero by default.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pace {
    pub before_head: Duration,
    pub before_first: Duration,
    pub between: Duration,
    /// Before the last event that tells how the answer ended: where there is one for usage, that one.
    pub before_last: Duration,
    /// Whole answers come in pieces as well, one for each piece of the stream.
    pub whole_too: bool,
    /// Keep-alives at this interval, [`KEEPALIVES`] of them, before the first content.
    pub keepalive: Option<Duration>,
}

/// How many keep-alives [`Pace::keepalive`] sends before the content.
pub const KEEPALIVES: usize = 4;

/// Legal or nearly legal habits of the wire that have broken clients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Oddity {
    /// SSE lines end with CRLF.
    Crlf,
    /// SSE comments between events.
    Comments,
    /// One byte per write.
    Drip,
    /// Each event in two writes.
    Split,
    /// No `[DONE]`, no `message_stop`.
    NoTerminal,
    /// The stream opens with events that carry nothing.
    EmptyOpening,
    /// Events, fields and blocks nobody has heard of.
    Unknown,
    /// A content type that does not fit the body.
    WrongType,
    /// A whole answer although a stream was asked for.
    IgnoresStream,
    /// Rate-limit headers that say: nearly spent.
    RateLimitHint,
    /// The first event that tells the finish comes twice.
    DoubleFinish,
    /// The body is compressed though nobody asked for that.
    Gzip,
}

impl Failure {
    /// The usual error under `status`, with a `Retry-After` where providers send one.
    pub fn by_status(status: u16) -> Self {
        let hints = if matches!(status, 429 | 503 | 529) { Hints::RetryAfter(1) } else { Hints::None };
        Self { status, reason: Reason::Status(status), hints }
    }

    /// `reason` under `status`, without advice on retrying.
    pub fn new(status: u16, reason: Reason) -> Self {
        Self { status, reason, hints: Hints::None }
    }
}
