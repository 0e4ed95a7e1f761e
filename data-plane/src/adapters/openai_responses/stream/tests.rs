//! Habits of streams, one by one: what hosts leave out, add, repeat and break.

use bytes::Bytes;
use serde_json::{Value, json};

use super::StreamDecoder;
use crate::adapters::{Context, Decoder, Failure, FailureClass};
use crate::model::event::{Event, fold};
use crate::model::message::ToolKind;
use crate::model::response::{ChatResponse, FinishReason, ResponseMessage};

/// Runs lines of `name data`, as the reference abridges streams.
fn run(context: Context, lines: &[&str]) -> (Vec<Event>, Result<(), Failure>) {
    let (mut decoder, mut events) = (StreamDecoder::new(context), Vec::new());
    for line in lines {
        let (name, data) = line.split_once(' ').expect("a name and data");
        let data = data.replacen('{', &format!(r#"{{"type":"response.{name}","#), 1).replace(",}", "}");
        let pushed =
            decoder.push(Bytes::from(format!("event: response.{name}\ndata: {data}\n\n")), &mut events);
        if pushed.is_err() {
            return (events, pushed);
        }
    }
    let ended = decoder.finish(&mut events);
    (events, ended)
}

fn answer(lines: &[&str]) -> ChatResponse {
    let (events, ended) = run(Context::default(), lines);
    assert_eq!(ended, Ok(()));
    fold(&events)
}

/// The message told by these lines between a beginning and an end.
fn message(lines: &[&str]) -> ResponseMessage {
    let lines: Vec<&str> = [CREATED].into_iter().chain(lines.iter().copied()).chain([COMPLETED]).collect();
    answer(&lines).choices.swap_remove(0).message
}

const CREATED: &str = r#"created {"response":{"id":"resp_1","model":"m","created_at":7,"status":"in_progress","service_tier":"auto"}}"#;
const COMPLETED: &str = r#"completed {"response":{"status":"completed","usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5}}}"#;

#[test]
fn the_references_sample_reads_as_it_says() {
    let response = answer(&[
        CREATED,
        r#"in_progress {"response":{"id":"resp_1"}}"#,
        r#"output_item.added {"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}}"#,
        r#"output_item.done {"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"c2Vh"}}"#,
        r#"output_item.added {"output_index":1,"item":{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":""}}"#,
        r#"function_call_arguments.delta {"output_index":1,"delta":"{\"a\":"}"#,
        r#"function_call_arguments.delta {"output_index":1,"delta":"1}"}"#,
        r#"function_call_arguments.done {"output_index":1,"arguments":"{\"a\":1}"}"#,
        r#"output_item.done {"output_index":1,"item":{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{\"a\":1}","status":"completed"}}"#,
        COMPLETED,
    ]);
    let choice = &response.choices[0];
    assert_eq!((response.id.as_deref(), response.created), (Some("resp_1"), Some(7)));
    assert_eq!(
        (choice.finish.reason, choice.finish.native.as_deref()),
        (FinishReason::ToolCalls, Some("completed"))
    );
    let call = &choice.message.tool_calls[0];
    assert_eq!((call.id.as_str(), call.name.as_str(), call.arguments.as_str()), ("call_1", "f", "{\"a\":1}"));
    assert_eq!(
        choice.message.reasoning_details,
        [
            json!({"type": "reasoning.encrypted", "data": "c2Vh", "id": "rs_1", "format": "openai-responses-v1", "index": 0})
        ]
    );
    assert_eq!(response.usage.map(|usage| usage.total_tokens()), Some(5));
}

#[test]
fn what_a_host_leaves_out_is_taken_from_what_it_repeats() {
    let call = r#""type":"function_call","call_id":"c","name":"f""#;
    let added = format!(r#"output_item.added {{"output_index":0,"item":{{{call},"arguments":""}}}}"#);
    let done =
        format!(r#"output_item.done {{"output_index":0,"item":{{{call},"arguments":"{{\"a\":1}}"}}}}"#);
    let all = r#"function_call_arguments.done {"output_index":0,"arguments":"{\"a\":1}"}"#;
    let half = r#"function_call_arguments.delta {"output_index":0,"delta":"{\"a\""}"#;
    for lines in [
        &[added.as_str(), all][..],
        &[&added, all, &done],
        &[&added, &done],
        &[&done],
        &[&added, half, &done],
        &[&added, half, all, &done, &done],
    ] {
        let calls = message(lines).tool_calls;
        assert_eq!(calls.len(), 1, "{lines:?}");
        assert_eq!((calls[0].id.as_str(), calls[0].arguments.as_str()), ("c", "{\"a\":1}"), "{lines:?}");
    }
    // Nothing but the end, which repeats everything.
    let end = format!(
        r#"completed {{"response":{{"output":[{{{call},"arguments":""}},
        {{"type":"message","content":[{{"type":"output_text","text":"Hi"}}]}}]}}}}"#
    )
    .replace('\n', " ");
    let response = answer(&[CREATED, &end]);
    let told = &response.choices[0].message;
    assert_eq!((told.tool_calls[0].arguments.as_str(), told.content.as_deref()), ("{}", Some("Hi")));
}

#[test]
fn calls_without_arguments_get_the_empty_object_and_cut_ones_stay_cut() {
    let added =
        r#"output_item.added {"output_index":0,"item":{"type":"function_call","call_id":"c","name":"f"}}"#;
    let cut = r#"output_item.done {"output_index":0,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"","status":"incomplete"}}"#;
    let incomplete = r#"incomplete {"response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}"#;
    assert_eq!(message(&[added]).tool_calls[0].arguments, "{}");
    for lines in [&[CREATED, added, incomplete][..], &[CREATED, added, cut, incomplete]] {
        let response = answer(lines);
        assert_eq!(response.choices[0].finish.reason, FinishReason::Length);
        assert_eq!(response.choices[0].message.tool_calls[0].arguments, "");
    }
}

#[test]
fn custom_calls_and_bundles_are_calls() {
    let custom = message(&[
        r#"output_item.added {"output_index":0,"item":{"type":"custom_tool_call","call_id":"c","name":"f","input":""}}"#,
        r#"custom_tool_call_input.delta {"output_index":0,"delta":"fr"}"#,
        r#"custom_tool_call_input.done {"output_index":0,"input":"free"}"#,
        r#"output_item.done {"output_index":0,"item":{"type":"custom_tool_call","call_id":"c","name":"f","input":"free"}}"#,
    ]);
    assert_eq!(
        (custom.tool_calls[0].kind, custom.tool_calls[0].arguments.as_str()),
        (ToolKind::Custom, "free")
    );
    let bundle = message(&[
        r#"output_item.added {"output_index":0,"item":{"type":"function_call","call_id":"c","name":"multi_tool_use.parallel"}}"#,
        r#"function_call_arguments.delta {"output_index":0,"delta":"{\"tool_uses\":"}"#,
        r#"output_item.done {"output_index":0,"item":{"type":"function_call","call_id":"c","name":"multi_tool_use.parallel","arguments":"{\"tool_uses\":[{\"recipient_name\":\"functions.f\",\"parameters\":{\"a\":1}},{\"recipient_name\":\"functions.g\",\"parameters\":{}}]}"}}"#,
    ]);
    let calls: Vec<_> = bundle
        .tool_calls
        .iter()
        .map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str()))
        .collect();
    assert_eq!(calls, [("c_0", "f", "{\"a\":1}"), ("c_1", "g", "{}")]);
}

#[test]
fn summaries_stay_apart_and_numbers_tell_where_other_items_stood() {
    let told = message(&[
        r#"output_item.added {"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"early"}}"#,
        r#"reasoning_summary_text.delta {"output_index":0,"summary_index":0,"delta":"On"}"#,
        r#"reasoning_summary_text.delta {"output_index":0,"summary_index":0,"delta":"e"}"#,
        r#"reasoning_summary_text.delta {"output_index":0,"summary_index":1,"delta":"Two"}"#,
        r#"reasoning_summary_text.done {"output_index":0,"summary_index":1,"text":"Two."}"#,
        r#"output_item.done {"output_index":0,"item":{"type":"reasoning","id":"other","summary":[{"type":"summary_text","text":"One"},{"type":"summary_text","text":"Two."}],"encrypted_content":"late"}}"#,
        r#"output_text.delta {"output_index":1,"content_index":0,"delta":"Hi"}"#,
        r#"reasoning_text.delta {"output_index":2,"content_index":0,"item_id":"rs_2","delta":"hm"}"#,
    ]);
    let detail = |kind: &str, member: &str, text: &str, id: &str, index: u64| {
        let mut detail = json!({"type": kind, "id": id, "format": "openai-responses-v1", "index": index});
        detail[member] = text.into();
        detail
    };
    assert_eq!(
        told.reasoning_details,
        [
            detail("reasoning.summary", "summary", "One", "rs_1", 0),
            detail("reasoning.summary", "summary", "Two.", "rs_1", 1),
            detail("reasoning.encrypted", "data", "late", "rs_1", 2),
            detail("reasoning.text", "text", "hm", "rs_2", 4),
        ]
    );
    assert_eq!(told.reasoning.as_deref(), Some("OneTwo.hm"));
}

#[test]
fn reasoning_has_the_rows_format_and_stays_hidden_where_it_must() {
    let lines = [
        CREATED,
        r#"output_item.done {"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"x"}],"encrypted_content":"y"}}"#,
        COMPLETED,
    ];
    let context = Context { reasoning_format: Some("xai-responses-v1".to_owned()), ..Context::default() };
    let (events, _) = run(context, &lines);
    let details = fold(&events).choices[0].message.reasoning_details.clone();
    assert!(details.len() == 2 && details.iter().all(|detail| detail["format"] == "xai-responses-v1"));
    let (events, ended) = run(Context { hide_reasoning: true, ..Context::default() }, &lines);
    let told = &fold(&events).choices[0].message;
    assert_eq!((ended, &told.reasoning, told.reasoning_details.len()), (Ok(()), &None, 0));
}

#[test]
fn refusals_citations_and_weights_are_told_in_chats_form() {
    let response = answer(&[
        CREATED,
        r#"refusal.delta {"output_index":0,"content_index":0,"delta":"I ca"}"#,
        r#"refusal.done {"output_index":0,"content_index":0,"refusal":"I can't."}"#,
        r#"output_item.done {"output_index":0,"item":{"type":"message","content":[{"type":"refusal","refusal":"I can't."}]}}"#,
        COMPLETED,
    ]);
    assert_eq!(response.choices[0].message.refusal.as_deref(), Some("I can't."));
    assert_eq!(response.choices[0].finish.reason, FinishReason::ContentFilter);

    let cited = r#"{"type":"url_citation","url":"u","title":"t","start_index":0,"end_index":1}"#;
    let part = format!(
        r#"{{"type":"output_text","text":"bé","annotations":[{cited}],"logprobs":[{{"token":"b","logprob":-1}}]}}"#
    );
    let added = format!(
        r#"output_text.annotation.added {{"output_index":1,"content_index":0,"annotation":{cited}}}"#
    );
    let done =
        format!(r#"output_item.done {{"output_index":1,"item":{{"type":"message","content":[{part}]}}}}"#);
    let first = r#"output_text.delta {"output_index":0,"content_index":0,"delta":"née ","logprobs":[]}"#;
    let delta = r#"output_text.delta {"output_index":1,"content_index":0,"delta":"b","logprobs":[{"token":"b","logprob":-1}]}"#;
    let expected = json!({"type": "url_citation",
        "url_citation": {"url": "u", "title": "t", "start_index": 4, "end_index": 5}});
    for lines in [&[first, delta, added.as_str(), &done][..], &[first, delta, &done], &[first, &done]] {
        let lines: Vec<&str> =
            [CREATED].into_iter().chain(lines.iter().copied()).chain([COMPLETED]).collect();
        let response = answer(&lines);
        let choice = &response.choices[0];
        assert_eq!(choice.message.content.as_deref(), Some("née bé"), "{lines:?}");
        assert_eq!(choice.message.annotations, std::slice::from_ref(&expected), "{lines:?}");
        let weights: Value =
            serde_json::from_str(choice.logprobs.as_ref().expect("told").get()).expect("JSON");
        let token = json!({"token": "b", "logprob": -1, "bytes": null, "top_logprobs": []});
        assert_eq!(weights, json!({"content": [token], "refusal": null}), "{lines:?}");
    }
}

#[test]
fn what_a_provider_runs_is_no_call_and_is_counted() {
    let search = |index: u64, action: &str, status: &str| {
        format!(
            r#"output_item.done {{"output_index":{index},"item":{{"type":"web_search_call","status":"{status}","action":{action}}}}}"#
        )
    };
    let lines = [
        CREATED.to_owned(),
        r#"queued {"response":{}}"#.to_owned(),
        r#"keepalive {"sequence_number":3}"#.to_owned(),
        r#"output_item.added {"output_index":0,"item":{"type":"web_search_call","arguments":{"x":[1]},"call_id":null}}"#.to_owned(),
        r#"web_search_call.searching {"output_index":0}"#.to_owned(),
        search(0, r#"{"type":"search","query":"q"}"#, "completed"),
        search(1, r#"{"type":"open_page","url":"u"}"#, "completed"),
        search(2, "null", "completed"),
        search(3, r#"{"type":"search"}"#, "failed"),
        r#"unheard_of {"output_index":"x","item":7,"delta":{"a":1}}"#.to_owned(),
        r#"output_item.done {"output_index":4,"item":{"type":"image_generation_call","result":"AAAA","output_format":"webp"}}"#.to_owned(),
        r#"output_item.done {"output_index":5,"item":["odd"]}"#.to_owned(),
        COMPLETED.to_owned(),
    ];
    let response = answer(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let choice = &response.choices[0];
    assert_eq!(choice.finish.reason, FinishReason::Stop);
    assert!(choice.message.tool_calls.is_empty());
    assert_eq!(choice.message.images[0]["image_url"]["url"], "data:image/webp;base64,AAAA");
    assert_eq!(response.usage.map(|usage| usage.web_search_requests), Some(2));
}

#[test]
fn an_answer_ends_by_its_own_event_only() {
    let text = r#"output_text.delta {"output_index":0,"delta":"Hi"}"#;
    for (end, reason, native) in [
        (COMPLETED, FinishReason::Stop, "completed"),
        (r#"completed {}"#, FinishReason::Stop, "completed"),
        (
            r#"incomplete {"response":{"incomplete_details":{"reason":"max_output_tokens"}}}"#,
            FinishReason::Length,
            "max_output_tokens",
        ),
        (
            r#"incomplete {"response":{"incomplete_details":{"reason":"content_filter"}}}"#,
            FinishReason::ContentFilter,
            "content_filter",
        ),
        (r#"incomplete {"response":{"incomplete_details":null}}"#, FinishReason::Length, "incomplete"),
    ] {
        let finish = answer(&[CREATED, text, end, text]).choices.swap_remove(0).finish;
        assert_eq!((finish.reason, finish.native.as_deref()), (reason, Some(native)), "{end}");
    }
    let (events, ended) = run(Context::default(), &[CREATED, text]);
    assert_eq!(ended.expect_err("cut").class, FailureClass::Malformed);
    assert_eq!(events.len(), 2);
}

#[test]
fn failures_in_band_are_failures_and_keep_the_counts() {
    use FailureClass::*;
    for (line, class) in [
        (r#"failed {"response":{"status":"failed","error":{"code":"server_error","message":"x"}}}"#, Server),
        (r#"failed {"response":{"error":{"code":"rate_limit_exceeded","message":"x"}}}"#, RateLimited),
        (r#"failed {"response":{"error":{"code":"invalid_prompt","message":"x"}}}"#, ContentFiltered),
        (r#"failed {"response":{"error":null}}"#, Server),
        (r#"cancelled {}"#, Server),
        (r#"error {"code":"context_length_exceeded","message":"x","param":null}"#, ContextLength),
        (r#"error {"error":{"type":"server_error","code":"server_error","message":"x"}}"#, Server),
        (r#"completed {"response":{"error":{"code":429,"message":"x"}}}"#, RateLimited),
    ] {
        let (events, ended) = run(Context::default(), &[CREATED, line]);
        assert_eq!(ended.expect_err(line).class, class, "{line}");
        assert_eq!(events.len(), 1, "{line}");
    }
    let mut decoder = StreamDecoder::new(Context::default());
    let mut events = Vec::new();
    for (data, class) in [
        (r#"{"error":{"code":503,"message":"x"}}"#, Overloaded),
        (r#"{"type":"error","code":"rate_limit_exceeded","message":"x"}"#, RateLimited),
        ("oops", Malformed),
        (
            r#"{"type":"response.failed","response":{"error":{"code":"server_error"},"usage":{"input_tokens":3,"output_tokens":1}}}"#,
            Server,
        ),
    ] {
        let pushed = decoder.push(Bytes::from(format!("data: {data}\n\n")), &mut events);
        assert_eq!(pushed.expect_err(data).class, class, "{data}");
    }
    assert_eq!(decoder.usage().map(|usage| usage.provenance.as_str()), Some("provider_partial"));
}

#[test]
fn names_of_tools_are_the_clients() {
    let context = Context { tool_names: vec![("a_b".to_owned(), "a.b".to_owned())], ..Context::default() };
    let call = r#"output_item.done {"output_index":0,"item":{"type":"function_call","call_id":"c","name":"a_b","arguments":"{}"}}"#;
    let (events, _) = run(context, &[call, COMPLETED]);
    assert_eq!(fold(&events).choices[0].message.tool_calls[0].name, "a.b");
}

#[test]
fn events_need_no_names_and_an_end_mark_does_no_harm() {
    let (mut decoder, mut events) = (StreamDecoder::new(Context::default()), Vec::new());
    for data in [
        r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hi"}"#,
        r#"{"type":"response.completed","response":{"status":"completed"}}"#,
        "[DONE]",
        "junk",
    ] {
        decoder.push(Bytes::from(format!(": \ndata: {data}\n\n")), &mut events).expect("fine");
    }
    decoder.finish(&mut events).expect("ended");
    assert_eq!(fold(&events).choices[0].message.content.as_deref(), Some("Hi"));
    let mut decoder = StreamDecoder::new(Context::default());
    decoder.push(Bytes::from("data: [DONE]\n\n"), &mut Vec::new()).expect("fine");
    assert_eq!(decoder.finish(&mut Vec::new()).expect_err("no answer").class, FailureClass::Malformed);
}

#[test]
fn every_piece_of_a_custom_call_says_that_it_is_custom() {
    let (events, _) = run(
        Context::default(),
        &[
            CREATED,
            r#"output_item.added {"output_index":0,"item":{"type":"custom_tool_call","call_id":"c","name":"f","input":""}}"#,
            r#"custom_tool_call_input.delta {"output_index":0,"delta":"fr"}"#,
            r#"custom_tool_call_input.done {"output_index":0,"input":"free"}"#,
            COMPLETED,
        ],
    );
    let chunks = events.iter().filter_map(|event| match event {
        Event::Chunk(chunk) => Some(&chunk.choices),
        _ => None,
    });
    let calls = chunks.flatten().flat_map(|choice| &choice.delta.tool_calls);
    let pieces: Vec<_> = calls.map(|call| (call.kind, call.arguments.as_str())).collect();
    assert_eq!(pieces, [(ToolKind::Custom, ""), (ToolKind::Custom, "fr"), (ToolKind::Custom, "ee")]);
}

#[test]
fn made_ids_differ_by_call_and_by_answer() {
    let calls = |answer: &str| {
        let created = CREATED.replace("resp_1", answer);
        let added = [0, 1].map(|at| {
            format!(
                r#"output_item.added {{"output_index":{at},"item":{{"type":"function_call","name":"f"}}}}"#
            )
        });
        let (events, _) = run(Context::default(), &[&created, &added[0], &added[1], COMPLETED]);
        fold(&events).choices.swap_remove(0).message.tool_calls
    };
    let mut ids: Vec<_> = ["r", "s"].into_iter().flat_map(calls).map(|call| call.id).collect();
    assert_eq!(ids[0], calls("r")[0].id);
    ids.sort();
    ids.dedup();
    assert!(ids.len() == 4 && ids.iter().all(|id| id.starts_with("call_") && id.len() == 29), "{ids:?}");
}

#[test]
fn the_tier_that_served_is_told_at_the_end() {
    for (said, expected) in [("\"priority\"", Some("priority")), ("\"auto\"", None), ("null", None)] {
        let completed = COMPLETED.replace("\"status\"", &format!("\"service_tier\":{said},\"status\""));
        let answer = answer(&[CREATED, r#"output_text.delta {"output_index":0,"delta":"x"}"#, &completed]);
        assert_eq!(answer.service_tier.as_deref(), expected, "{said}");
    }
}
