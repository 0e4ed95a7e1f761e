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

/// What is owed of a streamed answer with this finish, so many tokens and bytes.
fn owed(said: &Option<Finish>, completion: u64, text_bytes: u64) -> Owes {
    let usage = Some(final_usage(completion));
    let meter = Meter { text_bytes, usage, finish: said.clone(), is_done: true, has_product: false };
    meter.owes(&meter.counted(&Facts::default(), None))
}

#[test]
fn m1_an_answer_that_its_provider_ended_in_an_error_is_owed_no_more_than_its_fees() {
    // The provider's own word for an error, whatever it had produced.
    for (completion, text_bytes) in [(0, 0), (70, 280)] {
        let said = finish(FinishReason::Error, "error");
        assert_eq!(owed(&said, completion, text_bytes), Owes::Fees, "{completion} {text_bytes}");
    }
}

#[test]
fn m2_an_answer_without_a_token_and_without_a_reason_is_owed_no_more_than_its_fees() {
    for said in [None, finish(FinishReason::Stop, "")] {
        assert_eq!(owed(&said, 0, 0), Owes::Fees, "{said:?}");
    }
}

#[test]
fn an_answer_with_a_token_or_a_reason_is_owed() {
    for (said, completion, text_bytes) in [
        // Not a token, and a reason: an empty answer was asked for and given.
        (finish(FinishReason::Stop, "stop"), 0, 0),
        (finish(FinishReason::Length, "length"), 0, 0),
        (finish(FinishReason::ContentFilter, "content_filter"), 0, 0),
        // Something was produced.
        (None, 70, 280),
        (finish(FinishReason::Stop, ""), 1, 4),
        (finish(FinishReason::Stop, "stop"), 70, 280),
        (finish(FinishReason::ToolCalls, "tool_use"), 70, 0),
    ] {
        assert_eq!(owed(&said, completion, text_bytes), Owes::All, "{said:?} {completion} {text_bytes}");
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
