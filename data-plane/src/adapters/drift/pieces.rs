//! An answer's bytes as the JSON values they carry: one body, server-sent events, lines, or binary frames.
//!
//! More lenient than any decoder, and without judgement. The form is told by the first byte, since content types lie.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::adapters::drift::vocabulary::Vocabulary;
use crate::adapters::drift::{Answer, Extent};
use crate::wire::eventstream::FrameParser;
use crate::wire::sse::SseParser;

/// One thing that an answer says.
pub enum Piece {
    Value(Value),
    Event(String, Value),
    /// Complete, but not in any of the dialect's forms.
    Unreadable,
}

/// Calls `each` with every complete piece, in order.
pub fn each(vocabulary: &Vocabulary, answer: &Answer<'_>, mut each: impl FnMut(Piece)) {
    let body = answer.body.trim_ascii();
    let forms = vocabulary.forms();
    match body.first() {
        None => {}
        Some(0) if forms.frames => frames(answer, &mut each),
        Some(b'{' | b'[' | b'"') if answer.extent != Extent::Middle => {
            json(vocabulary, answer, body, &mut each)
        }
        Some(_) if forms.events => events(vocabulary, answer, &mut each),
        Some(_) if answer.extent == Extent::Whole => each(Piece::Unreadable),
        Some(_) => {}
    }
}

/// One value, or one in each line.
fn json(vocabulary: &Vocabulary, answer: &Answer<'_>, body: &[u8], each: &mut impl FnMut(Piece)) {
    match serde_json::from_slice(body) {
        Ok(Value::Array(values)) if vocabulary.forms().list => {
            values.into_iter().for_each(|value| each(piece(vocabulary, "", value)));
        }
        Ok(value) => each(piece(vocabulary, "", value)),
        Err(_) if vocabulary.forms().lines => lines(vocabulary, answer, each),
        Err(_) if answer.extent == Extent::Whole => each(Piece::Unreadable),
        Err(_) => {}
    }
}

fn lines(vocabulary: &Vocabulary, answer: &Answer<'_>, each: &mut impl FnMut(Piece)) {
    let mut lines = answer.body.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_complete = answer.extent == Extent::Whole || lines.peek().is_some();
        match serde_json::from_slice(line) {
            Ok(value) => each(piece(vocabulary, "", value)),
            Err(_) if is_complete && !line.trim_ascii().is_empty() => each(Piece::Unreadable),
            Err(_) => {}
        }
    }
}

fn events(vocabulary: &Vocabulary, answer: &Answer<'_>, each: &mut impl FnMut(Piece)) {
    let mut parser = SseParser::default();
    parser.push(Bytes::copy_from_slice(answer.body));
    let mut count = 0;
    loop {
        let next = match parser.next_event() {
            Ok(None) if answer.extent == Extent::Whole => parser.finish(),
            next => next,
        };
        let Ok(Some(event)) = next else { break };
        count += 1;
        match serde_json::from_slice(&event.data) {
            Ok(value) => each(piece(vocabulary, &String::from_utf8_lossy(&event.event), value)),
            Err(_) if event.data.trim_ascii().is_empty() || &*event.data == b"[DONE]" => {}
            // Of an event that was cut at its beginning there is no telling.
            Err(_) if answer.extent == Extent::Middle => {}
            Err(_) => each(Piece::Unreadable),
        }
    }
    let is_silent = answer.body.trim_ascii().starts_with(b":");
    if count == 0 && answer.extent == Extent::Whole && !is_silent {
        each(Piece::Unreadable);
    }
}

/// An event by the name that its frame or its own member gives it, else a plain value.
fn piece(vocabulary: &Vocabulary, framed: &str, value: Value) -> Piece {
    let own = vocabulary.event_member().and_then(|member| value.get(member)).and_then(Value::as_str);
    match (own, framed) {
        (None, "") => Piece::Value(value),
        // Whole bodies have a `type` too; it is an enumeration like any other.
        (Some(own), "") if vocabulary.is_body(own) => Piece::Value(value),
        (Some(own), _) => Piece::Event(own.to_owned(), value),
        (None, framed) => Piece::Event(framed.to_owned(), value),
    }
}

/// Frames of AWS's binary stream. The payload is shown as the member of its event's name, as the API's own model has it.
fn frames(answer: &Answer<'_>, each: &mut impl FnMut(Piece)) {
    let mut parser = FrameParser::default();
    parser.push(answer.body);
    loop {
        let frame = match parser.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(_) => return each(Piece::Unreadable),
        };
        let Some(name) = frame.header(":event-type").or_else(|| frame.header(":exception-type")) else {
            continue;
        };
        match serde_json::from_slice(frame.payload()) {
            Ok(value) => {
                let union = Map::from_iter([(name.to_owned(), value)]);
                each(Piece::Event(name.to_owned(), Value::Object(union)));
            }
            Err(_) if frame.payload().is_empty() => {}
            Err(_) => each(Piece::Unreadable),
        }
    }
}
