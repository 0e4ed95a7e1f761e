//! Each behaviour does what its row says, whole and streamed: as strict clients of two dialects read it, and as the data
//! plane's adapters read it in all of them.

mod admin;
mod billed;
mod client;
mod dialects;
mod told;

use std::io::Read;
use std::time::Duration;

use futures_util::future::join_all;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fault_lab::tests::client::{Client, Reply, Speaks, body, call, request};
use crate::fault_lab::tests::told::{Told, judge};
use crate::fault_lab::{Behaviour, Ending, FaultLab, Settings, behaviours, tokens};

const PATIENCE: Duration = Duration::from_secs(20);
const TEXT: &str = "one two three four five süß";

/// The same behaviour, small and fast, where the row's own name stands for a lot of bytes or time.
fn quick(name: &'static str) -> &'static str {
    match name {
        "giant-line" => "huge-line-64",
        "trickle" => "trickle-1",
        name => name,
    }
}

async fn lab() -> FaultLab {
    FaultLab::start(Settings::recording()).await.expect("loopback has free ports")
}

fn forms() -> [(Speaks, bool); 4] {
    [(Speaks::OpenAi, false), (Speaks::OpenAi, true), (Speaks::Anthropic, false), (Speaks::Anthropic, true)]
}

async fn ask(lab: &FaultLab, speaks: Speaks, model: &str, stream: bool) -> Option<Reply> {
    call(lab.addr, request(speaks, &body(speaks, model, stream))).await
}

async fn told(lab: &FaultLab, speaks: Speaks, model: &str, stream: bool) -> Told {
    let reply = ask(lab, speaks, model, stream).await;
    let (ending, told) = judge(speaks, reply.as_ref());
    assert_eq!(ending, Ending::Complete, "{speaks:?} {model} stream={stream}");
    told
}

#[tokio::test]
async fn every_behaviour_ends_as_its_row_says() {
    for (speaks, stream) in forms() {
        // A lab per form, so that what counts calls starts anew.
        let lab = lab().await;
        let loud = behaviours().iter().filter(|row| row.ends != Ending::Silence);
        let checks = loud.map(|row| ends_as_it_says(&lab, row, speaks, stream));
        tokio::time::timeout(PATIENCE, join_all(checks)).await.expect("none of them hangs");
    }
}

async fn ends_as_it_says(lab: &FaultLab, row: &Behaviour, speaks: Speaks, stream: bool) {
    let case = format!("{speaks:?} {} stream={stream}", row.name);
    let reply = ask(lab, speaks, quick(row.name), stream).await;
    let (ending, told) = judge(speaks, reply.as_ref());
    let expected = match (row.name, speaks) {
        ("quota", Speaks::Anthropic) => Ending::Status(400),
        _ => row.ends,
    };
    assert_eq!(ending, expected, "{case}");
    if ending == Ending::Complete {
        assert!(told.terminal || row.name == "no-done", "{case}");
        assert!(told.usage.is_some() || row.name == "no-usage", "{case}");
        let twice = row.name == "double-finish" && stream;
        assert_eq!(told.finishes, if twice { 2 } else { 1 }, "{case}");
    }
    let page = ["html-502", "redirect"].contains(&row.name);
    if let (Ending::Status(_), Some(reply), false) = (ending, reply, page) {
        let error: Value = serde_json::from_slice(&reply.body).expect(&case);
        assert!(
            error["error"]["message"].is_string() && error["error"]["type"].is_string(),
            "{case}: {error}"
        );
    }
}

#[tokio::test]
async fn silent_behaviours_stay_silent_and_see_their_client_leave() {
    for (speaks, stream) in forms() {
        let lab = lab().await;
        for (i, row) in (1..).zip(behaviours().iter().filter(|row| row.ends == Ending::Silence)) {
            stays_silent(&lab, row, speaks, stream, i).await;
            assert_eq!(lab.counts().finished, 0, "{}", row.name);
        }
    }
}

async fn stays_silent(lab: &FaultLab, row: &Behaviour, speaks: Speaks, stream: bool, nth: u64) {
    let mut client = Client::connect(lab.addr).await;
    let asked = request(speaks, &body(speaks, row.name, stream));
    if row.name == "hang" {
        let waited = lab.wait_for_requests(nth, PATIENCE);
        tokio::select! {
            answered = client.head(asked) => panic!("hang answered: {answered:?}"),
            read = waited => read.expect("the lab reads the request"),
        }
    } else {
        let response = client.head(asked).await.expect("a head comes");
        assert_eq!(response.status(), 200, "{}", row.name);
    }
    drop(client);
    lab.wait_for_cancelled(nth, PATIENCE).await.expect("the lab sees the client leave");
}

#[tokio::test]
async fn echo_gives_back_text_and_honest_usage_in_every_form() {
    let lab = lab().await;
    for (speaks, stream) in forms() {
        let told = told(&lab, speaks, "echo", stream).await;
        assert_eq!(told.text, TEXT, "{speaks:?} stream={stream}");
        let tools = body(speaks, "echo", stream)["tools"][0].to_string();
        let expected = (tokens(TEXT.len() + tools.len()), tokens(TEXT.len()));
        assert_eq!(told.usage, Some(expected), "{speaks:?} stream={stream}");
    }
}

#[tokio::test]
async fn streams_say_what_whole_answers_say() {
    let lab = lab().await;
    let same = [
        "echo",
        "tools",
        "tools-text",
        "tools-parallel",
        "reasoning",
        "json",
        "lorem-40",
        "length",
        "split",
        "crlf",
    ];
    for speaks in [Speaks::OpenAi, Speaks::Anthropic] {
        for model in same {
            let (whole, streamed) =
                (told(&lab, speaks, model, false).await, told(&lab, speaks, model, true).await);
            assert_eq!(
                whole,
                Told { usages: whole.usages, most_output: whole.most_output, ..streamed },
                "{speaks:?} {model}"
            );
        }
    }
}

#[tokio::test]
async fn behaviours_say_what_their_names_promise() {
    let call = |arguments: &str| vec![("weather".to_owned(), arguments.to_owned())];
    let good = call(r#"{"city":"text","days":1}"#);
    type Check<'a> = Box<dyn Fn(&Told, Speaks, bool) -> bool + 'a>;
    let openai = |speaks| speaks == Speaks::OpenAi;
    let cases: Vec<(&str, Check)> = vec![
        (
            "tools",
            Box::new(|t, s, _| {
                t.calls == good
                    && t.finish.as_deref() == Some(if openai(s) { "tool_calls" } else { "tool_use" })
            }),
        ),
        ("tools-parallel", Box::new(|t, _, _| t.calls.len() == 2)),
        (
            "tools-stop",
            Box::new(|t, s, _| {
                t.calls == good && t.finish.as_deref() == Some(if openai(s) { "stop" } else { "end_turn" })
            }),
        ),
        ("tools-text", Box::new(|t, _, _| t.calls == good && t.text == "Let me look that up.")),
        ("wrong-tool-args", Box::new(|t, _, _| t.calls == call(r#"{"city":{"wrong":"type"},"days":1}"#))),
        (
            "invalid-tool-json",
            Box::new(|t, s, stream| {
                (openai(s) || stream) == serde_json::from_str::<Value>(&t.calls[0].1).is_err()
            }),
        ),
        (
            "unknown-tool",
            Box::new(|t, _, _| t.calls == [("no_such_tool".to_owned(), r#"{"echo":true}"#.to_owned())]),
        ),
        ("reasoning-only", Box::new(|t, _, _| t.text.is_empty() && t.reasoning.starts_with("The user"))),
        (
            "wrong-finish",
            Box::new(|t, s, _| {
                let word = if openai(s) { "tool_calls" } else { "tool_use" };
                t.text == TEXT && t.calls.is_empty() && t.finish.as_deref() == Some(word)
            }),
        ),
        (
            "shrinking-usage",
            Box::new(|t, _, stream| {
                t.usage.is_some_and(|u| u.1 == tokens(TEXT.len()))
                    && (t.most_output > tokens(TEXT.len())) == stream
            }),
        ),
        ("late-usage-1", Box::new(|t, _, _| t.usage.is_some_and(|u| u.1 == tokens(TEXT.len())))),
        ("trickle-1", Box::new(|t, _, _| t.usage.is_some_and(|u| u.1 == 100))),
        ("reasoning", Box::new(|t, _, _| t.reasoning.starts_with("The user") && t.text == TEXT)),
        (
            "refusal",
            Box::new(|t, s, _| {
                t.text.is_empty()
                    && if openai(s) { !t.refusal.is_empty() } else { t.finish.as_deref() == Some("refusal") }
            }),
        ),
        (
            "content-filter",
            Box::new(|t, s, _| {
                !t.text.is_empty()
                    && t.finish.as_deref() == Some(if openai(s) { "content_filter" } else { "refusal" })
            }),
        ),
        (
            "length",
            Box::new(|t, s, _| t.finish.as_deref() == Some(if openai(s) { "length" } else { "max_tokens" })),
        ),
        ("empty", Box::new(|t, _, _| t.text.is_empty() && t.calls.is_empty())),
        ("no-usage", Box::new(|t, _, _| t.usage.is_none())),
        ("wrong-usage", Box::new(|t, _, _| t.usage.is_some_and(|u| u.1 == 50 * tokens(TEXT.len())))),
        (
            "double-usage",
            Box::new(|t, _, stream| {
                t.usage.is_some_and(|u| u.1 == tokens(TEXT.len())) && (t.usages > 4) == stream
            }),
        ),
        ("no-done", Box::new(|t, _, stream| t.terminal != stream)),
        ("huge-line", Box::new(|t, _, _| t.text.len() == 1 << 20)),
        ("lorem-100", Box::new(|t, _, _| t.usage.is_some_and(|u| u.1 == 100))),
        ("fixed-3", Box::new(|t, _, _| t.text == "pong pong pong ")),
        ("wrong-json", Box::new(|t, _, _| t.text.contains("wrong"))),
        ("invalid-json", Box::new(|t, _, _| serde_json::from_str::<Value>(&t.text).is_err())),
        ("drip", Box::new(|t, _, _| t.text == TEXT)),
        ("unknown-events", Box::new(|t, _, _| t.text == TEXT)),
        ("empty-opening", Box::new(|t, _, _| t.text == TEXT)),
        ("keepalive-1", Box::new(|t, _, _| t.text == TEXT)),
    ];
    let lab = lab().await;
    for (speaks, stream) in forms() {
        for (model, check) in &cases {
            let told = told(&lab, speaks, model, stream).await;
            assert!(check(&told, speaks, stream), "{speaks:?} {model} stream={stream}: {told:?}");
        }
    }
}

#[tokio::test]
async fn breaks_come_after_as_many_pieces_as_the_name_says() {
    let lab = lab().await;
    let words = |n| TEXT.split_inclusive(' ').take(n).collect::<String>();
    for speaks in [Speaks::OpenAi, Speaks::Anthropic] {
        for n in [0, 1, 4, 6, 99] {
            for kind in ["cut", "reset-mid", "end-early", "error-mid"] {
                let reply = ask(&lab, speaks, &format!("{kind}-{n}"), true).await.expect("a head comes");
                let case = format!("{speaks:?} {kind}-{n}");
                assert_eq!(reply.complete, ["end-early", "error-mid"].contains(&kind), "{case}");
                let told = judge(speaks, Some(&Reply { complete: true, ..reply })).1;
                assert_eq!(
                    (told.text, told.finish, told.error),
                    (words(n), None, kind == "error-mid"),
                    "{case}"
                );
            }
        }
    }
}

#[tokio::test]
async fn wire_habits_show_on_the_wire() {
    let lab = lab().await;
    let raw = async |model: &str| {
        let reply = ask(&lab, Speaks::OpenAi, model, true).await.expect("a head comes");
        (String::from_utf8(reply.body.clone()).expect("is text"), reply)
    };
    assert!(raw("crlf").await.0.contains("}\r\n\r\ndata: [DONE]\r\n\r\n"));
    assert_eq!(raw("comments").await.0.matches(": a comment\n\n").count(), 10);
    assert_eq!(raw("keepalive-1").await.0.matches(": keep-alive\n\n").count(), 4);
    assert!(raw("no-stream").await.0.starts_with('{'));
    assert!(
        raw("empty-opening")
            .await
            .0
            .starts_with(r#"data: {"id":"","object":"","created":0,"model":"","choices":[],"prompt"#)
    );
    assert_eq!(raw("wrong-type").await.1.headers["content-type"], "application/json");
    assert_eq!(raw("rate-limit-hint").await.1.headers["x-ratelimit-remaining-requests"], "1");
    assert_eq!(raw("status-429-30").await.1.headers["retry-after"], "30");
    let hint = |reply: &Reply, name: &str| reply.headers.contains_key(name);
    let (_, reset) = raw("status-429-reset").await;
    assert!(hint(&reset, "x-ratelimit-reset-requests") && !hint(&reset, "retry-after"));
    let (_, bare) = raw("status-429-bare").await;
    assert!(!hint(&bare, "x-ratelimit-reset-requests") && !hint(&bare, "retry-after"));
    assert_eq!(raw("redirect").await.1.headers["location"], "http://127.0.0.1:9/elsewhere");
    let gzip = ask(&lab, Speaks::OpenAi, "gzip", true).await.expect("a head comes");
    assert_eq!(gzip.headers["content-encoding"], "gzip");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&gzip.body[..]).read_to_string(&mut plain).expect("is gzip");
    assert!(plain.ends_with("data: [DONE]\n\n"), "{plain}");
    let (_, split) = raw("split").await;
    assert!(split.frames.len() >= 20, "{:?}", split.frames);
}

#[tokio::test]
async fn each_event_is_a_write_of_its_own() {
    let lab = lab().await;
    let mut client = Client::connect(lab.addr).await;
    let asked = request(Speaks::OpenAi, &body(Speaks::OpenAi, "fixed-2+stall-1", true));
    let mut answer = client.head(asked).await.expect("a head comes");
    // A reader that is faster than the lab gets the events one by one; none waits for the next.
    let mut seen = String::new();
    while !seen.contains("pong") {
        let frame = answer.frame().await.expect("the stream goes on").expect("and is in order");
        seen.push_str(&String::from_utf8_lossy(&frame.into_data().expect("is data")));
    }
    drop((client, answer));
    lab.wait_for_cancelled(1, PATIENCE).await.expect("the lab sees the client leave");
}

#[tokio::test]
async fn orders_win_over_the_header_and_the_header_over_the_standing_order_and_the_model() {
    let lab = lab().await;
    lab.always(Some("status-500")).expect("is in the table");
    lab.script(["status-502", "echo"]).expect("are in the table");
    let with_header = |value: &'static str| {
        let mut asked = request(Speaks::OpenAi, &body(Speaks::OpenAi, "status-401", false));
        asked.headers_mut().insert("x-fault", http::HeaderValue::from_static(value));
        asked
    };
    let status = async |asked| call(lab.addr, asked).await.expect("a head comes").status.as_u16();
    let plain = || request(Speaks::OpenAi, &body(Speaks::OpenAi, "status-401", false));
    assert_eq!(status(with_header("status-503")).await, 502);
    assert_eq!(status(plain()).await, 200);
    assert_eq!(status(with_header("status-503")).await, 503);
    assert_eq!(status(plain()).await, 500);
    lab.always(None).expect("nothing to look up");
    assert_eq!(status(plain()).await, 401);
    assert_eq!(status(with_header("nonsense")).await, 400);
    assert!(lab.script(["nonsense"]).is_err());
}

#[tokio::test]
async fn flaky_fails_every_nth_call() {
    let lab = lab().await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses
            .push(ask(&lab, Speaks::OpenAi, "flaky-3", false).await.expect("a head comes").status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 503, 200, 200, 503]);
}

#[tokio::test]
async fn requests_are_kept_and_their_secrets_do_not_print() {
    let lab = lab().await;
    let mut asked = request(Speaks::OpenAi, &body(Speaks::OpenAi, "echo", false));
    asked.headers_mut().insert("authorization", http::HeaderValue::from_static("Bearer sk-canary"));
    call(lab.addr, asked).await.expect("a head comes");
    let received = lab.received();
    assert_eq!(received[0].path, "/some/prefix/v1/chat/completions");
    assert_eq!(received[0].headers["authorization"], "Bearer sk-canary");
    let kept: Value = serde_json::from_slice(&received[0].body).expect("is the JSON that was sent");
    assert_eq!(kept, body(Speaks::OpenAi, "echo", false));
    assert!(!format!("{received:?}").contains("canary"));
}

#[tokio::test]
async fn media_are_named() {
    let lab = lab().await;
    let pixel = "data:image/png;base64,AAAABBBB";
    let openai = json!([
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": pixel}},
        {"type": "input_audio", "input_audio": {"format": "wav", "data": "AAAA"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
    ]);
    let anthropic = json!([
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAABBBB"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {"type": "text", "text": "look"},
    ]);
    let cases = [
        (
            Speaks::OpenAi,
            openai,
            "I saw image (image/png, 6 bytes), audio (wav, 3 bytes), file (a.pdf, 3 bytes).",
        ),
        (
            Speaks::Anthropic,
            anthropic,
            "I saw image (image/png, 6 bytes), file (by url: https://example.com/a.pdf).",
        ),
    ];
    for (speaks, content, expected) in cases {
        let mut asked = body(speaks, "image", false);
        asked["messages"][0]["content"] = content;
        let reply = call(lab.addr, request(speaks, &asked)).await;
        assert_eq!(judge(speaks, reply.as_ref()).1.text, expected);
    }
}

#[tokio::test]
async fn requests_that_the_provider_would_refuse_are_refused_naming_the_field() {
    let lab = lab().await;
    let cases = [
        (Speaks::OpenAi, json!({"model": "echo"}), "messages"),
        (Speaks::OpenAi, json!("not an object"), "messages"),
        (
            Speaks::Anthropic,
            json!({"model": "echo", "messages": [{"role": "user", "content": "x"}]}),
            "max_tokens",
        ),
        (Speaks::Anthropic, json!({"model": "echo", "max_tokens": 1}), "messages"),
    ];
    for (speaks, asked, field) in cases {
        let reply = call(lab.addr, request(speaks, &asked)).await.expect("a head comes");
        assert_eq!(reply.status, 400, "{asked}");
        assert!(String::from_utf8_lossy(&reply.body).contains(field), "{asked}");
    }
}

#[tokio::test]
async fn the_model_list_holds_every_behaviour_in_the_asking_dialect() {
    let lab = lab().await;
    let get = |version: Option<&str>| {
        let request = http::Request::get("/v1/models").header("host", "lab");
        let request = version.into_iter().fold(request, |request, v| request.header("anthropic-version", v));
        request.body(http_body_util::Full::default()).expect("all parts are valid")
    };
    for (version, kind) in [(None, "object"), (Some("2023-06-01"), "type")] {
        let reply = call(lab.addr, get(version)).await.expect("a head comes");
        let list: Value = serde_json::from_slice(&reply.body).expect("is JSON");
        assert_eq!(list["data"].as_array().map(Vec::len), Some(behaviours().len()));
        assert_eq!(list["data"][0][kind], "model");
    }
    lab.script(["status-401"]).expect("is in the table");
    assert_eq!(call(lab.addr, get(None)).await.expect("a head comes").status, 401);
}

#[tokio::test]
async fn a_stopped_lab_refuses_connections_and_drops_open_ones() {
    let lab = lab().await;
    let mut client = Client::connect(lab.addr).await;
    let hanging = request(Speaks::OpenAi, &body(Speaks::OpenAi, "hang", false));
    let stopped = async {
        lab.wait_for_requests(1, PATIENCE).await.expect("the lab reads the request");
        lab.stop().await;
    };
    let (answer, ()) = tokio::join!(client.send(hanging), stopped);
    assert!(answer.is_none());
    assert!(tokio::net::TcpStream::connect(lab.addr).await.is_err());
}

#[tokio::test]
async fn reset_is_a_reset_and_close_is_a_close() {
    let lab = lab().await;
    let read = async |behaviour: &str| {
        let mut stream = tokio::net::TcpStream::connect(lab.addr).await.expect("the lab listens");
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: lab\r\nx-fault: {behaviour}\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("the lab reads");
        stream.read(&mut [0; 1]).await.map_err(|error| error.kind())
    };
    assert_eq!(read("reset").await, Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(read("close").await, Ok(0));
    assert_eq!(read("hang-1ms").await, Ok(0));
}

#[tokio::test]
async fn http2_without_tls_is_answered_too() {
    let lab = lab().await;
    let stream = tokio::net::TcpStream::connect(lab.addr).await.expect("the lab listens");
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.expect("handshakes need no peer");
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    let mut asked = request(Speaks::OpenAi, &body(Speaks::OpenAi, "echo", true));
    *asked.uri_mut() = format!("{}/v1/chat/completions", lab.url()).parse().expect("is a URI");
    let answer = sender.send_request(asked).await.expect("is answered");
    assert_eq!(answer.version(), http::Version::HTTP_2);
    let streamed = answer.into_body().collect().await.expect("comes whole").to_bytes();
    assert!(streamed.ends_with(b"data: [DONE]\n\n"));
}
