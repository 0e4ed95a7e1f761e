//! What of an answer is owed.

use super::*;
use crate::model::response::{Choice, ResponseMessage};

fn finish(reason: FinishReason, native: &str) -> Option<Finish> {
    Some(Finish { reason, native: (!native.is_empty()).then(|| native.to_owned()) })
}

fn final_usage(completion_tokens: u64) -> Usage {
    Usage {
        prompt_tokens: 500,
        completion_tokens,
        provenance: usage::Provenance::ProviderFinal,
        ..Usage::default()
    }
}

#[test]
fn an_answer_that_ended_in_an_error_or_without_a_word_is_owed_no_more_than_its_fees() {
    for (said, completion, text_bytes, owes) in [
        // The provider's own word for an error, whatever it had produced (M1).
        (finish(FinishReason::Error, "error"), 0, 0, Owes::Fees),
        (finish(FinishReason::Error, "error"), 70, 280, Owes::Fees),
        // Not a token, and no reason for it (M2).
        (None, 0, 0, Owes::Fees),
        (finish(FinishReason::Stop, ""), 0, 0, Owes::Fees),
        // Not a token, and a reason: an empty answer was asked for and given.
        (finish(FinishReason::Stop, "stop"), 0, 0, Owes::All),
        (finish(FinishReason::Length, "length"), 0, 0, Owes::All),
        (finish(FinishReason::ContentFilter, "content_filter"), 0, 0, Owes::All),
        // Something was produced.
        (None, 70, 280, Owes::All),
        (finish(FinishReason::Stop, ""), 1, 4, Owes::All),
        (finish(FinishReason::Stop, "stop"), 70, 280, Owes::All),
        (finish(FinishReason::ToolCalls, "tool_use"), 70, 0, Owes::All),
    ] {
        let meter =
            Meter { text_bytes, usage: Some(final_usage(completion)), finish: said.clone(), is_done: true };
        let counted = meter.counted(&Facts::default(), None);
        assert_eq!(meter.owes(&counted), owes, "{said:?} {completion} {text_bytes}");
    }
}

#[test]
fn text_without_a_count_is_something_produced() {
    let meter = Meter { text_bytes: 9, is_done: true, ..Meter::default() };
    let counted = meter.counted(&Facts::default(), None);
    assert_eq!((counted.completion_tokens, meter.owes(&counted)), (3, Owes::All));
}

#[test]
fn a_whole_answer_is_owed_like_a_stream() {
    let answer = |finish: Finish, content: &str| {
        let message = ResponseMessage {
            content: (!content.is_empty()).then(|| content.to_owned()),
            ..ResponseMessage::default()
        };
        let choices = vec![Choice { message, finish, ..Choice::default() }];
        ChatResponse { choices, ..ChatResponse::default() }
    };
    let error = finish(FinishReason::Error, "error").unwrap();
    for (finish, content, owes) in [
        (Finish::default(), "", Owes::Fees),
        (Finish::default(), "hello", Owes::All),
        (error, "hello", Owes::Fees),
    ] {
        let meter = Meter::of(&answer(finish.clone(), content));
        let counted = meter.counted(&Facts::default(), None);
        assert_eq!(meter.owes(&counted), owes, "{finish:?} {content}");
    }
}
