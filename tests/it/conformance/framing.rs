//! Where the events of a recorded body begin and end, found in the simplest way and without the adapters' parsers.

use serde_json::Value;

use super::exchange::{Api, Exchange};

/// How a body is cut into events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value, or something that is none.
    Whole,
    /// Server-sent events.
    Sse,
    /// A JSON value per line.
    Lines,
    /// Elements of one JSON array.
    Array,
    /// Amazon's binary frames.
    Frames,
}

/// One event of a body; a whole body is one.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Where the next event begins.
    pub end: usize,
    /// The event's name, in binary frames the exception's too; may be empty.
    pub name: String,
    /// Null where the text is no JSON.
    pub data: Value,
    /// The text as it is, such as `[DONE]`.
    pub text: String,
}

impl Frame {
    fn new(end: usize, name: impl Into<String>, text: &str) -> Self {
        let data = serde_json::from_str(text).unwrap_or_default();
        Self { end, name: name.into(), data, text: text.trim().to_owned() }
    }
}

/// The events of an exchange's answer.
pub fn frames(api: Api, exchange: &Exchange) -> (Framing, Vec<Frame>) {
    let body = &exchange.body[..];
    let is_binary =
        api == Api::Converse && exchange.has_text && body.first().is_some_and(|byte| *byte != b'{');
    if is_binary && exchange.status.is_success() {
        return (Framing::Frames, binary(body));
    }
    let text = String::from_utf8_lossy(body);
    let is_text = exchange.has_text && exchange.status.is_success();
    let framing =
        if is_text && !is_one_value(exchange, &text) { textual(api, &text) } else { Framing::Whole };
    let frames = match framing {
        Framing::Sse => sse(body),
        Framing::Lines => lines(&text),
        Framing::Array => array(&text),
        _ => vec![Frame::new(body.len(), "", &text)],
    };
    (framing, frames)
}

/// A whole JSON object, unless its type says that it is a stream of one line.
fn is_one_value(exchange: &Exchange, text: &str) -> bool {
    let kind = exchange.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    !kind.contains("ndjson") && serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object())
}

fn textual(api: Api, text: &str) -> Framing {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let is_field =
        |line: &str| ["data:", "event:", "id:", "retry:", ":"].iter().any(|field| line.starts_with(field));
    match start.chars().next() {
        Some('[') if api == Api::Google => Framing::Array,
        Some('{') if api == Api::Ollama => Framing::Lines,
        Some(_) if start.lines().next().is_some_and(is_field) => Framing::Sse,
        _ => Framing::Whole,
    }
}

/// Events end with an empty line; the last one may lack it. Comments alone are no event.
fn sse(body: &[u8]) -> Vec<Frame> {
    let (mut frames, mut name, mut data) = (Vec::new(), String::new(), Vec::<String>::new());
    for (line, end) in sse_lines(body) {
        if line.is_empty() {
            if !data.is_empty() {
                frames.push(Frame::new(end, name.clone(), &data.join("\n")));
            }
            (name, data) = (String::new(), Vec::new());
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
        } else if let Some(value) = line.strip_prefix("event:") {
            name = value.trim().to_owned();
        }
    }
    if !data.is_empty() {
        frames.push(Frame::new(body.len(), name, &data.join("\n")));
    }
    frames
}

/// Lines without their ends, and where the next one begins.
fn sse_lines(body: &[u8]) -> Vec<(String, usize)> {
    let (mut lines, mut start, mut at) = (Vec::new(), 0, 0);
    while at < body.len() {
        let length = match (body[at], body.get(at + 1)) {
            (b'\r', Some(b'\n')) => 2,
            (b'\r' | b'\n', _) => 1,
            _ => 0,
        };
        if length > 0 {
            let line = String::from_utf8_lossy(&body[start..at]);
            lines.push((line.trim_start_matches('\u{feff}').to_owned(), at + length));
            start = at + length;
        }
        at += length.max(1);
    }
    if start < body.len() {
        lines.push((String::from_utf8_lossy(&body[start..]).into_owned(), body.len()));
    }
    lines
}

fn lines(text: &str) -> Vec<Frame> {
    let (mut frames, mut at) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        at += line.len();
        if !line.trim().is_empty() {
            frames.push(Frame::new(at, "", line));
        }
    }
    frames
}

/// The elements of a top-level array, found by counting brackets outside strings.
fn array(text: &str) -> Vec<Frame> {
    let (mut frames, mut depth, mut start) = (Vec::new(), 0_usize, None);
    let (mut in_string, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                start = if depth == 2 { Some(at) } else { start };
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if let Some(start) = start.take_if(|_| depth == 1) {
                    frames.push(Frame::new(at + 1, "", &text[start..=at]));
                }
            }
            _ => {}
        }
    }
    frames
}

/// Length, headers, payload; the checksums are the adapter's business.
fn binary(body: &[u8]) -> Vec<Frame> {
    let (mut frames, mut at) = (Vec::new(), 0);
    while let Some(frame) = body.get(at..).and_then(one_frame) {
        at += frame.0;
        frames.push(Frame::new(at, frame.1, &String::from_utf8_lossy(frame.2)));
    }
    frames
}

/// Size, name and payload of the frame that the bytes begin with.
fn one_frame(bytes: &[u8]) -> Option<(usize, String, &[u8])> {
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let (size, headers) = (number(0)?, number(4)?);
    let payload = bytes.get(12 + headers..size.checked_sub(4)?)?;
    let names = text_headers(bytes.get(12..12 + headers)?);
    let named = |wanted: &str| names.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let name = named(":exception-type").or_else(|| named(":event-type")).or_else(|| named(":error-code"));
    Some((size, name.unwrap_or_default(), payload))
}

/// The headers that are text; others do not occur in what is read here.
fn text_headers(mut bytes: &[u8]) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let take = |bytes: &mut &[u8], count: usize| bytes.split_off(..count).map(|piece| piece.to_vec());
    while let Some(length) = take(&mut bytes, 1) {
        let Some(name) = take(&mut bytes, usize::from(length[0])) else { break };
        let Some(kind) = take(&mut bytes, 3).filter(|head| head[0] == 7) else { break };
        let size = usize::from(u16::from_be_bytes([kind[1], kind[2]]));
        let Some(value) = take(&mut bytes, size) else { break };
        headers.push((
            String::from_utf8_lossy(&name).into_owned(),
            String::from_utf8_lossy(&value).into_owned(),
        ));
    }
    headers
}
