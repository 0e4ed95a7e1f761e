//! Habits of streams, one by one; the recordings show that they occur.

use bytes::Bytes;

use super::StreamDecoder;
use crate::adapters::{Context, Decoder, Failure, FailureClass};
use crate::model::event::{Chunk, Event, fold};
use crate::model::message::ToolCall;
use crate::model::response::{ChatResponse, FinishReason};

/// Runs chunks given as data lines; an end mark is data like any other.
fn run_with(context: Context, data: &[&str]) -> (Vec<Event>, Result<(), Failure>) {
    let (mut decoder, mut events) = (StreamDecoder::new(context), Vec::new());
    for data in data {
        let pushed = decoder.push(Bytes::from(format!("data: {data}\n\n")), &mut events);
        if pushed.is_err() {
            return (events, pushed);
        }
    }
    let ended = decoder.finish(&mut events);
    (events, ended)
}

fn run(data: &[&str]) -> (Vec<Event>, Result<(), Failure>) {
    run_with(Context::default(), data)
}

fn answer(data: &[&str]) -> ChatResponse {
    let (events, ended) = run(data);
    assert_eq!(ended, Ok(()));
    fold(&events)
}

fn delta(delta: &str) -> String {
    format!(r#"{{"id":"c1","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
}

fn finish(reason: &str) -> String {
    format!(r#"{{"id":"c1","choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#)
}

fn calls(deltas: &[&str]) -> Vec<ToolCall> {
    let mut data: Vec<String> =
        deltas.iter().map(|calls| delta(&format!(r#"{{"tool_calls":{calls}}}"#))).collect();
    data.push(finish("stop"));
    data.push("[DONE]".to_owned());
    let data: Vec<_> = data.iter().map(String::as_str).collect();
    let response = answer(&data);
    assert_eq!(response.choices[0].finish.reason, FinishReason::ToolCalls);
    response.choices[0].message.tool_calls.clone()
}

fn chunks(events: &[Event]) -> Vec<&Chunk> {
    let mut chunks = Vec::new();
    for event in events {
        if let Event::Chunk(chunk) = event {
            chunks.push(chunk);
        }
    }
    chunks
}

#[test]
fn azures_first_chunk_tells_nothing() {
    let (mut decoder, mut events) = (StreamDecoder::new(Context::default()), Vec::new());
    let first =
        r#"data: {"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[]}"#;
    decoder.push(Bytes::from(format!("{first}\n\n")), &mut events).expect("fine");
    assert!(events.is_empty(), "{events:?}");
}

#[test]
fn tool_calls_are_numbered_by_us_whatever_the_provider_does() {
    for deltas in [
        // As it should be.
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]"#,
            r#"[{"index":0,"function":{"arguments":"{}"}}]"#,
            r#"[{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}]"#,
        ][..],
        // Ids and names repeated.
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]"#,
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]"#,
            r#"[{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}]"#,
        ],
        // Every call is number 0.
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]"#,
            r#"[{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]"#,
        ],
        // No numbers, both in one delta, arguments as an object.
        &[
            r#"[{"id":"a","function":{"name":"f","arguments":{}}},{"id":"b","function":{"name":"g","arguments":null}}]"#,
        ],
        // Empty ids and null names in what follows.
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f"}}]"#,
            r#"[{"index":0,"id":"","function":{"name":null,"arguments":"{}"}}]"#,
            r#"[{"index":3,"id":"b","function":{"name":"g","arguments":"{}"}}]"#,
        ],
        // The name repeated between the pieces of the arguments, with and without an empty id.
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]"#,
            r#"[{"index":0,"function":{"name":"f","arguments":""}}]"#,
            r#"[{"index":0,"id":"","function":{"name":"f","arguments":"}"}}]"#,
            r#"[{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]"#,
        ],
        // The name in pieces.
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]"#,
            r#"[{"index":1,"id":"b","function":{"name":""}}]"#,
            r#"[{"index":1,"function":{"name":"g"}}]"#,
        ],
    ] {
        let found = calls(deltas);
        let found: Vec<_> = found
            .iter()
            .map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str()))
            .collect();
        assert_eq!(found, [("a", "f", "{}"), ("b", "g", "{}")], "{deltas:?}");
    }
}

#[test]
fn a_name_after_whole_arguments_opens_the_next_call() {
    let call = r#"[{"index":0,"function":{"name":"f","arguments":"{}"}}]"#;
    assert_eq!(calls(&[call, call]).len(), 2);
}

#[test]
fn a_repeated_name_does_not_keep_its_source() {
    let open = delta(r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}"#);
    let more = delta(r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"}"}}]}"#);
    let (events, _) = run(&[&open, &more, &finish("stop"), "[DONE]"]);
    let kept: Vec<bool> = chunks(&events).iter().map(|chunk| chunk.raw_choices).collect();
    assert_eq!(kept, [true, false, true]);
}

#[test]
fn an_end_mark_alone_ends_only_what_is_whole() {
    for (deltas, whole) in [
        (&[r#"{"content":"Hi"}"#][..], true),
        (&[r#"{"refusal":"No."}"#], true),
        (&[r#"{"audio":{"data":"AA=="}}"#], true),
        (&[r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#], true),
        (&[r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"a"}}]}"#], false),
        (
            &[
                r#"{"content":"Hi"}"#,
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}"#,
            ],
            false,
        ),
        (&[r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}"#], false),
        (&[r#"{"reasoning":"Hm"}"#], false),
        (&[r#"{"role":"assistant","content":""}"#], false),
    ] {
        let mut data: Vec<String> = deltas.iter().map(|piece| delta(piece)).collect();
        data.push("[DONE]".to_owned());
        let data: Vec<_> = data.iter().map(String::as_str).collect();
        let ended = run(&data).1.map_err(|failure| failure.class);
        assert_eq!(ended, if whole { Ok(()) } else { Err(FailureClass::Malformed) }, "{deltas:?}");
    }
}

#[test]
fn members_of_the_wrong_type_count_as_absent_and_are_not_shown() {
    for odd in [
        r#""tool_calls":{}"#,
        r#""tool_calls":[null]"#,
        r#""tool_calls":"x""#,
        r#""annotations":"x""#,
        r#""annotations":[1]"#,
        r#""images":{}"#,
        r#""reasoning_details":true"#,
    ] {
        let (events, ended) =
            run(&[&delta(&format!(r#"{{"content":"Hi",{odd}}}"#)), &finish("stop"), "[DONE]"]);
        assert_eq!(ended, Ok(()), "{odd}");
        let message = &fold(&events).choices[0].message;
        assert_eq!(message.content.as_deref(), Some("Hi"), "{odd}");
        let lists = [&message.annotations, &message.images, &message.reasoning_details];
        assert!(message.tool_calls.is_empty() && lists.iter().all(|list| list.is_empty()), "{odd}");
        assert!(!chunks(&events)[0].raw_choices, "{odd}");
    }
    for content in ["{}", "7", "-7", "0.5", "true"] {
        let odd = delta(&format!(r#"{{"content":{content}}}"#));
        let response = answer(&[&odd, &delta(r#"{"content":"Hi"}"#), &finish("stop"), "[DONE]"]);
        assert_eq!(response.choices[0].message.content.as_deref(), Some("Hi"), "{content}");
    }
    for arguments in ["[1]", "7", "-7", "0.5", "true"] {
        let found = calls(&[&format!(
            r#"[{{"index":0,"id":"a","function":{{"name":"f","arguments":{arguments}}}}}]"#
        )]);
        assert_eq!(found[0].arguments, "{}", "{arguments}");
    }
    let both = calls(&[
        r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"a\":1}","input":{}}}]"#,
        r#"[{"index":1,"id":"b","function":{"name":"g","input":{"b":2}}}]"#,
    ]);
    assert_eq!([&both[0].arguments, &both[1].arguments], [r#"{"a":1}"#, r#"{"b":2}"#]);
    let groq =
        r#"{"id":"c1","x_groq":"x","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#;
    assert_eq!(answer(&[groq]).choices[0].message.content.as_deref(), Some("Hi"));
}

#[test]
fn choices_and_calls_without_end_are_malformed() {
    let many = |count: usize, item: fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(",");
    let choice = |index| format!(r#"{{"index":{index},"delta":{{"content":"x"}},"finish_reason":"stop"}}"#);
    let call = |index| format!(r#"{{"index":{index},"id":"i{index}","function":{{"name":"f"}}}}"#);
    for (count, fits) in [(128, true), (129, false)] {
        let chunk = format!(r#"{{"id":"c1","choices":[{}]}}"#, many(count, choice));
        assert_eq!(run(&[&chunk]).1.is_ok(), fits, "{count} choices");
    }
    for (count, fits) in [(1024, true), (1025, false)] {
        let chunk = delta(&format!(r#"{{"tool_calls":[{}]}}"#, many(count, call)));
        assert_eq!(run(&[&chunk, &finish("stop")]).1.is_ok(), fits, "{count} calls");
    }
}

#[test]
fn a_call_without_an_id_gets_one() {
    let found = calls(&[r#"[{"index":0,"function":{"name":"f","arguments":"{}"}}]"#]);
    assert_eq!(found[0].id, "call_1c_0_0");
}

#[test]
fn truncated_arguments_stay_truncated() {
    let open = delta(r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x"}}]}"#);
    let response = answer(&[&open, &finish("length"), "[DONE]"]);
    assert_eq!(response.choices[0].finish.reason, FinishReason::Length);
    assert_eq!(response.choices[0].message.tool_calls[0].arguments, "{\"x");
}

#[test]
fn canonical_chunks_keep_their_source_and_others_do_not() {
    let plain = delta(r#"{"content":"Hi"}"#);
    let call = delta(
        r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}]}"#,
    );
    let thought = delta(r#"{"reasoning_content":"hm"}"#);
    let listed = delta(r#"{"content":[{"type":"text","text":"Hi"}]}"#);
    let (events, _) = run(&[&plain, &call, &thought, &listed, &finish("stop"), "[DONE]"]);
    let spliced: Vec<bool> = chunks(&events).iter().map(|chunk| chunk.raw_choices).collect();
    assert_eq!(spliced, [true, true, false, false, true]);
    assert_eq!(chunks(&events)[0].raw.as_deref(), Some(plain.as_bytes()));
}

#[test]
fn reasoning_gets_details_under_every_name() {
    for delta_text in [
        r#"{"reasoning_content":"hm"}"#,
        r#"{"reasoning":"hm"}"#,
        r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}"#,
    ] {
        let response = answer(&[&delta(delta_text), &finish("stop"), "[DONE]"]);
        let message = &response.choices[0].message;
        assert_eq!(message.reasoning.as_deref(), Some("hm"), "{delta_text}");
        assert_eq!(message.reasoning_details[0]["text"], "hm", "{delta_text}");
    }
}

#[test]
fn hidden_reasoning_stays_hidden() {
    let context = Context { hide_reasoning: true, ..Context::default() };
    let (events, _) =
        run_with(context, &[&delta(r#"{"reasoning":"secret","content":"Hi"}"#), &finish("stop"), "[DONE]"]);
    assert!(chunks(&events).iter().all(|chunk| !chunk.raw_choices || chunk.choices[0].finish.is_some()));
    assert_eq!(fold(&events).choices[0].message.reasoning, None);
}

#[test]
fn usage_is_told_once_and_the_last_report_counts() {
    let with_usage = |completion: u64| {
        format!(
            r#"{{"id":"c1","choices":[{{"index":0,"delta":{{"content":"x"}},"finish_reason":null}}],"usage":{{"prompt_tokens":5,"completion_tokens":{completion},"total_tokens":{}}}}}"#,
            5 + completion
        )
    };
    let repeated = r#"{"id":"c1","choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":9,"total_tokens":14}}"#;
    let (events, ended) = run(&[&with_usage(1), &with_usage(2), &finish("stop"), repeated, "[DONE]"]);
    assert_eq!(ended, Ok(()));
    let usages = events.iter().filter(|event| matches!(event, Event::Usage(_))).count();
    assert_eq!((usages, fold(&events).usage.map(|usage| usage.completion_tokens)), (1, Some(9)));
    assert_eq!(chunks(&events).iter().filter(|chunk| chunk.choices[0].finish.is_some()).count(), 1);
}

#[test]
fn partial_usage_is_there_when_a_stream_breaks() {
    let mut decoder = StreamDecoder::new(Context::default());
    let chunk = r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"x"}}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}"#;
    decoder.push(Bytes::from(format!("{chunk}\n\n")), &mut Vec::new()).expect("fine");
    assert_eq!(decoder.usage().map(|usage| usage.provenance.as_str()), Some("provider_partial"));
}

#[test]
fn failures_in_band_are_failures() {
    use FailureClass::*;
    for (data, class) in [
        (r#"{"error":{"message":"slow down","code":429}}"#, RateLimited),
        (r#"{"error":{"code":503,"status":"UNAVAILABLE","message":"x"}}"#, Overloaded),
        (r#"{"object":"error","message":"bad","code":400}"#, InvalidRequest),
        (
            r#"{"id":"c","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}],"error":{"code":502,"message":"x"}}"#,
            Server,
        ),
        (r#"{"id":"c","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#, Server),
        (
            r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls","error":{"code":502,"message":"x"}}]}"#,
            Server,
        ),
        (
            r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"insufficient_system_resource"}]}"#,
            Overloaded,
        ),
        (
            r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop","native_finish_reason":"network_error"}]}"#,
            Server,
        ),
        ("[DONE]", Malformed),
        ("not json", Malformed),
        (r#"{"id":"c","choices":[{"index":0,"delta":{"content":"x"}}]}"#, Malformed),
    ] {
        let (_, ended) = run(&[data]);
        assert_eq!(ended.expect_err(data).class, class, "{data}");
    }
}

#[test]
fn an_end_mark_is_not_needed_where_every_choice_has_finished() {
    let response = answer(&[&delta(r#"{"content":"Hi"}"#), &finish("eos")]);
    assert_eq!(response.choices[0].finish.reason, FinishReason::Stop);
    assert_eq!(response.choices[0].finish.native.as_deref(), Some("eos"));
}

#[test]
fn perplexitys_chunks_are_read_by_their_deltas() {
    let chunk = |whole: &str, piece: &str, finish: &str| {
        format!(
            r#"{{"id":"p","object":"chat.completion","choices":[{{"index":0,"finish_reason":{finish},"message":{{"role":"assistant","content":"{whole}"}},"delta":{{"content":"{piece}"}}}}]}}"#
        )
    };
    let response = answer(&[&chunk("a", "a", "null"), &chunk("ab", "b", "\"stop\"")]);
    assert_eq!(response.choices[0].message.content.as_deref(), Some("ab"));
}

#[test]
fn legacy_functions_keep_their_source() {
    let open = delta(r#"{"function_call":{"name":"f","arguments":"{}"}}"#);
    let (events, ended) = run(&[&open, &finish("function_call"), "[DONE]"]);
    assert_eq!(ended, Ok(()));
    assert!(events[1].is_content());
    assert!(chunks(&events).iter().all(|chunk| chunk.raw_choices), "{events:?}");
}

#[test]
fn chunks_that_say_nothing_are_no_chunks() {
    let without_delta =
        r#"{"id":"c1","choices":[{"index":0,"finish_reason":null,"content_filter_results":{}}]}"#;
    let null_delta = r#"{"id":"c1","choices":[{"index":0,"delta":null,"content_filter_results":{}}]}"#;
    let padded = r#"{"id":"c1","choices":[],"obfuscation":"x7","p":"abc"}"#;
    let usage = r#"{"id":"c1","choices":[],"obfuscation":"x","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
    let (events, ended) = run(&[
        padded,
        null_delta,
        &delta(r#"{"content":"Hi"}"#),
        without_delta,
        null_delta,
        &finish("stop"),
        without_delta,
        usage,
        "[DONE]",
    ]);
    assert_eq!(ended, Ok(()));
    let told: Vec<bool> = chunks(&events).iter().map(|chunk| chunk.raw_choices).collect();
    assert_eq!(told, [true, true], "{events:?}");
    assert_eq!(fold(&events).usage.map(|usage| usage.total_tokens()), Some(3));
}

#[test]
fn usage_is_found_beside_choices_and_in_side_channels() {
    let counts = r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#;
    for last in [
        format!(
            r#"{{"id":"c1","choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"usage":{counts}}}"#
        ),
        format!(
            r#"{{"id":"c1","choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"x_groq":{{"usage":{counts}}}}}"#
        ),
        format!(
            r#"{{"id":"c1","choices":[{{"index":0,"delta":{{}},"finish_reason":"stop","usage":{counts}}}]}}"#
        ),
    ] {
        let response = answer(&[&delta(r#"{"content":"Hi"}"#), &last, "[DONE]"]);
        assert_eq!(response.usage.map(|usage| usage.total_tokens()), Some(3), "{last}");
    }
}

#[test]
fn words_for_calls_are_one_and_an_event_named_error_is_one() {
    let call = delta(r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":null}}]}"#);
    for word in ["stop", "tool_call", "tool_calls", "function_call", "tool_use"] {
        let response = answer(&[&call, &finish(word), "[DONE]"]);
        assert_eq!(response.choices[0].finish.reason, FinishReason::ToolCalls, "{word}");
        assert_eq!(response.choices[0].message.tool_calls[0].arguments, "{}", "{word}");
    }
    let (mut decoder, mut events) = (StreamDecoder::new(Context::default()), Vec::new());
    let failed = "event: error\ndata: {\"error\":{\"message\":\"x\",\"code\":\"tool_use_failed\",\"failed_generation\":\"{\"}}\n\n";
    let failure = decoder.push(Bytes::from(failed), &mut events).expect_err("failed");
    assert_eq!(failure.class, FailureClass::Malformed);
}

#[test]
fn thinking_between_tags_is_reasoning_however_the_stream_is_cut() {
    use crate::adapters::quirks::ThinkTags;
    let text = "<think>\nhm ü</think>\n\nHi <think>";
    let context =
        |hide_reasoning| Context { think_tags: ThinkTags::Tagged, hide_reasoning, ..Context::default() };
    let whole = format!(
        r#"{{"id":"c1","choices":[{{"index":0,"message":{{"role":"assistant","content":{}}},"finish_reason":"stop"}}]}}"#,
        serde_json::Value::from(text)
    );
    for hide in [false, true] {
        let expected = crate::adapters::openai::answer::decode(&Bytes::from(whole.clone()), &context(hide));
        let expected = expected.expect("an answer").choices[0].message.clone();
        let reasoning = if hide { None } else { Some("hm ü") };
        assert_eq!(
            (expected.reasoning.as_deref(), expected.content.as_deref()),
            (reasoning, Some("Hi <think>"))
        );
        for (cut, _) in text.char_indices() {
            let (one, other) = text.split_at(cut);
            let piece = |text: &str| delta(&format!(r#"{{"content":{}}}"#, serde_json::Value::from(text)));
            let data = [piece(one), piece(other), finish("stop"), "[DONE]".to_owned()];
            let data: Vec<_> = data.iter().map(String::as_str).collect();
            let (events, ended) = run_with(context(hide), &data);
            assert_eq!(ended, Ok(()));
            assert_eq!(fold(&events).choices[0].message, expected, "cut at {cut}");
        }
    }
}

#[test]
fn what_was_held_back_is_told_before_the_end() {
    use crate::adapters::quirks::ThinkTags;
    let context = Context { think_tags: ThinkTags::Tagged, ..Context::default() };
    let piece = delta(r#"{"content":"<thi"}"#);
    let end = finish("stop");
    let (events, ended) = run_with(context, &[&piece, &end, "[DONE]"]);
    assert_eq!(ended, Ok(()));
    assert_eq!(fold(&events).choices[0].message.content.as_deref(), Some("<thi"));
}

#[test]
fn sources_beside_the_choices_are_annotations_told_once() {
    let chunk = |rest: &str| {
        format!(
            r#"{{"id":"c1","citations":["https://a","https://b"],"search_results":[{{"url":"https://a","title":"A"}}],"choices":[{{"index":0,{rest}}}]}}"#
        )
    };
    let (one, two) = (
        chunk(r#""delta":{"content":"x[1]"},"finish_reason":null"#),
        chunk(r#""delta":{"content":""},"finish_reason":"stop""#),
    );
    let response = answer(&[&one, &two]);
    let annotations = &response.choices[0].message.annotations;
    let url = |at: usize| annotations[at]["url_citation"]["url"].as_str();
    assert_eq!((annotations.len(), url(0)), (1, Some("https://a")));
    assert_eq!(annotations[0]["url_citation"]["title"], "A");

    let whole = one.replace("delta", "message").replace("null", r#""stop""#);
    let whole = crate::adapters::openai::answer::decode(&Bytes::from(whole), &Context::default());
    assert_eq!(&whole.expect("an answer").choices[0].message.annotations, annotations);
}

#[test]
fn an_outcome_beside_a_success_is_a_failure() {
    for (code, class) in [
        (1002, FailureClass::RateLimited),
        (1004, FailureClass::Auth),
        (1008, FailureClass::Payment),
        (1026, FailureClass::ContentFiltered),
        (2013, FailureClass::InvalidRequest),
        (1000, FailureClass::Server),
    ] {
        let body = format!(r#"{{"choices":null,"base_resp":{{"status_code":{code},"status_msg":"no"}}}}"#);
        let (_, ended) = run(&[&body]);
        assert_eq!(ended.expect_err("a failure").class, class, "{code}");
        let whole = crate::adapters::openai::answer::decode(&Bytes::from(body), &Context::default());
        assert_eq!(whole.expect_err("a failure").class, class, "{code}");
    }
    let fine =
        delta(r#"{"content":"x"}"#).replacen('{', r#"{"base_resp":{"status_code":0,"status_msg":""},"#, 1);
    assert_eq!(run(&[&fine, &finish("stop")]).1, Ok(()));
}

#[test]
fn the_last_word_on_the_tier_counts_wherever_it_is_said() {
    let said = |tier: &str| {
        format!(r#"{{"id":"c1","service_tier":{tier},"choices":[{{"index":0,"delta":{{"content":"x"}}}}]}}"#)
    };
    let counted = |members: &str| {
        format!(r#"{{"id":"c1","choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":1{members}}}}}"#)
    };
    for (first, last, expected, late) in [
        (said("null"), counted(""), None, 0),
        (said("\"flex\""), counted(""), Some("flex"), 0),
        (
            said("\"auto\""),
            counted("").replace("\"id\"", "\"service_tier\":\"default\",\"id\""),
            Some("default"),
            1,
        ),
        (said("null"), counted(r#","service_tier":"priority""#), Some("priority"), 1),
        (said("7"), counted(r#","service_tier":[]"#), None, 0),
    ] {
        let (events, ended) = run(&[&first, &finish("stop"), &last, "[DONE]"]);
        assert_eq!(ended, Ok(()));
        let answer = fold(&events);
        assert_eq!(answer.service_tier.as_deref(), expected, "{first} {last}");
        assert_eq!(
            events.iter().filter(|event| matches!(event, Event::Tier(_))).count(),
            late,
            "{first} {last}"
        );
        assert!(answer.usage.is_some());
    }
}
