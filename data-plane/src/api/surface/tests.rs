//! What clients of every dialect rely on in streams.

use serde_json::json;
use switchyard_proto::code::ErrorCode;

use super::*;
use crate::api::fixtures::{facts, finish, text};
use crate::model::response::FinishReason;

/// Every line of a stream that is no comment: the event's name, and its data.
fn lines(out: &BytesMut) -> Vec<(String, String)> {
    let all = std::str::from_utf8(out).unwrap();
    let events = all.split_terminator("\n\n").filter(|event| !event.starts_with(':'));
    let field = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    events.map(|event| (field(event, "event:"), field(event, "data:"))).collect()
}

fn failure() -> ErrorBody<'static> {
    ErrorBody {
        code: ErrorCode::ProviderUnavailable,
        status: 502,
        message: "gone",
        provider: None,
        provider_code: None,
        metadata: None,
        routing: None,
    }
}

/// A stream of this surface, whole or broken off.
fn stream(surface: Surface, is_broken: bool) -> Vec<(String, String)> {
    let (mut encoder, mut out) = (surface.stream(&facts(), &Map::new()), BytesMut::new());
    surface.keep_alive(&mut out);
    for event in
        [text("Hi"), text("!"), finish(FinishReason::Stop)].iter().take(if is_broken { 2 } else { 3 })
    {
        encoder.event(event, &mut out);
    }
    match is_broken {
        true => encoder.fail(&failure(), &mut out),
        false => {
            encoder.usage(&Usage::default(), &Bill::default(), &mut out);
            encoder.done(&mut out);
        }
    }
    lines(&out)
}

#[test]
fn a_path_belongs_to_the_surface_that_it_is_below() {
    for (path, expected) in [
        ("/api/v1/messages", Surface::Messages),
        ("/v1/messages/count_tokens", Surface::Messages),
        ("/v1/messages/batches/b_1", Surface::Messages),
        ("/v1/messagesx", Surface::ChatCompletions),
        ("/api/v1/responses/r_1", Surface::Responses),
        ("/v1/completions", Surface::Completions),
        ("/v1/chat/completions", Surface::ChatCompletions),
        ("/nowhere", Surface::ChatCompletions),
    ] {
        assert_eq!(Surface::of_path(path), expected, "{path}");
    }
}

#[test]
fn every_error_says_its_type_where_its_dialect_looks() {
    for (surface, places) in [
        (Surface::ChatCompletions, &["/error/metadata/error_type"][..]),
        (Surface::Completions, &["/error/metadata/error_type"]),
        (Surface::Responses, &["/error/metadata/error_type", "/error_type"]),
        (Surface::Messages, &["/error/error_type"]),
    ] {
        let body: Value = serde_json::from_slice(&surface.encode_error(&failure(), "gen-1")).unwrap();
        for place in places {
            assert_eq!(body.pointer(place), Some(&json!("provider_unavailable")), "{body}");
        }
    }
}

#[test]
fn only_dialects_with_a_sign_of_life_of_their_own_do_without_comments() {
    for (surface, expected) in [
        (Surface::ChatCompletions, ": SWITCHYARD PROCESSING\n\n"),
        (Surface::Completions, ": SWITCHYARD PROCESSING\n\n"),
        (Surface::Responses, ": SWITCHYARD PROCESSING\n\n"),
        (Surface::Messages, "event: ping\ndata: {\"type\":\"ping\"}\n\n"),
    ] {
        let mut out = BytesMut::new();
        surface.keep_alive(&mut out);
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
    }
}

#[test]
fn a_stream_has_one_end_in_its_dialects_own_form() {
    for (surface, is_broken, expected) in [
        (Surface::ChatCompletions, false, ("", "[DONE]")),
        (Surface::ChatCompletions, true, ("", "[DONE]")),
        (Surface::Completions, false, ("", "[DONE]")),
        (Surface::Completions, true, ("", "[DONE]")),
        (Surface::Responses, false, ("response.completed", "response.completed")),
        (Surface::Responses, true, ("response.failed", "response.failed")),
        (Surface::Messages, false, ("message_stop", "message_stop")),
        (Surface::Messages, true, ("error", "error")),
    ] {
        let events = stream(surface, is_broken);
        let is_end = |(name, data): &&(String, String)| {
            let kind = serde_json::from_str::<Value>(data).ok().map(|data| data["type"].clone());
            name == expected.0 && (data == expected.1 || kind == Some(json!(expected.1)))
        };
        assert!(is_end(&events.last().unwrap()), "{surface:?}: {events:?}");
        assert_eq!(events.iter().filter(is_end).count(), 1, "{surface:?}");
        let marks = events.iter().filter(|(_, data)| data == "[DONE]").count();
        assert_eq!(marks, usize::from(expected.1 == "[DONE]"), "{surface:?}");
    }
}

#[test]
fn chunks_have_one_id_and_one_usage_and_a_choice_one_end() {
    for surface in [Surface::ChatCompletions, Surface::Completions] {
        for is_broken in [false, true] {
            let chunks: Vec<Value> = stream(surface, is_broken)
                .iter()
                .filter_map(|(_, data)| serde_json::from_str(data).ok())
                .collect();
            assert!(chunks.iter().all(|chunk| chunk["id"] == "gen-1"), "{chunks:?}");
            let choices = chunks.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap());
            assert!(choices.clone().all(|choice| choice.get("finish_reason").is_some()), "{chunks:?}");
            assert_eq!(choices.filter(|choice| !choice["finish_reason"].is_null()).count(), 1, "{chunks:?}");
            let usages: Vec<&Value> = chunks.iter().filter(|chunk| chunk.get("usage").is_some()).collect();
            assert_eq!(usages.len(), usize::from(!is_broken), "{chunks:?}");
            assert!(usages.iter().all(|chunk| chunk["choices"] == json!([])), "{chunks:?}");
        }
    }
}

#[test]
fn named_events_say_their_name_in_their_data_too() {
    for surface in [Surface::Responses, Surface::Messages] {
        for is_broken in [false, true] {
            for (name, data) in stream(surface, is_broken) {
                let data: Value = serde_json::from_str(&data).unwrap();
                assert_eq!(data["type"], name);
            }
        }
    }
}
