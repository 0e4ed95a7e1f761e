//! Why an answer ended, in our words.

use crate::model::event::with_tools;
use crate::model::response::{Finish, FinishReason};

/// How a candidate ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Finished(Finish),
    /// The provider broke: what should have come did not.
    Broken(Finish),
}

/// What a candidate has said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said {
    pub calls: bool,
    /// Text, a medium, or the structured answer.
    pub content: bool,
}

/// The word for a reason, which may come as its number; None for what names no reason.
pub fn named(reason: &str) -> Option<&str> {
    let word = match reason {
        "" | "0" | "FINISH_REASON_UNSPECIFIED" => return None,
        "1" => "STOP",
        "2" => "MAX_TOKENS",
        "3" => "SAFETY",
        "4" => "RECITATION",
        "5" => "OTHER",
        "6" => "LANGUAGE",
        "7" => "BLOCKLIST",
        "8" => "PROHIBITED_CONTENT",
        "9" => "SPII",
        "10" => "MALFORMED_FUNCTION_CALL",
        "11" => "IMAGE_SAFETY",
        other => other,
    };
    Some(word)
}

/// Reads the provider's reason.
pub fn ending(reason: &str, said: Said) -> Ending {
    let native = Some(reason.to_owned());
    let finished = |reason: FinishReason| {
        Ending::Finished(Finish { reason: with_tools(reason, said.calls), native: native.clone() })
    };
    match reason {
        "STOP" => finished(FinishReason::Stop),
        "MAX_TOKENS" | "CONTINUATION" => finished(FinishReason::Length),
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR"
        | "ESCALATION"
        | "PUP_LIMITED_DISABLED" => finished(FinishReason::ContentFilter),
        // A whole call is an answer, even of a tool that nobody declared; half an answer is none.
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "MALFORMED_RESPONSE"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
            if !said.calls =>
        {
            Ending::Broken(Finish { reason: FinishReason::Error, native })
        }
        _ if said.calls || said.content => finished(FinishReason::Stop),
        _ => Ending::Broken(Finish { reason: FinishReason::Error, native }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_depend_on_what_was_said() {
        use FinishReason::*;
        let nothing = Said::default();
        let text = Said { content: true, ..nothing };
        let calls = Said { calls: true, ..nothing };
        for (reason, said, expected) in [
            ("STOP", nothing, Ok(Stop)),
            ("STOP", calls, Ok(ToolCalls)),
            ("MAX_TOKENS", calls, Ok(Length)),
            ("CONTINUATION", text, Ok(Length)),
            ("SAFETY", nothing, Ok(ContentFilter)),
            ("RECITATION", text, Ok(ContentFilter)),
            ("IMAGE_SAFETY", nothing, Ok(ContentFilter)),
            ("UNEXPECTED_TOOL_CALL", calls, Ok(ToolCalls)),
            ("UNEXPECTED_TOOL_CALL", nothing, Err(Error)),
            ("MALFORMED_FUNCTION_CALL", text, Err(Error)),
            ("OTHER", text, Ok(Stop)),
            ("OTHER", nothing, Err(Error)),
            ("NO_IMAGE", nothing, Err(Error)),
            ("BRAND_NEW", text, Ok(Stop)),
            ("BRAND_NEW", calls, Ok(ToolCalls)),
            ("", nothing, Err(Error)),
        ] {
            let found = match ending(reason, said) {
                Ending::Finished(finish) => Ok(finish.reason),
                Ending::Broken(finish) => Err(finish.reason),
            };
            assert_eq!(found, expected, "{reason} {said:?}");
        }
        assert_eq!(["1", "3", "12"].map(named), ["STOP", "SAFETY", "12"].map(Some));
        assert_eq!(["", "0", "FINISH_REASON_UNSPECIFIED"].map(named), [None; 3]);
    }
}
