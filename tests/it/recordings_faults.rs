//! The judge of recorded exchanges, judged: adapters that are broken on purpose must not pass.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use switchyard_data_plane::adapters::{
    Adapter, Context, Decoder, Encoded, Failure, FailureClass, Quirks, Target, Unsupported, by_name,
};
use switchyard_data_plane::model::event::Event;
use switchyard_data_plane::model::request::{ChatRequest, Dialect};
use switchyard_data_plane::model::response::{ChatResponse, FinishReason};
use switchyard_data_plane::model::usage::Usage;

use crate::conformance::answers::check;
use crate::conformance::exchange::{Api, Exchange};

/// What a broken adapter does to good work.
#[derive(Debug, Clone, Copy, Default)]
struct Fault {
    event: Option<fn(&mut Event)>,
    response: Option<fn(&mut ChatResponse)>,
    failure: Option<fn(&mut Failure)>,
    /// Ends a stream that broke off as if it were whole.
    ends_anyway: bool,
    /// Takes an error inside a stream for its end.
    swallows: bool,
    forgets_partial: bool,
    panics: bool,
}

/// An adapter with a fault.
struct Broken {
    inner: &'static dyn Adapter,
    fault: Fault,
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Broken")
    }
}

impl Adapter for Broken {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    fn quirks(&self) -> Quirks {
        self.inner.quirks()
    }

    fn encode(&self, request: &ChatRequest, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        self.inner.encode(request, target)
    }

    fn decode(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
        context: &Context,
    ) -> Result<ChatResponse, Failure> {
        let mut outcome = self.inner.decode(status, headers, body, context);
        match (&mut outcome, self.fault) {
            (Ok(response), Fault { response: Some(spoil), .. }) => spoil(response),
            (Err(failure), Fault { failure: Some(spoil), .. }) => spoil(failure),
            _ => {}
        }
        outcome
    }

    fn decoder(&self, context: &Context) -> Box<dyn Decoder> {
        Box::new(BrokenDecoder { inner: self.inner.decoder(context), fault: self.fault })
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        let mut failure = self.inner.failure(status, headers, body);
        if let Some(spoil) = self.fault.failure {
            spoil(&mut failure);
        }
        failure
    }
}

struct BrokenDecoder {
    inner: Box<dyn Decoder>,
    fault: Fault,
}

impl Decoder for BrokenDecoder {
    fn push(&mut self, bytes: Bytes, events: &mut Vec<Event>) -> Result<(), Failure> {
        assert!(!self.fault.panics || bytes.len() > 1, "broken on purpose");
        let start = events.len();
        let result = self.inner.push(bytes, events);
        if let Some(spoil) = self.fault.event {
            events[start..].iter_mut().for_each(spoil);
        }
        if self.fault.swallows { Ok(()) } else { result }
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        let start = events.len();
        let result = self.inner.finish(events);
        if let Some(spoil) = self.fault.event {
            events[start..].iter_mut().for_each(spoil);
        }
        if self.fault.ends_anyway || self.fault.swallows { Ok(()) } else { result }
    }

    fn usage(&self) -> Option<Usage> {
        self.inner.usage().filter(|_| !self.fault.forgets_partial)
    }
}

const STREAM: &str = r#"data: {"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":"Grüße"},"finish_reason":null}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}

data: {"id":"c1","choices":[{"index":0,"delta":{"reasoning":"hm","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":"}}]},"finish_reason":null}]}

data: {"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}},{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":null}]}

data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16,"prompt_tokens_details":{"cached_tokens":4}}}

data: [DONE]

"#;

const WHOLE: &str = r#"{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"length"}],
"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":15,"completion_tokens_details":{"reasoning_tokens":5}}}"#;

const ERROR_IN_STREAM: &str = r#"data: {"id":"c1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":{"prompt_tokens":9,"completion_tokens":1}}

data: {"error":{"message":"busy","type":"overloaded_error","code":503}}

"#;

const LIMIT: &str = r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#;

fn exchange(status: u16, body: &'static str) -> Exchange {
    let mut headers = HeaderMap::new();
    if status == 429 {
        headers.insert("retry-after", "7".parse().unwrap());
    }
    Exchange {
        place: "here".to_owned(),
        provider: "nobody".to_owned(),
        folder: "chat".to_owned(),
        speaker: Some((Api::Chat, "openai")),
        own: true,
        request: None,
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Bytes::from_static(body.as_bytes()),
        has_text: true,
        chunk_sizes: vec![100, 3],
    }
}

fn judged(fault: Fault, status: u16, body: &'static str) -> Result<(), String> {
    let adapter = Broken { inner: by_name("openai").unwrap(), fault };
    check(&adapter, Api::Chat, &exchange(status, body)).map(drop)
}

fn choices(event: &mut Event, mut spoil: impl FnMut(&mut switchyard_data_plane::model::event::ChoiceDelta)) {
    if let Event::Chunk(chunk) = event {
        chunk.choices.iter_mut().for_each(&mut spoil);
    }
}

#[test]
fn a_sound_adapter_passes() {
    for (status, body) in [(200, STREAM), (200, WHOLE), (200, ERROR_IN_STREAM), (429, LIMIT)] {
        assert_eq!(judged(Fault::default(), status, body), Ok(()), "{body}");
    }
}

#[test]
fn every_fault_of_a_stream_is_seen() {
    let spoilt = |event: fn(&mut Event)| Fault { event: Some(event), ..Fault::default() };
    for (what, fault, body) in [
        (
            "usage",
            spoilt(|event| {
                if let Event::Usage(usage) = event {
                    usage.completion_tokens += 1
                }
            }),
            STREAM,
        ),
        (
            "cached tokens",
            spoilt(|event| {
                if let Event::Usage(usage) = event {
                    usage.cached_tokens = 0
                }
            }),
            STREAM,
        ),
        (
            "order of calls",
            spoilt(|event| {
                choices(event, |choice| {
                    choice.delta.tool_calls.iter_mut().for_each(|call| call.index = 1 - call.index)
                });
            }),
            STREAM,
        ),
        (
            "arguments",
            spoilt(|event| {
                choices(event, |choice| {
                    choice.delta.tool_calls.iter_mut().for_each(|call| call.arguments.clear())
                })
            }),
            STREAM,
        ),
        ("text", spoilt(|event| choices(event, |choice| choice.delta.content = None)), STREAM),
        ("reasoning", spoilt(|event| choices(event, |choice| choice.delta.reasoning = None)), STREAM),
        ("finish", spoilt(|event| choices(event, |choice| choice.finish = None)), STREAM),
        (
            "finish reason",
            spoilt(|event| {
                choices(event, |choice| {
                    choice.finish.iter_mut().for_each(|finish| finish.reason = FinishReason::Stop);
                });
            }),
            STREAM,
        ),
        ("end of what broke off", Fault { ends_anyway: true, ..Fault::default() }, STREAM),
        ("error inside", Fault { swallows: true, ..Fault::default() }, ERROR_IN_STREAM),
        ("partial usage", Fault { forgets_partial: true, ..Fault::default() }, ERROR_IN_STREAM),
        ("panic at a single byte", Fault { panics: true, ..Fault::default() }, STREAM),
    ] {
        assert!(judged(fault, 200, body).is_err(), "nobody saw the fault: {what}");
    }
}

#[test]
fn every_fault_of_a_whole_answer_is_seen() {
    let spoilt = |response: fn(&mut ChatResponse)| Fault { response: Some(response), ..Fault::default() };
    for (what, fault) in [
        ("usage", spoilt(|response| response.usage = None)),
        (
            "reasoning outside the completion",
            spoilt(|response| response.usage.iter_mut().for_each(|usage| usage.completion_tokens = 1)),
        ),
        ("text", spoilt(|response| response.choices[0].message.content = Some("Hi!".to_owned()))),
        ("choice", spoilt(|response| response.choices.clear())),
        ("finish reason", spoilt(|response| response.choices[0].finish.reason = FinishReason::Stop)),
    ] {
        assert!(judged(fault, 200, WHOLE).is_err(), "nobody saw the fault: {what}");
    }
}

#[test]
fn every_fault_of_an_error_is_seen() {
    let spoilt = |failure: fn(&mut Failure)| Fault { failure: Some(failure), ..Fault::default() };
    for (what, fault) in [
        ("class", spoilt(|failure| failure.class = FailureClass::Server)),
        ("hint", spoilt(|failure| failure.retry_after = None)),
        ("silence", spoilt(|failure| failure.message.clear())),
        ("secret", spoilt(|failure| failure.message = "bad key sk-abcdefgh".to_owned())),
        ("status", spoilt(|failure| failure.status = None)),
    ] {
        assert!(judged(fault, 429, LIMIT).is_err(), "nobody saw the fault: {what}");
    }
}
