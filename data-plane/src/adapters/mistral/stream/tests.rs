//! Streams whose request changed something: names and a prefix.

use bytes::Bytes;
use serde_json::json;

use super::StreamDecoder;
use crate::adapters::mistral::Mistral;
use crate::adapters::{Adapter, Context, Decoder};
use crate::model::event::{Event, fold};
use crate::model::response::{ChatResponse, FinishReason};

fn stream(context: &Context, pieces: &[&str], finish: &str) -> ChatResponse {
    let (mut decoder, mut events) = (StreamDecoder::new(context.clone()), Vec::new());
    for piece in pieces {
        let chunk =
            json!({"id": "i", "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": null}]});
        decoder.push(Bytes::from(format!("data: {chunk}\n\n")), &mut events).expect("a chunk");
    }
    let last =
        json!({"id": "i", "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": finish}]});
    decoder.push(Bytes::from(format!("data: {last}\n\ndata: [DONE]\n\n")), &mut events).expect("an end");
    decoder.finish(&mut events).expect("ended");
    assert!(events.iter().all(|event| !matches!(event, Event::Chunk(chunk) if chunk.raw_choices)));
    fold(&events)
}

#[test]
fn the_prefix_is_said_once() {
    let context = Context { prefix: Some("né:".to_owned()), ..Context::default() };
    for (pieces, finish, expected) in [
        (&["né:", " a"][..], "stop", " a"),
        (&["n", "é", ": a", "b"], "stop", " ab"),
        (&["né: a"], "stop", " a"),
        (&["no", " é"], "stop", "no é"),
        (&["n"], "length", "n"),
        (&["né:"], "stop", ""),
        (&["né:né:"], "stop", "né:"),
    ] {
        let streamed = stream(&context, pieces, finish);
        assert_eq!(
            streamed.choices[0].message.content.as_deref().unwrap_or_default(),
            expected,
            "{pieces:?}"
        );
        let body = json!({"id": "i", "choices": [{"index": 0, "finish_reason": finish, "message": {"content": pieces.concat()}}]});
        let whole = Mistral
            .decode(http::StatusCode::OK, &http::HeaderMap::new(), &Bytes::from(body.to_string()), &context)
            .expect("an answer");
        assert_eq!(whole.choices[0].message, streamed.choices[0].message, "{pieces:?}");
    }
}

#[test]
fn tools_have_the_clients_names_again() {
    let context = Context { tool_names: vec![("a_b".to_owned(), "a.b".to_owned())], ..Context::default() };
    let call = json!({"id": "null", "function": {"name": "a_b", "arguments": {"x": 1}}, "index": 0});
    let choice = |name: &str| json!({"id": "i", "choices": [{"index": 0, name: {"tool_calls": [call]}, "finish_reason": "tool_calls"}]});
    let (mut decoder, mut events) = (StreamDecoder::new(context.clone()), Vec::new());
    decoder
        .push(Bytes::from(format!("data: {}\n\ndata: [DONE]\n\n", choice("delta"))), &mut events)
        .expect("an answer");
    let streamed = fold(&events);
    let whole = Mistral
        .decode(
            http::StatusCode::OK,
            &http::HeaderMap::new(),
            &Bytes::from(choice("message").to_string()),
            &context,
        )
        .expect("an answer");
    for response in [streamed, whole] {
        let choice = &response.choices[0];
        let call = &choice.message.tool_calls[0];
        assert_eq!((call.name.as_str(), call.arguments.as_str()), ("a.b", r#"{"x":1}"#));
        assert_eq!((call.id.as_str(), choice.finish.reason), ("call_i_0_0", FinishReason::ToolCalls));
    }
}
