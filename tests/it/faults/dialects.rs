//! Where a dialect has a word of its own: cells that come to something else than the fault's row says, and why.
//!
//! Each is reasoned from the dialect: what it has no way to say, where it puts what, which words it has for an error.

use crate::faults::table::{
    ANSWERED, Expected, HARMLESS, LIMITED, SERVED, SERVER, UNREADABLE, passes, stays,
};

/// A fault in some dialects.
pub struct Own {
    fault: &'static str,
    adapters: &'static [&'static str],
    forms: Forms,
    pub expected: Expected,
    /// A clause for the page.
    pub why: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forms {
    Both,
    Streamed,
    Whole,
}

/// The word that `adapter` has on `fault`, where it has one.
pub fn own(fault: &str, adapter: &str, streamed: bool) -> Option<&'static Own> {
    let fits = |own: &&Own| {
        let has_form = match own.forms {
            Forms::Both => true,
            Forms::Streamed => streamed,
            Forms::Whole => !streamed,
        };
        own.fault == fault && has_form && own.adapters.contains(&adapter)
    };
    OWN.iter().find(fits)
}

const fn both(
    fault: &'static str,
    adapters: &'static [&'static str],
    expected: Expected,
    why: &'static str,
) -> Own {
    Own { fault, adapters, forms: Forms::Both, expected, why }
}

const fn streamed(
    fault: &'static str,
    adapters: &'static [&'static str],
    expected: Expected,
    why: &'static str,
) -> Own {
    Own { forms: Forms::Streamed, ..both(fault, adapters, expected, why) }
}

const fn whole(
    fault: &'static str,
    adapters: &'static [&'static str],
    expected: Expected,
    why: &'static str,
) -> Own {
    Own { forms: Forms::Whole, ..both(fault, adapters, expected, why) }
}

const ANTHROPIC: &[&str] = &["anthropic"];
const GOOGLE: &[&str] = &["gemini", "vertex"];
const GOOGLE_AND_BEDROCK: &[&str] = &["gemini", "vertex", "bedrock"];
/// An in-band error is told in words that say nothing of load.
const PLAIN_ERRORS: &[&str] = &["openai_responses", "cohere"];

const TOLD_AT_START: &str = "the first event tells the prompt's tokens, and one of the answer";
const NO_WORD: &str = "no word of its own for this: told as a bad request";
const PLAIN: &str = "the error's words do not tell an overload";
const SMALL_TOOLS: &str = "a tool is written in fewer bytes";
const JSON_BY_TOOL: &str = "the schema travels as a tool, which is prompt";

const BAD_REQUEST: Expected = stays("400 invalid_request", "invalid_request 0/0 provider_final");
/// The prompt's 7 tokens and one of the answer.
const TOLD_AND_UNREADABLE: Expected = passes("502 provider_unavailable", "malformed 9000/0 provider_partial");
/// The prompt's 7 tokens, and the two of the answer that came.
const TOLD_AND_BROKEN: Expected =
    stays("200, then provider_unavailable", "malformed 11000/0 provider_partial");
const TOLD_AND_SLOW: Expected = stays("200, then timeout", "timeout 9000/0 provider_partial");
const SERVER_INSIDE: Expected = passes("502 provider_unavailable", "server 11000/0 estimated");
const FILTERED: Expected = stays("200 content_filter", "ok 27000/54000 provider_final");
const PLAIN_STOP: Expected = stays(ANSWERED, SERVED);

#[rustfmt::skip] // A table: one row, one thought.
static OWN: &[Own] = &[
    streamed("stall-2", ANTHROPIC, stays("200, then timeout", "timeout 11000/0 provider_partial"), TOLD_AT_START),
    streamed("cut-2", ANTHROPIC, TOLD_AND_BROKEN, TOLD_AT_START),
    streamed("cut-early", ANTHROPIC, TOLD_AND_UNREADABLE, TOLD_AT_START),
    streamed("reset-mid-2", ANTHROPIC, TOLD_AND_BROKEN, TOLD_AT_START),
    streamed("end-early-2", ANTHROPIC, TOLD_AND_BROKEN, TOLD_AT_START),
    streamed("end-early-0", ANTHROPIC, TOLD_AND_UNREADABLE, TOLD_AT_START),
    streamed("truncated-json", ANTHROPIC, stays("200, then provider_unavailable", "malformed 9000/0 provider_partial"), TOLD_AT_START),
    streamed("trickle-2s", ANTHROPIC, TOLD_AND_SLOW, TOLD_AT_START),
    streamed("trickle-2500ms", ANTHROPIC, TOLD_AND_SLOW, TOLD_AT_START),
    streamed("malformed", ANTHROPIC, TOLD_AND_UNREADABLE, TOLD_AT_START),
    streamed("malformed-mid-2", ANTHROPIC, TOLD_AND_BROKEN, TOLD_AT_START),
    streamed("error-first", ANTHROPIC, passes("503 provider_overloaded", "overloaded 9000/0 provider_partial"), TOLD_AT_START),
    streamed("error-mid-2", ANTHROPIC, stays("200, then provider_overloaded", "overloaded 11000/0 provider_partial"), TOLD_AT_START),

    both("status-402", GOOGLE_AND_BEDROCK, BAD_REQUEST, NO_WORD),
    both("status-408", ANTHROPIC, BAD_REQUEST, NO_WORD),
    both("status-409", &["bedrock"], BAD_REQUEST, NO_WORD),
    both("status-504", &["mistral"], SERVER, "told as an internal error"),
    both("quota", &["gemini", "vertex", "bedrock", "mistral", "cohere", "ollama"], LIMITED, "a spent account is told as a rate limit"),
    both("blocked-prompt", &["anthropic", "gemini", "vertex", "mistral", "cohere", "ollama"], BAD_REQUEST, NO_WORD),

    both("error-in-200", PLAIN_ERRORS, SERVER_INSIDE, PLAIN),
    both("error-first", PLAIN_ERRORS, SERVER_INSIDE, PLAIN),
    streamed("error-mid-2", PLAIN_ERRORS, stays("200, then provider_unavailable", "server 15000/0 estimated"), PLAIN),
    whole("error-mid-2", PLAIN_ERRORS, SERVER_INSIDE, PLAIN),
    streamed("no-choices", &["openai_responses", "mistral", "cohere", "ollama"], UNREADABLE, "the usage is told with the finish, which is missing"),
    streamed("no-choices", ANTHROPIC, stays(ANSWERED, "ok 9000/18000 provider_final"), "the end is told, and no reason for it: an empty answer"),
    whole("no-choices", ANTHROPIC, stays(ANSWERED, "ok 7000/0 provider_final"), "an empty answer without a reason for its end, which is free"),
    streamed("wrong-type", &["ollama"], HARMLESS, "lines of JSON are JSON"),

    both("refusal", &["openai_responses", "anthropic"], FILTERED, "a refusal is told as such"),
    both("content-filter", &["mistral", "ollama"], PLAIN_STOP, "no finish of its own for a filter"),
    both("wrong-finish", &["openai_responses", "ollama"], PLAIN_STOP, "no finish of its own for tools"),
    both("wrong-finish", GOOGLE, PLAIN_STOP, "no finish of its own for tools"),
    both("tools-stop", ANTHROPIC, stays("200 tool_calls", "ok 52000/104000 provider_final"), SMALL_TOOLS),
    both("tools-stop", GOOGLE_AND_BEDROCK, stays("200 tool_calls", "ok 54000/108000 provider_final"), SMALL_TOOLS),
    both("invalid-tool-json", ANTHROPIC, stays("200 tool_calls", "ok 48000/96000 provider_final"), SMALL_TOOLS),
    both("invalid-tool-json", GOOGLE_AND_BEDROCK, stays("200 tool_calls", "ok 50000/100000 provider_final"), SMALL_TOOLS),
    both("wrong-tool-args", ANTHROPIC, stays("200 tool_calls", "ok 58000/116000 provider_final"), SMALL_TOOLS),
    both("wrong-tool-args", GOOGLE_AND_BEDROCK, stays("200 tool_calls", "ok 60000/120000 provider_final"), SMALL_TOOLS),
    both("unknown-tool", ANTHROPIC, stays("200 tool_calls", "ok 50000/100000 provider_final"), SMALL_TOOLS),
    both("unknown-tool", GOOGLE_AND_BEDROCK, stays("200 tool_calls", "ok 52000/104000 provider_final"), SMALL_TOOLS),
    both("invalid-json", &["bedrock"], stays(ANSWERED, "ok 79000/158000 provider_final"), JSON_BY_TOOL),
    both("wrong-json", &["bedrock"], stays(ANSWERED, "ok 73000/146000 provider_final"), JSON_BY_TOOL),
];
