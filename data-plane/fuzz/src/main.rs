//! One program for all targets: `FUZZ_TARGET` names what is fed, e.g. `stream-gemini`, `answer-openai`, `frames-sse`.
//!
//! The first byte of an input seeds how the rest is cut into reads; every cut must tell the same story.
#![no_main]

use std::sync::LazyLock;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue as Text, Message};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use switchyard_data_plane::adapters::{Adapter, Context, Failure, by_name};
use switchyard_data_plane::model::event::{Event, fold};
use switchyard_data_plane::wire::eventstream::FrameParser;
use switchyard_data_plane::wire::lines::LineParser;
use switchyard_data_plane::wire::sse::SseParser;

/// What is fed.
enum Target {
    /// A streamed answer of an adapter.
    Stream(&'static dyn Adapter),
    /// A whole answer and an error body of an adapter.
    Answer(&'static dyn Adapter),
    Sse,
    EventStream,
    Lines,
}

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names what to feed");
    let adapter = |name: &str| by_name(name).unwrap_or_else(|| panic!("no adapter is called {name}"));
    match name.split_once('-') {
        Some(("stream", name)) => Target::Stream(adapter(name)),
        Some(("answer", name)) => Target::Answer(adapter(name)),
        Some(("frames", "sse")) => Target::Sse,
        Some(("frames", "eventstream")) => Target::EventStream,
        Some(("frames", "lines")) => Target::Lines,
        _ => panic!(
            "FUZZ_TARGET={name} is none of stream-ADAPTER, answer-ADAPTER, frames-{{sse,eventstream,lines}}"
        ),
    }
});

fuzz_target!(|input: &[u8]| {
    let Some((seed, data)) = input.split_first() else { return };
    match &*TARGET {
        // Mutated frames fail their checksums, so Amazon's events are framed here.
        Target::Stream(adapter) if adapter.name() == "bedrock" => stream(*adapter, *seed, &framed(data)),
        Target::Stream(adapter) => stream(*adapter, *seed, data),
        Target::Answer(adapter) => answer(*adapter, *seed, data),
        Target::Sse => sse(*seed, data),
        Target::EventStream => event_stream(*seed, data),
        Target::Lines => lines(*seed, data),
    }
});

/// Sizes of reads, small ones mostly; the same for the same seed.
fn cuts(seed: u8, data: &[u8]) -> Vec<Bytes> {
    let mut state = u32::from(seed).wrapping_mul(2_654_435_761) | 1;
    let mut rest = data;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let most = if seed.is_multiple_of(4) { 1 } else { 1 << (state % 9) };
        let (piece, after) = rest.split_at((state as usize % most + 1).min(rest.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = after;
    }
    pieces
}

fn read(adapter: &dyn Adapter, pieces: Vec<Bytes>) -> (Vec<Event>, Option<Failure>) {
    let mut decoder = adapter.decoder(&Context::default());
    let mut events = Vec::new();
    for piece in pieces {
        if let Err(failure) = decoder.push(piece, &mut events) {
            return (events, Some(failure));
        }
    }
    let failure = decoder.finish(&mut events).err();
    let usage = decoder.usage();
    assert!(failure.is_some() || usage.is_none() || usage.is_some_and(|usage| usage.adds_up()), "{usage:?}");
    (events, failure)
}

fn stream(adapter: &dyn Adapter, seed: u8, data: &[u8]) {
    let (whole, failed) = read(adapter, vec![Bytes::copy_from_slice(data)]);
    let (cut, failed_too) = read(adapter, cuts(seed, data));
    assert_eq!(failed, failed_too, "a cut changes the outcome");
    assert_eq!(format!("{:?}", fold(&whole)), format!("{:?}", fold(&cut)), "a cut changes the answer");
    let count = |wanted: fn(&Event) -> bool| whole.iter().filter(|event| wanted(event)).count();
    assert!(count(|event| matches!(event, Event::Start(_))) <= 1, "two starts");
    assert!(count(|event| matches!(event, Event::Usage(_))) <= 1, "two usages");
    assert!(count(|event| matches!(event, Event::Tier(_))) <= 1, "two tiers");
    if failed.is_none() {
        assert!(matches!(whole.last(), Some(Event::Done)), "an end without Done");
    }
}

fn answer(adapter: &dyn Adapter, seed: u8, data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    if let Ok(response) = adapter.decode(StatusCode::OK, &headers, &body, &Context::default()) {
        assert!(response.usage.is_none_or(|usage| usage.adds_up()), "{:?}", response.usage);
    }
    let statuses = [400, 401, 403, 404, 408, 422, 429, 498, 500, 503, 529];
    let status = StatusCode::from_u16(statuses[usize::from(seed) % statuses.len()]).expect("a status");
    let failure = adapter.failure(status, &headers, &body);
    assert!(failure.message.chars().count() <= 700, "a message without end");
}

fn sse(seed: u8, data: &[u8]) {
    let read = |pieces: Vec<Bytes>| {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece);
            while let Ok(Some(event)) = parser.next_event() {
                events.push((event.event, event.data));
            }
        }
        events.extend(parser.finish().ok().flatten().map(|event| (event.event, event.data)));
        events
    };
    assert_eq!(read(vec![Bytes::copy_from_slice(data)]), read(cuts(seed, data)));
}

/// Lines of `eventType payload` (`!exceptionType payload` for an exception) as frames.
fn framed(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        let space = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let kind = String::from_utf8_lossy(&line[..space]).chars().take(80).collect::<String>();
        let payload = Bytes::copy_from_slice(line.get(space + 1..).unwrap_or_default());
        let (message, name, kind) = match kind.strip_prefix('!') {
            Some(kind) => ("exception", ":exception-type", kind),
            None => ("event", ":event-type", kind.as_str()),
        };
        let text = |text: &str| Text::String(text.to_owned().into());
        let message = Message::new(payload)
            .add_header(Header::new(":message-type", text(message)))
            .add_header(Header::new(name, text(kind)));
        write_message_to(&message, &mut out).ok();
    }
    out
}

fn event_stream(seed: u8, data: &[u8]) {
    let read = |pieces: Vec<Bytes>| {
        let (mut parser, mut frames) = (FrameParser::default(), Vec::new());
        for piece in pieces {
            parser.push(&piece);
            loop {
                match parser.next_frame() {
                    Ok(Some(frame)) => frames.push(frame.payload().clone()),
                    Ok(None) => break,
                    Err(_) => return (frames, true),
                }
            }
        }
        (frames, false)
    };
    for data in [data.to_vec(), framed(data)] {
        let (whole, cut) = (read(vec![Bytes::from(data.clone())]), read(cuts(seed, &data)));
        assert_eq!(whole, cut, "a cut changes the frames");
    }
}

fn lines(seed: u8, data: &[u8]) {
    let read = |pieces: Vec<Bytes>| {
        let (mut parser, mut lines) = (LineParser::default(), Vec::new());
        for piece in pieces {
            parser.push(piece);
            while let Ok(Some(line)) = parser.next_line() {
                lines.push(line);
            }
        }
        lines.extend(parser.finish().ok().flatten());
        lines
    };
    assert_eq!(read(vec![Bytes::copy_from_slice(data)]), read(cuts(seed, data)));
}
