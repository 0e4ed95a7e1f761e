//! What every fault must come to, reasoned from the rules: sections 4, 6 and 8 of the design.
//!
//! Caller: `200` with the finish reason, `200, then` the error that was told in the stream, or the error's status and type.
//! Attempt: who, its outcome, what the provider bills by our word, what the tenant pays (both in nano-dollars), and how the
//! tokens are known. What is said here holds in every dialect, unless `dialects` has a word on it. The rules behind the
//! numbers:
//!
//! - Prices are 1,000 a prompt token and 2,000 another one; the tenant pays twice the cost, at most what was reserved:
//!   107 prompt tokens at most, and the cap of 200, come to 507,000, so 1,014,000.
//! - The lab counts four bytes a token: 7 for the prompt (27 bytes), 7 for its echo. 21,000 in all.
//! - An estimate of the same prompt is 11 tokens, because it counts four more for a message: 11,000.
//! - Turning a request down by its status is free. Who was reached and gave no usage is booked at an estimate of what it can
//!   bill. A tenant pays nothing for what it never saw, nor for what its provider broke off.
//! - What may pass (limits, overload, a broken server or answer) is tried once more after all others, unless the provider
//!   asks for a longer wait than two seconds. Silence is not: a hung provider costs its deadline once.

/// One fault with its cells: four in each dialect.
pub struct Row {
    /// The name at the lab; those of [`NO_LAB`] have none.
    pub fault: &'static str,
    pub asks: Asks,
    pub under: Under,
    pub load: Load,
    pub streamed: Expected,
    pub whole: Expected,
}

/// What the caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    Text,
    /// With a tool.
    Tools,
    /// With a schema for the answer.
    Json,
}

/// The deadlines of the faulty provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Under {
    /// Those of the settings, far beyond anything here.
    Patience,
    /// Short ones for silence.
    Haste,
    /// A short one for the whole of the attempt, with silence allowed.
    ShortTotal,
    /// Ten tokens a second, over half a second, and a total that is longer than that.
    MinimumRate,
    /// Nobody listens.
    ClosedPort,
    /// Somebody listens and takes nobody.
    FullQueue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    Light,
    /// A megabyte on one line: run alone, and in one dialect of each framing.
    Heavy,
    /// Tens of megabytes: run alone, and in one dialect.
    Giant,
}

/// What two cells must hold: without another provider, and with a healthy one behind.
#[derive(Debug, Clone, Copy)]
pub enum Expected {
    /// Before the first content: the next provider answers, and alone the caller gets the error with its status.
    Moves { alone: &'static str, attempt: &'static str },
    /// The same of a failure that may pass: without another provider it is tried once more, and fails as before.
    Passes { alone: &'static str, attempt: &'static str },
    /// The first provider has the last word, good or bad.
    Stays { caller: &'static str, attempt: &'static str },
}

impl Expected {
    pub fn caller(self, has_second: bool) -> &'static str {
        match self {
            Self::Moves { .. } | Self::Passes { .. } if has_second => ANSWERED,
            Self::Moves { alone: caller, .. }
            | Self::Passes { alone: caller, .. }
            | Self::Stays { caller, .. } => caller,
        }
    }

    pub fn attempts(self, has_second: bool) -> Vec<String> {
        let first = |attempt: &str| format!("{FIRST} {attempt}");
        match self {
            Self::Moves { attempt, .. } | Self::Passes { attempt, .. } if has_second => {
                vec![first(attempt), format!("{SECOND} {SERVED}")]
            }
            Self::Passes { attempt, .. } => vec![first(attempt), first(attempt)],
            Self::Moves { attempt, .. } | Self::Stays { attempt, .. } => vec![first(attempt)],
        }
    }
}

impl Row {
    pub fn is_run_in(&self, adapter: &str) -> bool {
        match self.load {
            Load::Light => true,
            Load::Heavy => FRAMINGS.contains(&adapter),
            Load::Giant => FRAMINGS[0] == adapter,
        }
    }
}

/// The faulty provider, which has a name of its own in every cell.
pub const FIRST: &str = "first";
/// The healthy one.
pub const SECOND: &str = "second";

/// Server-sent events, Amazon's frames, JSON lines.
pub const FRAMINGS: [&str; 3] = ["openai", "bedrock", "ollama"];

/// Connecting to where nobody listens: no behaviour of a lab, which listens.
const REFUSED: &str = "(connection refused)";
/// Connecting to where nobody takes connections.
const UNACCEPTED: &str = "(connection not accepted)";
/// Faults that need no lab.
pub const NO_LAB: [&str; 2] = [REFUSED, UNACCEPTED];

/// Behaviours that are good answers and nothing else.
pub const ANSWERS: &[&str] = &[
    "echo",
    "fixed",
    "paced-100-10",
    "tools",
    "tools-parallel",
    "tools-text",
    "reasoning",
    "json",
    "lorem-100",
    "long",
    "image",
];

pub const ANSWERED: &str = "200 stop";
/// The echo, with the provider's own count.
pub const SERVED: &str = "ok 21000/42000 provider_final";

pub const fn moves(alone: &'static str, attempt: &'static str) -> Expected {
    Expected::Moves { alone, attempt }
}

pub const fn passes(alone: &'static str, attempt: &'static str) -> Expected {
    Expected::Passes { alone, attempt }
}

pub const fn stays(caller: &'static str, attempt: &'static str) -> Expected {
    Expected::Stays { caller, attempt }
}

const fn row(fault: &'static str, streamed: Expected, whole: Expected) -> Row {
    Row { fault, asks: Asks::Text, under: Under::Patience, load: Load::Light, streamed, whole }
}

const fn both(fault: &'static str, expected: Expected) -> Row {
    row(fault, expected, expected)
}

const fn under(under: Under, row: Row) -> Row {
    Row { under, ..row }
}

const fn asking(asks: Asks, row: Row) -> Row {
    Row { asks, ..row }
}

const fn loaded(load: Load, row: Row) -> Row {
    Row { load, ..row }
}

/// An answer that is as good as any: the fault must not hurt.
pub const HARMLESS: Expected = stays(ANSWERED, SERVED);
/// Something came, but no answer, and nobody saw anything of it.
pub const UNREADABLE: Expected = passes("502 provider_unavailable", "malformed 11000/0 estimated");
pub const TOO_SLOW: Expected = moves("504 timeout", "timeout 11000/0 estimated");
pub const OVERLOADED_INSIDE: Expected = passes("503 provider_overloaded", "overloaded 11000/0 estimated");
/// Two words, of two tokens, and then its end: 11 and 2 tokens by our count.
pub const BROKEN_AFTER_TWO: Expected = stays("200, then provider_unavailable", "malformed 15000/0 estimated");
pub const LIMITED: Expected = passes("429 rate_limit_exceeded", "rate_limited 0/0 provider_final");
pub const OVERLOADED: Expected = passes("503 provider_overloaded", "overloaded 0/0 provider_final");
pub const SERVER: Expected = passes("502 provider_unavailable", "server 0/0 provider_final");
pub const UNPAID: Expected = moves("502 provider_unavailable", "payment 0/0 provider_final");
pub const TIMED_OUT_INSIDE: Expected = passes("504 timeout", "timeout 0/0 provider_final");

#[rustfmt::skip] // A table: one row, one thought.
pub static ROWS: &[Row] = &[
    // The connection.
    under(Under::ClosedPort, both(REFUSED, passes("502 provider_unavailable", "server 0/0 estimated"))),
    under(Under::FullQueue, both(UNACCEPTED, moves("504 timeout", "timeout 0/0 estimated"))),
    both("reset", UNREADABLE),
    both("close", UNREADABLE),
    under(Under::Haste, both("hang", TOO_SLOW)),
    under(Under::Haste, both("hang-after-headers", TOO_SLOW)),
    // Produced tokens are paid for; silence is told in the stream.
    under(Under::Haste, row("stall-2", stays("200, then timeout", "timeout 15000/0 estimated"), TOO_SLOW)),
    row("cut-2", BROKEN_AFTER_TWO, UNREADABLE),
    both("cut-early", UNREADABLE),
    row("reset-mid-2", BROKEN_AFTER_TWO, UNREADABLE),
    row("end-early-2", BROKEN_AFTER_TWO, UNREADABLE),
    both("end-early-0", UNREADABLE),
    row("truncated-json", stays("200, then provider_unavailable", "malformed 13000/0 estimated"), UNREADABLE),

    // Time. Slow is no fault while it is within the deadlines.
    both("slow-20", HARMLESS),
    both("slow-head-50", HARMLESS),
    both("slow-first-50", HARMLESS),
    both("keepalive-20", HARMLESS),
    // One token before the attempt's time is over: 11 and 1 by our count.
    under(Under::ShortTotal, row("trickle-2s", stays("200, then timeout", "timeout 13000/0 estimated"), TOO_SLOW)),
    // One token in half a second is two a second. A whole answer has no rate: its total ends it.
    under(Under::MinimumRate, row("trickle-2500ms", stays("200, then timeout", "timeout 13000/0 estimated"), TOO_SLOW)),

    // Turned down by status: free of charge. What the request is to blame for is not tried elsewhere.
    both("status-400", stays("400 invalid_request", "invalid_request 0/0 provider_final")),
    // Our credential, our account: never the caller's fault.
    both("status-401", moves("502 provider_unavailable", "auth 0/0 provider_final")),
    both("status-402", UNPAID),
    both("status-403", moves("502 provider_unavailable", "permission 0/0 provider_final")),
    both("status-404", moves("404 not_found", "not_found 0/0 provider_final")),
    both("status-408", TIMED_OUT_INSIDE),
    both("status-409", SERVER),
    both("status-413", stays("413 payload_too_large", "invalid_request 0/0 provider_final")),
    both("status-422", stays("400 invalid_request", "invalid_request 0/0 provider_final")),
    both("status-429", LIMITED),
    // Half a minute is longer than anybody waits here.
    both("status-429-30", moves("429 rate_limit_exceeded", "rate_limited 0/0 provider_final")),
    both("status-429-reset", LIMITED),
    both("status-429-bare", LIMITED),
    both("status-500", SERVER),
    both("status-502", SERVER),
    both("status-503", OVERLOADED),
    both("status-504", TIMED_OUT_INSIDE),
    both("status-529", OVERLOADED),
    // Another model's window may be larger.
    both("context-overflow", moves("400 context_length_exceeded", "context_length 0/0 provider_final")),
    both("quota", UNPAID),
    both("blocked-prompt", stays("400 content_policy_violation", "content_filtered 0/0 provider_final")),
    both("html-502", SERVER),
    both("redirect", SERVER),
    both("flaky-1", OVERLOADED),

    // Under status 200. The provider was at work, so what it can bill is booked.
    both("html-200", UNREADABLE),
    both("error-in-200", OVERLOADED_INSIDE),
    both("error-first", OVERLOADED_INSIDE),
    row("error-mid-2", stays("200, then provider_overloaded", "overloaded 15000/0 estimated"), OVERLOADED_INSIDE),
    both("malformed", UNREADABLE),
    row("malformed-mid-2", BROKEN_AFTER_TWO, UNREADABLE),
    // A stream without a choice has told its usage, of which the prompt is 7 tokens.
    row("no-choices", passes("502 provider_unavailable", "malformed 7000/0 provider_partial"), UNREADABLE),
    both("gzip", UNREADABLE),
    // A stream that says that it is JSON is read as JSON.
    row("wrong-type", UNREADABLE, HARMLESS),

    // Usage. Where none is told it is estimated: 11 and 7.
    both("no-usage", stays(ANSWERED, "ok 25000/50000 estimated")),
    // Fifty times the truth: we owe what the provider says, the tenant what was reserved.
    both("wrong-usage", stays(ANSWERED, "ok 1050000/1014000 provider_final")),
    both("double-usage", HARMLESS),
    // Running totals: the last one told is the final one.
    both("shrinking-usage", HARMLESS),
    both("late-usage-50", HARMLESS),

    // Answers that no policy was told to refuse: they are the caller's, and paid for.
    both("refusal", stays(ANSWERED, "ok 27000/54000 provider_final")),
    both("content-filter", stays("200 content_filter", SERVED)),
    both("length", stays("200 length", "ok 25000/50000 provider_final")),
    both("empty", stays(ANSWERED, "ok 7000/14000 provider_final")),
    both("reasoning-only", stays(ANSWERED, "ok 37000/74000 provider_final")),
    both("wrong-finish", stays("200 tool_calls", SERVED)),
    both("double-finish", HARMLESS),
    asking(Asks::Tools, both("tools-stop", stays("200 tool_calls", "ok 60000/120000 provider_final"))),
    asking(Asks::Tools, both("invalid-tool-json", stays("200 tool_calls", "ok 56000/112000 provider_final"))),
    asking(Asks::Tools, both("wrong-tool-args", stays("200 tool_calls", "ok 66000/132000 provider_final"))),
    asking(Asks::Tools, both("unknown-tool", stays("200 tool_calls", "ok 58000/116000 provider_final"))),
    asking(Asks::Json, both("invalid-json", stays(ANSWERED, "ok 27000/54000 provider_final"))),
    asking(Asks::Json, both("wrong-json", stays(ANSWERED, "ok 19000/38000 provider_final"))),

    // Habits of the wire.
    both("no-done", HARMLESS),
    both("crlf", HARMLESS),
    both("comments", HARMLESS),
    both("drip", HARMLESS),
    both("split", HARMLESS),
    both("empty-opening", HARMLESS),
    both("unknown-events", HARMLESS),
    both("no-stream", HARMLESS),
    both("rate-limit-hint", HARMLESS),
    // A megabyte on one line is 262,144 tokens, far beyond the cap: we owe them, the tenant what was reserved.
    loaded(Load::Heavy, both("huge-line", stays(ANSWERED, "ok 524295000/1014000 provider_final"))),
    // Beyond what is held of a line (32 MiB) and of an answer (64 MiB).
    loaded(Load::Giant, both("giant-line", UNREADABLE)),
];
