//! What went wrong, in plain words: for dialects whose errors are little more than a sentence.

use crate::fault_lab::script::Reason;

/// The status that providers usually send for `reason`.
pub fn status(reason: &Reason) -> u16 {
    match reason {
        Reason::Status(status) => *status,
        Reason::QuotaSpent | Reason::LimitedUntilReset => 429,
        Reason::ContextOverflow | Reason::PromptBlocked | Reason::BadRequest { .. } => 400,
    }
}

/// The sentence for people.
pub fn message(reason: &Reason) -> String {
    let message = match reason {
        Reason::BadRequest { message, .. } => return message.clone(),
        Reason::ContextOverflow => {
            "The prompt has 9001 tokens and exceeds the maximum context length of 8192 tokens."
        }
        Reason::QuotaSpent => "You exceeded your current quota, please check your plan and billing details.",
        Reason::PromptBlocked => "The prompt was blocked by our content filters.",
        Reason::Status(status) => by_status(*status),
        Reason::LimitedUntilReset => by_status(429),
    };
    message.to_owned()
}

fn by_status(status: u16) -> &'static str {
    match status {
        401 => "Unauthorized: the API key is not valid.",
        402 => "The account has no funds left.",
        403 => "The caller has no permission to use this model.",
        404 => "The model 'lab' was not found.",
        408 | 504 => "The request timed out.",
        409 => "The request conflicts with another one.",
        413 => "The request is too large.",
        429 => "Too many requests: the rate limit is exceeded, please wait before trying again.",
        400..=499 => "The request was invalid.",
        503 | 529 => "The model is overloaded. Please try again later.",
        _ => "An internal server error has occurred.",
    }
}
