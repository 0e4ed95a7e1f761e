//! Server-sent events: a push parser that never looks twice at a byte, and the few lines that write them.
//!
//! Knows framing only; what is inside `data` is the dialect's business. Adapters read, surfaces write.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use memchr::memchr2;

/// The longest event that a parser takes unless told otherwise: images arrive inline.
pub const DEFAULT_LIMIT: usize = 32 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event that carries data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The `event:` field; empty if absent.
    pub event: Bytes,
    /// All `data:` lines, joined with line feeds. A slice of the input where the event was a single line in it.
    pub data: Bytes,
}

/// Why a stream is no event stream any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    #[error("an event is longer than {limit} bytes")]
    TooLong { limit: usize },
}

/// Splits pushed bytes into events; any split of the bytes gives the same ones.
///
/// Takes CR, LF and CRLF as line ends, skips comments and unknown fields, strips a byte-order mark.
#[derive(Debug)]
pub struct SseParser {
    input: Bytes,
    /// A line whose end has not arrived.
    partial: BytesMut,
    event: Bytes,
    data: Option<Data>,
    /// The last byte was a CR, so a following LF belongs to it.
    after_cr: bool,
    started: bool,
    limit: usize,
}

/// Data lines of the event being read: the first is kept as a slice, more are joined in a buffer.
#[derive(Debug)]
enum Data {
    One(Bytes),
    Joined(BytesMut),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::One(line) => line.len(),
            Self::Joined(lines) => lines.len(),
        }
    }
}

impl Default for SseParser {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl SseParser {
    /// A parser that refuses events longer than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            input: Bytes::new(),
            partial: BytesMut::new(),
            event: Bytes::new(),
            data: None,
            after_cr: false,
            started: false,
            limit,
        }
    }

    /// Hands over the next bytes; call [`SseParser::next_event`] until it is empty before pushing more.
    pub fn push(&mut self, bytes: Bytes) {
        if self.input.is_empty() {
            self.input = bytes;
        } else {
            let mut joined = BytesMut::with_capacity(self.input.len() + bytes.len());
            joined.extend_from_slice(&self.input);
            joined.extend_from_slice(&bytes);
            self.input = joined.freeze();
        }
    }

    /// The next complete event.
    ///
    /// # Errors
    /// [`SseError::TooLong`], after which the parser is spent.
    pub fn next_event(&mut self) -> Result<Option<SseEvent>, SseError> {
        while let Some(line) = self.next_line()? {
            if let Some(event) = self.take_line(line)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The last event, where the stream ended without a blank line or even without a line end.
    ///
    /// # Errors
    /// [`SseError::TooLong`].
    pub fn finish(&mut self) -> Result<Option<SseEvent>, SseError> {
        if let Some(event) = self.next_event()? {
            return Ok(Some(event));
        }
        let line = self.partial.split().freeze();
        if !line.is_empty()
            && let Some(event) = self.take_line(line)?
        {
            return Ok(Some(event));
        }
        Ok(self.dispatch())
    }

    fn next_line(&mut self) -> Result<Option<Bytes>, SseError> {
        if self.after_cr && !self.input.is_empty() {
            self.after_cr = false;
            if self.input[0] == b'\n' {
                self.input.advance(1);
            }
        }
        let Some(end) = memchr2(b'\n', b'\r', &self.input) else {
            self.check(self.partial.len() + self.input.len())?;
            self.partial.extend_from_slice(&self.input);
            self.input = Bytes::new();
            return Ok(None);
        };
        self.after_cr = self.input[end] == b'\r';
        let mut line = self.input.split_to(end);
        self.input.advance(1);
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(&line);
            line = self.partial.split().freeze();
        }
        if !self.started {
            self.started = true;
            if line.starts_with(BOM) {
                line.advance(BOM.len());
            }
        }
        Ok(Some(line))
    }

    fn take_line(&mut self, line: Bytes) -> Result<Option<SseEvent>, SseError> {
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        if let Some(value) = field(&line, b"data") {
            self.add_data(line.slice(value..))?;
        } else if let Some(value) = field(&line, b"event") {
            self.event = line.slice(value..);
        }
        Ok(None)
    }

    fn add_data(&mut self, line: Bytes) -> Result<(), SseError> {
        self.check(self.data.as_ref().map_or(0, Data::len) + line.len())?;
        self.data = Some(match self.data.take() {
            None => Data::One(line),
            Some(Data::One(first)) => {
                let mut lines = BytesMut::from(&first[..]);
                lines.put_u8(b'\n');
                lines.extend_from_slice(&line);
                Data::Joined(lines)
            }
            Some(Data::Joined(mut lines)) => {
                lines.put_u8(b'\n');
                lines.extend_from_slice(&line);
                Data::Joined(lines)
            }
        });
        Ok(())
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let event = std::mem::take(&mut self.event);
        let data = match self.data.take()? {
            Data::One(line) => line,
            Data::Joined(lines) => lines.freeze(),
        };
        (!data.is_empty()).then_some(SseEvent { event, data })
    }

    fn check(&self, len: usize) -> Result<(), SseError> {
        if len > self.limit { Err(SseError::TooLong { limit: self.limit }) } else { Ok(()) }
    }
}

/// Where the value of a field begins in its line; the space after the colon is optional.
fn field(line: &[u8], name: &[u8]) -> Option<usize> {
    let rest = line.strip_prefix(name)?;
    match rest {
        [] => Some(line.len()),
        [b':', b' ', ..] => Some(name.len() + 2),
        [b':', ..] => Some(name.len() + 1),
        _ => None,
    }
}

/// Writes one event of one line of data.
pub fn write_data(out: &mut BytesMut, data: &[u8]) {
    out.reserve(data.len() + 8);
    out.put_slice(b"data: ");
    out.put_slice(data);
    out.put_slice(b"\n\n");
}

/// Writes one event with a name and one line of data.
pub fn write_event(out: &mut BytesMut, event: &str, data: &[u8]) {
    out.reserve(event.len() + data.len() + 16);
    out.put_slice(b"event: ");
    out.put_slice(event.as_bytes());
    out.put_slice(b"\n");
    write_data(out, data);
}

/// Writes a comment, which parsers skip and connections take for life.
pub fn write_comment(out: &mut BytesMut, text: &str) {
    out.put_slice(b": ");
    out.put_slice(text.as_bytes());
    out.put_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(Bytes::copy_from_slice(piece));
            while let Some(event) = parser.next_event().expect("within the limit") {
                events.push(event);
            }
        }
        while let Some(event) = parser.finish().expect("within the limit") {
            events.push(event);
        }
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        events.iter().map(|event| (text(&event.event), text(&event.data))).collect()
    }

    fn check(input: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(e, d)| ((*e).to_owned(), (*d).to_owned())).collect();
        assert_eq!(parse(&[input.as_bytes()]), expected, "whole: {input:?}");
        let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        assert_eq!(parse(&bytes), expected, "byte by byte: {input:?}");
        for at in 0..input.len() {
            let (head, tail) = input.as_bytes().split_at(at);
            assert_eq!(parse(&[head, tail]), expected, "cut at {at}: {input:?}");
        }
    }

    #[test]
    fn events_come_out_whatever_the_line_ends_and_cuts() {
        check("data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
        check("data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]);
        check("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]);
        check("data: a\r\n\ndata: b\n\r\n", &[("", "a"), ("", "b")]);
        check("event: error\ndata: {}\n\n", &[("error", "{}")]);
        check("data:no space\n\n", &[("", "no space")]);
        check("data:  two spaces\n\n", &[("", " two spaces")]);
        check("data: one\ndata: two\ndata: three\n\n", &[("", "one\ntwo\nthree")]);
        check("data: one\ndata\ndata: three\n\n", &[("", "one\n\nthree")]);
        check(": PROCESSING\n\n: ping\ndata: a\n\n", &[("", "a")]);
        check("\u{feff}data: a\n\n", &[("", "a")]);
        check("id: 7\nretry: 10\ndatabase: x\ndata: a\n\n", &[("", "a")]);
        check("event: lone\n\ndata: a\n\n", &[("", "a")]);
        check("data: grüße 🦀\n\n", &[("", "grüße 🦀")]);
    }

    #[test]
    fn last_event_needs_no_blank_line() {
        check("data: a\n\ndata: b", &[("", "a"), ("", "b")]);
        check("data: a\n", &[("", "a")]);
        check("", &[]);
        check("\n\n\n", &[]);
    }

    #[test]
    fn an_event_over_the_limit_is_refused_whole_or_in_pieces() {
        for input in ["data: 0123456789abcdef\n\n", "data: 01234567\ndata: 89abcdef\n\n", "0123456789abcdef0"]
        {
            let mut parser = SseParser::with_limit(16 - 1);
            parser.push(Bytes::copy_from_slice(input.as_bytes()));
            let refused = parser.next_event().is_err();
            assert!(refused, "{input:?}");
        }
    }

    #[test]
    fn a_whole_line_is_a_slice_of_its_input() {
        let input = Bytes::from_static(b"data: {\"a\":1}\n\n");
        let mut parser = SseParser::default();
        parser.push(input.clone());
        let event = parser.next_event().expect("within the limit").expect("complete");
        assert_eq!(event.data.as_ptr(), input[6..].as_ptr());
    }

    #[test]
    fn written_events_parse_back() {
        let mut out = BytesMut::new();
        write_comment(&mut out, "keep-alive");
        write_event(&mut out, "ping", b"{}");
        write_data(&mut out, b"[DONE]");
        assert_eq!(
            parse(&[&out]),
            [("ping".to_owned(), "{}".to_owned()), (String::new(), "[DONE]".to_owned())]
        );
    }
}
