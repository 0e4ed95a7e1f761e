//! Streams that the recordings do not have: the reference's samples, failures, forced tools, images.

use bytes::Bytes;
use serde_json::json;

use super::StreamDecoder;
use crate::adapters::bedrock::answer;
use crate::adapters::{Context, Decoder, Failure, FailureClass, JsonTool};
use crate::model::event::{Event, fold};
use crate::model::response::{ChatResponse, FinishReason};
use crate::wire::eventstream::frame;

const START: &str = r#"messageStart {"role":"assistant","p":"abc"}"#;
const METADATA: &str = r#"metadata {"usage":{"inputTokens":3,"cacheReadInputTokens":100,"outputTokens":9,"totalTokens":112},"metrics":{"latencyMs":1}}"#;

/// One frame of a line such as `messageStop {…}`; an exception's name ends so.
fn line(line: &str) -> Bytes {
    let (name, payload) = line.split_once(' ').unwrap();
    let (kind, header) =
        if name.ends_with("Exception") { ("exception", ":exception-type") } else { ("event", ":event-type") };
    frame(&[(header, name), (":content-type", "application/json"), (":message-type", kind)], payload)
}

fn run(context: Context, pieces: &[Bytes]) -> (Vec<Event>, Result<(), Failure>) {
    let (mut decoder, mut events) = (StreamDecoder::new(context), Vec::new());
    for piece in pieces {
        let pushed = decoder.push(piece.clone(), &mut events);
        if pushed.is_err() {
            return (events, pushed);
        }
    }
    let ended = decoder.finish(&mut events);
    (events, ended)
}

fn read(context: Context, lines: &[&str]) -> (Vec<Event>, Result<(), Failure>) {
    run(context, &lines.iter().map(|text| line(text)).collect::<Vec<_>>())
}

fn told(context: Context, lines: &[&str]) -> ChatResponse {
    let (events, ended) = read(context, lines);
    assert_eq!(ended, Ok(()));
    assert!(matches!(events.last(), Some(Event::Done)));
    fold(&events)
}

const SAMPLE: [&str; 9] = [
    START,
    r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"Hi"}}"#,
    r#"contentBlockStop {"contentBlockIndex":0}"#,
    r#"contentBlockStart {"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"t1","name":"f"}}}"#,
    r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"a\":"}}}"#,
    r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"toolUse":{"input":"1}"}}}"#,
    r#"contentBlockStop {"contentBlockIndex":1}"#,
    r#"messageStop {"stopReason":"tool_use"}"#,
    METADATA,
];

#[test]
fn the_references_sample_reads_as_it_says() {
    let response = told(Context::default(), &SAMPLE);
    let choice = &response.choices[0];
    assert_eq!(choice.message.content.as_deref(), Some("Hi"));
    let call = &choice.message.tool_calls[0];
    assert_eq!((call.id.as_str(), call.name.as_str(), call.arguments.as_str()), ("t1", "f", "{\"a\":1}"));
    let finish = (choice.finish.reason, choice.finish.native.as_deref());
    assert_eq!(finish, (FinishReason::ToolCalls, Some("tool_use")));
    let usage = response.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens), (103, 100, 9));
}

#[test]
fn a_stream_cut_at_any_byte_is_malformed_until_the_message_has_stopped() {
    let frames: Vec<Bytes> = SAMPLE.iter().map(|text| line(text)).collect();
    let stream = frames.concat();
    let stopped = stream.len() - frames[8].len();
    let bytes: Vec<Bytes> = stream.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
    let whole = format!("{:?}", read(Context::default(), &SAMPLE).0);
    assert_eq!(format!("{:?}", run(Context::default(), &bytes).0), whole);
    for at in 0..stream.len() {
        let (events, ended) = run(Context::default(), &[Bytes::copy_from_slice(&stream[..at])]);
        match ended {
            Ok(()) => assert_eq!(at, stopped, "without its counts, but complete"),
            Err(failure) => assert_eq!(failure.class, FailureClass::Malformed, "cut at {at}"),
        }
        assert_eq!(events.iter().any(|event| matches!(event, Event::Done)), at == stopped);
        let (head, tail) = stream.split_at(at);
        let pieces = [head, tail].map(Bytes::copy_from_slice);
        assert_eq!(format!("{:?}", run(Context::default(), &pieces).0), whole, "split at {at}");
    }
}

#[test]
fn exceptions_are_failures_before_and_after_content() {
    let text = r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"Hi"}}"#;
    for (lines, class, says) in [
        (
            vec![r#"validationException {"message":"The role is bad."}"#],
            FailureClass::InvalidRequest,
            "The role is bad.",
        ),
        (
            vec![START, r#"throttlingException {"message":"Too many requests"}"#],
            FailureClass::RateLimited,
            "rate limit",
        ),
        (
            vec![START, text, r#"modelStreamErrorException {"originalStatusCode":503}"#],
            FailureClass::Overloaded,
            "overloaded",
        ),
    ] {
        let (events, ended) = read(Context::default(), &lines);
        let failure = ended.unwrap_err();
        assert_eq!(failure.class, class);
        assert!(failure.message.contains(says), "{}", failure.message);
        assert_eq!(events.iter().any(Event::is_content), lines.len() == 3);
    }
    let error = [(":message-type", "error"), (":error-code", "InternalFailure"), (":error-message", "x")];
    let (_, ended) = run(Context::default(), &[frame(&error, "")]);
    assert_eq!(ended.unwrap_err().class, FailureClass::Server);
}

#[test]
fn json_in_the_place_of_a_stream_is_what_it_names() {
    let body =
        br#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#;
    for at in 0..body.len() {
        let pieces = [&body[..at], &body[at..]].map(Bytes::copy_from_slice);
        assert_eq!(run(Context::default(), &pieces).1.unwrap_err().class, FailureClass::NotFound);
    }
}

#[test]
fn a_damaged_frame_ends_the_stream() {
    let mut damaged = line(SAMPLE[1]).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let (events, ended) = run(Context::default(), &[line(START), damaged.into(), line(SAMPLE[1])]);
    assert_eq!(ended.unwrap_err().class, FailureClass::Malformed);
    assert!(!events.iter().any(Event::is_content));
}

#[test]
fn what_is_not_known_is_skipped() {
    let response = told(
        Context::default(),
        &[
            START,
            r#"brandNewEvent [1]"#,
            r#"contentBlockStart {"contentBlockIndex":0,"start":{"brandNew":{}}}"#,
            r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"brandNew":{}}}"#,
            r#"contentBlockStop {"contentBlockIndex":0}"#,
            r#"contentBlockStart {"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"s","name":"nova_grounding","type":"server_tool_use"}}}"#,
            r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"toolUse":{"input":"{}"}}}"#,
            r#"contentBlockStop {"contentBlockIndex":1}"#,
            r#"contentBlockDelta {"contentBlockIndex":2,"delta":{"text":"Hi"}}"#,
            r#"messageStop {"stopReason":"brand_new","additionalModelResponseFields":null}"#,
            r#"metadata {"usage":{"inputTokens":1,"outputTokens":2,"brandNew":{}}}"#,
            r#"throttlingException {"message":"after the end"}"#,
        ],
    );
    let choice = &response.choices[0];
    assert_eq!((choice.message.content.as_deref(), choice.message.tool_calls.len()), (Some("Hi"), 0));
    assert_eq!(
        (choice.finish.reason, choice.finish.native.as_deref()),
        (FinishReason::Stop, Some("brand_new"))
    );
}

#[test]
fn an_ill_formed_answer_is_a_failure_with_its_counts() {
    let lines = [START, r#"messageStop {"stopReason":"malformed_tool_use"}"#, METADATA];
    let mut decoder = StreamDecoder::new(Context::default());
    let ended: Result<(), Failure> =
        lines.iter().try_for_each(|text| decoder.push(line(text), &mut Vec::new()));
    let failure = ended.unwrap_err();
    assert_eq!(
        (failure.class, failure.provider_code.as_deref()),
        (FailureClass::Malformed, Some("malformed_tool_use"))
    );
    assert_eq!(decoder.usage().map(|usage| usage.prompt_tokens), Some(103));
}

/// Blocks of a whole answer, and the events that tell the same in a stream.
#[test]
fn whole_answers_and_streams_say_the_same() {
    let text = |text: &str| json!({ "text": text });
    let cases = [
        (
            json!([{"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                {"reasoningContent": {"redactedContent": "AAEC"}}, text("Hi")]),
            vec![
                r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"h"}}}"#,
                r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"m"}}}"#,
                r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2ln"}}}"#,
                r#"contentBlockStop {"contentBlockIndex":0}"#,
                r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"AA=="}}}"#,
                r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"AQI="}}}"#,
                r#"contentBlockDelta {"contentBlockIndex":2,"delta":{"text":"Hi"}}"#,
            ],
        ),
        (
            json!([text("A "), {"citationsContent": {"content": [text("b.")], "citations": [
                {"title": "t", "sourceContent": [text("c1"), text("c2")], "location": {"documentChar": {"documentIndex": 0, "start": 0, "end": 4}}},
                {"location": {"web": {"url": "https://x/", "domain": "x"}}}]}}]),
            vec![
                r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"A "}}"#,
                r#"contentBlockStop {"contentBlockIndex":0}"#,
                r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"citation":{"title":"t","sourceContent":[{"text":"c1"},{"text":"c2"}],"location":{"documentChar":{"documentIndex":0,"start":0,"end":4}}}}}"#,
                r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"text":"b"}}"#,
                r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"citation":{"location":{"web":{"url":"https://x/","domain":"x"}}}}}"#,
                r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"text":"."}}"#,
                r#"contentBlockStop {"contentBlockIndex":1}"#,
            ],
        ),
        (
            json!([{"toolUse": {"toolUseId": "a", "name": "f", "input": {}}},
                {"toolUse": {"toolUseId": "b", "name": "g", "input": {"x": [1, "ü"]}}}]),
            vec![
                r#"contentBlockStart {"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"a","name":"f"}}}"#,
                r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"toolUse":{"input":""}}}"#,
                r#"contentBlockStop {"contentBlockIndex":0}"#,
                r#"contentBlockStart {"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"b","name":"g"}}}"#,
                r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"x\":[1,\"ü\"]}"}}}"#,
                r#"contentBlockStop {"contentBlockIndex":1}"#,
            ],
        ),
        (
            json!([{"image": {"format": "png", "source": {"bytes": "AAEC"}}}]),
            vec![
                r#"contentBlockStart {"contentBlockIndex":0,"start":{"image":{"format":"png"}}}"#,
                r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"image":{"source":{"bytes":"AA=="}}}}"#,
                r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"image":{"source":{"bytes":"AQI="}}}}"#,
                r#"contentBlockStop {"contentBlockIndex":0}"#,
            ],
        ),
    ];
    for (content, blocks) in cases {
        let mut lines = vec![START];
        lines.extend(&blocks);
        lines.extend([r#"messageStop {"stopReason":"end_turn"}"#, METADATA]);
        let streamed = told(Context::default(), &lines);
        let usage =
            json!({"inputTokens": 3, "cacheReadInputTokens": 100, "outputTokens": 9, "totalTokens": 112});
        let body =
            json!({"output": {"message": {"content": content}}, "stopReason": "end_turn", "usage": usage});
        let whole = answer::decode(&Bytes::from(body.to_string()), &Context::default()).unwrap();
        assert_eq!(streamed.choices[0].message, whole.choices[0].message, "{content}");
        assert_eq!(streamed.choices[0].finish, whole.choices[0].finish);
        assert_eq!(streamed.usage, whole.usage);
    }
}

#[test]
fn reasoning_and_citations_come_out_in_the_callers_words() {
    let response = told(
        Context { reasoning_format: Some("unknown".to_owned()), ..Context::default() },
        &[
            START,
            r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"AAEC"}}}"#,
            r#"contentBlockStop {"contentBlockIndex":0}"#,
            r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"text":"Grüße"}}"#,
            r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"citation":{"title":"facts","sourceContent":[{"text":"c"}],"location":{"documentPage":{"documentIndex":2,"start":1}}}}}"#,
            r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"citation":{"location":{"web":{"url":"https://x/","domain":"x"}}}}}"#,
            r#"contentBlockStop {"contentBlockIndex":1}"#,
            r#"messageStop {"stopReason":"end_turn"}"#,
        ],
    );
    let message = &response.choices[0].message;
    assert_eq!(
        message.reasoning_details,
        [json!({"type": "reasoning.encrypted", "data": "AAEC", "format": "unknown", "index": 0})]
    );
    assert_eq!(
        message.annotations,
        [
            json!({"type": "file_citation", "file_citation":
                {"index": 2, "filename": "facts", "content": "c", "start_index": 0, "end_index": 5}}),
            json!({"type": "url_citation", "url_citation":
                {"url": "https://x/", "title": "x", "content": "", "start_index": 0, "end_index": 5}}),
        ]
    );
    assert_eq!(response.usage, None);
}

#[test]
fn a_forced_tools_arguments_are_the_content() {
    for (wrapped, pieces, content) in
        [(false, ["{\"a\":", "1}"], "{\"a\":1}"), (true, ["{\"value\":", "[1, 2]}"], "[1,2]")]
    {
        let [one, two] = pieces.map(|piece| {
            let input = serde_json::Value::from(piece);
            format!(
                r#"contentBlockDelta {{"contentBlockIndex":1,"delta":{{"toolUse":{{"input":{input}}}}}}}"#
            )
        });
        let json_tool = Some(JsonTool { name: "json_response".to_owned(), wrapped });
        let response = told(
            Context { json_tool, ..Context::default() },
            &[
                START,
                r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"Sure!"}}"#,
                r#"contentBlockStart {"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"t","name":"json_response"}}}"#,
                &one,
                &two,
                r#"messageStop {"stopReason":"tool_use"}"#,
                METADATA,
            ],
        );
        let choice = &response.choices[0];
        assert_eq!(choice.message.content.as_deref(), Some(content));
        assert_eq!((choice.finish.reason, choice.message.tool_calls.len()), (FinishReason::Stop, 0));
    }
}

#[test]
fn hidden_reasoning_stays_hidden() {
    let context = Context { hide_reasoning: true, ..Context::default() };
    let (events, _) = read(
        context,
        &[
            START,
            r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"secret","signature":"secret"}}}"#,
            r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"secret"}}}"#,
            r#"messageStop {"stopReason":"end_turn"}"#,
        ],
    );
    assert!(!format!("{events:?}").contains("secret"));
}

#[test]
fn members_of_the_wrong_type_cost_only_themselves() {
    let message = r#""output":{"message":{"content":[{"text":"Hi"}]}},"stopReason":"end_turn""#;
    for (more, tokens, tier) in [
        (
            r#""usage":{"inputTokens":"3","outputTokens":2.0},"serviceTier":{"type":"flex"}"#,
            Some(5),
            Some("flex"),
        ),
        (r#""usage":{"inputTokens":3,"outputTokens":2},"serviceTier":{"type":null}"#, Some(5), None),
        (r#""usage":[],"serviceTier":"flex""#, None, None),
    ] {
        let body = Bytes::from(format!("{{{message},{more}}}"));
        let response = answer::decode(&body, &Context::default()).unwrap();
        assert_eq!(response.usage.map(|usage| usage.total_tokens()), tokens, "{more}");
        assert_eq!(response.service_tier.as_deref(), tier, "{more}");
    }
    let metadata = r#"metadata {"usage":"none"}"#;
    let lines: Vec<_> = SAMPLE[..8].iter().copied().chain([metadata]).collect();
    let response = told(Context::default(), &lines);
    assert_eq!((response.usage, response.choices[0].finish.reason), (None, FinishReason::ToolCalls));
}

#[test]
fn the_tier_comes_with_the_counts() {
    for (said, expected) in
        [(r#"{"type":"flex"}"#, Some("flex")), (r#"{"type":"reserved"}"#, None), ("7", None)]
    {
        let metadata =
            format!(r#"metadata {{"usage":{{"inputTokens":3,"outputTokens":2}},"serviceTier":{said}}}"#);
        let lines: Vec<_> = SAMPLE[..8].iter().copied().chain([metadata.as_str()]).collect();
        assert_eq!(told(Context::default(), &lines).service_tier.as_deref(), expected, "{said}");
    }
}
